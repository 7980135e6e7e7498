/* The cursor of a rec_model: the model it holds, its rows, its columns. The list of one user, item
 * or cart is made at once; everybody's come in batches. */
#include <string.h>

#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/values.h"
#include "model_cursor.h"

Status model_table_take(ModelTable *table, sqlite3_int64 wanted, Model **out,
    sqlite3_int64 *out_version, ModelQuery **out_query, Err *err) {
    char sha256[SHA256_TEXT];
    *out = NULL;
    *out_query = NULL;
    TRY(store_lookup(&table->definition, &table->lookup, wanted, out_version, sha256, err));
    if (!table->loaded || strcmp(table->loaded->sha256, sha256) != 0 ||
        table->loaded_version != *out_version) {
        Model *model;
        TRY(store_model(&table->definition, *out_version, sha256, &model, err));
        model_query_free(table->spare);
        table->spare = NULL;
        cache_release(table->loaded);
        mem_free(table->category);
        table->category = NULL;
        table->loaded = model;
        table->loaded_version = *out_version;
    }
    if (table->spare) { /* the reference and the scratch memory of the last query */
        *out = table->loaded;
        *out_query = table->spare;
        table->spare = NULL;
    } else {
        TRY(model_query_new(out_query, table->loaded, err));
        *out = table->loaded;
    }
    /* the cursor's own: the table may move on before the cursor is closed */
    cache_retain(table->loaded);
    return ST_OK;
}

void model_table_give_back(ModelTable *table, Model *model, ModelQuery *query) {
    if (query && !table->spare && model == table->loaded) table->spare = query;
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

static void cursor_reset(ModelCursor *cursor) {
    model_clear_rows(cursor);
    key_list_clear(&cursor->request.basket);
    key_list_clear(&cursor->request.candidates);
    key_list_clear(&cursor->request.exclude);
    for (int i = 0; i < N_MODEL_COLUMNS; i++) sqlite3_value_free(cursor->echo[i]);
    memset(cursor->echo, 0, sizeof cursor->echo);
    all_histories_clear(&cursor->all);
    mem_free(cursor->common);
    cursor->common = NULL;
    if (cursor->model)
        model_table_give_back((ModelTable *)cursor->base.pVtab, cursor->model, cursor->query);
    cursor->model = NULL;
    cursor->query = NULL;
    cache_release(cursor->copy);
    cursor->copy = NULL;
    cursor->request = (Request){0};
    cursor->batched = 0;
    cursor->next_user = 0;
}

int model_close_cursor(sqlite3_vtab_cursor *base) {
    ModelCursor *cursor = (ModelCursor *)base;
    cursor_reset(cursor);
    mem_free(cursor->row);
    mem_free(cursor);
    return SQLITE_OK;
}

static Status answer(ModelTable *table, ModelCursor *cursor, int number, const char *plan,
    sqlite3_value **argv, Err *err) {
    TRY(model_read_request(cursor, &table->definition, plan, argv, err));
    cursor->request.because = (number & MODEL_PLAN_BECAUSE) != 0;
    cursor->request.browses = (number & MODEL_PLAN_BROWSE) != 0;
    TRY(device_parse(cursor->request.call.device, &cursor->request.device, err));
    if (cursor->request.null_input) return ST_OK; /* = NULL is never true */
    TRY(model_table_take(table, cursor->request.call.version, &cursor->model, &cursor->version,
        &cursor->query, err));
    if (cursor->request.call.exclude_seen < 0)
        cursor->request.call.exclude_seen = !cursor->model->algorithm->keeps_seen;
    TRY(model_set_common(cursor, &table->definition, err));
    return cursor->request.subject ? model_fill_one(table, cursor, err)
                                   : model_fill_everybody(table, cursor, err);
}

int model_filter(
    sqlite3_vtab_cursor *base, int number, const char *plan, int argc, sqlite3_value **argv) {
    ModelCursor *cursor = (ModelCursor *)base;
    ModelTable *table = (ModelTable *)base->pVtab;
    Err err = {0};
    (void)argc;
    cursor_reset(cursor);
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        status = answer(table, cursor, number, plan, argv, &err);
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(base->pVtab, "rec_model", table->definition.name, status, &err);
}

int model_next(sqlite3_vtab_cursor *base) {
    ModelCursor *cursor = (ModelCursor *)base;
    ModelTable *table = (ModelTable *)base->pVtab;
    Err err = {0};
    cursor->at++;
    if (cursor->at < cursor->n_rows || !cursor->batched) return SQLITE_OK;
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        status = model_next_batch(table, cursor, &err);
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(base->pVtab, "rec_model", table->definition.name, status, &err);
}

int model_eof(sqlite3_vtab_cursor *base) {
    const ModelCursor *cursor = (const ModelCursor *)base;
    return cursor->at >= cursor->n_rows;
}

/* The user as the events table would hold her. */
static void user_column(
    const ModelCursor *cursor, const ModelDefinition *definition, sqlite3_context *context) {
    char buffer[KEY_BUFFER];
    Key key;
    if (cursor->batched)
        result_key(context, keymap_key(cursor->all.users, cursor->row[cursor->at].user));
    else if (cursor->request.user &&
        value_key(cursor->request.user, definition->user_affinity, buffer, &key))
        result_key(context, key);
    else if (cursor->request.user) sqlite3_result_value(context, cursor->request.user);
}

int model_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    const ModelCursor *cursor = (const ModelCursor *)base;
    const ModelDefinition *definition = &((ModelTable *)base->pVtab)->definition;
    const Row *row = &cursor->row[cursor->at];
    switch (column) {
    case C_USER: user_column(cursor, definition, context); break;
    case C_ITEM: result_key(context, row->item); break;
    case C_SCORE: sqlite3_result_double(context, row->score); break;
    case C_RANK: sqlite3_result_int64(context, row->rank); break;
    case C_BECAUSE:
        if (row->because) sqlite3_result_text(context, row->because, -1, SQLITE_TRANSIENT);
        break;
    case C_VERSION: sqlite3_result_int64(context, cursor->version); break;
    default:
        if (column < N_MODEL_COLUMNS && cursor->echo[column])
            sqlite3_result_value(context, cursor->echo[column]);
    }
    return SQLITE_OK;
}

/* A hash of user, item and all inputs: SQLite uses rowids to tell rows of an OR apart. */
int model_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    const ModelCursor *cursor = (const ModelCursor *)base;
    const Row *row = &cursor->row[cursor->at];
    sqlite3_uint64 hash = cursor->inputs_hash;
    if (cursor->batched) {
        Key user = keymap_key(cursor->all.users, row->user);
        hash = user.text ? model_hash_bytes(hash, user.text, user.len)
                         : model_hash_bytes(hash, &user.integer, sizeof user.integer);
    }
    hash = row->item.text ? model_hash_bytes(hash, row->item.text, row->item.len)
                          : model_hash_bytes(hash, &row->item.integer, sizeof row->item.integer);
    *out = (sqlite3_int64)(hash & INT64_MAX);
    return SQLITE_OK;
}
