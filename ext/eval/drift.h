/* Has what comes in, or what goes out, become something else than what a version was trained on?
 *
 * Each number of a day is compared with the days of the reference: with n of them, mean m and
 * standard deviation s, the mean of k new days lies within m +- t s sqrt(1/n + 1/k) (a prediction
 * interval; Student with n - 1 degrees of freedom), unless something has changed. So what changes
 * from day to day is quiet as long as it changes as it always did. With three weeks of reference or
 * more the days of a week are told apart: each is compared with its own mean, s is what is left
 * around these, and 7 degrees of freedom are gone. p is multiplied by the number of
 * tests (Bonferroni), so that the chance of any alarm without a change is meant to be at most
 * alpha. Shares of newcomers are at least as uncertain as chance alone makes them, and one newcomer
 * is no change.
 *
 * Lists have no days: a Kolmogorov-Smirnov distance of the scores, changes of coverage and
 * popularity, each with a threshold. */
#ifndef REC_DRIFT_H
#define REC_DRIFT_H

#include "profile.h"

typedef enum DriftInput {
    DRIFT_EVENTS,
    DRIFT_ITEMS,
    DRIFT_ACTIVITY,
    DRIFT_WEIGHTS,
    DRIFT_NEW_USERS,
    DRIFT_NEW_ITEMS,
    DRIFT_SCORES,
    DRIFT_COVERAGE,
    DRIFT_POPULARITY,
    N_DRIFT
} DriftInput;

typedef struct DriftRow {
    const char *input, *measure;
    double reference, current;
    double distance;     /* by the measure */
    double threshold;    /* of the distance, where it decides; else NaN */
    double p;            /* corrected for the number of tests, where it decides; else NaN */
    const char *verdict; /* quiet, drift, too little data */
} DriftRow;

/* Days that the reference must have. */
enum { DRIFT_LEAST_DAYS = 7 };
void drift_compare(
    const Profile *reference, const Profile *current, double alpha, DriftRow out[N_DRIFT]);

#endif
