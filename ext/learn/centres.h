/* A design as one dense matrix, and distances of its rows to points: what learners share that look
 * at places rather than at columns. */
#ifndef REC_CENTRES_H
#define REC_CENTRES_H

#include "learner.h"

/* Rows of so many floats as `dim` takes (up16): 0 behind them. A design that would take more than
 * 4 GiB is refused. To be mem_free'd. */
Status design_matrix(const Design *design, float **out, Err *err);

/* Points with their squared lengths. */
typedef struct Points {
    int32_t n, dim;
    float *x;     /* n rows of up16(dim) floats */
    double *norm; /* n */
} Points;
/* x is copied. */
Status points_init(Points *out, const float *x, int32_t n, int32_t dim, Err *err);
void points_clear(Points *points);
/* |row - point i|^2. */
double points_distance(const Points *points, int32_t i, const DesignRow *row, double row_norm);
double design_row_norm(const DesignRow *row);
/* out = |x - point|^2, N x n; "inner" the products x . point. */
Status points_graph(const Points *points, OnnxGraph *g, const char *out, Err *err);
void points_write(const Points *points, Bytes *out);
Status points_read(Points *out, int32_t dim, Reader *in, Err *err);
static inline size_t points_memory(const Points *points) {
    return (size_t)points->n * ((size_t)points->dim * sizeof(float) + sizeof(double));
}

#endif
