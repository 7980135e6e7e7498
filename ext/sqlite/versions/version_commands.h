/* The commands that every versioned table has. Each is the `run` of a row of host/commands.h, in a
 * module whose tables begin with a VersionedTable. */
#ifndef REC_VERSION_COMMANDS_H
#define REC_VERSION_COMMANDS_H

#include "../host/commands.h"
#include "versioned.h"

/* The first two members of such a table: where its versions are stands in its definition. */
typedef struct VersionedTable {
    sqlite3_vtab base;
    const Versioned *id;
} VersionedTable;

Status command_load(const CommandCall *call, Err *err);     /* arg, options */
Status command_activate(const CommandCall *call, Err *err); /* arg */
Status command_rollback(const CommandCall *call, Err *err);
Status command_drop_version(const CommandCall *call, Err *err); /* arg */
Status command_check_versions(const CommandCall *call, Err *err);

#endif
