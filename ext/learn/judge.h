/* How good predictions are on examples that were not learnt from. */
#ifndef REC_JUDGE_H
#define REC_JUDGE_H

#include "predictor.h"

/* Predictions of n rows: of classes probability has n x classes, else value has n.
 *
 *     number    rmse, mae, r2
 *     classes   log_loss (p within [1e-15, 1 - 1e-15]), accuracy; of two also auc and
 *               average_precision, of more macro_f1
 *     ranking   ndcg@10 with gains weight (2^grade - 1), ties by row, groups without a grade above
 *               0 left out
 *
 * weighted as the labels say, but for auc and average_precision. out: MAX_VERDICTS. */
typedef struct Predicted {
    const Labels *labels;
    int64_t n;
    const double *probability;
    const double *value;
} Predicted;
Status judge_predictions(const Predicted *predicted, Verdict *out, int32_t *n_out, Err *err);

/* Of segments, by the examples they were made of: inertia, the sum of weight times squared distance
 * to the centre; silhouette (Rousseeuw 1987), the mean over a thousand of them. */
Status judge_segments(Predictor *predictor, const Design *design, const double *weight, Err *err);

/* The judgement that decides: rmse, log_loss, ndcg@10, silhouette, "" for none; *higher: the more
 * the better. */
const char *judgement_main(LearnTask task, int *higher);

#endif
