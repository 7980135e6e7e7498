/* rec_search(index, table, id_column, vector_column, k [, options]): the k nearest rows of an index for every row of a
 * table of queries. Yields (id, rank, rowid, score, distance). Rows with a NULL vector are left out. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/options.h"
#include "index_table.h"
#include "modules.h"
#include "row_table.h"

static Status search_one(IndexTable *t, sqlite3_stmt *queries, int64_t k, const SearchOptions *options, RowSink *sink, Err *err) {
    const float *vector;
    float *owned;
    int dim;
    TopK found = {0};
    if (sqlite3_column_type(queries, 1) == SQLITE_NULL) return ST_OK;
    TRY(glue_vector(sqlite3_column_value(queries, 1), &vector, &dim, &owned, err));
    IndexRequest request = {.query = vector, .k = (size_t)k, .min_score = -INFINITY, .ef = options->ef, .nprobe = options->nprobe};
    Status status = dim == t->dim ? ST_OK : fail(err, ST_BADARG, "a query of %d elements, the column is float[%d]", dim, t->dim);
    if (status == ST_OK) status = index_view_search(t, &request, &found, err);
    for (size_t i = 0; status == ST_OK && i < found.len; i++) {
        row_column(sink, queries, 0);
        row_integer(sink, (sqlite3_int64)i + 1);
        row_integer(sink, found.item[i].id);
        row_real(sink, index_shown_score(t->metric, found.item[i].score));
        row_real(sink, index_distance(t->metric, found.item[i].score));
    }
    topk_clear(&found);
    mem_free(owned);
    return status;
}

static Status search_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    IndexTable *t;
    SearchOptions options = {0};
    OptTarget target = {index_search_options, &options};
    sqlite3_stmt *queries = NULL;
    char *schema = NULL, *table = NULL;
    int has_row = 1;
    sqlite3_int64 k = sqlite3_value_int64(argv[4]);

    if (sqlite3_value_numeric_type(argv[4]) != SQLITE_INTEGER || k < 0)
        return fail(err, ST_BADARG, "k=%.40s (a whole number, 0 or more)", (const char *)sqlite3_value_text(argv[4]));
    if (argv[5] && sqlite3_value_type(argv[5]) != SQLITE_NULL)
        TRY(options_set_json(&target, 1, (const char *)sqlite3_value_text(argv[5]), err));
    TRY(index_open(&t, db, (const char *)sqlite3_value_text(argv[0]), err));
    Status status = index_view_sync(t, err);
    if (status == ST_OK && k > index_view_count(t)) k = index_view_count(t);
    if (status == ST_OK) status = glue_find_table(db, "table", (const char *)sqlite3_value_text(argv[1]), "", &schema, &table, err);
    if (status == ST_OK)
        status = glue_prepare(db, &queries, err, "SELECT q.\"%w\", q.\"%w\" FROM \"%w\".\"%w\" q", sqlite3_value_text(argv[2]),
                              sqlite3_value_text(argv[3]), schema, table);
    while (status == ST_OK) {
        status = glue_step(db, queries, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = search_one(t, queries, k, &options, sink, err);
    }
    sqlite3_finalize(queries);
    sqlite3_free(schema);
    sqlite3_free(table);
    index_close(t);
    return status;
}

int register_search(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_search",
        .columns = "id, rank INTEGER, rowid INTEGER, score REAL, distance REAL",
        .n_columns = 5,
        .arguments = ", index_name HIDDEN, table_name HIDDEN, id_column HIDDEN, vector_column HIDDEN, k HIDDEN, options HIDDEN",
        .n_arguments = 6,
        .n_required = 5,
        .fill = search_fill,
    };
    return row_table_register(db, &table);
}
