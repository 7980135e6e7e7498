/* rec_search(index, table, id_column, vector_column, k [, options]): the k nearest rows of an index
 * for every row of a table of queries, in batches on all cores. Yields (id, rank, rowid, score,
 * distance). Rows with a NULL vector are left out. */
#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../host/interrupt.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/schema.h"
#include "../host/values.h"
#include "index.h"

/* Queries of a batch; QUERY_BYTES bounds them where vectors are long. */
enum { CPU_BATCH = 1024, GPU_BATCH = 8192, LEAST_BATCH = 16, QUERY_BYTES = 1 << 26 };

typedef struct Queries {
    int64_t n, capacity;
    float *vector;      /* capacity x dim */
    sqlite3_value **id; /* capacity */
    TopK *found;        /* capacity */
} Queries;

static Status queries_alloc(
    Queries *queries, const IndexTable *table, const IndexRequest *request, Err *err) {
    size_t bytes = (size_t)table->dim * sizeof *queries->vector, most = QUERY_BYTES / bytes,
           n = request->device.kind == DEVICE_CPU ? CPU_BATCH : GPU_BATCH;
    if (n > most) n = most > LEAST_BATCH ? most : LEAST_BATCH;
    queries->capacity = (int64_t)n;
    queries->vector = mem_array(n, bytes);
    queries->id = mem_zeros(n, sizeof(sqlite3_value *));
    queries->found = mem_zeros(n, sizeof *queries->found);
    return queries->vector && queries->id && queries->found ? ST_OK
                                                            : fail_nomem(err, "the queries");
}

static void queries_empty(Queries *queries) {
    for (int64_t i = 0; i < queries->n; i++) {
        sqlite3_value_free(queries->id[i]);
        topk_clear(&queries->found[i]);
        queries->found[i] = (TopK){0};
    }
    queries->n = 0;
}

static void queries_clear(Queries *queries) {
    if (queries->id && queries->found) queries_empty(queries);
    mem_free(queries->vector);
    mem_free(queries->id);
    mem_free(queries->found);
}

/* Append the statement's row, unless its vector is NULL. */
static Status queries_add(Queries *queries, const IndexTable *table, sqlite3_stmt *row, Err *err) {
    const float *vector;
    float *owned;
    int dim;
    if (sqlite3_column_type(row, 1) == SQLITE_NULL) return ST_OK;
    Status status = value_vector(sqlite3_column_value(row, 1), &vector, &dim, &owned, err);
    if (status == ST_OK && dim != table->dim)
        status = fail(err, ST_BADARG, "%d elements, the column is float[%d]", dim, table->dim);
    if (status == ST_BADARG)
        err_prefix(err, "the query with the id %.60s",
            sqlite3_column_type(row, 0) == SQLITE_NULL ? "NULL"
                                                       : (const char *)sqlite3_column_text(row, 0));
    if (status == ST_OK &&
        !(queries->id[queries->n] = sqlite3_value_dup(sqlite3_column_value(row, 0))))
        status = fail_nomem(err, "a query");
    if (status == ST_OK)
        memcpy(queries->vector + (size_t)queries->n++ * (size_t)dim, vector,
            (size_t)dim * sizeof *vector);
    mem_free(owned);
    return status;
}

