/* Reading the items table of a rec_model: the catalogue before the events, texts and vectors once
 * items have their ids. */
#include "model_items.h"

#include <math.h>
#include <string.h>

#include "../../ann/ann.h"
#include "../../base/memory.h"
#include "../../math/kernels.h"
#include "../encoder/encoder_store.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/values.h"

/* SELECT key, text, vector FROM items; NULL for what is not named. */
static Status prepare_items(const ModelDefinition *definition, sqlite3_stmt **out, Err *err) {
    TRY(guard_source(definition->id.db, definition->id.schema, definition->items, 0, err));
    char *text = definition->item_text ? sqlite3_mprintf("i.\"%w\"", definition->item_text)
                                       : sqlite3_mprintf("NULL");
    char *vector = definition->item_vector ? sqlite3_mprintf("i.\"%w\"", definition->item_vector)
                                           : sqlite3_mprintf("NULL");
    Status status = text && vector
        ? sql_prepare(definition->id.db, out, err,
              "SELECT i.\"%w\", %s, %s FROM \"%w\".\"%w\" AS i", definition->item_key, text, vector,
              definition->id.schema, definition->items)
        : fail_nomem(err, "SQL");
    sqlite3_free(text);
    sqlite3_free(vector);
    return status;
}

/* The key of the present row; *has is 0 for NULL, a BLOB or a fraction: such rows are passed
 * over. */
static Key read_key(
    const ModelDefinition *definition, sqlite3_stmt *row, char buffer[KEY_BUFFER], int *has) {
    Key key = {0};
    *has = value_key(sqlite3_column_value(row, 0), definition->item_affinity, buffer, &key);
    return key;
}

static Status list_row(
    const ModelDefinition *definition, Dataset *data, sqlite3_stmt *row, Err *err) {
    char buffer[KEY_BUFFER];
    int has;
    Key key = read_key(definition, row, buffer, &has);
    return has ? dataset_list_item(data, key, err) : ST_OK;
}

static Status read_vector(const ModelDefinition *definition, Dataset *data, int32_t item,
    sqlite3_value *value, Err *err) {
    const float *vector;
    float *owned = NULL;
    int dim;
    if (sqlite3_value_type(value) == SQLITE_NULL) return ST_OK;
    TRY(value_vector(value, &vector, &dim, &owned, err));
    Status status = ST_OK;
    if (dim < 1 || dim > DATASET_MAX_DIM)
        status = fail(err, ST_BADARG, "%s.%s has a vector of %d elements (1..%d)",
            definition->items, definition->item_vector, dim, DATASET_MAX_DIM);
    if (status == ST_OK && !data->item_vector) {
        data->vector_dim = dim;
        data->item_vector = mem_zeros(
            (size_t)data->by_user.n_cols, (size_t)dim * sizeof *data->item_vector);
        if (!data->item_vector) status = fail_nomem(err, "the items' vectors");
    }
    if (status == ST_OK && dim != data->vector_dim)
        status = fail(err, ST_BADARG, "%s.%s has vectors of %d and of %d elements",
            definition->items, definition->item_vector, data->vector_dim, dim);
    if (status == ST_OK && vector_first_bad(vector, (size_t)dim) >= 0)
        status = fail(err, ST_BADARG, "%s.%s holds NaN or infinity", definition->items,
            definition->item_vector);
    if (status == ST_OK)
        memcpy(
            data->item_vector + (size_t)item * (size_t)dim, vector, (size_t)dim * sizeof *vector);
    mem_free(owned);
    return status;
}

/* Of several rows of a key the last text and the last vector count. */
static Status content_row(
    const ModelDefinition *definition, Dataset *data, sqlite3_stmt *row, Err *err) {
    char buffer[KEY_BUFFER];
    int has;
    Key key = read_key(definition, row, buffer, &has);
    int32_t item = has ? keymap_find(data->items, key) : -1;
    const char *text = (const char *)sqlite3_column_text(row, 1);
    if (item < 0) return ST_OK;
    if (text && data->item_text) {
        mem_free(data->item_text[item]);
        data->item_text[item] = mem_text(text, (size_t)sqlite3_column_bytes(row, 1));
        if (!data->item_text[item]) return fail_nomem(err, "the items' texts");
    }
    return read_vector(definition, data, item, sqlite3_column_value(row, 2), err);
}

static Status each_item(const ModelDefinition *definition, Dataset *data,
    Status (*visit)(const ModelDefinition *, Dataset *, sqlite3_stmt *, Err *), Err *err) {
    sqlite3_stmt *rows = NULL;
    Status status = prepare_items(definition, &rows, err);
    while (sql_next(definition->id.db, rows, &status, err)) {
        status = visit(definition, data, rows, err);
    }
    sqlite3_finalize(rows);
    return status;
}

