/* rec_item_vectors(model [, version]): the vectors that a model has made of its items. */
#include "../host/cache.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "model_version.h"

static Status vectors_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ModelDefinition definition = {0};
    Model *model = NULL;
    sqlite3_int64 version = argv[1] ? sqlite3_value_int64(argv[1]) : 0;
    if (argv[1] && sqlite3_value_numeric_type(argv[1]) != SQLITE_INTEGER)
        return fail(err, ST_BADARG, "the version must be a whole number");
    Status status = definition_find(&definition, db, value_text(argv[0]), err);
    if (status == ST_OK) status = model_of_version(&definition, version, &model, err);
    if (status == ST_OK && !model->algorithm->item_vector)
        status = fail(
            err, ST_BADARG, "algorithm %s makes no vectors of its items", model->algorithm->name);
    for (int32_t i = 0; status == ST_OK && i < model->n_items; i++) {
        int32_t dim = 0;
        const float *vector = model->algorithm->item_vector(model, i, &dim);
        if (!vector) {
            status = fail(
                err, ST_BADARG, "the version has no vectors (content: factors= or item_vector=)");
            break;
        }
        row_key(sink, keymap_key(model->items, i));
        row_blob(sink, vector, (size_t)dim * sizeof *vector);
    }
    cache_release(model);
    definition_clear(&definition);
    return status;
}

int register_item_vectors(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_item_vectors",
        .columns = "item, vector BLOB",
        .n_columns = 2,
        .arguments = ", model_name HIDDEN, version HIDDEN",
        .n_arguments = 2,
        .n_required = 1,
        .fill = vectors_fill,
    };
    return row_table_register(db, &table);
}
