/* rec_audit, rec_audit_verify, rec_live_at: what was done, and what was live when. */
#include <math.h>
#include <string.h>

#include "../../base/date.h"
#include "../../base/json.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "version_audit.h"
#include "version_find.h"

/* ---- rec_audit(model) ---- */

static Status audit_rows(const Versioned *versioned, RowSink *sink, Err *err) {
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    sqlite3_stmt *rows;
    int found;
    TRY(shadow_has(&version_shadow, &owner, "audit", &found, err));
    if (!found) return ST_OK;
    TRY(sql_prepare(versioned->db, &rows, err,
        "SELECT id, at, command, detail, author, note, live, hash FROM \"%w\".\"%w_audit\" ORDER "
        "BY id",
        versioned->schema, versioned->name));
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err))
        for (int i = 0; i < 8; i++) row_column(sink, rows, i);
    sqlite3_finalize(rows);
    return status;
}

static Status audit_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Versioned versioned;
    TRY(version_find(&versioned, db, value_text(argv[0]), err));
    Status status = audit_rows(&versioned, sink, err);
    version_found_clear(&versioned);
    return status;
}

/* ---- rec_audit_verify(model [, head]) ---- */

static void audit_verify_function(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Versioned versioned;
    AuditFinding finding;
    Err err = {0};
    Status status = version_find(
        &versioned, sqlite3_context_db_handle(context), value_text(argv[0]), &err);
    if (status == ST_OK) {
        status = audit_verify(&versioned, argc > 1 ? value_text(argv[1]) : NULL, &finding, &err);
        version_found_clear(&versioned);
    }
    if (status != ST_OK) {
        sql_function_error(context, "rec_audit_verify", status, &err);
        return;
    }
    char *json = *finding.what ? sqlite3_mprintf("{\"ok\":false,\"row\":%lld,\"what\":\"%s\"}",
                                     finding.bad_row, finding.what)
                               : sqlite3_mprintf("{\"ok\":true,\"rows\":%lld,\"head\":\"%s\"}",
                                     finding.rows, finding.head);
    if (json) sqlite3_result_text(context, json, -1, sqlite3_free);
    else sqlite3_result_error_nomem(context);
}

/* ---- rec_live_at(model, at [, user]) ---- */

static Status live_at_row(double at, const Key *user, RowSink *sink, sqlite3_stmt *row, Err *err) {
    json_error_t json_error;
    const char *text = (const char *)sqlite3_column_text(row, 2);
    json_t *root = text ? json_loads(text, 0, &json_error) : NULL;
    sqlite3_int64 version = json_integer_value(json_object_get(root, "active"));
    Live live;
    int arm = -1;
    json_decref(root);
    TRY(live_parse(text, &live, err));
    if (user && !experiment_arm(&live.experiment, *user, at, &arm))
        return fail_nomem(err, "the arm");
    if (arm >= 0) version = live.experiment.version[arm];
    if (version) row_integer(sink, version);
    else row_null(sink);
    row_text(sink, arm >= 0 ? live.experiment.arm[arm].name : NULL);
    row_text(sink, *live.experiment.name ? live.experiment.name : NULL);
    row_column(sink, row, 0);
    row_column(sink, row, 1);
    return ST_OK;
}

static Status live_at_rows(
    const Versioned *versioned, double at, const Key *user, RowSink *sink, Err *err) {
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    sqlite3_stmt *row;
    int found, has_row;
    TRY(shadow_has(&version_shadow, &owner, "audit", &found, err));
    if (!found) return ST_OK;
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT at, command, live FROM \"%w\".\"%w_audit\" WHERE live IS NOT NULL AND at<=?1 ORDER "
        "BY id DESC LIMIT 1",
        versioned->schema, versioned->name));
    sqlite3_bind_double(row, 1, at);
    Status status = sql_step(versioned->db, row, &has_row, err);
    if (status == ST_OK && has_row) status = live_at_row(at, user, sink, row, err);
    sqlite3_finalize(row);
    return status;
}

static Status take_moment(sqlite3_value *value, double *out, Err *err) {
    const char *text = value_text(value);
    if (sqlite3_value_numeric_type(value) != SQLITE_TEXT) *out = sqlite3_value_double(value);
    else if (!text || !date_parse(text, strlen(text), out))
        return fail(err, ST_BADARG, "at: unix seconds or a date");
    return ST_OK;
}

static Status live_at_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Versioned versioned;
    double at;
    Key user;
    char buffer[KEY_BUFFER];
    KeyKinds kinds;
    TRY(take_moment(argv[1], &at, err));
    TRY(version_find(&versioned, db, value_text(argv[0]), err));
    Status status = version_key_kinds(&versioned, &kinds, err);
    int has_user = argv[2] && sqlite3_value_type(argv[2]) != SQLITE_NULL;
    if (status == ST_OK && has_user && !value_key(argv[2], kinds.user, buffer, &user))
        status = value_no_key("user", argv[2], err);
    if (status == ST_OK) status = live_at_rows(&versioned, at, has_user ? &user : NULL, sink, err);
    version_found_clear(&versioned);
    return status;
}

int register_audit(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_audit",
            .columns = "id INTEGER, at REAL, command TEXT, detail TEXT, author TEXT, note TEXT, "
                       "live TEXT, hash TEXT",
            .n_columns = 8,
            .arguments = ", model HIDDEN",
            .n_arguments = 1,
            .n_required = 1,
            .fill = audit_fill},
        {.name = "rec_live_at",
            .columns = "version INTEGER, arm TEXT, experiment TEXT, since REAL, why TEXT",
            .n_columns = 5,
            .arguments = ", model HIDDEN, at HIDDEN, user HIDDEN",
            .n_arguments = 3,
            .n_required = 2,
            .fill = live_at_fill},
    };
    int code = row_tables_register(db, tables, sizeof tables / sizeof *tables);
    for (int n = 1; n <= 2 && !code; n++)
        code = sqlite3_create_function_v2(
            db, "rec_audit_verify", n, SQLITE_UTF8, NULL, audit_verify_function, NULL, NULL, NULL);
    return code;
}
