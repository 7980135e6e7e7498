/* rec_predict, rec_predict_proba, rec_transform: a predictor asked about values of the query.
 *
 * The first row of a statement finds the predictor and the version that answers; what it holds is
 * SQLite's auxiliary data of the first argument, so that the rows after it only compute. Where the
 * name is no constant every row finds it anew. */
#include "../../base/memory.h"
#include "../functions/function.h"
#include "predictor_object.h"

typedef struct Call {
    sqlite3_context *context;
    Answers *answers;
    int is_kept; /* by SQLite */
    HeldVersion *held;
    FeatureObject object; /* of the form with one json_object */
} Call;

static void answers_free(void *answers) {
    answers_close(answers);
    mem_free(answers);
}

static Status find_answers(Call *call, sqlite3_value **argv, Err *err) {
    PredictorConnection *connection = sqlite3_user_data(call->context);
    AnswerOptions options;
    PredictorTable *table;
    call->answers = sqlite3_get_auxdata(call->context, 0);
    call->is_kept = call->answers != NULL;
    if (call->is_kept) return ST_OK;
    options_default(answer_options, &options);
    TRY(predictor_table_find(connection, value_text(argv[0]), &table, err));
    Answers *answers = mem_zeros(1, sizeof *answers);
    if (!answers) {
        predictor_table_release(table);
        return fail_nomem(err, "the prediction");
    }
    call->answers = answers;
    return answers_open(answers, table, &options, err);
}

static Status cells_by_place(Call *call, int argc, sqlite3_value **argv, Err *err) {
    const Predictor *predictor = call->held->predictor;
    if (argc - 1 != predictor->n_columns) {
        Bytes names = {0};
        for (int32_t i = 0; i < predictor->n_columns; i++)
            bytes_format(&names, "%s%s", i ? ", " : "", predictor->column[i]);
        bytes_append(&names, "", 1);
        Status status = fail(err, ST_BADARG,
            "%d features are given, it takes %d (%.400s), or one json_object", argc - 1,
            (int)predictor->n_columns, names.failed ? "" : (const char *)names.data);
        bytes_clear(&names);
        return status;
    }
    for (int i = 1; i < argc; i++) call->held->cell[i - 1] = cell_of_value(argv[i]);
    return ST_OK;
}

static void call_clear(Call *call) {
    feature_object_clear(&call->object);
    if (call->answers && !call->is_kept) answers_free(call->answers);
}

/* Everything up to the row of cells. */
static Status prepare(Call *call, int argc, sqlite3_value **argv, Err *err) {
    char buffer[CELL_BUFFER];
    Key unit;
    if (!argc) return fail(err, ST_BADARG, "the predictor's name is missing");
    TRY(find_answers(call, argv, err));
    const char *row_id = call->answers->table->definition.row_id;
    Err bad = {0};
    Status read = argc == 2 ? feature_object_read(&call->object, argv[1], &bad) : ST_OK;
    int has_unit = feature_object_unit(&call->object, row_id, buffer, &unit);
    TRY(answers_for(call->answers, has_unit ? &unit : NULL, &call->held, err));
    const Predictor *predictor = call->held->predictor;
    /* a predictor of one feature may be given a text that only looks like an object */
    if (predictor->n_columns == 1 && read != ST_NOMEM &&
        !json_object_get(call->object.root, predictor->column[0]))
        return cells_by_place(call, argc, argv, err);
    if (read != ST_OK) *err = bad;
    TRY(read);
    return call->object.root ? feature_object_cells(&call->object, call->held, row_id, err)
                             : cells_by_place(call, argc, argv, err);
}

