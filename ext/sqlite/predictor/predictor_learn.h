/* Training a rec_predictor: read the examples, choose an algorithm where that is left open, learn,
 * hand over the predictor. */
#ifndef REC_PREDICTOR_LEARN_H
#define REC_PREDICTOR_LEARN_H

#include "../host/jobs.h"
#include "../versions/train_options.h"
#include "../versions/version_store.h"
#include "predictor_examples.h"

/* Options of a training besides those of train_options.h and of the setting. */
typedef struct LearnOptions {
    int64_t init_from; /* a version; 0: none */
} LearnOptions;
extern const OptSpec learn_options[];

/* What was decided on the way. */
typedef struct Learnt {
    Predictor *predictor;
    PutWish wish;
    /* if-better: the judgement of both settings on the same held examples; NaN: not compared */
    double active, candidate;
    int is_better;
} Learnt;

/* options: JSON, or NULL. */
Status predictor_learn(
    const PredictorDefinition *definition, const char *options, Learnt *out, Err *err);

#endif
