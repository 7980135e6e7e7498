/* user_knn: "people like you also have". For the history of u the K users v most like it are found, and
 *
 *     score_ui = sum over those v of s_uv x_vi
 *
 * x_vi: the scaled weight of item i in the history of v; s_uv by similarity.h, with users for things and items for others.
 * Who has exactly the items of u adds nothing new and takes no place among the K.
 *
 * The users' rows are the model: a version holds their items and scaled weights, without their keys
 * (docs/decisions/0009-rows-without-keys.md). Histories are live all the same: u need not have been there.
 *
 * Cost: training O(pairs); a query sum of the users of u's items, then the items of the K. Memory 20 bytes a pair. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"
#include "neighbours.h"
#include "scoreboard.h"
#include "similarity.h"

typedef struct UserKnnParams {
    int64_t similarity;
    double alpha;
    double beta;
    double shrink;
    int64_t neighbours;
    int64_t pairs;
} UserKnnParams;

static const OptSpec user_knn_options[] = {
    {"similarity", OPT_CHOICE, offsetof(UserKnnParams, similarity), 0, 0, COSINE, SIMILARITY_CHOICES, "how alike two users' items are"},
    {"alpha", OPT_REAL, offsetof(UserKnnParams, alpha), -1, 1000, -1, NULL,
     "asymmetric, tversky, p3alpha, rp3beta: exponent or weight; bm25: K1; -1: the similarity's own"},
    {"beta", OPT_REAL, offsetof(UserKnnParams, beta), -1, 1000, -1, NULL,
     "tversky: weight; rp3beta: exponent; bm25: B; -1: the similarity's own"},
    {"shrink", OPT_REAL, offsetof(UserKnnParams, shrink), 0, 1e9, 0, NULL, "added to the denominator: distrust rare pairs"},
    {"neighbours", OPT_INT, offsetof(UserKnnParams, neighbours), 1, 100000, 150, NULL, "users that are asked"},
    {"pairs", OPT_CHOICE, offsetof(UserKnnParams, pairs), 0, 0, PAIRS_BINARY, "binary|weighted",
     "whether a similarity sees that a user has an item, or its scaled weight"},
    {0},
};

typedef struct UserKnn {
    UserKnnParams params;
    Similarity similarity;
    Csr by_user;     /* users x items: scaled weights */
    Csr by_item;     /* items x users: what the entry weighs in a similarity, seen from the user */
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
            double w = similarity_walks(&state->similarity) ? pow(x / state->item_sum[i], state->similarity.alpha)
                                                            : similarity_weight(&state->similarity, x, (double)users, (double)csr_row_len(&state->by_item, i), len[u], state->mean_len);
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
    state->similarity = similarity_complete(state->params.similarity, state->params.alpha, state->params.beta, state->params.shrink);
    return state;
}

