/* naive_bayes: classes by Bayes's rule with columns taken as independent.
 *
 *     dense columns   normal, of a mean and variance a class; `smoothing` times the largest
 *                     variance is added to all (scikit-learn GaussianNB)
 *     sparse columns  multinomial: (alpha + sum of the column in the class) over that of all sparse
 *                     columns (MultinomialNB)
 *
 * A score is ln P(class) + ln P(row | class), of two classes the second's less the first's. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../base/memory.h"
#include "learners.h"

typedef struct BayesParams {
    double alpha, smoothing;
} BayesParams;

static const OptSpec bayes_options[] = {
    {"alpha", OPT_REAL, offsetof(BayesParams, alpha), 1e-10, 1e6, 1, NULL,
        "added to what is counted of each sparse column"},
    {"smoothing", OPT_REAL, offsetof(BayesParams, smoothing), 0, 1, 1e-9, NULL,
        "of the largest variance, added to all"},
    {0},
};

typedef struct Bayes {
    int64_t dim, n_dense, k; /* k classes; of products, which may be large */
    double *prior;           /* k: logarithms */
    double *mean, *variance; /* k x n_dense */
    double *weight;          /* (dim - n_dense) x k: logarithms */
    double *constant;        /* k: what the normals have in common */
} Bayes;

static void bayes_free(void *state) {
    Bayes *bayes = state;
    if (!bayes) return;
    mem_free(bayes->prior);
    mem_free(bayes);
}

static size_t bayes_size(const Bayes *b) {
    size_t k = (size_t)b->k, dense = (size_t)b->n_dense, sparse = (size_t)(b->dim - b->n_dense);
    return k + 2 * k * dense + sparse * k;
}

static Bayes *bayes_new(int32_t dim, int32_t n_dense, int32_t k) {
    Bayes *b = mem_zeros(1, sizeof *b);
    if (!b) return NULL;
    *b = (Bayes){.dim = dim, .n_dense = n_dense, .k = k};
    b->prior = mem_zeros(bayes_size(b) + (size_t)k, sizeof *b->prior);
    if (!b->prior) {
        mem_free(b);
        return NULL;
    }
    b->mean = b->prior + k;
    b->variance = b->mean + (size_t)k * (size_t)n_dense;
    b->weight = b->variance + (size_t)k * (size_t)n_dense;
    b->constant = b->prior + bayes_size(b);
    return b;
}

static void set_constants(Bayes *b) {
    for (int32_t c = 0; c < b->k; c++) {
        b->constant[c] = b->prior[c];
        for (int64_t j = 0; j < b->n_dense; j++)
            b->constant[c] -= .5 *
                log(2 * 3.14159265358979323846 * b->variance[c * b->n_dense + j]);
    }
}

/* Means and variances of the classes, in two passes. */
static void fit_normals(Bayes *b, const Learning *learning, const double *own, double smoothing) {
    const Design *design = learning->design;
    const Labels *labels = &learning->labels;
    int64_t d = b->n_dense;
    double most = 0, all = 0;
    for (int64_t i = 0; i < design->n; i++)
        for (int64_t j = 0; j < d; j++)
            b->mean[labels->class_of[i] * d + j] += labels->weight[i] * design->dense[i * d + j] /
                own[labels->class_of[i]];
    for (int64_t i = 0; i < design->n; i++)
        for (int64_t j = 0; j < d; j++) {
            int64_t at = labels->class_of[i] * d + j;
            double off = design->dense[i * d + j] - b->mean[at];
            b->variance[at] += labels->weight[i] * off * off / own[labels->class_of[i]];
        }
    for (int32_t c = 0; c < b->k; c++) all += own[c];
    for (int64_t j = 0; j < d; j++) { /* of the column over all classes */
        double mean = 0, square = 0;
        for (int32_t c = 0; c < b->k; c++) mean += own[c] / all * b->mean[c * d + j];
        for (int32_t c = 0; c < b->k; c++) {
            double off = b->mean[c * d + j] - mean;
            square += own[c] / all * (b->variance[c * d + j] + off * off);
        }
        most = fmax(most, square);
    }
    for (int64_t at = 0; at < b->k * d; at++) b->variance[at] += fmax(smoothing * most, 1e-300);
}

