/* rec_recall_at: recall and time of an index against exact search. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../ann/graph_groups.h"
#include "../../base/json.h"
#include "../../base/memory.h"
#include "../../base/text.h"
#include "../host/interrupt.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/schema.h"
#include "../host/values.h"
#include "index.h"

typedef struct RecallSample {
    int64_t n, capacity;
    int64_t k;
    /* of rows of the index, which are left out of their own answers; NULL: queries from
     * elsewhere */
    int64_t *id;
    float *vector;   /* n x dim */
    char note[120];  /* about rows that are equal, "" for none */
    Scored *nearest; /* n x k: the true ones */
    int64_t *n_nearest;
    double *seconds; /* n */
} RecallSample;

static void sample_clear(RecallSample *sample) {
    mem_free(sample->id);
    mem_free(sample->vector);
    mem_free(sample->nearest);
    mem_free(sample->n_nearest);
    mem_free(sample->seconds);
}

/* Room for the answers to n queries. */
static Status sample_answers(RecallSample *sample, int64_t n, Err *err) {
    sample->nearest = mem_array((size_t)n, (size_t)sample->k * sizeof *sample->nearest);
    sample->n_nearest = mem_array((size_t)n, sizeof *sample->n_nearest);
    sample->seconds = mem_array((size_t)n, sizeof *sample->seconds);
    return sample->nearest && sample->n_nearest && sample->seconds ? ST_OK
                                                                   : fail_nomem(err, "the sample");
}

static Status add_query(
    RecallSample *sample, const IndexTable *t, const char *table, sqlite3_stmt *rows, Err *err) {
    const float *vector;
    float *owned;
    int dim;
    if (sqlite3_column_type(rows, 0) == SQLITE_NULL) return ST_OK;
    if (sample->n == sample->capacity) {
        sample->capacity = sample->capacity * 2 + 64;
        float *grown = mem_resize(
            sample->vector, (size_t)sample->capacity, (size_t)t->dim * sizeof *grown);
        if (!grown) return fail_nomem(err, "the sample");
        sample->vector = grown;
    }
    TRY(value_vector(sqlite3_column_value(rows, 0), &vector, &dim, &owned, err));
    if (dim == t->dim)
        memcpy(sample->vector + sample->n++ * dim, vector, (size_t)dim * sizeof *vector);
    mem_free(owned);
    return dim == t->dim
        ? ST_OK
        : fail(err, ST_BADARG, "a query of %.60s has %d elements, the column is float[%d]", table,
              dim, t->dim);
}

/* The vectors of a table; those that are NULL are left out. */
static Status sample_from_table(
    RecallSample *sample, const IndexTable *t, const char *name, const char *column, Err *err) {
    char *schema, *table;
    sqlite3_stmt *rows = NULL;
    TRY(schema_find_table(t->db, "table or view", name, "", &schema, &table, err));
    Status status = sql_prepare(t->db, &rows, err, "SELECT q.\"%w\" FROM \"%w\".\"%w\" q",
        column ? column : t->column[t->vector_column].name, schema, table);
    while (sql_next(t->db, rows, &status, err)) { status = add_query(sample, t, table, rows, err); }
    sqlite3_finalize(rows);
    sqlite3_free(schema);
    sqlite3_free(table);
    return status == ST_OK ? sample_answers(sample, sample->n, err) : status;
}

/* Rows of the index that count, spread evenly over the base. */
static Status sample_from_rows(
    RecallSample *sample, const IndexTable *table, int64_t wanted, Err *err) {
    const IndexBase *base = table->loaded;
    int64_t live = table->overlay.n_live, seen = 0;
    size_t n = (size_t)(wanted < live ? wanted : live);
    sample->id = mem_array(n, sizeof *sample->id);
    sample->vector = mem_array(n, (size_t)table->dim * sizeof *sample->vector);
    if (!sample->id || !sample->vector) return fail_nomem(err, "the sample");
    TRY(sample_answers(sample, (int64_t)n, err));
    for (int64_t at = 0; at < base->vectors.n && sample->n < (int64_t)n; at++) {
        if (!ann_allows(table->overlay.live, at)) continue;
        if (seen++ < (int64_t)((double)sample->n * (double)live / (double)n)) continue;
        sample->id[sample->n] = base->id[at];
        ann_decode(table->storage, ann_stored(&base->vectors, at), table->dim,
            sample->vector + sample->n++ * table->dim);
    }
    return ST_OK;
}

/* Equal vectors are one place to a search: which of them comes back is decided by their numbers
 * alone. */
