/* One list of a rec_model: the catalogue for a user, an item or a cart, a list of candidates, or
 * one pair. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/memory.h"
#include "../host/values.h"
#include "model_cursor.h"

static void forbid(Allowed *allowed, int32_t item) {
    if (item >= 0) allowed->bit[item >> 6] &= ~((uint64_t)1 << (item & 63));
}

static void forbid_keys(Allowed *allowed, const Model *model, const KeyList *list) {
    for (size_t i = 0; i < list->n; i++) forbid(allowed, keymap_find(model->items, list->key[i]));
}

void allowed_forbid_history(Allowed *allowed, const History *history) {
    int64_t n;
    const int32_t *item = history_seen(history, &n);
    for (int64_t i = 0; i < n; i++) forbid(allowed, item[i]);
}

/* Only what is in an IN list, of what was allowed before. */
static Status allow_in(Allowed *allowed, const Model *model, const ModelDefinition *definition,
    sqlite3_value *list, Err *err) {
    sqlite3_value *value;
    char buffer[KEY_BUFFER];
    Key key;
    uint64_t *listed = mem_zeros(model_words(model), sizeof *listed);
    if (!listed) return fail_nomem(err, "the filter");
    for (int code = sqlite3_vtab_in_first(list, &value); code == SQLITE_OK && value;
         code = sqlite3_vtab_in_next(list, &value)) {
        int32_t item = value_key(value, definition->item_affinity, buffer, &key)
            ? keymap_find(model->items, key)
            : -1;
        if (item >= 0) listed[item >> 6] |= (uint64_t)1 << (item & 63);
    }
    for (size_t w = 0; w < model_words(model); w++) allowed->bit[w] &= listed[w];
    mem_free(listed);
    return ST_OK;
}

static int is_allowed(const Allowed *allowed, int32_t item) {
    return (int)(allowed->bit[item >> 6] >> (item & 63) & 1);
}

void allowed_count(Allowed *allowed, const Model *model) {
    allowed->n = 0;
    for (size_t w = 0; w < model_words(model); w++)
        allowed->n += __builtin_popcountll(allowed->bit[w]);
}

/* What holds for every list of the request: IN and exclude. An IN list can be read inside xFilter
 * only. */
Status model_set_common(ModelCursor *cursor, const ModelDefinition *definition, Err *err) {
    Allowed allowed = {.bit = mem_array(model_words(cursor->model), sizeof *allowed.bit)};
    if (!allowed.bit) return fail_nomem(err, "the filter");
    model_allow_all(cursor->model, allowed.bit);
    cursor->common = allowed.bit;
    for (int i = 0; i < cursor->request.n_in; i++)
        TRY(allow_in(&allowed, cursor->model, definition, cursor->request.in[i], err));
    forbid_keys(&allowed, cursor->model, &cursor->request.exclude);
    return ST_OK;
}

enum { BECAUSE_ITEMS = 5 };

/* {"source":"history","items":[{"item":x,"share":0.4},...]}: the history items that raised the
 * score most, with their shares of the sum of absolute contributions (none where the score is no
 * sum over the history); {"source":"popular"} for what was filled in. */
Status model_explain(const ModelCursor *cursor, Row *row, Err *err) {
    const Model *model = cursor->model;
    const History *history = &cursor->query->history;
    Bytes out = {0};
    Scored best[BECAUSE_ITEMS];
    TopK top = {.item = best, .k = BECAUSE_ITEMS, .capacity = BECAUSE_ITEMS};
    double *part = NULL, sum = 0;

    if (row->from_popular || row->id < 0 || model->algorithm->impersonal) {
        bytes_append(&out, "{\"source\":\"popular\"}", 21);
    } else if (cursor->query->similar >= 0) {
        bytes_append(&out, "{\"source\":\"similar\",\"item\":", 27);
        key_json(keymap_key(model->items, cursor->query->similar), &out);
        bytes_append(&out, "}", 2);
    } else {
        part = mem_array((size_t)history->n, sizeof *part);
        if (!part) return fail_nomem(err, "because");
        memset(part, 0, (size_t)history->n * sizeof *part);
        Status status = model->algorithm->contributions
            ? model->algorithm->contributions(cursor->query, row->id, part, err)
            : ST_OK;
        if (status != ST_OK) {
            mem_free(part);
            return status;
        }
        for (int64_t h = 0; h < history->n; h++) {
            sum += fabs(part[h]);
            if (part[h] > 0) topk_push(&top, part[h], history->item[h]);
        }
        topk_sort(&top);
        bytes_format(&out, "{\"source\":\"%s\",\"items\":[",
            cursor->request.subject == SUBJECT_BASKET ? "basket" : "history");
        for (size_t i = 0; i < top.len; i++) {
            bytes_format(&out, "%s{\"item\":", i ? "," : "");
            key_json(keymap_key(model->items, (int32_t)top.item[i].id), &out);
            bytes_format(&out, ",\"share\":%.4f}", sum > 0 ? top.item[i].score / sum : 0);
        }
        bytes_append(&out, "]}", 3);
    }
    mem_free(part);
    if (out.failed) {
        bytes_clear(&out);
        return fail_nomem(err, "because");
    }
    row->because = (char *)out.data;
    return ST_OK;
}

