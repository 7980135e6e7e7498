#include "bert.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "../math/product.h"
#include "layers.h"

Status bert_check_shape(const BertShape *shape, Err *err) {
    if (shape->dim < 16 || shape->dim > BERT_MAX_DIM || shape->dim % 16)
        return fail(
            err, ST_BADARG, "vectors of %zu (a multiple of 16 up to %d)", shape->dim, BERT_MAX_DIM);
    if (shape->heads < 1 || shape->dim % (16 * shape->heads))
        return fail(err, ST_BADARG, "%zu heads (each takes a multiple of 16 of the vector's %zu)",
            shape->heads, shape->dim);
    if (shape->inner < 16 || shape->inner > 8 * BERT_MAX_DIM || shape->inner % 16)
        return fail(err, ST_BADARG, "an inner layer of %zu (a multiple of 16)", shape->inner);
    if (shape->layers < 1 || shape->layers > BERT_MAX_LAYERS)
        return fail(err, ST_BADARG, "%zu layers (1..%d)", shape->layers, BERT_MAX_LAYERS);
    if (shape->words < 3 || shape->words > 10000000)
        return fail(err, ST_BADARG, "a vocabulary of %zu (3..10000000)", shape->words);
    return shape->length >= 3 && shape->length <= BERT_MAX_LENGTH
        ? ST_OK
        : fail(err, ST_BADARG, "texts of %zu tokens (3..%d)", shape->length, BERT_MAX_LENGTH);
}

/* ---- weights ---- */

/* The next n bytes, rounded up to a cache line. */
typedef struct Place {
    uint8_t *weights; /* NULL: they are only counted */
    size_t used;
} Place;
static void *take(Place *at, size_t n) {
    void *taken = at->weights ? at->weights + at->used : NULL;
    at->used += (n + 63) / 64 * 64;
    return taken;
}

static const float *take_floats(Place *at, size_t n) { return take(at, n * sizeof(float)); }

static Packed take_matrix(Place *at, PackedKind kind, size_t k, size_t n) {
    Packed out = {.kind = kind, .k = k, .n = n, .panel = take(at, packed_bytes(kind, k, n))};
    if (kind == PACKED_INT8) out.factor = take_floats(at, n);
    return out;
}

static void take_layer(Place *at, const BertShape *shape, BertLayer *out) {
    size_t d = shape->dim;
    out->qkv = take_matrix(at, shape->kind, d, 3 * d);
    out->out = take_matrix(at, shape->kind, d, d);
    out->w1 = take_matrix(at, shape->kind, d, shape->inner);
    out->w2 = take_matrix(at, shape->kind, shape->inner, d);
    out->b_qkv = take_floats(at, 3 * d);
    out->b_out = take_floats(at, d);
    out->b1 = take_floats(at, shape->inner);
    out->b2 = take_floats(at, d);
    for (int i = 0; i < 2; i++) out->norm_out[i] = take_floats(at, d);
    for (int i = 0; i < 2; i++) out->norm_2[i] = take_floats(at, d);
}

static size_t take_all(Bert *out, const BertShape *shape, uint8_t *weights) {
    Place at = {weights, 0};
    *out = (Bert){.shape = *shape};
    out->word = take(&at, packed_bytes(shape->kind, shape->words, shape->dim));
    if (shape->kind == PACKED_INT8) out->word_factor = take_floats(&at, shape->words);
    out->place = take_floats(&at, shape->length * shape->dim);
    for (int i = 0; i < 2; i++) out->norm[i] = take_floats(&at, shape->dim);
    for (size_t l = 0; l < shape->layers; l++) take_layer(&at, shape, &out->layer[l]);
    return at.used;
}

size_t bert_bytes(const BertShape *shape) {
    Bert bert;
    return take_all(&bert, shape, NULL);
}

void bert_init(Bert *out, const BertShape *shape, void *weights) { take_all(out, shape, weights); }

Status bert_scratch_init(
    BertScratch *out, const BertShape *shape, size_t tokens, size_t longest, Err *err) {
    size_t d = shape->dim, wide = up16(longest), head = d / shape->heads,
           inner = shape->inner > d ? shape->inner : d;
    size_t floats = tokens * (5 * d + inner) + (head + longest + 2) * wide;
    *out = (BertScratch){.memory = mem_aligned(floats, sizeof(float))};
    if (!out->memory) return fail_nomem(err, "a batch of texts");
    out->x = out->memory;
    out->r = out->x + tokens * d;
    out->qkv = out->r + tokens * d;
    out->z = out->qkv + tokens * 3 * d;
    out->keys = out->z + tokens * inner;
    out->p = out->keys + head * wide;
    out->zero = out->p + longest * wide;
    out->sum = out->zero + wide;
    memset(out->zero, 0, 2 * wide * sizeof(float));
    return ST_OK;
}

void bert_scratch_clear(BertScratch *scratch) {
    mem_free(scratch->memory);
    *scratch = (BertScratch){0};
}

