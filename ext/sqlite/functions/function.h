/* What SQL functions share: arguments that are numbers, results, errors, registration. */
#ifndef REC_FUNCTION_H
#define REC_FUNCTION_H

#include "../../base/bytes.h"
#include "../host/sql.h"

/* The error "function: text". */
void function_error(sqlite3_context *context, const char *function, const char *text);

/* What a number may be. */
typedef enum NumberKind { NUMBER, LABEL, PROBABILITY, COUNT, POSITIVE, WEIGHT } NumberKind;

/* A number, not a text that only looks like none: 0 when an error was returned, which calls it
 * `what`. */
int function_number(sqlite3_context *context, const char *function, const char *what,
    NumberKind kind, sqlite3_value *value, double *out);

int has_null(int argc, sqlite3_value **argv);

/* NULL for NaN, and for what overflows, which has no answer either. */
void result_number(sqlite3_context *context, double value);

/* As TEXT; json is cleared. */
void result_json(sqlite3_context *context, Bytes *json);

/* A scalar function of least .. most arguments; its user data is its name. */
typedef struct ScalarFunction {
    const char *name;
    int least, most;
    void (*function)(sqlite3_context *, int, sqlite3_value **);
} ScalarFunction;
int scalars_register(sqlite3 *db, const ScalarFunction *function, size_t n);

/* An aggregate that is a window function too: the step and its inverse, the result, and the end,
 * which also frees. */
typedef struct Window {
    void (*step)(sqlite3_context *, int, sqlite3_value **);
    void (*inverse)(sqlite3_context *, int, sqlite3_value **);
    void (*value)(sqlite3_context *);
    void (*final)(sqlite3_context *);
} Window;
int window_register(
    sqlite3 *db, const char *name, int arguments, const void *user_data, const Window *window);

#endif