/* What is held stays for the next row of the statement; set last, as SQLite may free it at once. */
static void finish(
    Call *call, const char *function, int argc, sqlite3_value **argv, Status status, Err *err) {
    Answers *answers = call->answers;
    int keep = answers && !call->is_kept && status == ST_OK;
    if (status != ST_OK) {
        const char *name = argc ? value_text(argv[0]) : NULL;
        if (name) err_prefix(err, "%.60s", name);
        sql_function_error(call->context, function, status, err);
    }
    if (keep) call->is_kept = 1;
    sqlite3_context *context = call->context;
    call_clear(call);
    if (keep) sqlite3_set_auxdata(context, 0, answers, answers_free);
}

static void rec_predict(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Call call = {.context = context};
    Prediction prediction;
    Err err = {0};
    Status status = prepare(&call, argc, argv, &err);
    if (status == ST_OK)
        status = asker_predict(call.held->asker, call.held->cell, &prediction, &err);
    if (status == ST_OK) result_prediction(context, call.held->predictor, &prediction);
    finish(&call, "rec_predict", argc, argv, status, &err);
}

static void result_probability(
    sqlite3_context *context, const Predictor *predictor, const Prediction *prediction) {
    Bytes json = {0};
    if (predictor_classes(predictor) == 2) {
        sqlite3_result_double(context, prediction->probability[1]);
        return;
    }
    probabilities_json(predictor, prediction, &json);
    result_json(context, &json);
}

static void rec_predict_proba(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Call call = {.context = context};
    Prediction prediction;
    Err err = {0};
    Status status = prepare(&call, argc, argv, &err);
    if (status == ST_OK && call.held->predictor->task != LEARN_CLASSES)
        status = fail(&err, ST_BADARG, "it predicts no classes");
    if (status == ST_OK)
        status = asker_predict(call.held->asker, call.held->cell, &prediction, &err);
    if (status == ST_OK) result_probability(context, call.held->predictor, &prediction);
    finish(&call, "rec_predict_proba", argc, argv, status, &err);
}

static void append_number(
    const FeatureSet *set, int32_t column, double value, Bytes *name, Bytes *out) {
    name->len = 0;
    feature_set_column_name(set, column, name);
    if (out->len > 1) bytes_append(out, ",", 1);
    bytes_json_string(out, (const char *)name->data, name->len);
    bytes_format(out, value == value ? ":%.9g" : ":null", value);
}

/* Columns that are 0 are left out. */
static void result_row(sqlite3_context *context, const HeldVersion *held) {
    const FeatureSet *set = &held->predictor->features;
    const DesignRow *row = &held->asker->row;
    Bytes json = {0}, name = {0};
    bytes_append(&json, "{", 1);
    for (int32_t i = 0; i < row->n_dense; i++)
        if (row->dense[i] != 0) append_number(set, i, row->dense[i], &name, &json);
    for (int64_t e = 0; e < row->n; e++) append_number(set, row->col[e], row->val[e], &name, &json);
    bytes_append(&json, "}", 1);
    if (name.failed) json.failed = 1;
    bytes_clear(&name);
    result_json(context, &json);
}

static void rec_transform(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Call call = {.context = context};
    Err err = {0};
    Status status = prepare(&call, argc, argv, &err);
    if (status == ST_OK)
        status = feature_set_apply(&call.held->predictor->features, call.held->cell, -1,
            &call.held->asker->row, &call.held->asker->buffer, &err);
    if (status == ST_OK) result_row(context, call.held);
    finish(&call, "rec_transform", argc, argv, status, &err);
}

int predict_functions_register(sqlite3 *db, PredictorConnection *connection) {
    static const struct {
        const char *name;
        void (*function)(sqlite3_context *, int, sqlite3_value **);
    } functions[] = {{"rec_predict", rec_predict}, {"rec_predict_proba", rec_predict_proba},
        {"rec_transform", rec_transform}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        connection->references++; /* given back also when this fails */
        int code = sqlite3_create_function_v2(db, functions[i].name, -1,
            SQLITE_UTF8 | SQLITE_INNOCUOUS, connection, functions[i].function, NULL, NULL,
            predictor_connection_release);
        if (code) return code;
    }
    return SQLITE_OK;
}
