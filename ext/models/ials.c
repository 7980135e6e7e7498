/* ials: matrix factorisation for implicit feedback by alternating least squares (Hu, Koren and
 * Volinsky 2008), with the regularisation of Rendle, Krichene, Zhang and Koren 2021 ("Revisiting
 * the performance of iALS").
 *
 *     minimise  sum_{(u,i) observed} c_ui (x_u . y_i - 1)^2  +  a0 sum_{all u,i} (x_u . y_i)^2
 *               + reg ( sum_u (d_u + a0 I)^power |x_u|^2 + sum_i (d_i + a0 U)^power |y_i|^2 )
 *
 *     x_u: d factors of user u (U users)      d_u: items of u       c_ui = 1 + confidence * scaled
 *     weight of (u, i)
 *     y_i: d factors of item i (I items)      d_i: users of i       a0 = unobserved_weight
 *
 * That is form=rendle. form=hkv is the loss as Hu, Koren and Volinsky wrote it: sum over all pairs
 * of C_ui (x_u . y_i - p_ui)^2, p_ui = 1 and C_ui = a0 + confidence * scaled weight where the pair
 * was observed, else 0 and a0 (theirs: a0 = 1, reg_power=0).
 *
 * One sweep solves all users, then all items. The user step, and the fold-in of anybody at query
 * time, is
 *
 *     A_u x_u = sum_i c_ui y_i,   A_u = a0 Y'Y + sum_i c_ui y_i y_i' + reg (d_u + a0 I) Id
 *
 * solver=exact turns the factors of the other side so that Y'Y is diagonal (its eigenvectors, once
 * a half sweep) and solves each row in the cheaper of two exact ways (ials_solve.h), then turns the
 * solutions back. solver=blocks moves `block` factors at a time, users then items, block after
 * block (iALS++, Rendle et al. 2021): cheaper for long rows and many factors, and a little less far
 * a sweep. init_from=V starts from the item factors of version V of the model.
 *
 * Only item factors are stored: a user's follow from the history, so a purchase made a second ago
 * counts. Factors start from N(0, (0.1 / sqrt d)^2), one random stream a row. Sums over all rows
 * are taken over chunks of fixed size, added in order in float64: threads do not change a bit.
 *
 * score = x_u . y_i. Neighbours of an item: cosine of the factors. Explanation: score = sum over
 * the history of c_uj y_i' A_u^-1 y_j, exactly. Cost of a sweep: for a row of n entries the lesser
 * of n d^2 / 2 + d^3 / 6 and n^2 d / 2 + n^3 / 6 multiply-adds; blocks of b: n (d^2 / b + d b / 2)
 * + d b^2 / 6. A fold-in: n d^2 / 2 + d^3 / 6. */
#include "cost.h"
#include "ials.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "algorithms.h"

static const OptSpec ials_options[] = {
    {"factors", OPT_INT, offsetof(IalsParams, factors), 1, 1024, 64, NULL,
        "length of a factor vector (d)"},
    {"sweeps", OPT_INT, offsetof(IalsParams, sweeps), 1, 1000, 12, NULL,
        "passes over users and items"},
    {"reg", OPT_REAL, offsetof(IalsParams, reg), 0, 1e6, 0.003, NULL,
        "regularisation, times (items of the user + unobserved_weight * all items)"},
    {"unobserved_weight", OPT_REAL, offsetof(IalsParams, unobserved_weight), 0, 1e6, 0, NULL,
        "weight of the pairs that were not seen (a0); 0: 64 times the share of pairs that were "
        "seen, at most 1 (form=hkv: 1)"},
    {"confidence", OPT_REAL, offsetof(IalsParams, confidence), 0, 1e6, 1, NULL,
        "extra weight of a seen pair, times its scaled weight; raises what is bought again"},
    {"solver", OPT_CHOICE, offsetof(IalsParams, solver), 0, 0, EXACT, "exact|blocks",
        "solve a row at once, or block after block (iALS++)"},
    {"block", OPT_INT, offsetof(IalsParams, block), 1, 1024, 64, NULL,
        "factors in a block of solver=blocks"},
    {"init_from", OPT_INT, offsetof(IalsParams, init_from), 0, 1e12, 0, NULL,
        "start from the item factors of this version of the model; 0: from random ones"},
    {"form", OPT_CHOICE, offsetof(IalsParams, form), 0, 0, FORM_RENDLE, "rendle|hkv",
        "what a seen pair weighs beside unobserved_weight: 1 + confidence x, or, of Hu, Koren and "
        "Volinsky, confidence x"},
    {"reg_power", OPT_REAL, offsetof(IalsParams, reg_power), 0, 2, 1, NULL,
        "how regularisation grows with the counts: 1 in proportion, 0 the same for all"},
    {0},
};

