/* ials: matrix factorisation for implicit feedback by alternating least squares (Hu, Koren and Volinsky 2008), with the
 * regularisation of Rendle, Krichene, Zhang and Koren 2021 ("Revisiting the performance of iALS").
 *
 *     minimise  sum_{(u,i) observed} c_ui (x_u . y_i - 1)^2  +  a0 sum_{all u,i} (x_u . y_i)^2
 *               + reg ( sum_u (d_u + a0 I) |x_u|^2 + sum_i (d_i + a0 U) |y_i|^2 )
 *
 *     x_u: d factors of user u (U users)      d_u: items of u       c_ui = 1 + confidence * scaled weight of (u, i)
 *     y_i: d factors of item i (I items)      d_i: users of i       a0 = unobserved_weight
 *
 * One sweep solves all users, then all items. The user step, and the fold-in of anybody at query time, is
 *
 *     A_u x_u = sum_i c_ui y_i,   A_u = a0 Y'Y + sum_i c_ui y_i y_i' + reg (d_u + a0 I) Id        (Cholesky)
 *
 * Only item factors are stored: a user's follow from the history, so a purchase made a second ago counts.
 * Factors start from N(0, (0.1 / sqrt d)^2), one random stream a row. Sums over all rows are taken over chunks of fixed
 * size, added in order in float64: threads do not change a bit.
 *
 * score = x_u . y_i. Neighbours of an item: cosine of the factors. Explanation: score = sum over the history of
 * c_uj y_i' A_u^-1 y_j, exactly.
 * Cost of a sweep: nnz d^2 + (U + I) d^3 / 3 multiply-adds; a fold-in n d^2 + d^3 / 3. */
#include "ials.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "../ann/ann.h"
#include "../base/memory.h"
#include "../base/random.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "algorithms.h"

enum { ROWS_A_PIECE = 32, GRAM_CHUNK = 4096, GATHER = 256 };

static const OptSpec ials_options[] = {
    {"factors", OPT_INT, offsetof(IalsParams, factors), 1, 1024, 64, NULL, "length of a factor vector (d)"},
    {"sweeps", OPT_INT, offsetof(IalsParams, sweeps), 1, 1000, 12, NULL, "passes over users and items"},
    {"reg", OPT_REAL, offsetof(IalsParams, reg), 0, 1e6, 0.003, NULL,
     "regularisation, times (items of the user + unobserved_weight * all items)"},
    {"unobserved_weight", OPT_REAL, offsetof(IalsParams, unobserved_weight), 1e-9, 1e6, 1, NULL,
     "weight of the pairs that were not seen (a0); smaller for larger catalogues: .01 to .1"},
    {"confidence", OPT_REAL, offsetof(IalsParams, confidence), 0, 1e6, 1, NULL,
     "extra weight of a seen pair, times its scaled weight; raises what is bought again"},
    {0},
};

/* ---- one least-squares problem ---- */

/* A row's system: its columns' factors, what each pair weighs, and the shared part of A. */
typedef struct Solver {
    int32_t d;
    const float *gram;  /* a0 F'F, d x d */
    const float *other; /* F: factors of the columns */
    double ridge_base;  /* reg * a0 * number of columns */
    double ridge_entry; /* reg, an entry */
    double confidence;
} Solver;

typedef struct SolverScratch {
    float *a;      /* d x d: A, then its Cholesky factor */
    float *gather; /* GATHER x d */
} SolverScratch;

static Status scratch_init(SolverScratch *scratch, int32_t d, Err *err) {
    scratch->a = mem_aligned((size_t)d, (size_t)d * sizeof(float));
    scratch->gather = mem_aligned(GATHER, (size_t)d * sizeof(float));
    return scratch->a && scratch->gather ? ST_OK : fail_nomem(err, "the solver");
}

static void scratch_clear(SolverScratch *scratch) {
    mem_free(scratch->a);
    mem_free(scratch->gather);
    *scratch = (SolverScratch){0};
}

/* Add sum c y y' to A and sum c y to b, in blocks of GATHER rows scaled by sqrt(c). */
static void add_entries(const Solver *s, SolverScratch *scratch, const int32_t *col, const float *scaled, int64_t n,
                        float *b) {
    size_t d = (size_t)s->d;
    for (int64_t from = 0; from < n; from += GATHER) {
        int32_t block = (int32_t)(n - from < GATHER ? n - from : GATHER);
        for (int32_t k = 0; k < block; k++) {
            const float *y = s->other + (size_t)col[from + k] * d;
            float c = (float)(1 + s->confidence * (double)scaled[from + k]);
            float root = sqrtf(c);
            float *row = scratch->gather + (size_t)k * d;
            for (size_t f = 0; f < d; f++) {
                row[f] = root * y[f];
                b[f] += c * y[f];
            }
        }
        dense_gram_add(scratch->a, scratch->gather, 1, block, s->d);
    }
}

