/* How unlike each other lists are, or the items of one list. */
#ifndef REC_LISTS_H
#define REC_LISTS_H

#include <stddef.h>
#include <stdint.h>

/* 1 - the mean over all pairs of n vectors of their inner product, from the square of the length of
 * their sum: with u of them of length 1 and the others 0, |sum|^2 = u + twice the pairs. n >= 2.
 * Vectors of items: diversity (1 - mean cosine). A list as a vector with 1 / sqrt(its length) at
 * each item: personalization (1 - mean |A and B| / sqrt(|A| |B|)). */
static inline double mean_unlikeness(double square, double unit, double n) {
    return 1 - (square - unit) / (n * (n - 1));
}

/* An item of a user's list, by their numbers from 0. */
typedef struct ListEntry {
    int32_t user, item;
} ListEntry;

/* Personalization of n entries, in any order and some several times; they are sorted in place. sum:
 * scratch, a 0 an item, and 0 again afterwards. NaN for fewer than two users. O(n log n). */
double personalization(ListEntry *entry, size_t n, double *sum);

#endif
