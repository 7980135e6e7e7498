#include "factors.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../math/kernels.h"

Status factors_init(Factors *factors, int32_t n_items, int32_t dim, int32_t similar_dim, Err *err) {
    factors->similar_dim = similar_dim;
    return ann_vectors_alloc(&factors->items, n_items, dim, ANN_IP, err);
}

Status factors_finish(Factors *factors, Err *err) {
    ann_vectors_finish(&factors->items);
    factors->index = (AnnIndex){
        .engine = &ann_exact_engine, .vectors = &factors->items, .factory = "exact"};
    return factors->index.engine->build(&factors->index, NULL, err);
}

void factors_clear(Factors *factors) {
    if (factors->index.engine) factors->index.engine->free(&factors->index);
    ann_vectors_clear(&factors->items);
}

static size_t n_floats(const Factors *factors) {
    return (size_t)factors->items.n * (size_t)factors->items.dim;
}

size_t factors_memory(const Factors *factors) {
    return n_floats(factors) * sizeof(float) + (size_t)factors->items.n * sizeof(double) +
        factors->index.engine->memory(&factors->index);
}

void factors_write(const Factors *factors, Bytes *out) {
    bytes_append(out, factors->items.row, n_floats(factors) * sizeof(float));
}

Status factors_read(Factors *factors, Reader *in, Err *err) {
    size_t n = n_floats(factors);
    const void *stored = read_block(in, n, sizeof(float));
    if (!stored) return fail(err, ST_CORRUPT, "item factors are truncated");
    if (n) memcpy(factors->items.row, stored, n * sizeof(float));
    return vector_first_bad(factors->items.row, n) < 0
        ? ST_OK
        : fail(err, ST_CORRUPT, "item factors hold no numbers");
}

Status factor_query_init(FactorQuery *query, const Factors *factors, Err *err) {
    query->x = mem_zeros((size_t)factors->items.dim, sizeof *query->x);
    return query->x ? ST_OK : fail_nomem(err, "a query");
}

void factor_query_clear(FactorQuery *query) {
    mem_free(query->x);
    mem_free(query->scaled);
    *query = (FactorQuery){0};
}

Status factor_query_scale(ModelQuery *query, Err *err) {
    FactorQuery *q = query->scratch;
    const History *history = &query->history;
    if (history->n > q->capacity) {
        float *grown = mem_resize(q->scaled, (size_t)history->n, sizeof *grown);
        if (!grown) return fail_nomem(err, "a query");
        q->scaled = grown;
        q->capacity = history->n;
    }
    for (int64_t h = 0; h < history->n; h++)
        q->scaled[h] = (float)model_scaled(query->model, history->weight[h]);
    return ST_OK;
}

void factors_prepare_similar(ModelQuery *query) {
    const Factors *factors = query->model->state;
    FactorQuery *q = query->scratch;
    memcpy(
        q->x, ann_row(&factors->items, query->similar), (size_t)factors->items.dim * sizeof *q->x);
    q->x_norm = sqrt(kernels()->dot(q->x, q->x, (size_t)factors->similar_dim));
}

double factors_score(const ModelQuery *query, int32_t item) {
    const Factors *factors = query->model->state;
    const FactorQuery *q = query->scratch;
    const float *y = ann_row(&factors->items, item);
    if (query->similar < 0) return ann_score(ANN_IP, q->x, 0, y, 0, factors->items.dim);
    int whole = factors->similar_dim == factors->items.dim;
    double norm = whole ? factors->items.norm[item]
                        : sqrt(kernels()->dot(y, y, (size_t)factors->similar_dim));
    return ann_score(ANN_COSINE, q->x, q->x_norm, y, norm, factors->similar_dim);
}

void factors_logits(const ModelQuery *query, double *score) {
    const Factors *factors = query->model->state;
    const FactorQuery *q = query->scratch;
    size_t d = (size_t)factors->items.dim;
    for (int32_t i = 0; i < query->model->n_items; i++)
        score[i] = query->similar >= 0
            ? factors_score(query, i)
            : (double)kernels()->dot_float(q->x, ann_row(&factors->items, i), d);
}

Status factors_rank(
    const ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, TopK *top, Err *err) {
    const Factors *factors = query->model->state;
    const FactorQuery *q = query->scratch;
    AnnSearch search = {.query = q->x,
        .k = top->k,
        .min_score = -INFINITY,
        .allowed = allowed,
        .n_allowed = n_allowed};
    if (query->similar < 0)
        return factors->index.engine->search(&factors->index, &search, top, 1, err);
    for (int32_t i = 0; i < query->model->n_items; i++)
        if (ann_allows(allowed, i)) topk_push(top, factors_score(query, i), i);
    return ST_OK;
}

const float *factors_item_vector(const Model *model, int32_t item, int32_t *dim) {
    const Factors *factors = model->state;
    *dim = factors->similar_dim;
    return *dim ? ann_row(&factors->items, item) : NULL;
}

const AnnIndex *factors_index(const Model *model) {
    return &((const Factors *)model->state)->index;
}

const float *factors_asker(const ModelQuery *query) {
    return ((const FactorQuery *)query->scratch)->x;
}

double factors_alike(const Model *model, int32_t a, int32_t b) {
    const Factors *factors = model->state;
    const float *x = ann_row(&factors->items, a), *y = ann_row(&factors->items, b);
    size_t d = (size_t)factors->similar_dim;
    double norms = sqrt(kernels()->dot(x, x, d) * kernels()->dot(y, y, d));
    return norms > 0 ? fmax(0, kernels()->dot(x, y, d) / norms) : 0;
}

void factors_start(float *factors, int32_t n, int32_t d, double spread, uint64_t seed) {
    for (int32_t r = 0; r < n; r++) {
        Random random;
        random_init(&random, seed, (uint64_t)r);
        for (int32_t f = 0; f < d; f++)
            factors[(size_t)r * (size_t)d + (size_t)f] = (float)(spread * random_normal(&random));
    }
}
