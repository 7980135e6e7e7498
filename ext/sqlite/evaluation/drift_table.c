/* rec_drift(model [, options]): is what comes in, and what goes out, still what the version was
 * trained on (eval/drift.h)? */
#include <math.h>

#include "../../base/memory.h"
#include "../../base/options.h"
#include "../../eval/drift.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "../model/model_profile.h"
#include "../model/model_version.h"

typedef struct DriftOptions {
    int64_t version;
    double now, alpha;
} DriftOptions;

static const OptSpec drift_options[] = {
    {"version", OPT_INT, offsetof(DriftOptions, version), 0, 1e12, 0, NULL,
        "whose training is the reference; 0: the active one"},
    {"now", OPT_TIME, offsetof(DriftOptions, now), DATE_FIRST, DATE_LAST, NAN, NULL,
        "whole days until then count; now, where it is not given"},
    {"alpha", OPT_REAL, offsetof(DriftOptions, alpha), 1e-9, .5, .01, NULL,
        "chance of an alarm where nothing has changed"},
    {0},
};

/* Two profiles are 5 KB. */
typedef struct Drifting {
    Profile then, now;
} Drifting;

static Status compare(const ModelDefinition *definition, EventsReader *reader, const Model *model,
    const DriftOptions *options, RowSink *sink, Err *err) {
    DriftRow row[N_DRIFT];
    double now = isnan(options->now) ? live_clock() : options->now;
    if (!definition->time) return fail(err, ST_BADARG, "drift needs the model's time= column");
    if (!model->trained_on)
        return fail(err, ST_BADARG,
            "the version does not say what it was trained on: it is of sums, or of before 2026-12 "
            "(then train again)");
    Drifting *drifting = mem_array(1, sizeof *drifting);
    if (!drifting) return fail_nomem(err, "the days");
    Status status = profile_parse(model->trained_on, &drifting->then, err);
    if (status == ST_OK)
        status = profile_since(&drifting->now, model, &drifting->then, now, reader, err);
    if (status == ST_OK) drift_compare(&drifting->then, &drifting->now, options->alpha, row);
    for (int i = 0; i < N_DRIFT && status == ST_OK; i++) {
        row_text(sink, row[i].input);
        row_text(sink, row[i].measure);
        row_number(sink, row[i].reference);
        row_number(sink, row[i].current);
        row_number(sink, row[i].distance);
        row_number(sink, row[i].threshold);
        row_number(sink, row[i].p);
        row_integer(sink, drifting->now.n_days);
        row_text(sink, row[i].verdict);
    }
    mem_free(drifting);
    return status;
}

static Status drift_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ModelDefinition definition;
    EventsReader reader = {.definition = &definition};
    Model *model = NULL;
    DriftOptions options;
    OptTarget target = {drift_options, &options};
    TRY(value_options(&target, 1, argv[1], err));
    TRY(definition_find(&definition, db, value_text(argv[0]), err));
    Status status = guard_enter(err);
    if (status == ST_OK) {
        status = model_of_version(&definition, options.version, &model, err);
        if (status == ST_OK) status = compare(&definition, &reader, model, &options, sink, err);
        guard_leave();
    }
    cache_release(model);
    events_reader_clear(&reader);
    definition_clear(&definition);
    return status;
}

int register_drift(sqlite3 *db) {
    static const RowTable table = {.name = "rec_drift",
        .columns = "input TEXT, measure TEXT, reference REAL, current REAL, distance REAL, "
                   "threshold REAL, p REAL, days INTEGER, verdict TEXT",
        .n_columns = 9,
        .arguments = ", model HIDDEN, options HIDDEN",
        .n_arguments = 2,
        .n_required = 1,
        .fill = drift_fill};
    return row_table_register(db, &table);
}
