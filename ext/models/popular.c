/* popular: the same list for everybody.
 *
 *     count=users    score_i = sum over users u who have i of d_ui
 *                    d_ui = 2^(-(newest - latest time of (u, i)) / half_life)
 *     count=events   score_i = sum over pairs of the summed, decayed weights
 *     count=trend    score_i = (s_i - e_i) / sqrt(e_i + prior)
 *                    s_i as for users, e_i = n_i sum s / sum n: how far the item is above what all
 *                    its users would give it if it faded like all items; half_life says what lately
 *                    means
 *     prior > 0      (users, events) score_i = (s_i + prior m) / (n_i + prior)
 *                    s_i the summed weights, n_i the users of i, m = sum s / sum n: the mean
 *                    weight, drawn to the mean of all items by `prior` imaginary users
 *
 * Cost: O(pairs). */
#include <math.h>
#include <string.h>

#include "../base/bits.h"
#include "../base/memory.h"
#include "algorithms.h"
#include "cost.h"

typedef struct PopularParams {
    int64_t count;
    double prior;
} PopularParams;

enum { COUNT_USERS, COUNT_EVENTS, COUNT_TREND };

static const OptSpec popular_options[] = {
    {"count", OPT_CHOICE, offsetof(PopularParams, count), 0, 0, COUNT_USERS, "users|events|trend",
        "what is added up: each user once, the events' weights, or how much more than usual an "
        "item is bought lately (needs half_life)"},
    {"prior", OPT_REAL, offsetof(PopularParams, prior), 0, 1e9, 0, NULL,
        "imaginary users with the mean weight: ranks by the shrunk mean weight; 0: ranks by the "
        "sum; of trend: 1 or more keeps rare items down"},
    {0},
};

/* Add up what each pair counts for. */
static void add_pairs(const Model *model, const Dataset *data, int by_users, double *score) {
    const Csr *by_user = &data->by_user;
    for (int64_t e = 0; e < csr_nnz(by_user); e++)
        score[by_user->col[e]] += by_users
            ? dataset_decay(1, data->pair_time[e], data->newest, model->common.half_life)
            : (double)by_user->val[e];
}

static Status popular_train(Model *model, const Dataset *data, Task *task, Err *err) {
    PopularParams params;
    double *score = mem_zeros((size_t)model->n_items, sizeof *score);
    double sum = 0;

    (void)task;
    if (!score) return fail_nomem(err, "the popular scores");
    memcpy(&params, &model->params, sizeof params);
    model->state = score;
    if (params.count == COUNT_TREND && model->common.half_life <= 0)
        return fail(err, ST_BADARG, "count=trend needs half_life");
    add_pairs(model, data,
        params.count == COUNT_TREND || (params.count == COUNT_USERS && params.prior <= 0), score);
    for (int32_t i = 0; i < model->n_items; i++) sum += score[i];
    double mean = sum / (double)csr_nnz(&data->by_item);
    for (int32_t i = 0; i < model->n_items; i++) {
        double users = (double)csr_row_len(&data->by_item, i), expected = users * mean;
        if (params.count == COUNT_TREND)
            score[i] = expected + params.prior > 0
                ? (score[i] - expected) / sqrt(expected + params.prior)
                : 0;
        else if (params.prior > 0)
            score[i] = (score[i] + params.prior * mean) / (users + params.prior);
    }
    return ST_OK;
}

static void popular_write(const Model *model, Bytes *out) {
    bytes_append(out, model->state, (size_t)model->n_items * sizeof(double));
}

static Status popular_read(Model *model, Reader *in, Err *err) {
    const void *stored = read_block(in, (uint64_t)model->n_items, sizeof(double));
    double *score = mem_array((size_t)model->n_items, sizeof *score);
    if (!score) return fail_nomem(err, "the popular scores");
    model->state = score;
    if (!stored) return fail(err, ST_CORRUPT, "popular scores are truncated");
    memcpy(score, stored, (size_t)model->n_items * sizeof *score);
    for (int32_t i = 0; i < model->n_items; i++)
        if (!isfinite(score[i]))
            return fail(err, ST_CORRUPT, "popular score %d is not a number", i);
    return ST_OK;
}

static void popular_free(Model *model) {
    mem_free(model->state);
    model->state = NULL;
}

static size_t popular_memory(const Model *model) { return (size_t)model->n_items * sizeof(double); }

static Status popular_query(ModelQuery *query, Err *err) {
    (void)query, (void)err;
    return ST_OK;
}

static void popular_query_free(ModelQuery *query) { (void)query; }

static double popular_score(const ModelQuery *query, int32_t item) {
    return ((const double *)query->model->state)[item];
}

static Status popular_rank(
    const ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, TopK *top, Err *err) {
    const double *score = query->model->state;
    (void)n_allowed, (void)err;
    for (int32_t i = 0; i < query->model->n_items; i++)
        if (topk_wants(top, score[i], i) && (!allowed || bits_have(allowed, i)))
            topk_push(top, score[i], i);
    return ST_OK;
}

static void popular_cost(const CostAsk *ask, Cost *out) {
    out->alone += 2 * (double)csr_nnz(&ask->data->by_user);
    out->stored += 8.0 * ask->data->by_user.n_cols;
}

const Algorithm popular_algorithm = {
    .name = "popular",
    .summary = "what most users have; the same list for everybody",
    .in_auto = AUTO_ALWAYS,
    .impersonal = 1,
    .scores_all = 1,
    .no_similar = 1,
    .options = popular_options,
    .tune_space = "{\"half_life\":[0,7,30,90]}",
    .params_size = sizeof(PopularParams),
    .cost = popular_cost,
    .train = popular_train,
    .write = popular_write,
    .read = popular_read,
    .free_state = popular_free,
    .memory = popular_memory,
    .query_new = popular_query,
    .query_free = popular_query_free,
    .query_prepare = popular_query,
    .score = popular_score,
    .rank = popular_rank,
};
