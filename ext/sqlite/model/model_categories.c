/* The categories of a model's items, for lists in another order: read from the items table when
 * they are first asked for, and again once the database has changed. */
#include "../../base/memory.h"
#include "../host/guard.h"
#include "model_cursor.h"

/* Mix what a schema's pragmas say into the stamp. */
static Status stamp_schema(
    const ModelDefinition *d, const char *schema, sqlite3_int64 out[3], Err *err) {
    sqlite3_int64 version;
    TRY(glue_integer(d->db, 0, &version, err, "PRAGMA \"%w\".schema_version", schema));
    out[2] = (sqlite3_int64)model_hash_bytes((sqlite3_uint64)out[2], &version, sizeof version);
    TRY(glue_integer(d->db, 0, &version, err, "PRAGMA \"%w\".data_version", schema));
    out[1] = (sqlite3_int64)model_hash_bytes((sqlite3_uint64)out[1], &version, sizeof version);
    return ST_OK;
}

/* What changes when this connection or another one writes: to the model's own schema, which is all
 * that a view in it can read, but for a view in temp, which can read every schema. */
static Status stamp(const ModelDefinition *d, sqlite3_int64 out[3], Err *err) {
    sqlite3_stmt *schemas;
    int has_row = 1;
    out[0] = sqlite3_total_changes64(d->db);
    out[1] = out[2] = 0;
    if (sqlite3_stricmp(d->schema, "temp") != 0) return stamp_schema(d, d->schema, out, err);
    TRY(glue_prepare(d->db, &schemas, err, "SELECT name FROM pragma_database_list ORDER BY seq"));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = glue_step(d->db, schemas, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = stamp_schema(d, (const char *)sqlite3_column_text(schemas, 0), out, err);
    }
    sqlite3_finalize(schemas);
    return status;
}

/* A category is an INTEGER or a TEXT; what is neither has none. */
static Status read_categories(
    const ModelDefinition *d, const Model *model, int32_t *category, Err *err) {
    sqlite3_stmt *rows = NULL;
    int has_row = 1;
    TRY(guard_source(d->db, d->schema, d->items, 0, err));
    KeyMap *names = keymap_new();
    Status status = names
        ? glue_prepare(d->db, &rows, err, "SELECT i.\"%w\", i.\"%w\" FROM \"%w\".\"%w\" AS i",
              d->item_key, d->item_category, d->schema, d->items)
        : fail_nomem(err, "the categories");
    for (int32_t i = 0; i < model->n_items; i++) category[i] = -1;
    while (status == ST_OK) {
        char buffer[64];
        Key item, name;
        status = glue_step(d->db, rows, &has_row, err);
        if (status != ST_OK || !has_row) break;
        int32_t id = glue_key(sqlite3_column_value(rows, 0), d->item_affinity, buffer, &item)
            ? keymap_find(model->items, item)
            : -1;
        if (id >= 0 && glue_key(sqlite3_column_value(rows, 1), AFFINITY_NONE, buffer + 32, &name))
            status = keymap_add(names, name, &category[id], err);
    }
    sqlite3_finalize(rows);
    keymap_free(names);
    return status;
}

Status model_categories(ModelTable *t, const ModelCursor *c, const int32_t **out, Err *err) {
    const ModelDefinition *d = &t->definition;
    sqlite3_int64 now[3];
    *out = NULL;
    if (!rerank_needs_categories(&c->request.call.rerank)) return ST_OK;
    if (!d->item_category)
        return fail(err, ST_BADARG,
            "calibration and max_per_category need the model's items=, item_key= and "
            "item_category=");
    TRY(stamp(d, now, err));
    /* a rollback leaves no trace in the stamp */
    int in_transaction = !sqlite3_get_autocommit(d->db);
    if (in_transaction || !t->category || c->model != t->loaded || now[0] != t->category_stamp[0] ||
        now[1] != t->category_stamp[1] || now[2] != t->category_stamp[2]) {
        mem_free(t->category);
        t->category = mem_array((size_t)c->model->n_items, sizeof *t->category);
        if (!t->category) return fail_nomem(err, "the categories");
        Status status = read_categories(d, c->model, t->category, err);
        if (status != ST_OK) {
            mem_free(t->category);
            t->category = NULL;
            return status;
        }
        /* another version's items: for this once */
        t->category_stamp[0] = in_transaction || c->model != t->loaded ? -1 : now[0];
        t->category_stamp[1] = now[1];
        t->category_stamp[2] = now[2];
    }
    *out = t->category;
    return ST_OK;
}
