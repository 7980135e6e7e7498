/* Least squares by the normal equations. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/ordered.h"
#include "linear_state.h"

typedef struct Normal {
    const Learning *learning;
    int64_t d, slices; /* d: columns and the constant */
    double *gram;      /* slices x d x d, upper triangle */
    double *right;     /* slices x d: X'y */
    double *row;       /* slices x d */
    int32_t *at;       /* slices x d */
} Normal;

/* The row's columns that are not 0, ascending but for the sparse ones, and the constant. */
static int64_t spread(const Normal *normal, int64_t i, double *x, int32_t *at) {
    DesignRow row = design_row(normal->learning->design, i);
    int64_t n = 0;
    for (int32_t c = 0; c < row.n_dense; c++) {
        at[n] = c;
        x[n++] = row.dense[c];
    }
    for (int64_t e = 0; e < row.n; e++) {
        at[n] = row.col[e];
        x[n++] = row.val[e];
    }
    at[n] = (int32_t)(normal->d - 1);
    x[n++] = 1;
    return n;
}

static void slice_work(void *context, int64_t slice, int worker) {
    Normal *normal = context;
    const Learning *learning = normal->learning;
    const int64_t d = normal->d, rows = learning->design->n;
    double *gram = normal->gram + slice * d * d, *right = normal->right + slice * d;
    double *x = normal->row + slice * d;
    int32_t *at = normal->at + slice * d;
    int64_t to = slice_from(rows, normal->slices, slice + 1);
    (void)worker;
    for (int64_t i = slice_from(rows, normal->slices, slice); i < to; i++) {
        if (i % 64 == 0 && task_cancelled(learning->task)) return;
        int64_t n = spread(normal, i, x, at);
        double w = learning->labels.weight[i], y = learning->labels.value[i];
        for (int64_t a = 0; a < n; a++) {
            double *line = gram + at[a] * d, wx = w * x[a];
            right[at[a]] += wx * y;
            for (int64_t b = a; b < n; b++) line[at[b]] += wx * x[b];
        }
    }
}

/* Sparse columns of several features need not ascend within a row: both triangles count. */
static void sum_slices(Normal *normal) {
    const int64_t d = normal->d;
    for (int64_t s = 1; s < normal->slices; s++) {
        for (int64_t i = 0; i < d * d; i++) normal->gram[i] += normal->gram[s * d * d + i];
        for (int64_t i = 0; i < d; i++) normal->right[i] += normal->right[s * d + i];
    }
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = i + 1; j < d; j++) {
            normal->gram[i * d + j] += normal->gram[j * d + i];
            normal->gram[j * d + i] = 0;
        }
}

/* Where columns repeat each other, so little is added to the diagonal that what they say does not
 * change by more than a thousand-millionth. */
static Status solve(Normal *normal, LinearState *state, double l2, Err *err) {
    const size_t d = (size_t)normal->d;
    double *a = normal->gram, weight = a[d * d - 1], most = 0;
    for (size_t i = 0; i + 1 < d; i++) {
        a[i * d + i] += l2 * weight;
        most = fmax(most, a[i * d + i]);
    }
    double *copy = mem_array(d * d, sizeof *copy);
    if (!copy) return fail_nomem(err, "the normal equations");
    int failed = 1;
    for (double more = 0; failed && more<1e-4; more = more> 0 ? 100 * more : 1e-11) {
        memcpy(copy, a, d * d * sizeof *copy);
        memcpy(state->weight, normal->right, d * sizeof *state->weight);
        for (size_t i = 0; i + 1 < d; i++) copy[i * d + i] += more * most;
        failed = ordered_solve_spd(copy, state->weight, d);
    }
    mem_free(copy);
    return failed ? fail(err, ST_BADARG, "the examples do not determine a linear model") : ST_OK;
}

Status linear_fit_exact(LinearState *state, double l2, const Learning *learning, Err *err) {
    const int64_t d = (int64_t)state->dim + 1;
    Normal normal = {.learning = learning, .d = d};
    normal.slices = learn_slices(learning->design->n, d * d);
    size_t slices = (size_t)normal.slices;
    normal.gram = mem_zeros(slices, (size_t)(d * d) * sizeof *normal.gram);
    normal.right = mem_zeros(slices, (size_t)d * sizeof *normal.right);
    normal.row = mem_array(slices, (size_t)d * sizeof *normal.row);
    normal.at = mem_array(slices, (size_t)d * sizeof *normal.at);
    Status status = normal.gram && normal.right && normal.row && normal.at
        ? ST_OK
        : fail_nomem(err, "the normal equations");
    task_phase(learning->task, "summing", "slices", normal.slices, normal.slices);
    if (status == ST_OK)
        status = learn_run(learning->task, learning->design->n * d * d < 200000, normal.slices,
            slice_work, &normal, err);
    if (status == ST_OK) {
        sum_slices(&normal);
        status = solve(&normal, state, l2, err);
    }
    mem_free(normal.gram);
    mem_free(normal.right);
    mem_free(normal.row);
    mem_free(normal.at);
    return status;
}
