/* bpr: matrix factorisation that ranks what a user has above what she has not (Rendle et al. 2009,
 * "BPR").
 *
 *     minimise  sum over (u, i, j) of -ln s(z) + reg / 2 (|x_u|^2 + |y_i|^2 + |y_j|^2 + b_i^2 +
 *               b_j^2)
 *     z = x_u . (y_i - y_j) + b_i - b_j,   s(z) = 1 / (1 + e^-z),   i: an item of u, j: one that u
 *     has not, drawn uniformly
 *
 *     x_u: factors of user u     y_i: factors of item i     b_i: bias of item i
 *
 * by stochastic gradient descent, e = 1 - s(z):  x_u += rate (e (y_i - y_j) - reg x_u),  y_i +=
 * rate (e x_u - reg y_i), y_j += rate (-e x_u - reg y_j),  and the same for the biases. A sweep
 * visits every pair once.
 *
 * Users and items are dealt into B blocks each. In the s-th part of a sweep user block b meets item
 * block (b + s) mod B, and j is drawn from the same item block: no two of the B cells share a row,
 * so that they run at the same time and threads do not change a bit (the strata of Gemulla et al.
 * 2011).
 *
 * Only item factors and biases are stored. A user's factors are found at query time by FOLD_PASSES
 * sweeps over her history, with negatives drawn from the model's seed: always the same for the same
 * history. score = x . y_i + b_i. Cost of a sweep: 6 d a pair; a fold-in the same, times
 * FOLD_PASSES. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../math/kernels.h"
#include "algorithms.h"
#include "cost.h"
#include "factors.h"

typedef struct BprParams {
    int64_t factors;
    int64_t sweeps;
    double rate;
    double reg;
} BprParams;

enum { MAX_BLOCKS = 8, ITEMS_A_BLOCK = 64, FOLD_PASSES = 30, TRIES = 20 };

static const OptSpec bpr_options[] = {
    {"factors", OPT_INT, offsetof(BprParams, factors), 1, 1024, 64, NULL,
        "length of a factor vector (d)"},
    {"sweeps", OPT_INT, offsetof(BprParams, sweeps), 1, 10000, 60, NULL, "passes over all pairs"},
    {"rate", OPT_REAL, offsetof(BprParams, rate), 1e-6, 1, 0.05, NULL, "length of a step"},
    {"reg", OPT_REAL, offsetof(BprParams, reg), 0, 100, 0.01, NULL, "regularisation"},
    {0},
};

typedef struct BprState {
    Factors factors; /* (y_i, b_i): items x (d + 1) */
    BprParams params;
} BprState;

typedef struct Pair {
    int32_t user;
    int32_t item;
} Pair;

typedef struct Fit {
    BprParams params;
    uint64_t seed;
    const Csr *by_user;
    float *x; /* users x d */
    float *y; /* items x (d + 1) */
    int32_t blocks;
    int32_t *order;                      /* items, block after block */
    int32_t *block_of;                   /* per item */
    int64_t block_start[MAX_BLOCKS + 1]; /* in order[] */
    Pair *pair;                          /* cell after cell */
    int64_t cell_start[MAX_BLOCKS * MAX_BLOCKS + 1];
    int32_t part; /* s */
    int64_t sweep;
    double loss[MAX_BLOCKS]; /* per user block */
} Fit;

static int has_item(const Csr *by_user, int32_t user, int32_t item) {
    int64_t low = by_user->row_start[user], high = by_user->row_start[user + 1];
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (by_user->col[middle] < item) low = middle + 1;
        else high = middle;
    }
    return low < by_user->row_start[user + 1] && by_user->col[low] == item;
}

/* One step on (x, y, w): returns -ln s(z). w is the negative. Where x alone moves, rate_item is
 * 0. */
static double step(float *x, float *y, float *w, size_t d, float rate, float rate_item, float reg) {
    double z = (double)(kernels()->dot_float(x, y, d) - kernels()->dot_float(x, w, d) + y[d] -
        w[d]);
    float e = (float)(1 / (1 + exp(z)));
    for (size_t f = 0; f < d; f++) {
        float xf = x[f], difference = y[f] - w[f];
        x[f] += rate * (e * difference - reg * xf);
        if (rate_item == 0) continue;
        y[f] += rate_item * (e * xf - reg * y[f]);
        w[f] += rate_item * (-e * xf - reg * w[f]);
    }
    if (rate_item != 0) {
        y[d] += rate_item * (e - reg * y[d]);
        w[d] += rate_item * (-e - reg * w[d]);
    }
    return z > 0 ? log1p(exp(-z)) : log1p(exp(z)) - z;
}

