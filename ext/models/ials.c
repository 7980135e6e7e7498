/* ials: matrix factorisation for implicit feedback by alternating least squares (Hu, Koren and Volinsky 2008), with the
 * regularisation of Rendle, Krichene, Zhang and Koren 2021 ("Revisiting the performance of iALS").
 *
 *     minimise  sum_{(u,i) observed} c_ui (x_u . y_i - 1)^2  +  a0 sum_{all u,i} (x_u . y_i)^2
 *               + reg ( sum_u (d_u + a0 I)^power |x_u|^2 + sum_i (d_i + a0 U)^power |y_i|^2 )
 *
 *     x_u: d factors of user u (U users)      d_u: items of u       c_ui = 1 + confidence * scaled weight of (u, i)
 *     y_i: d factors of item i (I items)      d_i: users of i       a0 = unobserved_weight
 *
 * That is form=rendle. form=hkv is the loss as Hu, Koren and Volinsky wrote it: sum over all pairs of C_ui (x_u . y_i - p_ui)^2,
 * p_ui = 1 and C_ui = a0 + confidence * scaled weight where the pair was observed, else 0 and a0 (theirs: a0 = 1, reg_power=0).
 *
 * One sweep solves all users, then all items. The user step, and the fold-in of anybody at query time, is
 *
 *     A_u x_u = sum_i c_ui y_i,   A_u = a0 Y'Y + sum_i c_ui y_i y_i' + reg (d_u + a0 I) Id
 *
 * solver=exact turns the factors of the other side so that Y'Y is diagonal (its eigenvectors, once a half sweep) and
 * solves each row in the cheaper of two exact ways (ials_solve.h), then turns the solutions back. solver=blocks moves
 * `block` factors at a time, users then items, block after block (iALS++, Rendle et al. 2021): cheaper for long rows and
 * many factors, and a little less far a sweep. init_from=V starts from the item factors of version V of the model.
 *
 * Only item factors are stored: a user's follow from the history, so a purchase made a second ago counts.
 * Factors start from N(0, (0.1 / sqrt d)^2), one random stream a row. Sums over all rows are taken over chunks of fixed
 * size, added in order in float64: threads do not change a bit.
 *
 * score = x_u . y_i. Neighbours of an item: cosine of the factors. Explanation: score = sum over the history of
 * c_uj y_i' A_u^-1 y_j, exactly.
 * Cost of a sweep: for a row of n entries the lesser of n d^2 / 2 + d^3 / 6 and n^2 d / 2 + n^3 / 6 multiply-adds; blocks of
 * b: n (d^2 / b + d b / 2) + d b^2 / 6. A fold-in: n d^2 / 2 + d^3 / 6. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "algorithms.h"
#include "factors.h"
#include "ials_solve.h"

typedef struct IalsParams {
    int64_t factors;
    int64_t sweeps;
    double reg;
    double unobserved_weight;
    double confidence;
    int64_t solver;
    int64_t block;
    int64_t init_from;
    int64_t form;
    double reg_power;
} IalsParams;

typedef struct IalsState {
    Factors factors; /* y */
    IalsParams params;
    float *gram; /* a0 Y'Y */
} IalsState;

enum { EXACT, BLOCKS };
enum { FORM_RENDLE, FORM_HKV };
static const double LEAST_WEIGHT = 1e-6; /* of unobserved_weight=0 in a huge and empty catalogue */
enum { ROWS_A_PIECE = 32, GRAM_CHUNK = 4096 };

