/* content=: the rows of a rec_index are those of a table of the user's own.
 *
 * Three triggers on that table write the ids of changed rows to t_queue, an ordinary table: a
 * program without this library can still write to the user's table, rename it and its columns.
 * (t_queue is no shadow table to SQLite, so that a connection with SQLITE_DBCONFIG_DEFENSIVE can do
 * so too.) The triggers also refuse a vector whose length is wrong, where it is written. */
#include <string.h>

#include "../host/guard.h"
#include "../host/values.h"
#include "index.h"

static const char *const EVENTS[] = {"insert", "update", "delete"};

static const IndexColumn *vector_of(const IndexTable *table) {
    return &table->column[table->vector_column];
}

/* ---- is it a table that can be indexed? ---- */

static Status check_table(IndexTable *table, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(sql_prepare(table->db, &statement, err,
        "SELECT type, wr FROM pragma_table_list(%Q) WHERE lower(schema)=lower(%Q)", table->content,
        table->schema));
    Status status = sql_step(table->db, statement, &has_row, err);
    if (status == ST_OK && !has_row)
        status = fail(err, ST_BADARG, "content=%.60s: no such table in schema %.60s",
            table->content, table->schema);
    else if (status == ST_OK &&
        strcmp((const char *)sqlite3_column_text(statement, 0), "table") != 0)
        status = fail(err, ST_BADARG, "content=%.60s is a %s (an ordinary table)", table->content,
            (const char *)sqlite3_column_text(statement, 0));
    else if (status == ST_OK && sqlite3_column_int(statement, 1))
        status = fail(err, ST_BADARG,
            "content=%.60s is WITHOUT ROWID (a table with an INTEGER PRIMARY KEY)", table->content);
    sqlite3_finalize(statement);
    return status;
}

/* The INTEGER PRIMARY KEY, which content_rowid must name if it is given. (INTEGER PRIMARY KEY DESC
 * is no rowid: it has an index.) */
static Status check_rowid(IndexTable *table, Err *err) {
    sqlite3_stmt *statement;
    int has_row, n = 0;
    char *name = NULL;
    TRY(sql_prepare(table->db, &statement, err,
        "SELECT name FROM pragma_table_info(%Q, %Q) WHERE pk>0 AND (SELECT count(*) FROM "
        "pragma_table_info(%Q, %Q) WHERE pk>0)=1 AND upper(type)='INTEGER'"
        " AND NOT EXISTS (SELECT 1 FROM pragma_index_list(%Q, %Q) WHERE origin='pk')",
        table->content, table->schema, table->content, table->schema, table->content,
        table->schema));
    Status status = sql_step(table->db, statement, &has_row, err);
    if (status == ST_OK && has_row) {
        n = 1;
        name = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0));
        if (!name) status = fail_nomem(err, "a name");
    }
    sqlite3_finalize(statement);
    if (status == ST_OK && !n)
        status = fail(err, ST_BADARG, "content=%.60s has no INTEGER PRIMARY KEY", table->content);
    if (status == ST_OK && table->content_rowid && sqlite3_stricmp(table->content_rowid, name) != 0)
        status = fail(err, ST_BADARG,
            "content_rowid=%.60s is not the INTEGER PRIMARY KEY of %.60s, which is %.60s",
            table->content_rowid, table->content, name);
    if (status != ST_OK) {
        sqlite3_free(name);
        return status;
    }
    sqlite3_free(table->content_rowid);
    table->content_rowid = name;
    return ST_OK;
}

/* Values of the column are compared as those of the declared type, so both must convert alike. */
static int alike(Affinity declared, Affinity actual) {
    if (declared == AFFINITY_TEXT || actual == AFFINITY_TEXT) return declared == actual;
    return actual != AFFINITY_NONE;
}

