/* Loops over rows of float32 that every level shares: plain C without fused steps, compiled for
 * each level by the compiler's own vectors, so that all levels give the same bits. */
#ifndef REC_KERNELS_ROWS_H
#define REC_KERNELS_ROWS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

#define ROW_LOOP static inline __attribute__((always_inline))

/* exp(x) to 1e-7 of it for -87 <= x <= 88, and the value at the nearer end beyond: 2^n exp(r), n
 * the nearest to x / ln 2, r by a polynomial of degree 6 (Taylor; |r| <= ln 2 / 2). Adding and
 * taking away ROUND leaves the nearest whole number. */
ROW_LOOP float exp_float(float x) {
    const float ROUND = 12582912; /* 1.5 * 2^23 */
    x = x > -87 ? x : -87;        /* NaN too: it has no whole number */
    x = x > 88 ? 88 : x;
    float n = (x * 1.44269504f + ROUND) - ROUND;
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float y = 1.3888889e-3f;
    y = y * r + 8.3333333e-3f;
    y = y * r + 4.1666667e-2f;
    y = y * r + .16666667f;
    y = y * r + .5f;
    y = y * r + 1;
    y = y * r + 1;
    int32_t bits;
    memcpy(&bits, &y, sizeof bits);
    bits += (int32_t)n * (1 << 23);
    memcpy(&y, &bits, sizeof y);
    return y;
}

ROW_LOOP void loop_row_most(float *x, float bias, float *most, size_t n) {
    for (size_t i = 0; i < n; i++) {
        x[i] += bias;
        most[i] = x[i] > most[i] ? x[i] : most[i];
    }
}

ROW_LOOP void loop_row_exp(float *x, const float *most, float *sum, size_t n) {
    for (size_t i = 0; i < n; i++) {
        x[i] = exp_float(x[i] - most[i]);
        sum[i] += x[i];
    }
}

ROW_LOOP void loop_gelu(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = x[i] / (1 + exp_float(-1.702f * x[i]));
}

/* With z = |x| / sqrt 2: erfc z = (a1 t + .. + a5 t^5) exp(-z^2), t = 1 / (1 + p z), to 1.5e-7
 * (Abramowitz and Stegun 7.1.26). */
ROW_LOOP void loop_gelu_erf(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float z = (x[i] < 0 ? -x[i] : x[i]) * .70710678f, t = 1 / (1 + .3275911f * z);
        float p = 1.061405429f;
        p = p * t - 1.453152027f;
        p = p * t + 1.421413741f;
        p = p * t - .284496736f;
        p = p * t + .254829592f;
        float tail = x[i] * (.5f * p * t * exp_float(-z * z));
        y[i] = x[i] < 0 ? tail : x[i] - tail;
    }
}

ROW_LOOP void loop_gelu_back(const float *x, const float *dy, float *dx, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float s = 1 / (1 + exp_float(-1.702f * x[i]));
        dx[i] = dy[i] * (s + x[i] * 1.702f * s * (1 - s));
    }
}

/* The finaliser of MurmurHash3 (Appleby, public domain) over key + i * odd. */
ROW_LOOP void loop_drop(float *x, uint32_t key, uint32_t least, float factor, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t h = key + (uint32_t)i * 0x9e3779b1u;
        h ^= h >> 16;
        h *= 0x85ebca6bu;
        h ^= h >> 13;
        h *= 0xc2b2ae35u;
        h ^= h >> 16;
        x[i] = h >= least ? x[i] * factor : 0;
    }
}

ROW_LOOP void loop_adam(
    const RowAdam *step, float *x, float *m, float *v, const float *g, size_t n) {
    for (size_t i = 0; i < n; i++) {
        m[i] = step->first * m[i] + (1 - step->first) * g[i];
        v[i] = step->second * v[i] + (1 - step->second) * (g[i] * g[i]);
        x[i] -= step->rate * m[i] / (__builtin_sqrtf(v[i]) * step->shrink + step->least);
    }
}

ROW_LOOP void loop_adam_rest(const RowAdam *step, float *x, float *m, float *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        x[i] -= step->rate * m[i] / (__builtin_sqrtf(v[i]) * step->shrink + step->least);
        m[i] *= step->first;
        v[i] *= step->second;
    }
}

/* The last rows of a panel, fewer than six, from row i on: panel_rows with a constant number. */
#define PANEL_REST(panel_rows, p, i, add) \
    switch ((p)->m - (i)) { \
    case 5: panel_rows(p, i, 5, add); break; \
    case 4: panel_rows(p, i, 4, add); break; \
    case 3: panel_rows(p, i, 3, add); break; \
    case 2: panel_rows(p, i, 2, add); break; \
    case 1: panel_rows(p, i, 1, add); break; \
    default: break; \
    }

/* The functions of a level. */
#define ROW_FUNCTIONS(LEVEL, name) \
    LEVEL static void row_most_##name(float *x, float bias, float *most, size_t n) { \
        loop_row_most(x, bias, most, n); \
    } \
    LEVEL static void row_exp_##name(float *x, const float *most, float *sum, size_t n) { \
        loop_row_exp(x, most, sum, n); \
    } \
    LEVEL static void gelu_##name(const float *x, float *y, size_t n) { loop_gelu(x, y, n); } \
    LEVEL static void gelu_erf_##name(const float *x, float *y, size_t n) { \
        loop_gelu_erf(x, y, n); \
    } \
    LEVEL static void gelu_back_##name(const float *x, const float *dy, float *dx, size_t n) { \
        loop_gelu_back(x, dy, dx, n); \
    } \
    LEVEL static void drop_##name( \
        float *x, uint32_t key, uint32_t least, float factor, size_t n) { \
        loop_drop(x, key, least, factor, n); \
    } \
    LEVEL static void adam_##name( \
        const RowAdam *step, float *x, float *m, float *v, const float *g, size_t n) { \
        loop_adam(step, x, m, v, g, n); \
    } \
    LEVEL static void adam_rest_##name( \
        const RowAdam *step, float *x, float *m, float *v, size_t n) { \
        loop_adam_rest(step, x, m, v, n); \
    }

#endif
