#include "linear_state.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"

LinearState *linear_state_new(int32_t dim, int32_t n_scores) {
    LinearState *state = mem_zeros(1, sizeof *state);
    if (!state) return NULL;
    state->dim = dim;
    state->n_scores = n_scores;
    state->weight = mem_zeros((size_t)linear_state_size(state), sizeof *state->weight);
    if (state->weight) return state;
    mem_free(state);
    return NULL;
}

void linear_state_free(void *state) {
    LinearState *linear = state;
    if (!linear) return;
    mem_free(linear->weight);
    mem_free(linear);
}

int32_t linear_state_scores(const void *state) { return ((const LinearState *)state)->n_scores; }

size_t linear_state_memory(const void *state) {
    return sizeof(LinearState) + (size_t)linear_state_size(state) * sizeof(double);
}

void linear_state_score(const void *state, const DesignRow *row, double *out) {
    const LinearState *linear = state;
    const int32_t k = linear->n_scores;
    const double *weight = linear->weight;
    memcpy(out, weight + (size_t)linear->dim * (size_t)k, (size_t)k * sizeof *out);
    for (int32_t i = 0; i < row->n_dense; i++, weight += k)
        for (int32_t s = 0; s < k; s++) out[s] += weight[s] * row->dense[i];
    for (int64_t e = 0; e < row->n; e++) {
        const double *own = linear->weight + (size_t)row->col[e] * (size_t)k;
        for (int32_t s = 0; s < k; s++) out[s] += own[s] * row->val[e];
    }
}

Status linear_state_explain(
    const void *state, const DesignRow *row, int32_t score, double *part, double *base, Err *err) {
    const LinearState *linear = state;
    const size_t k = (size_t)linear->n_scores;
    (void)err;
    *base = linear->weight[(size_t)linear->dim * k + (size_t)score];
    for (int32_t i = 0; i < row->n_dense; i++)
        part[i] = linear->weight[(size_t)i * k + (size_t)score] * row->dense[i];
    for (int64_t e = 0; e < row->n; e++)
        part[row->col[e]] = linear->weight[(size_t)row->col[e] * k + (size_t)score] * row->val[e];
    return ST_OK;
}

void linear_state_importance(const void *state, double *gain) {
    const LinearState *linear = state;
    for (int32_t i = 0; i < linear->dim; i++)
        for (int32_t s = 0; s < linear->n_scores; s++)
            gain[i] += fabs(linear->weight[(int64_t)i * linear->n_scores + s]);
}

Status linear_state_graph(const void *state, OnnxGraph *g, Err *err) {
    const LinearState *linear = state;
    const int64_t weights = (int64_t)linear->dim * linear->n_scores;
    (void)err;
    onnx_affine(
        g, "xd", linear->weight, linear->dim, linear->n_scores, linear->weight + weights, "scores");
    return ST_OK;
}

void linear_state_write(const void *state, Bytes *out) {
    const LinearState *linear = state;
    bytes_u32(out, (uint32_t)linear->n_scores);
    bytes_append(out, linear->weight, (size_t)linear_state_size(linear) * sizeof(double));
}

Status linear_state_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err) {
    LinearState *linear;
    uint32_t n_scores = read_u32(in);
    (void)n_dense;
    if (in->failed || !n_scores || n_scores > INT32_MAX)
        return fail(err, ST_CORRUPT, "the weights are damaged");
    const void *weight = read_block(in, ((uint64_t)dim + 1) * n_scores, sizeof(double));
    if (!weight) return fail(err, ST_CORRUPT, "the weights are cut short");
    if (!(*state = linear = linear_state_new(dim, (int32_t)n_scores)))
        return fail_nomem(err, "the weights");
    memcpy(linear->weight, weight, (size_t)linear_state_size(linear) * sizeof(double));
    return ST_OK;
}
