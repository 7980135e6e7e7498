/* Sorting by a double, ascending, without NaN; stable. Radix sort (least significant byte first)
 * with as much room again, 8 passes of which those are left out where all keys agree; qsort where
 * there is no such room. O(n). */
#ifndef REC_SORT_H
#define REC_SORT_H

#include <stddef.h>

void sort_doubles(double *value, size_t n);

/* Records of two doubles, by the first. */
typedef struct Sample {
    double x;
    double y;
} Sample;
void sort_samples(Sample *row, size_t n);

#endif
