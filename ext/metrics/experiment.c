#include "experiment.h"

#include <math.h>

#include "../base/random.h"
#include "special.h"

void arm_add(ArmSums *arm, double y, double x) {
    arm->n++;
    arm->y += y;
    arm->yy += y * y;
    arm->x += x;
    arm->xx += x * x;
    arm->xy += x * y;
}

/* (sum ab - sum a sum b / n) / (n - 1); rounding may not make a variance negative. */
static double covariance(double n, double ab, double a, double b) {
    return (ab - a * b / n) / (n - 1);
}

/* Rounding may not make a variance negative; what overflowed stays NaN. */
static double not_negative(double variance) { return variance < 0 ? 0 : variance; }

static const Estimate NONE = {NAN, NAN, 0};

Estimate estimate_mean(const ArmSums *arm) {
    if (arm->n < 2) return NONE;
    return (Estimate){arm->y / arm->n,
        not_negative(covariance(arm->n, arm->yy, arm->y, arm->y)) / arm->n, arm->n};
}

Estimate estimate_ratio(const ArmSums *arm) {
    if (arm->n < 2 || arm->x == 0) return NONE;
    double n = arm->n, ratio = arm->y / arm->x, mean = arm->x / n;
    double spread = covariance(n, arm->yy, arm->y, arm->y) -
        2 * ratio * covariance(n, arm->xy, arm->x, arm->y) +
        ratio * ratio * covariance(n, arm->xx, arm->x, arm->x);
    return (Estimate){ratio, not_negative(spread) / (n * mean * mean), n};
}

Cuped cuped_of(const ArmSums *arm, int n) {
    double xy = 0, xx = 0, x = 0, users = 0;
    for (int i = 0; i < n; i++) {
        users += arm[i].n;
        x += arm[i].x;
        if (arm[i].n < 2) continue;
        xy += (arm[i].n - 1) * covariance(arm[i].n, arm[i].xy, arm[i].x, arm[i].y);
        xx += (arm[i].n - 1) * covariance(arm[i].n, arm[i].xx, arm[i].x, arm[i].x);
    }
    if (!(xx > 1e-12 * users)) return (Cuped){0, 0};
    return (Cuped){xy / xx, x / users};
}

Estimate estimate_cuped(const ArmSums *arm, const Cuped *cuped) {
    if (arm->n < 2) return NONE;
    double n = arm->n, theta = cuped->theta;
    double spread = covariance(n, arm->yy, arm->y, arm->y) -
        2 * theta * covariance(n, arm->xy, arm->x, arm->y) +
        theta * theta * covariance(n, arm->xx, arm->x, arm->x);
    return (Estimate){arm->y / n - theta * (arm->x / n - cuped->mean), not_negative(spread) / n, n};
}

/* t with P(|T| > t) = alpha, by bisection from the normal quantile. */
static double student_quantile(double alpha, double df) {
    double low = normal_quantile(1 - alpha / 2), high = low + 1;
    while (student_two_sided(high, df) > alpha && high < 1e6) high *= 2;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (student_two_sided(middle, df) > alpha) low = middle;
        else high = middle;
    }
    return (low + high) / 2;
}

static void compare_always(
    Comparison *out, double variance, double users, double alpha, double tuned) {
    double rho2 = (log(1 - 2 * log(alpha)) - 2 * log(alpha)) / tuned, g = users * rho2 + 1;
    double half = sqrt(variance * 2 * g / (users * rho2) * log(sqrt(g) / alpha));
    out->low_always = out->difference - half;
    out->high_always = out->difference + half;
    double exponent = out->difference * out->difference * users * rho2 / (2 * variance * g);
    out->p_always = fmin(1, sqrt(g) * exp(-exponent));
}