static Status user_knn_train(Model *model, const Dataset *data, Task *task, Err *err) {
    UserKnn *state = new_state(model, err);
    const Csr *x = &data->by_user;
    if (!state) return ST_NOMEM;
    task_phase(task, "users", 0);
    TRY(csr_alloc(&state->by_user, x->n_rows, x->n_cols, csr_nnz(x), err));
    memcpy(state->by_user.row_start, x->row_start, ((size_t)x->n_rows + 1) * sizeof *x->row_start);
    for (int64_t e = 0; e < csr_nnz(x); e++) {
        state->by_user.col[e] = x->col[e];
        state->by_user.val[e] = (float)model_scaled(model, x->val[e]);
    }
    if (task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
    return finish_state(state, err);
}

/* ---- storage: number of users, row lengths, then columns and values ---- */

static void user_knn_write(const Model *model, Bytes *out) {
    const UserKnn *state = model->state;
    bytes_u32(out, (uint32_t)state->by_user.n_rows);
    csr_write(&state->by_user, out);
}

static Status user_knn_read(Model *model, Reader *in, Err *err) {
    UserKnn *state = new_state(model, err);
    if (!state) return ST_NOMEM;
    uint32_t users = read_u32(in);
    if (users > INT32_MAX) return fail(err, ST_CORRUPT, "%u users", users);
    TRY(csr_read(&state->by_user, (int32_t)users, model->n_items, in, err));
    for (int64_t e = 0; e < csr_nnz(&state->by_user); e++)
        if (!(state->by_user.val[e] > 0)) return fail(err, ST_CORRUPT, "a user's weight is not above 0");
    return finish_state(state, err);
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
    return (size_t)csr_nnz(&state->by_user) * 16 + (size_t)state->by_user.n_rows * sizeof *state->thing;
}

/* ---- queries ---- */

typedef struct UserKnnQuery {
    Scoreboard users; /* c_uv */
    Scoreboard items;
    Scored *list;    /* users */
} UserKnnQuery;

static void user_knn_query_free(ModelQuery *query) {
    UserKnnQuery *q = query->scratch;
    if (!q) return;
    scoreboard_clear(&q->users);
    scoreboard_clear(&q->items);
    mem_free(q->list);
    mem_free(q);
    query->scratch = NULL;
}

static Status user_knn_query_new(ModelQuery *query, Err *err) {
    const UserKnn *state = query->model->state;
    size_t users = (size_t)state->by_user.n_rows;
    UserKnnQuery *q = mem_zeros(1, sizeof *q);
    query->scratch = q;
    if (!q) return fail_nomem(err, "a query");
    Status status = scoreboard_init(&q->users, state->by_user.n_rows, err);
    if (status == ST_OK) status = scoreboard_init(&q->items, query->model->n_items, err);
    q->list = mem_array(users, sizeof *q->list);
    if (status == ST_OK && q->list) return ST_OK;
    user_knn_query_free(query);
    return fail_nomem(err, "a query");
}

/* c_uv of all users v; returns what a similarity needs to know of u. */
static SimilarityThing meet_users(ModelQuery *query, UserKnnQuery *q) {
    const UserKnn *state = query->model->state;
    const History *history = &query->history;
    const Similarity *s = &state->similarity;
    double len = 0;
    for (int64_t h = 0; h < history->n; h++) len += pair_of(state, model_scaled(query->model, history->weight[h]));
    SimilarityThing u = {.degree = (double)history->n, .divisor = pow((double)history->n, s->beta)};
    for (int64_t h = 0; h < history->n; h++) {
        int32_t i = history->item[h];
        double x = pair_of(state, model_scaled(query->model, history->weight[h]));
        double w = similarity_walks(s) ? pow(x / len, s->alpha) : similarity_weight(s, x, state->by_user.n_rows, (double)csr_row_len(&state->by_item, i), len, state->mean_len);
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
    return csr_row_len(by_user, v) == history->n && memcmp(by_user->col + by_user->row_start[v], history->item, (size_t)history->n * sizeof *history->item) == 0;
}

static Status user_knn_prepare(ModelQuery *query, Err *err) {
    const UserKnn *state = query->model->state;
    UserKnnQuery *q = query->scratch;
    size_t n = 0, k = (size_t)state->params.neighbours;
    int64_t work = 0;
    (void)err;
    scoreboard_reset(&q->users, 0);
    SimilarityThing u = meet_users(query, q);
    for (int32_t t = 0; t < q->users.n_touched; t++) {
        int32_t v = q->users.touched[t];
        double value = similarity_value(&state->similarity, &u, &state->thing[v], q->users.score[v], query->model->n_items);
        if (value > 0 && !is_twin(&state->by_user, v, &query->history)) q->list[n++] = (Scored){value, v};
    }
    if (n > k) {
        scored_select(q->list, n, k);
        n = k;
    }
    scored_sort(q->list, n); /* a fixed order of the sums */
    for (size_t c = 0; c < n; c++) work += csr_row_len(&state->by_user, (int32_t)q->list[c].id);
    scoreboard_reset(&q->items, work > query->model->n_items / 4);
    for (size_t c = 0; c < n; c++)
        for (int64_t e = state->by_user.row_start[q->list[c].id]; e < state->by_user.row_start[q->list[c].id + 1]; e++)
            scoreboard_add(&q->items, state->by_user.col[e], q->list[c].score * (double)state->by_user.val[e]);
    return ST_OK;
}

static const Scoreboard *user_knn_board(const ModelQuery *query) {
    return &((const UserKnnQuery *)query->scratch)->items;
}

const Algorithm user_knn_algorithm = {
    .name = "user_knn",
    .summary = "what the users most like this one have",
    .no_similar = 1,
    .options = user_knn_options,
    .tune_space = "{\"similarity\":[\"cosine\",\"tfidf\",\"jaccard\"],\"neighbours\":{\"min\":30,\"max\":500,\"log\":true}}",
    .params_size = sizeof(UserKnnParams),
    .train = user_knn_train,
    .write = user_knn_write,
    .read = user_knn_read,
    .free_state = user_knn_free,
    .memory = user_knn_memory,
    .query_new = user_knn_query_new,
    .query_free = user_knn_query_free,
    .query_prepare = user_knn_prepare,
    .board = user_knn_board,
};
