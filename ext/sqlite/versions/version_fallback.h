/* The wanted version's object, or where that is damaged the last good one's. */
#ifndef REC_VERSION_FALLBACK_H
#define REC_VERSION_FALLBACK_H

#include "version_store.h"

/* name: of the wanted version. *object: a reference into the cache; *answered: whose it is, which
 * is another one than the wanted where that does not load: of those that were active before, the
 * last that does. lookup: as of store_lookup. */
Status version_load_or_earlier(const Versioned *versioned, sqlite3_stmt **lookup,
    const VersionName *name, void **object, VersionName *answered, Err *err);

#endif
