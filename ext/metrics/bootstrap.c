#include "bootstrap.h"

#include <math.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "sort.h"

enum { PIECE = 16 }; /* resamples that a thread takes at once */

typedef struct Resampling {
    const double *value;
    int64_t n, samples;
    int series;
    uint64_t seed;
    double *mean; /* series x samples */
} Resampling;

/* Linear interpolation between order statistics (NumPy's default). */
static double quantile(const double *sorted, int64_t n, double q) {
    double at = q * (double)(n - 1);
    int64_t low = (int64_t)floor(at);
    double part = at - (double)low;
    return low + 1 < n ? sorted[low] * (1 - part) + sorted[low + 1] * part : sorted[n - 1];
}

static void resample(const Resampling *r, int64_t s) {
    Random random;
    random_init(&random, r->seed, (uint64_t)s);
    for (int j = 0; j < r->series; j++) r->mean[j * r->samples + s] = 0;
    for (int64_t i = 0; i < r->n; i++) {
        const double *row = r->value + random_below(&random, (uint64_t)r->n) * (uint64_t)r->series;
        for (int j = 0; j < r->series; j++) r->mean[j * r->samples + s] += row[j];
    }
    for (int j = 0; j < r->series; j++) r->mean[j * r->samples + s] /= (double)r->n;
}

static void resample_piece(void *context, int64_t piece, int worker) {
    const Resampling *r = context;
    (void)worker;
    for (int64_t s = piece * PIECE; s < r->samples && s < (piece + 1) * PIECE; s++) resample(r, s);
}

static Status resample_all(Resampling *r, Task *task, Err *err) {
    int64_t pieces = (r->samples + PIECE - 1) / PIECE;
    if (task && task->threads > 1 && r->n * r->samples > 100000)
        return task_run(task, pieces, resample_piece, r, err);
    for (int64_t p = 0; p < pieces; p++) {
        if (task && task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
        resample_piece(r, p, 0);
    }
    return ST_OK;
}

Status bootstrap_means(Interval *out, const double *value, int64_t n, int series, int64_t samples,
    uint64_t seed, Task *task, Err *err) {
    for (int j = 0; j < series; j++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += value[i * series + j];
        out[j].mean = out[j].low = out[j].high = n ? sum / (double)n : NAN;
    }
    if (n == 0 || samples == 0) return ST_OK;
    Resampling r = {value, n, samples, series, seed,
        mem_array((size_t)series * (size_t)samples, sizeof(double))};
    if (!r.mean) return fail_nomem(err, "the bootstrap");
    Status status = resample_all(&r, task, err);
    for (int j = 0; j < series && status == ST_OK; j++) {
        sort_doubles(r.mean + j * samples, (size_t)samples);
        out[j].low = quantile(r.mean + j * samples, samples, .025);
        out[j].high = quantile(r.mean + j * samples, samples, .975);
    }
    mem_free(r.mean);
    return status;
}