static Status check_column(IndexTable *table, const IndexColumn *column, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(sql_prepare(table->db, &statement, err,
        "SELECT type FROM pragma_table_xinfo(%Q, %Q) WHERE lower(name)=lower(%Q)", table->content,
        table->schema, column->name));
    Status status = sql_step(table->db, statement, &has_row, err);
    if (status == ST_OK && !has_row)
        status = fail(
            err, ST_BADARG, "content=%.60s has no column %.60s", table->content, column->name);
    const char *type = status == ST_OK && has_row ? (const char *)sqlite3_column_text(statement, 0)
                                                  : NULL;
    /* of a STRICT table: nothing is converted */
    int any = type && sqlite3_stricmp(type, "ANY") == 0;
    if (status == ST_OK && column->type &&
        (any || !alike(affinity_of(column->type), affinity_of(type))))
        status = fail(err, ST_BADARG,
            "column %.60s is %s here and '%.40s' in %.60s, which compare differently", column->name,
            column->type, type, table->content);
    sqlite3_finalize(statement);
    return status;
}

/* A text key names one row: the table must say so, by bytes. */
static Status check_key(IndexTable *table, Err *err) {
    sqlite3_int64 unique;
    if (table->key_column < 0) return ST_OK;
    const char *name = table->column[table->key_column].name;
    TRY(sql_integer(table->db, 0, &unique, err,
        "SELECT 1 FROM pragma_index_list(%Q, %Q) l WHERE l.\"unique\" AND NOT l.partial AND "
        "(SELECT count(*) FROM pragma_index_xinfo(l.name, %Q) WHERE key)=1"
        " AND EXISTS (SELECT 1 FROM pragma_index_xinfo(l.name, %Q) x WHERE x.key AND "
        "lower(x.name)=lower(%Q) AND x.coll='BINARY')",
        table->content, table->schema, table->schema, table->schema, name));
    return unique ? ST_OK
                  : fail(err, ST_BADARG,
                        "the key %.60s is not UNIQUE in %.60s (alone, with the BINARY collation)",
                        name, table->content);
}

Status index_content_check(IndexTable *table, Err *err) {
    TRY(check_table(table, err));
    TRY(check_rowid(table, err));
    for (int i = 0; i < table->n_columns; i++) TRY(check_column(table, &table->column[i], err));
    return check_key(table, err);
}

Status index_content_find(IndexTable *table, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(sql_prepare(table->db, &statement, err,
        "SELECT tbl_name FROM \"%w\".sqlite_schema WHERE type='trigger' AND "
        "lower(name)=lower('%q_content_insert')",
        table->schema, table->name));
    Status status = sql_step(table->db, statement, &has_row, err);
    char *name = status == ST_OK && has_row
        ? sqlite3_mprintf("%s", sqlite3_column_text(statement, 0))
        : NULL;
    sqlite3_finalize(statement);
    if (!name) return status; /* the triggers are gone: the name that CREATE gave */
    sqlite3_free(table->content);
    table->content = name;
    return ST_OK;
}

/* ---- triggers ---- */

/* Refuse what cannot be a vector. A text may be a JSON array. */
static int append_check(const IndexTable *table, sqlite3_str *sql) {
    const char *name = vector_of(table)->name;
    char *text = sqlite3_mprintf(
        "%s: %s must be NULL, a BLOB of %d float32 numbers (%d bytes) or a JSON array", table->name,
        name, table->dim, 4 * table->dim);
    if (!text) return 0;
    sqlite3_str_appendf(sql,
        " SELECT CASE WHEN (typeof(new.\"%w\")='blob' AND length(new.\"%w\")<>%d) OR "
        "typeof(new.\"%w\") IN ('integer', 'real')"
        " THEN RAISE(ABORT, %Q) END;",
        name, name, 4 * table->dim, name, text);
    sqlite3_free(text);
    return 1;
}

/* An update that changes the id, the vector or a metadata column. No list of columns (UPDATE OF),
 * which knows neither the rowid's other names nor generated columns; BINARY, since a column's own
 * collation may call two texts equal. */
static void append_when(const IndexTable *table, sqlite3_str *sql) {
    sqlite3_str_appendf(
        sql, " WHEN old.\"%w\" IS NOT new.\"%w\"", table->content_rowid, table->content_rowid);
    for (int i = 0; i < table->n_columns; i++)
        sqlite3_str_appendf(sql, " OR old.\"%w\" COLLATE BINARY IS NOT new.\"%w\"",
            table->column[i].name, table->column[i].name);
}

