/* rec_crossval(model [, options]): one setting, trained and judged on folds of the pairs. */
#include <stdlib.h>
#include <string.h>

#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "../model/tune.h"

static void emit_fold(RowSink *sink, const TrialResult *result, int64_t fold, int64_t k) {
    for (int m = 0; m < N_RANKING_METRICS; m++) {
        row_integer(sink, fold);
        row_text(sink, ranking_metric_name((RankingMetric)m));
        row_integer(sink, k);
        row_number(sink, result->value[m][0]);
        row_integer(sink, result->users);
        row_real(sink, result->seconds);
    }
}

static Status each_fold(
    Tuning *tuning, EventsReader *reader, const char *options, RowSink *sink, Err *err) {
    tuning->call.split = SPLIT_RANDOM;
    TRY(tuning_open(tuning, reader, 1, err));
    for (int64_t fold = 0; fold < tuning->call.folds; fold++) {
        TrialResult result;
        TRY(split_events(&tuning->events, SPLIT_RANDOM, 0, fold, tuning->call.folds,
            (uint64_t)tuning->call.seed, tuning->held, err));
        TRY(tuning_run_setting(tuning, options, tuning->held, NULL, &result, NULL, err));
        emit_fold(sink, &result, fold + 1, tuning->call.k);
    }
    return ST_OK;
}

/* The options to train with, json_dumps' or NULL. */
static Status options_to_train(
    const ModelDefinition *definition, const json_t *train, char **out, Err *err) {
    *out = NULL;
    if (!train && definition->automatic)
        return fail(err, ST_BADARG,
            "a model of algorithm=auto has no setting of its own: give one as \"train\"");
    if (!train) return ST_OK;
    if (!json_is_object(train))
        return fail(err, ST_BADARG,
            "train must be an object of options, such as {\"algorithm\": \"ials\"}");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)train, name, value) {
        if (option_of_training(name) || strcmp(name, "until") == 0)
            return fail(err, ST_BADARG, "train: %s has no place in a cross-validation", name);
    }
    *out = json_dumps(train, JSON_COMPACT);
    return *out ? ST_OK : fail_nomem(err, "the options");
}

static Status crossval(
    Tuning *tuning, EventsReader *reader, const char *text, RowSink *sink, Err *err) {
    json_t *train = NULL;
    char *options = NULL;
    Status status = tune_call_read(&tuning->call, tuning->definition, text, "train", &train, err);
    if (status == ST_OK && tuning->call.space)
        status = fail(err, ST_BADARG, "rec_crossval judges one setting: give it as \"train\"");
    if (status == ST_OK) status = options_to_train(tuning->definition, train, &options, err);
    if (status == ST_OK)
        status = job_begin(&tuning->job, "crossval", tuning->definition->id.name, &tuning->task,
            tuning->definition->id.db, (int)tuning->call.progress, err);
    if (status == ST_OK) {
        status = each_fold(tuning, reader, options, sink, err);
        job_end(&tuning->job);
    }
    free(options);
    json_decref(train);
    return status;
}

static Status crossval_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ModelDefinition definition = {0};
    EventsReader reader = {.definition = &definition};
    Tuning tuning = {.definition = &definition};
    const char *text = value_text(argv[1]);
    Status status = definition_find(&definition, db, value_text(argv[0]), err);
    if (status == ST_OK) status = crossval(&tuning, &reader, text, sink, err);
    tuning_close(&tuning);
    events_reader_clear(&reader);
    definition_clear(&definition);
    return status;
}

int register_crossval(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_crossval",
        .columns =
            "fold INTEGER, metric TEXT, k INTEGER, value REAL, users INTEGER, train_seconds REAL",
        .n_columns = 6,
        .arguments = ", model_name HIDDEN, options HIDDEN",
        .n_arguments = 2,
        .n_required = 1,
        .fill = crossval_fill,
    };
    return row_table_register(db, &table);
}
