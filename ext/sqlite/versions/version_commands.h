/* The commands that every versioned table has. Each is the `run` of a row of host/commands.h, in a
 * module whose tables begin with a VersionedTable. */
#ifndef REC_VERSION_COMMANDS_H
#define REC_VERSION_COMMANDS_H

#include "../host/commands.h"
#include "version_audit.h"

/* A version that was to answer and did not load, and the one that answered in its place. */
typedef struct FallBack {
    sqlite3_int64 wanted, answered; /* 0: none */
} FallBack;

/* The first members of such a table: where its versions are stands in its definition. */
typedef struct VersionedTable {
    sqlite3_vtab base;
    const Versioned *id;
    AuditNote note;     /* of the command that runs */
    Bytes detail;       /* what the audit says of it: a JSON object; empty: its argument */
    FallBack fall_back; /* not yet in the audit */
} VersionedTable;
void versioned_table_clear(VersionedTable *table);

/* The audit around a module's commands. */
extern const CommandHooks version_hooks;

Status command_load(const CommandCall *call, Err *err);     /* arg, options */
Status command_activate(const CommandCall *call, Err *err); /* arg */
Status command_rollback(const CommandCall *call, Err *err);
Status command_drop_version(const CommandCall *call, Err *err); /* arg */

/* ---- version_rollout.c ---- */
Status command_alias(const CommandCall *call, Err *err);      /* arg: {"champion": 3} */
Status command_annotate(const CommandCall *call, Err *err);   /* arg: {"version": 3, ...} */
Status command_canary(const CommandCall *call, Err *err);     /* arg: {"version": 4, "share": .1} */
Status command_experiment(const CommandCall *call, Err *err); /* arg: {"name":, "arms":, ...} */
Status command_shares(const CommandCall *call, Err *err);     /* arg: {"shares": [...]} */
Status command_stop(const CommandCall *call, Err *err);       /* arg: {"name":, "promote":} */

/* ---- version_transfer.c ---- */
Status command_export(const CommandCall *call, Err *err); /* arg: {"version":, "to": "aux.name"} */
Status command_import(const CommandCall *call, Err *err); /* arg: {"from": "aux.name", ...} */

/* A number of a version, or an alias; it must load. */
Status version_take(
    const CommandCall *call, const Live *live, json_t *value, sqlite3_int64 *out, Err *err);
/* What annotate refuses, either NULL; and tags and a note of a version. */
Status version_check_facts(const CommandCall *call, json_t *tags, json_t *note, Err *err);
Status version_annotate(
    const CommandCall *call, sqlite3_int64 version, json_t *tags, json_t *note, Err *err);

Status command_check_versions(const CommandCall *call, Err *err);

#endif
