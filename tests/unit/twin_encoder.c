#include "twin_encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What dropout_row makes of ones, as the layers draw it: encoder_inside.h has the sites. */
static void mask_of(const TwinCase *c, uint32_t site, int32_t token, size_t n, double *out) {
    float ones[256];
    for (size_t i = 0; i < n; i++) ones[i] = 1;
    dropout_row(&c->dropout, site, (uint32_t)token, ones, n);
    for (size_t i = 0; i < n; i++) out[i] = (double)ones[i];
}

static void norm(const double *x, const double *gain, const double *bias, size_t d, double *y) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < d; i++) mean += x[i] / (double)d;
    for (size_t i = 0; i < d; i++) square += (x[i] - mean) * (x[i] - mean) / (double)d;
    for (size_t i = 0; i < d; i++) y[i] = gain[i] * (x[i] - mean) / sqrt(square + 1e-12) + bias[i];
}

static void dense(
    const double *x, const double *w, const double *bias, size_t in, size_t out, double *y) {
    for (size_t j = 0; j < out; j++) {
        y[j] = bias[j];
        for (size_t i = 0; i < in; i++) y[j] += x[i] * w[i * out + j];
    }
}

/* The same layout as encoder_weights, over doubles. */
typedef struct Names {
    const double *norm_a[2], *norm_f[2], *norm_o[2], *b_qkv, *b_out, *b1, *b2, *beta, *distance;
    const double *qkv, *out, *w1, *w2;
} Names;

static Names names_of(const TwinCase *c, size_t b) {
    float *base = malloc(encoder_floats(&c->shape) * sizeof *base);
    EncoderWeights w = encoder_weights(&c->shape, base);
    const EncoderBlock *k = &w.block[b];
    const double *d = c->weights;
#define AT(field) (d + (k->field - base))
    Names n = {{AT(norm_attention[0]), AT(norm_attention[1])},
        {AT(norm_filter[0]), AT(norm_filter[1])}, {AT(norm_out[0]), AT(norm_out[1])}, AT(b_qkv),
        AT(b_out), AT(b1), AT(b2), AT(beta), AT(distance), AT(qkv), AT(out), AT(w1), AT(w2)};
#undef AT
    free(base);
    return n;
}

/* The attention of token i of a sequence that begins at token t; qkv: of the whole batch. */
static void attend(const TwinCase *c, size_t b, const Names *w, const double *qkv, int32_t t,
    int32_t i, int32_t n, double *out) {
    size_t d = c->shape.dim, n16 = ((size_t)n + 15) / 16 * 16;
    double p[256], mask[256], sum = 0;
    for (int32_t j = 0; j <= i; j++) {
        double dot = 0;
        for (size_t k = 0; k < d; k++)
            dot += qkv[(size_t)(t + i) * 3 * d + k] * qkv[(size_t)(t + j) * 3 * d + d + k];
        p[j] = exp(dot / sqrt((double)d) + w->distance[i - j]);
        sum += p[j];
    }
    mask_of(c, (uint32_t)(b * 5 + 1), t + i, n16, mask);
    memset(out, 0, d * sizeof *out);
    for (int32_t j = 0; j <= i; j++)
        for (size_t k = 0; k < d; k++)
            out[k] += p[j] / sum * mask[j] * qkv[(size_t)(t + j) * 3 * d + 2 * d + k];
}

static double tap(const TwinCase *c, int32_t k) {
    double turn = 2 * acos(-1) * k / (double)c->shape.length;
    return (1 + 2 * cos(turn) + 2 * cos(2 * turn)) / (double)c->shape.length;
}

