/* rec_indexes: what indexes the connection's databases hold. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/schema.h"
#include "index.h"

/* What the present rows would take in memory, searched by what `optimize` would build. */
static int64_t predicted(const IndexTable *table, int64_t rows) {
    const char *factory = ann_resolve(table->factory, rows, table->dim);
    size_t bytes = ann_vectors_memory(table->storage, rows, table->dim) +
        (size_t)rows * (sizeof(int64_t) + (size_t)table->n_meta * sizeof(uint32_t));
    return (int64_t)(bytes + ann_engine_for(factory)->predict(factory, rows, table->dim));
}

static Status visit(IndexTable *table, RowSink *sink, Err *err) {
    static const char *const metrics[] = {"ip", "l2", "cosine"},
                             *const storages[] = {"f32", "f16", "sq8"};
    sqlite3_int64 rows, changed;
    int64_t built = 0;
    int found;
    char engine[FACTORY_LENGTH] = "exact";
    TRY(index_count_rows(table, &rows, err));
    TRY(index_segment_summary(table, engine, &built, &found, err));
    TRY(sql_integer(table->db, 0, &changed, err,
        "SELECT count(DISTINCT id) FROM \"%w\".\"%w\" WHERE NOT coalesce(meta, 0) AND seq>(SELECT "
        "value FROM \"%w\".\"%w_config\" WHERE key='segment_seq')",
        table->schema, table->log, table->schema, table->name));
    row_text(sink, table->name);
    row_text(sink, table->schema);
    row_integer(sink, rows);
    row_integer(sink, table->dim);
    row_text(sink, metrics[table->metric]);
    row_text(sink, storages[table->storage]);
    row_text(sink, table->factory);
    row_text(sink, found ? engine : "exact");
    row_text(sink, ann_resolve(table->factory, rows, table->dim));
    row_integer(sink, found ? built : 0);
    row_integer(sink, found ? changed : 0);
    row_integer(sink, predicted(table, rows));
    row_integer(sink, (sqlite3_int64)index_view_cached(table, err));
    row_text(sink, table->content);
    return ST_OK;
}

/* One that cannot be read shows its error as its engine, and does not hide the others. */
static void damaged(RowSink *sink, const char *schema, const char *name, const Err *err) {
    row_text(sink, name);
    row_text(sink, schema);
    for (int i = 0; i < 5; i++) row_null(sink);
    row_text(sink, err->text);
    for (int i = 0; i < 6; i++) row_null(sink);
}

typedef struct IndexListing {
    sqlite3 *db;
    RowSink *sink;
} IndexListing;

static Status visit_named(void *context, const char *schema, const char *name, Err *err) {
    const IndexListing *listing = context;
    IndexTable *table = NULL;
    char *full = sqlite3_mprintf("%s.%s", schema, name);
    if (!full) return fail_nomem(err, "a name");
    Status status = index_open(&table, listing->db, full, err);
    sqlite3_free(full);
    if (status == ST_OK) status = visit(table, listing->sink, err);
    if (table) index_close(table);
    if (status == ST_OK || status == ST_NOMEM || status == ST_CANCELLED) return status;
    damaged(listing->sink, schema, name, err);
    return ST_OK;
}

static Status indexes_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    IndexListing listing = {db, sink};
    (void)argv;
    return schema_each_table(db, "rec_index", "_segment", visit_named, &listing, err);
}

int register_index_tables(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_indexes",
            .columns = "name TEXT, schema TEXT, rows INTEGER, dimensions INTEGER, metric TEXT, "
                       "storage TEXT, factory TEXT, engine TEXT, picks TEXT, built_rows INTEGER, "
                       "changed_rows INTEGER, memory_bytes INTEGER, loaded INTEGER, content TEXT",
            .n_columns = 14,
            .arguments = "",
            .flags = SQLITE_VTAB_DIRECTONLY,
            .fill = indexes_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
