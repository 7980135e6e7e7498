/* The order of what users had: the sequences that order-aware recommenders learn from, and how an
 * asker's history fades.
 *
 * In the order of time what a user had stands in places 0, 1, ..: what was had at the same time (a
 * basket) shares a place, and what was had again has several. An asker's history has each item
 * where it was had last; a cart's places are those of its list. */
#ifndef REC_SEQUENCES_H
#define REC_SEQUENCES_H

#include "model.h"

typedef struct Sequences {
    int32_t n_users, n_items;
    const int64_t *row_start; /* users + 1, of the dataset */
    int32_t *item;            /* a user's items, oldest first; of one time by id */
    int32_t *place;           /* of each, from 0 */
    int32_t *user;            /* whose it is */
    int64_t *at_start, *at;   /* items + 1: where in item[] each item is, user after user */
} Sequences;

/* Of data that keeps its order (DatasetRules). O(n). ST_BADARG where the events have no order, with
 * a sentence that begins with who. */
Status sequences_init(Sequences *out, const Dataset *data, const char *who, Err *err);
void sequences_clear(Sequences *sequences);

/* The first entry of the same user that is at most `window` places before the entry `at`. */
int64_t sequences_look_back(const Sequences *sequences, int64_t at, int64_t window);

/* How many users had one thing after the other. For i before j in a user's sequence, g >= 1 places
 * apart and at most `window`,
 *
 *     C_ij += decay^(g - 1),   C_ji += reverse decay^(g - 1)
 *
 * and of one time, where nobody knows the order, half of both: C_ij and C_ji += (1 + reverse) / 2.
 */
typedef struct OrderedPairs {
    const Sequences *sequences;
    double reverse;
    int64_t window;
    double *fading; /* window: decay^(g - 1) at g - 1 */
} OrderedPairs;
Status ordered_pairs_init(OrderedPairs *out, const Sequences *sequences, double decay,
    double reverse, int64_t window, Err *err);
void ordered_pairs_clear(OrderedPairs *pairs);

/* Add C_jx, or C_xj where into, to sum[x] for all x, j too: sum is n_items long and 0 where it has
 * not been touched, touched has room for n_items + 1. Returns how many were touched. O(users of j *
 * window). */
int32_t ordered_pairs_row(
    const OrderedPairs *pairs, int32_t j, int into, double *sum, int32_t *touched);
/* The sums of row j and of column j. The same cost. */
void ordered_pairs_sums(const OrderedPairs *pairs, int32_t j, double *row, double *column);

/* How much less an item of the asker's history counts than her last one: factor^k for the k-th
 * place before it, and 2^(-days / half_life) by the time between, half_life > 0. */
typedef struct Recency {
    double factor; /* 0..1; 1: places do not matter */
    double days;   /* half_life; 0: days do not matter */
} Recency;

#define RECENCY_OPTIONS(Params, own) \
    {"recency", OPT_REAL, offsetof(Params, recency.factor), -1, 1, -1, NULL, \
        "what an item of the asker's history counts beside the next one: 1 the same, 0 only the " \
        "last; -1: " own}, \
    { \
        "recency_days", OPT_REAL, offsetof(Params, recency.days), 0, 1e6, 0, NULL, \
            "days before her last event after which an item of the asker's history counts half; " \
            "0: days do not matter" \
    }

/* weight[h] of each item of the history; order: room for as many. Without times all are 1. O(n log
 * n). */
void recency_weights(const Recency *recency, const History *history, Scored *order, double *weight);

/* The history's items by time, oldest first, of one time by id: score is the time, id the place in
 * the history. O(n log n). */
void history_in_order(const History *history, Scored *order);

#endif
