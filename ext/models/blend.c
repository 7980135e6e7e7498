/* blend: several models as one. Each part is trained on the same events and asked for the same
 * history.
 *
 *     fusion=score    score_i = sum over parts c of weight_c s_ci / m_c,   m_c: root of the mean of
 *                     s_cj^2 over all items j
 *     fusion=rrf      score_i = sum over parts c of weight_c / (60 + rank_c(i)) over the first
 *                     DEPTH items of each part's list (reciprocal rank fusion, Cormack, Clarke and
 *                     Buettcher 2009)
 *     fusion=log      score_i = sum over parts c of weight_c log(1 + p_ci / floor),  floor =
 *                     LOG_FLOOR / items:  p_ci: s_ci as a share of all items' scores, or, where
 *                     scores are logits, their softmax: the product of what the parts hold likely
 *     fusion=switch   the scores of the last part whose min_history is not above the number of
 *                     items in the history
 *
 * models is a JSON array of parts:
 * [{"algorithm":"item_knn","weight":2,"similarity":"rp3beta"},{"algorithm":"repeat"}]. weight (1)
 * and min_history (0) belong to the blend, all else are options of the part; the common options are
 * the blend's own. A part that has nothing to say about an item adds 0. Cost: the parts'; a list
 * scores all items with every part. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/json.h"
#include "../base/memory.h"
#include "algorithms.h"
#include "cost.h"
#include "scoreboard.h"

enum { MAX_PARTS = 8, MODELS_BYTES = 1500, DEPTH = 1000, RRF_CONSTANT = 60 };
enum { FUSION_SCORE, FUSION_RRF, FUSION_SWITCH, FUSION_LOG };
static const double LOG_FLOOR = .1;

/* Parts that have a factor of their own. */
enum { FACTORS = 3 };

typedef struct BlendParams {
    int64_t fusion;
    double factor[FACTORS]; /* of the weights of the second part and those after it */
    char models[MODELS_BYTES];
} BlendParams;

static const OptSpec blend_options[] = {
    {"models", OPT_TEXT, offsetof(BlendParams, models), 0, MODELS_BYTES, 0,
        "[{\"algorithm\":\"item_knn\"},{\"algorithm\":\"ials\"}]",
        "JSON array of the parts: algorithm, weight, min_history, and the options of each"},
    {"fusion", OPT_CHOICE, offsetof(BlendParams, fusion), 0, 0, FUSION_SCORE,
        "score|rrf|switch|log", "how their scores become one"},
    {"weight_2", OPT_REAL, offsetof(BlendParams, factor[0]), 0, 1e6, 1, NULL,
        "what the second part's weight is multiplied with: tune learns it"},
    {"weight_3", OPT_REAL, offsetof(BlendParams, factor[1]), 0, 1e6, 1, NULL, "the third part's"},
    {"weight_4", OPT_REAL, offsetof(BlendParams, factor[2]), 0, 1e6, 1, NULL, "the fourth part's"},
    {0},
};

typedef struct Part {
    const Algorithm *algorithm;
    AlgorithmParams params;
    double weight;
    int64_t min_history;
} Part;

typedef struct Blend {
    int64_t fusion;
    int n;
    Part part[MAX_PARTS];
    Model *model[MAX_PARTS]; /* items and popularity are the blend's */
} Blend;

/* ---- what the parts are ---- */

static double take_number(json_t *object, const char *name, double otherwise) {
    json_t *value = json_object_get(object, name);
    double number = json_is_number(value) ? json_number_value(value) : value ? NAN : otherwise;
    json_object_del(object, name);
    return number;
}

