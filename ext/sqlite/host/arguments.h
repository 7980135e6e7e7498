/* The arguments of CREATE VIRTUAL TABLE. */
#ifndef REC_ARGUMENTS_H
#define REC_ARGUMENTS_H

#include "sql.h"

/* CREATE VIRTUAL TABLE's arguments: "key = value", the value unquoted. Returns 0 when there is no
 * '='. Both outputs are sqlite3_malloc'ed. */
int argument_split(const char *argument, char **out_key, char **out_value);

/* Text of '...' or "..." or [..] or `..` without the quotes; else a trimmed copy.
 * sqlite3_malloc'ed. */
char *argument_unquote(const char *text, int len);

/* name=value, each name once. */
enum { MAX_ARGUMENTS = 64 };
typedef struct Arguments {
    char *key[MAX_ARGUMENTS];
    char *value[MAX_ARGUMENTS];
    int n;
} Arguments;
/* argv: xCreate's; the first three are no arguments. */
Status arguments_split(Arguments *arguments, int argc, const char *const *argv, Err *err);
void arguments_clear(Arguments *arguments);

/* The arguments in the text of a CREATE VIRTUAL TABLE, as SQLite would hand them over: split at the
 * commas outside quotes and brackets, without comments. *out and its texts are to be mem_free'd. */
Status schema_arguments(const char *sql, char ***out, int *out_n, Err *err);

#endif
