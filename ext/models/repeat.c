/* repeat: what the customer buys again.
 *
 *     variant=frequency   her own items by how often and how lately, then the popular ones (the
 *                         personal top-frequency baseline of next-basket studies, GP-TopFreq in Li
 *                         et al. 2023). For the items i of u
 *
 *                         score_ui = x_ui + 1e-6 (users of i) / (1 + users of the most popular one)
 *
 *                         x_ui: the sum of the weights of u's events with i, each halved every
 *                         half_life days (common option), scaled
 *
 *     variant=tifu        temporal item frequency and neighbours (TIFU-kNN, Hu et al. 2020):
 *
 *                         score_ui = alpha p_ui + (1 - alpha) mean of p_vi over the `neighbours`
 *                                    users v nearest to u
 *
 *                         p_u: weights by baskets (BasketRules in dataset.h: `group`, `decay`,
 *                         `group_decay`), a basket being the events of one time; near by Euclidean
 *                         distance of p_u and p_v, of equally near ones the lower number; who is u
 *                         herself (distance 0) is passed over
 *
 *                         cadence: u's own p_ui times how due i is (cadence.h), scaled so that
 *                         their sum stays
 *
 * frequency scores nothing but the history; all other items follow from the popular list. tifu
 * keeps the users' p without their keys (docs/decisions/0009-rows-without-keys.md). Unlike other
 * algorithms it offers what is in the history unless exclude_seen=true. Cost: nothing to train; a
 * query O(history), of tifu also the users and the users of the history's items. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"
#include "cadence.h"
#include "cost.h"
#include "user_rows.h"

typedef struct RepeatParams {
    int64_t variant;
    int64_t neighbours;
    int64_t group;
    double alpha;
    double decay;
    double group_decay;
    int64_t cadence;
    double horizon;
} RepeatParams;

enum { FREQUENCY, TIFU };

static const OptSpec repeat_options[] = {
    {"variant", OPT_CHOICE, offsetof(RepeatParams, variant), 0, 0, FREQUENCY, "frequency|tifu",
        "her own frequencies, or those by baskets blended with her neighbours'"},
    {"neighbours", OPT_INT, offsetof(RepeatParams, neighbours), 1, 100000, 300, NULL,
        "tifu: users that are asked"},
    {"alpha", OPT_REAL, offsetof(RepeatParams, alpha), 0, 1, .7, NULL, "tifu: share of her own"},
    {"group", OPT_INT, offsetof(RepeatParams, group), 1, 1000000, 7, NULL,
        "tifu: baskets in a group"},
    {"decay", OPT_REAL, offsetof(RepeatParams, decay), 0, 1, .9, NULL,
        "tifu: what a basket is worth beside the next one of its group"},
    {"group_decay", OPT_REAL, offsetof(RepeatParams, group_decay), 0, 1, .7, NULL,
        "tifu: what a group is worth beside the next one"},
    {"cadence", OPT_FLAG, offsetof(RepeatParams, cadence), 0, 1, 0, NULL,
        "tifu: whether an item counts more when it is due, by the days since she had it last"},
    {"horizon", OPT_REAL, offsetof(RepeatParams, horizon), 0, 3650, 30, NULL,
        "cadence: days in which what is listed is to be bought; 0: the next basket"},
    {0},
};

typedef struct Repeat {
    RepeatParams params;
    Csr by_user;    /* tifu: p */
    Csr by_item;    /* its transpose */
    double *square; /* |p_v|^2 */
    Cadence cadence;
} Repeat;

static BasketRules repeat_baskets(const AlgorithmParams *params) {
    RepeatParams p;
    memcpy(&p, params, sizeof p);
    return p.variant == TIFU ? (BasketRules){p.group, p.decay, p.group_decay} : (BasketRules){0};
}

static int repeat_wants_order(const AlgorithmParams *params) {
    RepeatParams p;
    memcpy(&p, params, sizeof p);
    return p.variant == TIFU && p.cadence;
}

static Repeat *new_state(Model *model, Err *err) {
    Repeat *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (state) memcpy(&state->params, &model->params, sizeof state->params);
    if (!state) fail_nomem(err, "the users");
    return state;
}

