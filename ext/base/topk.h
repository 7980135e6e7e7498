/* The k best of a stream of (score, id): higher score first, ties by lower id, so that the answer
 * is a total order and does not depend on the order of arrival. */
#ifndef REC_TOPK_H
#define REC_TOPK_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef struct Scored {
    double score;
    int64_t id;
} Scored;

typedef struct TopK {
    Scored *item; /* while filling: a heap whose root is the worst; after topk_sort: best first */
    size_t len;
    size_t k;
    size_t capacity;
} TopK;

/* Make room for the k best; may be called again to reuse the memory. */
Status topk_init(TopK *top, size_t k, Err *err);
void topk_clear(TopK *top);

/* Is a better than b? */
static inline int scored_before(Scored a, Scored b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
}

/* Would (score, id) enter? Cheap: one comparison with the worst that is held. */
static inline int topk_wants(const TopK *top, double score, int64_t id) {
    return top->len < top->k || (top->k && scored_before((Scored){score, id}, top->item[0]));
}

/* The score below which nothing enters, -infinity while there is room. */
double topk_floor(const TopK *top);

/* Offer one; O(log k) when it enters. The score must not be NaN. */
void topk_push(TopK *top, double score, int64_t id);

/* Order what is held, best first. */
void topk_sort(TopK *top);

/* Order n entries, best first. */
void scored_sort(Scored *item, size_t n);

/* Bring the k entries that are first by (|score| descending, id) to the front, in no order; k <= n.
 * O(n) on average. */
void scored_select(Scored *item, size_t n, size_t k);

/* scored_select; returns the least |score| among the k. */
double scored_keep(Scored *item, size_t n, size_t k);

/* Of scores >= 0: bring the k best, or all n where there are no more, to the front, best first;
 * returns how many. */
size_t scored_best(Scored *item, size_t n, size_t k);

#endif
