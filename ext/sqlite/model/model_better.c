#include "model_better.h"

#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../eval/choice.h"
#include "../versions/version_store.h"
#include "model_setting.h"
#include "model_train.h"
#include "tune.h"

/* {"algorithm":..., every option} but for threads, as text that is equal for equal settings. */
static Status setting_text(
    const ModelDefinition *definition, const char *options, Bytes *out, Err *err) {
    Setting setting;
    TRY(train_setting(definition, options, &setting, err));
    setting.common.threads = 0;
    bytes_format(out, "%s{", setting.algorithm->name);
    options_json(setting.algorithm->options, &setting.params, out);
    options_json(model_common_options, &setting.common, out);
    bytes_append(out, "", 1);
    return out->failed ? fail_nomem(err, "the settings") : ST_OK;
}

static Status is_same_setting(
    const ModelDefinition *definition, const char *a, const char *b, int *out, Err *err) {
    Bytes x = {0}, y = {0};
    Status status = setting_text(definition, a, &x, err);
    if (status == ST_OK) status = setting_text(definition, b, &y, err);
    if (status == ST_OK) *out = strcmp((const char *)x.data, (const char *)y.data) == 0;
    bytes_clear(&x);
    bytes_clear(&y);
    return status;
}

static Status judge_both(
    Tuning *tuning, const char *active, const char *candidate, Better *out, Err *err) {
    size_t n = (size_t)keymap_count(tuning->events.users);
    SettingResult result[2];
    double *value[2] = {mem_array(n, sizeof(double)), mem_array(n, sizeof(double))};
    Status status = value[0] && value[1] ? ST_OK : fail_nomem(err, "the users");
    if (status == ST_OK) status = tuning_judge(tuning, active, 1, &result[0], value[0], err);
    if (status == ST_OK) status = tuning_judge(tuning, candidate, 1, &result[1], value[1], err);
    if (status == ST_OK) {
        PairedTest test = paired_test(value[0], value[1], (int64_t)n);
        *out = (Better){
            is_beyond_chance(&test, 1), 1, result[0].value, result[1].value, test.p, test.users};
    }
    mem_free(value[0]);
    mem_free(value[1]);
    return status;
}

/* A random part of every user's pairs is held out, as of a tuning. */
static Status judge_settings(const ModelDefinition *definition, EventsReader *reader,
    const char *active, const char *candidate, Better *out, Err *err) {
    Tuning tuning = {.definition = definition};
    TrainOptions train;
    ModelDefinition d = *definition;
    TRY(tune_call_read(&tuning.call, definition, NULL, NULL, NULL, err));
    TuneCall *call = &tuning.call;
    options_default(train_options, &train);
    Status status = candidate ? train_read_options(&d, &train, candidate, err) : ST_OK;
    call->until = train.until;
    call->exclude_seen = !d.algorithm->keeps_seen;
    if (status == ST_OK)
        status = job_begin(&tuning.job, "judge", definition->id.name, &tuning.task,
            definition->id.db, (int)train.progress, err);
    if (status != ST_OK) {
        tune_call_clear(call);
        return status;
    }
    TrainLimits limits = train_limits(&train);
    limits_begin(&limits, &tuning.task);
    reader->max_rows = limits.max_rows;
    status = tuning_open(&tuning, reader, call->split == SPLIT_RANDOM ? call->judged : 1, err);
    for (int64_t part = 0; part < tuning.parts && status == ST_OK; part++)
        status = split_events(&tuning.events, (SplitKind)call->split, call->share, part,
            call->folds, (uint64_t)call->seed, tuning.held + part * tuning.events.n, err);
    if (status == ST_OK) status = judge_both(&tuning, active, candidate, out, err);
    tuning_close(&tuning);
    reader->max_rows = 0;
    status = limits_end(&limits, &tuning.task, status, err);
    job_end(&tuning.job);
    return status;
}

Status better_than_active(const ModelDefinition *definition, EventsReader *reader,
    const char *options, Better *out, Err *err) {
    char *active;
    int same = 0;
    *out = (Better){.is_better = 1, .active = NAN, .candidate = NAN, .p = NAN};
    TRY(store_active_options(&definition->id, &active, err));
    if (!active) return ST_OK;
    Status status = is_same_setting(definition, active, options, &same, err);
    if (status == ST_OK && !same)
        status = judge_settings(definition, reader, active, options, out, err);
    sqlite3_free(active);
    return status;
}
