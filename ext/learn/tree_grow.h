/* Growing one tree over binned columns by histograms.
 *
 * Every example has a vector of gradients g and a weight h (the hessian). A leaf of the sums G and
 * H has the numbers -G / (H + l2), and a split gains
 *     sum_k G_left,k^2 / (H_left + l2) + G_right,k^2 / (H_right + l2) - G_k^2 / (H + l2)
 * (Chen and Guestrin 2016). With g = -w y and h = w that is the fall of the variance, with
 * g_k = -w [class is k] that of Gini's impurity, each times the weight (Breiman et al. 1984). The
 * leaf that gains most is split next, until there are as many as wanted. Ties go to the first
 * column and the lowest threshold, so that threads do not matter. */
#ifndef REC_TREE_GROW_H
#define REC_TREE_GROW_H

#include "bins.h"
#include "trees.h"

typedef struct GrowRules {
    int64_t max_leaves;          /* 0: no limit */
    int64_t max_depth;           /* splits on a path; 0: TREES_DEPTH */
    double min_rows, min_weight; /* of a leaf: examples, and their h */
    /* min_rows is compared with a side's share of the leaf's h times the leaf's examples, as
     * LightGBM does: where most are settled, few that are not may have a leaf */
    int rows_by_weight;
    double l2, min_gain;
    int32_t columns; /* that each split looks at, drawn; 0: all */
    uint64_t seed;
} GrowRules;

typedef struct GrowData {
    const Bins *bins;
    int32_t width;
    const double *gradient; /* bins->n x width */
    const double *hessian;  /* bins->n; 0: the row is left out */
    const uint8_t *use;     /* dim: columns that may be used; NULL: all */
} GrowData;

/* Append a tree. leaf_of (bins->n, or NULL): the leaf of each row, its place in value; of rows that
 * are left out, too. task: NULL grows on the caller's thread alone, `watch` is looked at for an
 * interrupt. */
Status tree_grow(Trees *trees, const GrowData *data, const GrowRules *rules, Task *task,
    Task *watch, int32_t *leaf_of, Err *err);

/* Of one tree: splits go that gain no more than `cost` for every leaf that they add (Breiman et al.
 * 1984); a leaf that takes their place has the mean of those below it. *trees is replaced. */
Status tree_prune(Trees **trees, double cost, Err *err);

#endif
