/* CREATE VIRTUAL TABLE recs USING rec_model(events=purchases, user=customer_id, item=product_code,
 * algorithm=ials). */
#include <string.h>

#include "../../base/memory.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "../life/privacy.h"
#include "model_answer.h"

static const char MODULE[] = "rec_model";

static void table_free(ModelTable *table) {
    if (!table) return;
    for (int i = 0; i < MODEL_KEEPS; i++) loaded_clear(&table->loaded[i]);
    counters_close(table->counters);
    sqlite3_free(table->live.text);
    events_reader_clear(&table->reader);
    sqlite3_finalize(table->lookup);
    versioned_table_clear(&table->versions);
    definition_clear(&table->definition);
    mem_free(table);
}

/* A column's type as SQLite is told: those of user and item are the events' own, so that they
 * compare as they do there. */
static const char *declared_type(const ModelDefinition *definition, int column) {
    static const char *const types[N_MODEL_COLUMNS] = {
#define X(constant, name, type) type,
        MODEL_COLUMNS(X)
#undef X
    };
    if (strcmp(types[column], "user") == 0) return affinity_type(definition->user_affinity);
    if (strcmp(types[column], "item") == 0) return affinity_type(definition->item_affinity);
    return types[column];
}

/* A model of before a column came may have its name. */
static const char *declared_name(const ModelDefinition *definition, int column, char buffer[32]) {
    const char *name = model_column_names[column];
    if (column == C_COMMAND) return definition->id.name;
    if (column <= C_ARG || sqlite3_stricmp(name, definition->id.name) != 0) return name;
    return sqlite3_snprintf(32, buffer, "%s_", name);
}

static Status declare(ModelTable *table, Err *err) {
    const ModelDefinition *definition = &table->definition;
    sqlite3_str *text = sqlite3_str_new(NULL);
    char buffer[32];
    for (int i = 0; i < N_MODEL_COLUMNS; i++)
        sqlite3_str_appendf(text, "%s\"%w\" %s%s", i ? ", " : "CREATE TABLE x(",
            declared_name(definition, i, buffer), declared_type(definition, i),
            i > C_VERSION ? " HIDDEN" : "");
    sqlite3_str_appendall(text, ")");
    char *sql = sqlite3_str_finish(text);
    int code = sql ? sqlite3_declare_vtab(definition->id.db, sql) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return code ? sql_failed(err, definition->id.db, code) : ST_OK;
}

static int open_table(
    sqlite3 *db, int argc, const char *const *argv, int create, sqlite3_vtab **out, char **error) {
    Err err = {0};
    ModelTable *table = mem_zeros(1, sizeof *table);
    /* argv may be gone after an error: SQLite frees its schema where memory was short */
    char *name = sqlite3_mprintf("%s", argv[2]);
    if (!table || !name) {
        mem_free(table);
        sqlite3_free(name);
        return SQLITE_NOMEM;
    }
    Status status = create ? definition_create(&table->definition, db, argc, argv, &err)
                           : definition_load(&table->definition, db, argv[1], argv[2], &err);
    if (status == ST_OK) status = declare(table, &err);
    if (status != ST_OK) {
        *error = sqlite3_mprintf("%s %s: %s", MODULE, name, err.text);
        sqlite3_free(name);
        table_free(table);
        return sql_code(status, &err);
    }
    sqlite3_free(name);
    table->reader.definition = &table->definition;
    table->versions.id = &table->definition.id;
    sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
    *out = &table->versions.base;
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

/* Statements would keep the shadow tables in use. */
static void finalize(ModelTable *table) {
    events_reader_clear(&table->reader);
    table->reader.definition = &table->definition;
    sqlite3_finalize(table->lookup);
    table->lookup = NULL;
}

static int model_destroy(sqlite3_vtab *vtab) {
    ModelTable *table = (ModelTable *)vtab;
    ShadowOwner owner = definition_owner(&table->definition);
    Err err = {0};
    finalize(table);
    Status status = shadow_drop(&version_shadow, &owner, &err);
    if (status != ST_OK) return sql_vtab_error(vtab, MODULE, owner.name, status, &err);
    table_free(table);
    return SQLITE_OK;
}

static int model_rename(sqlite3_vtab *vtab, const char *name) {
    ModelTable *table = (ModelTable *)vtab;
    ModelDefinition *definition = &table->definition;
    ShadowOwner owner = definition_owner(definition);
    Err err = {0};
    finalize(table);
    Status status = definition_check_name(name, &err);
    if (status == ST_OK) status = shadow_rename(&version_shadow, &owner, name, &err);
    char *copy = status == ST_OK ? sqlite3_mprintf("%s", name) : NULL;
    if (status == ST_OK && !copy) status = fail_nomem(&err, "a name");
    if (status != ST_OK) return sql_vtab_error(vtab, MODULE, owner.name, status, &err);
    counters_close(table->counters); /* they bear the name */
    table->counters = NULL;
    sqlite3_free(definition->id.name);
    definition->id.name = copy;
    return SQLITE_OK;
}

static int model_shadow_name(const char *suffix) {
    return shadow_is_suffix(&version_shadow, suffix);
}

/* A transaction that has written to the model: nothing is kept for it here. */
static int model_begin(sqlite3_vtab *vtab) {
    (void)vtab;
    return SQLITE_OK;
}

static int model_transaction_ended(sqlite3_vtab *vtab) {
    privacy_settled(((ModelTable *)vtab)->definition.id.db);
    return SQLITE_OK;
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
        .xBegin = model_begin,
        .xCommit = model_transaction_ended,
        .xRollback = model_transaction_ended,
        .xRename = model_rename,
        .xShadowName = model_shadow_name,
    };
    return sqlite3_create_module_v2(db, MODULE, &module, NULL, NULL);
}
