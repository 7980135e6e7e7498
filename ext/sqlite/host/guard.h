/* What a schema may do to the SQL that we run, and must not: a file from somebody else decides what
 * a name of a shadow table means (a view that reads the virtual table itself, a table with a
 * trigger that writes to it), and what the name of a behaviour table points at. */
#ifndef REC_GUARD_H
#define REC_GUARD_H

#include "sql.h"

/* Around whatever reads or writes tables of somebody else's choice: an error where that goes on
 * within itself, a few levels down. Per thread. */
Status guard_enter(Err *err);
void guard_leave(void);

/* The same for the methods of one virtual table, whose statements and loaded copy must not change
 * under its feet: *busy belongs to the table object, 0 at first. Inside another method of the same
 * table it is an error. */
Status guard_enter_table(int *busy, Err *err);
void guard_leave_table(int *busy);

/* A name that comes from stored rows must stand in that schema as a table or view (with ordinary:
 * as an ordinary table). SQLite's eponymous tables (sqlite_stmt, which holds the texts of all
 * prepared statements, pragma_..., rec_info) do not. */
Status guard_source(sqlite3 *db, const char *schema, const char *table, int ordinary, Err *err);

/* May this connection train, tune, and build indexes? Not after rec_serving_only() was called on
 * it, nor in a process with REC_TRAINING=0 in its environment. */
Status guard_may_train(sqlite3 *db, Err *err);
/* Registers a function on the connection, which nothing in SQL can take back. */
Status guard_forbid_training(sqlite3 *db, Err *err);

#endif
