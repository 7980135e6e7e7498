/* rec_train and rec_tune: a training and a tuning in a statement that only reads. */
#include <string.h>

#include "../host/guard.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "model_train.h"
#include "model_tune.h"

/* Of the model's own events, or of sums (a third argument that is not NULL). */
static Status train(const ModelDefinition *definition, EventsReader *reader, const char *options,
    sqlite3_value *sums, Model **out, Err *err) {
    PutWish wish;
    if (sums && sqlite3_value_type(sums) != SQLITE_NULL)
        return train_on_sums(definition, options, sums, out, err);
    return tune_before_train(definition, options)
        ? tune_and_train(definition, reader, options, 0, out, &wish, err)
        : train_model(definition, reader, options, out, &wish, err);
}

/* rec_train(model [, options [, sums]]): the trained version as a BLOB, for INSERT INTO
 * model(model, arg) VALUES('load', blob). */
static void rec_train(sqlite3_context *context, int argc, sqlite3_value **argv) {
    ModelDefinition definition;
    EventsReader reader = {.definition = &definition};
    Model *model = NULL;
    char sha256[SHA256_TEXT];
    Bytes blob = {0};
    Err err = {0};
    sqlite3 *db = sqlite3_context_db_handle(context);
    const char *options = argc > 1 ? value_text(argv[1]) : NULL;

    Status status = definition_find(&definition, db, value_text(argv[0]), &err);
    if (status == ST_OK) status = guard_enter(&err);
    if (status == ST_OK) {
        status = train(&definition, &reader, options, argc > 2 ? argv[2] : NULL, &model, &err);
        guard_leave();
    }
    if (status == ST_OK) status = model_write(model, &blob, sha256, &err);
    if (status == ST_OK) sqlite3_result_blob64(context, blob.data, blob.len, SQLITE_TRANSIENT);
    else sql_function_error(context, "rec_train", status, &err);
    bytes_clear(&blob);
    model_free(model);
    events_reader_clear(&reader);
    definition_clear(&definition);
}

int register_train_function(sqlite3 *db) {
    for (int arguments = 1; arguments <= 3; arguments++) {
        int code = sqlite3_create_function_v2(db, "rec_train", arguments,
            SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, rec_train, NULL, NULL, NULL);
        if (code) return code;
    }
    return SQLITE_OK;
}

static void rec_tune(sqlite3_context *context, int argc, sqlite3_value **argv) {
    ModelDefinition definition;
    EventsReader reader = {.definition = &definition};
    Bytes json = {0};
    Err err = {0};
    const char *options = argc > 1 ? value_text(argv[1]) : NULL;
    Status status = definition_find(
        &definition, sqlite3_context_db_handle(context), value_text(argv[0]), &err);
    if (status == ST_OK) status = guard_enter(&err);
    if (status == ST_OK) {
        status = tune_outside(&definition, &reader, options, &json, &err);
        guard_leave();
    }
    if (status == ST_OK)
        sqlite3_result_text64(
            context, (const char *)json.data, json.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    else sql_function_error(context, "rec_tune", status, &err);
    bytes_clear(&json);
    events_reader_clear(&reader);
    definition_clear(&definition);
}

static void rec_serving_only(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Err err = {0};
    (void)argc, (void)argv;
    Status status = guard_forbid_training(sqlite3_context_db_handle(context), &err);
    if (status == ST_OK) sqlite3_result_int(context, 1);
    else sql_function_error(context, "rec_serving_only", status, &err);
}

int register_serving_only(sqlite3 *db) {
    return sqlite3_create_function_v2(db, "rec_serving_only", 0, SQLITE_UTF8 | SQLITE_DIRECTONLY,
        NULL, rec_serving_only, NULL, NULL, NULL);
}

int register_tune_function(sqlite3 *db) {
    for (int arguments = 1; arguments <= 2; arguments++) {
        int code = sqlite3_create_function_v2(db, "rec_tune", arguments,
            SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, rec_tune, NULL, NULL, NULL);
        if (code) return code;
    }
    return SQLITE_OK;
}
