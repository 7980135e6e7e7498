/* factorization_machine: a linear score and one for every pair of columns (Rendle 2010),
 *
 *     s = b + sum_i w_i x_i + sum_{i < j} <v_i, v_j> x_i x_j
 *       = b + sum_i w_i x_i + 1/2 sum_f [(sum_i v_if x_i)^2 - sum_i (v_if x_i)^2]
 *
 * so that a pair that no example had is known by what its two columns did with others. Minimises
 * sum weight loss + l2_linear / 2 |w|^2 + l2 / 2 |v|^2 by L-BFGS (descent.h), stopped by the
 * examples that judge; numbers are standardised meanwhile. Of K > 2 classes w and v are a set
 * each. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../base/text.h"
#include "descent.h"
#include "learners.h"
#include "losses.h"
#include "patience.h"
#include "weights.h"

typedef struct MachineParams {
    int64_t factors, steps, patience, weights;
    double l2, l2_linear;
} MachineParams;
enum { MOST_FACTORS = 256 };

static const OptSpec machine_options[] = {
    {"factors", OPT_INT, offsetof(MachineParams, factors), 1, MOST_FACTORS, 8, NULL,
        "numbers that a column has for its pairs"},
    {"l2", OPT_REAL, offsetof(MachineParams, l2), 0, 1e9, 10, NULL,
        "how much those numbers cost beside the losses"},
    {"l2_linear", OPT_REAL, offsetof(MachineParams, l2_linear), 0, 1e9, 1, NULL,
        "how much the linear weights cost"},
    {"steps", OPT_INT, offsetof(MachineParams, steps), 1, 1e9, 200, NULL,
        "of L-BFGS: at most so many"},
    {"patience", OPT_INT, offsetof(MachineParams, patience), 0, 1e6, 10, NULL,
        "stop after so many steps in which the examples that judge did not get better, and keep "
        "the best; 0: never"},
    WEIGHTS_OPTION(MachineParams),
    {0},
};

/* Numbers in one array: dim x n_scores linear weights, n_scores biases, then dim x n_scores x
 * factors. */
typedef struct Machine {
    int32_t dim, n_scores, factors;
    WeightsKind kind;
    int64_t steps; /* that it took */
    double shift, scale;
    float *weight;
} Machine;

static int64_t linear_size(const Machine *m) { return ((int64_t)m->dim + 1) * m->n_scores; }
static int64_t machine_size(const Machine *m) {
    return linear_size(m) + (int64_t)m->dim * m->n_scores * m->factors;
}
static const float *factors_of(const Machine *m, int32_t column, int32_t score) {
    return m->weight + linear_size(m) + ((int64_t)column * m->n_scores + score) * m->factors;
}

static void machine_free(void *state) {
    Machine *m = state;
    if (!m) return;
    mem_free(m->weight);
    mem_free(m);
}

/* ---- a row ---- */

/* An entry of a row, dense ones first; those that are 0 give nothing. */
static int entry_of(const DesignRow *row, int64_t at, int32_t *column, float *x) {
    if (at < row->n_dense) {
        *column = (int32_t)at;
        *x = row->dense[at];
    } else {
        *column = row->col[at - row->n_dense];
        *x = row->val[at - row->n_dense];
    }
    return *x != 0;
}

/* One score; sum (factors): sum_i v_if x_i. */
static double score_of(const Machine *m, const DesignRow *row, int32_t score, double *sum) {
    double s = m->weight[(int64_t)m->dim * m->n_scores + score], squares = 0, pairs = 0;
    int32_t column;
    float x;
    for (int32_t f = 0; f < m->factors; f++) sum[f] = 0;
    for (int64_t at = 0; at < row->n_dense + row->n; at++) {
        if (!entry_of(row, at, &column, &x)) continue;
        const float *v = factors_of(m, column, score);
        s += (double)m->weight[(int64_t)column * m->n_scores + score] * x;
        for (int32_t f = 0; f < m->factors; f++) {
            double own = (double)v[f] * x;
            sum[f] += own;
            squares += own * own;
        }
    }
    for (int32_t f = 0; f < m->factors; f++) pairs += sum[f] * sum[f];
    return s + (pairs - squares) / 2;
}