/* ---- forward ---- */

static void word_row(const Bert *bert, int32_t token, float *out) {
    size_t d = bert->shape.dim, at = (size_t)token * d;
    switch (bert->shape.kind) {
    case PACKED_FLOAT: memcpy(out, (const float *)bert->word + at, d * sizeof *out); return;
    case PACKED_HALF: kernels()->from_half((const uint16_t *)bert->word + at, out, d); return;
    case PACKED_INT8:
    default:
        kernels()->from_code((const int8_t *)bert->word + at, bert->word_factor[token], out, d);
    }
}

static void norm_row(float *x, const float *const norm[2], size_t d) {
    layer_norm(x, norm[0], norm[1], d, x, x);
}

static void look_up(
    const Bert *bert, const int32_t *token, const int32_t *length, size_t n, float *x) {
    size_t d = bert->shape.dim, at = 0;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < (size_t)length[t]; i++, at++) {
            word_row(bert, token[at], x + at * d);
            row_add(x + at * d, bert->place + i * d, d);
            norm_row(x + at * d, bert->norm, d);
        }
}

/* A head of a text of n tokens, whose q, k, v stand in rows of qkv: into rows of out. */
static void attend(
    const float *qkv, size_t d, size_t head, size_t n, float *out, BertScratch *scratch) {
    size_t n16 = up16(n);
    float scale = 1 / sqrtf((float)head);
    transpose_into(scratch->keys, n16, qkv + d, 3 * d, n, head);
    product_run(&(Product){.m = n,
        .n = n16,
        .k = head,
        .a = qkv,
        .a_row = 3 * d,
        .a_col = 1,
        .b = scratch->keys,
        .b_row = n16,
        .c = scratch->p,
        .c_row = n16});
    for (size_t i = 0; i < n; i++) {
        float *row = scratch->p + i * n16;
        for (size_t j = 0; j < n; j++) row[j] *= scale;
        row_softmax(row, n, scratch->zero, scratch->sum);
    }
    product_run(&(Product){.m = n,
        .n = head,
        .k = n,
        .a = scratch->p,
        .a_row = n16,
        .a_col = 1,
        .b = qkv + 2 * d,
        .b_row = 3 * d,
        .c = out,
        .c_row = d});
}

/* x = LN(x + r), row after row. */
static void add_and_norm(
    float *x, const float *r, const float *const norm[2], size_t rows, size_t d) {
    for (size_t i = 0; i < rows; i++) {
        row_add(x + i * d, r + i * d, d);
        norm_row(x + i * d, norm, d);
    }
}

static void run_layer(const Bert *bert, const BertLayer *w, const int32_t *length, size_t n,
    size_t rows, BertScratch *scratch) {
    size_t d = bert->shape.dim, inner = bert->shape.inner, head = d / bert->shape.heads, at = 0;
    packed_product(&w->qkv, rows, scratch->x, d, w->b_qkv, scratch->qkv, 3 * d);
    for (size_t t = 0; t < n; at += (size_t)length[t++])
        for (size_t h = 0; h < d; h += head)
            attend(scratch->qkv + at * 3 * d + h, d, head, (size_t)length[t],
                scratch->z + at * d + h, scratch);
    packed_product(&w->out, rows, scratch->z, d, w->b_out, scratch->r, d);
    add_and_norm(scratch->x, scratch->r, w->norm_out, rows, d);
    packed_product(&w->w1, rows, scratch->x, d, w->b1, scratch->z, inner);
    kernels()->gelu_erf(scratch->z, scratch->z, rows * inner);
    packed_product(&w->w2, rows, scratch->z, inner, w->b2, scratch->r, d);
    add_and_norm(scratch->x, scratch->r, w->norm_2, rows, d);
}

/* The vector of a text of n tokens. */
static void pool(const Bert *bert, const float *x, size_t n, float *out) {
    size_t d = bert->shape.dim;
    memcpy(out, x, d * sizeof *out);
    for (size_t i = 1; i < n && bert->shape.pooling == POOL_MEAN; i++) row_add(out, x + i * d, d);
    double norm = sqrt(kernels()->dot(out, out, d));
    for (size_t f = 0; f < d; f++) out[f] = norm == 0 ? 0 : (float)((double)out[f] / norm);
}

void bert_run(const Bert *bert, const int32_t *token, const int32_t *length, size_t n, float *out,
    BertScratch *scratch) {
    size_t rows = 0, at = 0, d = bert->shape.dim;
    for (size_t t = 0; t < n; t++) rows += (size_t)length[t];
    look_up(bert, token, length, n, scratch->x);
    for (size_t l = 0; l < bert->shape.layers; l++)
        run_layer(bert, &bert->layer[l], length, n, rows, scratch);
    for (size_t t = 0; t < n; at += (size_t)length[t++])
        pool(bert, scratch->x + at * d, (size_t)length[t], out + t * d);
}
