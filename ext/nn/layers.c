#include "layers.h"

#include <math.h>
#include <string.h>

#include "../math/kernels.h"

enum { LANES = 16 };

static float add_lanes(const float s[LANES]) {
    float eight[8], four[4];
    for (int i = 0; i < 8; i++) eight[i] = s[i] + s[i + 8];
    for (int i = 0; i < 4; i++) four[i] = eight[i] + eight[i + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

float row_dot(const float *x, const float *y, size_t d) {
    float sum[LANES] = {0};
    for (size_t i = 0; i < d; i += LANES)
        for (size_t l = 0; l < LANES; l++) sum[l] += x[i + l] * y[i + l];
    return add_lanes(sum);
}

static float row_sum(const float *x, size_t d) {
    float sum[LANES] = {0};
    for (size_t i = 0; i < d; i += LANES)
        for (size_t l = 0; l < LANES; l++) sum[l] += x[i + l];
    return add_lanes(sum);
}

float layer_norm(
    const float *x, const float *gain, const float *bias, size_t d, float *hat, float *y) {
    float mean = row_sum(x, d) / (float)d;
    for (size_t i = 0; i < d; i++) hat[i] = x[i] - mean;
    float scale = 1 / sqrtf(row_dot(hat, hat, d) / (float)d + 1e-12f);
    for (size_t i = 0; i < d; i++) {
        hat[i] *= scale;
        y[i] = gain[i] * hat[i] + bias[i];
    }
    return scale;
}

/* With g = dy * gain: dx = scale (g - mean g - hat mean(g * hat)). */
void layer_norm_back(const float *dy, const float *hat, float scale, const float *gain, size_t d,
    float *dx, float *d_gain, float *d_bias) {
    float plain[LANES] = {0}, along[LANES] = {0};
    for (size_t i = 0; i < d; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            float g = dy[i + l] * gain[i + l];
            plain[l] += g;
            along[l] += g * hat[i + l];
        }
    float mean = add_lanes(plain) / (float)d, mean_along = add_lanes(along) / (float)d;
    for (size_t i = 0; i < d; i++) {
        float given = dy[i];
        d_gain[i] += given * hat[i];
        d_bias[i] += given;
        dx[i] = scale * (given * gain[i] - mean - hat[i] * mean_along);
    }
}

void row_add(float *y, const float *x, size_t d) {
    for (size_t i = 0; i < d; i++) y[i] += x[i];
}

void rows_add_bias(float *y, const float *bias, size_t rows, size_t d) {
    for (size_t r = 0; r < rows; r++) row_add(y + r * d, bias, d);
}

void rows_sum(float *sum, const float *x, size_t rows, size_t d) {
    for (size_t r = 0; r < rows; r++) row_add(sum, x + r * d, d);
}

void row_softmax(float *x, size_t n, const float *zero, float *sum) {
    float most = x[0], all = 0;
    for (size_t j = 1; j < n; j++) most = x[j] > most ? x[j] : most;
    for (size_t j = 0; j < n; j++) x[j] -= most;
    kernels()->row_exp(x, zero, sum, n);
    for (size_t j = 0; j < n; j++) all += x[j];
    for (size_t j = 0; j < n; j++) x[j] /= all;
}

void transpose_into(
    float *out, size_t out_row, const float *in, size_t in_row, size_t rows, size_t columns) {
    for (size_t c = 0; c < columns; c++) {
        for (size_t r = 0; r < rows; r++) out[c * out_row + r] = in[r * in_row + c];
        memset(out + c * out_row + rows, 0, (out_row - rows) * sizeof *out);
    }
}

/* splitmix64's finaliser. */
static uint32_t mixed(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return (uint32_t)(x >> 32);
}

void dropout_row(const Dropout *dropout, uint32_t site, uint32_t row, float *x, size_t n) {
    if (dropout->rate <= 0) return;
    uint32_t key = mixed(dropout->key + ((uint64_t)site << 32 | row));
    kernels()->drop(
        x, key, (uint32_t)((double)dropout->rate * 4294967296.0), 1 / (1 - dropout->rate), n);
}
