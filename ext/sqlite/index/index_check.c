/* The command integrity-check of a rec_index. */
#include <string.h>

#include "../host/cache.h"
#include "index.h"

/* Are the loaded metadata of a row those of the statement's row? */
static int same_meta(const IndexTable *t, sqlite3_stmt *statement, int32_t slot, int64_t at) {
    for (int i = 0; i < t->n_meta; i++) {
        static const Cell null = {.kind = CELL_NULL};
        const FilterColumn *column = &t->loaded->meta[i];
        Cell now = index_cell(sqlite3_column_value(statement, ROW_META + i));
        uint32_t rank = slot < 0 ? column->rank[at] : 0;
        const Cell *held = slot >= 0
            ? &t->overlay.cell[(size_t)slot * (size_t)t->n_meta + (size_t)i]
            : rank ? &column->value[rank - 1]
                   : &null;
        if (cell_compare(held, &now) != 0) return 0;
    }
    return 1;
}

/* Every row of the table against the loaded copy. What the copy has beside them is an error in a
 * table of ours; of content= it went without a word, and searches leave it out. */
static Status compare_rows(IndexTable *t, Err *err) {
    sqlite3_stmt *statement;
    int has_row = 1, is_null;
    int64_t rows = 0, n = 0;
    size_t bytes = ann_row_bytes(t->storage, t->dim);
    char *stored = sqlite3_malloc64(bytes);
    if (!stored) return fail_nomem(err, "a vector");
    Status status = index_select_rows(t, &statement, "ORDER BY v.id", err);
    while (status == ST_OK) {
        status = glue_step(t->db, statement, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = index_take_vector(t, statement, ROW_VECTOR, stored, &is_null, err);
        if (status != ST_OK || is_null) continue;
        rows++;
        sqlite3_int64 id = sqlite3_column_int64(statement, ROW_ID);
        int32_t slot = keymap_find(t->overlay.slot, (Key){.integer = id});
        int64_t at = index_base_position(t->loaded, id);
        if (slot >= 0 && t->overlay.kind[slot] == SLOT_ROW) continue; /* read a moment ago */
        if (at < 0 || !same_meta(t, statement, slot, at) || !ann_allows(t->overlay.live, at) ||
            memcmp(ann_stored(&t->loaded->vectors, at), stored, bytes) != 0)
            n++;
    }
    sqlite3_finalize(statement);
    sqlite3_free(stored);
    if (status == ST_OK && n)
        status = fail(err, ST_CORRUPT,
            "integrity-check: %lld of %lld rows of %s are not in the index as they are (rebuild "
            "mends it)",
            (long long)n, (long long)rows, t->content ? t->content : t->name);
    if (status == ST_OK && !t->content && rows != index_view_count(t))
        status = fail(err, ST_CORRUPT,
            "integrity-check: the index has %lld rows, its table %lld (rebuild mends it)",
            (long long)index_view_count(t), (long long)rows);
    return status;
}

/* Are the rows of the loaded copy those of the table, one by one? And of content= are its triggers
 * there? */
static Status check_copy(IndexTable *t, Err *err) {
    sqlite3_int64 n;
    if (!t->content) return compare_rows(t, err);
    TRY(glue_integer(t->db, 0, &n, err,
        "SELECT count(*) FROM \"%w\".sqlite_schema WHERE type='trigger' AND "
        "lower(tbl_name)=lower(%Q) AND lower(name) IN (lower('%q_content_insert'), "
        "lower('%q_content_update'), lower('%q_content_delete'))",
        t->schema, t->content, t->name, t->name, t->name));
    if (n != 3)
        return fail(err, ST_CORRUPT,
            "integrity-check: %d of the 3 triggers on %s are missing (rebuild mends it)",
            3 - (int)n, t->content);
    return compare_rows(t, err);
}

/* Our own rows: every vector has its length, every row its metadata. */
static Status check_rows(IndexTable *t, Err *err) {
    sqlite3_int64 bad, first;
    int bytes = (int)ann_row_bytes(t->storage, t->dim);
    TRY(glue_integer(t->db, 0, &bad, err,
        "SELECT count(*) FROM \"%w\".\"%w_vectors\" WHERE typeof(vector)<>'blob' OR "
        "length(vector)<>%d",
        t->schema, t->name, bytes));
    TRY(glue_integer(t->db, 0, &first, err,
        "SELECT min(id) FROM \"%w\".\"%w_vectors\" WHERE typeof(vector)<>'blob' OR "
        "length(vector)<>%d",
        t->schema, t->name, bytes));
    if (bad)
        return fail(err, ST_CORRUPT, "integrity-check: vector %lld has not %d elements",
            (long long)first, t->dim);
    if (!t->n_meta) return ST_OK;
    TRY(glue_integer(t->db, 0, &bad, err,
        "SELECT (SELECT count(*) FROM \"%w\".\"%w_vectors\" v LEFT JOIN \"%w\".\"%w_meta\" m "
        "USING(id) WHERE m.id IS NULL) + (SELECT count(*) FROM \"%w\".\"%w_meta\" m LEFT JOIN "
        "\"%w\".\"%w_vectors\" v USING(id) WHERE v.id IS NULL)",
        t->schema, t->name, t->schema, t->name, t->schema, t->name, t->schema, t->name));
    return bad
        ? fail(err, ST_CORRUPT, "integrity-check: %lld rows have a vector or metadata, not both",
              (long long)bad)
        : ST_OK;
}

/* The rows are sound, the stored structure can be read, and the loaded copy answers as the rows
 * do. */
Status index_check(IndexTable *t, Err *err) {
    Bytes segment = {0};
    if (!t->content) TRY(check_rows(t, err));
    Status status = index_segment_read(t, &segment, err);
    bytes_clear(&segment);
    if (status != ST_OK) return status;
    TRY(index_view_sync(t, err));
    TRY(check_copy(t, err)); /* the copy that answered so far, then what is stored */
    index_view_clear(t);
    cache_drop_unused(NULL);
    TRY(index_view_sync(t, err));
    return check_copy(t, err);
}
