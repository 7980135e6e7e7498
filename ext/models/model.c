#include "model.h"

#include <math.h>
#include <string.h>

#include "../base/bits.h"
#include "../base/memory.h"
#include "item_sums.h"
#include "scoreboard.h"

const OptSpec model_common_options[] = {
    {"half_life", OPT_REAL, offsetof(CommonParams, half_life), 0, 1e6, 0, NULL,
        "days after which an event counts half, before the newest event; 0: no decay"},
    {"min_support", OPT_INT, offsetof(CommonParams, min_support), 1, 1e9, 1, NULL,
        "items of fewer distinct users are not recommended"},
    {"max_history", OPT_INT, offsetof(CommonParams, max_history), 0, 1e9, 0, NULL,
        "a user counts with this many items, the latest; 0: with all"},
    {"scale", OPT_CHOICE, offsetof(CommonParams, scale), 0, 0, MODEL_SCALE_LOG, "log|linear|binary",
        "what a pair's weight w counts for: log(1 + w), w, or 1"},
    {"combine", OPT_CHOICE, offsetof(CommonParams, combine), 0, 0, MODEL_COMBINE_AUTO,
        "auto|sum|last|max|mean",
        "what several events of a user and an item make: the sum of their weights, the latest, the "
        "largest or their mean; auto: sum, of mf last"},
    {"threads", OPT_INT, offsetof(CommonParams, threads), 0, 64, 0, NULL,
        "threads that train; 0: one a core"},
    {"seed", OPT_INT, offsetof(CommonParams, seed), 0, 9007199254740991.0, 1, NULL,
        "seed of all random numbers"},
    {0},
};

const Algorithm *algorithm_find(const char *name) {
    for (size_t i = 0; algorithm_registry[i]; i++)
        if (strcmp(algorithm_registry[i]->name, name) == 0) return algorithm_registry[i];
    return NULL;
}

void model_free(Model *model) {
    if (!model) return;
    if (model->algorithm) model->algorithm->free_state(model);
    keymap_free(model->items);
    mem_free(model->popularity);
    mem_free(model->popular);
    mem_free(model->step);
    mem_free(model->trained_on);
    mem_free(model);
}

size_t model_memory(const Model *model) {
    return sizeof *model + keymap_memory(model->items) + (size_t)model->n_items * 8 +
        model->algorithm->memory(model);
}

double model_scaled(const Model *model, float weight) {
    if (model->common.scale == MODEL_SCALE_BINARY) return 1;
    return model->common.scale == MODEL_SCALE_LINEAR ? (double)weight : log1p((double)weight);
}

Status model_log_step(Model *model, double sweep, double objective, double seconds, Err *err) {
    TrainingStep *step = mem_resize(model->step, (size_t)model->n_steps + 1, sizeof *step);
    if (!step) return fail_nomem(err, "the training log");
    model->step = step;
    model->step[model->n_steps++] = (TrainingStep){sweep, objective, seconds, NAN};
    return ST_OK;
}

/* Room for the popularity of n_items, and then their order by it. */
static Status new_popularity(Model *model, Err *err) {
    size_t n = (size_t)model->n_items;
    model->popularity = mem_array(n, sizeof *model->popularity);
    model->popular = mem_array(n, sizeof *model->popular);
    return model->popularity && model->popular ? ST_OK : fail_nomem(err, "the popular list");
}

static Status order_popular(Model *model, Err *err) {
    size_t n = (size_t)model->n_items;
    Scored *order = mem_array(n, sizeof *order);
    if (!order) return fail_nomem(err, "the popular list");
    for (int32_t i = 0; i < model->n_items; i++)
        order[i] = (Scored){(double)model->popularity[i], i};
    scored_sort(order, n);
    for (size_t i = 0; i < n; i++) model->popular[i] = (int32_t)order[i].id;
    mem_free(order);
    return ST_OK;
}

/* A model without a state, of what data or sums know. */
static Status new_model(
    Model **out, const Algorithm *algorithm, const Model *facts, KeyMap **items, Err *err) {
    Model *model = mem_zeros(1, sizeof *model);
    *out = model;
    if (!model) return fail_nomem(err, "the model");
    *model = *facts;
    model->algorithm = algorithm;
    model->items = *items;
    *items = NULL;
    return new_popularity(model, err);
}

