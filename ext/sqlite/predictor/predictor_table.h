/* The virtual table rec_predictor: its columns, its object, and the objects of a connection. */
#ifndef REC_PREDICTOR_TABLE_H
#define REC_PREDICTOR_TABLE_H

#include "../versions/version_commands.h"
#include "../versions/version_store.h"
#include "predictor_definition.h"

/* The columns: constant, name (of the command column the table's), type: "id" is that of the
 * examples' id. Those after `version` are hidden. */
#define PREDICTOR_COLUMNS(X) \
    X(P_ID, "id", "id") \
    X(P_PREDICTION, "prediction", "") \
    X(P_PROBABILITY, "probability", "REAL") \
    X(P_PROBABILITIES, "probabilities", "TEXT") \
    X(P_SCORE, "score", "REAL") \
    X(P_LOW, "low", "REAL") \
    X(P_HIGH, "high", "REAL") \
    X(P_VERSION, "version", "INTEGER") \
    X(P_COMMAND, "", "TEXT") \
    X(P_OPTIONS, "options", "TEXT") \
    X(P_ARG, "arg", "") \
    X(P_ARM, "arm", "TEXT")

enum {
#define X(constant, name, type) constant,
    PREDICTOR_COLUMNS(X)
#undef X
        N_PREDICTOR_COLUMNS
};
extern const char *const predictor_column_names[N_PREDICTOR_COLUMNS];

/* Letters of a plan, one an argument of xFilter, in their order. */
enum { PLAN_SOURCE = 's', PLAN_OPTIONS = 'o', PLAN_ID = 'i' };

typedef struct PredictorConnection PredictorConnection;

typedef struct PredictorTable {
    VersionedTable versions; /* what the commands on versions see of it */
    PredictorDefinition definition;
    PredictorConnection *connection;
    struct PredictorTable *next; /* of the connection */
    int references;              /* SQLite's, and those of functions that are at work */
    sqlite3_stmt *lookup;
    LiveCache live;
    int busy; /* guard.h */
} PredictorTable;

/* The rec_predictors that a connection has open, so that functions find them by name: SQLite
 * connects a virtual table when a statement names it, and a scalar function's name is a value. */
struct PredictorConnection {
    sqlite3 *db;
    PredictorTable *table;
    int references; /* the module's, and those of functions */
};
void predictor_connection_release(void *connection);
void predictor_connection_add(PredictorTable *table);
void predictor_connection_remove(PredictorTable *table);
/* By a user's spelling, with one reference more: predictor_table_release it. */
Status predictor_table_find(
    PredictorConnection *connection, const char *name, PredictorTable **out, Err *err);
void predictor_table_release(PredictorTable *table);

int predictor_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info);
int predictor_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out);
int predictor_close(sqlite3_vtab_cursor *cursor);
int predictor_filter(
    sqlite3_vtab_cursor *cursor, int number, const char *plan, int argc, sqlite3_value **argv);
int predictor_next(sqlite3_vtab_cursor *cursor);
int predictor_eof(sqlite3_vtab_cursor *cursor);
int predictor_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column);
int predictor_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out);
int predictor_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid);

/* The scalar functions, on the same connection. */
int predict_functions_register(sqlite3 *db, PredictorConnection *connection);

#endif