static void machine_score(const void *state, const DesignRow *row, double *out) {
    const Machine *m = state;
    double sum[MOST_FACTORS];
    for (int32_t s = 0; s < m->n_scores; s++)
        out[s] = m->shift + m->scale * score_of(m, row, s, sum);
}

static int32_t machine_scores(const void *state) { return ((const Machine *)state)->n_scores; }

/* ---- learning ---- */

typedef struct Fitting {
    const Learning *learning;
    const MachineParams *params;
    Machine *machine; /* at what is looked at */
    LearningLabels labels;
    LossKind loss;
    int64_t slices, n;
    double *gradient; /* slices x n */
    double *value;    /* slices */
    double *scores;   /* slices x n_scores */
    double *x, *best; /* n: where the descent is; where the held examples were best */
    Patience patience;
} Fitting;

/* The row's part of one score: ds/dw_i = x_i, ds/dv_if = x_i (sum_f - v_if x_i). */
static void add_score(const Fitting *f, const DesignRow *row, int32_t score, double by_score,
    const double *sum, double *gradient) {
    const Machine *m = f->machine;
    int32_t column;
    float x;
    gradient[(int64_t)m->dim * m->n_scores + score] += by_score;
    for (int64_t at = 0; at < row->n_dense + row->n; at++) {
        if (!entry_of(row, at, &column, &x)) continue;
        const float *v = factors_of(m, column, score);
        double *to = gradient + (v - m->weight), part = by_score * x;
        gradient[(int64_t)column * m->n_scores + score] += part;
        for (int32_t k = 0; k < m->factors; k++) to[k] += part * (sum[k] - (double)v[k] * x);
    }
}

static void slice_work(void *context, int64_t slice, int worker) {
    Fitting *f = context;
    const Machine *m = f->machine;
    const Design *design = f->learning->design;
    double *gradient = f->gradient + slice * f->n, *score = f->scores + slice * m->n_scores;
    double sum[MOST_FACTORS], value = 0;
    (void)worker;
    memset(gradient, 0, (size_t)f->n * sizeof *gradient);
    int64_t to = slice_from(design->n, f->slices, slice + 1);
    for (int64_t i = slice_from(design->n, f->slices, slice); i < to; i++) {
        double w = f->labels.own.labels.weight[i];
        DesignRow row = design_row(design, i);
        if (i % 256 == 0 && task_cancelled(f->learning->task)) return;
        for (int32_t s = 0; s < m->n_scores; s++) score[s] = score_of(m, &row, s, sum);
        value += w * loss_of_row(f->loss, &f->labels.own.labels, i, score, m->n_scores);
        for (int32_t s = 0; s < m->n_scores; s++) {
            if (m->n_scores > 1) score_of(m, &row, s, sum);
            add_score(f, &row, s, w * score[s], sum, gradient);
        }
    }
    f->value[slice] = value;
}

static Status evaluate(void *context, const double *x, double *value, double *gradient, Err *err) {
    Fitting *f = context;
    Machine *m = f->machine;
    const int64_t linear = (int64_t)m->dim * m->n_scores, first = linear_size(m);
    double penalty = 0, sum = 0;
    for (int64_t i = 0; i < f->n; i++) m->weight[i] = (float)x[i];
    TRY(learn_run(
        f->learning->task, f->learning->design->n * f->n < 20000, f->slices, slice_work, f, err));
    memset(gradient, 0, (size_t)f->n * sizeof *gradient);
    for (int64_t s = 0; s < f->slices; s++) {
        sum += f->value[s];
        for (int64_t i = 0; i < f->n; i++) gradient[i] += f->gradient[s * f->n + i];
    }
    for (int64_t i = 0; i < f->n; i++) {
        double cost = i < linear ? f->params->l2_linear : i < first ? 0 : f->params->l2;
        penalty += cost / 2 * x[i] * x[i];
        gradient[i] = (gradient[i] + cost * x[i]) / f->labels.weight;
    }
    *value = (sum + penalty) / f->labels.weight;
    return ST_OK;
}

