/* pca and gaussian: what the covariance of the columns says.
 *
 *     pca       coordinates along the directions of the largest variance (Pearson 1901); the
 *               element of a direction that is largest in size is positive
 *     gaussian  (x - mean)' C^-1 (x - mean), the squared Mahalanobis distance: how odd a row is.
 *               With d columns about d, beyond the 0.999 quantile of chi^2_d one in a thousand */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/ordered.h"
#include "learners.h"

typedef struct PcaParams {
    int64_t components;
} PcaParams;

static const OptSpec pca_options[] = {
    {"components", OPT_INT, offsetof(PcaParams, components), 1, 1000, 2, NULL, "how many"}, {0}};

typedef struct GaussianParams {
    double shrink;
} GaussianParams;

static const OptSpec gaussian_options[] = {
    {"shrink", OPT_REAL, offsetof(GaussianParams, shrink), 0, 1, 1e-3, NULL,
        "share of the mean variance that the covariance gets on its diagonal, as columns may "
        "repeat "
        "each other"},
    {0},
};

enum { MOST_COLUMNS = 2000 };

/* Rows to project on: coordinates (x - mean) . row; of an odd row the sum of their squares. */
typedef struct Projection {
    int32_t dim, n;
    int32_t is_sum;
    double *mean;   /* dim */
    double *row;    /* n x dim */
    double *centre; /* n: row . mean */
} Projection;

static void projection_free(void *state) {
    Projection *p = state;
    if (!p) return;
    mem_free(p->mean);
    mem_free(p);
}

static Projection *projection_new(int32_t dim, int32_t n, int is_sum) {
    Projection *p = mem_zeros(1, sizeof *p);
    if (!p) return NULL;
    *p = (Projection){.dim = dim, .n = n, .is_sum = is_sum};
    p->mean = mem_zeros((size_t)dim + (size_t)n * (size_t)dim + (size_t)n, sizeof *p->mean);
    if (!p->mean) {
        mem_free(p);
        return NULL;
    }
    p->row = p->mean + dim;
    p->centre = p->row + (size_t)n * (size_t)dim;
    return p;
}

static void set_centres(Projection *p) {
    for (int32_t r = 0; r < p->n; r++) {
        p->centre[r] = 0;
        for (int32_t j = 0; j < p->dim; j++)
            p->centre[r] += p->row[(size_t)r * (size_t)p->dim + (size_t)j] * p->mean[j];
    }
}

/* ---- the covariance ---- */

typedef struct Moments {
    const Learning *learning;
    int64_t d, slices;
    double *mean, *sum; /* d; slices x d x d: both triangles are filled by halves */
} Moments;

static void slice_work(void *context, int64_t slice, int worker) {
    Moments *m = context;
    const Design *design = m->learning->design;
    double *sum = m->sum + slice * m->d * m->d, *x = mem_array((size_t)m->d, sizeof *x);
    int64_t to = slice_from(design->n, m->slices, slice + 1);
    (void)worker;
    for (int64_t i = slice_from(design->n, m->slices, slice); x && i < to; i++) {
        DesignRow row = design_row(design, i);
        double w = m->learning->labels.weight[i];
        if (i % 64 == 0 && task_cancelled(m->learning->task)) break;
        for (int64_t j = 0; j < m->d; j++) x[j] = -m->mean[j];
        for (int32_t j = 0; j < row.n_dense; j++) x[j] += row.dense[j];
        for (int64_t e = 0; e < row.n; e++) x[row.col[e]] += row.val[e];
        for (int64_t a = 0; a < m->d; a++)
            for (int64_t b = a; b < m->d; b++) sum[a * m->d + b] += w * x[a] * x[b];
    }
    if (!x) sum[0] = NAN;
    mem_free(x);
}

static void find_mean(const Learning *learning, double *mean, double *all) {
    const Design *design = learning->design;
    *all = 0;
    for (int64_t i = 0; i < design->n; i++) *all += learning->labels.weight[i];
    for (int64_t i = 0; i < design->n; i++) {
        DesignRow row = design_row(design, i);
        double w = learning->labels.weight[i] / *all;
        for (int32_t j = 0; j < row.n_dense; j++) mean[j] += w * row.dense[j];
        for (int64_t e = 0; e < row.n; e++) mean[row.col[e]] += w * row.val[e];
    }
}

