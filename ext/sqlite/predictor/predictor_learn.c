#include "predictor_learn.h"

#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../eval/feature_profile.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "predictor_search.h"

const OptSpec learn_options[] = {
    {"folds", OPT_INT, offsetof(LearnOptions, folds), 0, 100, 0, NULL,
        "of auto, tune and if-better: so many parts of the examples judge in turn; 0: those that "
        "validation holds"},
    {"init_from", OPT_INT, offsetof(LearnOptions, init_from), 0, 1e12, 0, NULL,
        "go on from this version: its features, and where the algorithm can its weights"},
    {0},
};

const OptSpec predictor_tune_options[] = {
    {"trials", OPT_INT, offsetof(PredictorTune, trials), 1, 10000, 30, NULL,
        "settings that are tried"},
    {"sampler", OPT_CHOICE, offsetof(PredictorTune, sampler), 0, 0, SEARCH_TPE, "tpe|random|grid",
        "how they are chosen"},
    {"seconds", OPT_REAL, offsetof(PredictorTune, seconds), 0, 1e9, 0, NULL,
        "no new trial after so many; 0: no limit"},
    {"space", OPT_TEXT, offsetof(PredictorTune, space), 0, 2000, 0, "",
        "values of options, as JSON; default: the algorithm's own (rec_options)"},
    {0},
};

typedef struct LearnCall {
    PredictorDefinition definition; /* a copy whose setting the options have changed */
    TrainOptions train;
    LearnOptions own;
    int tunes;
    PredictorTune tune;
    Task task;
    Job job;
    ExamplesRead examples;
    Predictor *start; /* of init_from */
} LearnCall;

static SettingJudging judging_of(LearnCall *call) {
    return (SettingJudging){&call->examples, &call->task, call->own.folds};
}

/* ---- options ---- */

/* Two targets are ours, the learner's another one: options_set_json takes them in one pass. */
static Status read_options(LearnCall *call, const char *options, Err *err) {
    PredictorSetting *setting = &call->definition.setting;
    Bytes names = {0};
    char algorithm[32];
    options_default(train_options, &call->train);
    options_default(learn_options, &call->own);
    options_default(predictor_tune_options, &call->tune);
    if (call->tunes) call->train.activate = ACTIVATE_IF_BETTER;
    if (!options) return ST_OK;
    TRY(train_options_text(options, "algorithm", algorithm, sizeof algorithm, err));
    const Learner *learner = learner_find(algorithm);
    if (strcmp(algorithm, "auto") == 0 && setting->learner) predictor_set_learner(setting, NULL);
    else if (learner && learner != setting->learner) predictor_set_learner(setting, learner);
    OptTarget others[MAX_OTHERS] = {
        {predictor_options, &setting->common}, {learn_options, &call->own}};
    size_t n = 2;
    if (setting->learner) others[n++] = (OptTarget){setting->learner->options, &setting->params};
    if (call->tunes) others[n++] = (OptTarget){predictor_tune_options, &call->tune};
    TRY(predictor_algorithms(&names, err));
    Status status = train_options_read(
        &call->train, (const char *)names.data, others, n, options, err);
    bytes_clear(&names);
    return status;
}

/* ---- algorithm=auto, and tuning ---- */

/* Where the algorithm is open, or settings are to be tried: the best one becomes the call's. */
static Status search(LearnCall *call, Learnt *out, Err *err) {
    PredictorSetting *setting = &call->definition.setting;
    if (!call->tunes && setting->learner) return ST_OK;
    SearchCall search = {.setting = setting,
        .judging = judging_of(call),
        .trials = call->tunes ? call->tune.trials : 0,
        .sampler = (SearchSampler)call->tune.sampler,
        .seconds = call->tunes ? call->tune.seconds : 0,
        .space = call->tune.space,
        .job = &call->job,
        .tried = &out->tried};
    Status status = search_predictor(&search, err);
    out->metric = search.metric;
    return status;
}

/* ---- init_from and if-better ---- */

static Status take_start(LearnCall *call, Err *err) {
    void *object = NULL;
    if (!call->own.init_from) return ST_OK;
    TRY(store_take(&call->definition.id, call->own.init_from, &object, err));
    call->start = object;
    const Columns *columns = &call->examples.columns;
    int same = columns->n_asked == call->start->n_columns;
    for (int32_t i = 0; i < columns->n_asked && same; i++)
        same = strcmp(call->start->column[i], columns->column[columns->asked[i]].name) == 0;
    return same ? ST_OK
                : fail(err, ST_BADARG, "init_from: version %lld has other features",
                      (long long)call->own.init_from);
}

