#include "intervals.h"

#include <math.h>

#include "../base/memory.h"
#include "../metrics/special.h"

Status series_intervals(Interval *out, int64_t *count, const double *series, int64_t n,
    const EvaluateOptions *options, Task *task, Err *err) {
    double *packed = mem_array((size_t)(n * N_JUDGED), sizeof *packed);
    Interval whole[N_JUDGED];
    int n_whole = 0, at = 0, metrics = judgement_metrics(options);
    if (!packed) return fail_nomem(err, "the evaluation");
    for (int m = 0; m < metrics; m++) {
        count[m] = 0;
        for (int64_t i = 0; i < n; i++) count[m] += !isnan(series[m * n + i]);
        n_whole += count[m] == n;
    }
    for (int m = 0; m < metrics; m++) {
        if (count[m] != n) continue;
        for (int64_t i = 0; i < n; i++) packed[i * n_whole + at] = series[m * n + i];
        at++;
    }
    Status status = bootstrap_means(
        whole, packed, n, n_whole, options->bootstrap, options->seed, task, err);
    at = 0;
    for (int m = 0; m < metrics && status == ST_OK; m++) {
        if (count[m] == n) {
            out[m] = whole[at++];
            continue;
        }
        int64_t kept = 0;
        for (int64_t i = 0; i < n; i++)
            if (!isnan(series[m * n + i])) packed[kept++] = series[m * n + i];
        status = bootstrap_means(
            &out[m], packed, kept, 1, options->bootstrap, options->seed, task, err);
    }
    mem_free(packed);
    return status;
}

double paired_two_sided(const double *difference, int64_t n) {
    double mean = 0, square = 0;
    if (n < 2) return NAN;
    for (int64_t i = 0; i < n; i++) {
        double before = difference[i] - mean;
        mean += before / (double)(i + 1);
        square += before * (difference[i] - mean);
    }
    if (square <= 0) return mean == 0 ? 1 : 0;
    return student_two_sided(mean / sqrt(square / (double)(n - 1) / (double)n), (double)n - 1);
}
