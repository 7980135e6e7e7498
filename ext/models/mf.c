/* mf: matrix factorisation of ratings, with biases (Koren, Bell and Volinsky 2009; alternating
 * least squares with regularisation by counts, Zhou et al. 2008).
 *
 *     minimise  sum_{(u,i) rated} (r_ui - m - b_u - b_i - x_u . y_i)^2
 *               + reg ( sum_u d_u (|x_u|^2 + b_u^2) + sum_i d_i (|y_i|^2 + b_i^2) )
 *
 *     r_ui: the pair's weight, not scaled: the rating, of several the latest (combine=)
 *     m: mean of all ratings     b_u, b_i: biases     x_u, y_i: d factors
 *     d_u, d_i: ratings of user and item
 *
 * A sweep solves all users for (x_u, b_u), then all items for (y_i, b_i), each a system of d + 1
 * unknowns. Only items are stored; a user's factors and bias are solved from her live history.
 * score = the predicted rating. Cost of a sweep: nnz d^2 + (U + I) d^3 / 6 multiply-adds. Rows are
 * independent, so threads do not change a bit. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "algorithms.h"
#include "cost.h"
#include "factors.h"

typedef struct MfParams {
    int64_t factors;
    int64_t sweeps;
    double reg;
} MfParams;

enum { ROWS_A_PIECE = 64, GATHER = 256 };

static const OptSpec mf_options[] = {
    {"factors", OPT_INT, offsetof(MfParams, factors), 1, 1024, 16, NULL,
        "length of a factor vector (d)"},
    {"sweeps", OPT_INT, offsetof(MfParams, sweeps), 1, 1000, 15, NULL,
        "passes over users and items"},
    {"reg", OPT_REAL, offsetof(MfParams, reg), 1e-6, 1e6, 0.1, NULL,
        "regularisation, times the ratings of the user or item"},
    {0},
};

typedef struct MfState {
    Factors factors; /* (y_i, b_i, 1): items x (d + 2); the asker's is (x_u, 1, m + b_u) */
    MfParams params;
    double mean;
} MfState;

/* ---- one row ---- */

typedef struct Scratch {
    float *a;      /* w x w, w = d + 1 */
    float *gather; /* GATHER x w */
} Scratch;

static Status scratch_init(Scratch *scratch, int32_t w, Err *err) {
    scratch->a = mem_aligned((size_t)w, (size_t)w * sizeof(float));
    scratch->gather = mem_aligned(GATHER, (size_t)w * sizeof(float));
    return scratch->a && scratch->gather ? ST_OK : fail_nomem(err, "the solver");
}

static void scratch_clear(Scratch *scratch) {
    mem_free(scratch->a);
    mem_free(scratch->gather);
    *scratch = (Scratch){0};
}

/* The other side: row k holds d factors; its bias is at place `bias` of the row. */
typedef struct Side {
    const float *row;
    size_t stride;
    size_t bias;
} Side;

/* out (d + 1): factors and bias of a row with the ratings r_k of the others col_k. Returns 1 when
 * there is no solution. */
static int solve_row(Scratch *scratch, const Side *other, size_t d, double mean, double reg,
    const int32_t *col, const float *rating, int64_t n, float *out) {
    size_t w = d + 1;
    memset(scratch->a, 0, w * w * sizeof *scratch->a);
    memset(out, 0, w * sizeof *out);
    if (n == 0) return 0;
    for (int64_t from = 0; from < n; from += GATHER) {
        int32_t block = (int32_t)(n - from < GATHER ? n - from : GATHER);
        for (int32_t k = 0; k < block; k++) {
            const float *y = other->row + (size_t)col[from + k] * other->stride;
            float miss = (float)((double)rating[from + k] - mean - (double)y[other->bias]),
                  *row = scratch->gather + (size_t)k * w;
            memcpy(row, y, d * sizeof *row);
            row[d] = 1;
            for (size_t f = 0; f < w; f++) out[f] += miss * row[f];
        }
        dense_gram_add(scratch->a, scratch->gather, 1, block, (int32_t)w);
    }
    for (size_t f = 0; f < w; f++) scratch->a[f * w + f] += (float)(reg * (double)n);
    return dense_solve_spd(scratch->a, out, (int32_t)w, 1);
}

/* ---- training ---- */

typedef struct Half {
    const Csr *rows;
    Side other;
    float *own; /* rows x (d + 2): factors, bias, and a 1 */
    size_t d;
    double mean, reg;
    Scratch *scratch; /* per worker */
    _Atomic int singular;
} Half;

static int64_t pieces_of(int32_t rows) { return ((int64_t)rows + ROWS_A_PIECE - 1) / ROWS_A_PIECE; }

