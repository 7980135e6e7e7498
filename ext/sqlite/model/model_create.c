/* CREATE VIRTUAL TABLE recs USING rec_model(events=purchases, user=customer_id, item=product_code,
 * algorithm=ials). */
#include <string.h>

#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "model_table.h"

static const char MODULE[] = "rec_model";

static void table_free(ModelTable *table) {
    if (!table) return;
    model_query_free(table->spare);
    mem_free(table->category);
    cache_release(table->loaded);
    events_reader_clear(&table->reader);
    sqlite3_finalize(table->lookup);
    sqlite3_free(table->base.zErrMsg);
    definition_clear(&table->definition);
    mem_free(table);
}

static Status declare(ModelTable *table, Err *err) {
    const ModelDefinition *definition = &table->definition;
    const char *user = affinity_type(definition->user_affinity),
               *item = affinity_type(definition->item_affinity);
    char *sql = sqlite3_mprintf(
        "CREATE TABLE x(user %s, item %s, score REAL, rank INTEGER, because TEXT, version INTEGER, "
        "\"%w\" %s HIDDEN, k INTEGER HIDDEN, similar_to %s HIDDEN, basket TEXT HIDDEN, candidates "
        "TEXT HIDDEN, exclude TEXT HIDDEN, options TEXT HIDDEN, arg HIDDEN)",
        user, item, definition->name, user, item);
    int code = sql ? sqlite3_declare_vtab(definition->db, sql) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return code ? sql_failed(err, definition->db, code) : ST_OK;
}

static int open_table(
    sqlite3 *db, int argc, const char *const *argv, int create, sqlite3_vtab **out, char **error) {
    Err err = {0};
    ModelTable *table = mem_zeros(1, sizeof *table);
    if (!table) return SQLITE_NOMEM;
    Status status = create ? definition_create(&table->definition, db, argc, argv, &err)
                           : definition_load(&table->definition, db, argv[1], argv[2], &err);
    if (status == ST_OK) status = declare(table, &err);
    if (status != ST_OK) {
        *error = sqlite3_mprintf("%s %s: %s", MODULE, argv[2], err.text);
        table_free(table);
        return sql_code(status, &err);
    }
    table->reader.definition = &table->definition;
    sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
    *out = &table->base;
    return SQLITE_OK;
}

static int model_create(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    (void)aux;
    return open_table(db, argc, argv, 1, out, error);
}

static int model_connect(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    (void)aux;
    return open_table(db, argc, argv, 0, out, error);
}

static int model_disconnect(sqlite3_vtab *vtab) {
    table_free((ModelTable *)vtab);
    return SQLITE_OK;
}

static void finalize(ModelTable *table) {
    events_reader_clear(&table->reader);
    table->reader.definition = &table->definition;
    sqlite3_finalize(table->lookup);
    table->lookup = NULL;
}

/* m_trials may be missing, or somebody else's. */
static int is_ours(const ModelDefinition *definition, const char *suffix) {
    TrialsState state;
    Err err = {0};
    return strcmp(suffix, "trials") != 0 ||
        (trials_state(definition, &state, &err) == ST_OK && state != TRIALS_ABSENT);
}

static int model_destroy(sqlite3_vtab *vtab) {
    ModelTable *table = (ModelTable *)vtab;
    ModelDefinition *definition = &table->definition;
    Err err = {0};
    Status status = ST_OK;
    finalize(table);
    for (size_t i = 0; i < N_MODEL_SUFFIXES && status == ST_OK; i++)
        if (is_ours(definition, model_suffixes[i]))
            status = sql_execute(definition->db, &err, "DROP TABLE IF EXISTS \"%w\".\"%w_%s\"",
                definition->schema, definition->name, model_suffixes[i]);
    if (status != ST_OK) return sql_vtab_error(vtab, MODULE, definition->name, status, &err);
    table_free(table);
    return SQLITE_OK;
}

static int model_rename(sqlite3_vtab *vtab, const char *name) {
    ModelTable *table = (ModelTable *)vtab;
    ModelDefinition *definition = &table->definition;
    Err err = {0};
    finalize(table);
    Status status = definition_check_name(name, &err);
    for (size_t i = 0; i < N_MODEL_SUFFIXES && status == ST_OK; i++)
        status = !is_ours(definition, model_suffixes[i])
            ? ST_OK
            : sql_execute(definition->db, &err, "ALTER TABLE \"%w\".\"%w_%s\" RENAME TO \"%w_%s\"",
                  definition->schema, definition->name, model_suffixes[i], name, model_suffixes[i]);
    char *copy = status == ST_OK ? sqlite3_mprintf("%s", name) : NULL;
    if (status == ST_OK && !copy) status = fail_nomem(&err, "a name");
    if (status != ST_OK) return sql_vtab_error(vtab, MODULE, definition->name, status, &err);
    sqlite3_free(definition->name);
    definition->name = copy;
    return SQLITE_OK;
}

static int model_shadow_name(const char *suffix) {
    for (size_t i = 0; i < N_MODEL_SUFFIXES; i++)
        if (sqlite3_stricmp(suffix, model_suffixes[i]) == 0) return 1;
    return 0;
}

int register_model(sqlite3 *db) {
    static const sqlite3_module module = {
        .iVersion = 3,
        .xCreate = model_create,
        .xConnect = model_connect,
        .xBestIndex = model_best_index,
        .xDisconnect = model_disconnect,
        .xDestroy = model_destroy,
        .xOpen = model_open_cursor,
        .xClose = model_close_cursor,
        .xFilter = model_filter,
        .xNext = model_next,
        .xEof = model_eof,
        .xColumn = model_column,
        .xRowid = model_rowid,
        .xUpdate = model_update,
        .xRename = model_rename,
        .xShadowName = model_shadow_name,
    };
    return sqlite3_create_module_v2(db, MODULE, &module, NULL, NULL);
}
