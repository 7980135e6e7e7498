/* The shadow tables of a rec_index: layout in index.h. */
#include <stdlib.h>
#include <string.h>

#include "../host/guard.h"
#include "index.h"

const char *const index_hidden_names[N_HIDDEN] = {
#define X(constant, name, type) name,
    INDEX_HIDDEN(X)
#undef X
};

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

/* t_meta, whose columns are the table's own. */
static Status create_meta(IndexTable *table, Err *err) {
    sqlite3_str *sql = sqlite3_str_new(table->db);
    sqlite3_str_appendf(
        sql, "CREATE TABLE \"%w\".\"%w_meta\"(id INTEGER PRIMARY KEY", table->schema, table->name);
    for (int i = 0; i < table->n_columns; i++)
        if (i != table->vector_column)
            sqlite3_str_appendf(sql, ", c%d %s%s", table->column[i].shadow, table->column[i].type,
                table->column[i].is_key ? " NOT NULL UNIQUE" : "");
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    if (!text) return fail_nomem(err, "SQL");
    Status status = sql_execute(table->db, err, "%s", text);
    sqlite3_free(text);
    return status;
}

/* Which tables an index has is its definition's. */
static int has_rows(const void *owner) { return ((const IndexTable *)owner)->content == NULL; }

static int has_queue(const void *owner) { return !has_rows(owner); }

static int has_meta(const void *owner) {
    return has_rows(owner) && ((const IndexTable *)owner)->n_meta > 0;
}

#define CHANGES_COLUMNS "seq INTEGER PRIMARY KEY, stamp BLOB NOT NULL, id INTEGER, meta INTEGER"

/* t_queue is written by any program that writes to the user's own table: see index_content.c. */
static const ShadowTable TABLES[] = {
    {.suffix = "vectors",
        .columns = "id INTEGER PRIMARY KEY, vector BLOB NOT NULL",
        .is_there = has_rows},
    {.suffix = "meta", .is_there = has_meta},
    {.suffix = "changes", .columns = CHANGES_COLUMNS, .is_there = has_rows},
    {.suffix = "segment", .columns = "chunk INTEGER PRIMARY KEY, data BLOB NOT NULL"},
    {.suffix = "queue", .columns = CHANGES_COLUMNS, .is_there = has_queue, .is_open = 1},
};

const ShadowSet index_shadow = {2, TABLES, sizeof TABLES / sizeof *TABLES};

ShadowOwner index_owner(const IndexTable *table) {
    return (ShadowOwner){table->db, table->schema, table->name, table};
}

