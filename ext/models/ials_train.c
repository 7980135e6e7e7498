/* Training of ials: its state, and the sweeps (formulas at the top of ials.c). */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "ials.h"

static const double LEAST_WEIGHT = 1e-6; /* of unobserved_weight=0 in a huge and empty catalogue */

enum { ROWS_A_PIECE = 32 };

/* What queries need beside the factors: a0 Y'Y and an index for the top k. */
Status ials_finish_state(Model *model, Err *err) {
    IalsState *state = model->state;
    int32_t d = (int32_t)state->params.factors;
    state->gram = mem_aligned((size_t)d, (size_t)d * sizeof *state->gram);
    if (!state->gram) return fail_nomem(err, "the Gram matrix");
    TRY(dense_begin(1, err));
    Status status = ials_gram(state->gram, state->factors.items.row,
        state->params.unobserved_weight, model->n_items, d, err);
    dense_end();
    return status == ST_OK ? factors_finish(&state->factors, err) : status;
}

/* What unobserved_weight=0 stands for, which the version then says: from what the model knows of
 * its events, in training and in reading the same (docs/decisions/0007-defaults.md). */
void ials_choose_weight(Model *model) {
    IalsParams p;
    double pairs = (double)model->n_users * (double)model->n_items, seen = 0;
    memcpy(&p, &model->params, sizeof p);
    if (p.unobserved_weight > 0) return;
    for (int32_t i = 0; i < model->n_items; i++) seen += (double)model->popularity[i];
    p.unobserved_weight = p.form == FORM_HKV || pairs <= 0
        ? 1
        : fmax(LEAST_WEIGHT, fmin(1, 64 * seen / pairs));
    memcpy(&model->params, &p, sizeof p);
}

Status ials_new_state(Model *model, Err *err) {
    IalsState *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (!state) return fail_nomem(err, "the factors");
    memcpy(&state->params, &model->params, sizeof state->params);
    return factors_init(&state->factors, model->n_items, (int32_t)state->params.factors,
        (int32_t)state->params.factors, err);
}

/* Users or items, solved against the other side. */
typedef struct Half {
    Solver solver;
    const Csr *rows;
    const float *scaled; /* per entry of rows */
    float *x;
    /* d x d, rows: eigenvectors of the Gram matrix; NULL: factors are not turned */
    const float *basis;
    const float *other;     /* factors of the columns, as they are */
    float *turned;          /* the same in the basis */
    float **solved;         /* per worker: ROWS_A_PIECE x d */
    int32_t from, b;        /* the block of solver=blocks */
    SolverScratch *scratch; /* per worker */
    _Atomic int singular;
} Half;

static int32_t piece_end(int64_t piece, int32_t rows) {
    int64_t end = (piece + 1) * ROWS_A_PIECE;
    return (int32_t)(end < rows ? end : rows);
}

static int64_t pieces_of(int32_t rows) { return ((int64_t)rows + ROWS_A_PIECE - 1) / ROWS_A_PIECE; }

/* Rows of the other side in the basis: y becomes E y. */
static void turn_piece(void *context, int64_t piece, int worker) {
    const Half *half = context;
    int32_t d = half->solver.d, from = (int32_t)(piece * ROWS_A_PIECE);
    size_t at = (size_t)from * (size_t)d;
    (void)worker;
    dense_multiply(&(DenseProduct){.m = piece_end(piece, half->rows->n_cols) - from,
        .n = d,
        .k = d,
        .alpha = 1,
        .c = half->turned + at,
        .c_row = d,
        .a = half->other + at,
        .a_row = d,
        .b = half->basis,
        .b_row = d,
        .b_t = 1});
}

/* Rows solved in the basis, and turned back: x = E' z. */
static void solve_piece(void *context, int64_t piece, int worker) {
    Half *half = context;
    int32_t d = half->solver.d, from = (int32_t)(piece * ROWS_A_PIECE),
            to = piece_end(piece, half->rows->n_rows);
    float *solved = half->solved[worker];
    for (int32_t r = from; r < to; r++) {
        int64_t e = half->rows->row_start[r];
        if (solver_row(&half->solver, &half->scratch[worker], half->rows->col + e, half->scaled + e,
                csr_row_len(half->rows, r), solved + (size_t)(r - from) * (size_t)d))
            half->singular = 1;
    }
    dense_multiply(&(DenseProduct){.m = to - from,
        .n = d,
        .k = d,
        .alpha = 1,
        .c = half->x + (size_t)from * (size_t)d,
        .c_row = d,
        .a = solved,
        .a_row = d,
        .b = half->basis,
        .b_row = d});
}

