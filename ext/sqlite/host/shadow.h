/* The shadow tables of a virtual table: NAME_config, which every module has, and the module's own.
 *
 *     NAME_config(key TEXT PRIMARY KEY, value): the row `format`, and what the module keeps there
 *
 * A module says what it has as rows of ShadowTable; creating, dropping, renaming and checking
 * follow from them. Names are put into SQL in quotes, always with the schema. */
#ifndef REC_SHADOW_H
#define REC_SHADOW_H

#include "sql.h"

typedef struct ShadowTable {
    const char *suffix;
    const char *columns; /* of CREATE TABLE; NULL: the module makes it itself */
    /* Has this virtual table it? NULL: always. */
    int (*is_there)(const void *owner);
    int is_open; /* any program may write to it: no shadow table to SQLite */
    /* an old database may lack it, or have somebody else's table of that name: is_there looks */
    int may_be_odd;
    /* shadow_ensure makes it when something is first put there: a database from before it existed
     * has none, and somebody else's table of that name is left alone */
    int is_later;
} ShadowTable;

typedef struct ShadowSet {
    int64_t format; /* that this library writes and reads */
    const ShadowTable *table;
    size_t n;
} ShadowSet;

/* Whose tables they are. */
typedef struct ShadowOwner {
    sqlite3 *db;
    const char *schema;
    const char *name;
    const void *table; /* for is_there */
} ShadowOwner;

/* All that have columns, and the format. */
Status shadow_create(const ShadowSet *set, const ShadowOwner *owner, Err *err);
Status shadow_drop(const ShadowSet *set, const ShadowOwner *owner, Err *err);
Status shadow_rename(
    const ShadowSet *set, const ShadowOwner *owner, const char *new_name, Err *err);

/* Is the table with the suffix, one that is_later, there and ours: an ordinary table with those
 * columns and nothing else? */
Status shadow_has(
    const ShadowSet *set, const ShadowOwner *owner, const char *suffix, int *out, Err *err);
/* Make it where there is none; an error where there is somebody else's, which may_ensure tells
 * without making it. */
Status shadow_may_ensure(
    const ShadowSet *set, const ShadowOwner *owner, const char *suffix, Err *err);
Status shadow_ensure(const ShadowSet *set, const ShadowOwner *owner, const char *suffix, Err *err);

/* xShadowName: is it a suffix of such a table? */
int shadow_is_suffix(const ShadowSet *set, const char *suffix);

/* Every one that is there must be an ordinary table: no view, no virtual table. A file from
 * somebody else decides what a name means. */
Status shadow_check(const ShadowSet *set, const ShadowOwner *owner, Err *err);

/* Is the stored format this library's? An older or newer one is an error that says what to do. */
Status shadow_check_format(const ShadowSet *set, const ShadowOwner *owner, Err *err);

#endif
