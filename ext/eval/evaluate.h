/* Judge a model on a hold-out: every user's list against what she did afterwards. */
#ifndef REC_EVALUATE_H
#define REC_EVALUATE_H

#include "../metrics/bootstrap.h"
#include "../metrics/ranking.h"
#include "../models/group.h"
#include "holdout.h"

enum { EVALUATE_MAX_K = 8 };

typedef struct EvaluateOptions {
    int64_t k[EVALUATE_MAX_K];
    int n_k;
    int exclude_seen;
    int64_t bootstrap; /* resamples; 0: no interval */
    uint64_t seed;
    int beyond; /* serendipity and popularity_lift, too */
} EvaluateOptions;

/* What a user's list is judged by: the RankingMetrics, and
 *
 *     serendipity      relevant items of the first k that the popular list's first k does not have
 *                      / k  (Ge et al. 2010)
 *     popularity_lift  mean popularity of the first k / that of her history - 1, NaN without a
 *                      history  (Abdollahpouri et al. 2019)
 *
 * and, where lists may have what she has (Li et al. 2023),
 *
 *     repeat_share     items of the first k that she has / those listed, NaN without any
 *     recall_repeat    recall over the relevant items that she has, NaN without any
 *     recall_explore   recall over the others, NaN without any */
enum {
    JUDGED_SERENDIPITY = N_RANKING_METRICS,
    JUDGED_POPULARITY_LIFT,
    JUDGED_REPEAT_SHARE,
    JUDGED_RECALL_REPEAT,
    JUDGED_RECALL_EXPLORE,
    N_JUDGED
};
const char *judgement_name(int metric);
/* How many of them, from the first on, are told with these options. */
int judgement_metrics(const EvaluateOptions *options);

/* What came out. */
typedef struct Judgement {
    int32_t n_users;
    int n_k;
    double *value; /* metric x n_k x user: see judgement_values */
    /* per item of the model: in how many of the users' first k it is */
    int32_t *listed[EVALUATE_MAX_K];
    int64_t longest[EVALUATE_MAX_K]; /* of the lists, cut at k */
} Judgement;

/* popular_only: judge the popular list instead of the model. copy: of the model's vectors, to rank
 * on its device; or NULL. Users' values are computed on all threads. judgement_clear also after an
 * error. */
Status judge(Judgement *out, const Model *model, int popular_only, GpuCopy *copy,
    const Holdout *holdout, const EvaluateOptions *options, Task *task, Err *err);
void judgement_clear(Judgement *judged);

/* One value a user; k: an index of options->k. */
const double *judgement_values(const Judgement *judged, int metric, int k);

/* Of the lists' first k: distinct items / items of the model; Gini of how often each item is listed
 * (0: all alike); mean of -log2(users of the item / all users of the training); 1 - mean over pairs
 * of lists of the share that they have in common, NaN where they are not all of one length. NaN
 * where nothing is listed. */
typedef struct BeyondAccuracy {
    double coverage, gini, novelty, personalization;
} BeyondAccuracy;
Status judgement_beyond(
    BeyondAccuracy *out, const Judgement *judged, const Model *model, int k, Err *err);

#endif
