#include "encoder.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../math/kernels.h"
#include "../math/product.h"
#include "encoder_inside.h"

/* ---- weights ---- */

static float *take(float **at, size_t n) {
    float *taken = *at;
    *at += n;
    return taken;
}

static void take_norm(float *norm[2], float **at, size_t d) {
    norm[0] = take(at, d);
    norm[1] = take(at, d);
}

EncoderWeights encoder_weights(const EncoderShape *shape, float *array) {
    EncoderWeights out;
    size_t d = shape->dim;
    take_norm(out.norm_in, &array, d);
    for (size_t b = 0; b < shape->blocks; b++) {
        EncoderBlock *block = &out.block[b];
        take_norm(block->norm_attention, &array, d);
        take_norm(block->norm_filter, &array, d);
        take_norm(block->norm_out, &array, d);
        block->b_qkv = take(&array, 3 * d);
        block->b_out = take(&array, d);
        block->b1 = take(&array, WIDE * d);
        block->b2 = take(&array, d);
        block->beta = take(&array, d);
        block->distance = take(&array, shape->length);
    }
    for (size_t b = 0; b < shape->blocks; b++) {
        EncoderBlock *block = &out.block[b];
        block->qkv = take(&array, 3 * d * d);
        block->out = take(&array, d * d);
        block->w1 = take(&array, WIDE * d * d);
        block->w2 = take(&array, WIDE * d * d);
    }
    return out;
}

size_t encoder_vectors(const EncoderShape *shape) {
    size_t d = shape->dim;
    return 2 * d + shape->blocks * ((6 + 3 + 1 + WIDE + 1 + 1) * d + shape->length);
}

size_t encoder_floats(const EncoderShape *shape) {
    return encoder_vectors(shape) + shape->blocks * (4 + 2 * WIDE) * shape->dim * shape->dim;
}

void encoder_matrices(const EncoderShape *shape, EncoderMatrix *out) {
    size_t d = shape->dim, at = encoder_vectors(shape);
    for (size_t b = 0; b < shape->blocks; b++) {
        EncoderMatrix *m = out + b * ENCODER_MATRICES;
        m[0] = (EncoderMatrix){at, d, 3 * d};
        m[1] = (EncoderMatrix){m[0].offset + 3 * d * d, d, d};
        m[2] = (EncoderMatrix){m[1].offset + d * d, d, WIDE * d};
        m[3] = (EncoderMatrix){m[2].offset + WIDE * d * d, WIDE * d, d};
        at = m[3].offset + WIDE * d * d;
    }
}

static void fill(float *x, size_t n, float value) {
    for (size_t i = 0; i < n; i++) x[i] = value;
}

void encoder_start(const EncoderShape *shape, float *array, uint64_t seed) {
    Random random;
    EncoderWeights w = encoder_weights(shape, array);
    size_t d = shape->dim, vectors = encoder_vectors(shape), n = encoder_floats(shape);
    random_init(&random, seed, UINT64_MAX - 1);
    memset(array, 0, vectors * sizeof *array);
    fill(w.norm_in[0], d, 1);
    for (size_t b = 0; b < shape->blocks; b++) {
        fill(w.block[b].norm_attention[0], d, 1);
        fill(w.block[b].norm_filter[0], d, 1);
        fill(w.block[b].norm_out[0], d, 1);
        for (size_t i = 0; i < d; i++) w.block[b].beta[i] = (float)random_normal(&random);
    }
    for (size_t i = vectors; i < n; i++) array[i] = (float)(.02 * random_normal(&random));
}

/* ---- memory ---- */

static void set_filter(Encoder *encoder) {
    const double TURN = 6.283185307179586;
    size_t length = encoder->shape.length;
    memset(encoder->filter, 0, length * length * sizeof *encoder->filter);
    for (size_t k = 0; k < length; k++) {
        double turn = TURN * (double)k / (double)length;
        double h = (1 + 2 * cos(turn) + 2 * cos(2 * turn)) / (double)length;
        for (size_t t = k; t < length; t++) encoder->filter[t * length + t - k] = (float)h;
    }
}