static Status rank_catalogue(ModelTable *table, ModelCursor *cursor, Allowed *allowed, Err *err) {
    const RerankRules *rules = &cursor->request.call.rerank;
    const int32_t *category;
    allowed_count(allowed, cursor->model);
    size_t k = (size_t)rows_wanted(&cursor->request.wanted, allowed->n), n,
           pool = model_pool_of(&cursor->request, k, allowed->n);
    TRY(model_categories(table, cursor, &category, err));
    Ranked *ranked = mem_array(pool, sizeof *ranked);
    if (!ranked) return fail_nomem(err, "the list");
    Status status = model_query_rank(
        cursor->query, allowed->bit, allowed->n, pool, ranked, &n, err);
    if (status == ST_OK && rerank_is_on(rules))
        status = rerank(cursor->query, rules, category, ranked, &n, k, err);
    if (status == ST_OK) status = model_reserve_rows(cursor, n, err);
    for (size_t i = 0; i < n && status == ST_OK; i++)
        cursor->row[cursor->n_rows++] = (Row){
            .item = keymap_key(cursor->model->items, ranked[i].item),
            .id = ranked[i].item,
            .score = ranked[i].score,
            .rank = (sqlite3_int64)i + 1,
            .from_popular = ranked[i].from_popular};
    mem_free(ranked);
    return status;
}

/* The order of a ranked list, as model_query_rank's: (score, then popular fill by popularity, then
 * id); items that the model does not know come last, as given. */
typedef struct Candidate {
    Row row;
    double popularity;
    size_t given;
} Candidate;

static int compare_candidates(const void *x, const void *y) {
    const Candidate *a = x, *b = y;
    if ((a->row.id < 0) != (b->row.id < 0)) return a->row.id < 0 ? 1 : -1;
    if (a->row.id < 0) return a->given < b->given ? -1 : 1;
    if (a->row.from_popular != b->row.from_popular) return a->row.from_popular ? 1 : -1;
    if (a->row.score != b->row.score) return a->row.score > b->row.score ? -1 : 1;
    if (a->row.from_popular && a->popularity != b->popularity)
        return a->popularity > b->popularity ? -1 : 1;
    return (a->row.id > b->row.id) - (a->row.id < b->row.id);
}

/* Has the model nothing to say about an item with this score, so that the popular list places
 * it? */
static int is_filled(const ModelCursor *cursor, double score) {
    return !model_query_speaks(cursor->query) ||
        (score == 0 && !cursor->model->algorithm->scores_all);
}

/* The candidates, each once, at its first place. */
static Status distinct_candidates(const ModelCursor *cursor, Candidate *out, size_t *n, Err *err) {
    const KeyList *list = &cursor->request.candidates;
    const Model *model = cursor->model;
    KeyMap *seen = keymap_new();
    Status status = seen ? ST_OK : fail_nomem(err, "the candidates");
    *n = 0;
    for (size_t i = 0; i < list->n && status == ST_OK; i++) {
        int32_t at;
        status = keymap_add(seen, list->key[i], &at, err);
        if (status != ST_OK || (size_t)at < *n) continue; /* given before */
        int32_t id = keymap_find(model->items, list->key[i]);
        double score = id >= 0 ? model_query_score(cursor->query, id) : 0;
        out[(*n)++] = (Candidate){.row = {.item = list->key[i],
                                      .id = id,
                                      .score = score,
                                      .from_popular = id < 0 || is_filled(cursor, score)},
            .popularity = id >= 0 ? (double)model->popularity[id] : 0,
            .given = i};
    }
    keymap_free(seen);
    return status;
}

static Status rank_candidates(ModelCursor *cursor, Err *err) {
    size_t n = 0;
    Candidate *candidate = mem_array(cursor->request.candidates.n, sizeof *candidate);
    Status status = candidate ? distinct_candidates(cursor, candidate, &n, err)
                              : fail_nomem(err, "the candidates");
    if (status == ST_OK && n) qsort(candidate, n, sizeof *candidate, compare_candidates);
    size_t k = (size_t)rows_wanted(&cursor->request.wanted, (int64_t)n);
    if (status == ST_OK) status = model_reserve_rows(cursor, k, err);
    for (size_t i = 0; i < k && status == ST_OK; i++) {
        cursor->row[i] = candidate[i].row;
        cursor->row[i].rank = (sqlite3_int64)i + 1;
    }
    if (status == ST_OK) cursor->n_rows = k;
    mem_free(candidate);
    return status;
}

/* item = without k: that row of the full list, with its true rank, from one pass over the
 * scores. */
