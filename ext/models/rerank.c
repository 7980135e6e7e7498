#include "rerank.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"

typedef struct Contender {
    Ranked listed;
    double relevance;
    double closest; /* to what is chosen */
    int taken;
} Contender;

/* Shares of the categories: p of the history, counts of the list. */
typedef struct Shares {
    int32_t n;
    double *wanted;
    int32_t *count;
    int32_t listed; /* items of the list that have a category */
} Shares;

static double relevance_of(const Model *model, const Ranked *r, double penalty) {
    double users = (double)model->popularity[r->item];
    if (r->from_popular || r->score <= 0) return 0;
    return r->score / pow(users > 1 ? users : 1, penalty);
}

static Contender *candidates(
    const Model *model, const RerankRules *rules, const Ranked *list, size_t n) {
    Contender *out = mem_zeros(n, sizeof *out);
    double largest = 0;
    for (size_t i = 0; out && i < n; i++) {
        out[i].listed = list[i];
        out[i].relevance = relevance_of(model, &list[i], rules->popularity_penalty);
        largest = fmax(largest, out[i].relevance);
    }
    for (size_t i = 0; out && i < n && largest > 0; i++) out[i].relevance /= largest;
    return out;
}

static Status shares_init(Shares *s, const ModelQuery *query, const int32_t *category, Err *err) {
    double total = 0;
    for (int32_t i = 0; i < query->model->n_items; i++)
        if (category[i] >= s->n) s->n = category[i] + 1;
    s->wanted = mem_zeros((size_t)s->n, sizeof *s->wanted);
    s->count = mem_zeros((size_t)s->n, sizeof *s->count);
    if (!s->wanted || !s->count) return fail_nomem(err, "the categories");
    for (int64_t h = 0; h < query->history.n; h++) {
        int32_t own = category[query->history.item[h]];
        double x = model_scaled(query->model, query->history.weight[h]);
        if (own >= 0) s->wanted[own] += x;
        if (own >= 0) total += x;
    }
    for (int32_t c = 0; c < s->n && total > 0; c++) s->wanted[c] /= total;
    return ST_OK;
}

/* KL(p, .99 q + .01 p) of the list with one more item of the category. */
static double divergence(const Shares *s, int32_t category) {
    double sum = 0, listed = s->listed + (category >= 0);
    for (int32_t c = 0; c < s->n; c++) {
        double p = s->wanted[c], q = listed > 0 ? (s->count[c] + (c == category)) / listed : 0;
        if (p > 0) sum += p * log(p / (.99 * q + .01 * p));
    }
    return sum;
}

static int is_full(const Shares *s, const RerankRules *rules, int32_t category) {
    return rules->max_per_category > 0 && category >= 0 &&
        s->count[category] >= rules->max_per_category;
}

static int32_t category_of(const int32_t *category, const Contender *c) {
    return category ? category[c->listed.item] : -1;
}

/* The best of those that are left; -1 when nobody may come. */
static int64_t next(const RerankRules *rules, const Shares *s, const int32_t *category,
    const Contender *c, size_t n) {
    int64_t best = -1;
    double best_value = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (c[i].taken || is_full(s, rules, category_of(category, &c[i]))) continue;
        double value = (1 - rules->diversity) * c[i].relevance - rules->diversity * c[i].closest;
        if (rules->calibration > 0)
            value -= rules->calibration * divergence(s, category_of(category, &c[i]));
        if (value > best_value) {
            best = (int64_t)i;
            best_value = value;
        }
    }
    return best;
}

static void take(const ModelQuery *query, const RerankRules *rules, Shares *s,
    const int32_t *category, Contender *c, size_t n, size_t chosen) {
    int32_t own = category_of(category, &c[chosen]);
    c[chosen].taken = 1;
    if (own >= 0) {
        s->count[own]++;
        s->listed++;
    }
    for (size_t i = 0; i < n && rules->diversity > 0; i++)
        if (!c[i].taken)
            c[i].closest = fmax(c[i].closest,
                query->model->algorithm->alike(
                    query->model, c[i].listed.item, c[chosen].listed.item));
}

Status rerank(const ModelQuery *query, const RerankRules *rules, const int32_t *category,
    Ranked *list, size_t *n, size_t k, Err *err) {
    Shares shares = {0};
    size_t found = 0;
    if (rules->diversity > 0 && !query->model->algorithm->alike)
        return fail(err, ST_BADARG, "diversity: algorithm %s cannot tell how alike two items are",
            query->model->algorithm->name);
    size_t pool = *n < (size_t)rules->pool ? *n : (size_t)rules->pool;
    Contender *c = candidates(query->model, rules, list, pool);
    Status status = c ? ST_OK : fail_nomem(err, "the list");
    if (status == ST_OK && category) status = shares_init(&shares, query, category, err);
    while (status == ST_OK && found < k) {
        int64_t chosen = next(rules, &shares, category, c, pool);
        if (chosen < 0) break;
        take(query, rules, &shares, category, c, pool, (size_t)chosen);
        list[found++] = c[chosen].listed;
    }
    for (size_t i = pool; status == ST_OK && i < *n && found < k; i++) {
        int32_t own = category ? category[list[i].item] : -1;
        if (is_full(&shares, rules, own)) continue;
        if (own >= 0) shares.count[own]++;
        list[found++] = list[i];
    }
    *n = found;
    mem_free(c);
    mem_free(shares.wanted);
    mem_free(shares.count);
    return status;
}
