/* Seeded random numbers: xoshiro256++ (Blackman and Vigna 2019), seeded by splitmix64. No global
 * state, no clock. */
#ifndef REC_RANDOM_H
#define REC_RANDOM_H

#include <stdint.h>

typedef struct Random {
    uint64_t state[4];
} Random;

/* Streams of one seed are independent: give each row or chunk its own stream, so that threads do
 * not matter. */
void random_init(Random *random, uint64_t seed, uint64_t stream);
uint64_t random_u64(Random *random);
/* Uniform in [0, 1). */
double random_uniform(Random *random);
/* Uniform in 0 .. n-1 without bias; n >= 1. */
uint64_t random_below(Random *random, uint64_t n);
/* Standard normal (Box-Muller, one of the pair). */
double random_normal(Random *random);

/* A number that nobody outside the process knows, the same for its life: for hash tables, whose
 * order must not show. */
uint64_t process_secret(void);

#endif