/* x = the solution for one row; 0 where there are no entries. Leaves A's factor in the scratch. */
static int solve_row(const Solver *s, SolverScratch *scratch, const int32_t *col, const float *scaled, int64_t n,
                     float *x) {
    size_t d = (size_t)s->d;
    memset(x, 0, d * sizeof *x);
    if (n == 0) return 0;
    memcpy(scratch->a, s->gram, d * d * sizeof *scratch->a);
    add_entries(s, scratch, col, scaled, n, x);
    float ridge = (float)(s->ridge_base + s->ridge_entry * (double)n);
    for (size_t f = 0; f < d; f++) scratch->a[f * d + f] += ridge;
    return dense_solve_spd(scratch->a, x, s->d, 1);
}

/* ---- training ---- */

typedef struct Half {
    Solver solver;
    const Csr *rows;
    const float *scaled; /* per entry of rows */
    float *x;
    SolverScratch *scratch; /* per worker */
    _Atomic int singular;
} Half;

static void solve_piece(void *context, int64_t piece, int worker) {
    Half *half = context;
    int32_t from = (int32_t)(piece * ROWS_A_PIECE);
    int32_t to = from + ROWS_A_PIECE < half->rows->n_rows ? from + ROWS_A_PIECE : half->rows->n_rows;
    for (int32_t r = from; r < to; r++) {
        int64_t e = half->rows->row_start[r];
        if (solve_row(&half->solver, &half->scratch[worker], half->rows->col + e, half->scaled + e,
                      csr_row_len(half->rows, r), half->x + (size_t)r * (size_t)half->solver.d))
            half->singular = 1;
    }
}

/* gram = scale X'X by chunks added in float64. */
static Status full_gram(float *gram, const float *x, double scale, int32_t n, int32_t d, Err *err) {
    size_t size = (size_t)d * (size_t)d;
    float *part = mem_array(size, sizeof *part);
    double *sum = mem_zeros(size, sizeof *sum);
    if (part && sum) {
        for (int32_t from = 0; from < n; from += GRAM_CHUNK) {
            dense_gram(part, x + (size_t)from * (size_t)d, 1, n - from < GRAM_CHUNK ? n - from : GRAM_CHUNK, d);
            for (size_t i = 0; i < size; i++) sum[i] += (double)part[i];
        }
        for (size_t i = 0; i < size; i++) gram[i] = (float)(scale * sum[i]);
    }
    Status status = part && sum ? ST_OK : fail_nomem(err, "the Gram matrix");
    mem_free(part);
    mem_free(sum);
    return status;
}

typedef struct Objective {
    const float *x, *y, *scaled;
    const Csr *by_user;
    const IalsParams *params;
    double *piece; /* per piece of users: the observed part and the users' ridge */
} Objective;

static void objective_piece(void *context, int64_t piece, int worker) {
    Objective *o = context;
    size_t d = (size_t)o->params->factors;
    int32_t from = (int32_t)(piece * ROWS_A_PIECE);
    int32_t to = from + ROWS_A_PIECE < o->by_user->n_rows ? from + ROWS_A_PIECE : o->by_user->n_rows;
    double sum = 0;
    (void)worker;
    for (int32_t u = from; u < to; u++) {
        const float *xu = o->x + (size_t)u * d;
        for (int64_t e = o->by_user->row_start[u]; e < o->by_user->row_start[u + 1]; e++) {
            double miss = kernels()->dot(xu, o->y + (size_t)o->by_user->col[e] * d, d) - 1;
            sum += (1 + o->params->confidence * (double)o->scaled[e]) * miss * miss;
        }
        double count = (double)csr_row_len(o->by_user, u) + o->params->unobserved_weight * o->by_user->n_cols;
        sum += o->params->reg * count * kernels()->dot(xu, xu, d);
    }
    o->piece[piece] = sum;
}

static int64_t pieces_of(const Csr *rows) {
    return ((int64_t)rows->n_rows + ROWS_A_PIECE - 1) / ROWS_A_PIECE;
}

