/* The entry point: registers every function and table on a connection and keeps the library loaded.
 *
 * Built twice: loadable (recommend.so) and, with -DSQLITE_CORE, for static linking; an application
 * then calls sqlite3_auto_extension((void (*)(void))sqlite3_recommend_init) or
 * sqlite3_recommend_init(db, NULL, NULL). */
#ifdef SQLITE_CORE
#include <sqlite3.h>
#else
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1
#endif

#include "../ann/gpu.h"
#include "host/parts.h"

enum { OLDEST_SQLITE = 3038000 }; /* sqlite3_vtab_in, LIMIT push-down */

#ifdef _WIN32
__declspec(dllexport)
#else
__attribute__((visibility("default")))
#endif
    int sqlite3_recommend_init(sqlite3 *db, char **error, const void *api);

/* What the connection has of it: *version stays NULL without. sqlite3_malloc'ed. A function is
 * asked: a file can have a table rec_info of its own, but no function. */
static int find_loaded(sqlite3 *db, char **version) {
    sqlite3_stmt *statement = NULL;
    *version = NULL;
    if (sqlite3_prepare_v2(db, "SELECT rec_version()", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        *version = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0));
    return sqlite3_finalize(statement) == SQLITE_NOMEM ? SQLITE_NOMEM : SQLITE_OK;
}

/* Take back what a failed registration has left. */
static void unregister(sqlite3 *db) {
    sqlite3_stmt *names;
    if (sqlite3_prepare_v2(db,
            "SELECT name, narg, 1 FROM pragma_function_list WHERE name GLOB 'rec_*' UNION ALL "
            "SELECT name, 0, 0 FROM pragma_module_list WHERE name GLOB 'rec_*'",
            -1, &names, NULL) != SQLITE_OK)
        return;
    char *list[512];
    int argument[512], function[512], n = 0;
    while (n < 512 && sqlite3_step(names) == SQLITE_ROW &&
        (list[n] = sqlite3_mprintf("%s", sqlite3_column_text(names, 0))) != NULL) {
        argument[n] = sqlite3_column_int(names, 1);
        function[n++] = sqlite3_column_int(names, 2);
    }
    sqlite3_finalize(names); /* a function cannot be replaced while a statement runs */
    for (int i = 0; i < n; i++) {
        if (function[i])
            sqlite3_create_function_v2(
                db, list[i], argument[i], SQLITE_UTF8, NULL, NULL, NULL, NULL, NULL);
        else sqlite3_create_module_v2(db, list[i], NULL, NULL, NULL);
        sqlite3_free(list[i]);
    }
}

static int register_all(sqlite3 *db, char **error) {
    static int (*const parts[])(sqlite3 *) = {
#define X(part) register_##part,
        SQL_PARTS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int code = parts[i](db);
        if (code == SQLITE_OK) continue;
        if (error)
            *error = sqlite3_mprintf(
                "sqlite-recommend: its functions cannot be registered: %s", sqlite3_errstr(code));
        unregister(db);
        return code;
    }
    return SQLITE_OK;
}

#ifndef SQLITE_CORE
/* The object calls SQLite through one table of pointers, that of the SQLite library which loaded it
 * first. A process can hold two (Python's own and one that a package brings): through the wrong one
 * the other's handles would crash. */
static int adopt_api(const sqlite3_api_routines *api, char **error) {
    if (!sqlite3_api) SQLITE_EXTENSION_INIT2(api); /* once: other threads may be reading it */
    if (sqlite3_api == api) return SQLITE_OK;
    if (error)
        *error = api->mprintf(
            "sqlite-recommend is in use by another SQLite library of this process (%s; this one is "
            "%s): use one of them for all connections that load it",
            sqlite3_libversion(), api->libversion());
    return SQLITE_ERROR;
}
#endif

int sqlite3_recommend_init(sqlite3 *db, char **error, const void *api) {
    char *loaded;
#ifndef SQLITE_CORE
    if (adopt_api(api, error) != SQLITE_OK) return SQLITE_ERROR;
#else
    (void)api;
#endif
    if (sqlite3_libversion_number() < OLDEST_SQLITE) {
        if (error)
            *error = sqlite3_mprintf(
                "sqlite-recommend needs SQLite 3.38 or newer, this is %s", sqlite3_libversion());
        return SQLITE_ERROR;
    }
    gpu_remember_place();
    if (find_loaded(db, &loaded) != SQLITE_OK) return SQLITE_NOMEM;
    if (loaded) { /* a second load of the connection changes nothing, also while statements run */
        int same = sqlite3_stricmp(loaded, REC_VERSION) == 0;
        if (!same && error)
            *error = sqlite3_mprintf("sqlite-recommend %s is loaded in this connection; this is %s",
                loaded, REC_VERSION);
        sqlite3_free(loaded);
        return same ? SQLITE_OK_LOAD_PERMANENTLY : SQLITE_ERROR;
    }
    int code = register_all(db, error);
    return code == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : code;
}