/* The covariance, both triangles, as float; divided by the weight times (n - 1) / n. */
static Status covariance(const Learning *learning, double *mean, float **out, Err *err) {
    Moments m = {.learning = learning, .d = learning->design->dim, .mean = mean};
    size_t d = (size_t)m.d;
    double all, n = (double)learning->design->n, spread = n > 1 ? (n - 1) / n : 1;
    if (m.d > MOST_COLUMNS)
        return fail(
            err, ST_BADARG, "a covariance of %d columns (up to %d)", (int)m.d, MOST_COLUMNS);
    find_mean(learning, mean, &all);
    m.slices = learn_slices(learning->design->n, m.d * m.d);
    m.sum = mem_zeros((size_t)m.slices, d * d * sizeof *m.sum);
    float *cov = *out = mem_zeros(d, d * sizeof *cov);
    Status status = m.sum && cov ? ST_OK : fail_nomem(err, "the covariance");
    if (status == ST_OK)
        status = learn_run(learning->task, learning->design->n * m.d * m.d < 200000, m.slices,
            slice_work, &m, err);
    for (size_t a = 0; a < d && status == ST_OK; a++)
        for (size_t b = a; b < d; b++) {
            double sum = 0;
            for (size_t s = 0; s < (size_t)m.slices; s++) sum += m.sum[s * d * d + a * d + b];
            if (isnan(sum)) status = fail_nomem(err, "the covariance");
            cov[a * d + b] = cov[b * d + a] = (float)(sum / (all * spread));
        }
    mem_free(m.sum);
    return status;
}

/* ---- both ---- */

static Status pca_train(const Learning *learning, void **out, Err *err) {
    const PcaParams *params = learning->params;
    int32_t d = learning->design->dim;
    int32_t n = params->components < d ? (int32_t)params->components : d;
    Projection *p = *out = projection_new(d, n, 0);
    float *cov = NULL, *value = mem_array((size_t)d, sizeof *value);
    Status status = p && value ? covariance(learning, p->mean, &cov, err)
                               : fail_nomem(err, "the components");
    int failed = status == ST_OK ? ordered_eigen(cov, value, (size_t)d, learning->task) : 0;
    if (failed)
        status = failed == 2 ? fail(err, ST_CANCELLED, "interrupted")
            : failed < 0     ? fail_nomem(err, "the components")
                             : fail(err, ST_BADARG, "the components do not converge");
    for (int32_t r = 0; r < n && status == ST_OK; r++) {
        const float *own = cov + (size_t)(d - 1 - r) * (size_t)d;
        int32_t most = 0;
        for (int32_t j = 1; j < d; j++)
            if (fabsf(own[j]) > fabsf(own[most])) most = j;
        for (int32_t j = 0; j < d; j++)
            p->row[(size_t)r * (size_t)d + (size_t)j] = own[most] < 0 ? -own[j] : own[j];
    }
    if (status == ST_OK) set_centres(p);
    mem_free(cov);
    mem_free(value);
    return status;
}

static Status gaussian_train(const Learning *learning, void **out, Err *err) {
    const GaussianParams *params = learning->params;
    size_t d = (size_t)learning->design->dim;
    Projection *p = *out = projection_new((int32_t)d, (int32_t)d, 1);
    float *cov = NULL;
    double trace = 0;
    Status status = p ? covariance(learning, p->mean, &cov, err)
                      : fail_nomem(err, "the covariance");
    for (size_t j = 0; j < d && status == ST_OK; j++) trace += cov[j * d + j];
    for (size_t j = 0; j < d && status == ST_OK; j++)
        cov[j * d + j] += (float)fmax(params->shrink * trace / (double)d, 1e-12);
    int failed = status == ST_OK ? ordered_inverse_factor(cov, d) : 0;
    if (failed)
        status = failed < 0
            ? fail_nomem(err, "the covariance")
            : fail(err, ST_BADARG,
                  "columns repeat each other: the covariance needs a larger shrink");
    for (size_t a = 0; a < d && status == ST_OK; a++) /* R^-1' (x - mean) */
        for (size_t b = 0; b < d; b++) p->row[b * d + a] = cov[a * d + b];
    if (status == ST_OK) set_centres(p);
    mem_free(cov);
    return status;
}

