#include "choice.h"

#include <math.h>

#include "../metrics/special.h"

PairedTest paired_test(const double *a, const double *b, int64_t n) {
    PairedTest test = {0, 0, 1};
    double square = 0; /* of the distances from the running mean (Welford) */
    for (int64_t i = 0; i < n; i++) {
        double difference = b[i] - a[i];
        if (isnan(difference)) continue;
        double before = difference - test.difference;
        test.difference += before / (double)++test.users;
        square += before * (difference - test.difference);
    }
    if (test.users < 2) return test;
    if (square > 0) {
        double degrees = (double)test.users - 1,
               t = test.difference / sqrt(square / degrees / (double)test.users),
               two_sided = student_two_sided(t, degrees);
        test.p = t > 0 ? two_sided / 2 : 1 - two_sided / 2;
    }
    /* Differences that are all alike say no more than their signs do: of n coins all fall so once
     * in 2^n times. */
    if (test.difference > 0) test.p = fmax(square > 0 ? test.p : 0, exp2(-(double)test.users));
    return test;
}

int is_beyond_chance(const PairedTest *test, int64_t tried) {
    return test->difference > 0 && test->p * (double)(tried > 1 ? tried : 1) < .05;
}