/* What follows from by_user. */
static Status finish_state(Repeat *state, Err *err) {
    TRY(csr_transpose(&state->by_item, &state->by_user, err));
    state->square = mem_zeros((size_t)state->by_user.n_rows, sizeof *state->square);
    if (!state->square) return fail_nomem(err, "the users");
    for (int32_t u = 0; u < state->by_user.n_rows; u++)
        for (int64_t e = state->by_user.row_start[u]; e < state->by_user.row_start[u + 1]; e++)
            state->square[u] += (double)state->by_user.val[e] * (double)state->by_user.val[e];
    return ST_OK;
}

static Status repeat_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Repeat *state = new_state(model, err);
    if (!state) return ST_NOMEM;
    if (state->params.variant == FREQUENCY) return ST_OK;
    task_phase(task, "baskets", "users", 0, 0);
    TRY(csr_copy(&state->by_user, &data->by_user, err));
    if (state->params.cadence) {
        BasketRules rules = repeat_baskets(&model->params);
        TRY(cadence_train(&state->cadence, data, &rules, state->params.horizon, task, err));
    }
    return finish_state(state, err);
}

static void repeat_write(const Model *model, Bytes *out) {
    const Repeat *state = model->state;
    if (state->params.variant == FREQUENCY) return;
    user_rows_write(&state->by_user, out);
    if (state->params.cadence) cadence_write(&state->cadence, out);
}

static Status repeat_read(Model *model, Reader *in, Err *err) {
    Repeat *state = new_state(model, err);
    if (!state) return ST_NOMEM;
    if (state->params.variant == FREQUENCY) return ST_OK;
    TRY(user_rows_read(&state->by_user, model->n_items, in, err));
    if (state->params.cadence) TRY(cadence_read(&state->cadence, model->n_items, in, err));
    return finish_state(state, err);
}

static int repeat_keeps_rows(const Model *model) {
    return ((const Repeat *)model->state)->params.variant == TIFU;
}

static Status repeat_forget(Model *model, const History *history, int *removed, Err *err) {
    Repeat *state = model->state;
    (void)err;
    int32_t row = user_rows_find(&state->by_user, history, NULL, model);
    *removed = row >= 0;
    if (*removed) csr_remove_row(&state->by_user, row);
    return ST_OK;
}

static void repeat_free(Model *model) {
    Repeat *state = model->state;
    if (!state) return;
    csr_clear(&state->by_user);
    csr_clear(&state->by_item);
    mem_free(state->square);
    cadence_clear(&state->cadence);
    mem_free(state);
    model->state = NULL;
}

static size_t repeat_memory(const Model *model) {
    const Repeat *state = model->state;
    return sizeof *state + (size_t)csr_nnz(&state->by_user) * 16 +
        (size_t)state->by_user.n_rows * 24 + (size_t)state->cadence.n_items * sizeof(float);
}

/* ---- queries ---- */

static Status repeat_query_new(ModelQuery *query, Err *err) {
    return user_query_new(query, ((const Repeat *)query->model->state)->by_user.n_rows, err);
}

/* The users nearest to the history into q->list; returns how many. */
static size_t nearest(const ModelQuery *query, UserQuery *q) {
    const Repeat *state = query->model->state;
    const History *history = &query->history;
    size_t n = 0;
    double own = 0, farthest = 0;
    scoreboard_reset(&q->users, 1);
    for (int64_t h = 0; h < history->n; h++) {
        own += (double)history->weight[h] * (double)history->weight[h];
        for (int64_t e = state->by_item.row_start[history->item[h]];
             e < state->by_item.row_start[history->item[h] + 1]; e++)
            q->users.score[state->by_item.col[e]] += (double)history->weight[h] *
                (double)state->by_item.val[e];
    }
    for (int32_t v = 0; v < state->by_user.n_rows; v++) {
        double distance = own + state->square[v] - 2 * q->users.score[v];
        if (distance > 1e-10 * own) q->list[n++] = (Scored){distance, v};
        farthest = fmax(farthest, distance);
    }
    /* the nearest has the most */
    for (size_t i = 0; i < n; i++) q->list[i].score = farthest + 1 - q->list[i].score;
    return scored_best(q->list, n, (size_t)state->params.neighbours);
}

