/* Why any predictor says what it says: Shapley values of its features.
 *
 * v(S) is the score of the row whose features in S are its own, the others those of the background:
 * dense columns the examples' mean, sparse ones 0. A feature's part is the mean, over all orders in
 * which features may come in, of what it changes (Shapley 1953; Strumbelj and Kononenko 2014); all
 * parts and v(none) sum to the score. Of up to SHAPLEY_EXACT features all 2^n sets are looked at;
 * of more, SHAPLEY_ORDERS drawn orders and their reverses. */
#ifndef REC_SHAPLEY_H
#define REC_SHAPLEY_H

#include "predictor.h"

enum { SHAPLEY_EXACT = 10, SHAPLEY_ORDERS = 64 };

/* part: features.n. task: is polled between two scores. At most 2^SHAPLEY_EXACT or
 * 2 SHAPLEY_ORDERS (features + 1) of them. */
Status shapley_explain(const Predictor *predictor, const DesignRow *row, int32_t score,
    double *part, double *base, Task *task, Err *err);

#endif
