#include "sql.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../math/kernels.h"

int sql_code(Status status, const Err *err) {
    switch (status) {
    case ST_OK: return SQLITE_OK;
    case ST_NOMEM: return SQLITE_NOMEM;
    case ST_CORRUPT: return SQLITE_CORRUPT_VTAB;
    case ST_CANCELLED: return SQLITE_INTERRUPT;
    case ST_HOST: return err && err->host_code ? err->host_code : SQLITE_ERROR;
    default: return SQLITE_ERROR;
    }
}

Status sql_failed(Err *err, sqlite3 *db, int code) {
    if ((code & 0xff) == SQLITE_NOMEM) return fail_nomem(err, "the database");
    if ((code & 0xff) == SQLITE_INTERRUPT) return fail(err, ST_CANCELLED, "interrupted");
    fail(err, ST_HOST, "%s", sqlite3_errmsg(db));
    if (err) err->host_code = code;
    return ST_HOST;
}

int sql_vtab_error(
    sqlite3_vtab *vtab, const char *module, const char *name, Status status, Err *err) {
    if (status == ST_OK) return SQLITE_OK;
    sqlite3_free(vtab->zErrMsg);
    vtab->zErrMsg = sqlite3_mprintf("%s %s: %s", module, name, err->text);
    return sql_code(status, err);
}

void sql_function_error(
    sqlite3_context *context, const char *function, Status status, const Err *err) {
    char *text = sqlite3_mprintf("%s: %s", function, err->text);
    if (!text || status == ST_NOMEM) {
        sqlite3_result_error_nomem(context);
    } else {
        sqlite3_result_error(context, text, -1);
        sqlite3_result_error_code(context, sql_code(status, err));
    }
    sqlite3_free(text);
}

static Status prepare(sqlite3 *db, sqlite3_stmt **out, Err *err, const char *format, va_list args) {
    char *sql = sqlite3_vmprintf(format, args);
    *out = NULL;
    if (!sql) return fail_nomem(err, "SQL");
    int code = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    sqlite3_free(sql);
    return code ? sql_failed(err, db, code) : ST_OK;
}

Status sql_prepare(sqlite3 *db, sqlite3_stmt **out, Err *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    Status status = prepare(db, out, err, format, args);
    va_end(args);
    return status;
}

Status sql_step(sqlite3 *db, sqlite3_stmt *statement, int *has_row, Err *err) {
    int code = sqlite3_step(statement);
    *has_row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? ST_OK : sql_failed(err, db, code);
}

int sql_next(sqlite3 *db, sqlite3_stmt *rows, Status *status, Err *err) {
    int has_row = 0;
    if (*status == ST_OK) *status = sql_step(db, rows, &has_row, err);
    return *status == ST_OK && has_row;
}

Status sql_finish(sqlite3 *db, sqlite3_stmt *statement, Err *err) {
    Status status = ST_OK;
    while (sql_next(db, statement, &status, err)) {}
    sqlite3_finalize(statement);
    return status;
}

Status sql_execute(sqlite3 *db, Err *err, const char *format, ...) {
    sqlite3_stmt *statement;
    va_list args;
    va_start(args, format);
    Status status = prepare(db, &statement, err, format, args);
    va_end(args);
    return status == ST_OK ? sql_finish(db, statement, err) : status;
}

Status sql_integer(
    sqlite3 *db, sqlite3_int64 otherwise, sqlite3_int64 *out, Err *err, const char *format, ...) {
    sqlite3_stmt *statement;
    va_list args;
    int has_row = 0;
    *out = otherwise;
    va_start(args, format);
    Status status = prepare(db, &statement, err, format, args);
    va_end(args);
    if (status == ST_OK) status = sql_step(db, statement, &has_row, err);
    if (has_row && sqlite3_column_type(statement, 0) != SQLITE_NULL)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}
