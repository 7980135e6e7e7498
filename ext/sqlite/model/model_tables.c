/* rec_models, rec_versions, rec_training_log, rec_deployments: what models the connection's
 * databases hold. */
#include <jansson.h>
#include <string.h>

#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/schema.h"
#include "../versions/version_store.h"
#include "../versions/version_trials.h"
#include "model_events.h"

typedef struct Listing {
    sqlite3 *db;
    RowSink *sink;
    Status (*visit)(const ModelDefinition *, RowSink *, Err *);
    void (*damaged)(RowSink *, const char *, const char *, const Err *);
} Listing;

static Status visit_named(void *context, const char *schema, const char *name, Err *err) {
    const Listing *listing = context;
    ModelDefinition definition = {0};
    Status status = definition_load(&definition, listing->db, schema, name, err);
    if (status == ST_OK) {
        status = listing->visit(&definition, listing->sink, err);
    } else if (status != ST_NOMEM &&
        status != ST_CANCELLED) { /* one damaged model does not hide the others */
        if (listing->damaged) listing->damaged(listing->sink, schema, name, err);
        status = ST_OK;
    }
    definition_clear(&definition);
    return status;
}

/* Call visit for every rec_model of every schema, and damaged, unless it is NULL, for one that
 * cannot be read. */
static Status each_model(sqlite3 *db, RowSink *sink,
    Status (*visit)(const ModelDefinition *, RowSink *, Err *),
    void (*damaged)(RowSink *, const char *, const char *, const Err *), Err *err) {
    Listing listing = {db, sink, visit, damaged};
    return schema_each_table(db, "rec_model", "_deployments", visit_named, &listing, err);
}

static Status visit_model(const ModelDefinition *definition, RowSink *sink, Err *err) {
    sqlite3_int64 active, versions;
    const char *access = NULL;
    Err reason = {0};
    TRY(store_active(&definition->id, &active, err));
    TRY(sql_integer(definition->id.db, 0, &versions, err,
        "SELECT count(*) FROM \"%w\".\"%w_versions\"", definition->id.schema, definition->id.name));
    Status status = events_access(definition, &access, &reason);
    row_text(sink, definition->id.name);
    row_text(sink, definition->automatic ? "auto" : definition->algorithm->name);
    if (active) row_integer(sink, active);
    else row_null(sink);
    row_integer(sink, versions);
    row_text(sink, definition->events);
    row_text(sink, status == ST_OK ? access : reason.text);
    row_text(sink, definition->id.schema);
    return ST_OK;
}

/* Copy the rows of a statement over d's shadow tables, the model's name first. */
static Status copy_rows(
    const ModelDefinition *definition, sqlite3_stmt *rows, RowSink *sink, Err *err) {
    Status status = ST_OK;
    while (sql_next(definition->id.db, rows, &status, err)) {
        row_text(sink, definition->id.name);
        for (int i = 0; i < sqlite3_column_count(rows); i++) row_column(sink, rows, i);
        row_text(sink, definition->id.schema);
    }
    sqlite3_finalize(rows);
    return status;
}

static Status visit_versions(const ModelDefinition *definition, RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    TRY(sql_prepare(definition->id.db, &rows, err,
        "SELECT version, version IS (SELECT version FROM \"%w\".\"%w_deployments\" ORDER BY id "
        "DESC LIMIT 1), algorithm, options, events, users, items, until, trained_seconds, bytes, "
        "sha256 FROM \"%w\".\"%w_versions\" ORDER BY version",
        definition->id.schema, definition->id.name, definition->id.schema, definition->id.name));
    return copy_rows(definition, rows, sink, err);
}

static Status visit_deployments(const ModelDefinition *definition, RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    TRY(sql_prepare(definition->id.db, &rows, err,
        "SELECT id, version, action FROM \"%w\".\"%w_deployments\" ORDER BY id",
        definition->id.schema, definition->id.name));
    return copy_rows(definition, rows, sink, err);
}