/* One cell: its pairs in a random order of this sweep. */
static void cell_piece(void *context, int64_t piece, int worker) {
    Fit *fit = context;
    int32_t items = (int32_t)((piece + fit->part) % fit->blocks);
    int64_t cell = piece * fit->blocks + items, from = fit->cell_start[cell],
            n = fit->cell_start[cell + 1] - from;
    int64_t first = fit->block_start[items], n_items = fit->block_start[items + 1] - first;
    size_t d = (size_t)fit->params.factors;
    Random random;
    (void)worker;
    random_init(&random, fit->seed,
        (uint64_t)(fit->sweep * fit->blocks + fit->part) * MAX_BLOCKS + (uint64_t)piece);
    for (int64_t k = n - 1; k > 0; k--) {
        int64_t other = (int64_t)random_below(&random, (uint64_t)k + 1);
        Pair swap = fit->pair[from + k];
        fit->pair[from + k] = fit->pair[from + other];
        fit->pair[from + other] = swap;
    }
    for (int64_t k = 0; k < n; k++) {
        Pair pair = fit->pair[from + k];
        int32_t negative = -1;
        for (int t = 0; t < TRIES && negative < 0; t++) {
            int32_t drawn = fit->order[first + (int64_t)random_below(&random, (uint64_t)n_items)];
            if (!has_item(fit->by_user, pair.user, drawn)) negative = drawn;
        }
        if (negative < 0) continue; /* she has nearly all */
        fit->loss[piece] += step(fit->x + (size_t)pair.user * d,
            fit->y + (size_t)pair.item * (d + 1), fit->y + (size_t)negative * (d + 1), d,
            (float)fit->params.rate, (float)fit->params.rate, (float)fit->params.reg);
    }
}

/* Items into blocks in a random order; pairs into cells. */
static Status deal(Fit *fit, Err *err) {
    const Csr *by_user = fit->by_user;
    int32_t n_items = by_user->n_cols;
    int64_t cursor[MAX_BLOCKS * MAX_BLOCKS] = {0};
    Random random;
    fit->blocks = n_items / ITEMS_A_BLOCK < 1  ? 1
        : n_items / ITEMS_A_BLOCK > MAX_BLOCKS ? MAX_BLOCKS
                                               : n_items / ITEMS_A_BLOCK;
    fit->order = mem_array((size_t)n_items, sizeof *fit->order);
    fit->block_of = mem_array((size_t)n_items, sizeof *fit->block_of);
    fit->pair = mem_array((size_t)csr_nnz(by_user), sizeof *fit->pair);
    if (!fit->order || !fit->block_of || !fit->pair) return fail_nomem(err, "the pairs");
    random_init(&random, fit->seed, UINT64_MAX);
    for (int32_t i = 0; i < n_items; i++) { /* inside out shuffle */
        int32_t at = (int32_t)random_below(&random, (uint64_t)i + 1);
        fit->order[i] = fit->order[at];
        fit->order[at] = i;
    }
    for (int32_t b = 0; b <= fit->blocks; b++)
        fit->block_start[b] = (int64_t)n_items * b / fit->blocks;
    for (int32_t b = 0; b < fit->blocks; b++)
        for (int64_t k = fit->block_start[b]; k < fit->block_start[b + 1]; k++)
            fit->block_of[fit->order[k]] = b;
    for (int32_t u = 0; u < by_user->n_rows; u++)
        for (int64_t e = by_user->row_start[u]; e < by_user->row_start[u + 1]; e++)
            fit->cell_start[u % fit->blocks * fit->blocks + fit->block_of[by_user->col[e]] + 1]++;
    for (int32_t c = 0; c < fit->blocks * fit->blocks; c++) {
        fit->cell_start[c + 1] += fit->cell_start[c];
        cursor[c] = fit->cell_start[c];
    }
    for (int32_t u = 0; u < by_user->n_rows; u++)
        for (int64_t e = by_user->row_start[u]; e < by_user->row_start[u + 1]; e++)
            fit->pair[cursor[u % fit->blocks * fit->blocks + fit->block_of[by_user->col[e]]]++] =
                (Pair){u, by_user->col[e]};
    return ST_OK;
}

static Status sweep_all(Fit *fit, Model *model, Task *task, Err *err) {
    double begin = task_clock();
    for (fit->sweep = 0; fit->sweep < fit->params.sweeps; fit->sweep++) {
        double loss = 0;
        memset(fit->loss, 0, sizeof fit->loss);
        for (fit->part = 0; fit->part < fit->blocks; fit->part++)
            TRY(task_run(task, fit->blocks, cell_piece, fit, err));
        for (int32_t b = 0; b < fit->blocks; b++) loss += fit->loss[b];
        if (!isfinite(loss))
            return fail(err, ST_BADARG, "rate=%g is too large: the factors grow without bound",
                fit->params.rate);
        TRY(model_log_step(model, (double)fit->sweep + 1, loss, task_clock() - begin, err));
    }
    return ST_OK;
}

static Status new_state(Model *model, Err *err) {
    BprState *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (!state) return fail_nomem(err, "the factors");
    memcpy(&state->params, &model->params, sizeof state->params);
    return factors_init(&state->factors, model->n_items, (int32_t)state->params.factors + 1,
        (int32_t)state->params.factors, err);
}