/* The mean loss of the examples that judge; NaN: there are none. */
static double held_loss(const Fitting *f) {
    const Design *design = f->learning->held;
    const Machine *m = f->machine;
    double sum[MOST_FACTORS], loss = 0;
    if (!design) return NAN;
    for (int64_t i = 0; i < design->n; i++) {
        DesignRow row = design_row(design, i);
        for (int32_t s = 0; s < m->n_scores; s++) f->scores[s] = score_of(m, &row, s, sum);
        loss += f->labels.held.labels.weight[i] *
            loss_of_row(f->loss, &f->labels.held.labels, i, f->scores, m->n_scores);
    }
    return loss / f->labels.held_weight;
}

static Status note_step(void *context, int64_t step, double value, int *stop, Err *err) {
    Fitting *f = context;
    for (int64_t i = 0; i < f->n; i++) f->machine->weight[i] = (float)f->x[i];
    double held = held_loss(f);
    atomic_store(&f->learning->task->done, step);
    f->machine->steps = step;
    if (!isnan(held) && f->patience.steps) {
        if (patience_better(&f->patience, step, held))
            memcpy(f->best, f->x, (size_t)f->n * sizeof *f->best);
        *stop = patience_over(&f->patience, step);
    }
    return learn_log_add(f->learning->log, (double)step, value, held, err);
}

/* Factors begin as small numbers: at 0 nothing pulls them. */
static void begin(const Fitting *f) {
    const Machine *m = f->machine, *start = f->learning->start;
    Random random;
    random_init(&random, f->learning->seed, 1);
    for (int64_t i = linear_size(m); i < f->n; i++) f->x[i] = .05 * random_normal(&random);
    if (!start || start->factors != m->factors) return;
    for (int64_t i = 0; i < f->n; i++) f->x[i] = start->weight[i];
}

static Status run(Fitting *f, Err *err) {
    int64_t steps = f->learning->sweeps ? f->learning->sweeps : f->params->steps;
    Descent descent = {.context = f,
        .evaluate = evaluate,
        .note = note_step,
        .n = f->n,
        .most_steps = steps,
        .tolerance = 1e-6};
    task_phase(f->learning->task, "descending", "steps", steps, steps);
    begin(f);
    TRY(descent_lbfgs(&descent, f->x, err));
    if (f->patience.best_step) {
        memcpy(f->x, f->best, (size_t)f->n * sizeof *f->best);
        f->machine->steps = f->patience.best_step;
    }
    for (int64_t i = 0; i < f->n; i++) f->machine->weight[i] = (float)f->x[i];
    return ST_OK;
}

static Status make_room(Fitting *f, Err *err) {
    const Learning *learning = f->learning;
    size_t n = (size_t)f->n, scores = (size_t)f->machine->n_scores;
    const Machine *start = learning->start;
    LabelScale as = {.shift = start ? start->shift : 0, .scale = start ? start->scale : 1};
    TRY(learning_labels(&f->labels, learning, start ? &as : NULL, err));
    f->machine->shift = f->labels.own.shift;
    f->machine->scale = f->labels.own.scale;
    f->machine->weight = mem_zeros(n, sizeof(float));
    f->gradient = mem_array((size_t)f->slices, n * sizeof *f->gradient);
    f->value = mem_zeros((size_t)f->slices, sizeof *f->value);
    f->scores = mem_array((size_t)f->slices, scores * sizeof *f->scores);
    f->x = mem_zeros(n, sizeof *f->x);
    f->best = mem_zeros(n, sizeof *f->best);
    return f->machine->weight && f->gradient && f->value && f->scores && f->x && f->best
        ? ST_OK
        : fail_nomem(err, "the factors");
}

