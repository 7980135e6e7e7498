/* Expected values worked out by hand from the definitions in ranking.h. */
#include "../../ext/metrics/bootstrap.h"
#include "../../ext/metrics/classification.h"
#include "../../ext/metrics/ranking.h"
#include "check.h"

TEST(ranking_metrics_of_a_list_worked_out_by_hand) {
    /* relevant at ranks 1 and 3, one missed; k = 3 */
    Relevant item[] = {{3, 1}, {0, 1}, {1, 1}};
    CHECK_NEAR(ranking_metric(METRIC_PRECISION, item, 3, 3, 0), 2.0 / 3, 1e-15);
    CHECK_NEAR(ranking_metric(METRIC_RECALL, item, 3, 3, 0), 2.0 / 3, 1e-15);
    CHECK_NEAR(ranking_metric(METRIC_HIT, item, 3, 3, 0), 1, 0);
    CHECK_NEAR(ranking_metric(METRIC_RR, item, 3, 3, 0), 1, 0);
    CHECK_NEAR(ranking_metric(METRIC_AP, item, 3, 3, 0), (1 + 2.0 / 3) / 3, 1e-15);
    CHECK_NEAR(ranking_metric(METRIC_AP, item, 3, 1, 0), 1, 1e-15);
    CHECK_NEAR(ranking_metric(METRIC_AP, item, 3, 1, 1), 1.0 / 3, 1e-15);
    double ideal = 1 + 1 / log2(3) + 0.5;
    CHECK_NEAR(ranking_metric(METRIC_NDCG, item, 3, 3, 0), 1.5 / ideal, 1e-15);
    CHECK_NEAR(ranking_metric(METRIC_PRECISION, item, 3, 10, 0), 0.2, 1e-15);
}

TEST(graded_ndcg_uses_linear_or_exponential_gain) {
    Relevant item[] = {{2, 3}, {1, 1}};
    double linear = (1 + 3 / log2(3)) / (3 + 1 / log2(3)), exponential = (1 + 7 / log2(3)) / (7 + 1 / log2(3));
    CHECK_NEAR(ranking_metric(METRIC_NDCG, item, 2, 10, 0), linear, 1e-15);
    CHECK_NEAR(ranking_metric(METRIC_NDCG, item, 2, 10, 1), exponential, 1e-15);
}

TEST(nothing_relevant_gives_no_number) {
    CHECK(isnan(ranking_metric(METRIC_NDCG, NULL, 0, 10, 0)));
}

TEST(auc_counts_ties_half) {
    Labelled item[] = {{0.5, 1}, {0.5, 0}, {0.9, 1}, {0.1, 0}};
    CHECK_NEAR(auc(item, 4), 3.5 / 4, 1e-15);
    Labelled one[] = {{1, 1}};
    CHECK(isnan(auc(one, 1)));
}

TEST(bootstrap_interval_covers_the_mean_and_is_reproducible) {
    double value[200];
    Interval a, b;
    for (int i = 0; i < 200; i++) value[i] = i % 2;
    CHECK(bootstrap_mean(&a, value, 200, 2000, 1, NULL) == ST_OK && bootstrap_mean(&b, value, 200, 2000, 1, NULL) == ST_OK);
    CHECK_NEAR(a.mean, 0.5, 1e-15);
    CHECK_NEAR(a.low, b.low, 0);
    /* normal approximation: 0.5 +- 1.96 * 0.5 / sqrt(200) */
    CHECK(fabs(a.low - 0.4307) < 0.01 && fabs(a.high - 0.5693) < 0.01);
}
