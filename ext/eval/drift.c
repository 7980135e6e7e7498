#include "drift.h"

#include <math.h>

#include "../metrics/special.h"
#include "feature_profile.h"

static const char QUIET[] = "quiet", DRIFT[] = "drift", TOO_LITTLE[] = "too little data";

enum { WEEK = 7, WEEKS_APART = 21 };

/* The days of the reference that have a number, by the day of the week where they are told apart
 * (n_kinds 7), else all alike. */
typedef struct Days {
    int n_kinds;
    double n, mean, n_of[WEEK], mean_of[WEEK];
    double variance; /* around the means of the kinds */
} Days;

/* Days of a reference are counted back from its newest event, d = 0, 1, ..; new ones forward from
 * there. */
static int kind_of_old(const Days *days, int d) { return days->n_kinds == WEEK ? d % WEEK : 0; }

/* d: days after it, from 0. */
static int kind_of_new(const Days *days, int d) {
    return days->n_kinds == WEEK ? (WEEK - (d + 1) % WEEK) % WEEK : 0;
}

static Days days_of(const Profile *reference, DayNumber number) {
    Days days = {0};
    int n = 0;
    for (int d = 0; d < reference->n_days; d++)
        n += isfinite(reference->day[d].number[number]) != 0;
    days.n_kinds = n >= WEEKS_APART ? WEEK : 1;
    double degrees = -days.n_kinds;
    for (int d = 0; d < reference->n_days; d++) {
        double x = reference->day[d].number[number];
        int kind = kind_of_old(&days, d);
        if (!isfinite(x)) continue;
        days.mean += (x - days.mean) / ++days.n;
        days.mean_of[kind] += (x - days.mean_of[kind]) / ++days.n_of[kind];
    }
    for (int d = 0; d < reference->n_days; d++) {
        double off = reference->day[d].number[number] - days.mean_of[kind_of_old(&days, d)];
        if (!isfinite(off)) continue;
        days.variance += off * off;
        degrees++;
    }
    days.variance = degrees >= 1 ? days.variance / degrees : NAN;
    if (!(days.n > 0)) days.mean = NAN;
    return days;
}

/* The new days: their mean, its distance from what is expected of them, and the error of that in
 * units of the variance. */
typedef struct NewDays {
    double n, mean, off, error2;
} NewDays;

static NewDays new_days_of(const Profile *current, const Days *old, DayNumber number) {
    NewDays new = {0};
    double n_of[WEEK] = {0};
    for (int d = 0; d < current->n_days; d++) {
        double x = current->day[d].number[number];
        int kind = kind_of_new(old, current->skipped + d);
        if (!isfinite(x) || !(old->n_of[kind] > 0)) continue;
        new.n++;
        n_of[kind]++;
        new.mean += x;
        new.off += x - old->mean_of[kind];
    }
    if (!(new.n > 0)) return (NewDays){0, NAN, NAN, NAN};
    new.mean /= new.n;
    new.off /= new.n;
    new.error2 = 1 / new.n;
    for (int kind = 0; kind < WEEK; kind++)
        if (n_of[kind] > 0) new.error2 += pow(n_of[kind] / new.n, 2) / old->n_of[kind];
    return new;
}

static double total(const double *x) {
    double sum = 0;
    for (int b = 0; b < PROFILE_BINS; b++) sum += x[b];
    return sum;
}

/* Mean distance of quantiles over the distance of the reference's outer ones (Wasserstein's, made
 * free of the unit). */
static double quantile_distance(const double *p, const double *q) {
    double sum = 0, scale = p[PROFILE_QUANTILES - 2] - p[1];
    for (int i = 0; i < PROFILE_QUANTILES; i++) sum += fabs(p[i] - q[i]) / PROFILE_QUANTILES;
    return scale > 0 ? sum / scale : sum > 0 ? 1 : 0;
}

/* Kolmogorov-Smirnov: the largest difference of the distribution functions of sorted x and y. */
static double largest_gap(const double *x, int n, const double *y, int m) {
    double gap = 0;
    for (int i = 0, j = 0; i < n && j < m;) {
        double at = fmin(x[i], y[j]);
        while (i < n && x[i] <= at) i++;
        while (j < m && y[j] <= at) j++;
        gap = fmax(gap, fabs((double)i / n - (double)j / m));
    }
    return gap;
}

enum { N_TESTS = DRIFT_NEW_ITEMS + 1 };

/* One newcomer more or less is none: an item's event, a user's events of a day (twice the usual
 * ones). What is beyond that, 0 for nothing. */
static double beyond_one(double off, const Profile *current, DayNumber number) {
    Days events = days_of(current, DAY_EVENTS), activity = days_of(current, DAY_ACTIVITY);
    double one = number == DAY_NEW_USERS ? 2 * exp(activity.mean) : 1,
           share = one / fmax(1, expm1(events.mean) * events.n);
    return fabs(off) <= share ? 0 : off > 0 ? off - share : off + share;
}

/* Of a share of a day's events: as by chance alone. Where nothing of the kind was ever there, as if
 * one had been. */
