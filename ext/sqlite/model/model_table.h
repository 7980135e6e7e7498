/* The virtual table rec_model: its columns, and its object. */
#ifndef REC_MODEL_TABLE_H
#define REC_MODEL_TABLE_H

#include "../host/counting.h"
#include "../versions/version_commands.h"
#include "../versions/version_store.h"
#include "model_events.h"

/* The columns: constant, name (of the command column the table's), and type: "user" and "item" are
 * those of the events' columns. Those after `version` are hidden; those after `arg` are results all
 * the same. */
#define MODEL_COLUMNS(X) \
    X(C_USER, "user", "user") \
    X(C_ITEM, "item", "item") \
    X(C_SCORE, "score", "REAL") \
    X(C_RANK, "rank", "INTEGER") \
    X(C_BECAUSE, "because", "TEXT") \
    X(C_VERSION, "version", "INTEGER") \
    X(C_COMMAND, "", "user") \
    X(C_K, "k", "INTEGER") \
    X(C_SIMILAR_TO, "similar_to", "item") \
    X(C_BASKET, "basket", "TEXT") \
    X(C_CANDIDATES, "candidates", "TEXT") \
    X(C_EXCLUDE, "exclude", "TEXT") \
    X(C_OPTIONS, "options", "TEXT") \
    X(C_ARG, "arg", "") \
    X(C_ARM, "arm", "TEXT") \
    X(C_TEAM, "team", "TEXT") \
    X(C_PROPENSITY, "propensity", "REAL")

enum {
#define X(constant, name, type) constant,
    MODEL_COLUMNS(X)
#undef X
        N_MODEL_COLUMNS
};
extern const char *const model_column_names[N_MODEL_COLUMNS];

/* Conditions item IN (...) that one query may have: the planner's side and the cursor's must
 * agree. */
enum { MODEL_MAX_IN = 8 };

/* Bits of a plan's number. */
enum { MODEL_PLAN_BECAUSE = 1, MODEL_PLAN_BROWSE = 2, MODEL_PLAN_PROPENSITY = 4 };

/* A version that the table keeps at hand. */
typedef struct LoadedVersion {
    Model *model; /* a reference into the cache; NULL: an empty place */
    sqlite3_int64 version;
    ModelQuery *spare; /* a query of it, between uses */
    /* per item, -1 for none; what model_categories.c read at category_stamp */
    int32_t *category;
    sqlite3_int64 category_stamp[3];
} LoadedVersion;
enum { MODEL_KEEPS = 4 }; /* an experiment asks two or three by turns */

typedef struct ModelTable {
    VersionedTable versions; /* what the commands on versions see of it */
    ModelDefinition definition;
    EventsReader reader;
    sqlite3_stmt *lookup;
    LiveCache live;
    LoadedVersion loaded[MODEL_KEEPS];
    unsigned next_loaded;
    VersionName bad; /* a version that did not load */
    CounterBlock *counters;
    int busy; /* guard.h */
} ModelTable;

int model_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info);
int model_open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out);
int model_close_cursor(sqlite3_vtab_cursor *cursor);
int model_filter(
    sqlite3_vtab_cursor *cursor, int number, const char *plan, int argc, sqlite3_value **argv);
int model_next(sqlite3_vtab_cursor *cursor);
int model_eof(sqlite3_vtab_cursor *cursor);
int model_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column);
int model_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out);
int model_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid);

#endif
