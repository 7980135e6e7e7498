/* rec_feature_drift(predictor [, source [, options]]): are the rows that come in still those that a
 * version was trained on, and does it still say the same of them? (eval/feature_profile.h) */
#include <math.h>

#include "../../eval/feature_profile.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "predictor_examples.h"
#include "predictor_answer.h"

typedef struct DriftOptions {
    char version[ROUTE_NAME];
    double alpha, least;
} DriftOptions;

static const OptSpec drift_options[] = {
    {"version", OPT_TEXT, offsetof(DriftOptions, version), 0, ROUTE_NAME, 0, "",
        "whose training is the reference: a number or an alias; default: the active one"},
    {"alpha", OPT_REAL, offsetof(DriftOptions, alpha), 1e-9, .5, .01, NULL,
        "chance of an alarm where nothing has changed"},
    {"least", OPT_REAL, offsetof(DriftOptions, least), 0, 10, .1, NULL,
        "a smaller psi is no drift, however sure"},
    {0},
};

enum { DRIFT_LEAST_ROWS = 30 };

typedef struct Drifting {
    DriftOptions options;
    PredictorDefinition definition;
    HeldVersion held;
    FeatureProfile then, now;
    sqlite3_stmt *rows;
    Bytes buffer;
    int64_t n;
} Drifting;

static Status count_row(Drifting *d, Err *err) {
    const Predictor *predictor = d->held.predictor;
    Prediction prediction;
    for (int32_t i = 0; i < predictor->n_columns; i++)
        d->held.cell[i] = source_cell(d->rows, d->held.place[i]);
    TRY(asker_predict(d->held.asker, d->held.cell, &prediction, err));
    d->n++;
    return feature_profile_add(&d->now, predictor, d->held.cell, &prediction, &d->buffer, err);
}

static Status count_rows(Drifting *d, const char *source, Err *err) {
    const Predictor *predictor = d->held.predictor;
    int has_row, no_id = 0;
    TRY(source_open(&d->definition, source, &no_id, &d->rows, err));
    for (int32_t i = 0; i < predictor->n_columns; i++) {
        d->held.place[i] = source_column(d->rows, predictor->column[i]);
        if (d->held.place[i] < 0)
            return fail(err, ST_BADARG, "the rows have no column '%.60s'", predictor->column[i]);
    }
    for (;;) {
        TRY(sql_step(d->definition.id.db, d->rows, &has_row, err));
        if (!has_row) return ST_OK;
        TRY(count_row(d, err));
    }
}

static double missing_share(const FeatureCounts *c) {
    double n = 0;
    for (int b = 0; b < c->n; b++) n += c->count[b];
    return n > 0 ? c->count[c->n - 1] / n : NAN;
}

static void emit(const Drifting *d, RowSink *sink) {
    const FeatureSet *set = &d->held.predictor->features;
    int tests = 0;
    for (int32_t i = 0; i < d->then.n; i++) tests += d->then.counts[i].is_looked_at;
    for (int32_t i = 0; i < d->then.n; i++) {
        const FeatureCounts *then = &d->then.counts[i], *now = &d->now.counts[i];
        if (!then->is_looked_at) continue;
        FeatureDrift drift = feature_drift(then, now);
        double p = fmin(1, drift.p * tests);
        row_text(sink, i < set->n ? set->feature[i].name : NULL);
        row_real(sink, drift.psi);
        row_real(sink, p);
        row_number(sink, missing_share(then));
        row_number(sink, missing_share(now));
        row_integer(sink, d->n);
        row_text(sink,
            d->n < DRIFT_LEAST_ROWS                                    ? "too little data"
                : p < d->options.alpha && drift.psi > d->options.least ? "drift"
                                                                       : "quiet");
    }
}

static Status compare(Drifting *d, const char *source, RowSink *sink, Err *err) {
    const char *trained_on = d->held.predictor->trained_on;
    if (!trained_on || !*trained_on)
        return fail(err, ST_BADARG,
            "the version does not say what it was trained on (it is of before 2026-12): train "
            "again");
    TRY(feature_profile_parse(trained_on, d->held.predictor, &d->then, err));
    TRY(feature_profile_empty(&d->now, &d->then, err));
    TRY(count_rows(d, source, err));
    emit(d, sink);
    return ST_OK;
}

static Status drift_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Drifting d = {0};
    OptTarget target = {drift_options, &d.options};
    Predictor *predictor;
    const char *source = argv[1] ? value_text(argv[1]) : NULL;
    TRY(value_options(&target, 1, argv[2], err));
    TRY(predictor_of_version(db, argv[0], d.options.version, &predictor, err));
    Status status = held_open(&d.held, predictor, err);
    if (status == ST_OK) status = guard_enter(err);
    if (status == ST_OK) {
        status = predictor_definition_find(&d.definition, db, value_text(argv[0]), err);
        if (status == ST_OK) status = compare(&d, source, sink, err);
        guard_leave();
    }
    sqlite3_finalize(d.rows);
    feature_profile_clear(&d.then);
    feature_profile_clear(&d.now);
    bytes_clear(&d.buffer);
    held_clear(&d.held);
    predictor_definition_clear(&d.definition);
    return status;
}

int register_predictor_drift(sqlite3 *db) {
    static const RowTable table = {.name = "rec_feature_drift",
        .columns = "feature TEXT, psi REAL, p REAL, missing_then REAL, missing_now REAL, rows "
                   "INTEGER, verdict TEXT",
        .n_columns = 7,
        .arguments = ", predictor HIDDEN, source HIDDEN, options HIDDEN",
        .n_arguments = 3,
        .n_required = 1,
        .fill = drift_fill};
    return row_table_register(db, &table);
}
