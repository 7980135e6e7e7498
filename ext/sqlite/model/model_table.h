/* rec_model: the pieces of the virtual table, shared by the model_*.c files and the tables that
 * read models.
 *
 * Shadow tables of a model `m` (docs/internals/model.md):
 *
 *     m_config     (key TEXT PRIMARY KEY, value)
 *         format = 1, the arguments of CREATE, last_version
 *     m_versions   (version INTEGER PRIMARY KEY, algorithm, options, events, users, items, until,
 *                   trained_seconds, bytes, sha256, log)
 *         log: JSON [[sweep, objective, seconds], ...]
 *     m_chunks     (chunk INTEGER PRIMARY KEY, version, data BLOB)
 *         the stored form, 1 MiB a chunk; chunk = version * 2^20 + number
 *     m_deployments(id INTEGER PRIMARY KEY, version, action)
 *         append-only; the last row's version is active
 *     m_trials     (trial INTEGER PRIMARY KEY, tuning, algorithm, options, metric, k, value, users,
 *                   seconds, seed, share, question, note)
 *         of an earlier database: made or extended by the first tuning
 */
#ifndef REC_MODEL_TABLE_H
#define REC_MODEL_TABLE_H

#include "../../base/date.h"
#include "../../eval/trial.h"
#include "../../models/histories.h"
#include "../host/values.h"

enum {
    C_USER,
    C_ITEM,
    C_SCORE,
    C_RANK,
    C_BECAUSE,
    C_VERSION,
    C_COMMAND,
    C_K,
    C_SIMILAR_TO,
    C_BASKET,
    C_CANDIDATES,
    C_EXCLUDE,
    C_OPTIONS,
    C_ARG,
    N_MODEL_COLUMNS
};

/* Conditions item IN (...) that one query may have: the planner's side and the cursor's must
 * agree. */
enum { MODEL_MAX_IN = 8 };

/* Bits of a plan's number. */
enum { MODEL_PLAN_BECAUSE = 1, MODEL_PLAN_BROWSE = 2 };

/* What CREATE said. */
typedef struct ModelDefinition {
    sqlite3 *db;
    char *schema;
    char *name;
    char *events, *user, *item, *weight, *time, *session; /* the last three may be NULL */
    /* the catalogue; may be NULL */
    char *items, *item_key, *item_text, *item_vector, *item_category;
    char *user_type, *item_type; /* declared types, "" where there is none */
    Affinity user_affinity, item_affinity;
    const Algorithm *algorithm; /* of algorithm=auto, before a search: item_knn */
    char *automatic;            /* algorithm=auto: its options of tuning as JSON; else NULL */
    CommonParams common;
    AlgorithmParams params;
    TimeUnit time_unit;
    int64_t keep; /* versions; 0: all */
} ModelDefinition;

void definition_clear(ModelDefinition *definition);
/* CREATE: read the arguments, look at the tables they name, make the shadow tables. */
Status definition_create(
    ModelDefinition *out, sqlite3 *db, int argc, const char *const *argv, Err *err);
/* May a model have this name, which is also a column's? */
Status definition_check_name(const char *name, Err *err);
/* Of the shadow tables. */
enum { N_MODEL_SUFFIXES = 5 };
extern const char *const model_suffixes[N_MODEL_SUFFIXES];
/* Read it from m_config; schema and name are copied. */
Status definition_load(
    ModelDefinition *out, sqlite3 *db, const char *schema, const char *name, Err *err);
/* By a user's spelling: 'recs' or 'aux.recs'. */
Status definition_find(ModelDefinition *out, sqlite3 *db, const char *name, Err *err);

/* ---- model_events.c: reading the behaviour table ---- */

/* Statements over the events, and what the last pass over all of them met. */
typedef struct EventsReader {
    const ModelDefinition *definition;
    sqlite3_stmt *one_user;
    Task *task; /* counts the events that are read and may stop the reading; or NULL */
    int64_t rows;
    TimeSpan span; /* of times that are numbers of seconds */
    double first;  /* time of the earliest event */
} EventsReader;

void events_reader_clear(EventsReader *reader);

/* One user's history. */
Status events_read_user(EventsReader *reader, const Model *model, const HistoryRules *rules,
    sqlite3_value *user, OwnedHistory *out, Err *err);

/* All events before until (if has_until) into a dataset, not yet finished. definition: the
 * reader's, or a copy with another algorithm. */
Status events_read_all(EventsReader *reader, const ModelDefinition *definition, int has_until,
    double until, Dataset *data, Err *err);

/* The same into a set of their own ids. */
Status events_read_set(EventsReader *reader, int has_until, double until, EventSet *set, Err *err);

/* Everybody's. */
Status events_read_histories(EventsReader *reader, const Model *model, const HistoryRules *rules,
    AllHistories *out, Err *err);

/* A finite number, or a text that is one, in a column of a statement. Returns 0 for anything
 * else. */
int events_number(sqlite3_stmt *row, int column, double *out);

/* The time in a column of a statement, a number in the model's unit or a date text, as unix
 * seconds. what: "events.at", for the error. */
Status events_time(const ModelDefinition *definition, sqlite3_stmt *row, int column,
    const char *table, double *out, Err *err);

/* The same of few users: those who come first in the table. */
Status events_read_first_users(EventsReader *reader, const Model *model, const HistoryRules *rules,
    int32_t n_users, AllHistories *out, Err *err);

/* "index", "scan", or an error's text: how a user's events are found. sqlite3_malloc'ed. */
Status events_access(const ModelDefinition *definition, const char **out, Err *err);

/* ---- model_items.c: the items table, where the algorithm wants it ---- */

