/* The columns of a design in bins, for growing trees: at most MAX_BINS of values that are next to
 * each other, and one more of what is missing. */
#ifndef REC_BINS_H
#define REC_BINS_H

#include "design.h"

enum { MAX_BINS = 255 };

typedef struct ColumnBins {
    float *upper; /* n - 1: a value up to upper[b] is in bin b or before; between two values */
    int32_t n;    /* without the missing one, whose number this is */
    int has_missing;
} ColumnBins;

typedef struct Bins {
    int64_t n;
    int32_t dim;
    ColumnBins *column; /* dim */
    uint8_t *bin;       /* dim x n, column after column */
} Bins;

/* Bins of about equally many values, by up to 200,000 of the rows. O(n dim log n). */
Status bins_build(Bins *out, const Design *design, Task *task, Err *err);
void bins_clear(Bins *bins);

static inline const uint8_t *bins_of(const Bins *bins, int32_t column) {
    return bins->bin + (int64_t)column * bins->n;
}

#endif