static void fit_counts(Bayes *b, const Learning *learning, double alpha) {
    const Design *design = learning->design;
    int64_t sparse = b->dim - b->n_dense;
    for (int64_t i = 0; i < design->n; i++) {
        DesignRow row = design_row(design, i);
        for (int64_t e = 0; e < row.n; e++)
            b->weight[(row.col[e] - b->n_dense) * b->k + learning->labels.class_of[i]] +=
                learning->labels.weight[i] * row.val[e];
    }
    for (int32_t c = 0; c < b->k; c++) {
        double sum = 0;
        for (int64_t j = 0; j < sparse; j++) sum += b->weight[j * b->k + c] + alpha;
        for (int64_t j = 0; j < sparse; j++) {
            double *own = &b->weight[j * b->k + c];
            *own = log((*own + alpha) / sum);
        }
    }
}

/* tf-idf, indicators and bins are never negative; only a sparse day of a timestamp is. */
static Status check_counts(const Design *design, Err *err) {
    for (int64_t e = 0; e < csr_nnz(&design->sparse); e++)
        if (design->sparse.val[e] < 0)
            return fail(err, ST_BADARG,
                "naive_bayes counts: a timestamp's days can be negative (make its parts columns)");
    return ST_OK;
}

static Status bayes_train(const Learning *learning, void **out, Err *err) {
    const BayesParams *params = learning->params;
    const Design *design = learning->design;
    const Labels *labels = &learning->labels;
    int32_t k = labels->n_classes;
    double *own = mem_zeros((size_t)k, sizeof *own), all = 0;
    Bayes *b = *out = own ? bayes_new(design->dim, design->n_dense, k) : NULL;
    Status status = b ? check_counts(design, err) : fail_nomem(err, "the classes");
    if (status == ST_OK) {
        for (int64_t i = 0; i < design->n; i++) own[labels->class_of[i]] += labels->weight[i];
        for (int32_t c = 0; c < k; c++) all += own[c];
        for (int32_t c = 0; c < k; c++) b->prior[c] = log(fmax(own[c] / all, 1e-300));
        fit_normals(b, learning, own, params->smoothing);
        fit_counts(b, learning, params->alpha);
        set_constants(b);
    }
    mem_free(own);
    return status;
}

static double likelihood(const Bayes *b, const DesignRow *row, int32_t c) {
    double sum = b->constant[c];
    for (int64_t j = 0; j < b->n_dense; j++) {
        double off = row->dense[j] - b->mean[c * b->n_dense + j];
        sum -= off * off / (2 * b->variance[c * b->n_dense + j]);
    }
    for (int64_t e = 0; e < row->n; e++)
        sum += b->weight[(row->col[e] - b->n_dense) * b->k + c] * row->val[e];
    return sum;
}

static void bayes_score(const void *state, const DesignRow *row, double *out) {
    const Bayes *b = state;
    if (b->k == 2) *out = likelihood(b, row, 1) - likelihood(b, row, 0);
    else
        for (int32_t c = 0; c < b->k; c++) out[c] = likelihood(b, row, c);
}

static int32_t bayes_scores(const void *state) {
    const Bayes *b = state;
    return b->k == 2 ? 1 : (int32_t)b->k;
}

/* A sum over columns by its form. */
static Status bayes_explain(
    const void *state, const DesignRow *row, int32_t score, double *part, double *base, Err *err) {
    const Bayes *b = state;
    int32_t last = b->k == 2 ? 1 : score;
    (void)err;
    *base = 0;
    for (int32_t c = b->k == 2 ? 0 : score; c <= last; c++) {
        double sign = b->k == 2 && c == 0 ? -1 : 1;
        *base += sign * b->constant[c];
        for (int64_t j = 0; j < b->n_dense; j++) {
            double off = row->dense[j] - b->mean[c * b->n_dense + j];
            part[j] -= sign * off * off / (2 * b->variance[c * b->n_dense + j]);
        }
        for (int64_t e = 0; e < row->n; e++)
            part[row->col[e]] += sign * b->weight[(row->col[e] - b->n_dense) * b->k + c] *
                row->val[e];
    }
    return ST_OK;
}

