#include "version_fallback.h"

static int is_damage(Status status) { return status == ST_CORRUPT || status == ST_BADARG; }

Status version_load_or_earlier(const Versioned *versioned, sqlite3_stmt **lookup,
    const VersionName *name, void **object, VersionName *answered, Err *err) {
    sqlite3_int64 deployment = 0, version;
    *answered = *name;
    Status first = store_load(versioned, name, object, err);
    if (!is_damage(first)) return first;
    for (;;) {
        Err own = {0};
        TRY(store_earlier(versioned, &deployment, &version, &own));
        if (!deployment) return first; /* err says what is wrong with the wanted one */
        if (version == name->version) continue;
        Status status = store_lookup(versioned, lookup, version, answered, NULL, &own);
        if (status == ST_OK) status = store_load(versioned, answered, object, &own);
        if (status == ST_OK) return ST_OK;
        if (is_damage(status)) continue;
        *err = own;
        return status;
    }
}