static const OptSpec ials_options[] = {
    {"factors", OPT_INT, offsetof(IalsParams, factors), 1, 1024, 64, NULL, "length of a factor vector (d)"},
    {"sweeps", OPT_INT, offsetof(IalsParams, sweeps), 1, 1000, 12, NULL, "passes over users and items"},
    {"reg", OPT_REAL, offsetof(IalsParams, reg), 0, 1e6, 0.003, NULL,
     "regularisation, times (items of the user + unobserved_weight * all items)"},
    {"unobserved_weight", OPT_REAL, offsetof(IalsParams, unobserved_weight), 0, 1e6, 0, NULL,
     "weight of the pairs that were not seen (a0); 0: 64 times the share of pairs that were seen, at most 1 (form=hkv: 1)"},
    {"confidence", OPT_REAL, offsetof(IalsParams, confidence), 0, 1e6, 1, NULL,
     "extra weight of a seen pair, times its scaled weight; raises what is bought again"},
    {"solver", OPT_CHOICE, offsetof(IalsParams, solver), 0, 0, EXACT, "exact|blocks", "solve a row at once, or block after block (iALS++)"},
    {"block", OPT_INT, offsetof(IalsParams, block), 1, 1024, 64, NULL, "factors in a block of solver=blocks"},
    {"init_from", OPT_INT, offsetof(IalsParams, init_from), 0, 1e12, 0, NULL, "start from the item factors of this version of the model; 0: from random ones"},
    {"form", OPT_CHOICE, offsetof(IalsParams, form), 0, 0, FORM_RENDLE, "rendle|hkv", "what a seen pair weighs beside unobserved_weight: 1 + confidence x, or, of Hu, Koren and Volinsky, confidence x"},
    {"reg_power", OPT_REAL, offsetof(IalsParams, reg_power), 0, 2, 1, NULL, "how regularisation grows with the counts: 1 in proportion, 0 the same for all"},
    {0},
};

/* ---- training ---- */

/* Users or items, solved against the other side. */
typedef struct Half {
    Solver solver;
    const Csr *rows;
    const float *scaled; /* per entry of rows */
    float *x;
    const float *basis;  /* d x d, rows: eigenvectors of the Gram matrix; NULL: factors are not turned */
    const float *other;  /* factors of the columns, as they are */
    float *turned;       /* the same in the basis */
    float **solved;      /* per worker: ROWS_A_PIECE x d */
    int32_t from, b;     /* the block of solver=blocks */
    SolverScratch *scratch; /* per worker */
    _Atomic int singular;
} Half;

static int32_t piece_end(int64_t piece, int32_t rows) {
    int64_t end = (piece + 1) * ROWS_A_PIECE;
    return (int32_t)(end < rows ? end : rows);
}

static int64_t pieces_of(int32_t rows) {
    return ((int64_t)rows + ROWS_A_PIECE - 1) / ROWS_A_PIECE;
}

/* Rows of the other side in the basis: y becomes E y. */
static void turn_piece(void *context, int64_t piece, int worker) {
    const Half *half = context;
    int32_t d = half->solver.d, from = (int32_t)(piece * ROWS_A_PIECE);
    size_t at = (size_t)from * (size_t)d;
    (void)worker;
    dense_multiply(&(DenseProduct){.m = piece_end(piece, half->rows->n_cols) - from, .n = d, .k = d, .alpha = 1, .c = half->turned + at, .c_row = d,
                                   .a = half->other + at, .a_row = d, .b = half->basis, .b_row = d, .b_t = 1});
}

/* Rows solved in the basis, and turned back: x = E' z. */
static void solve_piece(void *context, int64_t piece, int worker) {
    Half *half = context;
    int32_t d = half->solver.d, from = (int32_t)(piece * ROWS_A_PIECE), to = piece_end(piece, half->rows->n_rows);
    float *solved = half->solved[worker];
    for (int32_t r = from; r < to; r++) {
        int64_t e = half->rows->row_start[r];
        if (solver_row(&half->solver, &half->scratch[worker], half->rows->col + e, half->scaled + e, csr_row_len(half->rows, r), solved + (size_t)(r - from) * (size_t)d))
            half->singular = 1;
    }
    dense_multiply(&(DenseProduct){.m = to - from, .n = d, .k = d, .alpha = 1, .c = half->x + (size_t)from * (size_t)d, .c_row = d, .a = solved, .a_row = d, .b = half->basis, .b_row = d});
}

