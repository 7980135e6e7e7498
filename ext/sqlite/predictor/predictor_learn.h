/* Training a rec_predictor: read the examples, choose an algorithm where that is left open, learn,
 * hand over the predictor. */
#ifndef REC_PREDICTOR_LEARN_H
#define REC_PREDICTOR_LEARN_H

#include "../host/jobs.h"
#include "../versions/train_options.h"
#include "../versions/version_store.h"
#include "../versions/version_trials.h"
#include "predictor_examples.h"

/* Options of a training besides those of train_options.h and of the setting. */
typedef struct LearnOptions {
    int64_t init_from; /* a version; 0: none */
    int64_t folds;
} LearnOptions;
extern const OptSpec learn_options[];

/* And of the command tune. */
typedef struct PredictorTune {
    int64_t trials, sampler;
    double seconds;
    char space[2000];
} PredictorTune;
extern const OptSpec predictor_tune_options[];

/* What was decided on the way. */
typedef struct Learnt {
    Predictor *predictor; /* NULL: a tuning found nothing better */
    PutWish wish;
    /* if-better: the judgement of both settings on the same held examples; NaN: not compared */
    double active, candidate;           /* the more the better */
    double active_said, candidate_said; /* as they are */
    int is_better;
    StoredTrials tried; /* of auto and tune */
    const char *metric; /* that judged them */
} Learnt;

/* options: JSON, or NULL. tunes: settings are tried, and the best one learns. *out is to be
 * cleared, also after an error. */
Status predictor_learn(
    const PredictorDefinition *definition, int tunes, const char *options, Learnt *out, Err *err);
void learnt_clear(Learnt *learnt);

#endif
