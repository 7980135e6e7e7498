/* How good segments are. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"
#include "../math/kernels.h"
#include "../math/product.h"
#include "centres.h"
#include "judge.h"

enum { SAMPLE = 1000 };

/* Of row i of n: the mean distance to its own segment's other rows (a) and to those of the nearest
 * other one (b): (b - a) / max(a, b), 0 where it is alone. sum, count: room for k. */
static double silhouette_of(const float *x, size_t row, const int32_t *segment, int64_t n,
    int64_t i, int32_t k, double *sum, int64_t *count) {
    memset(sum, 0, (size_t)k * sizeof *sum);
    memset(count, 0, (size_t)k * sizeof *count);
    for (int64_t j = 0; j < n; j++) {
        if (j == i) continue;
        sum[segment[j]] += sqrt(
            kernels()->l2_squared(x + (size_t)i * row, x + (size_t)j * row, row));
        count[segment[j]]++;
    }
    int32_t own = segment[i];
    double other = INFINITY;
    for (int32_t c = 0; c < k; c++)
        if (c != own && count[c]) other = fmin(other, sum[c] / (double)count[c]);
    if (!count[own] || isinf(other)) return 0;
    double mean = sum[own] / (double)count[own];
    return fmax(mean, other) > 0 ? (other - mean) / fmax(mean, other) : 0;
}

static double silhouette(const float *x, size_t row, const int32_t *segment, int64_t n, int32_t k) {
    double *sum = mem_array((size_t)k, sizeof *sum), mean = 0;
    int64_t *count = mem_array((size_t)k, sizeof *count);
    for (int64_t i = 0; sum && count && i < n; i++)
        mean += silhouette_of(x, row, segment, n, i, k, sum, count) / (double)n;
    int has_room = sum && count;
    mem_free(sum);
    mem_free(count);
    return has_room ? mean : NAN;
}

static Status judge_rows(const Predictor *predictor, const Design *design, const double *weight,
    int32_t *segment, double *inertia, Err *err) {
    Asker *asker = asker_new(predictor, err);
    if (!asker) return ST_NOMEM;
    *inertia = 0;
    for (int64_t i = 0; i < design->n; i++) {
        Prediction prediction;
        DesignRow row = design_row(design, i);
        asker_predict_row(asker, &row, &prediction);
        segment[i] = prediction.best;
        *inertia += weight[i] * prediction.score[prediction.best];
    }
    asker_free(asker);
    return ST_OK;
}

Status judge_segments(Predictor *predictor, const Design *design, const double *weight, Err *err) {
    int64_t n = design->n, kept = n < SAMPLE ? n : SAMPLE;
    size_t row = up16((size_t)design->dim);
    int32_t *segment = mem_array((size_t)n, sizeof *segment);
    float *x = NULL;
    double inertia = 0;
    Status status = segment ? judge_rows(predictor, design, weight, segment, &inertia, err)
                            : fail_nomem(err, "the segments");
    if (status == ST_OK) status = design_matrix(design, &x, err);
    if (status == ST_OK) {
        for (int64_t i = 0; i < kept; i++) { /* every so manieth row */
            int64_t from = i * n / kept;
            segment[i] = segment[from];
            memmove(x + (size_t)i * row, x + (size_t)from * row, row * sizeof *x);
        }
        Verdict *verdict = predictor->judgement;
        text_format(verdict[0].name, sizeof verdict->name, "inertia");
        verdict[0].value = inertia;
        text_format(verdict[1].name, sizeof verdict->name, "silhouette");
        verdict[1].value = silhouette(x, row, segment, kept, predictor_scores(predictor));
        predictor->n_judgements = 2;
    }
    mem_free(segment);
    mem_free(x);
    return status;
}
