#include "curves.h"

#include <math.h>

LabelWeights label_weights(const Sample *row, size_t n) {
    LabelWeights all = {0, 0};
    for (size_t i = 0; i < n; i++) {
        all.positive += row[i].y > 0 ? row[i].y : 0;
        all.negative -= row[i].y < 0 ? row[i].y : 0;
    }
    return all;
}

size_t curve_step(const Sample *row, size_t n, size_t from, LabelWeights *above) {
    size_t to = from;
    for (; to < n && row[to].x == row[from].x; to++) {
        above->positive += row[to].y > 0 ? row[to].y : 0;
        above->negative -= row[to].y < 0 ? row[to].y : 0;
    }
    return to;
}

CalibrationBin calibration_bin(const Sample *row, size_t n, int64_t bin, int64_t bins) {
    double weight = 0, scores = 0, labels = 0;
    CalibrationBin out = {0, 0, 0};
    for (size_t i = 0; i < n; i++) {
        double own = fmin((double)bins - 1, floor(row[i].x * (double)bins)), w = fabs(row[i].y);
        if (own != (double)bin) continue;
        out.rows++;
        weight += w;
        scores += w * row[i].x;
        labels += row[i].y > 0 ? w : 0;
    }
    if (out.rows) out.mean_score = scores / weight;
    if (out.rows) out.mean_label = labels / weight;
    return out;
}
