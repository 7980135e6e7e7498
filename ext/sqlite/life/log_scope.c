#include "log_scope.h"

/* The years that a date can have. */
static const double EARLIEST = -377705116800.0, LATEST = 253402300799.0;

const OptSpec log_scope_options[] = {
    {"kind", OPT_TEXT, offsetof(LogScope, kind), 0, ROUTE_NAME, 0, "click",
        "the outcome that credits a row"},
    {"scenario", OPT_TEXT, offsetof(LogScope, scenario), 0, ROUTE_NAME, 0, "",
        "lists of this scenario alone"},
    {"from", OPT_TIME, offsetof(LogScope, from), EARLIEST, LATEST, EARLIEST, NULL,
        "lists from this time on"},
    {"until", OPT_TIME, offsetof(LogScope, until), EARLIEST, LATEST, LATEST, NULL,
        "lists before this time"},
    {0},
};

Status log_scope_read(LogScope *out, sqlite3_value *options, const OptTarget *own, Err *err) {
    OptTarget target[2] = {{log_scope_options, out}};
    options_default(log_scope_options, out);
    if (own) {
        target[1] = *own;
        options_default(own->specs, own->params);
    }
    if (!options || sqlite3_value_type(options) == SQLITE_NULL) return ST_OK;
    const char *text = (const char *)sqlite3_value_text(options);
    return text ? options_set_json(target, own ? 2 : 1, text, err) : fail_nomem(err, "options");
}

Status log_is_there(const Versioned *versioned, int *out, Err *err) {
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    return shadow_has(&version_shadow, &owner, "outcomes", out, err);
}

void log_scope_bind(sqlite3_stmt *statement, const LogScope *scope) {
    sqlite3_bind_text(statement, 1, scope->kind, -1, SQLITE_TRANSIENT);
    sqlite3_bind_double(statement, 2, scope->from);
    sqlite3_bind_double(statement, 3, scope->until);
    if (*scope->scenario) sqlite3_bind_text(statement, 4, scope->scenario, -1, SQLITE_TRANSIENT);
    else sqlite3_bind_null(statement, 4);
}