static void solve_piece(void *context, int64_t piece, int worker) {
    Half *half = context;
    int32_t from = (int32_t)(piece * ROWS_A_PIECE), n = half->rows->n_rows;
    for (int32_t r = from; r < from + ROWS_A_PIECE && r < n; r++) {
        int64_t e = half->rows->row_start[r];
        float *own = half->own + (size_t)r * (half->d + 2);
        if (solve_row(&half->scratch[worker], &half->other, half->d, half->mean, half->reg,
                half->rows->col + e, half->rows->val + e, csr_row_len(half->rows, r), own))
            half->singular = 1;
        own[half->d + 1] = 1;
    }
}

static double squared_error(
    const Csr *by_user, const float *x, const float *y, size_t d, double mean) {
    double sum = 0;
    for (int32_t u = 0; u < by_user->n_rows; u++)
        for (int64_t e = by_user->row_start[u]; e < by_user->row_start[u + 1]; e++) {
            const float *a = x + (size_t)u * (d + 2), *b = y + (size_t)by_user->col[e] * (d + 2);
            double miss = (double)by_user->val[e] - mean - (double)a[d] - (double)b[d] -
                kernels()->dot(a, b, d);
            sum += miss * miss;
        }
    return sum;
}

static double ridge(const Csr *rows, const float *own, size_t d, double reg) {
    double sum = 0;
    for (int32_t r = 0; r < rows->n_rows; r++)
        sum += reg * (double)csr_row_len(rows, r) *
            kernels()->dot(own + (size_t)r * (d + 2), own + (size_t)r * (d + 2), d + 1);
    return sum;
}

static Status sweep_all(
    Model *model, const Dataset *data, float *x, Scratch *scratch, Task *task, Err *err) {
    MfState *state = model->state;
    size_t d = (size_t)state->params.factors;
    float *y = state->factors.items.row;
    double begin = task_clock();
    for (int64_t sweep = 1; sweep <= state->params.sweeps; sweep++) {
        Half half = {.rows = &data->by_user,
            .other = {y, d + 2, d},
            .own = x,
            .d = d,
            .mean = state->mean,
            .reg = state->params.reg,
            .scratch = scratch};
        TRY(task_run(task, pieces_of(half.rows->n_rows), solve_piece, &half, err));
        half.rows = &data->by_item;
        half.other.row = x;
        half.own = y;
        TRY(task_run(task, pieces_of(half.rows->n_rows), solve_piece, &half, err));
        if (half.singular)
            return fail(
                err, ST_BADARG, "reg=%g is too small: a system has no solution", state->params.reg);
        double value = squared_error(&data->by_user, x, y, d, state->mean) +
            ridge(&data->by_user, x, d, state->params.reg) +
            ridge(&data->by_item, y, d, state->params.reg);
        TRY(model_log_step(model, (double)sweep, value, task_clock() - begin, err));
    }
    return ST_OK;
}

static Status new_state(Model *model, Err *err) {
    MfState *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (!state) return fail_nomem(err, "the factors");
    memcpy(&state->params, &model->params, sizeof state->params);
    return factors_init(&state->factors, model->n_items, (int32_t)state->params.factors + 2,
        (int32_t)state->params.factors, err);
}

static double mean_rating(const Csr *by_user) {
    double sum = 0;
    for (int64_t e = 0; e < csr_nnz(by_user); e++) sum += (double)by_user->val[e];
    return csr_nnz(by_user) ? sum / (double)csr_nnz(by_user) : 0;
}

static Status mf_train(Model *model, const Dataset *data, Task *task, Err *err) {
    TRY(new_state(model, err));
    MfState *state = model->state;
    size_t d = (size_t)state->params.factors, users = (size_t)data->by_user.n_rows;
    float *x = mem_zeros(users, (d + 2) * sizeof *x), *y = state->factors.items.row;
    Scratch *scratch = mem_zeros((size_t)task->threads, sizeof *scratch);
    Status status = x && scratch ? ST_OK : fail_nomem(err, "the factors");
    for (int w = 0; w < task->threads && status == ST_OK; w++)
        status = scratch_init(&scratch[w], (int32_t)d + 1, err);
    if (status == ST_OK) {
        state->mean = mean_rating(&data->by_user);
        factors_start(
            y, model->n_items, (int32_t)d + 2, 0.1 / sqrt((double)d), (uint64_t)model->common.seed);
        for (int32_t i = 0; i < model->n_items; i++) {
            y[(size_t)i * (d + 2) + d] = 0;
            y[(size_t)i * (d + 2) + d + 1] = 1;
        }
        task_phase(task, "factors", "sweeps", state->params.sweeps,
            state->params.sweeps *
                (pieces_of(data->by_user.n_rows) + pieces_of(data->by_item.n_rows)));
        status = dense_begin(task->threads, err);
        if (status == ST_OK) {
            status = sweep_all(model, data, x, scratch, task, err);
            dense_end();
        }
    }
    if (status == ST_OK) status = factors_finish(&state->factors, err);
    for (int w = 0; scratch && w < task->threads; w++) scratch_clear(&scratch[w]);
    mem_free(scratch);
    mem_free(x);
    return status;
}