Status ials_objective(double *out, const float *x, const float *y, const Csr *by_user, const Csr *by_item, const float *scaled, const IalsParams *p, Task *task, Err *err) {
    int32_t d = (int32_t)p->factors, n_users = by_user->n_rows, n_items = by_user->n_cols;
    size_t size = (size_t)d * (size_t)d;
    float *xx = mem_array(size, sizeof *xx), *yy = mem_array(size, sizeof *yy);
    Objective o = {x, y, scaled, by_user, p, mem_zeros((size_t)pieces_of(by_user), sizeof(double))};
    Status status = xx && yy && o.piece ? ST_OK : fail_nomem(err, "the objective");
    double sum = 0, all = 0;

    if (status == ST_OK) status = full_gram(xx, x, 1, n_users, d, err);
    if (status == ST_OK) status = full_gram(yy, y, 1, n_items, d, err);
    if (status == ST_OK) status = task_run(task, pieces_of(by_user), objective_piece, &o, err);
    if (status == ST_OK) {
        for (size_t i = 0; i < size; i++) all += (double)xx[i] * (double)yy[i]; /* sum (x_u.y_i)^2 = tr(X'X Y'Y) */
        for (int64_t i = 0; i < pieces_of(by_user); i++) sum += o.piece[i];
        for (int32_t i = 0; i < n_items; i++) {
            const float *yi = y + (size_t)i * (size_t)d;
            sum += p->reg * ((double)csr_row_len(by_item, i) + p->unobserved_weight * n_users) * kernels()->dot(yi, yi, (size_t)d);
        }
        *out = sum + p->unobserved_weight * all;
    }
    mem_free(xx);
    mem_free(yy);
    mem_free(o.piece);
    return status;
}

typedef struct Fit {
    IalsParams params;
    float *user_scaled; /* by_user order */
    float *item_scaled; /* by_item order */
    float *x;           /* users x d */
    float *gram;        /* d x d */
    SolverScratch *scratch;
} Fit;

static Status solve_half(Fit *fit, const Csr *rows, const float *scaled, float *x, const float *other, Task *task,
                         Err *err) {
    int32_t d = (int32_t)fit->params.factors;
    double a0 = fit->params.unobserved_weight;
    TRY(full_gram(fit->gram, other, a0, rows->n_cols, d, err));
    Half half = {
        .solver = {d, fit->gram, other, fit->params.reg * a0 * rows->n_cols, fit->params.reg, fit->params.confidence},
        .rows = rows,
        .scaled = scaled,
        .x = x,
        .scratch = fit->scratch,
    };
    TRY(task_run(task, pieces_of(rows), solve_piece, &half, err));
    return half.singular ? fail(err, ST_BADARG, "reg=%g is too small: a system has no solution", fit->params.reg) : ST_OK;
}

static double seconds_since(const struct timespec *begin) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin->tv_sec) + 1e-9 * (double)(now.tv_nsec - begin->tv_nsec);
}

static Status sweep_all(Fit *fit, Model *model, const Dataset *data, float *y, Task *task, Err *err) {
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int64_t half = 0; half < 2 * fit->params.sweeps; half++) {
        double objective;
        int users = half % 2 == 0;
        if (users)
            TRY(solve_half(fit, &data->by_user, fit->user_scaled, fit->x, y, task, err));
        else
            TRY(solve_half(fit, &data->by_item, fit->item_scaled, y, fit->x, task, err));
        TRY(ials_objective(&objective, fit->x, y, &data->by_user, &data->by_item, fit->user_scaled, &fit->params, task, err));
        TRY(model_log_step(model, (double)(half + 1) / 2, objective, seconds_since(&begin), err));
    }
    return ST_OK;
}

void ials_start(float *factors, int32_t n, int32_t d, uint64_t seed) {
    double spread = 0.1 / sqrt((double)d);
    for (int32_t r = 0; r < n; r++) {
        Random random;
        random_init(&random, seed, (uint64_t)r);
        for (int32_t f = 0; f < d; f++) factors[(size_t)r * (size_t)d + (size_t)f] = (float)(spread * random_normal(&random));
    }
}

static Status scaled_values(float **out, const Model *model, const Csr *matrix, Err *err) {
    int64_t nnz = csr_nnz(matrix);
    *out = mem_array((size_t)nnz, sizeof **out);
    if (!*out) return fail_nomem(err, "the confidences");
    for (int64_t e = 0; e < nnz; e++) (*out)[e] = (float)model_scaled(model, matrix->val[e]);
    return ST_OK;
}

/* What queries need beside the factors: a0 Y'Y and an index for the top k. */
static Status finish_state(Model *model, Err *err) {
    IalsState *state = model->state;
    int32_t d = (int32_t)state->params.factors;
    ann_vectors_finish(&state->items);
    state->gram = mem_aligned((size_t)d, (size_t)d * sizeof *state->gram);
    if (!state->gram) return fail_nomem(err, "the Gram matrix");
    dense_begin();
    Status status = full_gram(state->gram, state->items.row, state->params.unobserved_weight, model->n_items, d, err);
    dense_end();
    state->index = (AnnIndex){.engine = &ann_exact_engine, .vectors = &state->items, .factory = "exact"};
    return status == ST_OK ? state->index.engine->build(&state->index, NULL, err) : status;
}

