/* rec_embed(encoder, text): the vector of a text; rec_text_vectors(encoder, table, id_column,
 * text_column): those of a whole table, in batches on all cores. */
#include <string.h>

#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/jobs.h"
#include "../host/parts.h"
#include "../host/schema.h"
#include "../host/values.h"
#include "encoder_store.h"

/* ---- rec_embed ---- */

static Status embed(sqlite3 *db, const char *name, const EncodedText *text, Bytes *out, Err *err) {
    TextEncoder *encoder;
    Task task = {.threads = 1};
    TRY(guard_enter(err));
    Status status = encoder_find(db, name, &encoder, err);
    if (status == ST_OK) {
        size_t bytes = encoder->bert.shape.dim * sizeof(float);
        bytes_reserve(out, bytes);
        status = out->failed
            ? fail_nomem(err, "a vector")
            : text_encoder_run(encoder, text, 1, (float *)(void *)out->data, &task, err);
        if (status == ST_OK) out->len = bytes;
        cache_release(encoder);
    }
    guard_leave();
    return status;
}

static void rec_embed(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Err err = {0};
    Bytes out = {0};
    (void)argc;
    if (sqlite3_value_type(argv[1]) == SQLITE_NULL) return;
    const char *text = value_text(argv[1]);
    Status status = text
        ? embed(sqlite3_context_db_handle(context), value_text(argv[0]),
              &(EncodedText){text, (size_t)sqlite3_value_bytes(argv[1])}, &out, &err)
        : fail_nomem(&err, "a text");
    if (status == ST_OK) sqlite3_result_blob64(context, out.data, out.len, SQLITE_TRANSIENT);
    else sql_function_error(context, "rec_embed", status, &err);
    bytes_clear(&out);
}

/* ---- rec_text_vectors ---- */

enum { BATCH = 512 };

typedef struct TextVectors {
    TextEncoder *encoder;
    sqlite3 *db;
    sqlite3_stmt *rows;
    Task task;
    Job job;
    int has_job;
    int64_t n, done;
    sqlite3_value *id[BATCH], *value[BATCH]; /* owned */
    EncodedText text[BATCH];
    float *out; /* BATCH x dim */
} TextVectors;

static void empty(TextVectors *state) {
    for (int64_t i = 0; i < state->n; i++) {
        sqlite3_value_free(state->id[i]);
        sqlite3_value_free(state->value[i]);
    }
    state->n = 0;
}

static void vectors_end(void *argument) {
    TextVectors *state = argument;
    empty(state);
    if (state->has_job) job_end(&state->job);
    sqlite3_finalize(state->rows);
    cache_release(state->encoder);
    mem_free(state->out);
    mem_free(state);
}

static Status prepare_rows(TextVectors *state, sqlite3_value **argv, Err *err) {
    char *schema, *table;
    const char *id = value_text(argv[2]), *text = value_text(argv[3]);
    if (!id || !text) return fail(err, ST_BADARG, "the name of a column is NULL");
    TRY(schema_find_table(state->db, "table", value_text(argv[1]), "", &schema, &table, err));
    Status status = sql_prepare(state->db, &state->rows, err,
        "SELECT t.\"%w\", t.\"%w\" FROM \"%w\".\"%w\" t", id, text, schema, table);
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}

static Status begin(TextVectors *state, sqlite3_value **argv, Err *err) {
    const char *name = value_text(argv[0]);
    TRY(encoder_find(state->db, name, &state->encoder, err));
    TRY(prepare_rows(state, argv, err));
    state->out = mem_array(BATCH, state->encoder->bert.shape.dim * sizeof *state->out);
    if (!state->out) return fail_nomem(err, "the vectors");
    TRY(job_begin(&state->job, "encode", name, &state->task, state->db, 0, err));
    state->has_job = 1;
    task_phase(&state->task, "texts", "texts", 0, 0);
    return ST_OK;
}

static Status vectors_begin(sqlite3 *db, sqlite3_value **argv, void **out, Err *err) {
    TextVectors *state = mem_zeros(1, sizeof *state);
    *out = NULL;
    if (!state) return fail_nomem(err, "the vectors");
    state->db = db;
    state->task.threads = task_default_threads();
    Status status = begin(state, argv, err);
    if (status == ST_OK) *out = state;
    else vectors_end(state);
    return status;
}

/* The statement's row, unless its text is NULL. */
static Status add_row(TextVectors *state, Err *err) {
    if (sqlite3_column_type(state->rows, 1) == SQLITE_NULL) return ST_OK;
    int64_t i = state->n++;
    state->id[i] = sqlite3_value_dup(sqlite3_column_value(state->rows, 0));
    state->value[i] = sqlite3_value_dup(sqlite3_column_value(state->rows, 1));
    const char *text = state->value[i] ? value_text(state->value[i]) : NULL;
    if (!state->id[i] || !text) return fail_nomem(err, "a text");
    state->text[i] = (EncodedText){text, (size_t)sqlite3_value_bytes(state->value[i])};
    return ST_OK;
}

static Status vectors_more(void *argument, RowSink *sink, int *ended, Err *err) {
    TextVectors *state = argument;
    size_t dim = state->encoder->bert.shape.dim;
    int has_row = 1;
    while (state->n < BATCH && has_row) {
        TRY(sql_step(state->db, state->rows, &has_row, err));
        if (has_row) TRY(add_row(state, err));
    }
    *ended = !has_row;
    TRY(text_encoder_run(state->encoder, state->text, state->n, state->out, &state->task, err));
    for (int64_t i = 0; i < state->n; i++) {
        row_value(sink, state->id[i]);
        row_blob(sink, state->out + (size_t)i * dim, dim * sizeof *state->out);
    }
    state->done += state->n;
    atomic_store(&state->task.done, state->done);
    empty(state);
    return ST_OK;
}

int register_embed(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_text_vectors",
        .columns = "id, vector BLOB",
        .n_columns = 2,
        .arguments = ", encoder HIDDEN, table_name HIDDEN, id_column HIDDEN, text_column HIDDEN",
        .n_arguments = 4,
        .n_required = 4,
        .begin = vectors_begin,
        .more = vectors_more,
        .end = vectors_end,
    };
    int code = row_table_register(db, &table);
    return code ? code
                : sqlite3_create_function_v2(
                      db, "rec_embed", 2, SQLITE_UTF8, NULL, rec_embed, NULL, NULL, NULL);
}
