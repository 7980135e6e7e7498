/* kernel_svm: support vectors with a kernel (Boser, Guyon and Vapnik 1992; Cortes and Vapnik 1995),
 * by SMO (smo.h): what LIBSVM and scikit-learn's SVC and SVR solve, more than two classes each
 * against the rest.
 *
 *     score = sum_i coef_i k(x_i, x) - rho
 *     rbf     k = exp(-gamma |x - z|^2)
 *     poly    k = (gamma <x, z> + 1)^degree
 *     linear  k = <x, z>
 *
 * All kernels of pairs are kept while it learns, n^2 floats: MOST_EXAMPLES of them take 1.6 GB. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "../math/product.h"
#include "centres.h"
#include "learners.h"
#include "losses.h"
#include "smo.h"

typedef struct KernelParams {
    double c, gamma, epsilon, tolerance;
    int64_t kernel, degree;
} KernelParams;
enum { KERNEL_RBF, KERNEL_POLY, KERNEL_LINEAR };
enum { MOST_EXAMPLES = 20000, ROWS = 32 };

static const OptSpec kernel_options[] = {
    {"c", OPT_REAL, offsetof(KernelParams, c), 1e-9, 1e9, 1, NULL,
        "how much a loss costs beside the weights"},
    {"kernel", OPT_CHOICE, offsetof(KernelParams, kernel), 0, 0, KERNEL_RBF, "rbf|poly|linear",
        "how alike two rows are"},
    {"gamma", OPT_REAL, offsetof(KernelParams, gamma), 0, 1e9, 0, NULL,
        "of rbf and poly; 0: 1 / (columns * variance of all numbers)"},
    {"degree", OPT_INT, offsetof(KernelParams, degree), 1, 10, 3, NULL, "of poly"},
    {"epsilon", OPT_REAL, offsetof(KernelParams, epsilon), 0, 1e9, .1, NULL,
        "of numbers: errors up to so many of their standard deviations cost nothing"},
    {"tolerance", OPT_REAL, offsetof(KernelParams, tolerance), 1e-9, 1, 1e-3, NULL,
        "the violation at which it ends"},
    {0},
};

typedef struct KernelSvm {
    KernelParams params; /* gamma as it was found */
    int32_t n_scores;
    double shift, scale; /* of numbers */
    Points points;       /* the support vectors */
    float *coef;         /* points.n x n_scores */
    double *rho;         /* n_scores */
} KernelSvm;

static void kernel_free(void *state) {
    KernelSvm *svm = state;
    if (!svm) return;
    points_clear(&svm->points);
    mem_free(svm->coef);
    mem_free(svm->rho);
    mem_free(svm);
}

/* By the inner product and the squared distance of two rows. */
static double kernel_of(const KernelParams *p, double product, double distance) {
    if (p->kernel == KERNEL_LINEAR) return product;
    if (p->kernel == KERNEL_RBF) return exp(-p->gamma * fmax(distance, 0));
    double base = p->gamma * product + 1, power = 1;
    for (int64_t i = 0; i < p->degree; i++) power *= base;
    return power;
}

static void kernel_score(const void *state, const DesignRow *row, double *out) {
    const KernelSvm *svm = state;
    double norm = design_row_norm(row);
    for (int32_t s = 0; s < svm->n_scores; s++) out[s] = -svm->rho[s];
    for (int32_t i = 0; i < svm->points.n; i++) {
        double distance = points_distance(&svm->points, i, row, norm);
        double k = kernel_of(&svm->params, (svm->points.norm[i] + norm - distance) / 2, distance);
        for (int32_t s = 0; s < svm->n_scores; s++)
            out[s] += (double)svm->coef[(int64_t)i * svm->n_scores + s] * k;
    }
    for (int32_t s = 0; s < svm->n_scores; s++) out[s] = svm->shift + svm->scale * out[s];
}

static int32_t kernel_scores(const void *state) { return ((const KernelSvm *)state)->n_scores; }

/* ---- learning ---- */

typedef struct Fitting {
    const Learning *learning;
    KernelSvm *svm;
    Standardised own;
    int64_t n;        /* examples */
    int32_t dim;      /* up16 */
    float *x;         /* n x dim */
    double *norm;     /* n */
    float *kernel;    /* n x n */
    double *signed_a; /* n_scores x n: y_i a_i */
    TaskFailure failure;
} Fitting;

