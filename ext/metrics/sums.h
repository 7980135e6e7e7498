/* Metrics of predictions that are sums over the rows: no row is kept, and a row can be taken back
 * (window functions). Sums are in double-double (32 digits), so that rows whose squares are up to
 * 1e15 times larger than what stays leave nothing behind when they are taken back.
 *
 *     (y, p, w): label or actual value, prediction, weight
 *
 *     rmse         sqrt(sum w (y - p)^2 / sum w)
 *     mae          sum w |y - p| / sum w
 *     mape         sum w |y - p| / max(|y|, 2^-52) / sum w
 *     r2           1 - sum w (y - p)^2 / sum w (y - mean)^2; of a constant y 1 where all p are y,
 *                  else 0; NaN for fewer than 2 rows
 *     logloss      -sum w (y ln p + (1 - y) ln(1 - p)) / sum w, p within [2^-52, 1 - 2^-52]
 *     brier        sum w (y - p)^2 / sum w
 *
 * Of classes, with the weights tp, fp, fn, tn of the pairs (1, 1), (0, 1), (1, 0), (0, 0):
 *
 *     accuracy           (tp + tn) / all
 *     precision          tp / (tp + fp)
 *     recall             tp / (tp + fn)
 *     specificity        tn / (tn + fp)
 *     balanced accuracy  mean of recall and specificity
 *     f                  (1 + b^2) tp / ((1 + b^2) tp + b^2 fn + fp)
 *     mcc                (tp tn - fp fn) / sqrt((tp + fp) (tp + fn) (tn + fp) (tn + fn)), 0 where a
 *                        factor is 0
 *
 * NaN where a denominator is 0. All equal scikit-learn's functions of these names. */
#ifndef REC_SUMS_H
#define REC_SUMS_H

#include <stdint.h>

typedef enum SumMetric {
    SUM_RMSE,
    SUM_MAE,
    SUM_MAPE,
    SUM_R2,
    SUM_LOGLOSS,
    SUM_BRIER,
    SUM_ACCURACY,
    SUM_PRECISION,
    SUM_RECALL,
    SUM_SPECIFICITY,
    SUM_BALANCED,
    SUM_MCC,
    SUM_F,
    SUM_CONFUSION
} SumMetric;

enum { N_SUMS = 5 };

typedef struct DoubleDouble {
    double high, low;
} DoubleDouble;

typedef struct Sums {
    DoubleDouble sum[N_SUMS];
    int64_t n;
    /* of r2: rows taken in or back, and the largest that its sums of squares have been: */
    int64_t steps;
    /* what is left of them once rows are taken back is known to so much and no better, */
    double errors, squares;
    double least_error, least_square; /* and the least of a row, 0 for none */
    double beta;                      /* of f */
} Sums;

/* Add a row, or take it back (sign -1). */
void sums_add(Sums *sums, SumMetric metric, double y, double p, double w, double sign);
double sums_value(const Sums *sums, SumMetric metric);
/* tp, fp, fn, tn. */
void sums_confusion(const Sums *sums, double out[4]);

#endif
