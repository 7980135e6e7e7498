/* The rec_predictors that a connection has open, and finding one by its name. */
#include "../../base/memory.h"
#include "../host/schema.h"
#include "predictor_table.h"

void predictor_connection_release(void *object) {
    PredictorConnection *connection = object;
    if (--connection->references == 0) mem_free(connection);
}

void predictor_connection_add(PredictorTable *table) {
    table->next = table->connection->table;
    table->connection->table = table;
}

void predictor_connection_remove(PredictorTable *table) {
    PredictorTable **at = &table->connection->table;
    while (*at && *at != table) at = &(*at)->next;
    if (*at) *at = table->next;
}

void predictor_table_release(PredictorTable *table) {
    if (--table->references > 0) return;
    sqlite3_free(table->live.text);
    sqlite3_finalize(table->lookup);
    versioned_table_clear(&table->versions);
    predictor_definition_clear(&table->definition);
    mem_free(table);
}

static PredictorTable *find_connected(
    const PredictorConnection *connection, const char *schema, const char *name) {
    for (PredictorTable *table = connection->table; table; table = table->next)
        if (sqlite3_stricmp(table->definition.id.name, name) == 0 &&
            sqlite3_stricmp(table->definition.id.schema, schema) == 0)
            return table;
    return NULL;
}

/* A statement that names it makes SQLite connect it. */
static Status connect_table(sqlite3 *db, const char *schema, const char *name, Err *err) {
    sqlite3_stmt *statement;
    TRY(sql_prepare(db, &statement, err, "SELECT 1 FROM \"%w\".\"%w\" LIMIT 0", schema, name));
    sqlite3_finalize(statement);
    return ST_OK;
}

/* The first schema, in SQLite's order, that has the table; a look into what is parsed already. */
static int is_table_of(sqlite3 *db, const char *schema, const char *name) {
    return sqlite3_table_column_metadata(db, schema, name, NULL, NULL, NULL, NULL, NULL, NULL) ==
        SQLITE_OK;
}

Status predictor_table_find(
    PredictorConnection *connection, const char *name, PredictorTable **out, Err *err) {
    sqlite3 *db = connection->db;
    char *schema = NULL, *table = NULL;
    Status status = ST_OK;
    *out = NULL;
    if (!name) return fail(err, ST_BADARG, "the predictor's name is NULL");
    if (is_table_of(db, "temp", name)) *out = find_connected(connection, "temp", name);
    else if (is_table_of(db, "main", name)) *out = find_connected(connection, "main", name);
    if (!*out) {
        TRY(schema_find_table(db, "rec_predictor", name, "_versions", &schema, &table, err));
        *out = find_connected(connection, schema, table);
        if (!*out) status = connect_table(db, schema, table, err);
        if (status == ST_OK) *out = find_connected(connection, schema, table);
        sqlite3_free(schema);
        sqlite3_free(table);
        TRY(status);
    }
    if (!*out) return fail(err, ST_BADARG, "'%.60s' is no rec_predictor", name);
    (*out)->references++;
    return ST_OK;
}
