/* rec_predictors, rec_features: what predictors there are, and what they look at. */
#include <math.h>
#include <string.h>

#include "../host/cache.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/schema.h"
#include "predictor_answer.h"

/* ---- rec_predictors ---- */

typedef struct Listing {
    sqlite3 *db;
    RowSink *sink;
} Listing;

static void row_json(RowSink *sink, Bytes *json) {
    bytes_append(json, "", 1);
    row_text(sink, json->failed ? "" : (const char *)json->data);
    bytes_clear(json);
}

static void judged(RowSink *sink, const Predictor *predictor) {
    Bytes json = {0};
    bytes_append(&json, "{", 1);
    for (int32_t i = 0; i < predictor->n_judgements; i++) {
        const Verdict *own = &predictor->judgement[i];
        bytes_format(&json, "%s\"%s\":", i ? "," : "", own->name);
        if (isfinite(own->value)) bytes_format(&json, "%.9g", own->value);
        else bytes_append(&json, "null", 4);
    }
    bytes_append(&json, "}", 1);
    row_json(sink, &json);
}

static Status list_predictor(const PredictorDefinition *definition, RowSink *sink, Err *err) {
    sqlite3_int64 active, versions;
    void *object = NULL;
    Err bad = {0};
    TRY(store_active(&definition->id, &active, err));
    TRY(sql_integer(definition->id.db, 0, &versions, err,
        "SELECT count(*) FROM \"%w\".\"%w_versions\"", definition->id.schema, definition->id.name));
    Status status = active ? store_take(&definition->id, active, &object, &bad) : ST_OK;
    if (status == ST_NOMEM || status == ST_CANCELLED) {
        *err = bad;
        return status;
    }
    if (status != ST_OK) object = NULL;
    const Predictor *predictor = object;
    row_text(sink, definition->id.name);
    row_text(sink,
        predictor                      ? predictor->learner->name
            : definition->is_automatic ? "auto"
                                       : definition->setting.learner->name);
    row_text(sink, predictor ? learn_task_name(predictor->task) : NULL);
    if (active) row_integer(sink, active);
    else row_null(sink);
    row_integer(sink, versions);
    row_text(sink, definition->examples);
    row_text(sink, definition->label);
    if (predictor) row_integer(sink, predictor->n_examples);
    else row_null(sink);
    if (predictor) judged(sink, predictor);
    else row_text(sink, *bad.text ? bad.text : NULL);
    row_text(sink, definition->id.schema);
    cache_release(object);
    return ST_OK;
}

/* One damaged predictor does not hide the others: its row says what is wrong. */
static Status visit_predictor(void *context, const char *schema, const char *name, Err *err) {
    const Listing *listing = context;
    PredictorDefinition definition = {0};
    Status status = predictor_definition_load(&definition, listing->db, schema, name, err);
    if (status == ST_OK) {
        status = list_predictor(&definition, listing->sink, err);
    } else if (status != ST_NOMEM && status != ST_CANCELLED) {
        row_text(listing->sink, name);
        for (int i = 0; i < 7; i++) row_null(listing->sink);
        row_text(listing->sink, err->text);
        row_text(listing->sink, schema);
        status = ST_OK;
    }
    predictor_definition_clear(&definition);
    return status;
}

static Status predictors_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Listing listing = {db, sink};
    (void)argv;
    return schema_each_table(db, "rec_predictor", "_deployments", visit_predictor, &listing, err);
}

/* ---- rec_features ---- */

static void feature_row(const Predictor *predictor, int32_t i, RowSink *sink) {
    static const char *const kinds[] = {
        "auto", "number", "category", "text", "vector", "timestamp", "boolean", "ignore"};
    const Feature *feature = &predictor->features.feature[i];
    Bytes words = {0};
    row_text(sink, feature->name);
    row_text(sink, kinds[feature->kind]);
    feature_describe(feature, &words);
    row_json(sink, &words);
    row_integer(sink, feature->width);
    row_integer(sink, feature->n);
    row_integer(sink, feature->n_missing);
    row_real(sink, predictor->importance[i]);
    row_number(sink, predictor->permuted[i]);
    row_text(sink, *feature->note ? feature->note : NULL);
}

static Status features_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Predictor *predictor;
    TRY(predictor_of_options(db, argv[0], argv[1], &predictor, err));
    for (int32_t i = 0; i < predictor->features.n; i++) feature_row(predictor, i, sink);
    cache_release(predictor);
    return ST_OK;
}

int register_predictor_tables(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_predictors",
            .columns = "predictor TEXT, algorithm TEXT, task TEXT, active INTEGER, versions "
                       "INTEGER, examples TEXT, label TEXT, learnt_from INTEGER, judged TEXT, "
                       "schema TEXT",
            .n_columns = 10,
            .arguments = "",
            .fill = predictors_fill},
        {.name = "rec_features",
            .columns = "feature TEXT, kind TEXT, becomes TEXT, columns INTEGER, examples INTEGER, "
                       "missing INTEGER, importance REAL, permutation REAL, note TEXT",
            .n_columns = 9,
            .arguments = ", model HIDDEN, options HIDDEN",
            .n_arguments = 2,
            .n_required = 1,
            .fill = features_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
