/* Classes of unequal size made equal: by weights, by leaving rows out, or by taking rows several
 * times. */
#ifndef REC_BALANCE_H
#define REC_BALANCE_H

#include <stdint.h>

#include "../base/status.h"

typedef enum BalanceMethod {
    /* every row once, weighing n / (classes x rows of its class) (King and Zeng 2001; scikit-learn
     * "balanced") */
    BALANCE_WEIGHT,
    BALANCE_UNDER, /* of every class as many rows as the smallest has */
    /* of every class as many as the largest has: its rows in turn, so that no two differ by more
     * than one copy */
    BALANCE_OVER
} BalanceMethod;

/* More rows than there are that BALANCE_OVER makes: beyond that the label is hardly a class. */
enum { BALANCE_MOST_ROWS = 50000000 };

/* A row: its class 0 .. n_classes-1 and a hash, by which it is chosen (ties by its place). */
typedef struct BalanceRow {
    int32_t class_id;
    uint64_t hash;
} BalanceRow;

/* copies[i] of row i and their weight. O(n log n). */
Status balance(const BalanceRow *row, int64_t n, int32_t n_classes, BalanceMethod method,
    int64_t *copies, double *weight, Err *err);

#endif