Status encoder_init(Encoder *out, const EncoderShape *shape, float *array, int back, Err *err) {
    EncoderMatrix m[ENCODER_MAX_BLOCKS * ENCODER_MATRICES];
    size_t n = shape->blocks * ENCODER_MATRICES;
    *out = (Encoder){.shape = *shape, .weights = encoder_weights(shape, array)};
    encoder_matrices(shape, m);
    out->filter = mem_array(shape->length, shape->length * sizeof *out->filter);
    if (!out->filter) return fail_nomem(err, "the encoder");
    set_filter(out);
    for (size_t i = 0; back && i < n; i++) {
        float *transposed = mem_array(m[i].rows, m[i].columns * sizeof *transposed);
        if (!transposed) {
            encoder_clear(out);
            return fail_nomem(err, "the encoder");
        }
        out->transposed[i / ENCODER_MATRICES][i % ENCODER_MATRICES] = transposed;
        encoder_transpose(out, array, i);
    }
    return ST_OK;
}

void encoder_clear(Encoder *encoder) {
    mem_free(encoder->filter);
    for (size_t b = 0; b < ENCODER_MAX_BLOCKS; b++)
        for (size_t i = 0; i < ENCODER_MATRICES; i++) mem_free(encoder->transposed[b][i]);
    *encoder = (Encoder){0};
}

void encoder_transpose(Encoder *encoder, const float *array, size_t m) {
    EncoderMatrix all[ENCODER_MAX_BLOCKS * ENCODER_MATRICES];
    encoder_matrices(&encoder->shape, all);
    transpose_into(encoder->transposed[m / ENCODER_MATRICES][m % ENCODER_MATRICES], all[m].rows,
        array + all[m].offset, all[m].columns, all[m].rows, all[m].columns);
}

static size_t trace_floats(const EncoderShape *shape, size_t tokens) {
    return tokens * ((1 + 3 + 1 + 3 + 1 + 1 + 2 * WIDE + 2) * shape->dim + 3 + up16(shape->length));
}

size_t encoder_batch_bytes(const EncoderShape *shape, size_t tokens) {
    return sizeof(float) *
        (tokens * (3 * shape->dim + 1) + shape->blocks * trace_floats(shape, tokens));
}

static void take_trace(EncoderTrace *trace, const EncoderShape *shape, size_t tokens, float **at) {
    size_t d = shape->dim, n = tokens * d;
    *trace = (EncoderTrace){.tokens = tokens, .x = take(at, n)};
    trace->qkv = take(at, 3 * n);
    trace->attended = take(at, n);
    trace->hat_attention = take(at, n);
    trace->hat_filter = take(at, n);
    trace->hat_out = take(at, n);
    trace->high = take(at, n);
    trace->h = take(at, n);
    trace->z = take(at, WIDE * n);
    trace->y = take(at, WIDE * n);
    trace->d_out = take(at, n);
    trace->d_r = take(at, n);
    trace->scale_attention = take(at, tokens);
    trace->scale_filter = take(at, tokens);
    trace->scale_out = take(at, tokens);
    trace->probability = take(at, tokens * up16(shape->length));
}

Status encoder_batch_init(EncoderBatch *out, const EncoderShape *shape, size_t tokens, Err *err) {
    *out = (EncoderBatch){.tokens = tokens};
    out->memory = mem_aligned(1, encoder_batch_bytes(shape, tokens));
    if (!out->memory) return fail_nomem(err, "a batch of sequences");
    memset(out->memory, 0, encoder_batch_bytes(shape, tokens));
    float *at = out->memory;
    out->input = take(&at, tokens * shape->dim);
    out->output = take(&at, tokens * shape->dim);
    out->hat_in = take(&at, tokens * shape->dim);
    for (size_t b = 0; b < shape->blocks; b++) take_trace(&out->trace[b], shape, tokens, &at);
    out->scale_in = take(&at, tokens);
    return ST_OK;
}

void encoder_batch_clear(EncoderBatch *batch) {
    mem_free(batch->memory);
    *batch = (EncoderBatch){0};
}

Status encoder_scratch_init(
    EncoderScratch *out, const EncoderShape *shape, size_t tokens, Err *err) {
    size_t length = up16(shape->length), side = length > shape->dim ? length : shape->dim;
    size_t square = length * side > 3 * shape->dim * length ? length * side
                                                            : 3 * shape->dim * length;
    *out = (EncoderScratch){
        .memory = mem_aligned(
            4 * square + 2 * length + (WIDE + 3) * tokens * shape->dim, sizeof(float))};
    if (!out->memory) return fail_nomem(err, "a batch of sequences");
    float *at = out->memory;
    out->a = take(&at, square);
    out->b = take(&at, square);
    out->c = take(&at, square);
    out->e = take(&at, square);
    out->zero = take(&at, length);
    out->sum = take(&at, length);
    memset(out->zero, 0, length * sizeof *out->zero);
    out->wide = take(&at, WIDE * tokens * shape->dim);
    for (int i = 0; i < 3; i++) out->row[i] = take(&at, tokens * shape->dim);
    return ST_OK;
}