static void one_token(const TwinCase *c, size_t b, const Names *w, const double *x,
    const double *qkv, int32_t t, int32_t i, int32_t n, double *y) {
    size_t d = c->shape.dim;
    double a[TWIN_DIM], o[TWIN_DIM], f[TWIN_DIM], g[TWIN_DIM], h[TWIN_DIM], r[TWIN_DIM],
        z[4 * TWIN_DIM], mask[TWIN_DIM];
    const double *own = x + (size_t)(t + i) * d;
    attend(c, b, w, qkv, t, i, n, a);
    dense(a, w->out, w->b_out, d, d, o);
    mask_of(c, (uint32_t)(b * 5 + 2), t + i, d, mask);
    for (size_t k = 0; k < d; k++) o[k] = own[k] + mask[k] * o[k];
    norm(o, w->norm_a[0], w->norm_a[1], d, g);
    mask_of(c, (uint32_t)(b * 5 + 3), t + i, d, mask);
    for (size_t k = 0; k < d; k++) {
        double low = 0;
        for (int32_t s = 0; s <= i; s++) low += tap(c, s) * x[(size_t)(t + i - s) * d + k];
        f[k] = own[k] + mask[k] * (low + w->beta[k] * w->beta[k] * (own[k] - low));
    }
    norm(f, w->norm_f[0], w->norm_f[1], d, f);
    for (size_t k = 0; k < d; k++)
        h[k] = (double)c->shape.mix * f[k] + (1 - (double)c->shape.mix) * g[k];
    dense(h, w->w1, w->b1, d, 4 * d, z);
    for (size_t k = 0; k < 4 * d; k++) z[k] = z[k] / (1 + exp(-1.702 * z[k]));
    dense(z, w->w2, w->b2, 4 * d, d, r);
    mask_of(c, (uint32_t)(b * 5 + 4), t + i, d, mask);
    for (size_t k = 0; k < d; k++) r[k] = h[k] + mask[k] * r[k];
    norm(r, w->norm_o[0], w->norm_o[1], d, y);
}

static void run_block(const TwinCase *c, size_t b, const double *x, double *y) {
    size_t d = c->shape.dim;
    double qkv[TWIN_TOKENS * 3 * TWIN_DIM];
    Names w = names_of(c, b);
    for (int32_t t = 0; t < c->tokens; t++)
        dense(x + (size_t)t * d, w.qkv, w.b_qkv, d, 3 * d, qkv + (size_t)t * 3 * d);
    for (int32_t s = 0; s < c->sequences; s++)
        for (int32_t i = 0; i < c->length[s]; i++)
            one_token(
                c, b, &w, x, qkv, c->start[s], i, c->length[s], y + (size_t)(c->start[s] + i) * d);
}

static double loss_of(const TwinCase *c, const double *h, int32_t target) {
    size_t d = c->shape.dim;
    double logit[TWIN_CANDIDATES], sum = 0, h_size = 0;
    for (size_t k = 0; k < d; k++) h_size += h[k] * h[k];
    for (int32_t i = 0; i < c->candidates; i++) {
        double e_size = 0;
        logit[i] = 0;
        for (size_t k = 0; k < d; k++) {
            logit[i] += c->e[(size_t)i * d + k] * h[k];
            e_size += c->e[(size_t)i * d + k] * c->e[(size_t)i * d + k];
        }
        if (c->sharpness > 0) logit[i] *= c->sharpness / sqrt(e_size * h_size);
        logit[i] += c->bias[i];
        sum += exp(logit[i]);
    }
    return log(sum) - logit[target];
}

double twin_loss(TwinCase *c) {
    size_t d = c->shape.dim;
    double x[TWIN_TOKENS * TWIN_DIM], y[TWIN_TOKENS * TWIN_DIM], mask[TWIN_DIM], total = 0;
    for (int32_t t = 0; t < c->tokens; t++) {
        double *row = x + (size_t)t * d;
        norm(c->input + (size_t)t * d, c->weights, c->weights + d, d, row);
        mask_of(c, 0, t, d, mask);
        for (size_t k = 0; k < d; k++) row[k] *= mask[k];
    }
    for (size_t b = 0; b < c->shape.blocks; b++) {
        run_block(c, b, x, y);
        memcpy(x, y, sizeof x);
    }
    memcpy(c->output, x, sizeof x);
    for (int32_t t = 0; t < c->tokens; t++)
        total += loss_of(c, x + (size_t)t * d, c->target[t]) / c->tokens;
    return total;
}
