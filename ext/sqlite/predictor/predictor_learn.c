#include "predictor_learn.h"

#include <math.h>
#include <string.h>

#include "../../learn/judge.h"
#include "../host/cache.h"
#include "../host/guard.h"

const OptSpec learn_options[] = {
    {"init_from", OPT_INT, offsetof(LearnOptions, init_from), 0, 1e12, 0, NULL,
        "go on from this version: its features, and where the algorithm can its weights"},
    {0},
};

typedef struct LearnCall {
    PredictorDefinition definition; /* a copy whose setting the options have changed */
    TrainOptions train;
    LearnOptions own;
    Task task;
    Job job;
    ExamplesRead examples;
    Predictor *start; /* of init_from */
} LearnCall;

/* ---- options ---- */

/* Two targets are ours, the learner's another one: options_set_json takes them in one pass. */
static Status read_options(LearnCall *call, const char *options, Err *err) {
    PredictorSetting *setting = &call->definition.setting;
    Bytes names = {0};
    char algorithm[32];
    options_default(train_options, &call->train);
    options_default(learn_options, &call->own);
    if (!options) return ST_OK;
    train_options_text(options, "algorithm", algorithm, sizeof algorithm);
    const Learner *learner = learner_find(algorithm);
    if (strcmp(algorithm, "auto") == 0 && setting->learner) predictor_set_learner(setting, NULL);
    else if (learner && learner != setting->learner) predictor_set_learner(setting, learner);
    OptTarget others[] = {{predictor_options, &setting->common}, {learn_options, &call->own},
        {setting->learner ? setting->learner->options : learn_options,
            setting->learner ? (void *)&setting->params : (void *)&call->own}};
    TRY(predictor_algorithms(&names, err));
    Status status = train_options_read(
        &call->train, (const char *)names.data, others, setting->learner ? 3 : 2, options, err);
    bytes_clear(&names);
    return status;
}

/* ---- algorithm=auto ---- */

/* The families that auto tries: of each that can do the task, with its defaults. */
static const char *const AUTO[] = {"ridge", "logistic", "forest", "boosting"};

static double main_of(LearnTask task, const Verdict *judgement, int32_t n) {
    int higher;
    const char *name = judgement_main(task, &higher);
    for (int32_t i = 0; i < n; i++)
        if (strcmp(judgement[i].name, name) == 0)
            return higher ? judgement[i].value : -judgement[i].value;
    return NAN;
}

/* The value of a setting on the held examples, the more the better; NaN where it has none. */
static Status try_setting(
    LearnCall *call, const PredictorSetting *setting, double *out, LearnTask *task, Err *err) {
    Labelled all = {0};
    Verdict judgement[MAX_VERDICTS];
    int32_t n;
    *out = NAN;
    Status status = labelled_init(
        &all, &call->examples.columns, &call->examples.roles, setting, err);
    if (status == ST_OK) {
        *task = all.task;
        status = predictor_try(setting, &call->examples.columns, &all, &call->examples.roles,
            &call->task, judgement, &n, err);
    }
    if (status == ST_OK) *out = main_of(all.task, judgement, n);
    labelled_clear(&all);
    return status;
}

/* What the labels ask for: a learner that does both tells. */
static Status task_of(LearnCall *call, LearnTask *out, Err *err) {
    PredictorSetting setting = call->definition.setting;
    Labelled all = {0};
    static const Learner any = {
        .name = "auto", .tasks = 1u << LEARN_NUMBER | 1u << LEARN_CLASSES | 1u << LEARN_RANKING};
    setting.learner = &any;
    Status status = labelled_init(
        &all, &call->examples.columns, &call->examples.roles, &setting, err);
    *out = all.task;
    labelled_clear(&all);
    return status;
}

static Status choose(LearnCall *call, Err *err) {
    PredictorSetting *setting = &call->definition.setting, best = *setting;
    double most = NAN;
    LearnTask task;
    Err last = {0};
    TRY(task_of(call, &task, err));
    atomic_store(&call->job.trials, (int64_t)(sizeof AUTO / sizeof *AUTO));
    for (size_t i = 0; i < sizeof AUTO / sizeof *AUTO; i++) {
        PredictorSetting trial = *setting;
        double value;
        const Learner *learner = learner_find(AUTO[i]);
        if (!learner || !(learner->tasks >> task & 1u)) continue;
        predictor_set_learner(&trial, learner);
        trial.common.task = (int64_t)task + 1;
        atomic_store(&call->job.trial, (int64_t)i + 1);
        Status status = try_setting(call, &trial, &value, &task, &last);
        if (status != ST_OK && status != ST_BADARG) {
            *err = last;
            return status;
        }
        if (status == ST_OK) job_print(&call->job, "%s: %.6g", learner->name, fabs(value));
        if (status != ST_OK || (best.learner && !(value > most))) continue;
        most = value;
        best = trial;
    }
    atomic_store(&call->job.trial, 0);
    if (best.learner && isnan(most))
        return fail(err, ST_BADARG, "algorithm=auto: no examples judge (validation, split)");
    if (!best.learner && *last.text) *err = last;
    if (!best.learner)
        return *last.text ? ST_BADARG
                          : fail(err, ST_BADARG, "no algorithm of auto can do this task");
    best.common.task = setting->common.task;
    *setting = best;
    return ST_OK;
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
    LearnTask task = LEARN_NUMBER;
    int found;
    out->active = out->candidate = NAN;
    out->is_better = 1;
    if (call->train.activate != ACTIVATE_IF_BETTER) return ST_OK;
    TRY(active_setting(call, &active, &found, err));
    if (!found) return ST_OK;
    TRY(try_setting(call, &active, &out->active, &task, err));
    TRY(try_setting(call, &call->definition.setting, &out->candidate, &task, err));
    out->is_better = out->candidate > out->active;
    return isnan(out->candidate) || isnan(out->active)
        ? fail(err, ST_BADARG, "activate=if-better: no examples judge (validation, split)")
        : ST_OK;
}

/* ---- the training ---- */

static Status learn(LearnCall *call, Learnt *out, Err *err) {
    const PredictorDefinition *definition = &call->definition;
    TRY(examples_read(
        definition, call->train.until, call->train.max_rows, &call->task, &call->examples, err));
    TRY(take_start(call, err));
    if (!definition->setting.learner) TRY(choose(call, err));
    TRY(compare(call, out, err));
    return predictor_train(&out->predictor, &definition->setting, &call->examples.columns,
        &call->examples.roles, call->start, &call->task, err);
}

Status predictor_learn(
    const PredictorDefinition *definition, const char *options, Learnt *out, Err *err) {
    LearnCall call = {.definition = *definition};
    *out = (Learnt){.is_better = 1};
    TRY(read_options(&call, options, err));
    TRY(guard_may_train(definition->id.db, err));
    TRY(job_begin(&call.job, "train", definition->id.name, &call.task, definition->id.db,
        (int)call.train.progress, err));
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
