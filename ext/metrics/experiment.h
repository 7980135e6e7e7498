/* What the users of two arms say about the difference between them.
 *
 * A user is one observation: y, what is measured of her (a purchase or none, money); and x, either
 * the denominator of a ratio (lists shown, of clicks a list) or the same measure before the
 * experiment. An arm is the sums over its users.
 *
 *     mean     sum y / n, variance s_y^2 / n
 *     ratio    R = sum y / sum x; variance by the delta method (Deng, Knoblich and Lu 2018):
 *              (s_y^2 - 2 R s_xy + R^2 s_x^2) / (n mean_x^2)
 *     CUPED    y - theta (x - mean x of all arms), theta = s_xy / s_x^2 within arms, pooled (Deng,
 *              Xu, Kohavi and Walker 2013)
 *
 * The interval of a difference d with variance v at a horizon fixed before: d +- t sqrt(v), Student
 * with Welch's degrees of freedom. One that holds however often one looks (Waudby-Smith, Arbour,
 * Sinha, Kennedy and Ramdas 2024, an asymptotic confidence sequence; the normal mixture of Robbins
 * 1970): with N users, sigma^2 = N v, and g = N rho^2 + 1,
 *
 *     d +- sqrt(v) sqrt(2 g / (N rho^2) log(sqrt(g) / alpha))
 *
 * rho makes it narrowest at N = tuned: rho^2 = (log(log(e / alpha^2)) - 2 log alpha) / tuned. Its
 * p-value is the alpha at which it touches 0: sqrt(g) exp(-d^2 N rho^2 / (2 v g)). */
#ifndef REC_EXPERIMENT_H
#define REC_EXPERIMENT_H

#include <stdint.h>

typedef struct ArmSums {
    double n, y, yy, x, xx, xy;
} ArmSums;
void arm_add(ArmSums *arm, double y, double x);

/* A value of an arm and its variance; NaN where there is none (fewer than 2 users, no
 * denominator). */
typedef struct Estimate {
    double value, variance, n;
} Estimate;
Estimate estimate_mean(const ArmSums *arm);
Estimate estimate_ratio(const ArmSums *arm);
/* theta and the mean of x over all arms: 0 where x does not vary. */
typedef struct Cuped {
    double theta, mean;
} Cuped;
Cuped cuped_of(const ArmSums *arm, int n);
Estimate estimate_cuped(const ArmSums *arm, const Cuped *cuped);

typedef struct Comparison {
    double difference, low, high, p;          /* at a fixed horizon */
    double low_always, high_always, p_always; /* however often one looks */
} Comparison;
enum { ALWAYS_TUNED = 5000 };
/* b - a at level alpha; all NaN where either is, p 1 where nothing varies and nothing differs. */
Comparison compare_estimates(const Estimate *a, const Estimate *b, double alpha, double tuned);

/* Holm 1979: p-values of n comparisons (NaN: none), each at most the chance that any of them is so
 * by luck. */
void holm_adjust(double *p, int n);

/* Do the arms have the users that their shares (not all 0) ask for? p of chi-square with n - 1
 * degrees of freedom, for one look. */
double srm_p(const double *users, const double *share, int n);
/* For any number of looks: 1 / Bayes factor, at most 1, of a Dirichlet-multinomial with prior
 * 10,000 shares against the multinomial of the shares (Lindon and Malek 2022). */
double srm_p_always(const double *users, const double *share, int n);

/* Users an arm for a two-sided test at alpha to find a difference of means with this power. */
double users_needed(
    double variance_a, double variance_b, double difference, double alpha, double power);

/* P(this arm is the best) over draws of normal posteriors, prior N(0, prior_variance) (Thompson
 * 1933); top_two: half of P is given to the second best (Russo 2016). Seeded. probability: n. */
void thompson_shares(double *probability, const Estimate *arm, int n, double prior_variance,
    int64_t draws, int top_two, uint64_t seed);
/* Raise what is below the floor to it, and take that from the others in proportion. n floor <=
 * 1. */
void floor_shares(double *share, int n, double floor);

/* Two-sided p of k successes in n fair tosses (sign test); 1 for n = 0. O(n). */
double sign_test(int64_t k, int64_t n);

#endif
