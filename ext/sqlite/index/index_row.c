/* Rows of a rec_index as arrays: vectors in the form of storage=, metadata as cells. */
#include <string.h>

#include "../../base/memory.h"
#include "../../math/kernels.h"
#include "../host/guard.h"
#include "../host/values.h"
#include "index.h"

/* Our own rows hold the stored form. */
static Status take_stored(
    const IndexTable *table, sqlite3_stmt *statement, int column, void *out, Err *err) {
    size_t bytes = ann_row_bytes(table->storage, table->dim);
    long long id = sqlite3_column_int64(statement, ROW_ID);
    if (sqlite3_column_type(statement, column) != SQLITE_BLOB ||
        (size_t)sqlite3_column_bytes(statement, column) != bytes)
        return fail(err, ST_CORRUPT, "the stored vector %lld has not %d elements", id, table->dim);
    memcpy(out, sqlite3_column_blob(statement, column), bytes);
    int finite = 1;
    if (table->storage == ANN_F32) {
        finite = vector_first_bad(out, (size_t)table->dim) < 0;
    } else if (table->storage == ANN_SQ8) {
        finite = vector_first_bad(out, 1) < 0;
    } else {
        const uint16_t *half = out;
        for (int i = 0; i < table->dim; i++) finite &= (half[i] & 0x7c00) != 0x7c00;
    }
    return finite ? ST_OK
                  : fail(err, ST_CORRUPT, "the stored vector %lld holds NaN or infinity", id);
}

/* The user's rows hold what any program may have written. */
static Status take_written(
    const IndexTable *table, sqlite3_stmt *statement, int column, void *out, Err *err) {
    const float *vector;
    float *owned;
    int dim;
    Err inner = {0};
    long long id = sqlite3_column_int64(statement, ROW_ID);
    Status status = value_vector(
        sqlite3_column_value(statement, column), &vector, &dim, &owned, &inner);
    if (status == ST_NOMEM) return fail_nomem(err, "a vector");
    if (status != ST_OK)
        return fail(err, ST_BADARG, "%s of row %lld of %s: %s",
            table->column[table->vector_column].name, id, table->content, inner.text);
    if (dim != table->dim)
        status = fail(err, ST_BADARG, "%s of row %lld of %s has %d elements (%d)",
            table->column[table->vector_column].name, id, table->content, dim, table->dim);
    else if (ann_encode(table->storage, vector, dim, out) >= 0)
        status = fail(err, ST_BADARG,
            "%s of row %lld of %s holds an element beyond 65504, which storage=f16 cannot hold",
            table->column[table->vector_column].name, id, table->content);
    mem_free(owned);
    return status;
}

Status index_take_vector(const IndexTable *table, sqlite3_stmt *statement, int column, void *out,
    int *is_null, Err *err) {
    *is_null = table->content && sqlite3_column_type(statement, column) == SQLITE_NULL;
    if (*is_null) return ST_OK;
    return table->content ? take_written(table, statement, column, out, err)
                          : take_stored(table, statement, column, out, err);
}

Cell index_cell(sqlite3_value *value) {
    switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER: return (Cell){.kind = CELL_INTEGER, .integer = sqlite3_value_int64(value)};
    case SQLITE_FLOAT: return (Cell){.kind = CELL_REAL, .real = sqlite3_value_double(value)};
    case SQLITE_TEXT: {
        const unsigned char *text = sqlite3_value_text(value);
        return (Cell){
            .kind = CELL_TEXT, .bytes = text, .len = text ? (size_t)sqlite3_value_bytes(value) : 0};
    }
    case SQLITE_BLOB: {
        const void *blob = sqlite3_value_blob(value);
        return (Cell){
            .kind = CELL_BLOB, .bytes = blob, .len = blob ? (size_t)sqlite3_value_bytes(value) : 0};
    }
    default: return (Cell){.kind = CELL_NULL};
    }
}

Status index_read_row(
    IndexTable *table, sqlite3_int64 id, float *vector, Cell *cell, int *found, Err *err) {
    sqlite3_stmt *statement;
    int is_null = 0;
    *found = 0;
    void *stored = mem_aligned(1, ann_row_bytes(table->storage, table->dim));
    if (!stored) return fail_nomem(err, "a vector");
    Status status = index_statement(table, GET_ROW, &statement, err);
    if (status != ST_OK) {
        mem_free(stored);
        return status;
    }
    sqlite3_bind_int64(statement, 1, id);
    status = sql_step(table->db, statement, found, err);
    if (status == ST_OK && *found)
        status = index_take_vector(table, statement, ROW_VECTOR, stored, &is_null, err);
    if (status == ST_OK && *found && !is_null)
        ann_decode(table->storage, stored, table->dim, vector);
    if (is_null) *found = 0;
    for (int i = 0; i < table->n_meta && cell; i++) cell[i] = (Cell){.kind = CELL_NULL};
    for (int i = 0; i < table->n_meta && cell && *found && status == ST_OK; i++) {
        Cell borrowed = index_cell(sqlite3_column_value(statement, ROW_META + i));
        status = cell_copy(&cell[i], &borrowed, err);
    }
    sqlite3_reset(statement);
    mem_free(stored);
    return status;
}

Status index_find_key(
    IndexTable *table, sqlite3_value *key, sqlite3_int64 *id, int *found, Err *err) {
    sqlite3_stmt *statement;
    *found = 0;
    TRY(index_statement(table, ID_OF_KEY, &statement, err));
    sqlite3_bind_value(statement, 1, key);
    Status status = sql_step(table->db, statement, found, err);
    if (status == ST_OK && *found) *id = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

Status index_count_rows(IndexTable *table, sqlite3_int64 *out, Err *err) {
    if (table->content) TRY(guard_source(table->db, table->schema, table->content, 1, err));
    if (table->content)
        return sql_integer(table->db, 0, out, err,
            "SELECT count(*) FROM \"%w\".\"%w\" e WHERE e.\"%w\" IS NOT NULL", table->schema,
            table->content, table->column[table->vector_column].name);
    return sql_integer(table->db, 0, out, err, "SELECT count(*) FROM \"%w\".\"%w_vectors\"",
        table->schema, table->name);
}
