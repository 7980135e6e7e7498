#include "function.h"

#include <math.h>
#include <stdint.h>

#include "../host/parts.h"

void function_error(sqlite3_context *context, const char *function, const char *text) {
    Err err = {0};
    fail(&err, ST_BADARG, "%s", text);
    sql_function_error(context, function, ST_BADARG, &err);
}

static const char *wrong(NumberKind kind, double value) {
    if (kind == LABEL && value != 0 && value != 1) return "must be 0 or 1";
    if (kind == PROBABILITY && !(value >= 0 && value <= 1)) return "must be between 0 and 1";
    if ((kind == COUNT || kind == WEIGHT) && value < 0) return "must be 0 or more";
    if (kind == POSITIVE && value <= 0) return "must be above 0";
    return NULL;
}

int function_number(sqlite3_context *context, const char *function, const char *what,
    NumberKind kind, sqlite3_value *value, double *out) {
    int type = sqlite3_value_numeric_type(value);
    Err err = {0};
    *out = sqlite3_value_double(value);
    const char *problem = (type != SQLITE_INTEGER && type != SQLITE_FLOAT) || !isfinite(*out)
        ? "must be a finite number"
        : wrong(kind, *out);
    if (!problem) return 1;
    fail(&err, ST_BADARG, "%s %s", what, problem);
    sql_function_error(context, function, ST_BADARG, &err);
    return 0;
}

int has_null(int argc, sqlite3_value **argv) {
    for (int i = 0; i < argc; i++)
        if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return 1;
    return 0;
}

void result_number(sqlite3_context *context, double value) {
    if (isfinite(value)) sqlite3_result_double(context, value);
}

void result_json(sqlite3_context *context, Bytes *json) {
    if (json->failed) sqlite3_result_error_nomem(context);
    else sqlite3_result_text(context, (const char *)json->data, (int)json->len, SQLITE_TRANSIENT);
    bytes_clear(json);
}

int scalars_register(sqlite3 *db, const ScalarFunction *function, size_t n) {
    int code = SQLITE_OK;
    for (size_t i = 0; i < n && !code; i++)
        for (int arguments = function[i].least; arguments <= function[i].most && !code; arguments++)
            code = sqlite3_create_function_v2(db, function[i].name, arguments, FUNCTION_PURE,
                (void *)(uintptr_t)function[i].name, function[i].function, NULL, NULL, NULL);
    return code;
}

int window_register(
    sqlite3 *db, const char *name, int arguments, const void *user_data, const Window *window) {
    return sqlite3_create_window_function(db, name, arguments, FUNCTION_PURE,
        (void *)(uintptr_t)user_data, window->step, window->final, window->value, window->inverse,
        NULL);
}
