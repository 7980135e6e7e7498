#include "predictor_search.h"

#include <math.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/text.h"
#include "../../learn/judge.h"

/* ---- one setting ---- */

/* Of a judgement: over parts that had it. */
typedef struct MeanVerdict {
    char name[24];
    double sum, n;
} MeanVerdict;

static void add_verdicts(MeanVerdict *mean, const Verdict *own, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        MeanVerdict *to = mean;
        while (to->name[0] && strcmp(to->name, own[i].name) != 0) to++;
        memcpy(to->name, own[i].name, sizeof to->name);
        if (!isfinite(own[i].value)) continue;
        to->sum += own[i].value;
        to->n++;
    }
}

static void note_judgement(SettingJudged *out, const MeanVerdict *mean) {
    size_t at = 0;
    for (; mean->name[0]; mean++) {
        char own[64];
        if (!(mean->n > 0)) continue;
        int len = text_format(
            own, sizeof own, "%s\"%s\":%.6g", at ? "," : "{", mean->name, mean->sum / mean->n);
        if (len < 0 || at + (size_t)len + 2 > sizeof out->note) break;
        memcpy(out->note + at, own, (size_t)len + 1);
        at += (size_t)len;
    }
    if (at) memcpy(out->note + at, "}", 2);
}

/* The means over the parts of every judgement; parts that hold nobody are passed over. */
static Status judge_parts(const SettingJudging *judging, const PredictorSetting *setting,
    Labelled *all, SettingJudged *out, Err *err) {
    MeanVerdict mean[MAX_VERDICTS + 1] = {{{0}, 0, 0}};
    Verdict own[MAX_VERDICTS];
    int32_t n = 0;
    int64_t parts = judging->folds > 1 ? judging->folds : 1;
    int higher;
    const char *main = judgement_main(all->task, &higher);
    for (int64_t part = 0; part < parts; part++) {
        int64_t held = 0;
        if (judging->folds > 1)
            labelled_hold_part(all, (uint64_t)setting->common.seed, part, parts);
        for (int64_t i = 0; i < all->n; i++) held += all->held[i];
        if (judging->folds > 1 && !held) continue;
        if (judging->folds > 1 && held == all->n)
            return fail(err, ST_BADARG, "folds=%d of one group", (int)judging->folds);
        out->held += held;
        TRY(predictor_try(setting, &judging->examples->columns, all, &judging->examples->roles,
            judging->task, own, &n, err));
        add_verdicts(mean, own, n);
    }
    for (const MeanVerdict *m = mean; m->name[0]; m++)
        if (strcmp(m->name, main) == 0 && m->n > 0) out->value = (higher ? 1 : -1) * m->sum / m->n;
    out->said = (higher ? 1 : -1) * out->value;
    note_judgement(out, mean);
    return ST_OK;
}

Status judge_setting(
    const SettingJudging *judging, const PredictorSetting *setting, SettingJudged *out, Err *err) {
    const ExampleRoles *roles = &judging->examples->roles;
    Labelled all = {0};
    double began = task_clock();
    *out = (SettingJudged){.value = NAN, .said = NAN};
    if (judging->folds == 1) return fail(err, ST_BADARG, "folds=1 (0, or 2..100)");
    if (judging->folds && (roles->split >= 0 || roles->time >= 0))
        return fail(err, ST_BADARG, "folds are drawn: not where split= or time= says what judges");
    Status status = labelled_init(&all, &judging->examples->columns, roles, setting, err);
    out->task = all.task;
    if (status == ST_OK) status = judge_parts(judging, setting, &all, out, err);
    labelled_clear(&all);
    out->seconds = task_clock() - began;
    return status;
}

/* What the labels ask for: a learner that does them all tells. */
static Status task_of(const SearchCall *call, LearnTask *out, Err *err) {
    PredictorSetting setting = *call->setting;
    Labelled all = {0};
    static const Learner any = {
        .name = "auto", .tasks = 1u << LEARN_NUMBER | 1u << LEARN_CLASSES | 1u << LEARN_RANKING};
    setting.learner = &any;
    Status status = labelled_init(
        &all, &call->judging.examples->columns, &call->judging.examples->roles, &setting, err);
    *out = all.task;
    labelled_clear(&all);
    return status;
}

/* ---- the search ---- */

/* The families that auto tries, of each that can do the task. */
static const char *const AUTO[] = {"ridge", "logistic", "forest", "boosting"};

typedef struct Searching {
    SearchCall *call;
    PredictorSetting best;
    double most; /* its value */
    double started;
    int failed; /* a setting could not be judged: its reason */
    Err last;
} Searching;

/* The call's setting with the options of a trial. */
static Status setting_of(const SearchCall *call, const char *name, const char *options,
    PredictorSetting *out, Err *err) {
    static const OptSpec algorithm[] = {
        {"algorithm", OPT_TEXT, 0, 0, 64, 0, "", "the learner's name"}, {0}};
    char text[64];
    const Learner *learner = learner_find(name);
    *out = *call->setting;
    if (learner != out->learner) predictor_set_learner(out, learner);
    OptTarget targets[] = {
        {algorithm, text}, {learner->options, &out->params}, {predictor_options, &out->common}};
    return options_set_json(targets, 3, options, err);
}

