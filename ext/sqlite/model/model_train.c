/* Training: read the events, compute, hand over a model. The command `train` stores it; rec_train
 * returns its bytes and only reads, so that nobody's write waits. */
#include "model_train.h"

#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../base/options.h"
#include "../../models/item_sums.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/jobs.h"
#include "model_items.h"
#include "model_profile.h"
#include "model_setting.h"
#include "model_version.h"

/* The version that an option init_from names; *out stays NULL without one. The caller releases
 * it. */
static Status take_start(const ModelDefinition *definition, Model **out, Err *err) {
    const OptSpec *spec = options_find(definition->algorithm->options, "init_from");
    int64_t version = 0;
    if (spec) memcpy(&version, definition->params.bytes + spec->offset, sizeof version);
    return version ? model_of_version(definition, version, out, err) : ST_OK;
}

Status train_read(const ModelDefinition *definition, EventsReader *reader,
    const TrainWindow *window, Profile *profile, Dataset *data, Task *task, Err *err) {
    DatasetRules rules = model_rules(
        definition->algorithm, &definition->common, &definition->params);
    if (window->has_until && !definition->time)
        return fail(err, ST_BADARG, "until needs the model's time= column");
    task_phase(task, "reading events", "events", 0, 0);
    TRY(dataset_init(data, err));
    TRY(window->is_private ? items_list_alone(definition, data, err)
                           : items_list(definition, data, err));
    reader->task = task;
    reader->max_rows = window->limits.max_rows;
    Status status = events_read_all(
        reader, definition, window->has_until, window->until, data, err);
    reader->task = NULL;
    reader->max_rows = 0;
    if (status == ST_OK && profile) status = profile_training(profile, definition, data, err);
    if (status == ST_OK) status = dataset_finish(data, &rules, task, err);
    if (status == ST_OK && task_poll(task)) status = fail(err, ST_CANCELLED, "interrupted");
    return status == ST_OK ? items_read(definition, data, task, err) : status;
}

/* Everything that is read, and the training. */
static Status read_and_train(const ModelDefinition *definition, EventsReader *reader,
    const TrainWindow *window, Dataset *data, Task *task, Model **out, Err *err) {
    Profile *profile = mem_array(1, sizeof *profile);
    Model *start = NULL;
    Status status = profile ? train_read(definition, reader, window, profile, data, task, err)
                            : fail_nomem(err, "the days");
    if (status == ST_OK) status = take_start(definition, &start, err);
    if (status == ST_OK)
        status = model_train(out, definition->algorithm, &definition->common, &definition->params,
            start, data, task, err);
    cache_release(start);
    if (status == ST_OK) status = profile_trained(profile, *out, data, err);
    mem_free(profile);
    return status;
}

Status train_definition(const ModelDefinition *definition, EventsReader *reader,
    TrainWindow *window, Model **out, Err *err) {
    Dataset data = {0};
    Task task = {0};
    Job job;
    *out = NULL;
    TRY(guard_may_train(definition->id.db, err));
    TRY(job_begin(
        &job, "train", definition->id.name, &task, definition->id.db, window->progress, err));
    limits_begin(&window->limits, &task);
    Status status = read_and_train(definition, reader, window, &data, &task, out, err);
    if (status == ST_OK) {
        (*out)->has_until = window->has_until;
        (*out)->until = window->has_until ? window->until : 0;
    } else {
        model_free(*out);
        *out = NULL;
    }
    dataset_clear(&data);
    status = limits_end(&window->limits, &task, status, err);
    job_end(&job);
    return status;
}

Status train_model(const ModelDefinition *definition, EventsReader *reader, const char *options,
    Model **out, PutWish *wish, Err *err) {
    ModelDefinition d = *definition; /* options change a copy; the texts stay the definition's */
    TrainOptions train;
    *out = NULL;
    options_default(train_options, &train);
    if (options) TRY(train_read_options(&d, &train, options, err));
    TrainWindow window = {.has_until = isfinite(train.until),
        .until = train.until,
        .limits = train_limits(&train),
        .progress = (int)train.progress};
    *wish = (PutWish){.activate = train.activate != ACTIVATE_NEVER, .keep = train.keep};
    return train_definition(&d, reader, &window, out, err);
}

Status sums_of_value(sqlite3_value *value, ItemSums *out, Err *err) {
    *out = (ItemSums){0};
    return sqlite3_value_type(value) == SQLITE_BLOB
        ? item_sums_read(out, sqlite3_value_blob(value), (size_t)sqlite3_value_bytes(value), err)
        : fail(err, ST_BADARG, "sums are a BLOB of rec_sums");
}

Status train_on_sums(const ModelDefinition *definition, const char *options, sqlite3_value *value,
    Model **out, Err *err) {
    ModelDefinition d = *definition;
    TrainOptions train;
    ItemSums sums;
    Task task = {0};
    Job job;
    *out = NULL;
    options_default(train_options, &train);
    if (options) TRY(train_read_options(&d, &train, options, err));
    TrainLimits limits = train_limits(&train);
    TRY(guard_may_train(d.id.db, err));
    TRY(job_begin(&job, "train", d.id.name, &task, d.id.db, (int)train.progress, err));
    limits_begin(&limits, &task);
    Status status = sums_of_value(value, &sums, err);
    if (status == ST_OK && isfinite(train.until) && !(sums.has_until && sums.until == train.until))
        status = fail(err, ST_BADARG, "until is said where the sums are made");
    if (status == ST_OK && sums.has_until && !d.time)
        status = fail(err, ST_BADARG, "the sums are of an until, which needs the model's time=");
    if (status == ST_OK && train.max_rows)
        status = fail(err, ST_BADARG, "max_rows is for rows, of which sums have none");
    if (status == ST_OK)
        status = model_train_sums(out, d.algorithm, &d.common, &d.params, &sums, &task, err);
    item_sums_clear(&sums);
    status = limits_end(&limits, &task, status, err);
    job_end(&job);
    return status;
}