/* Columns of the classes (of two the difference): constant + x b + x^2 a, with a = -1 / 2v, b = m /
 * v of dense columns and b the weight of sparse ones. */
static void fill_graph(const Bayes *b, double *a, double *linear, double *bias) {
    int64_t columns = bayes_scores(b), sparse = b->dim - b->n_dense;
    for (int64_t c = 0; c < b->k; c++) {
        double sign = b->k == 2 && c == 0 ? -1 : 1;
        int64_t to = b->k == 2 ? 0 : c;
        bias[to] += sign * b->constant[c];
        for (int64_t j = 0; j < b->n_dense; j++) {
            double m = b->mean[c * b->n_dense + j], v = b->variance[c * b->n_dense + j];
            bias[to] -= sign * m * m / (2 * v);
            linear[j * columns + to] += sign * m / v;
            a[j * columns + to] -= sign / (2 * v);
        }
        for (int64_t j = 0; j < sparse; j++)
            linear[(b->n_dense + j) * columns + to] += sign * b->weight[j * b->k + c];
    }
}

static Status bayes_graph(const void *state, OnnxGraph *g, Err *err) {
    const Bayes *b = state;
    size_t columns = (size_t)bayes_scores(b), size = (size_t)b->dim * columns;
    double *numbers = mem_zeros(2 * size + 2 * columns, sizeof *numbers);
    if (!numbers) return fail_nomem(err, "the model");
    double *a = numbers, *linear = a + size, *bias = linear + size, *zeros = bias + columns;
    fill_graph(b, a, linear, bias);
    onnx_node(g, "Mul", ONNX_IN("xd", "xd"), "x_square");
    onnx_affine(g, "x_square", a, b->dim, (int64_t)columns, zeros, "curved");
    onnx_affine(g, "xd", linear, b->dim, (int64_t)columns, bias, "straight");
    onnx_node(g, "Add", ONNX_IN("curved", "straight"), "scores");
    mem_free(numbers);
    return ST_OK;
}

static void bayes_write(const void *state, Bytes *out) {
    const Bayes *b = state;
    bytes_u32(out, (uint32_t)b->k);
    bytes_append(out, b->prior, bayes_size(b) * sizeof *b->prior);
}

static Status bayes_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err) {
    uint32_t k = read_u32(in);
    if (in->failed || k < 2 || k > 10000) return fail(err, ST_CORRUPT, "the classes are damaged");
    Bayes *b = *state = bayes_new(dim, n_dense, (int32_t)k);
    if (!b) return fail_nomem(err, "the classes");
    const void *numbers = read_block(in, bayes_size(b), sizeof(double));
    if (!numbers) return fail(err, ST_CORRUPT, "the classes are cut short");
    memcpy(b->prior, numbers, bayes_size(b) * sizeof(double));
    set_constants(b);
    return ST_OK;
}

static size_t bayes_memory(const void *state) {
    return bayes_size(state) * sizeof(double) + sizeof(Bayes);
}

const Learner naive_bayes_learner = {
    .name = "naive_bayes",
    .summary = "classes by independent columns",
    .tasks = 1u << LEARN_CLASSES,
    .options = bayes_options,
    .params_size = sizeof(BayesParams),
    .space = "{\"alpha\":{\"min\":0.001,\"max\":10,\"log\":true}}",
    .train = bayes_train,
    .score = bayes_score,
    .n_scores = bayes_scores,
    .explain = bayes_explain,
    .graph = bayes_graph,
    .write = bayes_write,
    .read = bayes_read,
    .free_state = bayes_free,
    .memory = bayes_memory,
};