static Status fit(Fitting *f, Err *err) {
    const Learning *learning = f->learning;
    f->n = machine_size(f->machine);
    f->loss = loss_of_labels(&learning->labels);
    f->slices = learn_slices(learning->design->n, f->n);
    f->patience.steps = f->params->patience;
    if (f->n > (int64_t)1 << 28)
        return fail(err, ST_BADARG, "%d columns of %d factors are more than 2^28 numbers",
            (int)f->machine->dim, (int)f->machine->factors);
    TRY(make_room(f, err));
    TRY(run(f, err));
    return weights_round(f->machine->kind, f->machine->weight + linear_size(f->machine),
        (int64_t)f->machine->dim * f->machine->n_scores, f->machine->factors, err);
}

static Status machine_train(const Learning *learning, void **out, Err *err) {
    const MachineParams *params = learning->params;
    Machine *m = *out = mem_zeros(1, sizeof *m);
    if (!m) return fail_nomem(err, "the factors");
    *m = (Machine){.dim = learning->design->dim,
        .n_scores = labels_scores(&learning->labels),
        .factors = (int32_t)params->factors,
        .kind = (WeightsKind)params->weights};
    Fitting f = {.learning = learning, .params = params, .machine = m};
    Status status = fit(&f, err);
    learning_labels_clear(&f.labels);
    mem_free(f.gradient);
    mem_free(f.value);
    mem_free(f.scores);
    mem_free(f.x);
    mem_free(f.best);
    return status;
}

static int64_t machine_steps(const void *state) { return ((const Machine *)state)->steps; }

/* ---- as ONNX ---- */

/* One score: x w + b + (|x V|^2 - x^2 q) / 2, q_i = |v_i|^2, with shift and scale. */
static void score_graph(const Machine *m, int32_t s, double *numbers, OnnxGraph *g, char out[16]) {
    double *w = numbers, *q = w + m->dim, *v = q + m->dim;
    double bias = m->shift + m->scale * (double)m->weight[(int64_t)m->dim * m->n_scores + s],
           zeros[MOST_FACTORS] = {0};
    char linear[16], projected[16], squares[16], pairs[16], own[16], both[16];
    text_format(linear, sizeof linear, "linear%d", (int)s);
    text_format(projected, sizeof projected, "factor%d", (int)s);
    text_format(squares, sizeof squares, "square%d", (int)s);
    text_format(pairs, sizeof pairs, "pairs%d", (int)s);
    text_format(own, sizeof own, "own%d", (int)s);
    text_format(both, sizeof both, "both%d", (int)s);
    text_format(out, 16, "score%d", (int)s);
    for (int32_t i = 0; i < m->dim; i++) {
        const float *from = factors_of(m, i, s);
        w[i] = m->scale * (double)m->weight[(int64_t)i * m->n_scores + s];
        q[i] = 0;
        for (int32_t f = 0; f < m->factors; f++) {
            v[(int64_t)i * m->factors + f] = from[f] * sqrt(m->scale / 2);
            q[i] -= m->scale / 2 * (double)from[f] * from[f];
        }
    }
    onnx_affine(g, "xd", w, m->dim, 1, &bias, linear);
    onnx_affine(g, "xd", v, m->dim, m->factors, zeros, projected);
    onnx_node(g, "Mul", ONNX_IN(projected, projected), squares);
    onnx_row_sum(g, squares, pairs);
    onnx_affine(g, "x_square", q, m->dim, 1, zeros, own);
    onnx_node(g, "Add", ONNX_IN(linear, pairs), both);
    onnx_node(g, "Add", ONNX_IN(both, own), out);
}

