/* user_knn: "people like you also have". For the history of u the K users v most like it are found,
 * and
 *
 *     score_ui = sum over those v of s_uv x_vi
 *
 * x_vi: the scaled weight of item i in the history of v; s_uv by similarity.h, with users for
 * things and items for others. Who has exactly the items of u adds nothing new and takes no place
 * among the K.
 *
 * The users' rows are the model: a version holds their items and scaled weights, without their keys
 * (docs/decisions/0009-rows-without-keys.md). Histories are live all the same: u need not have been
 * there.
 *
 * Cost: training O(pairs); a query sum of the users of u's items, then the items of the K. Memory
 * 20 bytes a pair. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"
#include "cost.h"
#include "neighbours.h"
#include "similarity.h"
#include "user_rows.h"

typedef struct UserKnnParams {
    int64_t similarity;
    double alpha;
    double beta;
    double shrink;
    int64_t neighbours;
    int64_t pairs;
} UserKnnParams;

static const OptSpec user_knn_options[] = {
    {"similarity", OPT_CHOICE, offsetof(UserKnnParams, similarity), 0, 0, COSINE,
        SIMILARITY_CHOICES, "how alike two users' items are"},
    SIMILARITY_OPTIONS(UserKnnParams),
    {"neighbours", OPT_INT, offsetof(UserKnnParams, neighbours), 1, 100000, 150, NULL,
        "users that are asked"},
    {"pairs", OPT_CHOICE, offsetof(UserKnnParams, pairs), 0, 0, PAIRS_BINARY, "binary|weighted",
        "whether a similarity sees that a user has an item, or its scaled weight"},
    {0},
};

typedef struct UserKnn {
    UserKnnParams params;
    Similarity similarity;
    Csr by_user; /* users x items: scaled weights */
    Csr by_item; /* items x users: what the entry weighs in a similarity, seen from the user */
    SimilarityThing *thing; /* users */
    double *item_sum;       /* items: sum of x */
    double mean_len;        /* of sum_i x_vi over users */
} UserKnn;

static double pair_of(const UserKnn *state, double scaled) {
    return state->params.pairs == PAIRS_BINARY ? 1 : scaled;
}

/* Everything that follows from by_user. */
static Status finish_state(UserKnn *state, Err *err) {
    const Csr *by_user = &state->by_user;
    size_t users = (size_t)by_user->n_rows;
    TRY(csr_transpose(&state->by_item, by_user, err));
    double *len = mem_zeros(users, sizeof *len);
    state->thing = mem_zeros(users, sizeof *state->thing);
    state->item_sum = mem_zeros((size_t)by_user->n_cols, sizeof *state->item_sum);
    if (!len || !state->thing || !state->item_sum) {
        mem_free(len);
        return fail_nomem(err, "the users");
    }
    for (int32_t u = 0; u < by_user->n_rows; u++)
        for (int64_t e = by_user->row_start[u]; e < by_user->row_start[u + 1]; e++) {
            double x = pair_of(state, (double)by_user->val[e]);
            len[u] += x;
            state->mean_len += x / (double)users;
            state->item_sum[by_user->col[e]] += x;
        }
    for (int32_t i = 0; i < by_user->n_cols; i++)
        for (int64_t e = state->by_item.row_start[i]; e < state->by_item.row_start[i + 1]; e++) {
            int32_t u = state->by_item.col[e];
            double x = pair_of(state, (double)state->by_item.val[e]);
            double w = similarity_walks(&state->similarity)
                ? pow(x / state->item_sum[i], state->similarity.alpha)
                : similarity_weight(&state->similarity, x, (double)users,
                      (double)csr_row_len(&state->by_item, i), len[u], state->mean_len);
            state->by_item.val[e] = (float)w;
            state->thing[u].norm += w * w;
        }
    for (int32_t u = 0; u < by_user->n_rows; u++) {
        state->thing[u].degree = (double)csr_row_len(by_user, u);
        state->thing[u].divisor = pow(state->thing[u].degree, state->similarity.beta);
    }
    mem_free(len);
    return ST_OK;
}

static UserKnn *new_state(Model *model, Err *err) {
    UserKnn *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (!state) {
        fail_nomem(err, "the users");
        return NULL;
    }
    memcpy(&state->params, &model->params, sizeof state->params);
    state->similarity = similarity_complete(
        state->params.similarity, state->params.alpha, state->params.beta, state->params.shrink);
    return state;
}