/* ---- storage: the mean, then the items ---- */

static void mf_write(const Model *model, Bytes *out) {
    const MfState *state = model->state;
    bytes_f64(out, state->mean);
    factors_write(&state->factors, out);
}

static Status mf_read(Model *model, Reader *in, Err *err) {
    TRY(new_state(model, err));
    MfState *state = model->state;
    state->mean = read_f64(in);
    if (in->failed || !isfinite(state->mean))
        return fail(err, ST_CORRUPT, "the mean rating is no number");
    TRY(factors_read(&state->factors, in, err));
    return factors_finish(&state->factors, err);
}

static void mf_free(Model *model) {
    MfState *state = model->state;
    if (!state) return;
    factors_clear(&state->factors);
    mem_free(state);
    model->state = NULL;
}

static size_t mf_memory(const Model *model) {
    return factors_memory(&((const MfState *)model->state)->factors);
}

/* ---- queries ---- */

typedef struct MfQuery {
    FactorQuery base;
    Scratch scratch;
} MfQuery;

static void mf_query_free(ModelQuery *query) {
    MfQuery *q = query->scratch;
    if (!q) return;
    factor_query_clear(&q->base);
    scratch_clear(&q->scratch);
    mem_free(q);
    query->scratch = NULL;
}

static Status mf_query_new(ModelQuery *query, Err *err) {
    const MfState *state = query->model->state;
    MfQuery *q = mem_zeros(1, sizeof *q);
    query->scratch = q;
    if (!q) return fail_nomem(err, "a query");
    Status status = factor_query_init(&q->base, &state->factors, err);
    if (status == ST_OK)
        status = scratch_init(&q->scratch, (int32_t)state->params.factors + 1, err);
    if (status != ST_OK) mf_query_free(query);
    return status;
}

static Status mf_prepare(ModelQuery *query, Err *err) {
    const MfState *state = query->model->state;
    MfQuery *q = query->scratch;
    size_t d = (size_t)state->params.factors;
    Side items = {state->factors.items.row, d + 2, d};
    if (query->similar >= 0) {
        factors_prepare_similar(query);
        return ST_OK;
    }
    TRY(dense_begin(1, err));
    int failed = solve_row(&q->scratch, &items, d, state->mean, state->params.reg,
        query->history.item, query->history.weight, query->history.n, q->base.x);
    dense_end();
    /* x . (y, b, 1) = x_u . y + b_i + m + b_u */
    q->base.x[d + 1] = (float)(state->mean + (double)q->base.x[d]);
    q->base.x[d] = 1;
    return failed ? fail(err, ST_BADARG, "the user's system has no solution") : ST_OK;
}

static double mf_stranger(const Model *model) { return ((const MfState *)model->state)->mean; }

static void mf_cost(const CostAsk *ask, Cost *out) {
    MfParams p;
    memcpy(&p, ask->params, sizeof p);
    double pairs = (double)csr_nnz(&ask->data->by_user), d = (double)p.factors + 1,
           rows = (double)ask->data->by_user.n_rows + ask->data->by_user.n_cols;
    /* small systems: what a call takes counts more than what it computes */
    out->vector += (double)p.sweeps *
        (2 * pairs * (d * d / 2 + 10 * d) + rows * (d * d * d / 6 + 10000));
    out->alone += (double)p.sweeps * 10 * pairs;
    out->bytes += 4 * (d + 1) * ask->data->by_user.n_rows;
    cost_factors(out, ask, d + 1);
}

const Algorithm mf_algorithm = {
    .name = "mf",
    .least_events = 5000,
    .summary =
        "matrix factorisation of ratings (the weight column), with biases; predicts the rating",
    .scores_all = 1,
    .rates = 1,
    .options = mf_options,
    .tune_space = "{\"factors\":[8,16,32],\"reg\":{\"min\":0.02,\"max\":0.5,\"log\":true}}",
    .params_size = sizeof(MfParams),
    .cost = mf_cost,
    .train = mf_train,
    .write = mf_write,
    .read = mf_read,
    .free_state = mf_free,
    .memory = mf_memory,
    .query_new = mf_query_new,
    .query_free = mf_query_free,
    .query_prepare = mf_prepare,
    .score = factors_score,
    .stranger = mf_stranger,
    .rank = factors_rank,
    .item_vector = factors_item_vector,
    .alike = factors_alike,
    .index = factors_index,
    .asker = factors_asker,
};