static Status machine_graph(const void *state, OnnxGraph *g, Err *err) {
    const Machine *m = state;
    double *numbers = mem_array((size_t)m->dim, ((size_t)m->factors + 2) * sizeof *numbers);
    char(*out)[16] = mem_zeros((size_t)m->n_scores, sizeof *out);
    const char **list = mem_array((size_t)m->n_scores, sizeof *list);
    Status status = numbers && out && list ? ST_OK : fail_nomem(err, "the model");
    if (status == ST_OK) onnx_node(g, "Mul", ONNX_IN("xd", "xd"), "x_square");
    for (int32_t s = 0; s < m->n_scores && status == ST_OK; s++) {
        score_graph(m, s, numbers, g, out[s]);
        list[s] = out[s];
    }
    if (status == ST_OK) onnx_concat(g, list, m->n_scores, "scores");
    mem_free(numbers);
    mem_free(out);
    mem_free(list);
    return status;
}

/* ---- stored form ---- */

static void machine_write(const void *state, Bytes *out) {
    const Machine *m = state;
    int64_t linear = linear_size(m);
    bytes_u32(out, (uint32_t)m->n_scores);
    bytes_u32(out, (uint32_t)m->factors);
    bytes_u32(out, (uint32_t)m->kind);
    bytes_u64(out, (uint64_t)m->steps);
    bytes_f64(out, m->shift);
    bytes_f64(out, m->scale);
    weights_write(WEIGHTS_FLOAT, m->weight, linear, 1, out);
    weights_write(m->kind, m->weight + linear, (int64_t)m->dim * m->n_scores, m->factors, out);
}

static Status read_numbers(Machine *m, Reader *in, Err *err) {
    float *factors = NULL;
    int64_t rows = (int64_t)m->dim * m->n_scores, linear = linear_size(m);
    TRY(weights_read(WEIGHTS_FLOAT, &m->weight, linear, 1, in, err));
    Status status = weights_read(m->kind, &factors, rows, m->factors, in, err);
    if (status == ST_OK) {
        void *all = mem_resize(m->weight, (size_t)machine_size(m), sizeof *m->weight);
        if (all) m->weight = all;
        else status = fail_nomem(err, "the weights");
    }
    if (status == ST_OK)
        memcpy(m->weight + linear, factors, (size_t)(rows * m->factors) * sizeof *factors);
    mem_free(factors);
    return status;
}

static Status machine_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err) {
    uint32_t n_scores = read_u32(in), factors = read_u32(in), kind = read_u32(in);
    (void)n_dense;
    Machine *m = *state = mem_zeros(1, sizeof *m);
    if (!m) return fail_nomem(err, "the weights");
    m->steps = (int64_t)read_u64(in);
    m->shift = read_f64(in);
    m->scale = read_f64(in);
    if (in->failed || !n_scores || n_scores > 100000 || !factors || factors > MOST_FACTORS ||
        kind > WEIGHTS_INT8 || m->steps < 0 || !isfinite(m->shift) || !isfinite(m->scale))
        return fail(err, ST_CORRUPT, "the weights are damaged");
    m->dim = dim;
    m->n_scores = (int32_t)n_scores;
    m->factors = (int32_t)factors;
    m->kind = (WeightsKind)kind;
    return read_numbers(m, in, err);
}

static size_t machine_memory(const void *state) {
    const Machine *m = state;
    return sizeof *m + (size_t)machine_size(m) * sizeof *m->weight;
}

const Learner factorization_machine_learner = {
    .name = "factorization_machine",
    .summary = "a linear score and one for every pair of columns",
    .tasks = 1u << LEARN_NUMBER | 1u << LEARN_CLASSES,
    .can_start = 1,
    .options = machine_options,
    .params_size = sizeof(MachineParams),
    .space = "{\"factors\":[2,4,8,16,32],\"l2\":{\"min\":0.1,\"max\":1000,\"log\":true},"
             "\"l2_linear\":{\"min\":0.01,\"max\":100,\"log\":true}}",
    .train = machine_train,
    .score = machine_score,
    .n_scores = machine_scores,
    .sweeps = machine_steps,
    .graph = machine_graph,
    .write = machine_write,
    .read = machine_read,
    .free_state = machine_free,
    .memory = machine_memory,
};
