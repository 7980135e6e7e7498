#include "ranking.h"

#include <math.h>
#include <stdlib.h>

const char *ranking_metric_name(RankingMetric metric) {
    static const char *const names[N_RANKING_METRICS] = {
        "precision", "recall", "hit", "rr", "ap", "ndcg"};
    return names[metric];
}

static int by_rank(const void *a, const void *b) {
    const Relevant *x = a, *y = b;
    int64_t p = x->rank ? x->rank : INT64_MAX, q = y->rank ? y->rank : INT64_MAX;
    return (p > q) - (p < q);
}

static int by_gain(const void *a, const void *b) {
    double x = ((const Relevant *)a)->gain, y = ((const Relevant *)b)->gain;
    return (x < y) - (x > y);
}

static double gain_of(double relevance, int exponential) {
    return exponential ? exp2(relevance) - 1 : relevance;
}

static double ndcg(Relevant *item, size_t n, int64_t k, int variant) {
    int exponential = variant == 1;
    double dcg = 0, ideal = 0;
    for (size_t i = 0; i < n && item[i].rank && item[i].rank <= k; i++)
        dcg += gain_of(item[i].gain, exponential) / log2((double)item[i].rank + 1);
    qsort(item, n, sizeof *item, by_gain);
    for (size_t i = 0; i < n && ((int64_t)i < k || variant == 2); i++)
        ideal += gain_of(item[i].gain, exponential) / log2((double)i + 2);
    qsort(item, n, sizeof *item, by_rank);
    return ideal > 0 ? dcg / ideal : 0;
}

double ranking_metric(RankingMetric metric, Relevant *item, size_t n, int64_t k, int variant) {
    int64_t hits = 0;
    double precision_sum = 0;
    if (n == 0) return NAN;
    qsort(item, n, sizeof *item, by_rank);
    if (metric == METRIC_R_PRECISION) k = (int64_t)n;
    for (size_t i = 0; i < n && item[i].rank && item[i].rank <= k; i++)
        precision_sum += (double)++hits / (double)item[i].rank;
    switch (metric) {
    case METRIC_PRECISION: return k > 0 ? (double)hits / (double)k : 0;
    case METRIC_RECALL: return (double)hits / (double)(variant && k < (int64_t)n ? k : (int64_t)n);
    case METRIC_R_PRECISION: return (double)hits / (double)n;
    case METRIC_HIT: return hits > 0;
    case METRIC_RR: return hits > 0 ? 1 / (double)item[0].rank : 0;
    case METRIC_AP: {
        double ideal = variant || (int64_t)n < k ? (double)n : (double)k;
        return ideal > 0 ? precision_sum / ideal : 0;
    }
    case METRIC_NDCG: return ndcg(item, n, k, variant);
    default: return NAN;
    }
}

int64_t ranking_twin(Relevant *item, size_t n) {
    if (n) qsort(item, n, sizeof *item, by_rank);
    for (size_t i = 1; i < n && item[i].rank; i++)
        if (item[i].rank == item[i - 1].rank) return item[i].rank;
    return 0;
}
