/* What the users' values say of a mean: its interval, and whether two models differ. */
#ifndef REC_INTERVALS_H
#define REC_INTERVALS_H

#include "../metrics/bootstrap.h"
#include "evaluate.h"

/* 95 % bootstrap intervals of the means of N_JUDGED series of n values each (series x n); NaN is no
 * value: count says how many there are. Series without one share their resamples' draws, so that
 * they cost little more than one. */
Status series_intervals(Interval *out, int64_t *count, const double *series, int64_t n,
    const EvaluateOptions *options, Task *task, Err *err);

/* Two-sided p of a paired t test (Student 1908); NaN for fewer than 2 users, 1 where nobody
 * differs. */
double paired_two_sided(const double *difference, int64_t n);

#endif
