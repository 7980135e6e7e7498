#include "sampled_softmax.h"

#include <math.h>
#include <string.h>

#include "../math/kernels.h"
#include "../math/product.h"
#include "layers.h"

size_t sampled_softmax_scratch(size_t dim, size_t places) { return up16(places) * (dim + 4); }

float normalise_row(float *x, size_t d, float sharpness) {
    float size = sqrtf(row_dot(x, x, d)), scale = size > 0 ? sharpness / size : 0;
    for (size_t i = 0; i < d; i++) x[i] *= scale;
    return scale;
}

void normalise_row_back(
    const float *y, float scale, float sharpness, size_t d, const float *dy, float *dx) {
    float along = row_dot(y, dy, d) / (sharpness * sharpness);
    for (size_t i = 0; i < d; i++) dx[i] = scale * (dy[i] - y[i] * along);
}

/* Logits become exp(logit - most), a column a place; each column's sum. Where a target's logit was
 * is kept. */
static void exponents(const SampledSoftmax *loss, const int32_t *target, size_t places, float *most,
    float *sum, float *wanted) {
    const Kernels *with = kernels();
    size_t n = up16(places);
    for (size_t t = 0; t < n; t++) {
        most[t] = -INFINITY;
        sum[t] = 0;
    }
    for (size_t c = 0; c < loss->candidates; c++)
        with->row_most(loss->p + c * loss->p_row, loss->bias[c], most, n);
    for (size_t t = 0; t < places; t++)
        wanted[t] = target[t] >= 0 ? loss->p[(size_t)target[t] * loss->p_row + t] : 0;
    for (size_t c = 0; c < loss->candidates; c++)
        with->row_exp(loss->p + c * loss->p_row, most, sum, n);
}

double sampled_softmax(const SampledSoftmax *loss, float *h, const int32_t *target, size_t places,
    float *dh, float *scratch) {
    size_t d = loss->dim, n = up16(places);
    float *turned = scratch, *most = turned + n * d, *sum = most + n, *wanted = sum + n,
          *scale = wanted + n, *p = loss->p;
    double total = 0;
    for (size_t t = 0; t < places; t++)
        scale[t] = loss->sharpness > 0 ? normalise_row(h + t * d, d, loss->sharpness) : 1;
    transpose_into(turned, n, h, d, places, d);
    product_run(&(Product){.m = loss->candidates,
        .n = n,
        .k = d,
        .a = loss->e,
        .a_row = d,
        .a_col = 1,
        .b = turned,
        .b_row = n,
        .c = p,
        .c_row = loss->p_row});
    exponents(loss, target, places, most, sum, wanted);
    for (size_t t = 0; t < n; t++) {
        int counts = t < places && target[t] >= 0;
        if (counts) total += log((double)sum[t]) + (double)most[t] - (double)wanted[t];
        if (counts) p[(size_t)target[t] * loss->p_row + t] -= sum[t];
        sum[t] = counts ? 1 / (sum[t] * loss->places) : 0;
    }
    product_run(&(Product){.m = places,
        .n = d,
        .k = loss->candidates,
        .a = p,
        .a_row = 1,
        .a_col = loss->p_row,
        .b = loss->e,
        .b_row = d,
        .c = dh,
        .c_row = d});
    for (size_t t = 0; t < places; t++) {
        for (size_t i = 0; i < d; i++) dh[t * d + i] *= sum[t];
        if (loss->sharpness > 0)
            normalise_row_back(h + t * d, scale[t], loss->sharpness, d, dh + t * d, dh + t * d);
        for (size_t i = 0; i < d; i++) h[t * d + i] *= sum[t];
    }
    return total / (double)loss->places;
}