/* An update is of metadata alone where id and vector are what they were. */
static void append_log(const IndexTable *table, sqlite3_str *sql, int event) {
    const char *id = table->content_rowid, *vector = vector_of(table)->name;
    if (event == 0)
        sqlite3_str_appendf(sql,
            " INSERT INTO \"%w\"(stamp, id, meta) VALUES(randomblob(16), new.\"%w\", 0);",
            table->log, id);
    if (event == 2)
        sqlite3_str_appendf(sql,
            " INSERT INTO \"%w\"(stamp, id, meta) VALUES(randomblob(16), old.\"%w\", 0);",
            table->log, id);
    if (event != 1) return;
    sqlite3_str_appendf(sql,
        " INSERT INTO \"%w\"(stamp, id, meta) VALUES(randomblob(16), new.\"%w\", old.\"%w\" IS "
        "new.\"%w\" AND old.\"%w\" COLLATE BINARY IS new.\"%w\");",
        table->log, id, id, id, vector, vector);
    sqlite3_str_appendf(sql,
        " INSERT INTO \"%w\"(stamp, id, meta) SELECT randomblob(16), old.\"%w\", 0 WHERE "
        "old.\"%w\" IS NOT new.\"%w\";",
        table->log, id, id, id);
}

/* Now and then the oldest changes go, as index_log_change does it: never those after the segment's.
 * A trigger appends one row or two. */
static void append_trim(const IndexTable *table, sqlite3_str *sql) {
    sqlite3_str_appendf(sql,
        " DELETE FROM \"%w\" WHERE seq<=(SELECT max(seq)-%d FROM \"%w\") AND (SELECT max(seq) "
        "FROM \"%w\")%%%d<2"
        " AND seq<coalesce((SELECT value FROM \"%w_config\" WHERE key='segment_seq'), "
        "9223372036854775807);",
        table->log, KEEP_CHANGES, table->log, table->log, TRIM_EVERY, table->name);
}

/* With the schema, to make it; without, as SQLite keeps it. */
static char *trigger_sql(const IndexTable *table, int event, int with_schema) {
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendall(sql, "CREATE TRIGGER ");
    if (with_schema) sqlite3_str_appendf(sql, "\"%w\".", table->schema);
    sqlite3_str_appendf(sql, "\"%w_content_%s\" AFTER %s ON \"%w\"", table->name, EVENTS[event],
        EVENTS[event], table->content);
    if (event == 1) append_when(table, sql);
    sqlite3_str_appendall(sql, " BEGIN");
    int whole = event == 2 || append_check(table, sql);
    append_log(table, sql, event);
    append_trim(table, sql);
    sqlite3_str_appendall(sql, " END");
    char *text = sqlite3_str_finish(sql);
    if (whole) return text;
    sqlite3_free(text);
    return NULL;
}

Status index_content_create_triggers(IndexTable *table, Err *err) {
    for (int event = 0; event < 3; event++) {
        char *sql = trigger_sql(table, event, 1);
        Status status = sql ? sql_execute(table->db, err, "%s", sql) : fail_nomem(err, "SQL");
        sqlite3_free(sql);
        TRY(status);
    }
    return ST_OK;
}

Status index_content_drop_triggers(IndexTable *table, Err *err) {
    for (int event = 0; event < 3; event++)
        TRY(sql_execute(table->db, err, "DROP TRIGGER IF EXISTS \"%w\".\"%w_content_%s\"",
            table->schema, table->name, EVENTS[event]));
    return ST_OK;
}

Status index_content_mend_triggers(IndexTable *table, Err *err) {
    sqlite3_int64 right = 0;
    Status status = guard_source(table->db, table->schema, table->content, 1, err);
    for (int event = 0; event < 3 && status == ST_OK; event++) {
        sqlite3_int64 found;
        char *sql = trigger_sql(table, event, 0);
        status = sql ? sql_integer(table->db, 0, &found, err,
                           "SELECT 1 FROM \"%w\".sqlite_schema WHERE type='trigger' AND sql=%Q",
                           table->schema, sql)
                     : fail_nomem(err, "SQL");
        right += status == ST_OK && found;
        sqlite3_free(sql);
    }
    if (status != ST_OK || right == 3) return status;
    TRY(index_content_drop_triggers(table, err));
    return index_content_create_triggers(table, err);
}