static Status user_knn_train(Model *model, const Dataset *data, Task *task, Err *err) {
    UserKnn *state = new_state(model, err);
    if (!state) return ST_NOMEM;
    task_phase(task, "users", "users", 0, 0);
    TRY(csr_copy(&state->by_user, &data->by_user, err));
    for (int64_t e = 0; e < csr_nnz(&state->by_user); e++)
        state->by_user.val[e] = (float)model_scaled(model, state->by_user.val[e]);
    if (task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
    return finish_state(state, err);
}

/* ---- storage ---- */

static void user_knn_write(const Model *model, Bytes *out) {
    const UserKnn *state = model->state;
    user_rows_write(&state->by_user, out);
}

static Status user_knn_read(Model *model, Reader *in, Err *err) {
    UserKnn *state = new_state(model, err);
    if (!state) return ST_NOMEM;
    TRY(user_rows_read(&state->by_user, model->n_items, in, err));
    return finish_state(state, err);
}

static int user_knn_keeps_rows(const Model *model) {
    (void)model;
    return 1;
}

static Status user_knn_forget(Model *model, const History *history, int *removed, Err *err) {
    UserKnn *state = model->state;
    (void)err;
    int32_t row = user_rows_find(&state->by_user, history, model_scaled, model);
    *removed = row >= 0;
    if (*removed) csr_remove_row(&state->by_user, row);
    return ST_OK;
}

static void user_knn_free(Model *model) {
    UserKnn *state = model->state;
    if (!state) return;
    csr_clear(&state->by_user);
    csr_clear(&state->by_item);
    mem_free(state->thing);
    mem_free(state->item_sum);
    mem_free(state);
    model->state = NULL;
}

static size_t user_knn_memory(const Model *model) {
    const UserKnn *state = model->state;
    return (size_t)csr_nnz(&state->by_user) * 16 +
        (size_t)state->by_user.n_rows * sizeof *state->thing;
}

/* ---- queries ---- */

static Status user_knn_query_new(ModelQuery *query, Err *err) {
    return user_query_new(query, ((const UserKnn *)query->model->state)->by_user.n_rows, err);
}

/* c_uv of all users v; returns what a similarity needs to know of u. */
static SimilarityThing meet_users(ModelQuery *query, UserQuery *q) {
    const UserKnn *state = query->model->state;
    const History *history = &query->history;
    const Similarity *s = &state->similarity;
    double len = 0;
    for (int64_t h = 0; h < history->n; h++)
        len += pair_of(state, model_scaled(query->model, history->weight[h]));
    SimilarityThing u = {.degree = (double)history->n, .divisor = pow((double)history->n, s->beta)};
    for (int64_t h = 0; h < history->n; h++) {
        int32_t i = history->item[h];
        double x = pair_of(state, model_scaled(query->model, history->weight[h]));
        double w = similarity_walks(s)
            ? pow(x / len, s->alpha)
            : similarity_weight(s, x, state->by_user.n_rows,
                  (double)csr_row_len(&state->by_item, i), len, state->mean_len);
        u.norm += w * w;
        for (int64_t e = state->by_item.row_start[i]; e < state->by_item.row_start[i + 1]; e++) {
            double amount = w * (double)state->by_item.val[e];
            if (amount > 0) scoreboard_add(&q->users, state->by_item.col[e], amount);
        }
    }
    return u;
}

/* Has v exactly the items of the history? */
static int is_twin(const Csr *by_user, int32_t v, const History *history) {
    return csr_row_len(by_user, v) == history->n &&
        memcmp(by_user->col + by_user->row_start[v], history->item,
            (size_t)history->n * sizeof *history->item) == 0;
}

static Status user_knn_prepare(ModelQuery *query, Err *err) {
    const UserKnn *state = query->model->state;
    UserQuery *q = query->scratch;
    size_t n = 0;
    int64_t work = 0;
    (void)err;
    scoreboard_reset(&q->users, 0);
    SimilarityThing u = meet_users(query, q);
    for (int32_t t = 0; t < q->users.n_touched; t++) {
        int32_t v = q->users.touched[t];
        double value = similarity_value(
            &state->similarity, &u, &state->thing[v], q->users.score[v], query->model->n_items);
        if (value > 0 && !is_twin(&state->by_user, v, &query->history))
            q->list[n++] = (Scored){value, v};
    }
    n = scored_best(q->list, n, (size_t)state->params.neighbours); /* a fixed order of the sums */
    for (size_t c = 0; c < n; c++) work += csr_row_len(&state->by_user, (int32_t)q->list[c].id);
    scoreboard_reset(&q->items, work > query->model->n_items / 4);
    for (size_t c = 0; c < n; c++)
        for (int64_t e = state->by_user.row_start[q->list[c].id];
             e < state->by_user.row_start[q->list[c].id + 1]; e++)
            scoreboard_add(
                &q->items, state->by_user.col[e], q->list[c].score * (double)state->by_user.val[e]);
    return ST_OK;
}

static void user_knn_cost(const CostAsk *ask, Cost *out) {
    out->alone += 25 * (double)csr_nnz(&ask->data->by_user);
    cost_user_rows(out, ask);
}

const Algorithm user_knn_algorithm = {
    .name = "user_knn",
    .least_events = 1000,
    .summary = "what the users most like this one have",
    .no_similar = 1,
    .options = user_knn_options,
    .tune_space = "{\"similarity\":[\"cosine\",\"tfidf\",\"jaccard\"],\"neighbours\":{\"min\":30,"
                  "\"max\":500,\"log\":true}}",
    .params_size = sizeof(UserKnnParams),
    .cost = user_knn_cost,
    .train = user_knn_train,
    .write = user_knn_write,
    .read = user_knn_read,
    .keeps_rows = user_knn_keeps_rows,
    .forget = user_knn_forget,
    .free_state = user_knn_free,
    .memory = user_knn_memory,
    .query_new = user_knn_query_new,
    .query_free = user_query_free,
    .query_prepare = user_knn_prepare,
    .board = user_query_board,
};