Status items_list(const ModelDefinition *definition, Dataset *data, Err *err) {
    return definition->items && definition->algorithm->wants_items
        ? each_item(definition, data, list_row, err)
        : ST_OK;
}

Status items_list_alone(const ModelDefinition *definition, Dataset *data, Err *err) {
    if (!definition->items)
        return fail(err, ST_BADARG,
            "rho needs the model's items= table: which items there are must be public");
    data->only_listed = 1;
    return each_item(definition, data, list_row, err);
}

/* ---- vectors of the texts ---- */

/* What the texts and the encoder make together is kept as long as there is room for it: a tuning
 * trains on the same texts many times. */
static Status text_key(
    const TextEncoder *encoder, const EncodedText *text, size_t n, CacheKey *out, Err *err) {
    Bytes all = {0};
    uint8_t digest[32];
    bytes_text(&all, encoder->sha256);
    for (size_t i = 0; i < n; i++) bytes_text(&all, text[i].text);
    if (!all.failed) bytes_sha256(all.data, all.len, digest);
    Status status = all.failed ? fail_nomem(err, "the items' texts") : ST_OK;
    bytes_clear(&all);
    *out = (CacheKey){{'V'}};
    if (status == ST_OK) memcpy(out->bytes + 1, digest, sizeof digest);
    return status;
}

/* n x dim, to be cache_release'd. */
static Status vectors_of(const TextEncoder *encoder, const EncodedText *text, size_t n, float **out,
    Task *task, Err *err) {
    CacheKey key;
    size_t bytes = n * encoder->bert.shape.dim * sizeof **out;
    TRY(text_key(encoder, text, n, &key, err));
    *out = cache_get(&key);
    if (*out) return ST_OK;
    float *made = mem_array(n, encoder->bert.shape.dim * sizeof *made);
    if (!made) return fail_nomem(err, "the items' vectors");
    task_phase(task, "encoding texts", "batches", 0, 0);
    Status status = text_encoder_run(encoder, text, (int64_t)n, made, task, err);
    if (status != ST_OK) {
        mem_free(made);
        return status;
    }
    *out = cache_put(&key, made, bytes, mem_free);
    return *out ? ST_OK : fail_nomem(err, "the items' vectors");
}

/* An item without a text keeps 0. */
static Status encode_texts(const TextEncoder *encoder, Dataset *data, Task *task, Err *err) {
    size_t dim = encoder->bert.shape.dim, n = (size_t)data->by_user.n_cols, used = 0;
    EncodedText *text = mem_array(n, sizeof *text);
    float *vector = NULL;
    data->vector_dim = (int32_t)dim;
    data->item_vector = mem_zeros(n, dim * sizeof *data->item_vector);
    Status status = text && data->item_vector ? ST_OK : fail_nomem(err, "the items' vectors");
    for (size_t i = 0; status == ST_OK && i < n; i++)
        if (data->item_text[i])
            text[used++] = (EncodedText){data->item_text[i], strlen(data->item_text[i])};
    if (status == ST_OK) status = vectors_of(encoder, text, used, &vector, task, err);
    for (size_t i = 0, at = 0; status == ST_OK && i < n; i++)
        if (data->item_text[i])
            memcpy(data->item_vector + i * dim, vector + dim * at++, dim * sizeof *vector);
    cache_release(vector);
    mem_free(text);
    return status;
}

static Status take_and_encode(
    const ModelDefinition *definition, Dataset *data, Task *task, Err *err) {
    ShadowOwner owner = {definition->id.db, definition->id.schema, definition->encoder, NULL};
    TextEncoder *encoder;
    int64_t threads = definition->common.threads;
    task->threads = threads ? (int)threads : task_default_threads();
    TRY(encoder_take(&owner, &encoder, err));
    Status status = encode_texts(encoder, data, task, err);
    cache_release(encoder);
    return status;
}

Status items_read(const ModelDefinition *definition, Dataset *data, Task *task, Err *err) {
    if (!definition->items || !definition->algorithm->wants_items) return ST_OK;
    if (definition->item_text &&
        !(data->item_text = mem_zeros((size_t)data->by_user.n_cols, sizeof *data->item_text)))
        return fail_nomem(err, "the items' texts");
    TRY(each_item(definition, data, content_row, err));
    return definition->encoder ? take_and_encode(definition, data, task, err) : ST_OK;
}
