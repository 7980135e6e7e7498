#include "commands.h"

#include <string.h>

static Status unknown_command(const Command *commands, const char *name, Err *err) {
    Bytes names = {0};
    for (const Command *command = commands; command->name; command++)
        bytes_format(&names, "%s%s", command == commands ? "" : ", ", command->name);
    Status status = names.failed ? fail_nomem(err, "the commands")
                                 : fail(err, ST_BADARG, "unknown command '%.60s' (%.*s)", name,
                                       (int)names.len, (const char *)names.data);
    bytes_clear(&names);
    return status;
}

static Status refuse_others(
    const Command *command, const void *table, const CommandColumns *columns, Err *err) {
    for (int i = 0; i < columns->n; i++) {
        int is_read = i == columns->command || (i == columns->arg && command->reads & READS_ARG) ||
            (i == columns->options && command->reads & (READS_OPTIONS | HAS_EFFECT));
        if (!is_read && sqlite3_value_type(columns->value[i]) != SQLITE_NULL)
            return fail(
                err, ST_BADARG, "command %s takes no %s", command->name, columns->name(table, i));
    }
    return ST_OK;
}

Status command_run(const Command *commands, const CommandHooks *hooks, void *table,
    const CommandColumns *columns, sqlite3_int64 *rowid, Err *err) {
    const char *name = (const char *)sqlite3_value_text(columns->value[columns->command]);
    if (!name) return fail_nomem(err, "a command");
    const Command *command = commands;
    while (command->name && strcmp(command->name, name) != 0) command++;
    if (!command->name) return unknown_command(commands, name, err);
    TRY(refuse_others(command, table, columns, err));
    CommandCall call = {table, command->name, command->reads, columns->value[columns->arg],
        columns->value[columns->options], rowid};
    int is_noted = hooks && command->reads & HAS_EFFECT;
    *rowid = 0;
    if (is_noted) TRY(hooks->begin(&call, err));
    TRY(command->run(&call, err));
    return is_noted ? hooks->end(&call, err) : ST_OK;
}

/* Is it one of "a|b|c"? */
static int is_among(const char *allowed, const char *key) {
    size_t len = strlen(key);
    for (const char *word = allowed; len; word++) {
        const char *end = strchr(word, '|');
        size_t own = end ? (size_t)(end - word) : strlen(word);
        if (own == len && memcmp(word, key, len) == 0) return 1;
        if (!end) return 0;
        word = end;
    }
    return 0;
}

Status command_object(const CommandCall *call, const char *allowed, json_t **out, Err *err) {
    json_error_t json_error;
    const char *text = (const char *)sqlite3_value_text(call->arg), *key;
    json_t *value;
    /* a key may have a NUL in it; names are looked at by json_text */
    *out = text ? json_loadb(text, (size_t)sqlite3_value_bytes(call->arg),
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &json_error)
                : NULL;
    Status status = json_is_object(*out)
        ? ST_OK
        : fail(err, ST_BADARG, "%s: arg must be a JSON object", call->name);
    json_object_foreach(*out, key, value) {
        if (status == ST_OK && allowed && !is_among(allowed, key))
            status = fail(err, ST_BADARG, "%s: unknown '%.60s' (%s)", call->name, key, allowed);
    }
    if (status == ST_OK) return ST_OK;
    json_decref(*out);
    *out = NULL;
    return status;
}
