/* Percentile bootstrap of means (Efron 1979): resample the rows with replacement, take the means'
 * quantiles. */
#ifndef REC_BOOTSTRAP_H
#define REC_BOOTSTRAP_H

#include <stdint.h>

#include "../base/status.h"
#include "../base/task.h"

typedef struct Interval {
    double mean;
    double low;  /* 2.5 % quantile of the resampled means */
    double high; /* 97.5 % */
} Interval;

/* value: n x series, row-major; out: one interval a series. Resample s draws the same rows for
 * every series, and for the same seed and n in every call, so that models are compared on the same
 * resamples; a series' interval does not depend on its company. task: the threads that share the
 * resamples, or NULL. n = 0 gives NaN. O(n samples) draws of `series` numbers that lie together. */
Status bootstrap_means(Interval *out, const double *value, int64_t n, int series, int64_t samples,
    uint64_t seed, Task *task, Err *err);

#endif