static Status judge(
    void *context, const char *name, const char *options, double share, double *value, Err *err) {
    Searching *s = context;
    SearchCall *call = s->call;
    PredictorSetting setting;
    SettingJudged judged;
    int higher;
    (void)share;
    TRY(setting_of(call, name, options, &setting, err));
    atomic_store(&call->job->trial, call->tried->n + 1);
    Status status = judge_setting(&call->judging, &setting, &judged, &s->last);
    if (status != ST_OK && status != ST_BADARG) {
        *err = s->last;
        return status;
    }
    s->failed |= status == ST_BADARG;
    *value = judged.value;
    if (!isnan(judged.value)) job_print(call->job, "%s: %.6g", options, judged.said);
    StoredTrial tried = {.algorithm = setting.learner->name,
        .options = (char *)(uintptr_t)options,
        .share = 1,
        .value = judged.said,
        .users = (int32_t)(judged.held < INT32_MAX ? judged.held : INT32_MAX),
        .seconds = judged.seconds,
        .note = status == ST_OK ? judged.note : s->last.text};
    call->metric = judgement_main(judged.task, &higher);
    if (!isnan(judged.value) && !(judged.value <= s->most)) {
        s->most = judged.value;
        s->best = setting;
    }
    return trial_list_add(call->tried, &tried, err);
}

static int enough(void *context) {
    const Searching *s = context;
    return s->call->seconds > 0 && task_clock() - s->started > s->call->seconds;
}

static int list_tunables(const SearchCall *call, LearnTask task, Tunable *out) {
    int n = 0;
    const Learner *own = call->setting->learner;
    if (own) out[n++] = (Tunable){own->name, own->options, predictor_options, own->space};
    for (size_t i = 0; !own && i < sizeof AUTO / sizeof *AUTO; i++) {
        const Learner *learner = learner_find(AUTO[i]);
        if (learner && learner->tasks >> task & 1u)
            out[n++] = (Tunable){
                learner->name, learner->options, predictor_options, learner->space};
    }
    return n;
}

static Status read_space(const SearchCall *call, json_t **out, Err *err) {
    json_error_t json_error;
    *out = NULL;
    if (!*call->space) return ST_OK;
    if (!call->setting->learner)
        return fail(err, ST_BADARG, "space belongs to one algorithm, not to auto");
    *out = json_loads(call->space, JSON_REJECT_DUPLICATES, &json_error);
    if (json_lacks_memory(*out, &json_error)) return fail_nomem(err, "the space");
    return *out ? ST_OK : fail(err, ST_BADARG, "space: %s", json_error.text);
}

static Status explore(Searching *s, const Tunable *tunable, int n, Err *err) {
    SearchCall *call = s->call;
    json_t *space = NULL;
    TRY(read_space(call, &space, err));
    SearchRules rules = {.sampler = call->sampler,
        .trials = call->trials ? call->trials : n,
        .seed = (uint64_t)call->setting->common.seed};
    SearchHost host = {s, judge, enough};
    atomic_store(&call->job->trials, rules.trials);
    Status status = search_settings(&rules, tunable, n, space, &host, err);
    json_decref(space);
    return status;
}

Status search_predictor(SearchCall *call, Err *err) {
    Searching s = {.call = call, .best = *call->setting, .most = NAN, .started = task_clock()};
    Tunable tunable[SEARCH_MAX_TUNABLES];
    LearnTask task = LEARN_NUMBER;
    if (!call->setting->learner) TRY(task_of(call, &task, err));
    int n = list_tunables(call, task, tunable);
    if (!n) return fail(err, ST_BADARG, "no algorithm of auto can do this task");
    if (call->trials && n == 1 && !tunable->space && !*call->space)
        return fail(err, ST_BADARG, "%s has nothing to tune (space)", tunable->name);
    TRY(explore(&s, tunable, n, err));
    atomic_store(&call->job->trial, 0);
    if (isnan(s.most) && s.failed) *err = s.last;
    if (isnan(s.most))
        return s.failed
            ? ST_BADARG
            : fail(err, ST_BADARG,
                  call->setting->learner ? "no examples judge (validation, split)"
                                         : "algorithm=auto: no examples judge (validation, split)");
    s.best.common.task = call->setting->common.task;
    *call->setting = s.best;
    return ST_OK;
}

/* ---- stored ---- */

static const char *name_of(const char *name) {
    const Learner *learner = learner_find(name);
    return learner ? learner->name : NULL;
}

Status search_store(const PredictorDefinition *definition, const char *metric,
    const StoredTrials *tried, Err *err) {
    StoredTrials none = {0};
    TuningKey key = {.metric = metric, .question = "", .seed = definition->setting.common.seed};
    if (!tried->n) return ST_OK;
    TRY(trials_begin(&definition->id, &key, 0, name_of, &none, err));
    for (int64_t i = 0; i < tried->n; i++)
        TRY(trials_put(&definition->id, &key, &tried->item[i], err));
    return ST_OK;
}
