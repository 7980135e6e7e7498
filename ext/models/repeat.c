/* repeat: what the customer buys again: her own items by how often and how lately, then the popular ones (the personal
 * top-frequency baseline of next-basket studies, GP-TopFreq in Li et al. 2023).
 *
 *     score_ui = x_ui + 1e-6 (users of i) / (1 + users of the most popular item)         for the items i of u
 *
 *     x_ui: the sum of the weights of u's events with i, each halved every half_life days (common option), scaled
 *
 * All other items follow from the popular list. Unlike the other algorithms it offers what is in the history unless
 * exclude_seen=true. Cost: nothing to train; a query O(history). */
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"
#include "scoreboard.h"

static const OptSpec repeat_options[] = {{0}};

static Status repeat_train(Model *model, const Dataset *data, Task *task, Err *err) {
    (void)model, (void)data, (void)task, (void)err;
    return ST_OK;
}

static void repeat_write(const Model *model, Bytes *out) {
    (void)model, (void)out;
}

static Status repeat_read(Model *model, Reader *in, Err *err) {
    (void)model, (void)in, (void)err;
    return ST_OK;
}

static void repeat_free(Model *model) {
    (void)model;
}

static size_t repeat_memory(const Model *model) {
    (void)model;
    return 0;
}

static void repeat_query_free(ModelQuery *query) {
    if (query->scratch) scoreboard_clear(query->scratch);
    mem_free(query->scratch);
    query->scratch = NULL;
}

static Status repeat_query_new(ModelQuery *query, Err *err) {
    query->scratch = mem_zeros(1, sizeof(Scoreboard));
    if (!query->scratch) return fail_nomem(err, "a query");
    Status status = scoreboard_init(query->scratch, query->model->n_items, err);
    if (status != ST_OK) repeat_query_free(query);
    return status;
}

static Status repeat_prepare(ModelQuery *query, Err *err) {
    const Model *model = query->model;
    Scoreboard *board = query->scratch;
    double most = model->n_items ? (double)model->popularity[model->popular[0]] : 0;
    (void)err;
    scoreboard_reset(board, 0);
    for (int64_t h = 0; h < query->history.n; h++) {
        int32_t item = query->history.item[h];
        scoreboard_add(board, item, model_scaled(model, query->history.weight[h]) + 1e-6 * (double)model->popularity[item] / (1 + most));
    }
    return ST_OK;
}

static double repeat_score(const ModelQuery *query, int32_t item) {
    return ((const Scoreboard *)query->scratch)->score[item];
}

static Status repeat_rank(const ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, TopK *top, Err *err) {
    (void)n_allowed, (void)err;
    scoreboard_rank(query->scratch, allowed, top);
    return ST_OK;
}

/* All of a score comes from the item itself. */
static Status repeat_contributions(const ModelQuery *query, int32_t item, double *part, Err *err) {
    (void)err;
    for (int64_t h = 0; h < query->history.n; h++) part[h] = query->history.item[h] == item ? repeat_score(query, item) : 0;
    return ST_OK;
}

const Algorithm repeat_algorithm = {
    .name = "repeat",
    .summary = "what the customer buys again: her own items by how often and how lately, then the popular ones",
    .no_similar = 1,
    .own_items = 1,
    .keeps_seen = 1,
    .options = repeat_options,
    .train = repeat_train,
    .write = repeat_write,
    .read = repeat_read,
    .free_state = repeat_free,
    .memory = repeat_memory,
    .query_new = repeat_query_new,
    .query_free = repeat_query_free,
    .query_prepare = repeat_prepare,
    .score = repeat_score,
    .rank = repeat_rank,
    .contributions = repeat_contributions,
};