static void block_piece(void *context, int64_t piece, int worker) {
    Half *half = context;
    for (int32_t r = (int32_t)(piece * ROWS_A_PIECE); r < piece_end(piece, half->rows->n_rows); r++) {
        int64_t e = half->rows->row_start[r];
        if (solver_block(&half->solver, &half->scratch[worker], half->from, half->b, half->rows->col + e, half->scaled + e, csr_row_len(half->rows, r), half->x + (size_t)r * (size_t)half->solver.d))
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

static double ridge(const IalsParams *p, int64_t entries, int32_t columns) {
    return p->reg * pow((double)entries + p->unobserved_weight * columns, p->reg_power);
}

static void objective_piece(void *context, int64_t piece, int worker) {
    Objective *o = context;
    size_t d = (size_t)o->params->factors;
    int32_t from = (int32_t)(piece * ROWS_A_PIECE);
    int32_t to = piece_end(piece, o->by_user->n_rows);
    double sum = 0;
    (void)worker;
    for (int32_t u = from; u < to; u++) {
        const float *xu = o->x + (size_t)u * d;
        for (int64_t e = o->by_user->row_start[u]; e < o->by_user->row_start[u + 1]; e++) {
            double score = kernels()->dot(xu, o->y + (size_t)o->by_user->col[e] * d, d), more = o->params->confidence * (double)o->scaled[e], a0 = o->params->unobserved_weight;
            if (o->params->form == FORM_HKV) /* all pairs are counted with a0 x.y^2: this one takes that back */
                sum += (a0 + more) * (score - 1) * (score - 1) - a0 * score * score;
            else
                sum += (1 + more) * (score - 1) * (score - 1);
        }
        sum += ridge(o->params, csr_row_len(o->by_user, u), o->by_user->n_cols) * kernels()->dot(xu, xu, d);
    }
    o->piece[piece] = sum;
}

/* The objective at the top; users are summed in pieces, the pieces in order. */
static Status objective(double *out, const float *x, const float *y, const Csr *by_user, const Csr *by_item, const float *scaled, const IalsParams *p, Task *task, Err *err) {
    int32_t d = (int32_t)p->factors, n_users = by_user->n_rows, n_items = by_user->n_cols;
    size_t size = (size_t)d * (size_t)d;
    float *xx = mem_array(size, sizeof *xx), *yy = mem_array(size, sizeof *yy);
    Objective o = {x, y, scaled, by_user, p, mem_zeros((size_t)pieces_of(by_user->n_rows), sizeof(double))};
    Status status = xx && yy && o.piece ? ST_OK : fail_nomem(err, "the objective");
    double sum = 0, all = 0;

    if (status == ST_OK) status = full_gram(xx, x, 1, n_users, d, err);
    if (status == ST_OK) status = full_gram(yy, y, 1, n_items, d, err);
    if (status == ST_OK) status = task_run(task, pieces_of(by_user->n_rows), objective_piece, &o, err);
    if (status == ST_OK) {
        for (size_t i = 0; i < size; i++) all += (double)xx[i] * (double)yy[i]; /* sum (x_u.y_i)^2 = tr(X'X Y'Y) */
        for (int64_t i = 0; i < pieces_of(by_user->n_rows); i++) sum += o.piece[i];
        for (int32_t i = 0; i < n_items; i++) {
            const float *yi = y + (size_t)i * (size_t)d;
            sum += ridge(p, csr_row_len(by_item, i), n_users) * kernels()->dot(yi, yi, (size_t)d);
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
    float *basis;       /* d x d */
    float *diagonal;    /* d */
    float *turned;      /* the larger of users and items x d */
    float **solved;     /* per worker */
    SolverScratch *scratch;
} Fit;

static Half make_half(const Fit *fit, const Csr *rows, const float *scaled, float *x, const float *other) {
    double a0 = fit->params.unobserved_weight;
    return (Half){
        .solver = {.d = (int32_t)fit->params.factors, .gram = fit->gram, .other = other, .reg = fit->params.reg, .unseen = a0 * rows->n_cols,
                   .power = fit->params.reg_power, .confidence = fit->params.confidence, .hkv = fit->params.form == FORM_HKV ? a0 : 0},
        .rows = rows,
        .scaled = scaled,
        .x = x,
        .other = other,
        .turned = fit->turned,
        .solved = fit->solved,
        .scratch = fit->scratch,
    };
}

static Status singular(const Fit *fit, Err *err) {
    return fail(err, ST_BADARG, "reg=%g is too small: a system has no solution", fit->params.reg);
}

static Status solve_exactly(Fit *fit, Half *half, Task *task, Err *err) {
    size_t d = (size_t)fit->params.factors;
    memcpy(fit->basis, fit->gram, d * d * sizeof *fit->basis);
    int failed = dense_eigen(fit->basis, fit->diagonal, (int32_t)d);
    if (failed) return failed < 0 ? fail_nomem(err, "the eigenvectors") : singular(fit, err);
    for (size_t f = 0; f < d; f++) fit->diagonal[f] = fit->diagonal[f] > 0 ? fit->diagonal[f] : 0; /* rounding apart they are */
    half->basis = fit->basis;
    half->solver.diagonal = fit->diagonal;
    half->solver.other = fit->turned;
    TRY(task_run(task, pieces_of(half->rows->n_cols), turn_piece, half, err));
    return task_run(task, pieces_of(half->rows->n_rows), solve_piece, half, err);
}

static Status solve_half(Fit *fit, const Csr *rows, const float *scaled, float *x, const float *other, Task *task, Err *err) {
    TRY(full_gram(fit->gram, other, fit->params.unobserved_weight, rows->n_cols, (int32_t)fit->params.factors, err));
    Half half = make_half(fit, rows, scaled, x, other);
    TRY(solve_exactly(fit, &half, task, err));
    return half.singular ? singular(fit, err) : ST_OK;
}

/* The block [from, from + block) of all rows. */
static Status move_block(Fit *fit, int32_t from, const Csr *rows, const float *scaled, float *x, const float *other, Task *task, Err *err) {
    int32_t d = (int32_t)fit->params.factors, b = (int32_t)fit->params.block;
    TRY(full_gram(fit->gram, other, fit->params.unobserved_weight, rows->n_cols, d, err));
    Half half = make_half(fit, rows, scaled, x, other);
    half.from = from;
    half.b = from + b < d ? b : d - from;
    TRY(task_run(task, pieces_of(rows->n_rows), block_piece, &half, err));
    return half.singular ? singular(fit, err) : ST_OK;
}

static Status sweep_exact(Fit *fit, Model *model, const Dataset *data, float *y, double begin, Task *task, Err *err) {
    for (int64_t half = 0; half < 2 * fit->params.sweeps; half++) {
        double value;
        if (half % 2 == 0)
            TRY(solve_half(fit, &data->by_user, fit->user_scaled, fit->x, y, task, err));
        else
            TRY(solve_half(fit, &data->by_item, fit->item_scaled, y, fit->x, task, err));
        TRY(objective(&value, fit->x, y, &data->by_user, &data->by_item, fit->user_scaled, &fit->params, task, err));
        TRY(model_log_step(model, (double)(half + 1) / 2, value, task_clock() - begin, err));
    }
    return ST_OK;
}

/* All users against the items as they start: block by block, from 0. */
static Status solve_first(Fit *fit, const Dataset *data, const float *y, Task *task, Err *err) {
    memset(fit->x, 0, (size_t)data->by_user.n_rows * (size_t)fit->params.factors * sizeof *fit->x);
    for (int64_t from = 0; from < fit->params.factors; from += fit->params.block)
        TRY(move_block(fit, (int32_t)from, &data->by_user, fit->user_scaled, fit->x, y, task, err));
    return ST_OK;
}

static Status sweep_blocks(Fit *fit, Model *model, const Dataset *data, float *y, double begin, Task *task, Err *err) {
    for (int64_t sweep = 1; sweep <= fit->params.sweeps; sweep++) {
        double value;
        for (int64_t from = 0; from < fit->params.factors; from += fit->params.block) {
            TRY(move_block(fit, (int32_t)from, &data->by_user, fit->user_scaled, fit->x, y, task, err));
            TRY(move_block(fit, (int32_t)from, &data->by_item, fit->item_scaled, y, fit->x, task, err));
        }
        TRY(objective(&value, fit->x, y, &data->by_user, &data->by_item, fit->user_scaled, &fit->params, task, err));
        TRY(model_log_step(model, (double)sweep, value, task_clock() - begin, err));
    }
    return ST_OK;
}

/* Random factors, then those of the version to start from where it knows the item. */
static Status start_items(const Model *model, float *y, const IalsParams *params, Err *err) {
    const Model *start = model->start;
    size_t d = (size_t)params->factors;
    factors_start(y, model->n_items, (int32_t)d, 0.1 / sqrt((double)d), (uint64_t)model->common.seed);
    if (!start) return ST_OK;
    const IalsState *before = start->state;
    if (start->algorithm != model->algorithm || before->params.factors != params->factors)
        return fail(err, ST_BADARG, "init_from: the version is %s%s", start->algorithm->name, start->algorithm == model->algorithm ? " with another number of factors" : "");
    for (int32_t i = 0; i < model->n_items; i++) {
        int32_t known = keymap_find(start->items, keymap_key(model->items, i));
        if (known >= 0) memcpy(y + (size_t)i * d, ann_row(&before->factors.items, known), d * sizeof *y);
    }
    return ST_OK;
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
    state->gram = mem_aligned((size_t)d, (size_t)d * sizeof *state->gram);
    if (!state->gram) return fail_nomem(err, "the Gram matrix");
    TRY(dense_begin(1, err));
    Status status = full_gram(state->gram, state->factors.items.row, state->params.unobserved_weight, model->n_items, d, err);
    dense_end();
    return status == ST_OK ? factors_finish(&state->factors, err) : status;
}

/* What unobserved_weight=0 stands for, which the version then says: from what the model knows of its events, in training and in reading
 * the same (docs/decisions/0007-defaults.md). */
static void choose_weight(Model *model) {
    IalsParams p;
    double pairs = (double)model->n_users * (double)model->n_items, seen = 0;
    memcpy(&p, &model->params, sizeof p);
    if (p.unobserved_weight > 0) return;
    for (int32_t i = 0; i < model->n_items; i++) seen += (double)model->popularity[i];
    p.unobserved_weight = p.form == FORM_HKV || pairs <= 0 ? 1 : fmax(LEAST_WEIGHT, fmin(1, 64 * seen / pairs));
    memcpy(&model->params, &p, sizeof p);
}

static Status new_state(Model *model, Err *err) {
    IalsState *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (!state) return fail_nomem(err, "the factors");
    memcpy(&state->params, &model->params, sizeof state->params);
    return factors_init(&state->factors, model->n_items, (int32_t)state->params.factors, (int32_t)state->params.factors, err);
}

static Status allocate(Fit *fit, const Dataset *data, int threads, Err *err) {
    size_t d = (size_t)fit->params.factors, users = (size_t)data->by_user.n_rows, items = (size_t)data->by_item.n_rows;
    int exact = fit->params.solver == EXACT;
    fit->x = mem_aligned(users, d * sizeof(float));
    fit->gram = mem_aligned(d, d * sizeof(float));
    fit->basis = mem_aligned(d, d * sizeof(float));
    fit->diagonal = mem_aligned(d, sizeof(float));
    fit->turned = mem_aligned(!exact ? 0 : users > items ? users : items, d * sizeof(float));
    fit->scratch = mem_zeros((size_t)threads, sizeof *fit->scratch);
    fit->solved = mem_zeros((size_t)threads, sizeof *fit->solved);
    if (!fit->x || !fit->gram || !fit->basis || !fit->diagonal || !fit->turned || !fit->scratch || !fit->solved) return fail_nomem(err, "the factors");
    for (int w = 0; w < threads; w++) {
        TRY(solver_scratch_init(&fit->scratch[w], (int32_t)d, err));
        if (!(fit->solved[w] = mem_aligned(ROWS_A_PIECE, d * sizeof(float)))) return fail_nomem(err, "the factors");
    }
    return ST_OK;
}

static void fit_clear(Fit *fit, int threads) {
    for (int w = 0; w < threads; w++) {
        if (fit->scratch) solver_scratch_clear(&fit->scratch[w]);
        if (fit->solved) mem_free(fit->solved[w]);
    }
    mem_free(fit->scratch);
    mem_free(fit->solved);
    mem_free(fit->x);
    mem_free(fit->gram);
    mem_free(fit->basis);
    mem_free(fit->diagonal);
    mem_free(fit->turned);
    mem_free(fit->user_scaled);
    mem_free(fit->item_scaled);
}

static Status fit_factors(Fit *fit, Model *model, const Dataset *data, Task *task, Err *err) {
    float *y = ((IalsState *)model->state)->factors.items.row;
    TRY(allocate(fit, data, task->threads, err));
    TRY(scaled_values(&fit->user_scaled, model, &data->by_user, err));
    TRY(scaled_values(&fit->item_scaled, model, &data->by_item, err));
    TRY(start_items(model, y, &fit->params, err));
    double begin = task_clock();
    TRY(dense_begin(task->threads, err));
    Status status = ST_OK;
    if (fit->params.solver == BLOCKS) {
        status = solve_first(fit, data, y, task, err);
        if (status == ST_OK) status = sweep_blocks(fit, model, data, y, begin, task, err);
    } else {
        status = sweep_exact(fit, model, data, y, begin, task, err);
    }
    dense_end();
    return status;
}

static Status ials_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Fit fit = {0};
    choose_weight(model);
    memcpy(&fit.params, &model->params, sizeof fit.params);
    int64_t users = pieces_of(data->by_user.n_rows), items = pieces_of(data->by_item.n_rows), blocks = (fit.params.factors + fit.params.block - 1) / fit.params.block;
    /* exact: a sweep turns and solves users and items, and takes the objective after each */
    task_phase(task, "factors", "sweeps", fit.params.sweeps, fit.params.sweeps * (fit.params.solver == EXACT ? 4 * users + 2 * items : blocks * (users + items) + users));
    Status status = new_state(model, err);
    if (status == ST_OK) status = fit_factors(&fit, model, data, task, err);
    if (status == ST_OK) status = finish_state(model, err);
    fit_clear(&fit, task->threads);
    return status;
}

/* ---- storage: the item factors ---- */

static void ials_write(const Model *model, Bytes *out) {
    factors_write(&((const IalsState *)model->state)->factors, out);
}

static Status ials_read(Model *model, Reader *in, Err *err) {
    choose_weight(model); /* a part of a blend is read with the options that the blend was given */
    TRY(new_state(model, err));
    TRY(factors_read(&((IalsState *)model->state)->factors, in, err));
    return finish_state(model, err);
}

static void ials_free(Model *model) {
    IalsState *state = model->state;
    if (!state) return;
    factors_clear(&state->factors);
    mem_free(state->gram);
    mem_free(state);
    model->state = NULL;
}

static size_t ials_memory(const Model *model) {
    const IalsState *state = model->state;
    return factors_memory(&state->factors) + (size_t)state->params.factors * (size_t)state->params.factors * sizeof(float);
}

/* ---- queries ---- */

typedef struct IalsQuery {
    FactorQuery base;
    SolverScratch scratch;
    float *z; /* d */
} IalsQuery;

static void ials_query_free(ModelQuery *query) {
    IalsQuery *ials = query->scratch;
    if (!ials) return;
    factor_query_clear(&ials->base);
    solver_scratch_clear(&ials->scratch);
    mem_free(ials->z);
    mem_free(ials);
    query->scratch = NULL;
}

static Status ials_query_new(ModelQuery *query, Err *err) {
    const IalsState *state = query->model->state;
    IalsQuery *ials = mem_zeros(1, sizeof *ials);
    query->scratch = ials;
    if (!ials) return fail_nomem(err, "a query");
    Status status = factor_query_init(&ials->base, &state->factors, err);
    if (status == ST_OK) status = solver_scratch_init(&ials->scratch, state->factors.items.dim, err);
    ials->z = mem_array((size_t)state->factors.items.dim, sizeof *ials->z);
    if (status == ST_OK && ials->z) return ST_OK;
    ials_query_free(query);
    return fail_nomem(err, "a query");
}

static Solver query_solver(const Model *model) {
    const IalsState *state = model->state;
    const IalsParams *p = &state->params;
    return (Solver){.d = state->factors.items.dim, .gram = state->gram, .other = state->factors.items.row, .reg = p->reg, .unseen = p->unobserved_weight * model->n_items,
                    .power = p->reg_power, .confidence = p->confidence, .hkv = p->form == FORM_HKV ? p->unobserved_weight : 0};
}

static Status ials_prepare(ModelQuery *query, Err *err) {
    IalsQuery *ials = query->scratch;
    if (query->similar >= 0) {
        factors_prepare_similar(query);
        return ST_OK;
    }
    TRY(factor_query_scale(query, err));
    Solver solver = query_solver(query->model);
    TRY(dense_begin(1, err));
    int failed = solver_row(&solver, &ials->scratch, query->history.item, ials->base.scaled, query->history.n, ials->base.x);
    dense_end();
    return failed ? fail(err, ST_BADARG, "the user's system has no solution") : ST_OK;
}

/* z = A^-1 y_i, then part_j = b_j z . y_j. */
static Status ials_contributions(const ModelQuery *query, int32_t item, double *part, Err *err) {
    const IalsState *state = query->model->state;
    const IalsQuery *ials = query->scratch;
    Solver solver = query_solver(query->model);
    const AnnVectors *items = &state->factors.items;
    size_t d = (size_t)items->dim;
    memcpy(ials->z, ann_row(items, item), d * sizeof *ials->z);
    TRY(dense_begin(1, err));
    dense_solve_again(ials->scratch.a, ials->z, items->dim, 1);
    dense_end();
    for (int64_t h = 0; h < query->history.n; h++)
        part[h] = solver_target(&solver, ials->base.scaled[h]) * kernels()->dot(ials->z, ann_row(items, query->history.item[h]), d);
    return ST_OK;
}

const Algorithm ials_algorithm = {
    .name = "ials",
    .summary = "matrix factorisation for implicit feedback by alternating least squares; a new purchase counts at once",
    .scores_all = 1,
    .options = ials_options,
    .tune_space = "{\"factors\":[32,64,128],\"unobserved_weight\":{\"min\":0.003,\"max\":1,\"log\":true},\"reg\":{\"min\":0.0003,\"max\":0.03,\"log\":true},\"confidence\":[0,1,5]}",
    .params_size = sizeof(IalsParams),
    .train = ials_train,
    .write = ials_write,
    .read = ials_read,
    .free_state = ials_free,
    .memory = ials_memory,
    .query_new = ials_query_new,
    .query_free = ials_query_free,
    .query_prepare = ials_prepare,
    .score = factors_score,
    .rank = factors_rank,
    .item_vector = factors_item_vector,
    .alike = factors_alike,
    .index = factors_index,
    .asker = factors_asker,
    .contributions = ials_contributions,
};
