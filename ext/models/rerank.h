/* A list put in another order for reasons other than taste. */
#ifndef REC_RERANK_H
#define REC_RERANK_H

#include "model.h"

typedef struct RerankRules {
    double diversity;          /* 0..1: weight of being unlike what is listed before; 0: off */
    double popularity_penalty; /* a score counts divided by (users of the item)^this; 0: off */
    /* weight of the list's categories being those of the history; 0: off */
    double calibration;
    int64_t max_per_category; /* so many items of a category; 0: no limit */
    int64_t pool;             /* the first so many items of the list take part */
} RerankRules;

static inline int rerank_is_on(const RerankRules *rules) {
    return rules->diversity > 0 || rules->popularity_penalty > 0 || rules->calibration > 0 ||
        rules->max_per_category > 0;
}
static inline int rerank_needs_categories(const RerankRules *rules) {
    return rules->calibration > 0 || rules->max_per_category > 0;
}

/* Choose k of the n listed items: of the first `pool`, one after the other, the one with the
 * largest
 *
 *     (1 - diversity) r_i - diversity max over chosen j of alike(i, j) - calibration KL(p, .99 q +
 *     .01 p)
 *
 * r_i: score_i / (users of i)^popularity_penalty, divided by the largest of the list; 0 for what
 * the popular list filled in. p: shares of the categories in the history, by scaled weight; q: in
 * the list with i (Steck 2018). The term of diversity is maximal marginal relevance (Carbonell and
 * Goldstein 1998). Ties: who was listed before. An item whose category has max_per_category items
 * already is passed over, so that fewer than k may come out. category: per item of the model, -1
 * for none (no limit for those); NULL when rerank_needs_categories says no. What is listed after
 * the pool follows as it is. O(k pool). */
Status rerank(const ModelQuery *query, const RerankRules *rules, const int32_t *category,
    Ranked *list, size_t *n, size_t k, Err *err);

#endif
