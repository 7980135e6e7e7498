/* The entry point: registers every function and table on a connection and keeps the library loaded.
 *
 * Built twice: loadable (recommend.so) and, with -DSQLITE_CORE, for static linking; an application then calls
 * sqlite3_auto_extension((void (*)(void))sqlite3_recommend_init) or sqlite3_recommend_init(db, NULL, NULL). */
#ifdef SQLITE_CORE
#include <sqlite3.h>
#else
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1
#endif

#include "../ann/gpu.h"
#include "modules.h"

enum { OLDEST_SQLITE = 3038000 }; /* sqlite3_vtab_in, LIMIT push-down */

#ifdef _WIN32
__declspec(dllexport)
#else
__attribute__((visibility("default")))
#endif
int sqlite3_recommend_init(sqlite3 *db, char **error, const void *api);

int sqlite3_recommend_init(sqlite3 *db, char **error, const void *api) {
    static int (*const parts[])(sqlite3 *) = {
        register_vector_functions, register_vector_aggregates, register_metric_aggregates, register_pair_aggregates,
        register_index,            register_index_tables,      register_search,            register_item_vectors,
        register_model,            register_train_function,    register_tune_function,     register_model_tables,
        register_evaluate,         register_crossval,          register_curves,            register_experiment_functions,
        register_rules,            register_balance,           register_info_tables,
    };
#ifndef SQLITE_CORE
    if (!sqlite3_api) SQLITE_EXTENSION_INIT2((const sqlite3_api_routines *)api); /* once: other threads may be reading it */
#else
    (void)api;
#endif
    if (sqlite3_libversion_number() < OLDEST_SQLITE) {
        if (error) *error = sqlite3_mprintf("sqlite-recommend needs SQLite 3.38 or newer, this is %s", sqlite3_libversion());
        return SQLITE_ERROR;
    }
    gpu_remember_place();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int code = parts[i](db);
        if (code != SQLITE_OK) return code;
    }
    return SQLITE_OK_LOAD_PERMANENTLY;
}
