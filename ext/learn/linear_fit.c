/* Fitting a linear model by its gradient. Sums go over slices of the rows (learner.h). */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "descent.h"
#include "linear_state.h"

typedef struct Fitting {
    const LinearFit *fit;
    const Learning *learning;
    LinearState *state;
    const double *x; /* the weights that are looked at */
    double weight_sum;
    int64_t slices, n;
    double *gradient; /* slices x n */
    double *value;    /* slices */
    double *scores;   /* slices x n_scores */
} Fitting;

/* gradient += the row's part, of its derivatives by the scores. */
static void add_row(
    const Fitting *f, const DesignRow *row, const double *by_score, double w, double *gradient) {
    const int32_t k = f->state->n_scores;
    double *to = gradient;
    for (int32_t i = 0; i < row->n_dense; i++, to += k)
        for (int32_t s = 0; s < k; s++) to[s] += w * by_score[s] * row->dense[i];
    for (int64_t e = 0; e < row->n; e++) {
        to = gradient + (size_t)row->col[e] * (size_t)k;
        for (int32_t s = 0; s < k; s++) to[s] += w * by_score[s] * row->val[e];
    }
    to = gradient + (size_t)f->state->dim * (size_t)k;
    for (int32_t s = 0; s < k; s++) to[s] += w * by_score[s];
}

static void slice_work(void *context, int64_t slice, int worker) {
    Fitting *f = context;
    const Design *design = f->learning->design;
    double *gradient = f->gradient + slice * f->n, value = 0;
    double *score = f->scores + slice * f->state->n_scores;
    LinearState at = *f->state;
    (void)worker;
    at.weight = (double *)(uintptr_t)f->x;
    memset(gradient, 0, (size_t)f->n * sizeof *gradient);
    int64_t to = slice_from(design->n, f->slices, slice + 1);
    for (int64_t i = slice_from(design->n, f->slices, slice); i < to; i++) {
        double w = f->learning->labels.weight[i];
        DesignRow row = design_row(design, i);
        if (i % 256 == 0 && task_cancelled(f->learning->task)) return;
        linear_state_score(&at, &row, score);
        value += w * loss_of_row(f->fit->loss, &f->learning->labels, i, score, f->state->n_scores);
        add_row(f, &row, score, w, gradient);
    }
    f->value[slice] = value;
}

static Status evaluate(void *context, const double *x, double *value, double *gradient, Err *err) {
    Fitting *f = context;
    const int64_t penalised = (int64_t)f->state->dim * f->state->n_scores;
    int64_t work = f->learning->design->n * f->learning->design->n_dense +
        csr_nnz(&f->learning->design->sparse);
    f->x = x;
    TRY(learn_run(
        f->learning->task, work * f->state->n_scores < 200000, f->slices, slice_work, f, err));
    double sum = 0, square = 0;
    memset(gradient, 0, (size_t)f->n * sizeof *gradient);
    for (int64_t s = 0; s < f->slices; s++) {
        sum += f->value[s];
        for (int64_t i = 0; i < f->n; i++) gradient[i] += f->gradient[s * f->n + i];
    }
    for (int64_t i = 0; i < f->n; i++) gradient[i] /= f->weight_sum;
    for (int64_t i = 0; i < penalised; i++) {
        gradient[i] += f->fit->l2 * x[i];
        square += x[i] * x[i];
    }
    *value = sum / f->weight_sum + f->fit->l2 / 2 * square;
    return ST_OK;
}

static Status note_step(void *context, int64_t step, double value, int *stop, Err *err) {
    Fitting *f = context;
    (void)stop;
    atomic_store(&f->learning->task->done, step);
    return learn_log_add(f->learning->log, (double)step, value, NAN, err);
}

/* 1 / the largest second derivative: of the squared loss the largest eigenvalue of X'X / n, by 30
 * steps of the power method, a tenth more to be above it. Gradients are differences of those at x
 * and 0, as f' is linear. */
static Status steepness(Fitting *f, double *out, Err *err) {
    double *v = mem_array((size_t)f->n, 3 * sizeof *v), *zero = v + f->n, *g = v + 2 * f->n;
    double value, norm = 0;
    if (!v) return fail_nomem(err, "the solver");
    for (int64_t i = 0; i < f->n; i++) v[i] = 1, g[i] = 0;
    Status status = evaluate(f, g, &value, zero, err);
    for (int step = 0; step < 30 && status == ST_OK; step++) {
        norm = 0;
        for (int64_t i = 0; i < f->n; i++) norm += v[i] * v[i];
        norm = sqrt(norm);
        if (!(norm > 0)) break;
        for (int64_t i = 0; i < f->n; i++) v[i] /= norm;
        status = evaluate(f, v, &value, g, err);
        for (int64_t i = 0; i < f->n; i++) v[i] = g[i] - zero[i];
    }
    *out = 1.1 * (norm > 0 ? norm : 1);
    mem_free(v);
    return status;
}

static Status run(Fitting *f, Err *err) {
    Descent descent = {.context = f,
        .evaluate = evaluate,
        .note = note_step,
        .n = f->n,
        .most_steps = f->fit->steps,
        .tolerance = f->fit->tolerance,
        .l1 = f->fit->l1,
        .n_l1 = (int64_t)f->state->dim * f->state->n_scores};
    double steep = 1;
    task_phase(f->learning->task, "descending", "steps", f->fit->steps, f->fit->steps);
    if (!f->fit->descent) return descent_lbfgs(&descent, f->state->weight, err);
    TRY(steepness(f, &steep, err));
    return descent_gradient(&descent, f->state->weight, 1 / steep, err);
}

Status linear_fit(LinearState *state, const LinearFit *fit, const Learning *learning, Err *err) {
    Fitting f = {.fit = fit, .learning = learning, .state = state, .n = linear_state_size(state)};
    f.slices = learn_slices(learning->design->n, f.n);
    for (int64_t i = 0; i < learning->design->n; i++) f.weight_sum += learning->labels.weight[i];
    f.gradient = mem_array((size_t)f.slices, (size_t)f.n * sizeof *f.gradient);
    f.value = mem_zeros((size_t)f.slices, sizeof *f.value);
    f.scores = mem_array((size_t)f.slices, (size_t)state->n_scores * sizeof *f.scores);
    Status status = f.gradient && f.value && f.scores ? run(&f, err)
                                                      : fail_nomem(err, "the solver");
    mem_free(f.gradient);
    mem_free(f.value);
    mem_free(f.scores);
    return status;
}
