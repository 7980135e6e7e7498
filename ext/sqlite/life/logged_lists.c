#include "logged_lists.h"

#include <string.h>

#include "../../base/memory.h"
#include "../host/values.h"

void logged_lists_clear(LoggedLists *lists) {
    keymap_free(lists->users);
    keymap_free(lists->items);
    mem_free(lists->row);
    mem_free(lists->list);
    *lists = (LoggedLists){0};
}

/* Room for one more of size bytes. */
static Status grow(void **block, int64_t n, int64_t *capacity, size_t size, Err *err) {
    if (n < *capacity) return ST_OK;
    int64_t wanted = *capacity * 2 + 256;
    void *grown = *block ? mem_resize(*block, (size_t)wanted, size)
                         : mem_array((size_t)wanted, size);
    if (!grown) return fail_nomem(err, "the log");
    *block = grown;
    *capacity = wanted;
    return ST_OK;
}

/* The log has them in the kind of the events' columns. */
static Status take_id(KeyMap *map, sqlite3_stmt *row, int column, int32_t *out, Err *err) {
    char buffer[KEY_BUFFER];
    Key key;
    if (!value_key(sqlite3_column_value(row, column), AFFINITY_NONE, buffer, &key))
        return fail(err, ST_CORRUPT, "the log has a user or an item that is no key");
    return keymap_add(map, key, out, err);
}

static Status end_list(LoggedLists *out, Err *err) {
    TRY(grow((void **)&out->list, out->n_lists, &out->list_capacity, sizeof *out->list, err));
    out->list[out->n_lists].first = out->n_rows;
    return ST_OK;
}

enum { MOST_PLACES = 10000 };

/* Columns: user, list, at, rank, item, propensity, reward. */
static Status add_row(LoggedLists *out, sqlite3_stmt *row, sqlite3_int64 *list, Err *err) {
    LoggedRow own = {
        .reward = sqlite3_column_double(row, 6), .propensity = sqlite3_column_double(row, 5)};
    sqlite3_int64 rank = sqlite3_column_int64(row, 3);
    if (rank < 1 || rank > MOST_PLACES)
        return fail(err, ST_BADARG, "rank %lld is none that can be estimated", rank);
    if (!(own.propensity > 0 && own.propensity <= 1))
        return fail(err, ST_CORRUPT, "the log has a propensity that is none");
    if (!out->n_lists || *list != sqlite3_column_int64(row, 1)) {
        TRY(end_list(out, err));
        LoggedList *begun = &out->list[out->n_lists++];
        begun->at = sqlite3_column_double(row, 2);
        TRY(take_id(out->users, row, 0, &begun->user, err));
        *list = sqlite3_column_int64(row, 1);
    }
    TRY(take_id(out->items, row, 4, &own.item, err));
    TRY(grow((void **)&out->row, out->n_rows, &out->row_capacity, sizeof *out->row, err));
    own.place = (int32_t)rank - 1;
    if (own.place >= out->n_places) out->n_places = own.place + 1;
    out->row[out->n_rows++] = own;
    return ST_OK;
}

static Status count_left_out(
    LoggedLists *out, const Versioned *versioned, const LogScope *scope, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT count(*), ?1 FROM \"%w\".\"%w_lists\" l WHERE " LOG_SCOPE_LISTS
        " AND (l.user IS NULL OR EXISTS(SELECT 1 FROM \"%w\".\"%w_shown\" x WHERE x.list=l.id AND "
        "x.propensity IS NULL))",
        versioned->schema, versioned->name, versioned->schema, versioned->name));
    log_scope_bind(row, scope);
    Status status = sql_step(versioned->db, row, &has_row, err);
    if (status == ST_OK && has_row) out->left_out = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return status;
}

static Status read_rows(
    LoggedLists *out, const Versioned *versioned, const LogScope *scope, int sums, Err *err) {
    sqlite3_stmt *rows;
    sqlite3_int64 list = 0;
    TRY(sql_prepare(versioned->db, &rows, err,
        "WITH " LOG_CREDITS " SELECT l.user, l.id, l.at, s.rank, s.item, s.propensity, CASE WHEN "
        "c.list IS NULL THEN 0 WHEN %d THEN c.value ELSE 1 END FROM \"%w\".\"%w_lists\" l JOIN "
        "\"%w\".\"%w_shown\" s ON s.list=l.id LEFT JOIN c ON c.list=l.id AND c.item=s.item "
        "WHERE " LOG_SCOPE_LISTS
        " AND l.user IS NOT NULL AND NOT EXISTS(SELECT 1 FROM \"%w\".\"%w_shown\" "
        "x WHERE x.list=l.id AND x.propensity IS NULL) ORDER BY l.user, l.id, s.rank",
        versioned->schema, versioned->name, sums, versioned->schema, versioned->name,
        versioned->schema, versioned->name, versioned->schema, versioned->name));
    log_scope_bind(rows, scope);
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err)) status = add_row(out, rows, &list, err);
    sqlite3_finalize(rows);
    return status;
}

Status logged_lists_read(
    LoggedLists *out, const Versioned *versioned, const LogScope *scope, int sums, Err *err) {
    int found;
    TRY(log_is_there(versioned, &found, err));
    out->users = keymap_new();
    out->items = keymap_new();
    if (!out->users || !out->items) return fail_nomem(err, "the log");
    if (found) TRY(read_rows(out, versioned, scope, sums, err));
    if (found) TRY(count_left_out(out, versioned, scope, err));
    return end_list(out, err);
}
