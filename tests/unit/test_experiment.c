/* Statistics of experiments, by simulation with a known truth: 1,000 runs each. Where a share of
 * runs is asked for, the bound leaves 3.5 standard errors. */
#include "../../ext/base/random.h"
#include "../../ext/metrics/experiment.h"
#include "../../ext/metrics/special.h"
#include "../../ext/serve/interleave.h"
#include "check.h"

enum { RUNS = 1000 };

/* Is a count of so many runs what a chance p would give? */
static int is_near(int count, double p) {
    return fabs(count - RUNS * p) <= 3.5 * sqrt(RUNS * p * (1 - p)) + 1;
}

static double bernoulli(Random *random, double p) { return random_uniform(random) < p; }

/* Money as shops know it: most spend nothing, some much. */
static double revenue(Random *random, double p, double scale) {
    return random_uniform(random) < p ? scale * exp(random_normal(random)) : 0;
}

TEST(intervals_at_a_fixed_horizon_cover_the_truth) {
    int conversion = 0, money = 0, false_positives = 0;
    for (int run = 0; run < RUNS; run++) {
        ArmSums arm[2][2] = {{{0}}};
        Random random;
        random_init(&random, 1, (uint64_t)run);
        for (int user = 0; user < 2000; user++)
            for (int a = 0; a < 2; a++) {
                arm_add(&arm[0][a], bernoulli(&random, a ? .12 : .1), 0);
                arm_add(&arm[1][a], revenue(&random, .3, 1), 0);
            }
        Estimate e[2][2];
        for (int m = 0; m < 2; m++)
            for (int a = 0; a < 2; a++) e[m][a] = estimate_mean(&arm[m][a]);
        Comparison c = compare_estimates(&e[0][0], &e[0][1], .05, ALWAYS_TUNED),
                   d = compare_estimates(&e[1][0], &e[1][1], .05, ALWAYS_TUNED);
        conversion += c.low <= .02 && .02 <= c.high;
        money += d.low <= 0 && 0 <= d.high;
        false_positives += d.p < .05;
        CHECK((d.p < .05) == (d.low > 0 || d.high < 0));
    }
    CHECK(is_near(conversion, .95));
    CHECK(is_near(money, .95));
    CHECK(is_near(false_positives, .05));
}

TEST(always_valid_intervals_cover_under_continuous_looking_and_fixed_ones_do_not) {
    int left_always = 0, left_fixed = 0, p_below = 0;
    for (int run = 0; run < RUNS; run++) {
        ArmSums arm[2] = {{0}};
        Random random;
        int always = 0, fixed = 0, below = 0;
        random_init(&random, 2, (uint64_t)run);
        for (int user = 1; user <= 10000; user++) {
            for (int a = 0; a < 2; a++) arm_add(&arm[a], bernoulli(&random, .1), 0);
            if (user < 100 || user % 50) continue;
            Estimate x = estimate_mean(&arm[0]), y = estimate_mean(&arm[1]);
            Comparison c = compare_estimates(&x, &y, .05, ALWAYS_TUNED);
            always |= c.low_always > 0 || c.high_always < 0;
            fixed |= c.low > 0 || c.high < 0;
            below |= c.p_always < .05;
        }
        left_always += always;
        left_fixed += fixed;
        p_below += below;
    }
    CHECK(left_always <= RUNS * .05 + 3.5 * sqrt(RUNS * .05 * .95));
    CHECK(p_below == left_always);
    CHECK(left_fixed > RUNS / 4); /* why the others are needed */
}

TEST(an_always_valid_interval_is_as_narrow_as_its_formula_says) {
    /* sqrt(v) sqrt(2 g / (N rho^2) log(sqrt(g) / alpha)), by hand for N = 5000, v = 4e-4 */
    Estimate a = {.1, 2e-4, 2500}, b = {.18, 2e-4, 2500};
    Comparison c = compare_estimates(&a, &b, .05, 5000);
    double rho2 = (-2 * log(.05) + log(-2 * log(.05) + 1)) / 5000, g = 5000 * rho2 + 1;
    CHECK_NEAR(c.high_always - c.difference,
        sqrt(4e-4 * 5000) * sqrt(2 * g / (5000. * 5000 * rho2) * log(sqrt(g) / .05)), 1e-12);
    CHECK(c.p_always < .05 && c.low_always > 0);
    CHECK_NEAR(c.p_always, sqrt(g) * exp(-64e-4 * 5000 * rho2 / (2 * 4e-4 * g)), 1e-12);
}