/* The key of a found row: its text key, else its rowid. */
static Status found_key(IndexTable *table, sqlite3_int64 id, RowSink *sink, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    if (table->key_column < 0) {
        row_integer(sink, id);
        return ST_OK;
    }
    TRY(index_statement(table, GET_ROW, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    Status status = sql_step(table->db, statement, &has_row, err);
    if (status == ST_OK && has_row)
        row_column(sink, statement, ROW_META + table->column[table->key_column].shadow);
    else row_null(sink);
    sqlite3_reset(statement);
    return status;
}

/* Read queries until the batch is full. */
static Status queries_read(
    Queries *queries, const IndexTable *table, sqlite3_stmt *rows, int *has_row, Err *err) {
    while (*has_row && queries->n < queries->capacity) {
        TRY(sql_step(table->db, rows, has_row, err));
        if (*has_row) TRY(queries_add(queries, table, rows, err));
    }
    return ST_OK;
}

/* Hand the answers over, and empty the batch. */
static Status hand_over(Queries *queries, IndexTable *table, RowSink *sink, Err *err) {
    Status status = ST_OK;
    for (int64_t i = 0; i < queries->n && status == ST_OK; i++)
        for (size_t j = 0; j < queries->found[i].len && status == ST_OK; j++) {
            row_value(sink, queries->id[i]);
            row_integer(sink, (sqlite3_int64)j + 1);
            status = found_key(table, queries->found[i].item[j].id, sink, err);
            row_real(sink, index_shown_score(table->metric, queries->found[i].item[j].score));
            row_real(sink, index_distance(table->metric, queries->found[i].item[j].score));
        }
    queries_empty(queries);
    return status;
}

/* While one batch is searched, the answers of the one before it are handed over, and the next is
 * read. */
static Status answer_in_turn(Queries queries[2], IndexTable *table, sqlite3_stmt *rows,
    const IndexRequest *request, Task *task, RowSink *sink, Err *err) {
    Queries *now = &queries[0], *other = &queries[1];
    int has_row = 1;
    TRY(queries_read(now, table, rows, &has_row, err));
    while (now->n) {
        IndexBatch *batch;
        Err of_search = {0};
        Status status = index_batch_begin(&batch, table, request, now->vector, now->n, now->found,
            has_row || other->n, task, err);
        if (status == ST_OK) status = hand_over(other, table, sink, err);
        if (status == ST_OK) status = queries_read(other, table, rows, &has_row, err);
        Status searched = index_batch_end(batch, &of_search);
        if (status == ST_OK && searched != ST_OK) *err = of_search;
        TRY(status == ST_OK ? searched : status);
        if (other->n == 0) return hand_over(now, table, sink, err);
        Queries *next = other;
        other = now;
        now = next;
    }
    return ST_OK;
}

static Status answer_all(
    IndexTable *table, sqlite3_stmt *rows, const IndexRequest *request, RowSink *sink, Err *err) {
    InterruptPoll poll;
    Task task = {.poll = interrupt_poll, .host = &poll, .threads = task_default_threads()};
    Queries queries[2] = {{0}};
    TRY(interrupt_poll_init(&poll, table->db, err));
    Status status = ST_OK;
    for (int i = 0; i < 2 && status == ST_OK; i++)
        status = queries_alloc(&queries[i], table, request, err);
    if (status == ST_OK) status = answer_in_turn(queries, table, rows, request, &task, sink, err);
    for (int i = 0; i < 2; i++) queries_clear(&queries[i]);
    interrupt_poll_clear(&poll);
    return status;
}

static Status search_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    IndexTable *t;
    IndexRequest request = {.k = 0};
    sqlite3_stmt *rows = NULL;
    char *schema = NULL, *table = NULL;
    sqlite3_int64 k = sqlite3_value_int64(argv[4]);

    if (sqlite3_value_numeric_type(argv[4]) != SQLITE_INTEGER || k < 0)
        return fail(err, ST_BADARG, "k=%.40s (a whole number, 0 or more)", value_text(argv[4]));
    TRY(index_open(&t, db, value_text(argv[0]), err));
    Status status = index_take_options(t, value_text(argv[5]), &request, err);
    if (status == ST_OK) status = index_view_sync(t, err);
    if (status == ST_OK && k > index_view_count(t)) k = index_view_count(t);
    if (status == ST_OK)
        status = schema_find_table(db, "table", value_text(argv[1]), "", &schema, &table, err);
    if (status == ST_OK)
        status = sql_prepare(db, &rows, err, "SELECT q.\"%w\", q.\"%w\" FROM \"%w\".\"%w\" q",
            sqlite3_value_text(argv[2]), sqlite3_value_text(argv[3]), schema, table);
    request.k = (size_t)k;
    request.min_score = -INFINITY;
    if (status == ST_OK) status = answer_all(t, rows, &request, sink, err);
    sqlite3_finalize(rows);
    sqlite3_free(schema);
    sqlite3_free(table);
    index_close(t);
    return status;
}

int register_search(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_search",
        .columns = "id, rank INTEGER, rowid, score REAL, distance REAL",
        .n_columns = 5,
        .arguments = ", index_name HIDDEN, table_name HIDDEN, id_column HIDDEN, vector_column "
                     "HIDDEN, k HIDDEN, options HIDDEN",
        .n_arguments = 6,
        .n_required = 5,
        .fill = search_fill,
    };
    return row_table_register(db, &table);
}