/* Before the events: every item of the catalogue. After dataset_finish: their texts and vectors. */
Status items_list(const ModelDefinition *definition, Dataset *data, Err *err);
Status items_read(const ModelDefinition *definition, Dataset *data, Err *err);

/* ---- model_store.c: versions ---- */

Status store_create(const ModelDefinition *definition, Err *err);
/* The active version, 0 when there is none. */
Status store_active(const ModelDefinition *definition, sqlite3_int64 *out, Err *err);
/* What becomes of a version that is stored. */
typedef struct PutWish {
    int activate;
    int64_t keep; /* of all versions so many, the newest; 0: all; KEEP_AS_CREATED: as CREATE says */
} PutWish;
enum { KEEP_AS_CREATED = -1 };

/* Store a model as the next version, read back and complete; written last: the deployment, if it is
 * to serve. Older versions beyond those to keep go, but for the active one and the one before it,
 * which rollback goes back to. */
Status store_put(const ModelDefinition *definition, Model *model, const PutWish *wish,
    const char *action, sqlite3_int64 *out_version, Err *err);
/* The options of the active version as {"algorithm":..., option: value, ...}, sqlite3_malloc'ed;
 * NULL where there is none. */
Status store_active_options(const ModelDefinition *definition, char **out, Err *err);
Status store_activate(const ModelDefinition *definition, sqlite3_int64 version, Err *err);
Status store_rollback(const ModelDefinition *definition, Err *err);
Status store_drop(const ModelDefinition *definition, sqlite3_int64 version, Err *err);
Status store_check(const ModelDefinition *definition, Err *err);
/* A reference into the cache (cache_release it); loads on a miss. version 0: the active one. */
Status store_model(const ModelDefinition *definition, sqlite3_int64 version, const char *sha256,
    Model **out, Err *err);
/* version and sha256 (SHA256_TEXT bytes) of the wanted version (0: the active one). */
Status store_lookup(const ModelDefinition *definition, sqlite3_stmt **cached, sqlite3_int64 wanted,
    sqlite3_int64 *out, char sha256[SHA256_TEXT], Err *err);

/* ---- model_setting.c ---- */

typedef struct TrainOptions {
    double until;
    int64_t activate;
    int64_t keep;
    int64_t progress;
    int64_t algorithm; /* index in the registry */
} TrainOptions;
enum { ACTIVATE_ALWAYS, ACTIVATE_NEVER };
extern const OptSpec train_options[];
/* A JSON of options into *train and, where they are the algorithm's, into the definition. */
Status train_read_options(
    ModelDefinition *definition, TrainOptions *train, const char *options, Err *err);

/* The setting that a JSON of options (or NULL) makes of the definition. */
Status train_setting(
    const ModelDefinition *definition, const char *options, Setting *out, Err *err);

/* ---- model_train.c ---- */

/* Train by the definition and a JSON of options (or NULL); *wish gets what the options say of
 * it. */
Status train_model(const ModelDefinition *definition, EventsReader *reader, const char *options,
    Model **out, PutWish *wish, Err *err);

/* ---- model_trials.c ---- */

#define TRIALS_COLUMNS \
    "trial INTEGER PRIMARY KEY, tuning INTEGER, algorithm TEXT, options TEXT, metric TEXT, k " \
    "INTEGER, value REAL, users INTEGER, seconds REAL, seed INTEGER, share REAL DEFAULT 1, " \
    "question TEXT, note TEXT"

/* Is m_trials there, and ours? In a database from before tuning it may be missing or somebody
 * else's table: absent; from before halving it has neither share nor question, and from before
 * 2026-12 no note. */
typedef enum TrialsState {
    TRIALS_ABSENT,
    TRIALS_OLD,
    TRIALS_WITHOUT_NOTE,
    TRIALS_PRESENT
} TrialsState;
Status trials_state(const ModelDefinition *definition, TrialsState *out, Err *err);

/* ---- model_tune.c ---- */

/* The command `tune`: try settings, remember the trials, train and serve the best one as the
 * options say; *version 0: none was. */
Status tune_model(const ModelDefinition *definition, EventsReader *reader, const char *options,
    sqlite3_int64 *version, Err *err);

/* Does this training, of a model with algorithm=auto, begin with the search for a setting? */
int tune_before_train(const ModelDefinition *definition, const char *options);

/* That search and the training of what it chose; store: keep the trials. */
Status tune_and_train(const ModelDefinition *definition, EventsReader *reader, const char *options,
    int store, Model **out, PutWish *wish, Err *err);

/* SELECT rec_tune(...): the same in a statement that reads; *out is its result, as JSON. */
Status tune_outside(const ModelDefinition *definition, EventsReader *reader, const char *options,
    Bytes *out, Err *err);

/* ---- the virtual table ---- */

typedef struct ModelTable {
    sqlite3_vtab base;
    ModelDefinition definition;
    EventsReader reader;
    sqlite3_stmt *lookup;
    Model *loaded; /* a reference into the cache */
    sqlite3_int64 loaded_version;
    int busy; /* guard.h */
    /* per item of `loaded`, -1 for none; what model_categories.c read at category_stamp */
    int32_t *category;
    sqlite3_int64 category_stamp[3];
    ModelQuery *spare; /* a query of `loaded`, between uses */
} ModelTable;

/* The model to answer with: the active one or `version`; held by the caller until
 * model_table_give_back. */
Status model_table_take(ModelTable *table, sqlite3_int64 version, Model **out,
    sqlite3_int64 *out_version, ModelQuery **out_query, Err *err);
void model_table_give_back(ModelTable *table, Model *model, ModelQuery *query);

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