static Status bpr_train(Model *model, const Dataset *data, Task *task, Err *err) {
    TRY(new_state(model, err));
    BprState *state = model->state;
    Fit fit = {.params = state->params,
        .seed = (uint64_t)model->common.seed,
        .by_user = &data->by_user,
        .y = state->factors.items.row};
    int32_t d = (int32_t)fit.params.factors, users = data->by_user.n_rows;
    fit.x = mem_array((size_t)users, (size_t)d * sizeof *fit.x);
    Status status = fit.x ? deal(&fit, err) : fail_nomem(err, "the factors");
    if (status == ST_OK) {
        factors_start(fit.x, users, d, 0.1 / sqrt((double)d), fit.seed + 1);
        factors_start(fit.y, model->n_items, d + 1, 0.1 / sqrt((double)d), fit.seed);
        for (int32_t i = 0; i < model->n_items; i++)
            fit.y[(size_t)i * ((size_t)d + 1) + (size_t)d] = 0;
        task_phase(task, "factors", "sweeps", fit.params.sweeps,
            fit.params.sweeps * fit.blocks * fit.blocks);
        status = sweep_all(&fit, model, task, err);
    }
    if (status == ST_OK) status = factors_finish(&state->factors, err);
    mem_free(fit.x);
    mem_free(fit.order);
    mem_free(fit.block_of);
    mem_free(fit.pair);
    return status;
}

static void bpr_write(const Model *model, Bytes *out) {
    factors_write(&((const BprState *)model->state)->factors, out);
}

static Status bpr_read(Model *model, Reader *in, Err *err) {
    TRY(new_state(model, err));
    BprState *state = model->state;
    TRY(factors_read(&state->factors, in, err));
    return factors_finish(&state->factors, err);
}

static void bpr_free(Model *model) {
    BprState *state = model->state;
    if (!state) return;
    factors_clear(&state->factors);
    mem_free(state);
    model->state = NULL;
}

static size_t bpr_memory(const Model *model) {
    return factors_memory(&((const BprState *)model->state)->factors);
}

/* ---- queries ---- */

static void bpr_query_free(ModelQuery *query) {
    if (query->scratch) factor_query_clear(query->scratch);
    mem_free(query->scratch);
    query->scratch = NULL;
}

static Status bpr_query_new(ModelQuery *query, Err *err) {
    query->scratch = mem_zeros(1, sizeof(FactorQuery));
    if (!query->scratch) return fail_nomem(err, "a query");
    Status status = factor_query_init(
        query->scratch, &((const BprState *)query->model->state)->factors, err);
    if (status != ST_OK) bpr_query_free(query);
    return status;
}

static int in_history(const History *history, int32_t item) {
    int64_t low = 0, high = history->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (history->item[middle] < item) low = middle + 1;
        else high = middle;
    }
    return low < history->n && history->item[low] == item;
}

static Status bpr_prepare(ModelQuery *query, Err *err) {
    const BprState *state = query->model->state;
    FactorQuery *q = query->scratch;
    size_t d = (size_t)state->params.factors;
    Random random;
    (void)err;
    if (query->similar >= 0) {
        factors_prepare_similar(query);
        return ST_OK;
    }
    memset(q->x, 0, d * sizeof *q->x);
    q->x[d] = 1;
    random_init(&random, (uint64_t)query->model->common.seed, 1);
    for (int64_t k = 0; k < FOLD_PASSES * query->history.n; k++) {
        int32_t drawn = (int32_t)random_below(&random, (uint64_t)query->model->n_items);
        if (in_history(&query->history, drawn)) continue;
        /* the items stay as they are: step moves x alone */
        step(q->x,
            state->factors.items.row + (size_t)query->history.item[k % query->history.n] * (d + 1),
            state->factors.items.row + (size_t)drawn * (d + 1), d, (float)state->params.rate, 0,
            (float)state->params.reg);
    }
    return ST_OK;
}

static void bpr_cost(const CostAsk *ask, Cost *out) {
    BprParams p;
    memcpy(&p, ask->params, sizeof p);
    double pairs = (double)csr_nnz(&ask->data->by_user), d = (double)p.factors;
    out->vector += (double)p.sweeps * pairs * 40 * d;
    out->bytes += 4 * d * ask->data->by_user.n_rows + 8 * pairs;
    cost_factors(out, ask, d + 1);
}

const Algorithm bpr_algorithm = {
    .name = "bpr",
    .least_events = 20000,
    .summary = "matrix factorisation that ranks what a user has above what she has not, by "
               "gradient descent",
    .scores_all = 1,
    .options = bpr_options,
    .tune_space = "{\"factors\":[32,64],\"rate\":{\"min\":0.01,\"max\":0.1,\"log\":true},\"reg\":{"
                  "\"min\":0.001,\"max\":0.05,\"log\":true}}",
    .params_size = sizeof(BprParams),
    .cost = bpr_cost,
    .train = bpr_train,
    .write = bpr_write,
    .read = bpr_read,
    .free_state = bpr_free,
    .memory = bpr_memory,
    .query_new = bpr_query_new,
    .query_free = bpr_query_free,
    .query_prepare = bpr_prepare,
    .score = factors_score,
    .rank = factors_rank,
    .item_vector = factors_item_vector,
    .alike = factors_alike,
    .index = factors_index,
    .asker = factors_asker,
};