static void add_neighbours(const ModelQuery *query, UserQuery *q) {
    const Repeat *state = query->model->state;
    size_t n = nearest(query, q);
    double share = n ? (1 - state->params.alpha) / (double)n : 0;
    for (size_t i = 0; i < n; i++)
        for (int64_t e = state->by_user.row_start[q->list[i].id];
             e < state->by_user.row_start[q->list[i].id + 1]; e++)
            q->items.score[state->by_user.col[e]] += share * (double)state->by_user.val[e];
}

/* What her own part of a score is, of each item of the history; own is to be mem_free'd. */
static Status own_parts(const ModelQuery *query, double **own, Err *err) {
    const Model *model = query->model;
    const Repeat *state = model->state;
    const History *history = &query->history;
    if (state->params.cadence)
        TRY(cadence_factors(&state->cadence, model->newest, history, own, err));
    else if (!(*own = mem_array((size_t)history->n, sizeof **own)))
        return fail_nomem(err, "a query");
    for (int64_t h = 0; h < history->n; h++)
        (*own)[h] = state->params.alpha * (double)history->weight[h] *
            (state->params.cadence ? (*own)[h] : 1);
    return ST_OK;
}

static Status prepare_tifu(ModelQuery *query, UserQuery *q, Err *err) {
    double *own = NULL;
    scoreboard_reset(&q->items, 1);
    Status status = own_parts(query, &own, err);
    for (int64_t h = 0; status == ST_OK && h < query->history.n; h++)
        scoreboard_add(&q->items, query->history.item[h], own[h]);
    mem_free(own);
    if (status == ST_OK) add_neighbours(query, q);
    return status;
}

static Status repeat_prepare(ModelQuery *query, Err *err) {
    const Model *model = query->model;
    const Repeat *state = model->state;
    UserQuery *q = query->scratch;
    double most = model->n_items ? (double)model->popularity[model->popular[0]] : 0;
    if (state->params.variant == TIFU) return prepare_tifu(query, q, err);
    scoreboard_reset(&q->items, 0);
    for (int64_t h = 0; h < query->history.n; h++) {
        int32_t item = query->history.item[h];
        scoreboard_add(&q->items, item,
            model_scaled(model, query->history.weight[h]) +
                1e-6 * (double)model->popularity[item] / (1 + most));
    }
    return ST_OK;
}

/* Her own part of a score comes from the item itself. */
static Status repeat_contributions(const ModelQuery *query, int32_t item, double *part, Err *err) {
    const Repeat *state = query->model->state;
    double *own = NULL;
    if (state->params.variant == TIFU) TRY(own_parts(query, &own, err));
    for (int64_t h = 0; h < query->history.n; h++)
        part[h] = query->history.item[h] != item ? 0 : own ? own[h] : algorithm_score(query, item);
    mem_free(own);
    return ST_OK;
}

static void repeat_cost(const CostAsk *ask, Cost *out) {
    RepeatParams p;
    memcpy(&p, ask->params, sizeof p);
    if (p.variant != TIFU) return;
    out->alone += 6 * (double)csr_nnz(&ask->data->by_user);
    cost_user_rows(out, ask);
}

const Algorithm repeat_algorithm = {
    .name = "repeat",
    .least_events = 500,
    .summary = "what the customer buys again: her own items by how often and how lately, then the "
               "popular ones or her neighbours'",
    .in_auto = AUTO_ALWAYS,
    .no_similar = 1,
    .own_items = 1,
    .keeps_seen = 1,
    .options = repeat_options,
    .tune_space = "{\"variant\":[\"frequency\",\"tifu\"],\"half_life\":[0,30,90,180]}",
    .tune_space_timed = "{\"variant\":[\"frequency\",\"tifu\"],\"half_life\":[0,30,90,180],"
                        "\"cadence\":[false,true]}",
    .params_size = sizeof(RepeatParams),
    .baskets = repeat_baskets,
    .wants_order = repeat_wants_order,
    .cost = repeat_cost,
    .train = repeat_train,
    .write = repeat_write,
    .read = repeat_read,
    .keeps_rows = repeat_keeps_rows,
    .forget = repeat_forget,
    .free_state = repeat_free,
    .memory = repeat_memory,
    .query_new = repeat_query_new,
    .query_free = user_query_free,
    .query_prepare = repeat_prepare,
    .board = user_query_board,
    .contributions = repeat_contributions,
};
