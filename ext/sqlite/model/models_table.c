/* rec_models: what models the connection's databases hold. */
#include <jansson.h>
#include <string.h>

#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/schema.h"
#include "../versions/version_store.h"
#include "model_events.h"

typedef struct ModelListing {
    sqlite3 *db;
    RowSink *sink;
} ModelListing;

static Status visit_model(const ModelDefinition *definition, RowSink *sink, Err *err) {
    sqlite3_int64 active, versions;
    const char *access = NULL;
    Err reason = {0};
    TRY(store_active(&definition->id, &active, err));
    TRY(sql_integer(definition->id.db, 0, &versions, err,
        "SELECT count(*) FROM \"%w\".\"%w_versions\"", definition->id.schema, definition->id.name));
    Status status = events_access(definition, &access, &reason);
    row_text(sink, definition->id.name);
    row_text(sink, definition->automatic ? "auto" : definition->algorithm->name);
    if (active) row_integer(sink, active);
    else row_null(sink);
    row_integer(sink, versions);
    row_text(sink, definition->events);
    row_text(sink, status == ST_OK ? access : reason.text);
    row_text(sink, definition->id.schema);
    return ST_OK;
}

/* A row that says what is wrong, in the column `history`. */
static void damaged_model(RowSink *sink, const char *schema, const char *name, const Err *err) {
    row_text(sink, name);
    for (int i = 0; i < 4; i++) row_null(sink);
    row_text(sink, err->text);
    row_text(sink, schema);
}

/* One damaged model does not hide the others. */
static Status visit_named(void *context, const char *schema, const char *name, Err *err) {
    const ModelListing *listing = context;
    ModelDefinition definition = {0};
    Status status = definition_load(&definition, listing->db, schema, name, err);
    if (status == ST_OK) {
        status = visit_model(&definition, listing->sink, err);
    } else if (status != ST_NOMEM && status != ST_CANCELLED) {
        damaged_model(listing->sink, schema, name, err);
        status = ST_OK;
    }
    definition_clear(&definition);
    return status;
}

static Status models_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ModelListing listing = {db, sink};
    (void)argv;
    return schema_each_table(db, "rec_model", "_deployments", visit_named, &listing, err);
}

int register_models(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_models",
        .columns = "model TEXT, algorithm TEXT, active INTEGER, versions INTEGER, events TEXT, "
                   "history TEXT, schema TEXT",
        .n_columns = 7,
        .arguments = "",
        .fill = models_fill,
    };
    return row_table_register(db, &table);
}
