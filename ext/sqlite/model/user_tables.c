/* rec_export_user(model, user): all that is kept of a user; rec_verify_forgotten(model, user
 * [, items]): what is left of one who was erased. */
#include "../../base/memory.h"
#include "../../models/histories.h"
#include "../host/cache.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "../life/forget.h"
#include "model_version.h"

/* ---- rec_verify_forgotten ---- */

static Status count_events(
    const ModelDefinition *definition, Key user, sqlite3_int64 *out, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    TRY(sql_prepare(definition->id.db, &row, err,
        "SELECT count(*) FROM \"%w\".\"%w\" WHERE \"%w\"=?1 AND \"%w\"=?1 COLLATE BINARY",
        definition->id.schema, definition->events, definition->user, definition->user));
    value_bind_key(row, 1, user);
    Status status = sql_step(definition->id.db, row, &has_row, err);
    if (status == ST_OK) *out = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return status;
}

static void remains(RowSink *sink, const char *place, sqlite3_int64 rows) {
    if (!rows) return;
    row_text(sink, place);
    row_null(sink);
    row_integer(sink, rows);
}

/* Has the version a row of just these items? */
static Status has_row_of(const Model *model, const KeyList *items, int *out, Err *err) {
    Model *copy = NULL;
    OwnedHistory history = {0};
    int32_t *item = mem_array(items->n, sizeof *item);
    *out = 0;
    Status status = item ? model_copy(model, &copy, err) : fail_nomem(err, "the items");
    for (size_t i = 0; status == ST_OK && i < items->n; i++)
        item[i] = keymap_find(model->items, items->key[i]);
    if (status == ST_OK)
        status = history_of_basket(item, (int64_t)items->n, model->n_items, &history, err);
    if (status == ST_OK) {
        History row = history.history;
        row.time = NULL; /* of whatever session */
        status = copy->algorithm->forget(copy, &row, out, err);
    }
    owned_history_clear(&history);
    mem_free(item);
    model_free(copy);
    return status;
}

static Status version_remains(const ModelDefinition *definition, sqlite3_int64 version,
    const KeyList *items, RowSink *sink, Err *err) {
    Model *model;
    int found = 0;
    TRY(model_of_version(definition, version, &model, err));
    Status status = ST_OK;
    if (model->algorithm->keeps_rows && model->algorithm->keeps_rows(model))
        status = has_row_of(model, items, &found, err);
    cache_release(model);
    if (!found) return status;
    row_text(sink, "version");
    row_integer(sink, version);
    row_integer(sink, 1);
    return status;
}

static Status versions_remain(
    const ModelDefinition *definition, const KeyList *items, RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    TRY(sql_prepare(definition->id.db, &rows, err,
        "SELECT version FROM \"%w\".\"%w_versions\" ORDER BY version", definition->id.schema,
        definition->id.name));
    Status status = ST_OK;
    while (sql_next(definition->id.db, rows, &status, err))
        status = version_remains(definition, sqlite3_column_int64(rows, 0), items, sink, err);
    sqlite3_finalize(rows);
    return status;
}

static Status user_of(
    const ModelDefinition *definition, sqlite3_value *value, char *buffer, Key *out, Err *err) {
    return value_key(value, definition->user_affinity, buffer, out)
        ? ST_OK
        : value_no_key("user", value, err);
}

static Status verify_rows(
    const ModelDefinition *definition, sqlite3_value **argv, RowSink *sink, Err *err) {
    char buffer[KEY_BUFFER];
    Key user;
    sqlite3_int64 events = 0;
    LogCounts log;
    KeyList items = {0};
    TRY(user_of(definition, argv[1], buffer, &user, err));
    TRY(count_events(definition, user, &events, err));
    TRY(log_count(&definition->id, user, &log, err));
    remains(sink, "events", events);
    remains(sink, "lists", log.lists);
    remains(sink, "outcomes", log.outcomes);
    if (!argv[2] || sqlite3_value_type(argv[2]) == SQLITE_NULL) return ST_OK;
    Status status = key_list_parse(
        &items, "items", value_text(argv[2]), definition->item_affinity, err);
    if (status == ST_OK) status = versions_remain(definition, &items, sink, err);
    key_list_clear(&items);
    return status;
}

static Status verify_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ModelDefinition definition;
    TRY(definition_find(&definition, db, value_text(argv[0]), err));
    Status status = verify_rows(&definition, argv, sink, err);
    definition_clear(&definition);
    return status;
}

/* ---- rec_export_user ---- */

static Status export_events(const ModelDefinition *definition, Key user, RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    TRY(sql_prepare(definition->id.db, &rows, err,
        "SELECT * FROM \"%w\".\"%w\" AS e WHERE e.\"%w\"=?1 AND e.\"%w\"=?1 COLLATE BINARY",
        definition->id.schema, definition->events, definition->user, definition->user));
    value_bind_key(rows, 1, user);
    Status status = ST_OK;
    while (sql_next(definition->id.db, rows, &status, err)) {
        row_text(sink, "event");
        status = row_as_json(sink, rows, err);
    }
    sqlite3_finalize(rows);
    return status;
}

static Status export_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ModelDefinition definition;
    char buffer[KEY_BUFFER];
    Key user;
    TRY(definition_find(&definition, db, value_text(argv[0]), err));
    Status status = user_of(&definition, argv[1], buffer, &user, err);
    if (status == ST_OK) status = export_events(&definition, user, sink, err);
    if (status == ST_OK) status = log_export(&definition.id, user, sink, err);
    definition_clear(&definition);
    return status;
}

int register_forget(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_verify_forgotten",
            .columns = "place TEXT, version INTEGER, rows INTEGER",
            .n_columns = 3,
            .arguments = ", model HIDDEN, user HIDDEN, items HIDDEN",
            .n_arguments = 3,
            .n_required = 2,
            .fill = verify_fill},
        {.name = "rec_export_user",
            .columns = "source TEXT, row TEXT",
            .n_columns = 2,
            .arguments = ", model HIDDEN, user HIDDEN",
            .n_arguments = 2,
            .n_required = 2,
            .fill = export_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