/* One element of models; it is taken apart. */
static Status read_part(json_t *object, Part *out, Err *err) {
    const char *name = json_string_value(json_object_get(object, "algorithm"));
    out->algorithm = name ? algorithm_find(name) : NULL;
    if (!out->algorithm || strcmp(name, "blend") == 0)
        return fail(err, ST_BADARG, "models: algorithm '%.60s' (one of rec_options, but no blend)",
            name ? name : "");
    json_object_del(object, "algorithm");
    out->weight = take_number(object, "weight", 1);
    double min_history = take_number(object, "min_history", 0);
    if (!isfinite(out->weight) || fabs(out->weight) > 1e6)
        return fail(err, ST_BADARG, "models: weight must be a number (-1e6..1e6)");
    if (!(min_history >= 0 && min_history <= 1e9))
        return fail(err, ST_BADARG, "models: min_history must be a number (0..1e9)");
    out->min_history = (int64_t)min_history;
    options_default(out->algorithm->options, &out->params);
    char *rest = json_dumps(object, JSON_COMPACT);
    OptTarget target = {out->algorithm->options, &out->params};
    Status status = rest ? options_set_json(&target, 1, rest, err) : fail_nomem(err, "the options");
    free(rest);
    if (status == ST_OK && out->algorithm->baskets && out->algorithm->baskets(&out->params).group)
        status = fail(err, ST_BADARG,
            "models: the history of a blend has no baskets, which %s with these options needs",
            out->algorithm->name);
    const char *alone = options_of_training(out->algorithm->options, &out->params);
    if (status == ST_OK && alone)
        status = fail(
            err, ST_BADARG, "models: %s is for a model of its own, not for a part", alone);
    return status == ST_OK && out->algorithm->check ? out->algorithm->check(&out->params, err)
                                                    : status;
}

static Status read_parts(const BlendParams *params, Blend *out, Err *err) {
    json_error_t json_error;
    json_t *root = json_loads(params->models, JSON_REJECT_DUPLICATES, &json_error);
    if (json_lacks_memory(root, &json_error)) return fail_nomem(err, "the options");
    Status status = ST_OK;
    if (!json_is_array(root) || json_array_size(root) < 1 || json_array_size(root) > MAX_PARTS)
        status = fail(err, ST_BADARG,
            "models must be a JSON array of 1 to %d objects such as {\"algorithm\": "
            "\"item_knn\",\"weight\": 2}",
            MAX_PARTS);
    out->fusion = params->fusion;
    for (size_t i = 0; status == ST_OK && i < json_array_size(root); i++) {
        if (!json_is_object(json_array_get(root, i)))
            status = fail(err, ST_BADARG, "models: element %zu is no object", i + 1);
        if (status == ST_OK) status = read_part(json_array_get(root, i), &out->part[out->n++], err);
        if (status == ST_OK && i > 0 && i <= FACTORS) out->part[i].weight *= params->factor[i - 1];
    }
    json_decref(root);
    return status;
}

static Status blend_check(const AlgorithmParams *params, Err *err) {
    BlendParams blend;
    Blend *parts = mem_zeros(1, sizeof *parts);
    if (!parts) return fail_nomem(err, "the options");
    memcpy(&blend, params, sizeof blend);
    Status status = read_parts(&blend, parts, err);
    mem_free(parts);
    return status;
}

/* ---- training ---- */

static Status new_state(Model *model, Err *err) {
    BlendParams params;
    Blend *blend = mem_zeros(1, sizeof *blend);
    model->state = blend;
    if (!blend) return fail_nomem(err, "the parts");
    memcpy(&params, &model->params, sizeof params);
    return read_parts(&params, blend, err);
}

/* The model of a part, without a state yet. */
static Status new_part(const Model *model, Blend *blend, int c, Err *err) {
    Model *part = mem_zeros(1, sizeof *part);
    if (!part) return fail_nomem(err, "a part");
    *part = *model; /* dictionary and popular list are borrowed */
    part->algorithm = blend->part[c].algorithm;
    part->params = blend->part[c].params;
    part->state = NULL;
    part->start = NULL;
    part->step = NULL;
    part->n_steps = 0;
    blend->model[c] = part;
    return ST_OK;
}

