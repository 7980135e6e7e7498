/* The cursor of a rec_model: the model it holds, its rows, its columns. The list of one user, item
 * or cart is made at once; everybody's come in batches. */
#include <string.h>

#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "model_cursor.h"

Status model_table_take(ModelTable *t, sqlite3_int64 wanted, Model **out,
    sqlite3_int64 *out_version, ModelQuery **out_query, Err *err) {
    char sha256[65];
    *out = NULL;
    *out_query = NULL;
    TRY(store_lookup(&t->definition, &t->lookup, wanted, out_version, sha256, err));
    if (!t->loaded || strcmp(t->loaded->sha256, sha256) != 0 || t->loaded_version != *out_version) {
        Model *model;
        TRY(store_model(&t->definition, *out_version, sha256, &model, err));
        model_query_free(t->spare);
        t->spare = NULL;
        cache_release(t->loaded);
        mem_free(t->category);
        t->category = NULL;
        t->loaded = model;
        t->loaded_version = *out_version;
    }
    if (t->spare) { /* the reference and the scratch memory of the last query */
        *out = t->loaded;
        *out_query = t->spare;
        t->spare = NULL;
    } else {
        TRY(model_query_new(out_query, t->loaded, err));
        *out = t->loaded;
    }
    /* the cursor's own: the table may move on before the cursor is closed */
    cache_retain(t->loaded);
    return ST_OK;
}

void model_table_give_back(ModelTable *t, Model *model, ModelQuery *query) {
    if (query && !t->spare && model == t->loaded) t->spare = query;
    else model_query_free(query);
    cache_release(model);
}

int model_open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    ModelCursor *cursor = mem_zeros(1, sizeof *cursor);
    (void)vtab;
    if (!cursor) return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

static void cursor_reset(ModelCursor *c) {
    model_clear_rows(c);
    key_list_clear(&c->request.basket);
    key_list_clear(&c->request.candidates);
    key_list_clear(&c->request.exclude);
    for (int i = 0; i < N_MODEL_COLUMNS; i++) sqlite3_value_free(c->echo[i]);
    memset(c->echo, 0, sizeof c->echo);
    all_histories_clear(&c->all);
    mem_free(c->common);
    c->common = NULL;
    if (c->model) model_table_give_back((ModelTable *)c->base.pVtab, c->model, c->query);
    c->model = NULL;
    c->query = NULL;
    cache_release(c->copy);
    c->copy = NULL;
    c->request = (Request){0};
    c->batched = 0;
    c->next_user = 0;
}

int model_close_cursor(sqlite3_vtab_cursor *base) {
    ModelCursor *c = (ModelCursor *)base;
    cursor_reset(c);
    mem_free(c->row);
    mem_free(c);
    return SQLITE_OK;
}

static Status answer(
    ModelTable *t, ModelCursor *c, int number, const char *plan, sqlite3_value **argv, Err *err) {
    TRY(model_read_request(c, &t->definition, plan, argv, err));
    c->request.because = (number & MODEL_PLAN_BECAUSE) != 0;
    c->request.browses = (number & MODEL_PLAN_BROWSE) != 0;
    TRY(device_parse(c->request.call.device, &c->request.device, err));
    if (c->request.null_input) return ST_OK; /* = NULL is never true */
    TRY(model_table_take(t, c->request.call.version, &c->model, &c->version, &c->query, err));
    if (c->request.call.exclude_seen < 0)
        c->request.call.exclude_seen = !c->model->algorithm->keeps_seen;
    TRY(model_set_common(c, &t->definition, err));
    return c->request.subject ? model_fill_one(t, c, err) : model_fill_everybody(t, c, err);
}

int model_filter(
    sqlite3_vtab_cursor *base, int number, const char *plan, int argc, sqlite3_value **argv) {
    ModelCursor *c = (ModelCursor *)base;
    ModelTable *t = (ModelTable *)base->pVtab;
    Err err = {0};
    (void)argc;
    cursor_reset(c);
    Status status = guard_enter_table(&t->busy, &err);
    if (status == ST_OK) {
        status = answer(t, c, number, plan, argv, &err);
        guard_leave_table(&t->busy);
    }
    return glue_vtab_error(base->pVtab, "rec_model", t->definition.name, status, &err);
}

int model_next(sqlite3_vtab_cursor *base) {
    ModelCursor *c = (ModelCursor *)base;
    ModelTable *t = (ModelTable *)base->pVtab;
    Err err = {0};
    c->at++;
    if (c->at < c->n_rows || !c->batched) return SQLITE_OK;
    Status status = guard_enter_table(&t->busy, &err);
    if (status == ST_OK) {
        status = model_next_batch(t, c, &err);
        guard_leave_table(&t->busy);
    }
    return glue_vtab_error(base->pVtab, "rec_model", t->definition.name, status, &err);
}

int model_eof(sqlite3_vtab_cursor *base) {
    const ModelCursor *c = (const ModelCursor *)base;
    return c->at >= c->n_rows;
}

/* The user as the events table would hold her. */
static void user_column(const ModelCursor *c, const ModelDefinition *d, sqlite3_context *context) {
    char buffer[32];
    Key key;
    if (c->batched) glue_result_key(context, keymap_key(c->all.users, c->row[c->at].user));
    else if (c->request.user && glue_key(c->request.user, d->user_affinity, buffer, &key))
        glue_result_key(context, key);
    else if (c->request.user) sqlite3_result_value(context, c->request.user);
}

int model_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    const ModelCursor *c = (const ModelCursor *)base;
    const ModelDefinition *d = &((ModelTable *)base->pVtab)->definition;
    const Row *row = &c->row[c->at];
    switch (column) {
    case C_USER: user_column(c, d, context); break;
    case C_ITEM: glue_result_key(context, row->item); break;
    case C_SCORE: sqlite3_result_double(context, row->score); break;
    case C_RANK: sqlite3_result_int64(context, row->rank); break;
    case C_BECAUSE:
        if (row->because) sqlite3_result_text(context, row->because, -1, SQLITE_TRANSIENT);
        break;
    case C_VERSION: sqlite3_result_int64(context, c->version); break;
    default:
        if (column < N_MODEL_COLUMNS && c->echo[column])
            sqlite3_result_value(context, c->echo[column]);
    }
    return SQLITE_OK;
}

/* A hash of user, item and all inputs: SQLite uses rowids to tell rows of an OR apart. */
int model_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    const ModelCursor *c = (const ModelCursor *)base;
    const Row *row = &c->row[c->at];
    sqlite3_uint64 hash = c->inputs_hash;
    if (c->batched) {
        Key user = keymap_key(c->all.users, row->user);
        hash = user.text ? model_hash_bytes(hash, user.text, user.len)
                         : model_hash_bytes(hash, &user.integer, sizeof user.integer);
    }
    hash = row->item.text ? model_hash_bytes(hash, row->item.text, row->item.len)
                          : model_hash_bytes(hash, &row->item.integer, sizeof row->item.integer);
    *out = (sqlite3_int64)(hash & INT64_MAX);
    return SQLITE_OK;
}