static void row_work(void *context, int64_t piece, int worker) {
    Fitting *f = context;
    int64_t to = (piece + 1) * ROWS < f->n ? (piece + 1) * ROWS : f->n;
    (void)worker;
    for (int64_t i = piece * ROWS; i < to; i++) {
        const float *x = f->x + i * f->dim;
        if (task_cancelled(f->learning->task)) return;
        for (int64_t j = 0; j <= i; j++) {
            double product = kernels()->dot(x, f->x + j * f->dim, (size_t)f->dim);
            f->kernel[i * f->n + j] = (float)kernel_of(
                &f->svm->params, product, f->norm[i] + f->norm[j] - 2 * product);
        }
    }
}

static Status make_kernel(Fitting *f, Err *err) {
    Task *task = f->learning->task;
    int64_t pieces = (f->n + ROWS - 1) / ROWS;
    TRY(design_matrix(f->learning->design, &f->x, err));
    f->dim = (int32_t)up16((size_t)f->learning->design->dim);
    f->norm = mem_array((size_t)f->n, sizeof *f->norm);
    f->kernel = mem_array((size_t)f->n, (size_t)f->n * sizeof *f->kernel);
    if (!f->norm || !f->kernel) return fail_nomem(err, "the kernel");
    double sum = 0, square = 0;
    const double numbers = (double)f->n * f->learning->design->dim;
    for (int64_t i = 0; i < f->n; i++) {
        const float *x = f->x + i * f->dim;
        f->norm[i] = kernels()->dot(x, x, (size_t)f->dim);
        square += f->norm[i];
        for (int32_t c = 0; c < f->learning->design->dim; c++) sum += x[c];
    }
    double variance = square / numbers - sum / numbers * (sum / numbers);
    if (f->svm->params.gamma == 0)
        f->svm->params.gamma = variance > 0 ? 1 / (f->learning->design->dim * variance) : 1;
    task_phase(task, "pairs", "rows", f->n, pieces);
    TRY(learn_run(task, f->n < 200, pieces, row_work, f, err));
    for (int64_t i = 0; i < f->n; i++)
        for (int64_t j = 0; j < i; j++) f->kernel[j * f->n + i] = f->kernel[i * f->n + j];
    return ST_OK;
}

/* One score's problem. Of numbers example i has two variables, i and n + i: how far the truth may
 * lie above and below. */
typedef struct Problem {
    int64_t n;
    int8_t *y;
    double *p, *c, *a;
} Problem;

static void pose(const Fitting *f, int32_t score, Problem *problem) {
    const Labels *labels = &f->own.labels;
    const KernelParams *params = &f->svm->params;
    for (int64_t t = 0; t < problem->n; t++) {
        int64_t i = t % f->n;
        problem->c[t] = params->c * labels->weight[i];
        if (labels->task == LEARN_CLASSES) {
            problem->y[t] = labels->class_of[i] == (f->svm->n_scores == 1 ? 1 : score) ? 1 : -1;
            problem->p[t] = -1;
        } else {
            problem->y[t] = t < f->n ? 1 : -1;
            problem->p[t] = params->epsilon - problem->y[t] * labels->value[i];
        }
    }
}

static Status solve(Fitting *f, int32_t score, Err *err) {
    size_t n = (size_t)f->n * (f->own.labels.task == LEARN_CLASSES ? 1 : 2);
    Problem problem = {(int64_t)n, mem_array(n, 1), mem_array(n, sizeof(double)),
        mem_array(n, sizeof(double)), mem_array(n, sizeof(double))};
    Status status = problem.y && problem.p && problem.c && problem.a
        ? ST_OK
        : fail_nomem(err, "the solver");
    if (status == ST_OK) {
        pose(f, score, &problem);
        Smo smo = {.n = problem.n,
            .n_examples = f->n,
            .kernel = f->kernel,
            .kernel_row = (size_t)f->n,
            .y = problem.y,
            .p = problem.p,
            .c = problem.c,
            .tolerance = f->svm->params.tolerance,
            .most_steps = 100 * problem.n > 10000000 ? 100 * problem.n : 10000000};
        status = smo_solve(&smo, problem.a, &f->svm->rho[score], f->learning->task, err);
    }
    for (int64_t t = 0; t < problem.n && status == ST_OK; t++)
        f->signed_a[score * f->n + t % f->n] += problem.y[t] * problem.a[t];
    mem_free(problem.y);
    mem_free(problem.p);
    mem_free(problem.c);
    mem_free(problem.a);
    return status;
}

