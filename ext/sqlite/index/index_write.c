/* Writing rows of a rec_index.
 *
 * INSERT ... VALUES opens no statement journal inside BEGIN, so everything is checked before the
 * first write, and the change that other connections look for is logged before the row that it
 * names. */
#include <string.h>

#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/values.h"
#include "index.h"

static Status run(
    IndexTable *table, int which, sqlite3_int64 id, const void *blob, size_t bytes, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(index_statement(table, which, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    if (blob) sqlite3_bind_blob64(statement, 2, blob, bytes, SQLITE_STATIC);
    Status status = sql_step(table->db, statement, &has_row, err);
    sqlite3_reset(statement);
    if (blob) sqlite3_clear_bindings(statement);
    return status;
}

static Status has_row(IndexTable *table, sqlite3_int64 id, int *out, Err *err) {
    sqlite3_stmt *statement;
    TRY(index_statement(table, GET_ROW, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    Status status = sql_step(table->db, statement, out, err);
    sqlite3_reset(statement);
    return status;
}

/* The log comes first: a write may fail half-way without being taken back (a reader of the shared
 * cache holds one of the tables). A change that is logged and was not made costs a look at the row;
 * one that was made and is not logged would never be seen. */
static Status delete_row(IndexTable *table, sqlite3_int64 id, Err *err) {
    TRY(index_log_change(table, id, 0, err));
    TRY(run(table, DELETE_VECTOR, id, NULL, 0, err));
    return table->n_meta ? run(table, DELETE_META, id, NULL, 0, err) : ST_OK;
}

static Status put_meta(IndexTable *table, sqlite3_int64 id, sqlite3_value **column, Err *err) {
    sqlite3_stmt *statement;
    int row;
    TRY(index_statement(table, PUT_META, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    for (int i = 0; i < table->n_columns; i++)
        if (i != table->vector_column)
            sqlite3_bind_value(statement, 2 + table->column[i].shadow, column[i]);
    Status status = sql_step(table->db, statement, &row, err);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

/* The vector argument of a write, checked. */
static Status written_vector(
    const IndexTable *table, sqlite3_value *value, const float **out, float **owned, Err *err) {
    int dim;
    const char *name = table->column[table->vector_column].name;
    *owned = NULL;
    if (sqlite3_value_type(value) == SQLITE_NULL)
        return fail(err, ST_BADARG, "%s is NULL (a vector of %d elements)", name, table->dim);
    TRY(value_vector(value, out, &dim, owned, err));
    if (dim == table->dim) return ST_OK;
    mem_free(*owned);
    *owned = NULL;
    return fail(err, ST_BADARG, "%s has %d elements (%d)", name, dim, table->dim);
}

/* A new id: one more than the largest. */
static Status next_id(IndexTable *table, sqlite3_int64 *out, Err *err) {
    TRY(sql_integer(table->db, 0, out, err, "SELECT max(id) FROM \"%w\".\"%w_vectors\"",
        table->schema, table->name));
    if (*out == INT64_MAX)
        return fail(err, ST_BADARG, "no rowid is left after %lld", (long long)INT64_MAX);
    ++*out;
    return ST_OK;
}

typedef struct Write {
    int is_update;
    sqlite3_int64 old_id;
    sqlite3_int64 id;
    sqlite3_value **column; /* declared columns, then the hidden ones */
} Write;

static Status read_id(
    IndexTable *table, int is_update, sqlite3_value *value, sqlite3_int64 *out, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL && !is_update) return next_id(table, out, err);
    if (sqlite3_value_type(value) != SQLITE_INTEGER)
        return fail(err, ST_BADARG, "rowid must be a whole number");
    *out = sqlite3_value_int64(value);
    return ST_OK;
}

/* The vector of a write in the form of storage=. A row that moves carries its vector along. *out is
 * NULL where the stored one stays. */
static Status vector_to_write(IndexTable *table, const Write *write, void **out, Err *err) {
    const float *vector = NULL;
    float *owned = NULL;
    int found;
    int same = write->is_update && sqlite3_value_nochange(write->column[table->vector_column]);
    *out = NULL;
    if (same && write->id == write->old_id) return ST_OK;
    Status status = ST_OK;
    if (!same) {
        status = written_vector(table, write->column[table->vector_column], &vector, &owned, err);
    } else if (!(owned = mem_array((size_t)table->dim, sizeof *owned))) {
        status = fail_nomem(err, "a vector");
    } else {
        vector = owned;
        status = index_read_row(table, write->old_id, owned, NULL, &found, err);
    }
    if (status == ST_OK && !(*out = mem_aligned(1, ann_row_bytes(table->storage, table->dim))))
        status = fail_nomem(err, "a vector");
    int64_t bad = status == ST_OK ? ann_encode(table->storage, vector, table->dim, *out) : -1;
    if (bad >= 0)
        status = fail(err, ST_BADARG,
            "%s: element %lld is beyond 65504, which storage=f16 cannot hold",
            table->column[table->vector_column].name, (long long)bad + 1);
    mem_free(owned);
    if (status == ST_OK) return ST_OK;
    mem_free(*out);
    *out = NULL;
    return status;
}

/* The key of a write: text (a number is its text, as in a column of that type), not NULL; *other is
 * the row that has it already, if that is another one. */
static Status check_key(
    IndexTable *table, const Write *write, sqlite3_int64 *other, int *taken, Err *err) {
    *taken = 0;
    if (table->key_column < 0 ||
        (write->is_update && sqlite3_value_nochange(write->column[table->key_column])))
        return ST_OK;
    sqlite3_value *key = write->column[table->key_column];
    if (sqlite3_value_type(key) == SQLITE_NULL || sqlite3_value_type(key) == SQLITE_BLOB)
        return fail(err, ST_BADARG, "%s is %s (a text)", table->column[table->key_column].name,
            sqlite3_value_type(key) == SQLITE_NULL ? "NULL" : "a BLOB");
    TRY(index_find_key(table, key, other, taken, err));
    if (*taken && *other == (write->is_update ? write->old_id : write->id)) *taken = 0;
    return ST_OK;
}

/* Who has the id or the key of a write already? Without REPLACE that is an error, and *constraint
 * is set. */
static Status check_taken(IndexTable *table, const Write *write, int *id_taken,
    sqlite3_int64 *other, int *key_taken, int *constraint, Err *err) {
    int replaces = sqlite3_vtab_on_conflict(table->db) == SQLITE_REPLACE;
    *id_taken = 0;
    if (!write->is_update || write->id != write->old_id)
        TRY(has_row(table, write->id, id_taken, err));
    TRY(check_key(table, write, other, key_taken, err));
    *constraint = (*id_taken || *key_taken) && !replaces;
    if (!*constraint) return ST_OK;
    if (*id_taken) return fail(err, ST_BADARG, "rowid %lld exists", (long long)write->id);
    return fail(err, ST_BADARG, "%s '%.60s' exists", table->column[table->key_column].name,
        (const char *)sqlite3_value_text(write->column[table->key_column]));
}

/* Insert or update one row. */
static Status write_row(IndexTable *table, const Write *write, int *constraint, Err *err) {
    void *stored;
    sqlite3_int64 other = 0;
    int id_taken, key_taken;
    size_t bytes = ann_row_bytes(table->storage, table->dim);

    TRY(check_taken(table, write, &id_taken, &other, &key_taken, constraint, err));
    TRY(vector_to_write(table, write, &stored, err));
    Status status = ST_OK;
    if (key_taken) status = delete_row(table, other, err);
    if (status == ST_OK && write->is_update && write->id != write->old_id)
        status = delete_row(table, write->old_id, err);
    if (status == ST_OK) status = index_log_change(table, write->id, !stored, err);
    if (status == ST_OK && table->n_meta) status = put_meta(table, write->id, write->column, err);
    if (status == ST_OK && stored) {
        status = run(table, PUT_VECTOR, write->id, stored, bytes, err);
        /* a statement of one row has no journal of its own: inside BEGIN a half of a row would
         * stay */
        Err ignored = {0};
        if (status != ST_OK && table->n_meta && !write->is_update)
            (void)run(table, DELETE_META, write->id, NULL, 0, &ignored);
    }
    mem_free(stored);
    return status;
}

/* A row that is written cannot set what searches answer or take. */
static Status check_hidden(const IndexTable *table, sqlite3_value **column, Err *err) {
    for (int i = 0; i < N_HIDDEN; i++)
        if (!sqlite3_value_nochange(column[table->n_columns + i]) &&
            sqlite3_value_type(column[table->n_columns + i]) != SQLITE_NULL)
            return fail(err, ST_BADARG, "column %s cannot be written", index_hidden_names[i]);
    return ST_OK;
}

static Status refuse_write(const IndexTable *table, Err *err) {
    return fail(err, ST_BADARG, "its rows are those of %.60s: write there", table->content);
}

static int update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
    IndexTable *table = (IndexTable *)vtab;
    Err err = {0};
    Status status;
    int constraint = 0;

    if (argc == 1 && table->content)
        return sql_vtab_error(vtab, "rec_index", table->name, refuse_write(table, &err), &err);
    if (argc == 1)
        return sql_vtab_error(vtab, "rec_index", table->name,
            delete_row(table, sqlite3_value_int64(argv[0]), &err), &err);
    Write write = {.is_update = sqlite3_value_type(argv[0]) != SQLITE_NULL, .column = argv + 2};
    sqlite3_value *command = write.column[table->n_columns + H_COMMAND];
    if (!write.is_update && sqlite3_value_type(command) != SQLITE_NULL) {
        status = index_command(table, write.column, &err);
        return sql_vtab_error(vtab, "rec_index", table->name, status, &err);
    }
    status = table->content ? refuse_write(table, &err) : check_hidden(table, write.column, &err);
    if (status == ST_OK) status = read_id(table, write.is_update, argv[1], &write.id, &err);
    if (write.is_update) write.old_id = sqlite3_value_int64(argv[0]);
    if (status == ST_OK) status = write_row(table, &write, &constraint, &err);
    if (status == ST_OK && !write.is_update) *rowid = write.id;
    int code = sql_vtab_error(vtab, "rec_index", table->name, status, &err);
    return constraint ? SQLITE_CONSTRAINT : code;
}

/* Writing the shadow tables must not be seen in last_insert_rowid(), which an UPDATE or DELETE
 * leaves alone. */
int index_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
    IndexTable *table = (IndexTable *)vtab;
    Err err = {0};
    sqlite3_int64 last = sqlite3_last_insert_rowid(table->db);
    Status status = guard_enter_table(&table->busy, &err);
    if (status != ST_OK) return sql_vtab_error(vtab, "rec_index", table->name, status, &err);
    int code = update(vtab, argc, argv, rowid);
    guard_leave_table(&table->busy);
    sqlite3_set_last_insert_rowid(table->db, last);
    return code;
}
