/* The command integrity-check of a rec_index. */
#include <string.h>

#include "../host/cache.h"
#include "index.h"

/* Are the loaded metadata of a row those of the statement's row? */
static int same_meta(const IndexTable *table, sqlite3_stmt *statement, int32_t slot, int64_t at) {
    for (int i = 0; i < table->n_meta; i++) {
        static const Cell null = {.kind = CELL_NULL};
        const FilterColumn *column = &table->loaded->meta[i];
        Cell now = index_cell(sqlite3_column_value(statement, ROW_META + i));
        uint32_t rank = slot < 0 ? column->rank[at] : 0;
        const Cell *held = slot >= 0
            ? &table->overlay.cell[(size_t)slot * (size_t)table->n_meta + (size_t)i]
            : rank ? &column->value[rank - 1]
                   : &null;
        if (cell_compare(held, &now) != 0) return 0;
    }
    return 1;
}

/* Every row of the table against the loaded copy. What the copy has beside them is an error in a
 * table of ours; of content= it went without a word, and searches leave it out. */
static Status compare_rows(IndexTable *table, Err *err) {
    sqlite3_stmt *statement;
    int is_null;
    int64_t rows = 0, n = 0;
    size_t bytes = ann_row_bytes(table->storage, table->dim);
    char *stored = sqlite3_malloc64(bytes);
    if (!stored) return fail_nomem(err, "a vector");
    Status status = index_select_rows(table, &statement, "ORDER BY v.id", err);
    while (sql_next(table->db, statement, &status, err)) {
        status = index_take_vector(table, statement, ROW_VECTOR, stored, &is_null, err);
        if (status != ST_OK || is_null) continue;
        rows++;
        sqlite3_int64 id = sqlite3_column_int64(statement, ROW_ID);
        int32_t slot = keymap_find(table->overlay.slot, (Key){.integer = id});
        int64_t at = index_base_position(table->loaded, id);
        if (slot >= 0 && table->overlay.kind[slot] == SLOT_ROW) continue; /* read a moment ago */
        if (at < 0 || !same_meta(table, statement, slot, at) ||
            !ann_allows(table->overlay.live, at) ||
            memcmp(ann_stored(&table->loaded->vectors, at), stored, bytes) != 0)
            n++;
    }
    sqlite3_finalize(statement);
    sqlite3_free(stored);
    if (status == ST_OK && n)
        status = fail(err, ST_CORRUPT,
            "integrity-check: %lld of %lld rows of %s are not in the index as they are (rebuild "
            "mends it)",
            (long long)n, (long long)rows, table->content ? table->content : table->name);
    if (status == ST_OK && !table->content && rows != index_view_count(table))
        status = fail(err, ST_CORRUPT,
            "integrity-check: the index has %lld rows, its table %lld (rebuild mends it)",
            (long long)index_view_count(table), (long long)rows);
    return status;
}

/* Are the rows of the loaded copy those of the table, one by one? And of content= are its triggers
 * there? */
static Status check_copy(IndexTable *table, Err *err) {
    sqlite3_int64 n;
    if (!table->content) return compare_rows(table, err);
    TRY(sql_integer(table->db, 0, &n, err,
        "SELECT count(*) FROM \"%w\".sqlite_schema WHERE type='trigger' AND "
        "lower(tbl_name)=lower(%Q) AND lower(name) IN (lower('%q_content_insert'), "
        "lower('%q_content_update'), lower('%q_content_delete'))",
        table->schema, table->content, table->name, table->name, table->name));
    if (n != 3)
        return fail(err, ST_CORRUPT,
            "integrity-check: %d of the 3 triggers on %s are missing (rebuild mends it)",
            3 - (int)n, table->content);
    return compare_rows(table, err);
}

/* Our own rows: every vector has its length, every row its metadata. */
static Status check_rows(IndexTable *table, Err *err) {
    sqlite3_int64 bad, first;
    int bytes = (int)ann_row_bytes(table->storage, table->dim);
    TRY(sql_integer(table->db, 0, &bad, err,
        "SELECT count(*) FROM \"%w\".\"%w_vectors\" WHERE typeof(vector)<>'blob' OR "
        "length(vector)<>%d",
        table->schema, table->name, bytes));
    TRY(sql_integer(table->db, 0, &first, err,
        "SELECT min(id) FROM \"%w\".\"%w_vectors\" WHERE typeof(vector)<>'blob' OR "
        "length(vector)<>%d",
        table->schema, table->name, bytes));
    if (bad)
        return fail(err, ST_CORRUPT, "integrity-check: vector %lld has not %d elements",
            (long long)first, table->dim);
    if (!table->n_meta) return ST_OK;
    TRY(sql_integer(table->db, 0, &bad, err,
        "SELECT (SELECT count(*) FROM \"%w\".\"%w_vectors\" v LEFT JOIN \"%w\".\"%w_meta\" m "
        "USING(id) WHERE m.id IS NULL) + (SELECT count(*) FROM \"%w\".\"%w_meta\" m LEFT JOIN "
        "\"%w\".\"%w_vectors\" v USING(id) WHERE v.id IS NULL)",
        table->schema, table->name, table->schema, table->name, table->schema, table->name,
        table->schema, table->name));
    return bad
        ? fail(err, ST_CORRUPT, "integrity-check: %lld rows have a vector or metadata, not both",
              (long long)bad)
        : ST_OK;
}

/* The rows are sound, the stored structure can be read, and the loaded copy answers as the rows
 * do. */
Status index_check(IndexTable *table, Err *err) {
    Bytes segment = {0};
    if (!table->content) TRY(check_rows(table, err));
    Status status = index_segment_read(table, &segment, err);
    bytes_clear(&segment);
    if (status != ST_OK) return status;
    TRY(index_view_sync(table, err));
    TRY(check_copy(table, err)); /* the copy that answered so far, then what is stored */
    index_view_clear(table);
    cache_drop_unused(NULL);
    TRY(index_view_sync(table, err));
    return check_copy(table, err);
}