Comparison compare_estimates(const Estimate *a, const Estimate *b, double alpha, double tuned) {
    Comparison out = {NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    double variance = a->variance + b->variance;
    if (isnan(variance)) return out;
    out.difference = b->value - a->value;
    if (!(variance > 0)) { /* nobody differs from anybody in either arm */
        out.p = out.p_always = out.difference == 0 ? 1 : NAN;
        return out; /* how much they might, nobody knows: no interval */
    }
    double df = variance * variance /
        (a->variance * a->variance / (a->n - 1) + b->variance * b->variance / (b->n - 1));
    double half = student_quantile(alpha, df) * sqrt(variance);
    out.low = out.difference - half;
    out.high = out.difference + half;
    out.p = student_two_sided(out.difference / sqrt(variance), df);
    compare_always(&out, variance, a->n + b->n, alpha, tuned);
    return out;
}

void holm_adjust(double *p, int n) {
    enum { MOST = 64 };
    int done[MOST] = {0}, tests = 0;
    double before = 0;
    for (int i = 0; i < n; i++) tests += !isnan(p[i]);
    for (int step = 0; step < tests && n <= MOST; step++) {
        int least = -1;
        for (int i = 0; i < n; i++)
            if (!done[i] && !isnan(p[i]) && (least < 0 || p[i] < p[least])) least = i;
        if (least < 0) return;
        before = fmax(before, fmin(1, p[least] * (tests - step)));
        p[least] = before;
        done[least] = 1;
    }
}

double srm_p(const double *users, const double *share, int n) {
    double all = 0, whole = 0, chi2 = 0;
    int arms = 0;
    for (int i = 0; i < n; i++) {
        all += users[i];
        whole += share[i];
    }
    if (!(all > 0) || !(whole > 0)) return NAN;
    for (int i = 0; i < n; i++) {
        double expected = all * share[i] / whole;
        if (share[i] <= 0) {
            if (users[i] > 0) return 0;
            continue;
        }
        chi2 += (users[i] - expected) * (users[i] - expected) / expected;
        arms++;
    }
    return arms < 2 ? NAN : chi_square_upper(chi2, arms - 1);
}

double srm_p_always(const double *users, const double *share, int n) {
    const double concentration = 10000;
    double all = 0, whole = 0, log_factor;
    for (int i = 0; i < n; i++) {
        all += users[i];
        whole += share[i];
    }
    if (!(all > 0) || !(whole > 0)) return NAN;
    /* log of the Dirichlet-multinomial over the multinomial of the shares */
    log_factor = lgamma(concentration) - lgamma(concentration + all);
    for (int i = 0; i < n; i++) {
        double part = share[i] / whole;
        if (part <= 0) {
            if (users[i] > 0) return 0;
            continue;
        }
        log_factor += lgamma(concentration * part + users[i]) - lgamma(concentration * part) -
            users[i] * log(part);
    }
    return fmin(1, exp(-log_factor));
}

double users_needed(
    double variance_a, double variance_b, double difference, double alpha, double power) {
    double z = normal_quantile(1 - alpha / 2) + normal_quantile(power);
    return ceil(z * z * (variance_a + variance_b) / (difference * difference));
}

void thompson_shares(double *probability, const Estimate *arm, int n, double prior_variance,
    int64_t draws, int top_two, uint64_t seed) {
    Random random;
    random_init(&random, seed, 0);
    for (int i = 0; i < n; i++) probability[i] = 0;
    for (int64_t draw = 0; draw < draws; draw++) {
        int best = 0, second = 0;
        double most = -INFINITY, next = -INFINITY;
        for (int i = 0; i < n; i++) {
            double precision = 1 / prior_variance + 1 / arm[i].variance;
            double mean = arm[i].value / arm[i].variance / precision;
            double value = mean + random_normal(&random) / sqrt(precision);
            if (value > most) {
                next = most;
                second = best;
                most = value;
                best = i;
            } else if (value > next) {
                next = value;
                second = i;
            }
        }
        probability[best] += top_two ? .5 : 1;
        if (top_two) probability[second] += .5;
    }
    for (int i = 0; i < n; i++) probability[i] /= (double)draws;
}

void floor_shares(double *share, int n, double floor) {
    double fixed = 0, free = 0;
    for (int round = 0; round < n; round++) { /* what is taken may bring others below it */
        fixed = free = 0;
        for (int i = 0; i < n; i++)
            *(share[i] <= floor ? &fixed : &free) += share[i] <= floor ? floor : share[i];
        if (!(free > 0)) return;
        for (int i = 0; i < n; i++)
            share[i] = share[i] <= floor ? floor : share[i] * (1 - fixed) / free;
    }
}

double sign_test(int64_t k, int64_t n) {
    if (n < 1) return 1;
    int64_t less = k < n - k ? k : n - k;
    double sum = 0;
    for (int64_t i = 0; i <= less; i++)
        sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) -
            (double)n * log(2));
    return fmin(1, 2 * sum);
}