static Status new_state(Model *model, Err *err) {
    IalsState *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (!state) return fail_nomem(err, "the factors");
    memcpy(&state->params, &model->params, sizeof state->params);
    return ann_vectors_alloc(&state->items, model->n_items, (int32_t)state->params.factors, ANN_IP, err);
}

static Status fit_factors(Fit *fit, Model *model, const Dataset *data, Task *task, Err *err) {
    IalsState *state = model->state;
    int32_t d = (int32_t)fit->params.factors;
    fit->x = mem_aligned((size_t)data->by_user.n_rows, (size_t)d * sizeof(float));
    fit->gram = mem_aligned((size_t)d, (size_t)d * sizeof(float));
    fit->scratch = mem_zeros((size_t)task->threads, sizeof *fit->scratch);
    if (!fit->x || !fit->gram || !fit->scratch) return fail_nomem(err, "the factors");
    for (int w = 0; w < task->threads; w++) TRY(scratch_init(&fit->scratch[w], d, err));
    TRY(scaled_values(&fit->user_scaled, model, &data->by_user, err));
    TRY(scaled_values(&fit->item_scaled, model, &data->by_item, err));
    ials_start(state->items.row, model->n_items, d, (uint64_t)model->common.seed);
    dense_begin();
    Status status = sweep_all(fit, model, data, state->items.row, task, err);
    dense_end();
    return status;
}

static Status ials_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Fit fit = {0};
    memcpy(&fit.params, &model->params, sizeof fit.params);
    /* a sweep solves users and items, and takes the objective after each */
    task_phase(task, "sweeps", (3 * pieces_of(&data->by_user) + pieces_of(&data->by_item)) * fit.params.sweeps);
    Status status = new_state(model, err);
    if (status == ST_OK) status = fit_factors(&fit, model, data, task, err);
    if (status == ST_OK) status = finish_state(model, err);
    for (int w = 0; fit.scratch && w < task->threads; w++) scratch_clear(&fit.scratch[w]);
    mem_free(fit.scratch);
    mem_free(fit.x);
    mem_free(fit.gram);
    mem_free(fit.user_scaled);
    mem_free(fit.item_scaled);
    return status;
}

/* ---- storage: the item factors ---- */

static void ials_write(const Model *model, Bytes *out) {
    const IalsState *state = model->state;
    bytes_append(out, state->items.row, (size_t)model->n_items * (size_t)state->items.dim * sizeof(float));
}

static Status ials_read(Model *model, Reader *in, Err *err) {
    IalsParams params;
    memcpy(&params, &model->params, sizeof params);
    const void *stored = read_block(in, (uint64_t)model->n_items * (uint64_t)params.factors, sizeof(float));
    if (!stored) return fail(err, ST_CORRUPT, "item factors are truncated");
    TRY(new_state(model, err));
    IalsState *state = model->state;
    size_t n = (size_t)model->n_items * (size_t)params.factors;
    if (n) memcpy(state->items.row, stored, n * sizeof(float));
    if (vector_first_bad(state->items.row, n) >= 0) return fail(err, ST_CORRUPT, "item factors hold no numbers");
    return finish_state(model, err);
}

static void ials_free(Model *model) {
    IalsState *state = model->state;
    if (!state) return;
    if (state->index.engine) state->index.engine->free(&state->index);
    ann_vectors_clear(&state->items);
    mem_free(state->gram);
    mem_free(state);
    model->state = NULL;
}

static size_t ials_memory(const Model *model) {
    const IalsState *state = model->state;
    size_t d = (size_t)state->items.dim;
    return (size_t)model->n_items * (d * sizeof(float) + sizeof(double)) + d * d * sizeof(float) +
           state->index.engine->memory(&state->index);
}

/* ---- queries ---- */

typedef struct IalsQuery {
    SolverScratch scratch;
    float *x;      /* d: the user's factors, or the item's whose neighbours are asked for */
    double x_norm; /* for neighbours */
    float *scaled;
    int64_t scaled_capacity;
    float *z; /* d */
} IalsQuery;

static void ials_query_free(ModelQuery *query) {
    IalsQuery *ials = query->scratch;
    if (!ials) return;
    scratch_clear(&ials->scratch);
    mem_free(ials->x);
    mem_free(ials->z);
    mem_free(ials->scaled);
    mem_free(ials);
    query->scratch = NULL;
}