static void score_work(void *context, int64_t score, int worker) {
    Fitting *f = context;
    Err err = {0};
    (void)worker;
    task_failure_note(&f->failure, solve(f, (int32_t)score, &err), &err);
}

/* Examples that have a weight in any score. */
static Status keep_vectors(Fitting *f, Err *err) {
    KernelSvm *svm = f->svm;
    int32_t kept = 0, scores = svm->n_scores;
    svm->coef = mem_array((size_t)f->n, (size_t)scores * sizeof *svm->coef);
    if (!svm->coef) return fail_nomem(err, "the support vectors");
    for (int64_t i = 0; i < f->n; i++) {
        int any = 0;
        for (int32_t s = 0; s < scores; s++) {
            double a = f->signed_a[s * f->n + i];
            any |= a != 0;
            svm->coef[(int64_t)kept * scores + s] = (float)a;
        }
        if (!any && !(kept == 0 && i + 1 == f->n)) continue; /* one at least, if of no weight */
        memmove(f->x + (int64_t)kept * f->dim, f->x + i * f->dim, (size_t)f->dim * sizeof *f->x);
        kept++;
    }
    return points_init(&svm->points, f->x, kept, f->learning->design->dim, err);
}

static Status fit(Fitting *f, Err *err) {
    int32_t scores = f->svm->n_scores;
    if (f->n > MOST_EXAMPLES)
        return fail(err, ST_BADARG,
            "kernel_svm looks at all pairs of examples, of %d at most (%lld): svm, boosting, or a "
            "sample",
            MOST_EXAMPLES, (long long)f->n);
    TRY(labels_standardise(&f->own, &f->learning->labels, f->n, err));
    f->svm->shift = f->own.shift;
    f->svm->scale = f->own.scale;
    f->svm->rho = mem_zeros((size_t)scores, sizeof *f->svm->rho);
    f->signed_a = mem_zeros((size_t)scores, (size_t)f->n * sizeof *f->signed_a);
    if (!f->svm->rho || !f->signed_a) return fail_nomem(err, "the support vectors");
    TRY(make_kernel(f, err));
    task_phase(f->learning->task, "support vectors", "scores", scores, scores);
    TRY(task_failure(&f->failure, task_run(f->learning->task, scores, score_work, f, err), err));
    return keep_vectors(f, err);
}

static Status kernel_train(const Learning *learning, void **out, Err *err) {
    KernelSvm *svm = *out = mem_zeros(1, sizeof *svm);
    if (!svm) return fail_nomem(err, "the support vectors");
    svm->params = *(const KernelParams *)learning->params;
    svm->n_scores = labels_scores(&learning->labels);
    Fitting f = {.learning = learning, .svm = svm, .n = learning->design->n};
    Status status = fit(&f, err);
    mem_free(f.own.value);
    mem_free(f.x);
    mem_free(f.norm);
    mem_free(f.kernel);
    mem_free(f.signed_a);
    return status;
}

/* ---- as ONNX ---- */

static void kernel_graph_of(const KernelParams *p, OnnxGraph *g) {
    if (p->kernel == KERNEL_LINEAR) {
        onnx_node(g, "Identity", ONNX_IN("inner"), "kernel");
    } else if (p->kernel == KERNEL_RBF) {
        onnx_number(g, "gamma", -p->gamma);
        onnx_node(g, "Mul", ONNX_IN("distance_square", "gamma"), "exponent");
        onnx_node(g, "Exp", ONNX_IN("exponent"), "kernel");
    } else {
        onnx_number(g, "gamma", p->gamma);
        onnx_number(g, "one_more", 1);
        onnx_number(g, "degree", (double)p->degree);
        onnx_node(g, "Mul", ONNX_IN("inner", "gamma"), "alike");
        onnx_node(g, "Add", ONNX_IN("alike", "one_more"), "power_base");
        onnx_node(g, "Pow", ONNX_IN("power_base", "degree"), "kernel");
    }
}