static Status rank_pair(
    ModelCursor *cursor, const ModelDefinition *definition, Allowed *allowed, Err *err) {
    const Model *model = cursor->model;
    char buffer[KEY_BUFFER];
    Key key;
    sqlite3_int64 better = 0;
    int32_t item = value_key(cursor->request.item, definition->item_affinity, buffer, &key)
        ? keymap_find(model->items, key)
        : -1;
    if (item < 0 || !is_allowed(allowed, item)) return ST_OK;
    double score = model_query_score(cursor->query, item);
    Candidate own = {.row = {.id = item, .score = score, .from_popular = is_filled(cursor, score)},
        .popularity = (double)model->popularity[item]};
    for (int32_t i = 0; i < model->n_items; i++) {
        if (i == item || !is_allowed(allowed, i)) continue;
        double s = model_query_score(cursor->query, i);
        Candidate other = {.row = {.id = i, .score = s, .from_popular = is_filled(cursor, s)},
            .popularity = (double)model->popularity[i]};
        better += compare_candidates(&other, &own) < 0;
    }
    TRY(model_reserve_rows(cursor, 1, err));
    own.row.item = keymap_key(model->items, item);
    own.row.rank = better + 1;
    cursor->row[cursor->n_rows++] = own.row;
    return ST_OK;
}

/* Of a list in another order only the row of item =. */
static void keep_item(ModelCursor *cursor, const ModelDefinition *definition) {
    char buffer[KEY_BUFFER];
    Key key;
    size_t kept = 0;
    int32_t item = value_key(cursor->request.item, definition->item_affinity, buffer, &key)
        ? keymap_find(cursor->model->items, key)
        : -1;
    for (size_t i = 0; i < cursor->n_rows; i++)
        if (cursor->row[i].id == item) cursor->row[kept++] = cursor->row[i];
    cursor->n_rows = kept;
}

HistoryRules model_history_rules(const ModelCursor *cursor) {
    HistoryRules rules = history_rules(cursor->model);
    if (isfinite(cursor->request.call.until)) {
        rules.has_until = 1;
        rules.until = cursor->request.call.until;
    }
    return rules;
}

/* The cart as a history: an item counts as often as it is in the list, and its time is its last
 * place there. */
static Status basket_history(const ModelCursor *cursor, OwnedHistory *out, Err *err) {
    const KeyList *list = &cursor->request.basket;
    int32_t n = cursor->model->n_items;
    float *count = mem_zeros((size_t)n, sizeof *count);
    double *place = mem_array((size_t)n, sizeof *place);
    Status status = count && place ? owned_history_reserve(out, (int64_t)list->n, err)
                                   : fail_nomem(err, "the basket");
    for (size_t i = 0; i < list->n && status == ST_OK; i++) {
        int32_t item = keymap_find(cursor->model->items, list->key[i]);
        if (item < 0) continue;
        count[item] += 1;
        place[item] = (double)i;
    }
    for (int32_t i = 0; i < n && status == ST_OK; i++) {
        if (count[i] == 0) continue;
        out->history.item[out->history.n] = i;
        out->history.weight[out->history.n] = count[i];
        out->history.time[out->history.n++] = place[i];
    }
    mem_free(count);
    mem_free(place);
    return status;
}

/* Prepare the query for the subject, and leave out what has been seen. *known is 0 for an unknown
 * similar_to. */
static Status prepare_subject(ModelTable *table, ModelCursor *cursor, OwnedHistory *history,
    Allowed *allowed, int *known, Err *err) {
    Request *request = &cursor->request;
    HistoryRules rules = model_history_rules(cursor);
    *known = 1;
    if (request->subject == SUBJECT_SIMILAR) {
        int32_t item = keymap_find(cursor->model->items, request->similar);
        if (cursor->model->algorithm->no_similar)
            return fail(err, ST_BADARG, "algorithm %s has no similar items",
                cursor->model->algorithm->name);
        *known = item >= 0;
        if (!*known) return ST_OK;
        forbid(allowed, item);
        return model_query_similar(cursor->query, item, err);
    }
    if (request->subject == SUBJECT_BASKET) TRY(basket_history(cursor, history, err));
    else TRY(events_read_user(&table->reader, cursor->model, &rules, request->user, history, err));
    if (request->call.exclude_seen) allowed_forbid_history(allowed, &history->history);
    return model_query_history(cursor->query, &history->history, err);
}

Status model_fill_one(ModelTable *table, ModelCursor *cursor, Err *err) {
    OwnedHistory history = {0};
    Allowed allowed = {.bit = cursor->common};
    int known = 0;
    Status status = prepare_subject(table, cursor, &history, &allowed, &known, err);
    if (status == ST_OK && known) {
        if (cursor->request.has_candidates) status = rank_candidates(cursor, err);
        else if (cursor->request.item && !rerank_is_on(&cursor->request.call.rerank))
            status = rank_pair(cursor, &table->definition, &allowed, err);
        else status = rank_catalogue(table, cursor, &allowed, err);
        if (status == ST_OK && cursor->request.item && rerank_is_on(&cursor->request.call.rerank))
            keep_item(cursor, &table->definition);
    }
    for (size_t i = 0; cursor->request.because && i < cursor->n_rows && status == ST_OK; i++)
        status = model_explain(cursor, &cursor->row[i], err);
    cursor->query->history = (History){0}; /* ours is about to go */
    owned_history_clear(&history);
    return status;
}
