/* Sets of small numbers, a bit each in 64-bit words. */
#ifndef REC_BITS_H
#define REC_BITS_H

#include <stddef.h>
#include <stdint.h>

/* Words of a set of 0 .. n-1. */
static inline size_t bits_words(int64_t n) { return ((size_t)n + 63) / 64; }

static inline void bits_add(uint64_t *set, int64_t i) { set[i >> 6] |= (uint64_t)1 << (i & 63); }
static inline void bits_remove(uint64_t *set, int64_t i) {
    set[i >> 6] &= ~((uint64_t)1 << (i & 63));
}
static inline int bits_have(const uint64_t *set, int64_t i) {
    return (int)(set[i >> 6] >> (i & 63) & 1);
}

/* All of 0 .. n-1; the bits beyond are 0. */
static inline void bits_fill(uint64_t *set, int64_t n) {
    for (int64_t word = 0; word * 64 < n; word++)
        set[word] = n - word * 64 >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (n - word * 64)) - 1;
}

static inline int64_t bits_count(const uint64_t *set, int64_t n) {
    int64_t count = 0;
    for (size_t word = 0; word < bits_words(n); word++) count += __builtin_popcountll(set[word]);
    return count;
}

#endif
