/* The shadow tables of a rec_index: layout in index_table.h. */
#include <stdlib.h>
#include <string.h>

#include "../host/guard.h"
#include "index.h"

enum { KEEP_CHANGES = 16384 };

/* Past the largest rowid SQLite draws a number that is free: changes would have no order. Nobody
 * gets near it by writing. */
static const sqlite3_int64 MAX_SEQ = (sqlite3_int64)1 << 62;

/* The first of these are over the log of changes (and, second, the config), the others over one
 * shadow table. */
static const char *const STATEMENTS[N_INDEX_STATEMENTS] = {
    [STATE] = "SELECT seq, stamp FROM \"%w\".\"%w\" ORDER BY seq DESC LIMIT 1",
    [CHANGE_AT] = "SELECT stamp FROM \"%w\".\"%w\" WHERE seq=?1",
    [CHANGES_SINCE] =
        "SELECT id, min(meta) FROM \"%w\".\"%w\" WHERE seq>?1 AND id IS NOT NULL GROUP BY id",
    [PUT_VECTOR] = "REPLACE INTO \"%w\".\"%w_vectors\"(id, vector) VALUES(?1, ?2)",
    [DELETE_VECTOR] = "DELETE FROM \"%w\".\"%w_vectors\" WHERE id=?1",
    [LOG_CHANGE] = "INSERT INTO \"%w\".\"%w\"(stamp, id, meta) VALUES(randomblob(16), ?1, ?2)",
    [TRIM_CHANGES] = "DELETE FROM \"%w\".\"%w\" WHERE seq<=?1 AND seq<coalesce((SELECT value FROM "
                     "\"%w\".\"%w_config\" WHERE key='segment_seq'), ?1+1)",
    [DELETE_META] = "DELETE FROM \"%w\".\"%w_meta\" WHERE id=?1",
};

static Status create_rows(IndexTable *t, Err *err) {
    TRY(glue_execute(t->db, err,
        "CREATE TABLE \"%w\".\"%w_vectors\"(id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
        t->schema, t->name));
    if (t->n_meta == 0) return ST_OK;
    sqlite3_str *sql = sqlite3_str_new(t->db);
    sqlite3_str_appendf(
        sql, "CREATE TABLE \"%w\".\"%w_meta\"(id INTEGER PRIMARY KEY", t->schema, t->name);
    for (int i = 0; i < t->n_columns; i++)
        if (i != t->vector_column)
            sqlite3_str_appendf(sql, ", c%d %s%s", t->column[i].shadow, t->column[i].type,
                t->column[i].is_key ? " NOT NULL UNIQUE" : "");
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    if (!text) return fail_nomem(err, "SQL");
    Status status = glue_execute(t->db, err, "%s", text);
    sqlite3_free(text);
    return status;
}

Status index_store_create(IndexTable *t, Err *err) {
    TRY(glue_execute(t->db, err, "CREATE TABLE \"%w\".\"%w_config\"(key TEXT PRIMARY KEY, value)",
        t->schema, t->name));
    TRY(glue_execute(
        t->db, err, "INSERT INTO \"%w\".\"%w_config\" VALUES('format', 2)", t->schema, t->name));
    TRY(glue_execute(t->db, err,
        "CREATE TABLE \"%w\".\"%w\"(seq INTEGER PRIMARY KEY, stamp BLOB NOT NULL, id INTEGER, meta "
        "INTEGER)",
        t->schema, t->log));
    TRY(glue_execute(
        t->db, err, "INSERT INTO \"%w\".\"%w\"(stamp) VALUES(randomblob(16))", t->schema, t->log));
    TRY(glue_execute(t->db, err,
        "CREATE TABLE \"%w\".\"%w_segment\"(chunk INTEGER PRIMARY KEY, data BLOB NOT NULL)",
        t->schema, t->name));
    return t->content ? index_content_create_triggers(t, err) : create_rows(t, err);
}

/* "?2, ?3, ..." or "c0, c1, ...". */
static char *list(int n, const char *form, int first) {
    sqlite3_str *text = sqlite3_str_new(NULL);
    for (int i = 0; i < n; i++) {
        if (i) sqlite3_str_appendall(text, ", ");
        sqlite3_str_appendf(text, form, first + i);
    }
    return sqlite3_str_finish(text);
}

static Status prepare_put_meta(IndexTable *t, Err *err) {
    char *names = list(t->n_meta, "c%d", 0), *places = list(t->n_meta, "?%d", 2);
    Status status = names && places ? ST_OK : fail_nomem(err, "SQL");
    if (status == ST_OK)
        status = glue_prepare(t->db, &t->statement[PUT_META], err,
            "REPLACE INTO \"%w\".\"%w_meta\"(id, %s) VALUES(?1, %s)", t->schema, t->name, names,
            places);
    sqlite3_free(names);
    sqlite3_free(places);
    return status;
}