/* What training gave: *out, or nothing. */
static Status trained(Model **out, double begin, Status status) {
    if (status == ST_OK) {
        (*out)->trained_seconds = task_clock() - begin;
    } else {
        model_free(*out);
        *out = NULL;
    }
    return status;
}

Status model_train(Model **out, const Algorithm *algorithm, const CommonParams *common,
    const AlgorithmParams *params, const Model *start, Dataset *data, Task *task, Err *err) {
    double begin = task_clock();
    Model facts = {.common = *common,
        .params = *params,
        .n_items = data->by_user.n_cols,
        .n_users = data->by_user.n_rows,
        .n_events = data->n_events,
        .newest = data->newest};
    task->threads = common->threads ? (int)common->threads : task_default_threads();
    Status status = new_model(out, algorithm, &facts, &data->items, err);
    Model *model = *out;
    if (status == ST_OK) {
        for (int32_t i = 0; i < model->n_items; i++)
            model->popularity[i] = (float)csr_row_len(&data->by_item, i);
        status = order_popular(model, err);
    }
    if (status == ST_OK) {
        model->start = start;
        status = algorithm->train(model, data, task, err);
        model->start = NULL;
    }
    return trained(out, begin, status);
}

Status model_train_sums(Model **out, const Algorithm *algorithm, const CommonParams *common,
    const AlgorithmParams *params, ItemSums *sums, Task *task, Err *err) {
    double begin = task_clock();
    Model facts = {.common = *common,
        .params = *params,
        .n_items = sums->n_items,
        .n_users = sums->n_users,
        .n_events = sums->n_events,
        .newest = sums->newest,
        .has_until = sums->has_until,
        .until = sums->until};
    *out = NULL;
    task->threads = common->threads ? (int)common->threads : task_default_threads();
    if (!algorithm->train_sums)
        return fail(err, ST_BADARG, "%s is not trained on sums (ease is)", algorithm->name);
    if (common->max_history != sums->max_history)
        return fail(err, ST_BADARG, "the sums are of max_history=%lld (max_history=%lld)",
            (long long)sums->max_history, (long long)common->max_history);
    if (common->combine != sums->combine)
        return fail(err, ST_BADARG, "the sums are of another combine");
    if (common->min_support != 1)
        return fail(err, ST_BADARG, "min_support is not for sums (min_support=1)");
    Status status = new_model(out, algorithm, &facts, &sums->items, err);
    Model *model = *out;
    if (status == ST_OK) {
        for (int32_t i = 0; i < model->n_items; i++) {
            int32_t users = sums->count[sums->row_start[i]];
            model->popularity[i] = users > 0 ? (float)users : 0; /* noise takes some below */
        }
        status = order_popular(model, err);
    }
    if (status == ST_OK) status = algorithm->train_sums(model, sums, task, err);
    return trained(out, begin, status);
}

Status model_query_new(ModelQuery **out, const Model *model, Err *err) {
    ModelQuery *query = mem_zeros(1, sizeof *query);
    *out = NULL;
    if (!query) return fail_nomem(err, "a query");
    query->model = model;
    query->similar = -1;
    Status status = model->algorithm->query_new(query, err);
    if (status != ST_OK) {
        mem_free(query);
        return status;
    }
    *out = query;
    return ST_OK;
}

void model_query_free(ModelQuery *query) {
    if (!query) return;
    query->model->algorithm->query_free(query);
    mem_free(query);
}

int model_query_speaks(const ModelQuery *query) {
    return query->history.n || query->similar >= 0 || query->model->algorithm->impersonal;
}

static double score_of_stranger(const Model *model) {
    return model->algorithm->stranger ? model->algorithm->stranger(model) : 0;
}

Status model_query_history(ModelQuery *query, const History *history, Err *err) {
    query->history = *history;
    query->similar = -1;
    if (query->popular_only) return ST_OK; /* nothing of the algorithm is asked */
    return model_query_speaks(query) ? query->model->algorithm->query_prepare(query, err) : ST_OK;
}