static Status blend_train(Model *model, const Dataset *data, Task *task, Err *err) {
    TRY(new_state(model, err));
    Blend *blend = model->state;
    for (int c = 0; c < blend->n; c++) {
        TRY(new_part(model, blend, c, err));
        TRY(blend->part[c].algorithm->train(blend->model[c], data, task, err));
        if (task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
    }
    return ST_OK;
}

/* Weights and fusion are read by lists alone. */
static int blend_reweigh(Model *model, const AlgorithmParams *params) {
    Blend *blend = model->state, *wanted = mem_zeros(1, sizeof *wanted);
    BlendParams old, new;
    memcpy(&old, &model->params, sizeof old);
    memcpy(&new, params, sizeof new);
    int can = wanted && strcmp(old.models, new.models) == 0 &&
        read_parts(&new, wanted, NULL) == ST_OK;
    for (int c = 0; can && c < blend->n; c++) blend->part[c].weight = wanted->part[c].weight;
    if (can) {
        blend->fusion = new.fusion;
        model->params = *params;
    }
    mem_free(wanted);
    return can;
}

/* ---- storage: a length and the stored form of each part ---- */

static void blend_write(const Model *model, Bytes *out) {
    const Blend *blend = model->state;
    for (int c = 0; c < blend->n; c++) {
        Bytes part = {0};
        blend->part[c].algorithm->write(blend->model[c], &part);
        bytes_u64(out, part.len);
        bytes_append(out, part.data, part.len);
        out->failed |= part.failed;
        bytes_clear(&part);
    }
}

static Status blend_read(Model *model, Reader *in, Err *err) {
    Status status = new_state(model, err);
    if (status == ST_BADARG) return fail(err, ST_CORRUPT, "the parts of the blend are malformed");
    Blend *blend = model->state;
    for (int c = 0; status == ST_OK && c < blend->n; c++) {
        uint64_t len = read_u64(in);
        const void *stored = read_block(in, len, 1);
        if (in->failed) return fail(err, ST_CORRUPT, "the parts of the blend are truncated");
        Reader part = reader_of(stored, (size_t)len);
        status = new_part(model, blend, c, err);
        if (status == ST_OK) status = blend->part[c].algorithm->read(blend->model[c], &part, err);
        if (status == ST_OK && part.pos != part.len)
            status = fail(err, ST_CORRUPT, "a part of the blend has bytes that nobody wants");
    }
    return status;
}

static void blend_free(Model *model) {
    Blend *blend = model->state;
    if (!blend) return;
    for (int c = 0; c < blend->n; c++) {
        if (!blend->model[c]) continue;
        blend->part[c].algorithm->free_state(blend->model[c]);
        mem_free(blend->model[c]->step);
        mem_free(blend->model[c]);
    }
    mem_free(blend);
    model->state = NULL;
}

static size_t blend_memory(const Model *model) {
    const Blend *blend = model->state;
    size_t sum = sizeof *blend;
    for (int c = 0; c < blend->n; c++) sum += blend->part[c].algorithm->memory(blend->model[c]);
    return sum;
}

/* ---- queries ---- */

typedef struct BlendQuery {
    ModelQuery *part[MAX_PARTS];
    double factor[MAX_PARTS]; /* what a part's score is multiplied by; 0: it does not speak. Of
                               * fusion=log the same within the logarithm */
    Scoreboard board;
    double *score; /* items: of one part */
    TopK top;
} BlendQuery;

static void blend_query_free(ModelQuery *query) {
    BlendQuery *q = query->scratch;
    if (!q) return;
    for (int c = 0; c < MAX_PARTS; c++) model_query_free(q->part[c]);
    scoreboard_clear(&q->board);
    mem_free(q->score);
    topk_clear(&q->top);
    mem_free(q);
    query->scratch = NULL;
}

static Status blend_query_new(ModelQuery *query, Err *err) {
    const Blend *blend = query->model->state;
    BlendQuery *q = mem_zeros(1, sizeof *q);
    query->scratch = q;
    if (!q) return fail_nomem(err, "a query");
    Status status = scoreboard_init(&q->board, query->model->n_items, err);
    q->score = mem_array((size_t)query->model->n_items, sizeof *q->score);
    if (!q->score) status = fail_nomem(err, "a query");
    for (int c = 0; c < blend->n && status == ST_OK; c++)
        status = model_query_new(&q->part[c], blend->model[c], err);
    if (status != ST_OK) blend_query_free(query);
    return status;
}

/* Can the part be asked at all? Not every one has items similar to an item. */
static int can_speak(const Blend *blend, const ModelQuery *query, int c) {
    return query->similar < 0 || !blend->part[c].algorithm->no_similar;
}

/* The part that speaks when the blend switches; an item is a history of one. */
static int chosen(const Blend *blend, const ModelQuery *query) {
    int64_t n = query->similar >= 0 ? 1 : query->history.n;
    int last = -1;
    for (int c = 0; c < blend->n; c++)
        if (can_speak(blend, query, c) && (last < 0 || blend->part[c].min_history <= n)) last = c;
    return last;
}

static int speaks(const Blend *blend, const ModelQuery *query, int c) {
    return can_speak(blend, query, c) &&
        (blend->fusion != FUSION_SWITCH || c == chosen(blend, query));
}

static Status add_ranks(ModelQuery *query, BlendQuery *q, int c, double weight, Err *err) {
    TRY(topk_init(&q->top, DEPTH, err));
    TRY(algorithm_rank(q->part[c], NULL, query->model->n_items, &q->top, err));
    topk_sort(&q->top);
    for (size_t i = 0; i < q->top.len; i++)
        q->board.score[q->top.item[i].id] += weight / (double)(RRF_CONSTANT + i + 1);
    return ST_OK;
}

/* The part's scores where it keeps them all, or NULL. */
static const Scoreboard *board_of(const ModelQuery *part) {
    const Algorithm *algorithm = part->model->algorithm;
    return algorithm->board && model_query_speaks(part) ? algorithm->board(part) : NULL;
}

/* The part's scores, of those that say something, into q->score; returns how many. *item: whose
 * they are, or NULL: all items'. */
static int32_t take_scores(BlendQuery *q, int c, int32_t n_items, const int32_t **item) {
    const ModelQuery *part = q->part[c];
    const Scoreboard *board = board_of(part);
    int speaks = model_query_speaks(part);
    *item = board && !board->dense ? board->touched : NULL;
    int32_t few = *item ? board->n_touched : n_items;
    for (int32_t k = 0; k < few; k++) {
        int32_t i = *item ? (*item)[k] : k;
        q->score[k] = board ? fmax(0, board->score[i]) : speaks ? model_query_score(part, i) : 0;
    }
    return few;
}

/* The part's scores, divided by the root of their mean square unless it speaks alone. */
static void add_scores(ModelQuery *query, BlendQuery *q, int c, double weight, int alone) {
    const int32_t *item;
    int32_t n = query->model->n_items, few = take_scores(q, c, n, &item);
    double square = 0;
    for (int32_t k = 0; k < few; k++) square += q->score[k] * q->score[k];
    q->factor[c] = alone ? 1 : square > 0 ? weight / sqrt(square / n) : 0;
    for (int32_t k = 0; k < few; k++)
        q->board.score[item ? item[k] : k] += q->factor[c] * q->score[k];
}

/* The part's logits as exp(logit - the highest). */
static void take_exponents(const ModelQuery *part, int32_t n, double *score) {
    double most = -INFINITY;
    part->model->algorithm->logits(part, score);
    for (int32_t i = 0; i < n; i++) most = fmax(most, score[i]);
    for (int32_t i = 0; i < n; i++) score[i] = exp(score[i] - most);
}

static void add_logs(ModelQuery *query, BlendQuery *q, int c, double weight) {
    const ModelQuery *part = q->part[c];
    const int32_t *item = NULL;
    int32_t n = query->model->n_items, few = n;
    double sum = 0;
    if (model_query_speaks(part) && part->model->algorithm->logits)
        take_exponents(part, n, q->score);
    else few = take_scores(q, c, n, &item);
    for (int32_t k = 0; k < few; k++) sum += q->score[k];
    q->factor[c] = sum > 0 ? n / (LOG_FLOOR * sum) : 0;
    for (int32_t k = 0; k < few; k++)
        q->board.score[item ? item[k] : k] += weight * log1p(q->factor[c] * q->score[k]);
}

static Status blend_prepare(ModelQuery *query, Err *err) {
    const Blend *blend = query->model->state;
    BlendQuery *q = query->scratch;
    scoreboard_reset(&q->board, 1);
    for (int c = 0; c < blend->n; c++) {
        q->factor[c] = 0;
        if (!speaks(blend, query, c)) continue;
        TRY(query->similar >= 0 ? model_query_similar(q->part[c], query->similar, err)
                                : model_query_history(q->part[c], &query->history, err));
        if (blend->fusion == FUSION_RRF) TRY(add_ranks(query, q, c, blend->part[c].weight, err));
        else if (blend->fusion == FUSION_LOG) add_logs(query, q, c, blend->part[c].weight);
        else add_scores(query, q, c, blend->part[c].weight, blend->fusion == FUSION_SWITCH);
    }
    return ST_OK;
}

static const Scoreboard *blend_board(const ModelQuery *query) {
    return &((const BlendQuery *)query->scratch)->board;
}

/* What a part's contributions are multiplied by, so that they add up to what it gives the item. */
static double contribution_factor(const Blend *blend, const BlendQuery *q, int c, int32_t item) {
    if (blend->fusion != FUSION_LOG) return q->factor[c];
    double score = fmax(0, algorithm_score(q->part[c], item));
    return score > 0 ? blend->part[c].weight * log1p(q->factor[c] * score) / score : 0;
}

/* The parts' contributions, as they were weighed; of ranks there are none. */
static Status blend_contributions(const ModelQuery *query, int32_t item, double *part, Err *err) {
    const Blend *blend = query->model->state;
    const BlendQuery *q = query->scratch;
    double *own = mem_array((size_t)query->history.n, sizeof *own);
    Status status = own ? ST_OK : fail_nomem(err, "because");
    if (own) memset(part, 0, (size_t)query->history.n * sizeof *part);
    for (int c = 0; c < blend->n && status == ST_OK; c++) {
        if (q->factor[c] == 0 || !blend->part[c].algorithm->contributions) continue;
        double factor = contribution_factor(blend, q, c, item);
        status = blend->part[c].algorithm->contributions(q->part[c], item, own, err);
        for (int64_t h = 0; h < query->history.n && status == ST_OK; h++)
            part[h] += factor * own[h];
    }
    mem_free(own);
    return status;
}

/* By the first part that can tell. */
static double blend_alike(const Model *model, int32_t a, int32_t b) {
    const Blend *blend = model->state;
    for (int c = 0; c < blend->n; c++)
        if (blend->part[c].algorithm->alike)
            return blend->part[c].algorithm->alike(blend->model[c], a, b);
    return 0;
}

static int blend_keeps_rows(const Model *model) {
    const Blend *blend = model->state;
    for (int c = 0; c < blend->n; c++) {
        const Algorithm *algorithm = blend->part[c].algorithm;
        if (algorithm->keeps_rows && algorithm->keeps_rows(blend->model[c])) return 1;
    }
    return 0;
}

/* From all parts that keep rows: all have her, or none. */
static Status blend_forget(Model *model, const History *history, int *removed, Err *err) {
    Blend *blend = model->state;
    *removed = 1;
    for (int c = 0; c < blend->n; c++) {
        const Algorithm *algorithm = blend->part[c].algorithm;
        int own;
        if (!algorithm->keeps_rows || !algorithm->keeps_rows(blend->model[c])) continue;
        TRY(algorithm->forget(blend->model[c], history, &own, err));
        *removed &= own;
    }
    return ST_OK;
}

/* Where all parts are. */
static int blend_by_session(const AlgorithmParams *params) {
    BlendParams blend;
    Blend *parts = mem_zeros(1, sizeof *parts);
    memcpy(&blend, params, sizeof blend);
    int by_session = parts && read_parts(&blend, parts, NULL) == ST_OK;
    for (int c = 0; by_session && c < parts->n; c++)
        by_session = algorithm_by_session(parts->part[c].algorithm, &parts->part[c].params);
    mem_free(parts);
    return by_session;
}

/* A part may; to find out could fail for want of memory, and the order is cheap. */
static int blend_wants_order(const AlgorithmParams *params) {
    (void)params;
    return 1;
}

static void blend_cost(const CostAsk *ask, Cost *out) {
    BlendParams params;
    Blend *blend = mem_zeros(1, sizeof *blend);
    memcpy(&params, ask->params, sizeof params);
    int is_read = blend && read_parts(&params, blend, NULL) == ST_OK;
    for (int c = 0; is_read && c < blend->n; c++) {
        CostAsk part = *ask;
        part.algorithm = blend->part[c].algorithm;
        part.params = &blend->part[c].params;
        if (part.algorithm->cost) part.algorithm->cost(&part, out);
    }
    if (!is_read) out->failed = 1;
    mem_free(blend);
}

const Algorithm blend_algorithm = {
    .name = "blend",
    .least_events = 1000,
    .wants_items = 1,
    .summary = "several models as one: weighted scores, reciprocal ranks, or switched by the "
               "length of the history",
    .options = blend_options,
    .tune_space = "{\"weight_2\":{\"min\":0.1,\"max\":10,\"log\":true},\"weight_3\":{\"min\":0.1,"
                  "\"max\":10,\"log\":true},\"weight_4\":{\"min\":0.1,\"max\":10,\"log\":true}}",
    .params_size = sizeof(BlendParams),
    .by_session = blend_by_session,
    .wants_order = blend_wants_order,
    .check = blend_check,
    .reweigh = blend_reweigh,
    .cost = blend_cost,
    .train = blend_train,
    .write = blend_write,
    .read = blend_read,
    .keeps_rows = blend_keeps_rows,
    .forget = blend_forget,
    .free_state = blend_free,
    .memory = blend_memory,
    .query_new = blend_query_new,
    .query_free = blend_query_free,
    .query_prepare = blend_prepare,
    .board = blend_board,
    .contributions = blend_contributions,
    .alike = blend_alike,
};
