/* Metrics that need all rows at once. A row is (x, y): for a label or a sample y carries it as the
 * sign of its weight, label 1 or sample 1 above 0, label 0 or sample 0 below; for two counts it is
 * the second. Rows are sorted in place. NaN where there is no answer. O(n).
 *
 *     auc         chance that a positive's score is above a negative's, ties half
 *                 (scikit-learn roc_auc_score)
 *     pr_auc      sum over distinct scores of (recall - recall before) precision
 *                 (average_precision_score)
 *     ece         sum over bins of n_b / n |mean label - mean score|, equal-width bins over 0..1
 *     gini        sum (2 i - n - 1) c_(i) / (n sum c), counts ascending
 *     entropy     -sum p ln p
 *     novelty     mean of -log2(x / y)
 *     psi         sum (a - e) ln(a / e) over bins by the quantiles of sample 0; e, a: shares of
 *                 samples 0 and 1, at least 1e-4
 *     ks          largest distance of the two distribution functions; ks_p: Kolmogorov's limit at
 *                 sqrt(n0 n1 / (n0 + n1)) ks
 *     wasserstein area between the two distribution functions
 *     js          sqrt of the Jensen-Shannon divergence of the shares of x and y, natural logarithm
 *     chi2        sum (x - e)^2 / e, e = y sum x / sum y; chi2_p with n - 1 degrees of freedom */
#ifndef REC_SAMPLES_H
#define REC_SAMPLES_H

#include <stddef.h>

#include "../base/status.h"
#include "sort.h"

typedef double (*SampleMetric)(Sample *row, size_t n, double setting);

double sample_auc(Sample *row, size_t n, double unused);
double sample_pr_auc(Sample *row, size_t n, double unused);
double sample_ece(Sample *row, size_t n, double bins);
double sample_gini(Sample *row, size_t n, double unused);
double sample_entropy(Sample *row, size_t n, double unused);
double sample_novelty(Sample *row, size_t n, double unused);
double sample_psi(Sample *row, size_t n, double bins);
double sample_ks(Sample *row, size_t n, double unused);
double sample_ks_p(Sample *row, size_t n, double unused);
double sample_wasserstein(Sample *row, size_t n, double unused);
double sample_js(Sample *row, size_t n, double unused);
double sample_chi2(Sample *row, size_t n, double unused);
double sample_chi2_p(Sample *row, size_t n, double unused);

/* Welch's t test of mean(sample 1) - mean(sample 0); 0 when a sample has fewer than 2 rows or
 * nothing varies. */
typedef struct Welch {
    double t, df, p, difference;
} Welch;
int sample_welch(const Sample *row, size_t n, Welch *out);

/* Mann and Whitney's U of sample 1 and its two-sided p: normal, with correction for ties and
 * continuity; 0 when a sample is empty. */
int sample_mann_whitney(Sample *row, size_t n, double *u, double *p);

/* By x descending. */
void samples_sort_descending(Sample *row, size_t n);

#endif