static void block_piece(void *context, int64_t piece, int worker) {
    Half *half = context;
    for (int32_t r = (int32_t)(piece * ROWS_A_PIECE); r < piece_end(piece, half->rows->n_rows);
         r++) {
        int64_t e = half->rows->row_start[r];
        if (solver_block(&half->solver, &half->scratch[worker], half->from, half->b,
                half->rows->col + e, half->scaled + e, csr_row_len(half->rows, r),
                half->x + (size_t)r * (size_t)half->solver.d))
            half->singular = 1;
    }
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
            double score = kernels()->dot(xu, o->y + (size_t)o->by_user->col[e] * d, d),
                   more = o->params->confidence * (double)o->scaled[e],
                   a0 = o->params->unobserved_weight;
            /* all pairs are counted with a0 x.y^2: this one takes that back */
            if (o->params->form == FORM_HKV)
                sum += (a0 + more) * (score - 1) * (score - 1) - a0 * score * score;
            else sum += (1 + more) * (score - 1) * (score - 1);
        }
        sum += ridge(o->params, csr_row_len(o->by_user, u), o->by_user->n_cols) *
            kernels()->dot(xu, xu, d);
    }
    o->piece[piece] = sum;
}

/* The objective at the top; users are summed in pieces, the pieces in order. */
static Status objective(double *out, const float *x, const float *y, const Csr *by_user,
    const Csr *by_item, const float *scaled, const IalsParams *p, Task *task, Err *err) {
    int32_t d = (int32_t)p->factors, n_users = by_user->n_rows, n_items = by_user->n_cols;
    size_t size = (size_t)d * (size_t)d;
    float *xx = mem_array(size, sizeof *xx), *yy = mem_array(size, sizeof *yy);
    Objective o = {
        x, y, scaled, by_user, p, mem_zeros((size_t)pieces_of(by_user->n_rows), sizeof(double))};
    Status status = xx && yy && o.piece ? ST_OK : fail_nomem(err, "the objective");
    double sum = 0, all = 0;

    if (status == ST_OK) status = ials_gram(xx, x, 1, n_users, d, err);
    if (status == ST_OK) status = ials_gram(yy, y, 1, n_items, d, err);
    if (status == ST_OK)
        status = task_run(task, pieces_of(by_user->n_rows), objective_piece, &o, err);
    if (status == ST_OK) {
        /* sum (x_u.y_i)^2 = tr(X'X Y'Y) */
        for (size_t i = 0; i < size; i++) all += (double)xx[i] * (double)yy[i];
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

static Half make_half(
    const Fit *fit, const Csr *rows, const float *scaled, float *x, const float *other) {
    double a0 = fit->params.unobserved_weight;
    return (Half){
        .solver = {.d = (int32_t)fit->params.factors,
            .gram = fit->gram,
            .other = other,
            .reg = fit->params.reg,
            .unseen = a0 * rows->n_cols,
            .power = fit->params.reg_power,
            .confidence = fit->params.confidence,
            .hkv = fit->params.form == FORM_HKV ? a0 : 0},
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
    /* rounding apart they are */
    for (size_t f = 0; f < d; f++) fit->diagonal[f] = fit->diagonal[f] > 0 ? fit->diagonal[f] : 0;
    half->basis = fit->basis;
    half->solver.diagonal = fit->diagonal;
    half->solver.other = fit->turned;
    TRY(task_run(task, pieces_of(half->rows->n_cols), turn_piece, half, err));
    return task_run(task, pieces_of(half->rows->n_rows), solve_piece, half, err);
}

static Status solve_half(Fit *fit, const Csr *rows, const float *scaled, float *x,
    const float *other, Task *task, Err *err) {
    TRY(ials_gram(fit->gram, other, fit->params.unobserved_weight, rows->n_cols,
        (int32_t)fit->params.factors, err));
    Half half = make_half(fit, rows, scaled, x, other);
    TRY(solve_exactly(fit, &half, task, err));
    return half.singular ? singular(fit, err) : ST_OK;
}

/* The block [from, from + block) of all rows. */
static Status move_block(Fit *fit, int32_t from, const Csr *rows, const float *scaled, float *x,
    const float *other, Task *task, Err *err) {
    int32_t d = (int32_t)fit->params.factors, b = (int32_t)fit->params.block;
    TRY(ials_gram(fit->gram, other, fit->params.unobserved_weight, rows->n_cols, d, err));
    Half half = make_half(fit, rows, scaled, x, other);
    half.from = from;
    half.b = from + b < d ? b : d - from;
    TRY(task_run(task, pieces_of(rows->n_rows), block_piece, &half, err));
    return half.singular ? singular(fit, err) : ST_OK;
}

static Status sweep_exact(
    Fit *fit, Model *model, const Dataset *data, float *y, double begin, Task *task, Err *err) {
    for (int64_t half = 0; half < 2 * fit->params.sweeps; half++) {
        double value;
        if (half % 2 == 0)
            TRY(solve_half(fit, &data->by_user, fit->user_scaled, fit->x, y, task, err));
        else TRY(solve_half(fit, &data->by_item, fit->item_scaled, y, fit->x, task, err));
        TRY(objective(&value, fit->x, y, &data->by_user, &data->by_item, fit->user_scaled,
            &fit->params, task, err));
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

static Status sweep_blocks(
    Fit *fit, Model *model, const Dataset *data, float *y, double begin, Task *task, Err *err) {
    for (int64_t sweep = 1; sweep <= fit->params.sweeps; sweep++) {
        double value;
        for (int64_t from = 0; from < fit->params.factors; from += fit->params.block) {
            TRY(move_block(
                fit, (int32_t)from, &data->by_user, fit->user_scaled, fit->x, y, task, err));
            TRY(move_block(
                fit, (int32_t)from, &data->by_item, fit->item_scaled, y, fit->x, task, err));
        }
        TRY(objective(&value, fit->x, y, &data->by_user, &data->by_item, fit->user_scaled,
            &fit->params, task, err));
        TRY(model_log_step(model, (double)sweep, value, task_clock() - begin, err));
    }
    return ST_OK;
}

/* Random factors, then those of the version to start from where it knows the item. */
static Status start_items(const Model *model, float *y, const IalsParams *params, Err *err) {
    const Model *start = model->start;
    size_t d = (size_t)params->factors;
    factors_start(
        y, model->n_items, (int32_t)d, 0.1 / sqrt((double)d), (uint64_t)model->common.seed);
    if (!start) return ST_OK;
    const IalsState *before = start->state;
    if (start->algorithm != model->algorithm || before->params.factors != params->factors)
        return fail(err, ST_BADARG, "init_from: the version is %s%s", start->algorithm->name,
            start->algorithm == model->algorithm ? " with another number of factors" : "");
    for (int32_t i = 0; i < model->n_items; i++) {
        int32_t known = keymap_find(start->items, keymap_key(model->items, i));
        if (known >= 0)
            memcpy(y + (size_t)i * d, ann_row(&before->factors.items, known), d * sizeof *y);
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

static Status allocate(Fit *fit, const Dataset *data, int threads, Err *err) {
    size_t d = (size_t)fit->params.factors, users = (size_t)data->by_user.n_rows,
           items = (size_t)data->by_item.n_rows;
    int exact = fit->params.solver == EXACT;
    fit->x = mem_aligned(users, d * sizeof(float));
    fit->gram = mem_aligned(d, d * sizeof(float));
    fit->basis = mem_aligned(d, d * sizeof(float));
    fit->diagonal = mem_aligned(d, sizeof(float));
    fit->turned = mem_aligned(!exact ? 0 : users > items ? users : items, d * sizeof(float));
    fit->scratch = mem_zeros((size_t)threads, sizeof *fit->scratch);
    fit->solved = mem_zeros((size_t)threads, sizeof *fit->solved);
    if (!fit->x || !fit->gram || !fit->basis || !fit->diagonal || !fit->turned || !fit->scratch ||
        !fit->solved)
        return fail_nomem(err, "the factors");
    for (int w = 0; w < threads; w++) {
        TRY(solver_scratch_init(&fit->scratch[w], (int32_t)d, err));
        if (!(fit->solved[w] = mem_aligned(ROWS_A_PIECE, d * sizeof(float))))
            return fail_nomem(err, "the factors");
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

Status ials_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Fit fit = {0};
    ials_choose_weight(model);
    memcpy(&fit.params, &model->params, sizeof fit.params);
    int64_t users = pieces_of(data->by_user.n_rows), items = pieces_of(data->by_item.n_rows),
            blocks = (fit.params.factors + fit.params.block - 1) / fit.params.block;
    /* exact: a sweep turns and solves users and items, and takes the objective after each */
    task_phase(task, "factors", "sweeps", fit.params.sweeps,
        fit.params.sweeps *
            (fit.params.solver == EXACT ? 4 * users + 2 * items
                                        : blocks * (users + items) + users));
    Status status = ials_new_state(model, err);
    if (status == ST_OK) status = fit_factors(&fit, model, data, task, err);
    if (status == ST_OK) status = ials_finish_state(model, err);
    fit_clear(&fit, task->threads);
    return status;
}