TEST(cuped_takes_out_what_was_there_before_and_stays_honest) {
    int covered = 0;
    double narrower = 0;
    for (int run = 0; run < RUNS; run++) {
        ArmSums arm[2] = {{0}};
        Random random;
        random_init(&random, 3, (uint64_t)run);
        for (int user = 0; user < 500; user++)
            for (int a = 0; a < 2; a++) {
                double taste = random_normal(&random);
                double x = taste + .5 * random_normal(&random);
                arm_add(&arm[a], taste + .5 * random_normal(&random) + .1 * a, x);
            }
        Cuped cuped = cuped_of(arm, 2);
        Estimate plain = estimate_mean(&arm[0]), x = estimate_cuped(&arm[0], &cuped),
                 y = estimate_cuped(&arm[1], &cuped);
        Comparison c = compare_estimates(&x, &y, .05, ALWAYS_TUNED);
        covered += c.low <= .1 && .1 <= c.high;
        narrower += x.variance / plain.variance / RUNS;
    }
    CHECK(is_near(covered, .95));
    /* the correlation is 1 / 1.25 = .8: variance falls to 1 - .64 */
    CHECK_NEAR(narrower, .36, .02);
}

TEST(a_ratio_over_users_has_the_variance_of_the_delta_method) {
    int covered = 0, naive_covered = 0;
    for (int run = 0; run < RUNS; run++) {
        ArmSums arm[2] = {{0}};
        Random random;
        random_init(&random, 4, (uint64_t)run);
        for (int user = 0; user < 1000; user++)
            for (int a = 0; a < 2; a++) {
                double own = .05 + .2 * random_uniform(&random); /* users differ */
                int64_t lists = 1 + (int64_t)random_below(&random, 10);
                double clicks = 0;
                for (int64_t i = 0; i < lists; i++) clicks += bernoulli(&random, own);
                arm_add(&arm[a], clicks, (double)lists);
            }
        Estimate x = estimate_ratio(&arm[0]), y = estimate_ratio(&arm[1]);
        Comparison c = compare_estimates(&x, &y, .05, ALWAYS_TUNED);
        covered += c.low <= 0 && 0 <= c.high;
        /* clicks as if lists were independent */
        double half = 1.96 *
            sqrt(x.value * (1 - x.value) / arm[0].x + y.value * (1 - y.value) / arm[1].x);
        naive_covered += fabs(c.difference) <= half;
    }
    CHECK(is_near(covered, .95));
    CHECK(naive_covered < covered);
}

TEST(a_sample_ratio_mismatch_is_found_and_seldom_where_there_is_none) {
    static const double share[] = {.5, .3, .2};
    int alarms = 0, always = 0, found = 0;
    for (int run = 0; run < RUNS; run++) {
        double users[3] = {0}, biased[3] = {0};
        int ever = 0;
        Random random;
        random_init(&random, 5, (uint64_t)run);
        for (int user = 1; user <= 20000; user++) {
            double u = random_uniform(&random), v = random_uniform(&random);
            users[u < .5 ? 0 : u < .8 ? 1 : 2]++;
            biased[v < .48 ? 0 : v < .8 ? 1 : 2]++;
            if (user % 200 == 0) ever |= srm_p_always(users, share, 3) < .05;
        }
        alarms += srm_p(users, share, 3) < .05;
        always += ever;
        found += srm_p(biased, share, 3) < .001;
    }
    CHECK(is_near(alarms, .05));
    CHECK(always <= RUNS * .05 + 3.5 * sqrt(RUNS * .05 * .95));
    CHECK(found > RUNS * .95);
    CHECK(srm_p((const double[]){10, 5}, (const double[]){1, 0}, 2) == 0);
    CHECK(isnan(srm_p((const double[]){0, 0}, share, 2)));
}

TEST(holm_is_what_r_says) {
    /* p.adjust(c(.01, .04, .03, .005), "holm") */
    double p[] = {.01, .04, .03, .005};
    holm_adjust(p, 4);
    CHECK_NEAR(p[0], .03, 1e-12);
    CHECK_NEAR(p[1], .06, 1e-12);
    CHECK_NEAR(p[2], .06, 1e-12);
    CHECK_NEAR(p[3], .02, 1e-12);
}

TEST(the_sign_test_is_binomial) {
    CHECK_NEAR(sign_test(8, 10), .109375, 1e-12); /* scipy.stats.binomtest(8, 10).pvalue */
    CHECK_NEAR(sign_test(5, 10), 1, 1e-12);
    CHECK_NEAR(sign_test(0, 6), .03125, 1e-12);
    CHECK(sign_test(0, 0) == 1);
}

TEST(users_needed_find_the_effect_as_often_as_they_should) {
    double p = .1, q = .12;
    double n = users_needed(p * (1 - p), q * (1 - q), q - p, .05, .8);
    int found = 0;
    for (int run = 0; run < RUNS; run++) {
        ArmSums arm[2] = {{0}};
        Random random;
        random_init(&random, 6, (uint64_t)run);
        for (int user = 0; user < (int)n; user++) {
            arm_add(&arm[0], bernoulli(&random, p), 0);
            arm_add(&arm[1], bernoulli(&random, q), 0);
        }
        Estimate x = estimate_mean(&arm[0]), y = estimate_mean(&arm[1]);
        found += compare_estimates(&x, &y, .05, ALWAYS_TUNED).p < .05;
    }
    CHECK(is_near(found, .8));
}

