/* Commands of a virtual table: INSERT INTO t(t [, arg [, options]]) VALUES('name' [, ...]).
 *
 * A module lists its commands as rows of Command. A command reads what its row says, and nothing
 * else: whatever else is given is refused. */
#ifndef REC_COMMANDS_H
#define REC_COMMANDS_H

#include "../../base/json.h"
#include "sql.h"

/* HAS_EFFECT: the hooks are called, which take the options of a note (who, when, why). */
enum { READS_NOTHING = 0, READS_ARG = 1, READS_OPTIONS = 2, HAS_EFFECT = 4 };

typedef struct CommandCall {
    void *table; /* the module's */
    const char *name;
    int reads;
    sqlite3_value *arg, *options;
    sqlite3_int64 *rowid; /* becomes last_insert_rowid(); 0 at first */
} CommandCall;

typedef struct Command {
    const char *name;
    int reads;
    Status (*run)(const CommandCall *call, Err *err);
} Command;

/* What a module does around each of its commands that has an effect: before anything is computed,
 * and after all is written. */
typedef struct CommandHooks {
    Status (*begin)(const CommandCall *call, Err *err);
    Status (*end)(const CommandCall *call, Err *err);
} CommandHooks;

/* The columns of an INSERT as xUpdate has them. */
typedef struct CommandColumns {
    sqlite3_value **value;
    int n;
    int command, arg, options; /* their places */
    /* A column's name, for the error. */
    const char *(*name)(const void *table, int column);
} CommandColumns;

/* The command that the columns name. commands ends with an empty row. hooks: NULL for none. */
Status command_run(const Command *commands, const CommandHooks *hooks, void *table,
    const CommandColumns *columns, sqlite3_int64 *rowid, Err *err);

/* arg as a JSON object whose members are among allowed ("version|tags|note"; NULL: any), which the
 * caller json_decrefs. */
Status command_object(const CommandCall *call, const char *allowed, json_t **out, Err *err);

#endif
