/* rec_versions, rec_deployments, rec_trials, rec_training_log: the versions that the connection's
 * databases hold, of every kind. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/schema.h"
#include "version_trials.h"

/* Copy the rows of a statement over d's shadow tables, the model's name first. */
static Status copy_rows(const Versioned *versioned, sqlite3_stmt *rows, RowSink *sink, Err *err) {
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err)) {
        row_text(sink, versioned->name);
        for (int i = 0; i < sqlite3_column_count(rows); i++) row_column(sink, rows, i);
        row_text(sink, versioned->schema);
    }
    sqlite3_finalize(rows);
    return status;
}

/* Is a table that is made later there? */
static Status has_later(const Versioned *versioned, const char *suffix, int *out, Err *err) {
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    return shadow_has(&version_shadow, &owner, suffix, out, err);
}

/* Its aliases as a JSON array, tags as an object, and note. */
static Status visit_versions(const Versioned *versioned, RowSink *sink, Err *err) {
    static const char aliases[] =
        "(SELECT json_group_array(key) FROM json_each((SELECT value FROM \"%w\".\"%w_config\" "
        "WHERE key='live' AND json_valid(value)), '$.aliases') WHERE value=v.version)";
    static const char facts[] =
        "(SELECT json_group_object(substr(key, 5), CASE typeof(value) WHEN 'blob' THEN hex(value) "
        "ELSE value END) FROM \"%w\".\"%w_facts\" WHERE "
        "version=v.version AND substr(key, 1, 4)='tag:'), (SELECT value FROM \"%w\".\"%w_facts\" "
        "WHERE version=v.version AND key='note'), (SELECT value FROM \"%w\".\"%w_facts\" WHERE "
        "version=v.version AND key='at'), (SELECT value FROM \"%w\".\"%w_facts\" WHERE "
        "version=v.version AND key='author'), (SELECT value FROM \"%w\".\"%w_facts\" WHERE "
        "version=v.version AND key='trained_on')";
    const char *schema = versioned->schema, *name = versioned->name;
    sqlite3_stmt *rows;
    int has_facts;
    TRY(has_later(versioned, "facts", &has_facts, err));
    char *own_aliases = sqlite3_mprintf(aliases, schema, name),
         *own_facts = has_facts ? sqlite3_mprintf(facts, schema, name, schema, name, schema, name,
                                      schema, name, schema, name)
                                : sqlite3_mprintf("'{}', NULL, NULL, NULL, NULL");
    Status status = own_aliases && own_facts
        ? sql_prepare(versioned->db, &rows, err,
              "SELECT version, version IS (SELECT version FROM \"%w\".\"%w_deployments\" ORDER BY "
              "id DESC LIMIT 1), algorithm, options, events, users, items, until, trained_seconds, "
              "bytes, sha256, %s, %s FROM \"%w\".\"%w_versions\" v ORDER BY version",
              schema, name, own_aliases, own_facts, schema, name)
        : fail_nomem(err, "SQL");
    sqlite3_free(own_aliases);
    sqlite3_free(own_facts);
    return status == ST_OK ? copy_rows(versioned, rows, sink, err) : status;
}

/* When, by whom: from the audit's first row that has the deployment. */
static Status visit_deployments(const Versioned *versioned, RowSink *sink, Err *err) {
    const char *schema = versioned->schema, *name = versioned->name;
    sqlite3_stmt *rows;
    int has_audit;
    TRY(has_later(versioned, "audit", &has_audit, err));
    if (has_audit)
        TRY(sql_prepare(versioned->db, &rows, err,
            "SELECT d.id, d.version, d.action, a.at, a.author FROM \"%w\".\"%w_deployments\" d "
            "LEFT JOIN (SELECT json_extract(live, '$.deployment') AS deployment, min(id), at, "
            "author FROM \"%w\".\"%w_audit\" WHERE json_valid(live) GROUP BY 1) a "
            "ON a.deployment=d.id ORDER BY d.id",
            schema, name, schema, name));
    else
        TRY(sql_prepare(versioned->db, &rows, err,
            "SELECT id, version, action, NULL, NULL FROM \"%w\".\"%w_deployments\" ORDER BY id",
            schema, name));
    return copy_rows(versioned, rows, sink, err);
}

