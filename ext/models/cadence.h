/* Cadence: how due an item is that somebody buys again and again.
 *
 * With d the days since u had i last, and g what is usual for her and for it, all as logarithms,
 *
 *     ratio_ui = log d_ui - g_ui
 *     g_ui = (sum of u's own log gaps of i + C (g_i + tempo_u)) / (their number + C)
 *     g_i = (sum of everybody's log gaps of i + A mean) / (their number + A)
 *     tempo_u = sum over u's gaps of (log gap - g_i) / (their number + B)
 *
 * with A = B = 5 and C = 2; a gap is the days between two times that a user had an item, half a day
 * at least. How much more often an item came back than its weight says is learnt from each user's
 * last baskets, or from the last `horizon` days thrice, by (how often she had it, ratio):
 *
 *     lift = (came back + S m) / (expected + S m)
 *
 * expected: by the share that came back among the pairs of a like weight; m: that of all pairs; S =
 * 30; who had it once has one lift for all ratios. A user's own gaps are left out of g_i where she
 * is learnt from. Days since the last purchase as a weight: Romanov et al. 2023 (TAIW); the form
 * and its learning are ours. */
#ifndef REC_CADENCE_H
#define REC_CADENCE_H

#include "model.h"

enum { CADENCE_COUNTS = 4, CADENCE_RATIOS = 17 };

typedef struct Cadence {
    int32_t n_items;
    float *gap; /* n_items: g_i, the logarithm of days */
    double lift[CADENCE_COUNTS][CADENCE_RATIOS];
} Cadence;

/* From the visits of the data, whose weights are by baskets. horizon: days; 0: the next basket.
 * O(n) for n visits, each gone through a few times. Cancellable. */
Status cadence_train(Cadence *out, const Dataset *data, const BasketRules *rules, double horizon,
    Task *task, Err *err);
void cadence_clear(Cadence *cadence);

void cadence_write(const Cadence *cadence, Bytes *out);
/* Back, checked: the bytes are untrusted. */
Status cadence_read(Cadence *out, int32_t n_items, Reader *in, Err *err);

/* What each item's weight is to be multiplied with, so that their sum stays: *factor has n of them,
 * and is to be mem_free'd. now: unix seconds; a later visit of the history is now. A cart has no
 * days: all are 1. O(visits * log items). */
Status cadence_factors(
    const Cadence *cadence, double now, const History *history, double **factor, Err *err);

#endif
