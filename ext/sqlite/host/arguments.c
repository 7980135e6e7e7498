#include "arguments.h"

#include <string.h>

#include "../../base/memory.h"
#include "../../base/text.h"

char *argument_unquote(const char *text, int len) {
    while (len > 0 && ascii_is_space(*text)) text++, len--;
    while (len > 0 && ascii_is_space(text[len - 1])) len--;
    char quote = len >= 2 ? text[0] : 0;
    char close = quote == '[' ? ']' : quote;
    if (!quote || !strchr("'\"`[", quote) || text[len - 1] != close)
        return sqlite3_mprintf("%.*s", len, text);
    char *out = sqlite3_malloc(len);
    int n = 0;
    for (int i = 1; out && i < len - 1; i++) {
        out[n++] = text[i];
        if (text[i] == close && i + 1 < len - 1 && text[i + 1] == close) i++; /* a doubled quote */
    }
    if (out) out[n] = 0;
    return out;
}

int argument_split(const char *argument, char **out_key, char **out_value) {
    const char *equals = strchr(argument, '=');
    *out_key = *out_value = NULL;
    if (!equals) return 0;
    *out_key = argument_unquote(argument, (int)(equals - argument));
    *out_value = argument_unquote(equals + 1, (int)strlen(equals + 1));
    return 1;
}

void arguments_clear(Arguments *arguments) {
    for (int i = 0; i < arguments->n; i++) {
        sqlite3_free(arguments->key[i]);
        sqlite3_free(arguments->value[i]);
    }
}

Status arguments_split(Arguments *arguments, int argc, const char *const *argv, Err *err) {
    for (int i = 3; i < argc; i++) {
        const char *argument = argv[i];
        while (ascii_is_space(*argument)) argument++;
        if (arguments->n == MAX_ARGUMENTS)
            return fail(err, ST_BADARG, "more than %d arguments", MAX_ARGUMENTS);
        if (!argument_split(
                argument, &arguments->key[arguments->n], &arguments->value[arguments->n]))
            return fail(err, ST_BADARG, "argument '%.60s' is not name=value", argument);
        arguments->n++;
        if (!arguments->key[arguments->n - 1] || !arguments->value[arguments->n - 1])
            return fail_nomem(err, "the arguments");
        for (int j = 0; j < arguments->n - 1; j++)
            if (strcmp(arguments->key[j], arguments->key[arguments->n - 1]) == 0)
                return fail(err, ST_BADARG, "option '%.60s' is given twice", arguments->key[j]);
    }
    return ST_OK;
}

/* The '(' after USING, which stands outside every quoted name. */
static const char *arguments_of(const char *sql) {
    char quote = 0;
    for (const char *at = sql; *at; at++) {
        if (quote) quote = *at == quote ? 0 : quote;
        else if (strchr("'\"`[", *at)) quote = *at == '[' ? ']' : *at;
        else if (sqlite3_strnicmp(at, "USING", 5) == 0) return strchr(at, '(');
    }
    return NULL;
}

/* Past a comment of SQL, or where it is. */
static const char *skip_comment(const char *at, const char *end) {
    const char *close = NULL;
    if (at + 1 < end && at[0] == '-' && at[1] == '-') close = strchr(at, '\n');
    else if (at + 1 < end && at[0] == '/' && at[1] == '*' && (close = strstr(at + 2, "*/")) != NULL)
        close += 2;
    else return at;
    return close && close < end ? close : end;
}

static Status add_argument(char ***out, int *out_n, const char *text, size_t len, Err *err) {
    char **grown = mem_resize(*out, (size_t)*out_n + 1, sizeof **out);
    if (!grown) return fail_nomem(err, "the arguments");
    *out = grown;
    if (!(grown[*out_n] = mem_text(text, len))) return fail_nomem(err, "the arguments");
    ++*out_n;
    return ST_OK;
}

/* Split the text between the outer parentheses of CREATE VIRTUAL TABLE ... USING module(...) at
 * its commas, outside quotes and brackets, without its comments. */
Status schema_arguments(const char *sql, char ***out, int *out_n, Err *err) {
    const char *open = arguments_of(sql), *end = strrchr(sql, ')');
    size_t len = 0;
    char quote = 0;
    Status status = ST_OK;
    *out = NULL;
    *out_n = 0;
    if (!open || !end || end < open)
        return fail(err, ST_CORRUPT, "the schema of the table is malformed");
    char *part = mem_array((size_t)(end - open) + 1, 1);
    if (!part) return fail_nomem(err, "the arguments");
    for (const char *at = open + 1; at < end && status == ST_OK;) {
        const char *after = quote ? at : skip_comment(at, end);
        if (after > at) {
            at = after;
            part[len++] = ' ';
            continue;
        }
        if (*at == ',' && !quote) {
            status = add_argument(out, out_n, part, len, err);
            len = 0;
        } else {
            part[len++] = *at;
            if (quote ? *at == quote : strchr("'\"`[", *at) != NULL)
                quote = quote ? 0 : *at == '[' ? ']' : *at;
        }
        at++;
    }
    if (status == ST_OK) status = add_argument(out, out_n, part, len, err);
    mem_free(part);
    return status;
}