/* The setting of the active version. */
static Status active_setting(LearnCall *call, PredictorSetting *out, int *found, Err *err) {
    sqlite3_int64 active;
    void *object = NULL;
    *found = 0;
    TRY(store_active(&call->definition.id, &active, err));
    if (!active) return ST_OK;
    TRY(store_take(&call->definition.id, active, &object, err));
    const Predictor *predictor = object;
    *out = (PredictorSetting){predictor->learner, predictor->common, predictor->params};
    out->common.threads = call->definition.setting.common.threads;
    *found = 1;
    cache_release(object);
    return ST_OK;
}

/* Both settings learn from the same examples and are judged on the same others. */
static Status compare(LearnCall *call, Learnt *out, Err *err) {
    PredictorSetting active;
    SettingJudged tried;
    SettingJudging judging = judging_of(call);
    int found;
    out->active = out->candidate = NAN;
    out->is_better = 1;
    if (call->train.activate != ACTIVATE_IF_BETTER) return ST_OK;
    TRY(active_setting(call, &active, &found, err));
    if (!found) return ST_OK;
    TRY(judge_setting(&judging, &active, &tried, err));
    out->active = tried.value;
    out->active_said = tried.said;
    TRY(judge_setting(&judging, &call->definition.setting, &tried, err));
    out->candidate = tried.value;
    out->candidate_said = tried.said;
    out->is_better = out->candidate > out->active;
    return isnan(out->candidate) || isnan(out->active)
        ? fail(err, ST_BADARG, "activate=if-better: no examples judge (validation, split)")
        : ST_OK;
}

/* ---- the training ---- */

/* What later rows are compared with. */
static Status note_profile(Predictor *predictor, const Columns *columns, Err *err) {
    FeatureProfile profile = {0};
    Bytes json = {0};
    Status status = feature_profile_of(&profile, predictor, columns, err);
    if (status == ST_OK) feature_profile_json(&profile, &json);
    mem_free(predictor->trained_on);
    predictor->trained_on = NULL;
    if (status == ST_OK && !json.failed)
        predictor->trained_on = mem_text((const char *)json.data, json.len);
    if (status == ST_OK && !predictor->trained_on) status = fail_nomem(err, "the profile");
    feature_profile_clear(&profile);
    bytes_clear(&json);
    return status;
}

static Status learn(LearnCall *call, Learnt *out, Err *err) {
    const PredictorDefinition *definition = &call->definition;
    TRY(examples_read(
        definition, call->train.until, call->train.max_rows, &call->task, &call->examples, err));
    TRY(take_start(call, err));
    TRY(search(call, out, err));
    TRY(compare(call, out, err));
    if (call->tunes && (call->train.activate == ACTIVATE_NEVER || !out->is_better)) return ST_OK;
    TRY(predictor_train(&out->predictor, &definition->setting, &call->examples.columns,
        &call->examples.roles, call->start, &call->task, err));
    return note_profile(out->predictor, &call->examples.columns, err);
}

Status predictor_learn(
    const PredictorDefinition *definition, int tunes, const char *options, Learnt *out, Err *err) {
    LearnCall call = {.definition = *definition, .tunes = tunes};
    *out = (Learnt){.is_better = 1};
    TRY(read_options(&call, options, err));
    TRY(guard_may_train(definition->id.db, err));
    TRY(job_begin(&call.job, tunes ? "tune" : "train", definition->id.name, &call.task,
        definition->id.db, (int)call.train.progress, err));
    if (call.definition.setting.common.threads)
        call.task.threads = (int)call.definition.setting.common.threads;
    else call.task.threads = task_default_threads();
    TrainLimits limits = train_limits(&call.train);
    limits_begin(&limits, &call.task);
    Status status = learn(&call, out, err);
    status = limits_end(&limits, &call.task, status, err);
    job_end(&call.job);
    examples_read_clear(&call.examples);
    cache_release(call.start);
    out->wish = (PutWish){.activate = call.train.activate != ACTIVATE_NEVER && out->is_better,
        .keep = call.train.keep};
    return status;
}

void learnt_clear(Learnt *learnt) {
    predictor_free(learnt->predictor);
    trial_list_clear(&learnt->tried);
}
