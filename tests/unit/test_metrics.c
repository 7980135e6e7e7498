/* Expected values worked out by hand from the definitions in ranking.h. */
#include "../../ext/metrics/bootstrap.h"
#include "../../ext/metrics/samples.h"
#include "../../ext/metrics/special.h"
#include "../../ext/metrics/sums.h"
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
    double linear = (1 + 3 / log2(3)) / (3 + 1 / log2(3)),
           exponential = (1 + 7 / log2(3)) / (7 + 1 / log2(3));
    CHECK_NEAR(ranking_metric(METRIC_NDCG, item, 2, 10, 0), linear, 1e-15);
    CHECK_NEAR(ranking_metric(METRIC_NDCG, item, 2, 10, 1), exponential, 1e-15);
}

TEST(nothing_relevant_gives_no_number) {
    CHECK(isnan(ranking_metric(METRIC_NDCG, NULL, 0, 10, 0)));
}

TEST(auc_counts_ties_half) {
    Sample item[] = {{0.5, 1}, {0.5, -1}, {0.9, 1}, {0.1, -1}};
    CHECK_NEAR(sample_auc(item, 4, 0), 3.5 / 4, 1e-15);
    Sample one[] = {{1, 1}};
    CHECK(isnan(sample_auc(one, 1, 0)));
}

/* Values of tables: t(.975; 10), chi-square(.95; 3), Kolmogorov's 5 % point. */
TEST(distributions_agree_with_tables) {
    CHECK(fabs(student_two_sided(2.228138851986274, 10) - .05) < 1e-13);
    CHECK(fabs(student_two_sided(63.656741162872526, 1) - .01) < 1e-13);
    CHECK(fabs(chi_square_upper(7.814727903251179, 3) - .05) < 1e-13);
    CHECK(fabs(chi_square_upper(.0039321400000195, 1) - .95) < 1e-9);
    CHECK(fabs(normal_quantile(.975) - 1.959963984540054) < 1e-14);
    CHECK(fabs(normal_quantile(1e-10) + 6.361340902404056) < 1e-12);
    CHECK(fabs(kolmogorov_upper(1.3580986393225507) - .05) < 1e-12);
    CHECK(fabs(kolmogorov_upper(.99999) - kolmogorov_upper(1.00001) - 2e-5 * 1.07) < 1e-6);
}

TEST(sums_forget_large_rows_that_are_taken_back) {
    Sums sums = {0};
    sums_add(&sums, SUM_RMSE, 1e9, 3, 1, 1);
    sums_add(&sums, SUM_RMSE, .1, .3, 1, 1);
    sums_add(&sums, SUM_RMSE, 1e9, 3, 1, -1);
    CHECK(fabs(sums_value(&sums, SUM_RMSE) - .2) < 1e-12);
}

/* R2 of the frame 1, 2, 3 against 2, 2, 4, after a row with this y has left. */
static double r2_after(double left) {
    static const double y[] = {1, 2, 3}, p[] = {2, 2, 4};
    Sums sums = {0};
    sums_add(&sums, SUM_R2, left, left + 1, 1, 1);
    for (int i = 0; i < 3; i++) sums_add(&sums, SUM_R2, y[i], p[i], 1, 1);
    sums_add(&sums, SUM_R2, left, left + 1, 1, -1);
    return sums_value(&sums, SUM_R2);
}

TEST(r2_of_a_window_is_right_or_unknown_after_a_row_beyond_all_measure) {
    CHECK(r2_after(7) == 0 && fabs(r2_after(1e12)) < 1e-5); /* 1 - 2 / 2 */
    CHECK(isnan(r2_after(1e17)) && isnan(r2_after(1e20)));
    Sums zeros = {0};
    for (int i = 0; i < 3; i++) sums_add(&zeros, SUM_R2, 0, 1, 1, 1);
    sums_add(&zeros, SUM_R2, 3, 1, 1, 1);
    sums_add(&zeros, SUM_R2, 3, 1, 1, -1);
    CHECK(sums_value(&zeros, SUM_R2) == 0);
}

TEST(bootstrap_interval_covers_the_mean_and_is_reproducible) {
    double value[200];
    Interval a, b;
    for (int i = 0; i < 200; i++) value[i] = i % 2;
    CHECK(bootstrap_means(&a, value, 200, 1, 2000, 1, NULL, NULL) == ST_OK &&
        bootstrap_means(&b, value, 200, 1, 2000, 1, NULL, NULL) == ST_OK);
    CHECK_NEAR(a.mean, 0.5, 1e-15);
    CHECK_NEAR(a.low, b.low, 0);
    /* normal approximation: 0.5 +- 1.96 * 0.5 / sqrt(200) */
    CHECK(fabs(a.low - 0.4307) < 0.01 && fabs(a.high - 0.5693) < 0.01);
}
