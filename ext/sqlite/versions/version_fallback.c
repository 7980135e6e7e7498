#include "version_fallback.h"

int version_is_damaged(Status status) { return status == ST_CORRUPT || status == ST_BADARG; }

Status version_take_earlier(const Versioned *versioned, sqlite3_stmt **lookup, sqlite3_int64 bad,
    VersionTry take, void *context, Err *err) {
    sqlite3_int64 deployment = 0, version;
    for (;;) {
        VersionName name;
        Err own = {0};
        TRY(store_earlier(versioned, &deployment, &version, err));
        if (!deployment) return ST_BADARG; /* err is the caller's first one */
        if (version == bad) continue;
        Status status = store_lookup(versioned, lookup, version, &name, NULL, &own);
        if (status == ST_OK) status = take(context, &name, &own);
        if (status == ST_OK) return ST_OK;
        if (version_is_damaged(status)) continue;
        *err = own;
        return status;
    }
}
