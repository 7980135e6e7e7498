/* The cursor of a rec_model: the model it holds, its rows, its columns. The list of one user, item
 * or cart is made at once; everybody's come in batches. */
#include <string.h>

#include "../../base/bits.h"
#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/values.h"
#include "../versions/version_store.h"
#include "model_cursor.h"

Status model_table_take(ModelTable *table, sqlite3_int64 wanted, Model **out,
    sqlite3_int64 *out_version, ModelQuery **out_query, Err *err) {
    char sha256[SHA256_TEXT];
    *out = NULL;
    *out_query = NULL;
    TRY(store_lookup(&table->definition.id, &table->lookup, wanted, out_version, sha256, err));
    if (!table->loaded || strcmp(table->loaded->sha256, sha256) != 0 ||
        table->loaded_version != *out_version) {
        void *model;
        TRY(store_load(&table->definition.id, *out_version, sha256, &model, err));
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
    list_rows_empty(&cursor->rows);
    cursor->at = 0;
    everybody_clear(&cursor->everybody);
    request_clear(&cursor->request);
    request_echo_clear(&cursor->echo);
    if (cursor->model)
        model_table_give_back((ModelTable *)cursor->base.pVtab, cursor->model, cursor->query);
    cursor->model = NULL;
    cursor->query = NULL;
}

int model_close_cursor(sqlite3_vtab_cursor *base) {
    ModelCursor *cursor = (ModelCursor *)base;
    cursor_reset(cursor);
    list_rows_clear(&cursor->rows);
    mem_free(cursor);
    return SQLITE_OK;
}

/* The cart's items as places in the model; -1 for those that it does not know. */
static Status read_basket(OwnedHistory *out, const Model *model, const KeyList *list, Err *err) {
    int32_t *item = mem_array(list->n, sizeof *item);
    if (!item) return fail_nomem(err, "the basket");
    for (size_t i = 0; i < list->n; i++) item[i] = keymap_find(model->items, list->key[i]);
    Status status = history_of_basket(item, (int64_t)list->n, model->n_items, out, err);
    mem_free(item);
    return status;
}

/* Prepare the query for the request's one subject, and leave out what has been seen. *known is 0
 * for an unknown similar_to. */
static Status prepare_subject(ModelTable *table, ModelQuery *query, const Request *request,
    OwnedHistory *history, uint64_t *allowed, int *known, Err *err) {
    const Model *model = query->model;
    *known = 1;
    if (request->subject == SUBJECT_SIMILAR) {
        int32_t item = keymap_find(model->items, request->similar);
        if (model->algorithm->no_similar)
            return fail(
                err, ST_BADARG, "algorithm %s has no similar items", model->algorithm->name);
        *known = item >= 0;
        if (!*known) return ST_OK;
        bits_remove(allowed, item);
        return model_query_similar(query, item, err);
    }
    HistoryRules rules = history_rules_until(model, request->call.until);
    if (request->subject == SUBJECT_BASKET) TRY(read_basket(history, model, &request->basket, err));
    else TRY(events_read_user(&table->reader, model, &rules, request->user, history, err));
    if (request->call.exclude_seen) allowed_without_history(allowed, &history->history);
    return model_query_history(query, &history->history, err);
}

/* The list of one user, item or cart. */
static Status list_of_subject(ListRows *out, ModelTable *table, ModelQuery *query,
    const Request *request, uint64_t *allowed, Err *err) {
    OwnedHistory history = {0};
    const int32_t *category = NULL;
    int known = 0;
    Status status = prepare_subject(table, query, request, &history, allowed, &known, err);
    if (status == ST_OK && known && !request->has_candidates)
        status = model_categories(table, query->model, &request->call.rerank, &category, err);
    if (status == ST_OK && known)
        status = model_list_rows(out, query, request, allowed, category, err);
    for (size_t i = 0; request->because && i < out->n && status == ST_OK; i++)
        status = model_explain(&out->row[i], query, request->subject, err);
    query->history = (History){0}; /* ours is about to go */
    owned_history_clear(&history);
    return status;
}

static Status answer(ModelTable *table, ModelCursor *cursor, Err *err) {
    Request *request = &cursor->request;
    uint64_t *allowed = NULL;
    TRY(model_table_take(
        table, request->call.version, &cursor->model, &cursor->version, &cursor->query, err));
    if (request->call.exclude_seen < 0)
        request->call.exclude_seen = !cursor->model->algorithm->keeps_seen;
    Status status = allowed_of_request(&allowed, request, cursor->model, &table->definition, err);
    if (status == ST_OK && !request->subject) {
        uint64_t *common = allowed;
        allowed = NULL;
        TRY(everybody_begin(&cursor->everybody, table, cursor->model, common, request, err));
        return everybody_next(
            &cursor->rows, &cursor->everybody, table, cursor->query, request, err);
    }
    if (status == ST_OK)
        status = list_of_subject(&cursor->rows, table, cursor->query, request, allowed, err);
    mem_free(allowed);
    return status;
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
        status = request_read(
            &cursor->request, &cursor->echo, &table->definition, number, plan, argv, &err);
        if (status == ST_OK && !cursor->request.null_input) status = answer(table, cursor, &err);
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(base->pVtab, "rec_model", table->definition.id.name, status, &err);
}

int model_next(sqlite3_vtab_cursor *base) {
    ModelCursor *cursor = (ModelCursor *)base;
    ModelTable *table = (ModelTable *)base->pVtab;
    Err err = {0};
    cursor->at++;
    if (cursor->at < cursor->rows.n || !cursor->everybody.begun) return SQLITE_OK;
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        cursor->at = 0;
        status = everybody_next(
            &cursor->rows, &cursor->everybody, table, cursor->query, &cursor->request, &err);
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(base->pVtab, "rec_model", table->definition.id.name, status, &err);
}

int model_eof(sqlite3_vtab_cursor *base) {
    const ModelCursor *cursor = (const ModelCursor *)base;
    return cursor->at >= cursor->rows.n;
}

/* The user as the events table would hold her. */
static void user_column(
    const ModelCursor *cursor, const ModelDefinition *definition, sqlite3_context *context) {
    char buffer[KEY_BUFFER];
    Key key;
    sqlite3_value *user = cursor->request.user;
    if (cursor->everybody.begun)
        result_key(
            context, keymap_key(cursor->everybody.all.users, cursor->rows.row[cursor->at].user));
    else if (user && value_key(user, definition->user_affinity, buffer, &key))
        result_key(context, key);
    else if (user) sqlite3_result_value(context, user);
}

int model_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    const ModelCursor *cursor = (const ModelCursor *)base;
    const ModelDefinition *definition = &((ModelTable *)base->pVtab)->definition;
    const ListRow *row = &cursor->rows.row[cursor->at];
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
        if (column < N_MODEL_COLUMNS && cursor->echo.column[column])
            sqlite3_result_value(context, cursor->echo.column[column]);
    }
    return SQLITE_OK;
}

static sqlite3_uint64 hash_key(sqlite3_uint64 hash, Key key) {
    return key.text ? model_hash_bytes(hash, key.text, key.len)
                    : model_hash_bytes(hash, &key.integer, sizeof key.integer);
}

/* A hash of user, item and all inputs: SQLite uses rowids to tell rows of an OR apart. */
int model_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    const ModelCursor *cursor = (const ModelCursor *)base;
    const ListRow *row = &cursor->rows.row[cursor->at];
    sqlite3_uint64 hash = cursor->echo.hash;
    if (cursor->everybody.begun)
        hash = hash_key(hash, keymap_key(cursor->everybody.all.users, row->user));
    hash = hash_key(hash, row->item);
    *out = (sqlite3_int64)(hash & INT64_MAX);
    return SQLITE_OK;
}