Status index_store_create(IndexTable *table, Err *err) {
    ShadowOwner owner = index_owner(table);
    TRY(shadow_create(&index_shadow, &owner, err));
    if (has_meta(table)) TRY(create_meta(table, err));
    TRY(sql_execute(table->db, err, "INSERT INTO \"%w\".\"%w\"(stamp) VALUES(randomblob(16))",
        table->schema, table->log));
    return table->content ? index_content_create_triggers(table, err) : ST_OK;
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

static Status prepare_put_meta(IndexTable *table, Err *err) {
    char *names = list(table->n_meta, "c%d", 0), *places = list(table->n_meta, "?%d", 2);
    Status status = names && places ? ST_OK : fail_nomem(err, "SQL");
    if (status == ST_OK)
        status = sql_prepare(table->db, &table->statement[PUT_META], err,
            "REPLACE INTO \"%w\".\"%w_meta\"(id, %s) VALUES(?1, %s)", table->schema, table->name,
            names, places);
    sqlite3_free(names);
    sqlite3_free(places);
    return status;
}

/* The user's table under the names that a tail uses: v.id, v.vector, m.c0 ... */
static void append_content(const IndexTable *table, sqlite3_str *sql) {
    sqlite3_str_appendf(sql, "(SELECT e.\"%w\" AS id, e.\"%w\" AS vector", table->content_rowid,
        table->column[table->vector_column].name);
    for (int i = 0; i < table->n_columns; i++)
        if (i != table->vector_column)
            sqlite3_str_appendf(
                sql, ", e.\"%w\" AS c%d", table->column[i].name, table->column[i].shadow);
    sqlite3_str_appendf(sql, " FROM \"%w\".\"%w\" e) v", table->schema, table->content);
}

Status index_select_rows(IndexTable *table, sqlite3_stmt **out, const char *tail, Err *err) {
    *out = NULL;
    if (table->content) TRY(guard_source(table->db, table->schema, table->content, 1, err));
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendall(sql, "SELECT v.id, v.vector");
    for (int i = 0; i < table->n_meta; i++) sqlite3_str_appendf(sql, ", c%d", i);
    sqlite3_str_appendall(sql, " FROM ");
    if (table->content) {
        append_content(table, sql);
    } else {
        sqlite3_str_appendf(sql, "\"%w\".\"%w_vectors\" v", table->schema, table->name);
        if (table->n_meta)
            sqlite3_str_appendf(
                sql, " LEFT JOIN \"%w\".\"%w_meta\" m ON m.id=v.id", table->schema, table->name);
    }
    sqlite3_str_appendf(sql, " %s", tail);
    char *text = sqlite3_str_finish(sql);
    if (!text) return fail_nomem(err, "SQL");
    Status status = sql_prepare(table->db, out, err, "%s", text);
    sqlite3_free(text);
    return status;
}

static Status prepare_find_key(IndexTable *table, Err *err) {
    const IndexColumn *key = &table->column[table->key_column];
    if (table->content) TRY(guard_source(table->db, table->schema, table->content, 1, err));
    if (table->content)
        return sql_prepare(table->db, &table->statement[ID_OF_KEY], err,
            "SELECT e.\"%w\" FROM \"%w\".\"%w\" e WHERE e.\"%w\" COLLATE BINARY=?1",
            table->content_rowid, table->schema, table->content, key->name);
    return sql_prepare(table->db, &table->statement[ID_OF_KEY], err,
        "SELECT id FROM \"%w\".\"%w_meta\" WHERE c%d=?1", table->schema, table->name, key->shadow);
}

Status index_statement(IndexTable *table, int which, sqlite3_stmt **out, Err *err) {
    if (!table->statement[which]) {
        if (which == PUT_META) TRY(prepare_put_meta(table, err));
        else if (which == GET_ROW)
            TRY(index_select_rows(table, &table->statement[which], "WHERE v.id=?1", err));
        else if (which == ID_OF_KEY) TRY(prepare_find_key(table, err));
        else
            TRY(sql_prepare(table->db, &table->statement[which], err, STATEMENTS[which],
                table->schema, which <= LAST_OF_LOG ? table->log : table->name, table->schema,
                table->name));
    }
    *out = table->statement[which];
    return ST_OK;
}

void index_finalize(IndexTable *table) {
    for (int i = 0; i < N_INDEX_STATEMENTS; i++) {
        sqlite3_finalize(table->statement[i]);
        table->statement[i] = NULL;
    }
}

Status index_state(IndexTable *table, int64_t *seq, unsigned char stamp[STAMP], Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(index_statement(table, STATE, &statement, err));
    Status status = sql_step(table->db, statement, &has_row, err);
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

Status index_log_change(IndexTable *table, sqlite3_int64 id, int only_meta, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(index_statement(table, LOG_CHANGE, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_int(statement, 2, only_meta);
    Status status = sql_step(table->db, statement, &has_row, err);
    sqlite3_reset(statement);
    sqlite3_int64 seq = sqlite3_last_insert_rowid(table->db);
    if (status != ST_OK || seq % TRIM_EVERY || seq <= KEEP_CHANGES) return status;
    TRY(index_statement(table, TRIM_CHANGES, &statement, err));
    sqlite3_bind_int64(statement, 1, seq - KEEP_CHANGES);
    status = sql_step(table->db, statement, &has_row, err);
    sqlite3_reset(statement);
    return status;
}

Status index_is_ancestor(
    IndexTable *table, int64_t seq, const unsigned char stamp[STAMP], int *out, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    *out = 0;
    TRY(index_statement(table, CHANGE_AT, &statement, err));
    sqlite3_bind_int64(statement, 1, seq);
    Status status = sql_step(table->db, statement, &has_row, err);
    if (status == ST_OK && has_row)
        *out = sqlite3_column_bytes(statement, 0) == STAMP &&
            memcmp(sqlite3_column_blob(statement, 0), stamp, STAMP) == 0;
    sqlite3_reset(statement);
    return status;
}
