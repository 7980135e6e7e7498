/* The design: examples as rows of numbers. Columns 0 .. n_dense - 1 are dense, those behind them
 * sparse (csr.h). */
#ifndef REC_DESIGN_H
#define REC_DESIGN_H

#include "../base/task.h"
#include "../math/csr.h"
#include "feature.h"

typedef struct Design {
    int64_t n;
    int32_t n_dense, dim;
    float *dense; /* n x n_dense */
    Csr sparse;   /* n x dim: its columns are the design's */
} Design;
void design_clear(Design *design);

/* The features of a predictor, laid out. */
typedef struct FeatureSet {
    Feature *feature;
    int32_t n;
    int32_t n_dense, dim;
    /* crosses: the feature's value is made of the values of two columns */
    int32_t *source; /* 2 a feature: its columns of the examples; the second is -1 for one alone */
} FeatureSet;
void feature_set_clear(FeatureSet *set);
/* Give every feature its columns: dense ones first. */
Status feature_set_lay_out(FeatureSet *set, Err *err);

/* Room for the dense part of a row. */
Status design_row_init(DesignRow *row, const FeatureSet *set, Err *err);
/* The cell that a feature has of a row of cells: one of them, or two put together into buffer. */
Cell feature_set_cell(const FeatureSet *set, int32_t feature, const Cell *cells, Bytes *buffer);
/* A row of cells as a row of the design; fold as of feature_apply. */
Status feature_set_apply(
    const FeatureSet *set, const Cell *cells, int fold, DesignRow *row, Bytes *buffer, Err *err);

/* Rows of columns as a design, on the task's threads. fold: n, or NULL. */
Status design_build(Design *out, const FeatureSet *set, const Columns *columns, const int64_t *row,
    const uint8_t *fold, int64_t n, Task *task, Err *err);

/* The first entry of a row in columns first .. first + width - 1, and how many there are. */
int64_t design_row_range(const DesignRow *row, int32_t first, int32_t width, int64_t *n);
/* The row with some features from another: taken has 1 a feature for those. out: room of
 * design_row_init. */
Status design_row_mix(DesignRow *out, const FeatureSet *set, const DesignRow *row,
    const DesignRow *other, const uint8_t *taken, Err *err);

/* The name of a column of the design. */
void feature_set_column_name(const FeatureSet *set, int32_t column, Bytes *out);
/* The feature that a column of the design belongs to. */
int32_t feature_set_feature_of(const FeatureSet *set, int32_t column);

/* A row of it, borrowed. */
static inline DesignRow design_row(const Design *design, int64_t row) {
    int64_t from = design->sparse.row_start[row];
    return (DesignRow){.dense = design->dense + row * design->n_dense,
        .n_dense = design->n_dense,
        .col = design->sparse.col + from,
        .val = design->sparse.val + from,
        .n = design->sparse.row_start[row + 1] - from};
}

#endif
