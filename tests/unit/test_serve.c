#include "../../ext/metrics/special.h"
#include "../../ext/serve/route.h"
#include "check.h"

static int arm_of(int64_t user, const char *salt, const RouteArm *arm, int n) {
    int out = -2;
    CHECK(route_arm((Key){.integer = user}, salt, arm, n, &out));
    return out;
}

TEST(the_draw_of_an_arm_is_a_logarithm) {
    uint64_t hashes[] = {0, 1, 2, 12345, 1u << 20, (uint64_t)1 << 63, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
        CHECK(fabs((double)route_exponential(hashes[i]) / 4294967296.0 -
                  (64 - log2((double)hashes[i] + 1))) < 1e-9);
}

TEST(shares_of_a_million_users_are_what_was_asked_for) {
    static const RouteArm arms[] = {
        {"control", 800000000}, {"wide", 100000000}, {"graph", 50000000}};
    int64_t n[4] = {0};
    for (int64_t user = 0; user < 1000000; user++) n[arm_of(user, "autumn", arms, 3) + 1]++;
    CHECK(fabs((double)n[0] / 1e6 - .05) < .001); /* left out */
    CHECK(fabs((double)n[1] / 1e6 - .80) < .001);
    CHECK(fabs((double)n[2] / 1e6 - .10) < .001);
    CHECK(fabs((double)n[3] / 1e6 - .05) < .001);
}

TEST(two_experiments_split_independently) {
    static const RouteArm arms[] = {{"a", 700000000}, {"b", 300000000}};
    double n[2][2] = {{0}}, chi2 = 0;
    for (int64_t user = 0; user < 200000; user++)
        n[arm_of(user, "first", arms, 2)][arm_of(user, "second", arms, 2)]++;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            double expected = (n[i][0] + n[i][1]) * (n[0][j] + n[1][j]) / 200000;
            chi2 += (n[i][j] - expected) * (n[i][j] - expected) / expected;
        }
    CHECK(chi_square_upper(chi2, 1) > .001);
}

TEST(where_a_share_grows_users_move_into_that_arm_alone) {
    static const RouteArm before[] = {{"a", 600000000}, {"b", 300000000}, {"c", 100000000}},
                          after[] = {{"c", 200000000}, {"a", 520000000}, {"b", 280000000}};
    static const int same[] = {1, 2, 0}; /* of before's arms, the places after */
    int64_t moved = 0, elsewhere = 0;
    for (int64_t user = 0; user < 100000; user++) {
        int was = same[arm_of(user, "s", before, 3)], is = arm_of(user, "s", after, 3);
        moved += was != is;
        elsewhere += was != is && was == 0; /* out of the arm that grew */
    }
    CHECK(elsewhere == 0);
    CHECK(moved > 9000 && moved < 13500); /* .1 must move; a and b give in different measure */
}

TEST(a_user_stays_in_her_arm_for_ever) {
    /* stored by this library on 2026-11-30: a change would reshuffle running experiments */
    static const RouteArm arms[] = {{"control", 500000000}, {"canary", 500000000}};
    static const char expected[] = "01001000100101111010101110111100";
    char is[33] = "";
    for (int i = 0; i < 32; i++) is[i] = (char)('0' + arm_of(i, "canary", arms, 2));
    CHECK_TEXT(is, expected);
    int out;
    CHECK(route_arm((Key){.text = "17", .len = 2}, "canary", arms, 2, &out));
    CHECK(route_arm((Key){.text = "", .len = 0}, "", arms, 0, &out) && out == -1);
}
