/* The encoder's backward pass: each step undoes one of encoder.c, in the opposite order. */
#include <math.h>
#include <string.h>

#include "../math/kernels.h"
#include "../math/product.h"
#include "encoder.h"
#include "encoder_inside.h"

/* dx (rows x in) = or += dy (rows x out) times w transposed, which is out x in. */
static void dense_back(float *dx, const float *dy, const float *transposed, size_t rows, size_t in,
    size_t out, int add) {
    product_run(&(Product){.m = rows,
        .n = in,
        .k = out,
        .a = dy,
        .a_row = out,
        .a_col = 1,
        .b = transposed,
        .b_row = in,
        .c = dx,
        .c_row = in,
        .add = add});
}

/* From d_out of the block to dh; what W2 and W1 get stays in the trace. */
static void feed_forward_back(const Encoder *encoder, size_t b, EncoderTrace *trace, size_t t,
    size_t rows, const float *d_out, float *dh, EncoderScratch *scratch, const EncoderBlock *grad) {
    const EncoderBlock *w = &encoder->weights.block[b];
    size_t d = encoder->shape.dim;
    float *d_r = trace->d_r + d * t, *z = trace->z + WIDE * d * t;
    for (size_t i = 0; i < rows; i++) {
        layer_norm_back(d_out + i * d, trace->hat_out + (t + i) * d, trace->scale_out[t + i],
            w->norm_out[0], d, dh + i * d, grad->norm_out[0], grad->norm_out[1]);
        memcpy(d_r + i * d, dh + i * d, d * sizeof *d_r);
        dropout_row(
            &encoder->dropout, ENCODER_SITE(b, SITE_INNER), (uint32_t)(t + i), d_r + i * d, d);
    }
    rows_sum(grad->b2, d_r, rows, d);
    dense_back(scratch->wide, d_r, encoder->transposed[b][3], rows, WIDE * d, d, 0);
    kernels()->gelu_back(z, scratch->wide, z, rows * WIDE * d);
    rows_sum(grad->b1, z, rows, WIDE * d);
    dense_back(dh, z, encoder->transposed[b][2], rows, d, WIDE * d, 1);
}

/* From dh to dx, but for what comes through attention and through low: d_low and trace->d_out. */
static void mix_back(const Encoder *encoder, size_t b, EncoderTrace *trace, size_t t, size_t rows,
    const float *dh, float *dx, float *d_low, const EncoderBlock *grad) {
    const EncoderBlock *w = &encoder->weights.block[b];
    size_t d = encoder->shape.dim;
    float mix = encoder->shape.mix;
    for (size_t i = 0; i < rows; i++) {
        size_t at = (t + i) * d;
        float *df = d_low + i * d, *dg = trace->d_out + at, *x = dx + i * d;
        for (size_t j = 0; j < d; j++) {
            df[j] = mix * dh[i * d + j];
            dg[j] = (1 - mix) * dh[i * d + j];
        }
        layer_norm_back(df, trace->hat_filter + at, trace->scale_filter[t + i], w->norm_filter[0],
            d, df, grad->norm_filter[0], grad->norm_filter[1]);
        layer_norm_back(dg, trace->hat_attention + at, trace->scale_attention[t + i],
            w->norm_attention[0], d, dg, grad->norm_attention[0], grad->norm_attention[1]);
        for (size_t j = 0; j < d; j++) x[j] = df[j] + dg[j];
        dropout_row(&encoder->dropout, ENCODER_SITE(b, SITE_FILTER), (uint32_t)(t + i), df, d);
        dropout_row(&encoder->dropout, ENCODER_SITE(b, SITE_OUT), (uint32_t)(t + i), dg, d);
        for (size_t j = 0; j < d; j++) {
            float beta = w->beta[j], given = df[j];
            grad->beta[j] += 2 * beta * given * trace->high[at + j];
            x[j] += beta * beta * given;
            df[j] = (1 - beta * beta) * given;
        }
    }
    rows_sum(grad->b_out, trace->d_out + d * t, rows, d);
}

/* dx of one sequence += what comes through low. */
static void filter_back(const Encoder *encoder, size_t n, const float *d_low, float *dx) {
    size_t d = encoder->shape.dim;
    product_run(&(Product){.m = n,
        .n = d,
        .k = n,
        .a = encoder->filter,
        .a_row = 1,
        .a_col = encoder->shape.length,
        .b = d_low,
        .b_row = d,
        .c = dx,
        .c_row = d,
        .add = 1});
}

/* Scores: from the gradient of dropped probabilities to that of q k before it is scaled, in place;
 * scaled here. */
static void softmax_back(const Encoder *encoder, size_t b, const float *p, float *dp, size_t t,
    size_t n, float *d_distance) {
    size_t n16 = up16(n);
    float scale = 1 / sqrtf((float)encoder->shape.dim);
    for (size_t i = 0; i < n; i++) {
        const float *row = p + i * n16;
        float *d_row = dp + i * n16, sum = 0;
        dropout_row(
            &encoder->dropout, ENCODER_SITE(b, SITE_ATTENTION), (uint32_t)(t + i), d_row, n16);
        for (size_t j = 0; j <= i; j++) sum += row[j] * d_row[j];
        for (size_t j = 0; j <= i; j++) {
            d_row[j] = row[j] * (d_row[j] - sum);
            d_distance[i - j] += d_row[j];
            d_row[j] *= scale;
        }
        memset(d_row + i + 1, 0, (n16 - i - 1) * sizeof *d_row);
    }
}