static Status note_equal_rows(RecallSample *sample, const IndexTable *table, Err *err) {
    RowGroups groups;
    TRY(row_groups_find(&groups, &table->loaded->vectors, NULL, NULL, err));
    if (groups.n)
        text_format(sample->note, sizeof sample->note,
            "%lld of %lld rows have a vector that another has, too (%lld such vectors)",
            (long long)groups.start[groups.n], (long long)table->loaded->vectors.n,
            (long long)groups.n);
    row_groups_clear(&groups);
    return ST_OK;
}

/* The k nearest of a query, a sample row itself left out; best first. */
static Status ask(IndexTable *table, RecallSample *sample, int64_t i, const IndexRequest *options,
    TopK *out, Err *err) {
    IndexRequest request = *options;
    request.query = sample->vector + i * table->dim;
    request.k = (size_t)sample->k + (sample->id != NULL);
    request.min_score = -INFINITY;
    double start = task_clock();
    TRY(index_search(table, &request, out, err));
    sample->seconds[i] = task_clock() - start;
    size_t kept = 0;
    for (size_t j = 0; j < out->len; j++)
        if (!sample->id || out->item[j].id != sample->id[i]) out->item[kept++] = out->item[j];
    out->len = kept < (size_t)sample->k ? kept : (size_t)sample->k;
    return ST_OK;
}

/* How many of the found rows are as near as the n nearest: of rows at one distance any will do. */
static int64_t count_hits(const TopK *found, const Scored *nearest, int64_t n) {
    int64_t hits = 0;
    for (size_t f = 0; f < found->len && n > 0; f++)
        hits += found->item[f].score >= nearest[n - 1].score;
    return hits < n ? hits : n;
}

/* Ask for every query; the first time keeps the answers as the true ones, later times count how
 * many come that are as good. */
static Status ask_all(IndexTable *table, RecallSample *sample, const IndexRequest *options,
    int keep, int64_t *hits, InterruptPoll *poll, Err *err) {
    Status status = ST_OK;
    *hits = 0;
    for (int64_t i = 0; i < sample->n && status == ST_OK; i++) {
        TopK found = {0};
        Scored *nearest = sample->nearest + i * sample->k;
        status = interrupt_poll(poll) ? fail(err, ST_CANCELLED, "interrupted")
                                      : ask(table, sample, i, options, &found, err);
        if (status == ST_OK && keep) {
            memcpy(nearest, found.item, found.len * sizeof *nearest);
            sample->n_nearest[i] = (int64_t)found.len;
        }
        if (status == ST_OK && !keep) *hits += count_hits(&found, nearest, sample->n_nearest[i]);
        topk_clear(&found);
    }
    return status;
}