/* ---- storage: the item factors ---- */

static void ials_write(const Model *model, Bytes *out) {
    factors_write(&((const IalsState *)model->state)->factors, out);
}

static Status ials_read(Model *model, Reader *in, Err *err) {
    /* a part of a blend is read with the options that the blend was given */
    ials_choose_weight(model);
    TRY(ials_new_state(model, err));
    TRY(factors_read(&((IalsState *)model->state)->factors, in, err));
    return ials_finish_state(model, err);
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
    return factors_memory(&state->factors) +
        (size_t)state->params.factors * (size_t)state->params.factors * sizeof(float);
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
    if (status == ST_OK)
        status = solver_scratch_init(&ials->scratch, state->factors.items.dim, err);
    ials->z = mem_array((size_t)state->factors.items.dim, sizeof *ials->z);
    if (status == ST_OK && ials->z) return ST_OK;
    ials_query_free(query);
    return fail_nomem(err, "a query");
}

static Solver query_solver(const Model *model) {
    const IalsState *state = model->state;
    const IalsParams *p = &state->params;
    return (Solver){.d = state->factors.items.dim,
        .gram = state->gram,
        .other = state->factors.items.row,
        .reg = p->reg,
        .unseen = p->unobserved_weight * model->n_items,
        .power = p->reg_power,
        .confidence = p->confidence,
        .hkv = p->form == FORM_HKV ? p->unobserved_weight : 0};
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
    int failed = solver_row(&solver, &ials->scratch, query->history.item, ials->base.scaled,
        query->history.n, ials->base.x);
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
        part[h] = solver_target(&solver, ials->base.scaled[h]) *
            kernels()->dot(ials->z, ann_row(items, query->history.item[h]), d);
    return ST_OK;
}

/* Multiply-adds of solving all rows exactly: each in the cheaper of two ways (ials_solve.h). */
static double solving(const Csr *rows, double d) {
    double sum = 0;
    for (int32_t r = 0; r < rows->n_rows; r++) {
        double n = (double)csr_row_len(rows, r);
        sum += fmin(n * d * d / 2 + d * d * d / 6, n * n * d / 2 + n * n * n / 6);
    }
    return sum;
}

static void ials_cost(const CostAsk *ask, Cost *out) {
    IalsParams p;
    memcpy(&p, ask->params, sizeof p);
    const Csr *by_user = &ask->data->by_user;
    double pairs = (double)csr_nnz(by_user), d = (double)p.factors, sweeps = (double)p.sweeps,
           users = by_user->n_rows, items = by_user->n_cols, rows = users + items;
    if (p.solver == EXACT) {
        /* solved; turned there and back; Gram matrices of the solution and of the objective */
        out->product += sweeps *
            (3 * (solving(by_user, d) + solving(&ask->data->by_item, d)) + 5 * rows * d * d);
        out->vector += sweeps * 6 * pairs * d;
    } else {
        double b = (double)p.block, blocks = ceil(d / b);
        out->product += sweeps * 3 * (blocks + 1) *
                (pairs * b * b + rows * (d * b + b * b * b / 6)) +
            sweeps * rows * d * d;
        out->vector += sweeps * (2 * blocks * pairs * (d + b) + 2 * pairs * d);
    }
    out->bytes += 4 * d * users + 8 * pairs + 4 * d * (p.solver == EXACT ? fmax(users, items) : 0);
    cost_factors(out, ask, d);
}

const Algorithm ials_algorithm = {
    .name = "ials",
    .least_events = 5000,
    .summary = "matrix factorisation for implicit feedback by alternating least squares; a new "
               "purchase counts at once",
    .in_auto = AUTO_ALWAYS,
    .scores_all = 1,
    .options = ials_options,
    .tune_space =
        "{\"factors\":[32,64,128],\"unobserved_weight\":{\"min\":0.003,\"max\":1,\"log\":true},"
        "\"reg\":{\"min\":0.0003,\"max\":0.03,\"log\":true},\"confidence\":[0,1,5]}",
    .params_size = sizeof(IalsParams),
    .cost = ials_cost,
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
