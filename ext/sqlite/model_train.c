/* Training: read the events, compute, hand over a model. The command `train` stores it; rec_train
 * returns its bytes and only reads, so that nobody's write waits. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/options.h"
#include "cache.h"
#include "guard.h"
#include "model_table.h"
#include "modules.h"
#include "progress.h"

typedef struct TrainOptions {
    double until;
    int64_t activate;
    int64_t keep;
    int64_t progress;
    int64_t algorithm; /* index in the registry */
} TrainOptions;

enum { ACTIVATE_ALWAYS, ACTIVATE_NEVER };

static const OptSpec train_options[] = {
    {"until", OPT_TIME, offsetof(TrainOptions, until), -377705116800.0, 253402300799.0, INFINITY,
        NULL, "train on events before this time"},
    {"activate", OPT_CHOICE, offsetof(TrainOptions, activate), 0, 0, ACTIVATE_ALWAYS,
        "always|never", "serve the new version at once"},
    {"keep", OPT_INT, offsetof(TrainOptions, keep), 0, 1e6, KEEP_AS_CREATED, NULL,
        "keep so many versions, the newest (and the active one and the one before it); 0: all; "
        "default: the model's"},
    {"progress", OPT_CHOICE, offsetof(TrainOptions, progress), 0, 0, 0, "none|stderr",
        "print lines on stderr"},
    {"algorithm", OPT_CHOICE, offsetof(TrainOptions, algorithm), 0, 0, 0, "",
        "another algorithm than CREATE's, with its own defaults"},
    {0},
};

/* {"algorithm":"x"} must be known before its options can be read: a first pass over the JSON
 * through SQLite. */
static Status option_algorithm(ModelDefinition *d, const char *options, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(glue_prepare(d->db, &statement, err,
        "SELECT json_extract(%Q, '$.algorithm') WHERE json_valid(%Q)", options, options));
    Status status = glue_step(d->db, statement, &has_row, err);
    const char *name = has_row ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    const Algorithm *algorithm = name ? algorithm_find(name) : NULL;
    if (algorithm && algorithm != d->algorithm) {
        d->algorithm = algorithm;
        options_default(algorithm->options, &d->params);
    }
    sqlite3_finalize(statement);
    return status;
}

static Status read_options(ModelDefinition *d, TrainOptions *train, const char *options, Err *err) {
    OptSpec specs[sizeof train_options / sizeof *train_options];
    Bytes names = {0};
    memcpy(specs, train_options, sizeof specs);
    for (size_t i = 0; algorithm_registry[i]; i++)
        bytes_format(&names, "%s%s", i ? "|" : "", algorithm_registry[i]->name);
    bytes_append(&names, "", 1);
    if (names.failed) return fail_nomem(err, "the options");
    for (OptSpec *spec = specs; spec->name; spec++)
        if (strcmp(spec->name, "algorithm") == 0) spec->choices = (const char *)names.data;
    Status status = option_algorithm(d, options, err);
    OptTarget target[] = {
        {specs, train}, {d->algorithm->options, &d->params}, {model_common_options, &d->common}};
    if (status == ST_OK) status = options_set_json(target, 3, options, err);
    bytes_clear(&names);
    return status == ST_OK && d->algorithm->check ? d->algorithm->check(&d->params, err) : status;
}

Status train_setting(
    const ModelDefinition *definition, const char *options, Setting *out, Err *err) {
    ModelDefinition d = *definition; /* options change a copy; the texts stay the definition's */
    TrainOptions train;
    options_default(train_options, &train);
    if (options) TRY(read_options(&d, &train, options, err));
    *out = (Setting){d.algorithm, d.common, d.params};
    return ST_OK;
}

/* The version that an option init_from names; *out stays NULL without one. The caller releases
 * it. */
