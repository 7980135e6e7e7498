#include "bootstrap.h"

#include <math.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "sort.h"

/* Linear interpolation between order statistics (NumPy's default). */
static double quantile(const double *sorted, int64_t n, double q) {
    double at = q * (double)(n - 1);
    int64_t low = (int64_t)floor(at);
    double part = at - (double)low;
    return low + 1 < n ? sorted[low] * (1 - part) + sorted[low + 1] * part : sorted[n - 1];
}

Status bootstrap_mean(Interval *out, const double *value, int64_t n, int64_t samples, uint64_t seed, Err *err) {
    double sum = 0;
    *out = (Interval){NAN, NAN, NAN};
    if (n == 0) return ST_OK;
    for (int64_t i = 0; i < n; i++) sum += value[i];
    *out = (Interval){sum / (double)n, sum / (double)n, sum / (double)n};
    if (samples == 0) return ST_OK;
    double *mean = mem_array((size_t)samples, sizeof *mean);
    if (!mean) return fail_nomem(err, "the bootstrap");
    for (int64_t s = 0; s < samples; s++) {
        Random random;
        random_init(&random, seed, (uint64_t)s);
        sum = 0;
        for (int64_t i = 0; i < n; i++) sum += value[random_below(&random, (uint64_t)n)];
        mean[s] = sum / (double)n;
    }
    sort_doubles(mean, (size_t)samples);
    out->low = quantile(mean, samples, 0.025);
    out->high = quantile(mean, samples, 0.975);
    mem_free(mean);
    return ST_OK;
}
