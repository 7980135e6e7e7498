/* Versions in their shadow tables (layout in versioned.h). */
#ifndef REC_VERSION_STORE_H
#define REC_VERSION_STORE_H

#include "version_live.h"

/* The active version, 0 when there is none. */
Status store_active(const Versioned *versioned, sqlite3_int64 *out, Err *err);
/* The options of the active version as {"algorithm":..., option: value, ...}, sqlite3_malloc'ed;
 * NULL where there is none. */
Status store_active_options(const Versioned *versioned, char **out, Err *err);

/* What becomes of a version that is stored. */
typedef struct PutWish {
    int activate;
    int64_t keep; /* of all versions so many, the newest; 0: all; KEEP_AS_CREATED: as CREATE says */
    const char *sha256; /* of store_put_bytes: that it must have; NULL: any */
} PutWish;
enum { KEEP_AS_CREATED = -1 };

/* Store an object as the next version, complete and looked at again; written last: the deployment,
 * if it is to serve. Older versions beyond those to keep go, but for the active one and the one
 * before it, which rollback goes back to. */
Status store_put(const Versioned *versioned, const void *object, const PutWish *wish,
    const char *action, sqlite3_int64 *out_version, Err *err);
/* The same of a stored form, from wherever it comes: the bytes are stored as they are, once
 * they have been read. */
Status store_put_bytes(const Versioned *versioned, const void *data, size_t len,
    const PutWish *wish, const char *action, sqlite3_int64 *out_version, Err *err);

/* When a version was made, and by whom ("": nobody said). */
Status store_origin(
    const Versioned *versioned, sqlite3_int64 version, double at, const char *author, Err *err);
/* A number among the tags of a version. */
Status store_tag(
    const Versioned *versioned, sqlite3_int64 version, const char *tag, double value, Err *err);
/* Its stored form, for somebody else. */
Status store_bytes(const Versioned *versioned, sqlite3_int64 version, Bytes *out, Err *err);
/* action: what m_deployments says of it. */
Status store_activate(
    const Versioned *versioned, sqlite3_int64 version, const char *action, Err *err);
Status store_rollback(const Versioned *versioned, Err *err);
Status store_drop(const Versioned *versioned, sqlite3_int64 version, Err *err);
/* Can what is stored be read? It is what answers from now on, here and in other processes: a copy
 * in the cache does not count. What was read stays in the cache. */
Status store_read_back(const Versioned *versioned, sqlite3_int64 version, Err *err);
/* The same version with other content, looked at again: what was learnt stays, what was kept of
 * somebody goes. */
Status store_rewrite(
    const Versioned *versioned, sqlite3_int64 version, const void *object, Err *err);
/* Every version, read and compared with what m_versions says of it. */
Status store_check(const Versioned *versioned, Err *err);

/* Number and digest of a version. */
typedef struct VersionName {
    sqlite3_int64 version;
    char sha256[SHA256_TEXT];
} VersionName;
/* Of the wanted version (0: the active one). cached: a statement to keep, or NULL; live: what is
 * live besides, or NULL. */
Status store_lookup(const Versioned *versioned, sqlite3_stmt **cached, sqlite3_int64 wanted,
    VersionName *out, LiveCache *live, Err *err);
/* The version that was active before m_deployments' row `before` (exclusive; 0: the last one is
 * where it begins) and is none of the same number; *before becomes its row, 0: there is none. */
Status store_earlier(
    const Versioned *versioned, sqlite3_int64 *before, sqlite3_int64 *out, Err *err);
/* A reference into the cache (cache_release it); read where it is not there. */
Status store_load(const Versioned *versioned, const VersionName *name, void **out, Err *err);
/* Nobody in this process gets what was loaded of this digest any more. */
void store_forget_loaded(const Versioned *versioned, const char *sha256);
/* Both: the wanted version's object. */
Status store_take(const Versioned *versioned, sqlite3_int64 wanted, void **out, Err *err);

#endif