void encoder_scratch_clear(EncoderScratch *scratch) {
    mem_free(scratch->memory);
    *scratch = (EncoderScratch){0};
}

/* ---- forward ---- */

/* y (rows x out) = x (rows x in) w + bias. */
static void dense(float *y, const float *x, const float *w, const float *bias, size_t rows,
    size_t in, size_t out) {
    product_run(&(Product){.m = rows,
        .n = out,
        .k = in,
        .a = x,
        .a_row = in,
        .a_col = 1,
        .b = w,
        .b_row = out,
        .c = y,
        .c_row = out});
    rows_add_bias(y, bias, rows, out);
}

/* One sequence of n tokens from t; what its tokens from the first-th on see. */
static void attend(const Encoder *encoder, size_t b, EncoderTrace *trace, size_t t, size_t n,
    size_t first, EncoderScratch *scratch) {
    size_t d = encoder->shape.dim, n16 = up16(n);
    const float *q = trace->qkv + 3 * d * t, *k = q + d, *v = q + 2 * d;
    const float *distance = encoder->weights.block[b].distance;
    float *p = trace->probability + up16(encoder->shape.length) * t, *dropped = scratch->b;
    float scale = 1 / sqrtf((float)d);
    transpose_into(scratch->a, n16, k, 3 * d, n, d);
    product_run(&(Product){.m = n - first,
        .n = n16,
        .k = d,
        .a = q + 3 * d * first,
        .a_row = 3 * d,
        .a_col = 1,
        .b = scratch->a,
        .b_row = n16,
        .c = p + n16 * first,
        .c_row = n16});
    for (size_t i = first; i < n; i++) {
        float *row = p + i * n16;
        for (size_t j = 0; j <= i; j++) row[j] = row[j] * scale + distance[i - j];
        row_softmax(row, i + 1, scratch->zero, scratch->sum);
        memset(row + i + 1, 0, (n16 - i - 1) * sizeof *row); /* it is multiplied with them */
    }
    memcpy(dropped + n16 * first, p + n16 * first, (n - first) * n16 * sizeof *p);
    for (size_t i = first; i < n; i++)
        dropout_row(&encoder->dropout, ENCODER_SITE(b, SITE_ATTENTION), (uint32_t)(t + i),
            dropped + i * n16, n16);
    product_run(&(Product){.m = n - first,
        .n = d,
        .k = n,
        .a = dropped + n16 * first,
        .a_row = n16,
        .a_col = 1,
        .b = v,
        .b_row = 3 * d,
        .c = trace->attended + d * (t + first),
        .c_row = d});
}

/* high = x - low of one sequence, from its first-th token on. */
static void filter_sequence(
    const Encoder *encoder, EncoderTrace *trace, size_t t, size_t n, size_t first) {
    size_t d = encoder->shape.dim, at = d * (t + first);
    float *high = trace->high + at;
    product_run(&(Product){.m = n - first,
        .n = d,
        .k = n,
        .a = encoder->filter + first * encoder->shape.length,
        .a_row = encoder->shape.length,
        .a_col = 1,
        .b = trace->x + d * t,
        .b_row = d,
        .c = high,
        .c_row = d});
    for (size_t i = 0; i < (n - first) * d; i++) high[i] = trace->x[at + i] - high[i];
}

/* h = mix LN(x + drop(filtered)) + (1 - mix) LN(x + drop(attention)), tokens [t, t + rows);
 * attention: of each, before the drop. */
static void mix_branches(const Encoder *encoder, size_t b, EncoderTrace *trace, size_t t,
    size_t rows, float *attention, EncoderScratch *scratch) {
    const EncoderBlock *w = &encoder->weights.block[b];
    size_t d = encoder->shape.dim;
    float mix = encoder->shape.mix, *f = scratch->row[1], *g = scratch->row[2];
    for (size_t i = 0; i < rows; i++) {
        size_t at = (t + i) * d;
        float *a = attention + i * d, *x = trace->x + at, *h = trace->h + at;
        dropout_row(&encoder->dropout, ENCODER_SITE(b, SITE_OUT), (uint32_t)(t + i), a, d);
        row_add(a, x, d);
        trace->scale_attention[t + i] = layer_norm(
            a, w->norm_attention[0], w->norm_attention[1], d, trace->hat_attention + at, g);
        for (size_t j = 0; j < d; j++)
            f[j] = x[j] + (w->beta[j] * w->beta[j] - 1) * trace->high[at + j];
        dropout_row(&encoder->dropout, ENCODER_SITE(b, SITE_FILTER), (uint32_t)(t + i), f, d);
        row_add(f, x, d);
        trace->scale_filter[t + i] = layer_norm(
            f, w->norm_filter[0], w->norm_filter[1], d, trace->hat_filter + at, f);
        for (size_t j = 0; j < d; j++) h[j] = mix * f[j] + (1 - mix) * g[j];
    }
}

