/* Is one setting better than another by more than chance? Both were judged on the same users, so
 * that what is hard about a user is hard for both: a paired test tells a smaller difference than
 * two intervals do. */
#ifndef REC_CHOICE_H
#define REC_CHOICE_H

#include <stdint.h>

typedef struct PairedTest {
    int64_t users;     /* that both have a value for */
    double difference; /* mean of b - a */
    /* one-sided, of Student's paired t: how often chance alone makes b so much better; not below
     * 2^-users, the sign test's least; 1 for fewer than 2 users */
    double p;
} PairedTest;

/* a, b: a value for each of n users, NaN where she was not judged. */
PairedTest paired_test(const double *a, const double *b, int64_t n);

/* Of the best of `tried` challengers: is it better than the one it is compared with at the level
 * .05, all in all? Among many that are no better one looks so by luck, and the best of them most of
 * all: the level is divided among them (Bonferroni; Dunn 1961). */
int is_beyond_chance(const PairedTest *test, int64_t tried);

#endif