Status model_query_similar(ModelQuery *query, int32_t item, Err *err) {
    query->history = (History){0};
    query->similar = item;
    return query->model->algorithm->query_prepare(query, err);
}

DatasetRules model_rules(
    const Algorithm *algorithm, const CommonParams *common, const AlgorithmParams *params) {
    static const PairCombine chosen[] = {[MODEL_COMBINE_SUM] = COMBINE_SUM,
        [MODEL_COMBINE_LAST] = COMBINE_LAST,
        [MODEL_COMBINE_MAX] = COMBINE_MAX,
        [MODEL_COMBINE_MEAN] = COMBINE_MEAN};
    DatasetRules rules = {.min_support = common->min_support,
        .pair = {
            common->half_life, common->max_history, chosen[common->combine], algorithm->rates}};
    if (common->combine == MODEL_COMBINE_AUTO)
        rules.pair.combine = algorithm->rates ? COMBINE_LAST : COMBINE_SUM;
    rules.keeps_order = algorithm->wants_order && algorithm->wants_order(params);
    if (algorithm->baskets) rules.basket = algorithm->baskets(params);
    /* baskets have their own decay, and are added up */
    if (rules.basket.group) rules.pair = (PairRules){.max_history = common->max_history};
    return rules;
}

double algorithm_score(const ModelQuery *query, int32_t item) {
    const Algorithm *algorithm = query->model->algorithm;
    return algorithm->board ? algorithm->board(query)->score[item] : algorithm->score(query, item);
}

Status algorithm_rank(
    const ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, TopK *top, Err *err) {
    const Algorithm *algorithm = query->model->algorithm;
    if (!algorithm->board) return algorithm->rank(query, allowed, n_allowed, top, err);
    scoreboard_rank(algorithm->board(query), allowed, top);
    return ST_OK;
}

double model_query_score(const ModelQuery *query, int32_t item) {
    const Algorithm *algorithm = query->model->algorithm;
    if (!model_query_speaks(query)) return score_of_stranger(query->model);
    double score = algorithm_score(query, item);
    return score < 0 && !algorithm->scores_all ? 0 : score;
}

/* Fill up from the popular list, leaving out what is listed already. */
static Status fill(
    const Model *model, const uint64_t *allowed, size_t k, Ranked *out, size_t *out_n, Err *err) {
    double score = *out_n == 0 ? score_of_stranger(model) : 0;
    uint64_t *listed = mem_zeros(bits_words(model->n_items), sizeof *listed);
    if (!listed) return fail_nomem(err, "the popular list");
    for (size_t i = 0; i < *out_n; i++) bits_add(listed, out[i].item);
    for (int32_t at = 0; at < model->n_items && *out_n < k; at++) {
        int32_t item = model->popular[at];
        if ((allowed && !bits_have(allowed, item)) || bits_have(listed, item)) continue;
        out[(*out_n)++] = (Ranked){.item = item, .from_popular = 1, .score = score};
    }
    mem_free(listed);
    return ST_OK;
}

Status model_list(const Model *model, TopK *top, const uint64_t *allowed, size_t k, Ranked *out,
    size_t *out_n, Err *err) {
    topk_sort(top);
    for (*out_n = 0; *out_n < top->len; ++*out_n)
        out[*out_n] = (Ranked){
            .item = (int32_t)top->item[*out_n].id, .score = top->item[*out_n].score};
    return *out_n < k ? fill(model, allowed, k, out, out_n, err) : ST_OK;
}

Status model_query_rank(ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, size_t k,
    Ranked *out, size_t *out_n, Err *err) {
    const Model *model = query->model;
    TopK top = {0};
    Status status = ST_OK;

    *out_n = 0;
    if (!allowed) n_allowed = model->n_items;
    if (k > (size_t)n_allowed) k = (size_t)n_allowed;
    if (!query->popular_only && model_query_speaks(query)) {
        status = topk_init(&top, k, err);
        if (status == ST_OK) status = algorithm_rank(query, allowed, n_allowed, &top, err);
    }
    if (status == ST_OK) status = model_list(model, &top, allowed, k, out, out_n, err);
    topk_clear(&top);
    return status;
}
