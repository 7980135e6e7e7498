/* Where the wanted version is damaged, the last good one answers. */
#ifndef REC_VERSION_FALLBACK_H
#define REC_VERSION_FALLBACK_H

#include "version_store.h"

/* Does the status say that a version is damaged, rather than that something went wrong? */
int version_is_damaged(Status status);

/* Try the versions that were active before, the last one first, without `bad`, until one is taken.
 * ST_BADARG without an error text: none is. lookup: as of store_lookup. */
typedef Status (*VersionTry)(void *context, const VersionName *name, Err *err);
Status version_take_earlier(const Versioned *versioned, sqlite3_stmt **lookup, sqlite3_int64 bad,
    VersionTry take, void *context, Err *err);

#endif