TEST(a_bandit_finds_the_best_arm_and_starves_nobody) {
    Estimate arm[3] = {{.10, 1e-4, 900}, {.13, 1e-4, 900}, {.10, 1e-4, 900}};
    double share[3], again[3];
    thompson_shares(share, arm, 3, 1e8, 20000, 0, 7);
    thompson_shares(again, arm, 3, 1e8, 20000, 0, 7);
    CHECK(memcmp(share, again, sizeof share) == 0);
    /* P(Y - X > 0) for both others: by numerical integration .9705 */
    CHECK(fabs(share[1] - .9705) < .006);
    CHECK_NEAR(share[0] + share[1] + share[2], 1, 1e-12);
    thompson_shares(share, arm, 3, 1e8, 20000, 1, 7);
    CHECK(share[1] > .47 && share[1] < .51);
    double low[4] = {.9, .08, .015, .005};
    floor_shares(low, 4, .05);
    CHECK_NEAR(low[0] + low[1] + low[2] + low[3], 1, 1e-12);
    CHECK(low[2] == .05 && low[3] == .05 && low[1] > .05 && low[0] < .9);
}

static int toss(void *context, uint64_t round) {
    (void)round;
    return (int)random_below(context, 2);
}

enum { ITEMS = 40, K = 10 };

/* A user who clicks on what she likes, the later the less; some click a lot. */
typedef struct Visitor {
    int liked[ITEMS];
    double activity;
} Visitor;

static Visitor visitor_of(Random *random) {
    Visitor out;
    double taste = .5 * random_uniform(random);
    out.activity = pow(random_uniform(random), 2);
    for (int i = 0; i < ITEMS; i++) out.liked[i] = random_uniform(random) < taste;
    return out;
}

static int clicks(Random *random, const Visitor *visitor, int place, int32_t item) {
    return visitor->liked[item] && random_uniform(random) < visitor->activity / (1 + .3 * place);
}

/* The K best by what she likes and noise. */
static void rank(Random *random, const Visitor *visitor, double noise, int32_t *list) {
    double score[ITEMS];
    for (int i = 0; i < ITEMS; i++) score[i] = visitor->liked[i] + noise * random_normal(random);
    for (int place = 0; place < K; place++) {
        int32_t best = 0;
        for (int32_t i = 1; i < ITEMS; i++)
            if (score[i] > score[best]) best = i;
        list[place] = best;
        score[best] = -1e9;
    }
}

/* So many users: is b, whose noise is less, found to be better? [0] by team draft, [1] by an A/B
 * test of clicks a list. */
static void compare_lists(uint64_t run, int users, int found[2]) {
    Random random;
    ArmSums arm[2] = {{0}};
    int64_t wins[2] = {0};
    random_init(&random, 8, run);
    for (int user = 0; user < users; user++) {
        Visitor visitor = visitor_of(&random);
        int32_t list[2][K];
        unsigned char scratch[ITEMS] = {0};
        TeamPick pick[K];
        int score[2] = {0}, own = (int)random_below(&random, 2);
        for (int a = 0; a < 2; a++) rank(&random, &visitor, a ? 1.2 : 1.5, list[a]);
        Ranking team[2] = {{list[0], K}, {list[1], K}};
        size_t n = team_draft(pick, K, team, toss, &random, scratch);
        for (int i = 0; i < (int)n; i++)
            score[pick[i].team] += clicks(&random, &visitor, i, list[pick[i].team][pick[i].at]);
        if (score[0] != score[1]) wins[score[1] > score[0]]++;
        double sum = 0;
        for (int i = 0; i < K; i++) sum += clicks(&random, &visitor, i, list[own][i]);
        arm_add(&arm[own], sum, 0);
    }
    Estimate x = estimate_mean(&arm[0]), y = estimate_mean(&arm[1]);
    Comparison c = compare_estimates(&x, &y, .05, ALWAYS_TUNED);
    found[0] += wins[1] > wins[0] && sign_test(wins[1], wins[0] + wins[1]) < .05;
    found[1] += c.difference > 0 && c.p < .05;
}

TEST(team_draft_finds_the_better_list_with_a_third_of_the_traffic) {
    enum { FEWER_RUNS = 300 };
    int few[2] = {0}, many[2] = {0};
    for (int run = 0; run < FEWER_RUNS; run++) {
        compare_lists((uint64_t)run, 1000, few);
        compare_lists((uint64_t)(RUNS + run), 3000, many);
    }
    printf("    of %d runs: team draft %d, A/B test %d with 1000 users; %d and %d with 3000\n",
        FEWER_RUNS, few[0], few[1], many[0], many[1]);
    CHECK(few[0] > 2 * few[1] && many[0] > many[1]);
    CHECK(few[0] > many[1] - 20);
}
