/* Percentile bootstrap of a mean (Efron 1979): resample the values with replacement, take the means' quantiles. */
#ifndef REC_BOOTSTRAP_H
#define REC_BOOTSTRAP_H

#include <stdint.h>

#include "../base/status.h"

typedef struct Interval {
    double mean;
    double low;  /* 2.5 % quantile of the resampled means */
    double high; /* 97.5 % */
} Interval;

/* samples resamples from the seed; the same draw of users for the same seed and n, so that models are compared on the
 * same resamples. n = 0 gives NaN. O(n samples). */
Status bootstrap_mean(Interval *out, const double *value, int64_t n, int64_t samples, uint64_t seed, Err *err);

#endif