/* One sequence: from d_attended (n x dim) to the gradient of q, k and v, which takes their
 * place. */
static void attend_back(const Encoder *encoder, size_t b, EncoderTrace *trace, size_t t, size_t n,
    const float *d_attended, EncoderScratch *scratch, const EncoderBlock *grad) {
    size_t d = encoder->shape.dim, n16 = up16(n);
    float *qkv = trace->qkv + 3 * d * t, *dp = scratch->b, *dropped = scratch->c,
          *d_qkv = scratch->e;
    const float *p = trace->probability + up16(encoder->shape.length) * t;
    Product product = {.m = n, .n = n16, .k = d, .a = d_attended, .a_row = d, .a_col = 1};
    transpose_into(scratch->a, n16, qkv + 2 * d, 3 * d, n, d);
    product.b = scratch->a;
    product.b_row = n16;
    product.c = dp;
    product.c_row = n16;
    product_run(&product);
    softmax_back(encoder, b, p, dp, t, n, grad->distance);
    memcpy(dropped, p, n * n16 * sizeof *p);
    for (size_t i = 0; i < n; i++)
        dropout_row(&encoder->dropout, ENCODER_SITE(b, SITE_ATTENTION), (uint32_t)(t + i),
            dropped + i * n16, n16);
    product = (Product){.m = n, .n = d, .k = n, .c_row = 3 * d};
    product.a = dp; /* dq = ds k */
    product.a_row = n16;
    product.a_col = 1;
    product.b = qkv + d;
    product.b_row = 3 * d;
    product.c = d_qkv;
    product_run(&product);
    product.a_row = 1; /* dk = ds' q */
    product.a_col = n16;
    product.b = qkv;
    product.c = d_qkv + d;
    product_run(&product);
    product.a = dropped; /* dv = p' d_attended */
    product.b = d_attended;
    product.b_row = d;
    product.c = d_qkv + 2 * d;
    product_run(&product);
    memcpy(qkv, d_qkv, 3 * d * n * sizeof *qkv);
}

void encoder_backward(const Encoder *encoder, EncoderBatch *batch, size_t from, size_t to,
    EncoderScratch *scratch, const EncoderWeights *vectors) {
    size_t d = encoder->shape.dim, t = (size_t)batch->start[from],
           rows = (size_t)(batch->start[to - 1] + batch->length[to - 1]) - t;
    float *dh = scratch->row[0], *d_low = scratch->row[1], *d_attended = scratch->row[2],
          *dx = batch->output + d * t;
    for (size_t b = encoder->shape.blocks; b-- > 0;) {
        EncoderTrace *trace = &batch->trace[b];
        const EncoderBlock *grad = &vectors->block[b];
        feed_forward_back(encoder, b, trace, t, rows, dx, dh, scratch, grad);
        mix_back(encoder, b, trace, t, rows, dh, dx, d_low, grad);
        dense_back(d_attended, trace->d_out + d * t, encoder->transposed[b][1], rows, d, d, 0);
        for (size_t s = from; s < to; s++) {
            size_t first = (size_t)batch->start[s], n = (size_t)batch->length[s], at = first - t;
            filter_back(encoder, n, d_low + at * d, dx + at * d);
            attend_back(encoder, b, trace, first, n, d_attended + at * d, scratch, grad);
        }
        rows_sum(grad->b_qkv, trace->qkv + 3 * d * t, rows, 3 * d);
        dense_back(dx, trace->qkv + 3 * d * t, encoder->transposed[b][0], rows, d, 3 * d, 1);
    }
    for (size_t i = 0; i < rows; i++) {
        dropout_row(&encoder->dropout, SITE_IN, (uint32_t)(t + i), dx + i * d, d);
        layer_norm_back(dx + i * d, batch->hat_in + (t + i) * d, batch->scale_in[t + i],
            encoder->weights.norm_in[0], d, batch->input + (t + i) * d, vectors->norm_in[0],
            vectors->norm_in[1]);
    }
}

void encoder_matrix_gradient(const Encoder *encoder, const EncoderBatch *batch, size_t m,
    size_t row, size_t rows, float *out) {
    const EncoderTrace *trace = &batch->trace[m / ENCODER_MATRICES];
    size_t d = encoder->shape.dim, which = m % ENCODER_MATRICES;
    const float *x[ENCODER_MATRICES] = {trace->x, trace->attended, trace->h, trace->y},
                *dy[ENCODER_MATRICES] = {trace->qkv, trace->d_out, trace->z, trace->d_r};
    size_t in = which == 3 ? WIDE * d : d, width[ENCODER_MATRICES] = {3 * d, d, WIDE * d, d};
    product_run(&(Product){.m = rows,
        .n = width[which],
        .k = batch->tokens,
        .a = x[which] + row,
        .a_row = 1,
        .a_col = in,
        .b = dy[which],
        .b_row = width[which],
        .c = out,
        .c_row = width[which]});
}
