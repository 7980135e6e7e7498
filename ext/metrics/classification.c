#include "classification.h"

#include <math.h>
#include <stdlib.h>

static int by_score(const void *a, const void *b) {
    double x = ((const Labelled *)a)->score, y = ((const Labelled *)b)->score;
    return (x > y) - (x < y);
}

double auc(Labelled *item, size_t n) {
    double rank_sum = 0, positives = 0;
    if (n == 0) return NAN;
    qsort(item, n, sizeof *item, by_score);
    for (size_t from = 0; from < n;) {
        size_t to = from;
        double tied_positives = 0;
        while (to < n && item[to].score == item[from].score) tied_positives += item[to++].positive;
        rank_sum += tied_positives * ((double)(from + to + 1) / 2); /* mid-rank of ranks from + 1 .. to */
        positives += tied_positives;
        from = to;
    }
    double negatives = (double)n - positives;
    if (positives == 0 || negatives == 0) return NAN;
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}
