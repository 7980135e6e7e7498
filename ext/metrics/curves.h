/* Curves of a score against labels: rows sorted by score, the best first, as samples.h lays them
 * out (y: the row's weight, below 0 for label 0). */
#ifndef REC_CURVES_H
#define REC_CURVES_H

#include <stddef.h>
#include <stdint.h>

#include "sort.h"

/* Weights of the rows with label 1 and of those with label 0. */
typedef struct LabelWeights {
    double positive, negative;
} LabelWeights;

/* Of all n rows. */
LabelWeights label_weights(const Sample *row, size_t n);

/* From threshold to threshold: adds the rows with the score of row[from] to *above, which is what
 * is predicted 1 when scores from there on are; returns the place of the next threshold, n at the
 * end. A walk from 0 is O(n). */
size_t curve_step(const Sample *row, size_t n, size_t from, LabelWeights *above);

/* A calibration bin: rows with a score in [bin / bins, (bin + 1) / bins), of the last one also
 * 1. */
typedef struct CalibrationBin {
    int64_t rows;
    double mean_score, mean_label; /* weighted; of no rows 0 */
} CalibrationBin;
/* O(n). */
CalibrationBin calibration_bin(const Sample *row, size_t n, int64_t bin, int64_t bins);

#endif
