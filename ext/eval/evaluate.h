/* Judge a model on a hold-out: every user's list against what she did afterwards. */
#ifndef REC_EVALUATE_H
#define REC_EVALUATE_H

#include "../metrics/bootstrap.h"
#include "../metrics/ranking.h"
#include "../models/model.h"

enum { EVALUATE_MAX_K = 8 };

typedef struct EvaluateOptions {
    int64_t k[EVALUATE_MAX_K];
    int n_k;
    int exclude_seen;
    int64_t bootstrap; /* resamples; 0: no interval */
    uint64_t seed;
} EvaluateOptions;

/* The users that are judged: row u of history and of relevant is the same user. */
typedef struct Holdout {
    int32_t n_users;
    const Csr *history;  /* users x items of the model */
    double *history_time; /* per entry of history */
    const Csr *relevant; /* users x items of the model: gains. Items unknown to the model are not here, but in unknown */
    const double *const *unknown; /* per user: gains of the relevant items that the model does not know */
    const int32_t *n_unknown;
} Holdout;

typedef struct Evaluation {
    Interval metric[N_RANKING_METRICS][EVALUATE_MAX_K];
    double coverage[EVALUATE_MAX_K]; /* distinct recommended items / items of the model */
} Evaluation;

/* popular_only: judge the popular list instead of the model. Users' values are computed on all threads and summed in
 * order. */
Status evaluate(Evaluation *out, const Model *model, int popular_only, const Holdout *holdout, const EvaluateOptions *options, Task *task, Err *err);

#endif