static Status visit_trials(const Versioned *versioned, RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    TrialsState state;
    TRY(trials_state(versioned, &state, err));
    if (state == TRIALS_ABSENT) return ST_OK;
    TRY(sql_prepare(versioned->db, &rows, err,
        "SELECT trial, tuning, algorithm, options, metric, k, value, users, seconds, seed, %s, %s "
        "FROM \"%w\".\"%w_trials\" ORDER BY trial",
        state == TRIALS_OLD ? "1.0" : "share", state == TRIALS_PRESENT ? "note" : "NULL",
        versioned->schema, versioned->name));
    return copy_rows(versioned, rows, sink, err);
}

static Status log_rows(const Versioned *versioned, sqlite3_stmt *rows, RowSink *sink, Err *err) {
    json_error_t json_error;
    size_t i;
    json_t *step;
    const char *text = (const char *)sqlite3_column_text(rows, 1);
    json_t *log = text ? json_loads(text, 0, &json_error) : NULL;
    if (!json_is_array(log)) {
        json_decref(log);
        return fail(err, ST_CORRUPT, "the training log of %s version %lld is malformed",
            versioned->name, sqlite3_column_int64(rows, 0));
    }
    json_array_foreach(log, i, step) {
        row_text(sink, versioned->name);
        row_column(sink, rows, 0);
        for (size_t j = 0; j < 3; j++) row_real(sink, json_number_value(json_array_get(step, j)));
        json_t *validation = json_array_get(step, 3);
        row_number(sink, validation ? json_number_value(validation) : NAN);
        row_text(sink, versioned->schema);
    }
    json_decref(log);
    return ST_OK;
}

static Status visit_log(const Versioned *versioned, RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    TRY(sql_prepare(versioned->db, &rows, err,
        "SELECT version, log FROM \"%w\".\"%w_versions\" ORDER BY version", versioned->schema,
        versioned->name));
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err)) {
        status = log_rows(versioned, rows, sink, err);
    }
    sqlite3_finalize(rows);
    return status;
}

typedef Status (*VisitVersions)(const Versioned *, RowSink *, Err *);

typedef struct VersionListing {
    sqlite3 *db;
    RowSink *sink;
    VisitVersions visit;
} VersionListing;

/* Whose shadow tables are not what they should be, or hold what they should not, is passed over:
 * one damaged table does not hide the others. */
static Status visit_named(void *context, const char *schema, const char *name, Err *err) {
    const VersionListing *listing = context;
    Versioned versioned = {
        .db = listing->db, .schema = (char *)(uintptr_t)schema, .name = (char *)(uintptr_t)name};
    ShadowOwner owner = {listing->db, schema, name, &versioned};
    Status status = shadow_check(&version_shadow, &owner, err);
    if (status == ST_OK) status = shadow_check_format(&version_shadow, &owner, err);
    if (status != ST_OK) return status == ST_NOMEM || status == ST_CANCELLED ? status : ST_OK;
    status = listing->visit(&versioned, listing->sink, err);
    return status == ST_CORRUPT ? ST_OK : status;
}

/* Of whatever module of ours: a table with versions is one that has deployments. */
static Status each_versioned(sqlite3 *db, RowSink *sink, VisitVersions visit, Err *err) {
    VersionListing listing = {db, sink, visit};
    return schema_each_table(db, "rec_", "_deployments", visit_named, &listing, err);
}

static Status versions_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)argv;
    return each_versioned(db, sink, visit_versions, err);
}

static Status deployments_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)argv;
    return each_versioned(db, sink, visit_deployments, err);
}

static Status log_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)argv;
    return each_versioned(db, sink, visit_log, err);
}

static Status trials_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)argv;
    return each_versioned(db, sink, visit_trials, err);
}

int register_version_tables(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_versions",
            .columns = "model TEXT, version INTEGER, active INTEGER, algorithm TEXT, options TEXT, "
                       "events INTEGER, users INTEGER, items INTEGER, until REAL, trained_seconds "
                       "REAL, bytes INTEGER, sha256 TEXT, aliases TEXT, tags TEXT, note TEXT, at "
                       "REAL, author TEXT, trained_on TEXT, schema TEXT",
            .n_columns = 19,
            .arguments = "",
            .fill = versions_fill},
        {.name = "rec_training_log",
            .columns = "model TEXT, version INTEGER, sweep REAL, objective REAL, seconds REAL, "
                       "validation REAL, schema TEXT",
            .n_columns = 7,
            .arguments = "",
            .fill = log_fill},
        {.name = "rec_deployments",
            .columns = "model TEXT, deployment INTEGER, version INTEGER, action TEXT, at REAL, "
                       "author TEXT, schema TEXT",
            .n_columns = 7,
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
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
