/* A table with versions, by the name that a user gives. */
#ifndef REC_VERSION_FIND_H
#define REC_VERSION_FIND_H

#include "../host/schema.h"
#include "../host/values.h"
#include "versioned.h"

/* 'recs' or 'aux.recs'; its shadow tables are checked. kind is NULL: what is asked of it must not
 * load versions. version_found_clear it, also after an error. */
Status version_find(Versioned *out, sqlite3 *db, const char *name, Err *err);
void version_found_clear(Versioned *versioned);

/* How its events' user and item columns compare. */
typedef struct KeyKinds {
    Affinity user, item;
} KeyKinds;
Status version_key_kinds(const Versioned *versioned, KeyKinds *out, Err *err);

#endif