static Status take_start(const ModelDefinition *d, Model **out, Err *err) {
    const OptSpec *spec = options_find(d->algorithm->options, "init_from");
    int64_t version = 0;
    sqlite3_int64 found;
    char sha256[65];
    if (spec) memcpy(&version, d->params.bytes + spec->offset, sizeof version);
    if (!version) return ST_OK;
    TRY(store_lookup(d, NULL, version, &found, sha256, err));
    return store_model(d, found, sha256, out, err);
}

Status train_model(const ModelDefinition *definition, EventsReader *reader, const char *options,
    Model **out, PutWish *wish, Err *err) {
    ModelDefinition d = *definition; /* options change a copy; the texts stay the definition's */
    TrainOptions train;
    Dataset data = {0};
    Task task = {0};
    Job job;
    Model *start = NULL;

    *out = NULL;
    options_default(train_options, &train);
    if (options) TRY(read_options(&d, &train, options, err));
    int has_until = isfinite(train.until);
    if (has_until && !d.time) return fail(err, ST_BADARG, "until needs the model's time= column");
    *wish = (PutWish){train.activate == ACTIVATE_ALWAYS, train.keep};
    TRY(progress_begin(&job, "train", d.name, &task, d.db, (int)train.progress, err));
    task_phase(&task, "reading events", "events", 0, 0);
    Status status = dataset_init(&data, err);
    if (status == ST_OK) status = items_list(&d, &data, err);
    reader->task = &task;
    if (status == ST_OK) status = events_read_all(reader, &d, has_until, train.until, &data, err);
    reader->task = NULL;
    DatasetRules rules = model_rules(d.algorithm, &d.common, &d.params);
    if (status == ST_OK) status = dataset_finish(&data, &rules, &task, err);
    if (status == ST_OK && task_poll(&task)) status = fail(err, ST_CANCELLED, "interrupted");
    if (status == ST_OK) status = items_read(&d, &data, err);
    if (status == ST_OK) status = take_start(&d, &start, err);
    if (status == ST_OK)
        status = model_train(out, d.algorithm, &d.common, &d.params, start, &data, &task, err);
    cache_release(start);
    if (status == ST_OK) {
        (*out)->has_until = has_until;
        (*out)->until = has_until ? train.until : 0;
    }
    dataset_clear(&data);
    progress_end(&job);
    return status;
}

/* rec_train(model [, options]): the trained version as a BLOB, for INSERT INTO model(model, arg)
 * VALUES('load', blob). */
static void rec_train(sqlite3_context *context, int argc, sqlite3_value **argv) {
    ModelDefinition d;
    EventsReader reader = {.definition = &d};
    Model *model = NULL;
    Bytes blob = {0};
    PutWish wish;
    Err err = {0};
    sqlite3 *db = sqlite3_context_db_handle(context);
    const char *options = argc > 1 ? (const char *)sqlite3_value_text(argv[1]) : NULL;

    Status status = definition_find(&d, db, (const char *)sqlite3_value_text(argv[0]), &err);
    if (status == ST_OK) status = guard_enter(&err);
    if (status == ST_OK) {
        status = tune_before_train(&d, options)
            ? tune_and_train(&d, &reader, options, 0, &model, &wish, &err)
            : train_model(&d, &reader, options, &model, &wish, &err);
        guard_leave();
    }
    if (status == ST_OK) status = model_write(model, &blob, &err);
    if (status == ST_OK) sqlite3_result_blob64(context, blob.data, blob.len, SQLITE_TRANSIENT);
    else glue_function_error(context, "rec_train", status, &err);
    bytes_clear(&blob);
    model_free(model);
    events_reader_clear(&reader);
    definition_clear(&d);
}

int register_train_function(sqlite3 *db) {
    for (int arguments = 1; arguments <= 2; arguments++) {
        int code = sqlite3_create_function_v2(db, "rec_train", arguments,
            SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, rec_train, NULL, NULL, NULL);
        if (code) return code;
    }
    return SQLITE_OK;
}
