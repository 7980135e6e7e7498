/* What boosted trees minimise: gradients and second derivatives of an example's loss by its score.
 *
 *     squared   (y - s)^2 / 2                         a number
 *     quantile  q max(y - s, 0) + (1 - q) max(s - y, 0), leaves at the quantile of what is left
 *     logistic  ln(1 + exp(-y s)); of K classes -ln softmax(s)_y
 *     lambda    LambdaMART (Burges 2010): for each pair of a list of which one has the higher
 *               grade, the fall of ndcg if they changed places, times the logistic loss of their
 *               difference; the first `truncation` places count, as LightGBM weighs it; a
 *               pair counts as often as the weight of its higher grade says */
#ifndef REC_BOOSTING_LOSS_H
#define REC_BOOSTING_LOSS_H

#include "learner.h"

typedef enum BoostingLoss {
    BOOST_SQUARED,
    BOOST_QUANTILE,
    BOOST_LOGISTIC,
    BOOST_LAMBDA
} BoostingLoss;

typedef struct LossCall {
    BoostingLoss loss;
    double quantile;
    int64_t truncation;
    const Labels *labels;
    int64_t n;
    int32_t n_scores;
    Task *task;
} LossCall;

/* The score that every example begins with: n_scores. */
void loss_base(const LossCall *call, double *out);
/* Of all examples; scores, gradients and hessians are n_scores x n: score after score. */
Status loss_derivatives(
    const LossCall *call, const double *score, double *gradient, double *hessian, Err *err);
/* The least value up to which there is the share q of the weight, of the rows given (NULL: the
 * first n); NaN: no memory. */
double loss_quantile(
    const double *value, const double *weight, const int32_t *row, int64_t n, double q);
/* The mean loss, weighted; of rankings 1 - ndcg@10. */
Status loss_mean(const LossCall *call, const double *score, double *out, Err *err);

#endif
