/* The categories of a model's items, for lists in another order: read from the items table when
 * they are first asked for, and again once the database has changed. */
#include <string.h>

#include "../../base/memory.h"
#include "../host/guard.h"
#include "../host/schema.h"
#include "../host/values.h"
#include "model_list.h"

/* Mix what a schema's pragmas say into the stamp. */
static Status stamp_schema(
    const ModelDefinition *definition, const char *schema, sqlite3_int64 out[3], Err *err) {
    sqlite3_int64 version;
    TRY(sql_integer(definition->id.db, 0, &version, err, "PRAGMA \"%w\".schema_version", schema));
    out[2] = (sqlite3_int64)model_hash_bytes((sqlite3_uint64)out[2], &version, sizeof version);
    TRY(sql_integer(definition->id.db, 0, &version, err, "PRAGMA \"%w\".data_version", schema));
    out[1] = (sqlite3_int64)model_hash_bytes((sqlite3_uint64)out[1], &version, sizeof version);
    return ST_OK;
}

/* What changes when this connection or another one writes: to the model's own schema, which is all
 * that a view in it can read, but for a view in temp, which can read every schema. */
static Status stamp(const ModelDefinition *definition, sqlite3_int64 out[3], Err *err) {
    sqlite3_stmt *schemas;
    out[0] = sqlite3_total_changes64(definition->id.db);
    out[1] = out[2] = 0;
    if (sqlite3_stricmp(definition->id.schema, "temp") != 0)
        return stamp_schema(definition, definition->id.schema, out, err);
    TRY(sql_prepare(
        definition->id.db, &schemas, err, "SELECT name FROM pragma_database_list ORDER BY seq"));
    Status status = ST_OK;
    while (sql_next(definition->id.db, schemas, &status, err)) {
        status = stamp_schema(definition, (const char *)sqlite3_column_text(schemas, 0), out, err);
    }
    sqlite3_finalize(schemas);
    return status;
}

/* A category is an INTEGER or a TEXT; what is neither has none. */
static Status read_categories(
    const ModelDefinition *definition, const Model *model, int32_t *category, Err *err) {
    sqlite3_stmt *rows = NULL;
    TRY(guard_source(definition->id.db, definition->id.schema, definition->items, 0, err));
    KeyMap *names = keymap_new();
    Status status = names
        ? sql_prepare(definition->id.db, &rows, err,
              "SELECT i.\"%w\", i.\"%w\" FROM \"%w\".\"%w\" AS i", definition->item_key,
              definition->item_category, definition->id.schema, definition->items)
        : fail_nomem(err, "the categories");
    for (int32_t i = 0; i < model->n_items; i++) category[i] = -1;
    while (sql_next(definition->id.db, rows, &status, err)) {
        char buffer[2 * KEY_BUFFER];
        Key item, name;
        int32_t id = value_key(
                         sqlite3_column_value(rows, 0), definition->item_affinity, buffer, &item)
            ? keymap_find(model->items, item)
            : -1;
        if (id >= 0 &&
            value_key(sqlite3_column_value(rows, 1), AFFINITY_NONE, buffer + KEY_BUFFER, &name))
            status = keymap_add(names, name, &category[id], err);
    }
    sqlite3_finalize(rows);
    keymap_free(names);
    return status;
}

/* Does what was read hold still? A rollback leaves no trace in the stamp, so that nothing is kept
 * inside a transaction. */
static int is_fresh(
    const LoadedVersion *loaded, const ModelDefinition *definition, const sqlite3_int64 now[3]) {
    return loaded->category && sqlite3_get_autocommit(definition->id.db) &&
        memcmp(now, loaded->category_stamp, sizeof loaded->category_stamp) == 0;
}

Status model_categories(ModelTable *table, const Model *model, const RerankRules *rules,
    const int32_t **out, Err *err) {
    const ModelDefinition *definition = &table->definition;
    LoadedVersion *loaded = table->loaded;
    sqlite3_int64 now[3];
    *out = NULL;
    if (!rerank_needs_categories(rules)) return ST_OK;
    if (!definition->item_category)
        return fail(err, ST_BADARG,
            "calibration and max_per_category need the model's items=, item_key= and "
            "item_category=");
    TRY(stamp(definition, now, err));
    for (int i = 0; i < MODEL_KEEPS; i++)
        if (table->loaded[i].model == model) loaded = &table->loaded[i];
    if (loaded->model == model && is_fresh(loaded, definition, now)) {
        *out = loaded->category;
        return ST_OK;
    }
    mem_free(loaded->category);
    loaded->category = mem_array((size_t)model->n_items, sizeof *loaded->category);
    if (!loaded->category) return fail_nomem(err, "the categories");
    Status status = read_categories(definition, model, loaded->category, err);
    if (status != ST_OK) {
        mem_free(loaded->category);
        loaded->category = NULL;
        return status;
    }
    memcpy(loaded->category_stamp, now, sizeof now);
    /* of a version that the table has let go: read for this once */
    if (!sqlite3_get_autocommit(definition->id.db) || loaded->model != model)
        loaded->category_stamp[0] = -1;
    *out = loaded->category;
    return ST_OK;
}
