/* rec_onnx(predictor [, options]): a version as a model of ONNX; rec_from_model(file [, options]):
 * a model of LightGBM, XGBoost or ONNX as a version, for the command load. */
#include "../../learn/onnx_predictor.h"
#include "../../learn/model_files.h"
#include "../functions/function.h"
#include "../host/cache.h"
#include "../host/parts.h"
#include "predictor_answer.h"

typedef struct OnnxOptions {
    char version[ROUTE_NAME];
    int64_t input;
} OnnxOptions;
enum { INPUT_FEATURES, INPUT_COLUMNS };

static const OptSpec onnx_options[] = {
    {"version", OPT_TEXT, offsetof(OnnxOptions, version), 0, ROUTE_NAME, 0, "",
        "the number of a version, or an alias; default: the active one"},
    {"input", OPT_CHOICE, offsetof(OnnxOptions, input), 0, 0, INPUT_FEATURES, "features|columns",
        "an input a feature, as the examples have it; or one with all columns, as rec_transform "
        "gives them"},
    {0},
};

/* The bytes, or the error; they are cleared. */
static void result_bytes(
    sqlite3_context *context, const char *function, Status status, Bytes *out, const Err *err) {
    if (status == ST_NOMEM) sqlite3_result_error_nomem(context);
    else if (status != ST_OK) function_error(context, function, err->text);
    else
        sqlite3_result_blob64(
            context, out->len ? (const char *)out->data : "", out->len, SQLITE_TRANSIENT);
    bytes_clear(out);
}

static void rec_onnx(sqlite3_context *context, int argc, sqlite3_value **argv) {
    sqlite3 *db = sqlite3_context_db_handle(context);
    OnnxOptions options;
    OptTarget target = {onnx_options, &options};
    Predictor *predictor = NULL;
    Bytes out = {0};
    Err err = {0};
    Status status = value_options(&target, 1, argc > 1 ? argv[1] : NULL, &err);
    if (status == ST_OK)
        status = predictor_of_version(db, argv[0], options.version, &predictor, &err);
    if (status == ST_OK)
        status = predictor_onnx(predictor, options.input == INPUT_COLUMNS, &out, &err);
    cache_release(predictor);
    result_bytes(context, "rec_onnx", status, &out, &err);
}

static void rec_from_model(sqlite3_context *context, int argc, sqlite3_value **argv) {
    int is_blob = sqlite3_value_type(argv[0]) == SQLITE_BLOB;
    const char *text = is_blob ? sqlite3_value_blob(argv[0]) : value_text(argv[0]);
    Predictor *predictor = NULL;
    Bytes out = {0};
    Err err = {0};
    char sha256[SHA256_TEXT];
    ModelFileOptions options;
    OptTarget target = {model_file_options, &options};
    Status status = value_options(&target, 1, argc > 1 ? argv[1] : NULL, &err);
    if (status == ST_OK && !text) status = fail(&err, ST_BADARG, "the model is NULL or empty");
    if (status == ST_OK)
        status = model_file_read(
            &predictor, text, (size_t)sqlite3_value_bytes(argv[0]), &options, &err);
    if (status == ST_OK) status = predictor_write(predictor, &out, sha256, &err);
    predictor_free(predictor);
    result_bytes(context, "rec_from_model", status, &out, &err);
}

int register_predictor_interchange(sqlite3 *db) {
    static const ScalarFunction functions[] = {
        {"rec_onnx", 1, 2, rec_onnx}, {"rec_from_model", 1, 2, rec_from_model}};
    return scalars_register(db, functions, sizeof functions / sizeof *functions);
}