/* The user's table under the names that a tail uses: v.id, v.vector, m.c0 ... */
static void append_content(const IndexTable *t, sqlite3_str *sql) {
    sqlite3_str_appendf(sql, "(SELECT e.\"%w\" AS id, e.\"%w\" AS vector", t->content_rowid,
        t->column[t->vector_column].name);
    for (int i = 0; i < t->n_columns; i++)
        if (i != t->vector_column)
            sqlite3_str_appendf(sql, ", e.\"%w\" AS c%d", t->column[i].name, t->column[i].shadow);
    sqlite3_str_appendf(sql, " FROM \"%w\".\"%w\" e) v", t->schema, t->content);
}

Status index_select_rows(IndexTable *t, sqlite3_stmt **out, const char *tail, Err *err) {
    *out = NULL;
    if (t->content) TRY(guard_source(t->db, t->schema, t->content, 1, err));
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendall(sql, "SELECT v.id, v.vector");
    for (int i = 0; i < t->n_meta; i++) sqlite3_str_appendf(sql, ", c%d", i);
    sqlite3_str_appendall(sql, " FROM ");
    if (t->content) {
        append_content(t, sql);
    } else {
        sqlite3_str_appendf(sql, "\"%w\".\"%w_vectors\" v", t->schema, t->name);
        if (t->n_meta)
            sqlite3_str_appendf(
                sql, " LEFT JOIN \"%w\".\"%w_meta\" m ON m.id=v.id", t->schema, t->name);
    }
    sqlite3_str_appendf(sql, " %s", tail);
    char *text = sqlite3_str_finish(sql);
    if (!text) return fail_nomem(err, "SQL");
    Status status = glue_prepare(t->db, out, err, "%s", text);
    sqlite3_free(text);
    return status;
}

static Status prepare_find_key(IndexTable *t, Err *err) {
    const IndexColumn *key = &t->column[t->key_column];
    if (t->content) TRY(guard_source(t->db, t->schema, t->content, 1, err));
    if (t->content)
        return glue_prepare(t->db, &t->statement[ID_OF_KEY], err,
            "SELECT e.\"%w\" FROM \"%w\".\"%w\" e WHERE e.\"%w\" COLLATE BINARY=?1",
            t->content_rowid, t->schema, t->content, key->name);
    return glue_prepare(t->db, &t->statement[ID_OF_KEY], err,
        "SELECT id FROM \"%w\".\"%w_meta\" WHERE c%d=?1", t->schema, t->name, key->shadow);
}

Status index_statement(IndexTable *t, int which, sqlite3_stmt **out, Err *err) {
    if (!t->statement[which]) {
        if (which == PUT_META) TRY(prepare_put_meta(t, err));
        else if (which == GET_ROW)
            TRY(index_select_rows(t, &t->statement[which], "WHERE v.id=?1", err));
        else if (which == ID_OF_KEY) TRY(prepare_find_key(t, err));
        else
            TRY(glue_prepare(t->db, &t->statement[which], err, STATEMENTS[which], t->schema,
                which <= LAST_OF_LOG ? t->log : t->name, t->schema, t->name));
    }
    *out = t->statement[which];
    return ST_OK;
}

void index_finalize(IndexTable *t) {
    for (int i = 0; i < N_INDEX_STATEMENTS; i++) {
        sqlite3_finalize(t->statement[i]);
        t->statement[i] = NULL;
    }
}

Status index_state(IndexTable *t, int64_t *seq, unsigned char stamp[STAMP], Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(index_statement(t, STATE, &statement, err));
    Status status = glue_step(t->db, statement, &has_row, err);
    if (status == ST_OK &&
        (!has_row || sqlite3_column_bytes(statement, 1) != STAMP ||
            sqlite3_column_int64(statement, 0) > MAX_SEQ))
        status = fail(err, ST_CORRUPT, "the log of changes is damaged (rebuild mends it)");
    if (status == ST_OK) {
        *seq = sqlite3_column_int64(statement, 0);
        memcpy(stamp, sqlite3_column_blob(statement, 1), STAMP);
    }
    sqlite3_reset(statement);
    return status;
}

IndexChange index_change(sqlite3_stmt *statement) {
    return (IndexChange){.id = sqlite3_column_int64(statement, 0),
        .only_meta = sqlite3_column_int(statement, 1) == 1};
}

Status index_log_change(IndexTable *t, sqlite3_int64 id, int only_meta, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(index_statement(t, LOG_CHANGE, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_int(statement, 2, only_meta);
    Status status = glue_step(t->db, statement, &has_row, err);
    sqlite3_reset(statement);
    sqlite3_int64 seq = sqlite3_last_insert_rowid(t->db);
    if (status != ST_OK || seq % 1024 || seq <= KEEP_CHANGES) return status;
    TRY(index_statement(t, TRIM_CHANGES, &statement, err));
    sqlite3_bind_int64(statement, 1, seq - KEEP_CHANGES);
    status = glue_step(t->db, statement, &has_row, err);
    sqlite3_reset(statement);
    return status;
}
