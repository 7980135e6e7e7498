/* Off-policy estimates, by simulation with a known truth: 1,000 runs. Lists of 3 places are drawn
 * from 5 items in random order, so that p = 1/5 for every item and place; clicks depend on the
 * user's kind, the item and the place. */
#include "../../ext/base/random.h"
#include "../../ext/metrics/off_policy.h"
#include "check.h"

enum { RUNS = 1000, ITEMS = 5, PLACES = 3, USERS = 200, LISTS = 4 };

static double click_rate(int kind, int item, int place) {
    static const double examined[PLACES] = {1, .6, .4};
    return examined[place] * (.1 + .5 * (double)((item + kind * 2) % ITEMS) / ITEMS);
}

/* What the other policy shows. */
static int wanted(int kind, int place) { return (4 - place + kind) % ITEMS; }

static double truth(void) {
    double sum = 0;
    for (int kind = 0; kind < 2; kind++)
        for (int place = 0; place < PLACES; place++)
            sum += click_rate(kind, wanted(kind, place), place) / 2;
    return sum;
}

static void shuffle(Random *random, int *order) {
    for (int i = 0; i < ITEMS; i++) order[i] = i;
    for (int i = ITEMS - 1; i > 0; i--) {
        int j = (int)random_below(random, (uint64_t)i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* knows: q is right; else it is .2, which is wrong. hides: the logging policy never shows item 4 at
 * the first place, where the other one wants it. */
static OffPolicySums simulate(int run, int knows, int hides) {
    OffPolicySums sums = {0};
    Random random;
    random_init(&random, 7, (uint64_t)run);
    for (int u = 0; u < USERS; u++) {
        OffPolicyUser user = {0};
        int kind = u % 2, order[ITEMS];
        for (int list = 0; list < LISTS; list++) {
            shuffle(&random, order);
            if (hides && order[0] == 4) continue;
            user.lists++;
            for (int place = 0; place < PLACES; place++) {
                int item = order[place], other = wanted(kind, place);
                OffPolicyPlace row = {.weight = item == other ? ITEMS : 0,
                    .reward = random_uniform(&random) < click_rate(kind, item, place)};
                row.q_shown = knows ? click_rate(kind, item, place) : .2;
                row.q_target = knows ? click_rate(kind, other, place) : .2;
                off_policy_add_place(&user, &row, 100);
            }
        }
        off_policy_add_user(&sums, &user);
    }
    return sums;
}

TEST(off_policy_estimates_are_unbiased_and_their_intervals_cover) {
    double mean[2][N_OFF_POLICY] = {{0}}, square[2][N_OFF_POLICY] = {{0}};
    int covered[2][N_OFF_POLICY] = {{0}};
    for (int run = 0; run < RUNS; run++)
        for (int knows = 0; knows < 2; knows++) {
            OffPolicySums sums = simulate(run, knows, 0);
            Estimate estimate[N_OFF_POLICY];
            off_policy_estimates(&sums, estimate);
            for (int i = OFF_POLICY_IPS; i < N_OFF_POLICY; i++) {
                double off = estimate[i].value - truth();
                mean[knows][i] += off / RUNS;
                square[knows][i] += off * off / RUNS;
                covered[knows][i] += off * off < 1.96 * 1.96 * estimate[i].variance;
            }
            CHECK(estimate[OFF_POLICY_DR].value == estimate[OFF_POLICY_SWITCH_DR].value);
        }
    for (int knows = 0; knows < 2; knows++)
        for (int i = OFF_POLICY_IPS; i < N_OFF_POLICY; i++) {
            /* a ratio (snips) is off by a share of its error that falls with the users */
            double slack = i == OFF_POLICY_SNIPS ? .1 * sqrt(square[knows][i]) : 0;
            CHECK(fabs(mean[knows][i]) < 3.5 * sqrt(square[knows][i] / RUNS) + slack);
            CHECK(covered[knows][i] > 920 && covered[knows][i] < 980);
        }
    CHECK(square[1][OFF_POLICY_DR] < .8 * square[1][OFF_POLICY_IPS]); /* a good q pays */
    CHECK(square[0][OFF_POLICY_SNIPS] < square[0][OFF_POLICY_IPS]);
}

TEST(what_the_logging_policy_never_did_shows_in_the_support) {
    OffPolicySums whole = simulate(1, 0, 0), hidden = simulate(1, 0, 1);
    Estimate all = off_policy_support(&whole), less = off_policy_support(&hidden);
    CHECK(fabs(all.value - 1) < 3.5 * sqrt(all.variance));
    double hidden_mean = 0;
    for (int run = 0; run < 100; run++) {
        hidden = simulate(run, 0, 1);
        less = off_policy_support(&hidden);
        hidden_mean += less.value / 100;
    }
    CHECK(hidden_mean + 3.5 * sqrt(less.variance / 100) < .95);
    /* weights are all 5 or 0: as many as match */
    CHECK(fabs(off_policy_effective(&whole) - whole.matched) < 1e-9);
    OffPolicySums none = {0};
    CHECK(off_policy_effective(&none) == 0);
    Estimate estimate[N_OFF_POLICY];
    off_policy_estimates(&none, estimate);
    CHECK(isnan(estimate[OFF_POLICY_IPS].value) && isnan(estimate[OFF_POLICY_DR].value));
}

TEST(switching_leaves_large_weights_to_the_model) {
    OffPolicyUser user = {0};
    OffPolicyPlace small = {4, 1, .5, .25}, large = {40, 1, .5, .25};
    off_policy_add_place(&user, &small, 10);
    off_policy_add_place(&user, &large, 10);
    CHECK(user.earned[OFF_POLICY_DR] == .25 + 4 * .5 + .25 + 40 * .5);
    CHECK(user.earned[OFF_POLICY_SWITCH_DR] == .25 + 4 * .5 + .25);
    CHECK(user.earned[OFF_POLICY_IPS] == 44 && user.weight == 44 && user.matched == 2);
}
