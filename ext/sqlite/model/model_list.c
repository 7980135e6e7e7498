/* One list of a rec_model: the catalogue, a list of candidates, or one pair. */
#include "model_list.h"

#include "../../base/bits.h"
#include "../../base/memory.h"
#include "../../models/candidates.h"

size_t list_pool(const Request *request, size_t k, int64_t available) {
    const RerankRules *rules = &request->call.rerank;
    size_t pool = rerank_is_on(rules) && (size_t)rules->pool > k ? (size_t)rules->pool : k;
    /* who comes in for those that are too many may be far down */
    if (rules->max_per_category > 0) pool = (size_t)available;
    return pool > (size_t)available ? (size_t)available : pool;
}

/* The best of all that are allowed. */
static Status list_catalogue(ListRows *out, ModelQuery *query, const Request *request,
    const uint64_t *allowed, const int32_t *category, Err *err) {
    const RerankRules *rules = &request->call.rerank;
    int64_t available = bits_count(allowed, query->model->n_items);
    size_t k = (size_t)rows_wanted(&request->wanted, available), n,
           pool = list_pool(request, k, available);
    Ranked *ranked = mem_array(pool, sizeof *ranked);
    if (!ranked) return fail_nomem(err, "the list");
    Status status = model_query_rank(query, allowed, available, pool, ranked, &n, err);
    if (status == ST_OK && rerank_is_on(rules))
        status = rerank(query, rules, category, ranked, &n, k, err);
    if (status == ST_OK) status = list_rows_reserve(out, n, err);
    for (size_t i = 0; i < n && status == ST_OK; i++)
        list_rows_add(out, query->model, &ranked[i], (int64_t)i + 1, 0);
    mem_free(ranked);
    return status;
}

/* The request's candidates, each once, at its first place. */
static Status distinct_candidates(
    Candidate *out, size_t *n, const ModelQuery *query, const KeyList *list, Err *err) {
    KeyMap *seen = keymap_new();
    Status status = seen ? ST_OK : fail_nomem(err, "the candidates");
    *n = 0;
    for (size_t i = 0; i < list->n && status == ST_OK; i++) {
        int32_t at;
        status = keymap_add(seen, list->key[i], &at, err);
        if (status != ST_OK || (size_t)at < *n) continue; /* given before */
        out[(*n)++] = candidate_of(query, keymap_find(query->model->items, list->key[i]), i);
    }
    keymap_free(seen);
    return status;
}

static Status list_candidates(
    ListRows *out, const ModelQuery *query, const Request *request, Err *err) {
    const KeyList *list = &request->candidates;
    size_t n = 0;
    Candidate *candidate = mem_array(list->n, sizeof *candidate);
    Status status = candidate ? distinct_candidates(candidate, &n, query, list, err)
                              : fail_nomem(err, "the candidates");
    if (status == ST_OK) candidates_sort(candidate, n);
    size_t k = (size_t)rows_wanted(&request->wanted, (int64_t)n);
    if (status == ST_OK) status = list_rows_reserve(out, k, err);
    for (size_t i = 0; i < k && status == ST_OK; i++)
        out->row[out->n++] = (ListRow){.item = list->key[candidate[i].given],
            .id = candidate[i].item,
            .score = candidate[i].score,
            .rank = (sqlite3_int64)i + 1,
            .from_popular = candidate[i].from_popular,
            .propensity = -1};
    mem_free(candidate);
    return status;
}

/* The item of item =, -1 where it is none of the model's. */
static int32_t asked_item(const Request *request, const Model *model) {
    return request->item_is_key ? keymap_find(model->items, request->item) : -1;
}

/* item = without k: that row of the full list, with its true rank, from one pass over the
 * scores. */
static Status list_pair(ListRows *out, const ModelQuery *query, const Request *request,
    const uint64_t *allowed, Err *err) {
    int32_t item = asked_item(request, query->model);
    if (item < 0 || !bits_have(allowed, item)) return ST_OK;
    Candidate own = candidate_of(query, item, 0);
    Ranked ranked = {item, own.from_popular, own.score};
    TRY(list_rows_reserve(out, 1, err));
    list_rows_add(out, query->model, &ranked, candidate_rank(query, allowed, item), 0);
    return ST_OK;
}

/* Of a list in another order only the row of item =. */
static void keep_item(ListRows *rows, int32_t item) {
    size_t kept = 0;
    for (size_t i = 0; i < rows->n; i++)
        if (rows->row[i].id == item) rows->row[kept++] = rows->row[i];
    rows->n = kept;
}

Status model_list_rows(ListRows *out, ModelQuery *query, const Request *request,
    const uint64_t *allowed, const int32_t *category, Err *err) {
    int in_order = !rerank_is_on(&request->call.rerank);
    if (request->has_candidates) TRY(list_candidates(out, query, request, err));
    else if (request->has_item && in_order) return list_pair(out, query, request, allowed, err);
    else TRY(list_catalogue(out, query, request, allowed, category, err));
    if (request->has_item && !in_order) keep_item(out, asked_item(request, query->model));
    return ST_OK;
}
