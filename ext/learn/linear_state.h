/* Linear models: a score is bias + the sum of weight * x. */
#ifndef REC_LINEAR_STATE_H
#define REC_LINEAR_STATE_H

#include "losses.h"

typedef struct LinearState {
    int32_t dim, n_scores;
    double *weight; /* dim x n_scores, then n_scores biases */
} LinearState;

LinearState *linear_state_new(int32_t dim, int32_t n_scores); /* NULL: no memory */
/* (dim + 1) * n_scores */
static inline int64_t linear_state_size(const LinearState *state) {
    return ((int64_t)state->dim + 1) * state->n_scores;
}

/* What a Learner needs of it. */
void linear_state_score(const void *state, const DesignRow *row, double *out);
int32_t linear_state_scores(const void *state);
/* Exact: base = bias, part = weight * x. */
Status linear_state_explain(
    const void *state, const DesignRow *row, int32_t score, double *part, double *base, Err *err);
/* |weight|: of columns of one scale a measure. */
void linear_state_importance(const void *state, double *gain);
Status linear_state_graph(const void *state, OnnxGraph *g, Err *err);
void linear_state_write(const void *state, Bytes *out);
Status linear_state_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err);
void linear_state_free(void *state);
size_t linear_state_memory(const void *state);

#define LINEAR_STATE_METHODS \
    .score = linear_state_score, .n_scores = linear_state_scores, .explain = linear_state_explain, \
    .importance = linear_state_importance, .graph = linear_state_graph, \
    .write = linear_state_write, .read = linear_state_read, .free_state = linear_state_free, \
    .memory = linear_state_memory

/* ---- fitting one ---- */

/* Minimise  sum w loss / sum w + l2 / 2 |weight|^2 + l1 |weight|_1  over weights and biases, which
 * are not penalised. steps: the most; *state starts it. descent: plain gradient descent, whose
 * curve goes to the log. */
typedef struct LinearFit {
    LossKind loss;
    double l1, l2, tolerance;
    int64_t steps;
    int descent;
} LinearFit;
Status linear_fit(LinearState *state, const LinearFit *fit, const Learning *learning, Err *err);

/* The minimum of the squared loss by its normal equations (Cholesky), where l1 is 0. O(n dim^2 +
 * dim^3), dim^2 doubles. Columns that are sums of others share what they explain. */
Status linear_fit_exact(LinearState *state, double l2, const Learning *learning, Err *err);
enum { LINEAR_EXACT_DIM = 2000 };

#endif