static Status kernel_svm_graph(const void *state, OnnxGraph *g, Err *err) {
    const KernelSvm *svm = state;
    size_t n = (size_t)svm->points.n, k = (size_t)svm->n_scores;
    double *coef = mem_array(n, k * sizeof *coef), *bias = mem_array(k, sizeof *bias);
    Status status = coef && bias ? points_graph(&svm->points, g, "distance_square", err)
                                 : fail_nomem(err, "the model");
    if (status == ST_OK) {
        for (size_t i = 0; i < n * k; i++) coef[i] = svm->scale * (double)svm->coef[i];
        for (size_t s = 0; s < k; s++) bias[s] = svm->shift - svm->scale * svm->rho[s];
        kernel_graph_of(&svm->params, g);
        onnx_affine(g, "kernel", coef, svm->points.n, svm->n_scores, bias, "scores");
    }
    mem_free(coef);
    mem_free(bias);
    return status;
}

/* ---- stored form ---- */

static void kernel_write(const void *state, Bytes *out) {
    const KernelSvm *svm = state;
    options_write(kernel_options, &svm->params, out);
    bytes_u32(out, (uint32_t)svm->n_scores);
    bytes_f64(out, svm->shift);
    bytes_f64(out, svm->scale);
    points_write(&svm->points, out);
    bytes_append(out, svm->coef, (size_t)svm->points.n * (size_t)svm->n_scores * sizeof *svm->coef);
    for (int32_t s = 0; s < svm->n_scores; s++) bytes_f64(out, svm->rho[s]);
}

static Status kernel_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err) {
    KernelSvm *svm = *state = mem_zeros(1, sizeof *svm);
    (void)n_dense;
    if (!svm) return fail_nomem(err, "the support vectors");
    TRY(options_read(kernel_options, &svm->params, in, err));
    uint32_t scores = read_u32(in);
    svm->shift = read_f64(in);
    svm->scale = read_f64(in);
    if (in->failed || !scores || scores > 100000)
        return fail(err, ST_CORRUPT, "the support vectors are damaged");
    svm->n_scores = (int32_t)scores;
    TRY(points_read(&svm->points, dim, in, err));
    size_t n = (size_t)svm->points.n * scores;
    const void *coef = read_block(in, n, sizeof *svm->coef);
    if (!coef) return fail(err, ST_CORRUPT, "the support vectors are cut short");
    svm->coef = mem_array(n, sizeof *svm->coef);
    svm->rho = mem_array(scores, sizeof *svm->rho);
    if (!svm->coef || !svm->rho) return fail_nomem(err, "the support vectors");
    memcpy(svm->coef, coef, n * sizeof *svm->coef);
    for (uint32_t s = 0; s < scores; s++) svm->rho[s] = read_f64(in);
    return in->failed ? fail(err, ST_CORRUPT, "the support vectors are cut short") : ST_OK;
}

static size_t kernel_memory(const void *state) {
    const KernelSvm *svm = state;
    return sizeof *svm + points_memory(&svm->points) +
        (size_t)svm->points.n * (size_t)svm->n_scores * sizeof *svm->coef;
}

const Learner kernel_svm_learner = {
    .name = "kernel_svm",
    .summary = "support vectors with a kernel",
    .tasks = 1u << LEARN_NUMBER | 1u << LEARN_CLASSES,
    .scores_are_margins = 1,
    .options = kernel_options,
    .params_size = sizeof(KernelParams),
    .space = "{\"c\":{\"min\":0.1,\"max\":100,\"log\":true},"
             "\"gamma\":{\"min\":0.001,\"max\":10,\"log\":true}}",
    .train = kernel_train,
    .score = kernel_score,
    .n_scores = kernel_scores,
    .graph = kernel_svm_graph,
    .write = kernel_write,
    .read = kernel_read,
    .free_state = kernel_free,
    .memory = kernel_memory,
};