static void projection_score(const void *state, const DesignRow *row, double *out) {
    const Projection *p = state;
    double sum = 0;
    for (int32_t r = 0; r < p->n; r++) {
        const double *own = p->row + (size_t)r * (size_t)p->dim;
        double x = -p->centre[r];
        for (int32_t j = 0; j < row->n_dense; j++) x += own[j] * row->dense[j];
        for (int64_t e = 0; e < row->n; e++) x += own[row->col[e]] * row->val[e];
        if (p->is_sum) sum += x * x;
        else out[r] = x;
    }
    if (p->is_sum) *out = sum;
}

static int32_t projection_scores(const void *state) {
    const Projection *p = state;
    return p->is_sum ? 1 : p->n;
}

static Status projection_graph(const void *state, OnnxGraph *g, Err *err) {
    const Projection *p = state;
    size_t dim = (size_t)p->dim, n = (size_t)p->n;
    double *turned = mem_array(dim, n * sizeof *turned), *bias = mem_array(n, sizeof *bias);
    if (turned && bias) {
        for (size_t i = 0; i < n; i++) {
            bias[i] = -p->centre[i];
            for (size_t c = 0; c < dim; c++) turned[c * n + i] = p->row[i * dim + c];
        }
        onnx_affine(g, "xd", turned, p->dim, p->n, bias, p->is_sum ? "whitened" : "scores");
        if (p->is_sum) {
            onnx_node(g, "Mul", ONNX_IN("whitened", "whitened"), "squares");
            onnx_row_sum(g, "squares", "scores");
        }
    }
    Status status = turned && bias ? ST_OK : fail_nomem(err, "the model");
    mem_free(turned);
    mem_free(bias);
    return status;
}

static void projection_write(const void *state, Bytes *out) {
    const Projection *p = state;
    bytes_u32(out, (uint32_t)p->n);
    bytes_u32(out, (uint32_t)p->is_sum);
    bytes_append(out, p->mean, ((size_t)p->dim + (size_t)p->n * (size_t)p->dim) * sizeof *p->mean);
}

static Status projection_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err) {
    uint32_t n = read_u32(in), is_sum = read_u32(in);
    (void)n_dense;
    if (in->failed || !n || n > MOST_COLUMNS || dim > MOST_COLUMNS)
        return fail(err, ST_CORRUPT, "the components are damaged");
    Projection *p = *state = projection_new(dim, (int32_t)n, is_sum != 0);
    if (!p) return fail_nomem(err, "the components");
    size_t numbers = (size_t)dim + (size_t)n * (size_t)dim;
    const void *block = read_block(in, numbers, sizeof(double));
    if (!block) return fail(err, ST_CORRUPT, "the components are cut short");
    memcpy(p->mean, block, numbers * sizeof(double));
    set_centres(p);
    return ST_OK;
}

static size_t projection_memory(const void *state) {
    const Projection *p = state;
    return ((size_t)p->n + 1) * (size_t)p->dim * sizeof(double);
}

#define PROJECTION_METHODS \
    .score = projection_score, .n_scores = projection_scores, .graph = projection_graph, \
    .write = projection_write, .read = projection_read, .free_state = projection_free, \
    .memory = projection_memory

const Learner pca_learner = {
    .name = "pca",
    .summary = "directions of the largest variance",
    .tasks = 1u << LEARN_COMPONENTS,
    .options = pca_options,
    .params_size = sizeof(PcaParams),
    .train = pca_train,
    PROJECTION_METHODS,
};

const Learner gaussian_learner = {
    .name = "gaussian",
    .summary = "how odd a row is",
    .tasks = 1u << LEARN_ANOMALY,
    .options = gaussian_options,
    .params_size = sizeof(GaussianParams),
    .train = gaussian_train,
    PROJECTION_METHODS,
};
