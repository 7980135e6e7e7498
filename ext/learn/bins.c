#include "bins.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../metrics/sort.h"
#include "learner.h"

enum { SAMPLE_ROWS = 200000 };

void bins_clear(Bins *bins) {
    for (int32_t c = 0; c < bins->dim && bins->column; c++) mem_free(bins->column[c].upper);
    mem_free(bins->column);
    mem_free(bins->bin);
    *bins = (Bins){0};
}

typedef struct Binning {
    Bins *bins;
    const Design *design;
    Csr by_column; /* of the sparse columns: dim x n */
    double *value; /* threads x n: a column */
    TaskFailure failure;
} Binning;

/* The column as numbers, a row each. */
static void spread(const Binning *binning, int32_t c, double *value) {
    const Design *design = binning->design;
    if (c < design->n_dense) {
        for (int64_t i = 0; i < design->n; i++) value[i] = design->dense[i * design->n_dense + c];
        return;
    }
    const Csr *sparse = &binning->by_column;
    for (int64_t i = 0; i < design->n; i++) value[i] = 0;
    for (int64_t e = sparse->row_start[c]; e < sparse->row_start[c + 1]; e++)
        value[sparse->col[e]] = sparse->val[e];
}

/* Between two values, and not the upper one, as float. */
static float between(double low, double high) {
    float middle = (float)(low + (high - low) / 2);
    return middle < (float)high ? middle : (float)low;
}

/* A bin ends where it has its share of what is left, and before a value that has one alone. */
static void cut(ColumnBins *bins, const double *sorted, int64_t n) {
    int64_t distinct = n > 0, left = n, own = 0;
    for (int64_t i = 1; i < n; i++) distinct += sorted[i] != sorted[i - 1];
    bins->n = 1;
    for (int64_t i = 0, to; i < n; i = to) {
        for (to = i; to < n && sorted[to] == sorted[i];) to++;
        own += to - i;
        if (to == n || bins->n == MAX_BINS) break;
        double share = (double)(left) / (MAX_BINS - bins->n + 1);
        int64_t next = to;
        while (next < n && sorted[next] == sorted[to]) next++;
        if (distinct > MAX_BINS && (double)own < share && (double)(next - to) < share) continue;
        bins->upper[bins->n - 1] = between(sorted[i], sorted[to]);
        bins->n++;
        left -= own;
        own = 0;
    }
}

static uint8_t bin_of(const ColumnBins *bins, double x) {
    int32_t low = 0, high = bins->n - 1; /* bins whose upper end is below x */
    if (isnan(x)) return (uint8_t)bins->n;
    while (low < high) {
        int32_t middle = (low + high) / 2;
        if ((double)bins->upper[middle] < x) low = middle + 1;
        else high = middle;
    }
    return (uint8_t)low;
}

static void column_work(void *context, int64_t column, int worker) {
    Binning *binning = context;
    Bins *bins = binning->bins;
    int32_t c = (int32_t)column;
    ColumnBins *own = &bins->column[c];
    double *value = binning->value + worker * bins->n;
    int64_t step = bins->n / SAMPLE_ROWS + 1, n = 0;
    double *sample = mem_array((size_t)(bins->n / step + 1), sizeof *sample);
    own->upper = mem_array(MAX_BINS, sizeof *own->upper);
    if (!sample || !own->upper) {
        Err err = {0};
        task_failure_note(&binning->failure, fail_nomem(&err, "the bins"), &err);
        mem_free(sample);
        return;
    }
    spread(binning, c, value);
    for (int64_t i = 0; i < bins->n; i += step)
        if (!isnan(value[i])) sample[n++] = value[i];
    sort_doubles(sample, (size_t)n);
    cut(own, sample, n);
    mem_free(sample);
    uint8_t *bin = bins->bin + (int64_t)c * bins->n;
    for (int64_t i = 0; i < bins->n; i++) {
        bin[i] = bin_of(own, value[i]);
        own->has_missing |= isnan(value[i]);
    }
}

Status bins_build(Bins *out, const Design *design, Task *task, Err *err) {
    Binning binning = {.bins = out, .design = design};
    int threads = task->threads < 1 ? 1 : task->threads;
    *out = (Bins){.n = design->n, .dim = design->dim};
    out->column = mem_zeros((size_t)design->dim, sizeof *out->column);
    out->bin = mem_array((size_t)design->n, (size_t)design->dim);
    binning.value = mem_array((size_t)design->n, (size_t)threads * sizeof *binning.value);
    Status status = out->column && out->bin && binning.value ? ST_OK : fail_nomem(err, "the bins");
    if (status == ST_OK) status = csr_transpose(&binning.by_column, &design->sparse, err);
    task_phase(task, "sorting into bins", "columns", design->dim, design->dim);
    if (status == ST_OK)
        status = task_failure(&binning.failure,
            learn_run(
                task, design->n * design->dim < 20000, design->dim, column_work, &binning, err),
            err);
    csr_clear(&binning.by_column);
    mem_free(binning.value);
    return status;
}
