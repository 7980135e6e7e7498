/* Which setting: each is judged on examples that it does not learn from. */
#ifndef REC_PREDICTOR_SEARCH_H
#define REC_PREDICTOR_SEARCH_H

#include "../../eval/search.h"
#include "../host/jobs.h"
#include "../versions/version_trials.h"
#include "predictor_examples.h"

typedef struct SettingJudging {
    ExamplesRead *examples;
    Task *task;
    int64_t folds; /* 0: the examples that are held judge; else so many parts in turn */
} SettingJudging;

typedef struct SettingJudged {
    LearnTask task;
    double value;   /* of judgement_main, the more the better; NaN: none */
    double said;    /* the judgement as it is */
    int64_t held;   /* examples that judged */
    double seconds; /* of the trainings */
    char note[400]; /* all judgements, as JSON */
} SettingJudged;
Status judge_setting(
    const SettingJudging *judging, const PredictorSetting *setting, SettingJudged *out, Err *err);

/* setting: where it starts, its learner NULL for every family of auto; becomes the best one.
 * trials 0: only families as they are. */
typedef struct SearchCall {
    PredictorSetting *setting;
    SettingJudging judging;
    int64_t trials;
    SearchSampler sampler;
    double seconds;
    const char *space; /* JSON; "": the learner's own */
    Job *job;
    StoredTrials *tried; /* added to */
    const char *metric;  /* that judged */
} SearchCall;
Status search_predictor(SearchCall *call, Err *err);

/* Put the trials of a search: a new tuning. */
Status search_store(
    const PredictorDefinition *definition, const char *metric, const StoredTrials *tried, Err *err);

#endif
