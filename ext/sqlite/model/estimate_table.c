/* rec_estimate(model [, options]): what a training would take, before it (models/cost.h). The
 * events are read as the training would read them, so that the counts are those of the training. */
#include <math.h>

#include "../../models/cost.h"
#include "../host/guard.h"
#include "../host/jobs.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "model_train.h"
#include "model_tune.h"

/* Seconds that a byte of a version takes until it stands in the file: its checksum and the copy. */
static const double STORING = 8e-9;

typedef struct Estimate {
    const ModelDefinition *definition;
    Dataset data;
    int threads;
    int64_t events; /* read */
    double reading; /* seconds */
    Cost cost;
    Pace pace;
} Estimate;

static Status read_data(Estimate *e, EventsReader *reader, TrainWindow *window, Err *err) {
    Task task = {0};
    Job job;
    TRY(guard_may_train(e->definition->id.db, err));
    TRY(job_begin(&job, "estimate", e->definition->id.name, &task, e->definition->id.db,
        window->progress, err));
    double began = task_clock();
    limits_begin(&window->limits, &task);
    Status status = train_read(e->definition, reader, window, NULL, &e->data, &task, err);
    status = limits_end(&window->limits, &task, status, err);
    e->reading = task_clock() - began;
    e->events = reader->rows;
    job_end(&job);
    return status;
}

static void append(const Estimate *e, RowSink *sink) {
    double training = cost_seconds(&e->cost, &e->pace, e->threads);
    double reading_bytes = cost_reading_bytes(&e->data, (double)e->events),
           training_bytes = cost_data_bytes(&e->data) + e->cost.bytes + e->cost.stored;
    row_text(sink, e->definition->algorithm->name);
    row_integer(sink, e->data.n_events);
    row_integer(sink, e->data.by_user.n_rows);
    row_integer(sink, e->data.by_user.n_cols);
    row_integer(sink, csr_nnz(&e->data.by_user));
    row_integer(sink, e->threads);
    row_real(sink, e->reading);
    row_real(sink, training);
    row_real(sink, e->reading + training + STORING * e->cost.stored);
    row_integer(sink, (sqlite3_int64)fmax(reading_bytes, training_bytes));
    row_integer(sink, (sqlite3_int64)e->cost.stored);
}

static Status estimate(ModelDefinition *definition, EventsReader *reader, const char *options,
    RowSink *sink, Err *err) {
    TrainOptions train;
    if (tune_before_train(definition, options))
        return fail(err, ST_BADARG,
            "algorithm=auto tries several: ask about one, {\"algorithm\": \"slim\"}");
    options_default(train_options, &train);
    if (options) TRY(train_read_options(definition, &train, options, err));
    TrainWindow window = {.has_until = isfinite(train.until),
        .until = train.until,
        .limits = train_limits(&train),
        .progress = (int)train.progress};
    Estimate e = {.definition = definition,
        .threads = definition->common.threads ? (int)definition->common.threads
                                              : task_default_threads()};
    Status status = read_data(&e, reader, &window, err);
    if (status == ST_OK) status = pace_measure(&e.pace, err);
    if (status == ST_OK) {
        cost_of(&(CostAsk){definition->algorithm, &definition->common, &definition->params, &e.data,
                    e.threads},
            &e.cost);
        if (e.cost.failed) status = fail_nomem(err, "the parts");
        else append(&e, sink);
    }
    dataset_clear(&e.data);
    return status;
}

static Status estimate_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ModelDefinition definition;
    EventsReader reader = {.definition = &definition};
    TRY(definition_find(&definition, db, value_text(argv[0]), err));
    Status status = guard_enter(err);
    if (status == ST_OK) {
        ModelDefinition asked = definition; /* options change a copy; its texts are shared */
        reader.definition = &asked;
        status = estimate(&asked, &reader, value_text(argv[1]), sink, err);
        guard_leave();
    }
    events_reader_clear(&reader);
    definition_clear(&definition);
    return status;
}

int register_estimate(sqlite3 *db) {
    static const RowTable table = {.name = "rec_estimate",
        .columns = "algorithm TEXT, events INTEGER, users INTEGER, items INTEGER, pairs INTEGER, "
                   "threads INTEGER, reading_seconds REAL, training_seconds REAL, seconds REAL, "
                   "memory_bytes INTEGER, version_bytes INTEGER",
        .n_columns = 11,
        .arguments = ", model HIDDEN, options HIDDEN",
        .n_arguments = 2,
        .n_required = 1,
        .fill = estimate_fill};
    return row_table_register(db, &table);
}