/* By an exact engine over the same base and overlay. */
static Status ask_exactly(IndexTable *table, RecallSample *sample, InterruptPoll *poll, Err *err) {
    int64_t hits;
    IndexBase twin = *table->loaded, *real = table->loaded;
    IndexRequest options = {0};
    TRY(index_build_base(table, &twin, "exact", err));
    table->loaded = &twin;
    Status status = ask_all(table, sample, &options, 1, &hits, poll, err);
    table->loaded = real;
    twin.index.engine->free(&twin.index);
    return status;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The q-th part of the times, in milliseconds. */
static double quantile(RecallSample *sample, double q) {
    qsort(sample->seconds, (size_t)sample->n, sizeof *sample->seconds, ascending);
    int64_t at = (int64_t)ceil(q * (double)sample->n) - 1;
    return sample->seconds[at < 0 ? 0 : at] * 1e3;
}

static void number_or_null(RowSink *sink, int64_t n, double value) {
    if (n) row_real(sink, value);
    else row_null(sink);
}

static Status one_setting(IndexTable *table, RecallSample *sample, const char *text,
    double exact_ms, InterruptPoll *poll, RowSink *sink, Err *err) {
    IndexRequest request = {.k = 0};
    int64_t hits, all = 0;
    TRY(index_take_options(table, text, &request, err));
    TRY(ask_all(table, sample, &request, 0, &hits, poll, err));
    for (int64_t i = 0; i < sample->n; i++) all += sample->n_nearest[i];
    row_text(sink, text);
    number_or_null(sink, all, (double)hits / (double)all);
    number_or_null(sink, sample->n, sample->n ? quantile(sample, 0.5) : 0);
    number_or_null(sink, sample->n, sample->n ? quantile(sample, 0.99) : 0);
    number_or_null(sink, sample->n, exact_ms);
    row_integer(sink, sample->n);
    row_text(sink, *sample->note ? sample->note : NULL);
    return ST_OK;
}

/* Settings of `options`: the object with each element of its one array in that array's place. */
static Status each_setting(IndexTable *table, RecallSample *sample, json_t *options,
    double exact_ms, InterruptPoll *poll, RowSink *sink, Err *err) {
    const char *key, *varied = NULL;
    json_t *value, *list = NULL;
    json_object_foreach(options, key, value) {
        if (!json_is_array(value)) continue;
        if (list)
            return fail(err, ST_BADARG, "options: two lists, %.40s and %.40s (one)", varied, key);
        list = value;
        varied = key;
    }
    size_t n = list ? json_array_size(list) : 1;
    if (n == 0) return fail(err, ST_BADARG, "options: %.40s is an empty list", varied);
    Status status = ST_OK;
    for (size_t i = 0; i < n && status == ST_OK; i++) {
        json_t *setting = json_copy(options);
        if (setting && list) json_object_set(setting, varied, json_array_get(list, i));
        char *text = setting ? json_dumps(setting, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
        status = text ? one_setting(table, sample, text, exact_ms, poll, sink, err)
                      : fail_nomem(err, "the options");
        free(text); /* jansson's own */
        json_decref(setting);
    }
    return status;
}

/* Without options: a ladder of what the engine can vary. */
static const char *ladder(const IndexTable *table) {
    if (table->loaded->index.engine == &ann_graph_engine) return "{\"ef\":[16,32,64,128,256,512]}";
    if (table->loaded->index.engine == &ann_faiss_engine && strstr(table->loaded->factory, "IVF"))
        return "{\"nprobe\":[1,2,4,8,16,32,64,128]}";
    return "{}";
}

/* What rec_recall_at was given. */
typedef struct RecallCall {
    int64_t rows;       /* of the index that are asked for, or */
    const char *table;  /* a table of queries */
    const char *column; /* and its column; NULL: of the index's name */
    int64_t k;
    const char *options; /* or NULL */
} RecallCall;

static Status measure(IndexTable *table, const RecallCall *call, RowSink *sink, Err *err) {
    int64_t k = call->k;
    const char *text = call->options;
    json_error_t json_error;
    InterruptPoll poll;
    TRY(index_view_sync(table, err));
    if (k > index_view_count(table)) k = index_view_count(table);
    json_t *options = json_loads(text ? text : ladder(table), JSON_REJECT_DUPLICATES, &json_error);
    if (json_lacks_memory(options, &json_error)) return fail_nomem(err, "the options");
    if (!json_is_object(options)) {
        json_decref(options);
        return fail(err, ST_BADARG, "options: a JSON object such as {\"ef\": [16,64]}");
    }
    RecallSample sample = {.k = k};
    Status status = interrupt_poll_init(&poll, table->db, err);
    if (status == ST_OK) {
        status = call->table ? sample_from_table(&sample, table, call->table, call->column, err)
                             : sample_from_rows(&sample, table, call->rows, err);
        if (status == ST_OK) status = note_equal_rows(&sample, table, err);
        if (status == ST_OK) status = ask_exactly(table, &sample, &poll, err);
        if (status == ST_OK)
            status = each_setting(
                table, &sample, options, sample.n ? quantile(&sample, 0.5) : 0, &poll, sink, err);
        interrupt_poll_clear(&poll);
    }
    sample_clear(&sample);
    json_decref(options);
    return status;
}

static Status recall_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    IndexTable *table;
    RecallCall call = {.rows = 1, .options = value_text(argv[3]), .column = value_text(argv[4])};
    if (sqlite3_value_type(argv[1]) == SQLITE_TEXT) call.table = value_text(argv[1]);
    else TRY(value_whole("sample", argv[1], &call.rows, err));
    TRY(value_whole("k", argv[2], &call.k, err));
    if (call.rows < 1 || call.rows > 1000000)
        return fail(err, ST_BADARG,
            "sample=%lld (1..1000000 rows of the index, or the name of a table of queries)",
            (long long)call.rows);
    if (call.k < 1 || call.k > 1000000)
        return fail(err, ST_BADARG, "k=%lld (1..1000000)", (long long)call.k);
    TRY(index_open(&table, db, value_text(argv[0]), err));
    Status status = measure(table, &call, sink, err);
    index_close(table);
    return status;
}

int register_recall(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_recall_at",
        .columns = "options TEXT, recall REAL, p50_ms REAL, p99_ms REAL, exact_p50_ms REAL, "
                   "queries INTEGER, note TEXT",
        .n_columns = 7,
        .arguments = ", index_name HIDDEN, sample HIDDEN, k HIDDEN, with_options HIDDEN, "
                     "vector_column HIDDEN",
        .n_arguments = 5,
        .n_required = 3,
        .flags = SQLITE_VTAB_DIRECTONLY,
        .fill = recall_fill,
    };
    return row_table_register(db, &table);
}
