/* Noise against its own probabilities, chi-square over 200,000 draws. */
#include "../../ext/base/random.h"
#include "../../ext/metrics/private_noise.h"
#include "../../ext/metrics/special.h"
#include "check.h"

enum { DRAWS = 200000, WIDTH = 200 };

static uint64_t draw(void *context) { return random_u64(context); }

TEST(noise_has_the_probabilities_of_the_discrete_gaussian) {
    static const double s2[] = {.0009765625, .25, 1, 7.5, 100, 2500};
    for (int c = 0; c < 6; c++) {
        Random random;
        BitSource source = {draw, &random};
        uint64_t numerator = (uint64_t)(s2[c] * NOISE_DENOMINATOR);
        double counted[2 * WIDTH + 1] = {0}, total = 0, statistic = 0, rest_counted = DRAWS,
                                   rest_expected = DRAWS;
        int cells = 0;
        random_init(&random, 11, (uint64_t)c);
        for (int i = 0; i < DRAWS; i++) {
            int64_t x = noise_gaussian(&source, numerator);
            if (x >= -WIDTH && x <= WIDTH) counted[x + WIDTH]++;
        }
        for (int x = -10 * WIDTH; x <= 10 * WIDTH; x++) total += exp(-x * (double)x / (2 * s2[c]));
        for (int x = -WIDTH; x <= WIDTH; x++) {
            double expected = DRAWS * exp(-x * (double)x / (2 * s2[c])) / total;
            if (expected < 20) continue;
            statistic += pow(counted[x + WIDTH] - expected, 2) / expected;
            rest_counted -= counted[x + WIDTH];
            rest_expected -= expected;
            cells++;
        }
        if (rest_expected >= 20) statistic += pow(rest_counted - rest_expected, 2) / rest_expected;
        else CHECK(rest_counted < 60);
        /* a chi-square of k degrees has mean k and variance 2 k */
        CHECK(statistic < cells + 5 * sqrt(2.0 * cells) + 10);
    }
}

TEST(large_noise_has_its_variance_and_sign) {
    Random random;
    BitSource source = {draw, &random};
    double sum = 0, squares = 0, s2 = 1e10;
    uint64_t numerator = (uint64_t)(s2 * NOISE_DENOMINATOR);
    random_init(&random, 12, 0);
    for (int i = 0; i < 20000; i++) {
        double x = (double)noise_gaussian(&source, numerator);
        sum += x / 20000;
        squares += x * x / 20000;
    }
    CHECK(fabs(sum) < 4 * sqrt(s2 / 20000));
    CHECK(fabs(squares / s2 - 1) < 4 * sqrt(2. / 20000));
}

TEST(rho_is_never_more_than_was_asked_for) {
    for (int i = 1; i < 2000; i++) {
        double rho = i * .00137, norm2 = 1 + i % 7 * 3.0;
        uint64_t numerator = noise_numerator(norm2, rho);
        CHECK(numerator > 0 && noise_rho(norm2, numerator) <= rho * (1 + 1e-12));
        CHECK(noise_rho(norm2, numerator - (numerator > 1)) >= rho * .9 || numerator == 1);
    }
    CHECK(noise_numerator(1, 0) == 0 && noise_numerator(1, -1) == 0);
    CHECK(noise_numerator(1e12, 1e-6) == 0);
    CHECK(fabs(noise_epsilon(.5, 1e-6) - (.5 + 2 * sqrt(.5 * log(1e6)))) < 1e-12);
}
