/* What every file of this room shares: SQLite's API (loadable or linked), statuses turned into
 * SQLite's codes, SQL with quoted names. Only this room knows SQLite. */
#ifndef REC_SQL_H
#define REC_SQL_H

#ifdef SQLITE_CORE
#include <sqlite3.h>
#else
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3
#endif

#include "../../base/bytes.h"
#include "../../base/keymap.h"
#include "../../base/status.h"
#include "../../base/task.h"

/* Status to SQLite's code. */
int sql_code(Status status, const Err *err);

/* A Status for a failed SQLite call, with SQLite's own text. */
Status sql_failed(Err *err, sqlite3 *db, int code);

/* Put "module name: text" into the table's zErrMsg and return the code. */
int sql_vtab_error(
    sqlite3_vtab *vtab, const char *module, const char *name, Status status, Err *err);

/* The same for a function: "rec_x: text". */
void sql_function_error(
    sqlite3_context *context, const char *function, Status status, const Err *err);

/* Prepare SQL in sqlite3_mprintf's form (%w for names inside "...", %Q for strings). */
Status sql_prepare(sqlite3 *db, sqlite3_stmt **out, Err *err, const char *format, ...);

/* Prepare, step to the end, finalize. */
Status sql_execute(sqlite3 *db, Err *err, const char *format, ...);

/* One integer from SQL, or `otherwise` when there is no row. */
Status sql_integer(
    sqlite3 *db, sqlite3_int64 otherwise, sqlite3_int64 *out, Err *err, const char *format, ...);

/* For each row: while (sql_next(db, rows, &status, err)) status = ...; It ends with the rows, or
 * with *status an error, the caller's own or a step's. */
int sql_next(sqlite3 *db, sqlite3_stmt *rows, Status *status, Err *err);

/* Step a statement that is bound to its end, and finalize it. */
Status sql_finish(sqlite3 *db, sqlite3_stmt *statement, Err *err);

/* Step once: *has_row says whether a row came. */
Status sql_step(sqlite3 *db, sqlite3_stmt *statement, int *has_row, Err *err);

#endif