static double least_variance(const Profile *reference, double share) {
    double events = 0;
    for (int d = 0; d < reference->n_days; d++)
        events += expm1(reference->day[d].number[DAY_EVENTS]);
    if (!(events > 0)) return 0;
    double p = fmin(fmax(share, 1 / events), .5);
    return p * (1 - p) / (events / reference->n_days);
}

/* A mean over fewer events than on other days varies more: by so much. */
static double thinness(const Profile *reference, const Profile *current, DayNumber number) {
    Days then = days_of(reference, DAY_EVENTS), now = days_of(current, DAY_EVENTS);
    if (number == DAY_EVENTS || number == DAY_ITEMS) return 1;
    return fmax(1, expm1(then.mean) / fmax(1, expm1(now.mean)));
}

static void test_days(DriftRow *row, const Profile *reference, const Profile *current,
    DayNumber number, double alpha) {
    Days old = days_of(reference, number);
    NewDays new = new_days_of(current, &old, number);
    row->reference = old.mean;
    row->current = new.mean;
    row->p = row->threshold = NAN;
    row->verdict = TOO_LITTLE;
    if (old.n < DRIFT_LEAST_DAYS || !(new.n >= 1) || isnan(old.variance)) return;
    if (number == DAY_NEW_USERS || number == DAY_NEW_ITEMS) {
        old.variance = fmax(old.variance, least_variance(reference, old.mean));
        new.off = beyond_one(new.off, current, number);
    }
    double error = sqrt(old.variance * new.error2 *thinness(reference, current, number));
    /* rounding is no change */
    double p = fabs(new.off) <= 1e-9 * (1 + fabs(old.mean)) ? 1
        : error > 0 ? student_two_sided(new.off / error, old.n - old.n_kinds)
                    : 0;
    row->p = fmin(1, p * N_TESTS);
    row->verdict = row->p < alpha ? DRIFT : QUIET;
}

static void by_threshold(DriftRow *row, double old, double new, double distance, int enough) {
    row->reference = old;
    row->current = new;
    row->distance = distance;
    row->p = NAN;
    row->verdict = !enough ? TOO_LITTLE : distance > row->threshold ? DRIFT : QUIET;
}

static double mean_of(const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return n ? sum / n : NAN;
}

static void compare_lists(const Profile *reference, const Profile *current, DriftRow *out) {
    int enough = reference->n_lists >= PROFILE_COVERS && current->n_lists >= PROFILE_COVERS;
    by_threshold(&out[DRIFT_SCORES], mean_of(reference->score, reference->n_lists),
        mean_of(current->score, current->n_lists),
        enough ? largest_gap(reference->score, reference->n_lists, current->score, current->n_lists)
               : NAN,
        enough);
    by_threshold(&out[DRIFT_COVERAGE], reference->coverage, current->coverage,
        enough ? fabs(log(current->coverage / reference->coverage)) : NAN, enough);
    by_threshold(&out[DRIFT_POPULARITY], reference->popularity, current->popularity,
        enough ? fabs(current->popularity - reference->popularity) : NAN, enough);
}

void drift_compare(
    const Profile *reference, const Profile *current, double alpha, DriftRow out[N_DRIFT]) {
    static const DriftRow names[N_DRIFT] = {
        [DRIFT_EVENTS] = {.input = "events", .measure = "log ratio of events a day"},
        [DRIFT_ITEMS] = {.input = "items", .measure = "psi"},
        [DRIFT_ACTIVITY] = {.input = "users",
            .measure = "difference of mean log(events) of a user's day"},
        [DRIFT_WEIGHTS] = {.input = "weights", .measure = "wasserstein / spread"},
        [DRIFT_NEW_USERS] = {.input = "new users", .measure = "difference of shares"},
        [DRIFT_NEW_ITEMS] = {.input = "new items", .measure = "difference of shares"},
        [DRIFT_SCORES] = {.input = "scores", .measure = "ks", .threshold = .35},
        [DRIFT_COVERAGE] = {.input = "coverage", .measure = "log ratio", .threshold = .35},
        [DRIFT_POPULARITY] = {.input = "popularity",
            .measure = "difference of mean log2(users)",
            .threshold = 1},
    };
    for (int i = 0; i < N_DRIFT; i++) out[i] = names[i];
    for (int i = 0; i < N_TESTS; i++) {
        test_days(&out[i], reference, current, (DayNumber)i, alpha);
        out[i].distance = fabs(out[i].current - out[i].reference);
    }
    out[DRIFT_EVENTS].reference = expm1(out[DRIFT_EVENTS].reference);
    out[DRIFT_EVENTS].current = expm1(out[DRIFT_EVENTS].current);
    int enough = total(reference->bin) > 0 && total(current->bin) > 0;
    out[DRIFT_ITEMS].distance = enough ? stability_index(reference->bin, current->bin, PROFILE_BINS)
                                       : NAN;
    out[DRIFT_WEIGHTS].distance = enough ? quantile_distance(reference->weight, current->weight)
                                         : NAN;
    compare_lists(reference, current, out);
}