static Status visit_trials(const ModelDefinition *definition, RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    TrialsState state;
    TRY(trials_state(&definition->id, &state, err));
    if (state == TRIALS_ABSENT) return ST_OK;
    TRY(sql_prepare(definition->id.db, &rows, err,
        "SELECT trial, tuning, algorithm, options, metric, k, value, users, seconds, seed, %s, %s "
        "FROM \"%w\".\"%w_trials\" ORDER BY trial",
        state == TRIALS_OLD ? "1.0" : "share", state == TRIALS_PRESENT ? "note" : "NULL",
        definition->id.schema, definition->id.name));
    return copy_rows(definition, rows, sink, err);
}

static Status log_rows(
    const ModelDefinition *definition, sqlite3_stmt *rows, RowSink *sink, Err *err) {
    json_error_t json_error;
    size_t i;
    json_t *step;
    const char *text = (const char *)sqlite3_column_text(rows, 1);
    json_t *log = text ? json_loads(text, 0, &json_error) : NULL;
    if (!json_is_array(log)) {
        json_decref(log);
        return fail(err, ST_CORRUPT, "the training log of %s version %lld is malformed",
            definition->id.name, sqlite3_column_int64(rows, 0));
    }
    json_array_foreach(log, i, step) {
        row_text(sink, definition->id.name);
        row_column(sink, rows, 0);
        for (size_t j = 0; j < 3; j++) row_real(sink, json_number_value(json_array_get(step, j)));
        row_text(sink, definition->id.schema);
    }
    json_decref(log);
    return ST_OK;
}

static Status visit_log(const ModelDefinition *definition, RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    TRY(sql_prepare(definition->id.db, &rows, err,
        "SELECT version, log FROM \"%w\".\"%w_versions\" ORDER BY version", definition->id.schema,
        definition->id.name));
    Status status = ST_OK;
    while (sql_next(definition->id.db, rows, &status, err)) {
        status = log_rows(definition, rows, sink, err);
    }
    sqlite3_finalize(rows);
    return status;
}

/* A row that says what is wrong, in the column `history`. */
static void damaged_model(RowSink *sink, const char *schema, const char *name, const Err *err) {
    row_text(sink, name);
    for (int i = 0; i < 4; i++) row_null(sink);
    row_text(sink, err->text);
    row_text(sink, schema);
}

static Status models_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)argv;
    return each_model(db, sink, visit_model, damaged_model, err);
}

static Status versions_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)argv;
    return each_model(db, sink, visit_versions, NULL, err);
}

static Status deployments_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)argv;
    return each_model(db, sink, visit_deployments, NULL, err);
}

static Status log_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)argv;
    return each_model(db, sink, visit_log, NULL, err);
}

static Status trials_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)argv;
    return each_model(db, sink, visit_trials, NULL, err);
}

int register_model_tables(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_models",
            .columns = "model TEXT, algorithm TEXT, active INTEGER, versions INTEGER, events TEXT, "
                       "history TEXT, schema TEXT",
            .n_columns = 7,
            .arguments = "",
            .fill = models_fill},
        {.name = "rec_versions",
            .columns = "model TEXT, version INTEGER, active INTEGER, algorithm TEXT, options TEXT, "
                       "events INTEGER, users INTEGER, items INTEGER, until REAL, trained_seconds "
                       "REAL, bytes INTEGER, sha256 TEXT, schema TEXT",
            .n_columns = 13,
            .arguments = "",
            .fill = versions_fill},
        {.name = "rec_training_log",
            .columns = "model TEXT, version INTEGER, sweep REAL, objective REAL, seconds REAL, "
                       "schema TEXT",
            .n_columns = 6,
            .arguments = "",
            .fill = log_fill},
        {.name = "rec_deployments",
            .columns = "model TEXT, deployment INTEGER, version INTEGER, action TEXT, schema TEXT",
            .n_columns = 5,
            .arguments = "",
            .fill = deployments_fill},
        {.name = "rec_trials",
            .columns = "model TEXT, trial INTEGER, tuning INTEGER, algorithm TEXT, options TEXT, "
                       "metric TEXT, k INTEGER, value REAL, users INTEGER, seconds REAL, seed "
                       "INTEGER, share REAL, note TEXT, schema TEXT",
            .n_columns = 14,
            .arguments = "",
            .fill = trials_fill},
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        int code = row_table_register(db, &tables[i]);
        if (code) return code;
    }
    return SQLITE_OK;
}
