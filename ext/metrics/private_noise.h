/* Noise for counts that are told about users without telling of any one of them.
 *
 * The discrete Gaussian N_Z(0, s2) of variance parameter s2 = n / d, P(x) ~ exp(-x^2 / (2 s2)) over
 * the integers. Added to a vector of whole numbers that one user can change by at most D in the
 * Euclidean norm, it gives rho = D^2 / (2 s2) zero-concentrated differential privacy (Bun and
 * Steinke 2016; Canonne, Kamath and Steinke 2020, whose exact sampler this is: integers only, so
 * that no bit of a float tells anything). */
#ifndef REC_PRIVATE_NOISE_H
#define REC_PRIVATE_NOISE_H

#include <stdint.h>

/* 64 random bits. */
typedef uint64_t (*RandomBits)(void *context);
typedef struct BitSource {
    RandomBits draw;
    void *context;
} BitSource;

/* s2 = numerator / NOISE_DENOMINATOR. */
enum { NOISE_DENOMINATOR = 1024 };
/* Standard deviations up to 2^20. */
#define NOISE_MAX_NUMERATOR ((uint64_t)1 << 50)

/* The least numerator whose s2 gives at most rho to a change of norm sqrt(norm2); 0: it would be
 * above the maximum, or rho is not above 0. */
uint64_t noise_numerator(double norm2, double rho);
/* What that numerator gives: norm2 / (2 s2). */
double noise_rho(double norm2, uint64_t numerator);

int64_t noise_gaussian(BitSource *source, uint64_t numerator);

/* epsilon of (epsilon, delta) that rho implies: rho + 2 sqrt(rho ln(1 / delta)). */
double noise_epsilon(double rho, double delta);

#endif