/* out = LN(h + drop(W2 gelu(W1 h + b1) + b2)). */
static void feed_forward(const Encoder *encoder, size_t b, EncoderTrace *trace, size_t t,
    size_t rows, float *out, EncoderScratch *scratch) {
    const EncoderBlock *w = &encoder->weights.block[b];
    size_t d = encoder->shape.dim;
    float *r = scratch->row[0], *z = trace->z + WIDE * d * t, *y = trace->y + WIDE * d * t;
    dense(z, trace->h + d * t, w->w1, w->b1, rows, d, WIDE * d);
    kernels()->gelu(z, y, rows * WIDE * d);
    dense(r, y, w->w2, w->b2, rows, WIDE * d, d);
    for (size_t i = 0; i < rows; i++) {
        size_t at = (t + i) * d;
        dropout_row(
            &encoder->dropout, ENCODER_SITE(b, SITE_INNER), (uint32_t)(t + i), r + i * d, d);
        row_add(r + i * d, trace->h + at, d);
        trace->scale_out[t + i] = layer_norm(
            r + i * d, w->norm_out[0], w->norm_out[1], d, trace->hat_out + at, out + at);
    }
}

static void normalise_input(const Encoder *encoder, EncoderBatch *batch, size_t t, size_t rows) {
    size_t d = encoder->shape.dim;
    for (size_t i = t; i < t + rows; i++) {
        float *x = batch->trace[0].x + i * d;
        batch->scale_in[i] = layer_norm(batch->input + i * d, encoder->weights.norm_in[0],
            encoder->weights.norm_in[1], d, batch->hat_in + i * d, x);
        dropout_row(&encoder->dropout, SITE_IN, (uint32_t)i, x, d);
    }
}

/* Block b over sequences [from, to), tokens [t, t + rows); of one sequence alone, only what its
 * tokens from the first-th on become. */
static void run_block(const Encoder *encoder, size_t b, EncoderBatch *batch, size_t from, size_t to,
    size_t t, size_t rows, size_t first, EncoderScratch *scratch) {
    const EncoderBlock *w = &encoder->weights.block[b];
    EncoderTrace *trace = &batch->trace[b];
    size_t d = encoder->shape.dim, at = t + first, left = rows - first;
    int last = b + 1 == encoder->shape.blocks;
    float *attention = scratch->row[0];
    dense(trace->qkv + 3 * d * t, trace->x + d * t, w->qkv, w->b_qkv, rows, d, 3 * d);
    for (size_t s = from; s < to; s++) {
        size_t start = (size_t)batch->start[s], n = (size_t)batch->length[s];
        attend(encoder, b, trace, start, n, first, scratch);
        filter_sequence(encoder, trace, start, n, first);
    }
    dense(attention, trace->attended + d * at, w->out, w->b_out, left, d, d);
    mix_branches(encoder, b, trace, at, left, attention, scratch);
    feed_forward(
        encoder, b, trace, at, left, last ? batch->output : batch->trace[b + 1].x, scratch);
}

void encoder_forward(
    const Encoder *encoder, EncoderBatch *batch, size_t from, size_t to, EncoderScratch *scratch) {
    size_t t = (size_t)batch->start[from],
           rows = (size_t)(batch->start[to - 1] + batch->length[to - 1]) - t;
    normalise_input(encoder, batch, t, rows);
    for (size_t b = 0; b < encoder->shape.blocks; b++)
        run_block(encoder, b, batch, from, to, t, rows, 0, scratch);
}

void encoder_last(const Encoder *encoder, EncoderBatch *batch, EncoderScratch *scratch) {
    size_t n = (size_t)batch->length[0], blocks = encoder->shape.blocks;
    normalise_input(encoder, batch, 0, n);
    for (size_t b = 0; b < blocks; b++)
        run_block(encoder, b, batch, 0, 1, 0, n, b + 1 == blocks ? n - 1 : 0, scratch);
}
