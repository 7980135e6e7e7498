/* CREATE VIRTUAL TABLE buy USING rec_predictor(examples=visits, label=bought). */
#include <string.h>

#include "../../base/memory.h"
#include "../host/parts.h"
#include "predictor_table.h"

static const char MODULE[] = "rec_predictor";

/* ---- the module ---- */

static const char *declared_type(const PredictorDefinition *definition, int column) {
    static const char *const types[N_PREDICTOR_COLUMNS] = {
#define X(constant, name, type) type,
        PREDICTOR_COLUMNS(X)
#undef X
    };
    return strcmp(types[column], "id") == 0 ? affinity_type(definition->id_affinity)
                                            : types[column];
}

static Status declare(PredictorTable *table, Err *err) {
    const PredictorDefinition *definition = &table->definition;
    sqlite3_str *text = sqlite3_str_new(NULL);
    for (int i = 0; i < N_PREDICTOR_COLUMNS; i++)
        sqlite3_str_appendf(text, "%s\"%w\" %s%s", i ? ", " : "CREATE TABLE x(",
            i == P_COMMAND ? definition->id.name : predictor_column_names[i],
            declared_type(definition, i), i > P_VERSION ? " HIDDEN" : "");
    sqlite3_str_appendall(text, ")");
    char *sql = sqlite3_str_finish(text);
    int code = sql ? sqlite3_declare_vtab(definition->id.db, sql) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return code ? sql_failed(err, definition->id.db, code) : ST_OK;
}

static int open_table(sqlite3 *db, void *aux, int argc, const char *const *argv, int create,
    sqlite3_vtab **out, char **error) {
    Err err = {0};
    PredictorTable *table = mem_zeros(1, sizeof *table);
    /* argv may be gone after an error: SQLite frees its schema where memory was short */
    char *name = sqlite3_mprintf("%s", argv[2]);
    if (!table || !name) {
        mem_free(table);
        sqlite3_free(name);
        return SQLITE_NOMEM;
    }
    table->references = 1;
    Status status = create
        ? predictor_definition_create(&table->definition, db, argc, argv, &err)
        : predictor_definition_load(&table->definition, db, argv[1], argv[2], &err);
    if (status == ST_OK) status = declare(table, &err);
    if (status != ST_OK) {
        *error = sqlite3_mprintf("%s %s: %s", MODULE, name, err.text);
        sqlite3_free(name);
        predictor_table_release(table);
        return sql_code(status, &err);
    }
    sqlite3_free(name);
    table->versions.id = &table->definition.id;
    table->connection = aux;
    predictor_connection_add(table);
    sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
    *out = &table->versions.base;
    return SQLITE_OK;
}

static int predictor_create(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    return open_table(db, aux, argc, argv, 1, out, error);
}

static int predictor_connect(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    return open_table(db, aux, argc, argv, 0, out, error);
}

static int predictor_disconnect(sqlite3_vtab *vtab) {
    PredictorTable *table = (PredictorTable *)vtab;
    predictor_connection_remove(table);
    predictor_table_release(table);
    return SQLITE_OK;
}

/* It would keep the shadow tables in use. */
static void finalize(PredictorTable *table) {
    sqlite3_finalize(table->lookup);
    table->lookup = NULL;
}

static int predictor_destroy(sqlite3_vtab *vtab) {
    PredictorTable *table = (PredictorTable *)vtab;
    ShadowOwner owner = predictor_owner(&table->definition);
    Err err = {0};
    finalize(table);
    Status status = shadow_drop(&version_shadow, &owner, &err);
    if (status != ST_OK) return sql_vtab_error(vtab, MODULE, owner.name, status, &err);
    return predictor_disconnect(vtab);
}

static int predictor_rename(sqlite3_vtab *vtab, const char *name) {
    PredictorTable *table = (PredictorTable *)vtab;
    ShadowOwner owner = predictor_owner(&table->definition);
    Err err = {0};
    finalize(table);
    Status status = predictor_check_name(name, &err);
    if (status == ST_OK) status = shadow_rename(&version_shadow, &owner, name, &err);
    char *copy = status == ST_OK ? sqlite3_mprintf("%s", name) : NULL;
    if (status == ST_OK && !copy) status = fail_nomem(&err, "a name");
    if (status != ST_OK) return sql_vtab_error(vtab, MODULE, owner.name, status, &err);
    sqlite3_free(table->definition.id.name);
    table->definition.id.name = copy;
    return SQLITE_OK;
}

static int predictor_shadow_name(const char *suffix) {
    return shadow_is_suffix(&version_shadow, suffix);
}

int register_predictor(sqlite3 *db) {
    static const sqlite3_module module = {
        .iVersion = 3,
        .xCreate = predictor_create,
        .xConnect = predictor_connect,
        .xBestIndex = predictor_best_index,
        .xDisconnect = predictor_disconnect,
        .xDestroy = predictor_destroy,
        .xOpen = predictor_open,
        .xClose = predictor_close,
        .xFilter = predictor_filter,
        .xNext = predictor_next,
        .xEof = predictor_eof,
        .xColumn = predictor_column,
        .xRowid = predictor_rowid,
        .xUpdate = predictor_update,
        .xRename = predictor_rename,
        .xShadowName = predictor_shadow_name,
    };
    PredictorConnection *connection = mem_zeros(1, sizeof *connection);
    if (!connection) return SQLITE_NOMEM;
    connection->db = db;
    connection->references = 1; /* the module's: given back also when this fails */
    int code = sqlite3_create_module_v2(
        db, MODULE, &module, connection, predictor_connection_release);
    return code ? code : predict_functions_register(db, connection);
}
