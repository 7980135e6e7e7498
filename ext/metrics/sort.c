#include "sort.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"

enum { FEW = 128, BYTES = 8, DIGITS = 256 };

/* Unsigned keys in the order of the doubles: negative ones reversed, below the others. */
static inline uint64_t key_of(const char *record) {
    uint64_t bits;
    memcpy(&bits, record, sizeof bits);
    return bits >> 63 ? ~bits : bits | 1ULL << 63;
}

static void count_digits(const char *record, size_t n, size_t size, size_t count[BYTES][DIGITS]) {
    memset(count, 0, sizeof(size_t) * BYTES * DIGITS);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = key_of(record + i * size);
        for (int b = 0; b < BYTES; b++) count[b][key >> 8 * b & 255]++;
    }
}

/* The size is a constant where this is inlined. Returns where the records ended up. */
static inline __attribute__((always_inline)) char *radix(
    char *record, char *spare, size_t n, size_t size) {
    size_t count[BYTES][DIGITS];
    count_digits(record, n, size, count);
    for (int b = 0; b < BYTES; b++) {
        size_t at[DIGITS], sum = 0;
        if (count[b][key_of(record) >> 8 * b & 255] == n) continue;
        for (int d = 0; d < DIGITS; d++) {
            at[d] = sum;
            sum += count[b][d];
        }
        for (size_t i = 0; i < n; i++)
            memcpy(spare + at[key_of(record + i * size) >> 8 * b & 255]++ * size, record + i * size,
                size);
        char *swap = record;
        record = spare;
        spare = swap;
    }
    return record;
}

static int ascending(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static inline __attribute__((always_inline)) void sort_records(
    void *record, size_t n, size_t size) {
    char *spare = n > FEW ? mem_array(n, size) : NULL;
    if (spare) {
        char *sorted = radix(record, spare, n, size);
        if (sorted != record) memcpy(record, sorted, n * size);
    } else if (n > 1) {
        qsort(record, n, size, ascending);
    }
    mem_free(spare);
}

void sort_doubles(double *value, size_t n) { sort_records(value, n, sizeof *value); }

void sort_samples(Sample *row, size_t n) { sort_records(row, n, sizeof *row); }
