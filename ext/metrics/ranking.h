/* Metrics of one ranked list, over plain arrays. Definitions:
 *
 *     R relevant items, hit at rank r when the item there is relevant, k the cut-off; rel its gain
 *     (1 where binary)
 *
 *     precision  hits in the first k / k                  (k fixed, even when fewer came back)
 *     recall     hits in the first k / R                  capped form: / min(k, R)
 *     hit        1 if there is a hit in the first k
 *     rr         1 / rank of the first hit, 0 if it is below k or there is none
 *     ap         sum over hits in the first k of precision at that rank / min(k, R)
 *                trec form: / R (trec_eval map_cut)
 *     ndcg       sum rel / log2(rank + 1) over the first k / the same sum of the best order of all
 *                relevant items, cut at k; exponential: 2^rel - 1 in place of rel; full: the best
 *                order is not cut (Jarvelin and Kekalainen 2002; Burges 2005)
 *
 *     r_precision  hits in the first R / R
 *
 * Nothing relevant gives NaN, which SQL shows as NULL. */
#ifndef REC_RANKING_H
#define REC_RANKING_H

#include <stddef.h>
#include <stdint.h>

/* A relevant item: its rank in the list (1 ..), or 0 when the list missed it, and its gain > 0. */
typedef struct Relevant {
    int64_t rank;
    double gain;
} Relevant;

typedef enum RankingMetric {
    METRIC_PRECISION,
    METRIC_RECALL,
    METRIC_HIT,
    METRIC_RR,
    METRIC_AP,
    METRIC_NDCG,
    N_RANKING_METRICS,
    METRIC_R_PRECISION
} RankingMetric;

/* "precision", "recall", ... */
const char *ranking_metric_name(RankingMetric metric);

/* The value; item is put into rank order (missed ones last). variant: for ap 1 = trec form, for
 * recall 1 = capped, for ndcg 1 = exponential and 2 = full. k is not used by r_precision. */
double ranking_metric(RankingMetric metric, Relevant *item, size_t n, int64_t k, int variant);

/* The first rank that two of the items have, 0 where there is none: such items are not of one list.
 * Sorts them. */
int64_t ranking_twin(Relevant *item, size_t n);

#endif