static Status ials_query_new(ModelQuery *query, Err *err) {
    const IalsState *state = query->model->state;
    size_t d = (size_t)state->items.dim;
    IalsQuery *ials = mem_zeros(1, sizeof *ials);
    query->scratch = ials;
    if (!ials) return fail_nomem(err, "a query");
    ials->x = mem_array(d, sizeof *ials->x);
    ials->z = mem_array(d, sizeof *ials->z);
    if (ials->x && ials->z && scratch_init(&ials->scratch, state->items.dim, err) == ST_OK) return ST_OK;
    ials_query_free(query);
    return fail_nomem(err, "a query");
}

static Solver query_solver(const Model *model) {
    const IalsState *state = model->state;
    return (Solver){state->items.dim,
                    state->gram,
                    state->items.row,
                    state->params.reg * state->params.unobserved_weight * model->n_items,
                    state->params.reg,
                    state->params.confidence};
}

static Status prepare_history(ModelQuery *query, Err *err) {
    IalsQuery *ials = query->scratch;
    const History *history = &query->history;
    if (history->n > ials->scaled_capacity) {
        float *grown = mem_resize(ials->scaled, (size_t)history->n, sizeof *grown);
        if (!grown) return fail_nomem(err, "a query");
        ials->scaled = grown;
        ials->scaled_capacity = history->n;
    }
    for (int64_t h = 0; h < history->n; h++) ials->scaled[h] = (float)model_scaled(query->model, history->weight[h]);
    Solver solver = query_solver(query->model);
    dense_begin();
    int singular = solve_row(&solver, &ials->scratch, history->item, ials->scaled, history->n, ials->x);
    dense_end();
    return singular ? fail(err, ST_BADARG, "the user's system has no solution") : ST_OK;
}

static Status ials_prepare(ModelQuery *query, Err *err) {
    const IalsState *state = query->model->state;
    IalsQuery *ials = query->scratch;
    if (query->similar < 0) return prepare_history(query, err);
    memcpy(ials->x, ann_row(&state->items, query->similar), (size_t)state->items.dim * sizeof *ials->x);
    ials->x_norm = state->items.norm[query->similar];
    return ST_OK;
}

static double ials_score(const ModelQuery *query, int32_t item) {
    const IalsState *state = query->model->state;
    const IalsQuery *ials = query->scratch;
    return ann_score(query->similar < 0 ? ANN_IP : ANN_COSINE, ials->x, ials->x_norm, ann_row(&state->items, item),
                     state->items.norm[item], state->items.dim);
}

static Status ials_rank(const ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, TopK *top, Err *err) {
    const IalsState *state = query->model->state;
    const IalsQuery *ials = query->scratch;
    AnnSearch search = {.query = ials->x, .k = top->k, .min_score = -INFINITY, .allowed = allowed, .n_allowed = n_allowed};
    if (query->similar < 0) return state->index.engine->search(&state->index, &search, top, 1, err);
    for (int32_t i = 0; i < query->model->n_items; i++)
        if (ann_allows(allowed, i)) topk_push(top, ials_score(query, i), i);
    return ST_OK;
}

/* z = A^-1 y_i, then part_j = c_j z . y_j. */
static Status ials_contributions(const ModelQuery *query, int32_t item, double *part, Err *err) {
    const IalsState *state = query->model->state;
    const IalsQuery *ials = query->scratch;
    size_t d = (size_t)state->items.dim;
    (void)err;
    memcpy(ials->z, ann_row(&state->items, item), d * sizeof *ials->z);
    dense_begin();
    dense_solve_again(ials->scratch.a, ials->z, state->items.dim, 1);
    dense_end();
    for (int64_t h = 0; h < query->history.n; h++)
        part[h] = (1 + state->params.confidence * (double)ials->scaled[h]) *
                  kernels()->dot(ials->z, ann_row(&state->items, query->history.item[h]), d);
    return ST_OK;
}

const Algorithm ials_algorithm = {
    .name = "ials",
    .summary = "matrix factorisation for implicit feedback by alternating least squares; a new purchase counts at once",
    .scores_all = 1,
    .options = ials_options,
    .params_size = sizeof(IalsParams),
    .train = ials_train,
    .write = ials_write,
    .read = ials_read,
    .free_state = ials_free,
    .memory = ials_memory,
    .query_new = ials_query_new,
    .query_free = ials_query_free,
    .query_prepare = ials_prepare,
    .score = ials_score,
    .rank = ials_rank,
    .contributions = ials_contributions,
};
