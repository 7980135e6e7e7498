#include "log_scope.h"

#include "../host/values.h"

const OptSpec log_scope_options[] = {
    {"kind", OPT_TEXT, offsetof(LogScope, kind), 0, ROUTE_NAME, 0, "click",
        "the outcome that credits a row"},
    {"scenario", OPT_TEXT, offsetof(LogScope, scenario), 0, ROUTE_NAME, 0, "",
        "lists of this scenario alone"},
    {"from", OPT_TIME, offsetof(LogScope, from), DATE_FIRST, DATE_LAST, DATE_FIRST, NULL,
        "lists from this time on"},
    {"until", OPT_TIME, offsetof(LogScope, until), DATE_FIRST, DATE_LAST, DATE_LAST, NULL,
        "lists before this time"},
    {0},
};

Status log_scope_read(LogScope *out, sqlite3_value *options, const OptTarget *own, Err *err) {
    OptTarget target[2] = {{log_scope_options, out}};
    if (own) target[1] = *own;
    return value_options(target, own ? 2 : 1, options, err);
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
