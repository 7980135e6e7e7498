#include "private_noise.h"

#include <math.h>

typedef unsigned __int128 Wide;

uint64_t noise_numerator(double norm2, double rho) {
    double wanted = norm2 / (2 * rho) * NOISE_DENOMINATOR;
    if (!(rho > 0) || !(wanted < (double)NOISE_MAX_NUMERATOR)) return 0;
    uint64_t numerator = (uint64_t)ceil(wanted);
    return numerator ? numerator : 1;
}

double noise_rho(double norm2, uint64_t numerator) {
    return norm2 * NOISE_DENOMINATOR / (2 * (double)numerator);
}

double noise_epsilon(double rho, double delta) { return rho + 2 * sqrt(rho * log(1 / delta)); }

/* Uniform in 0 .. n - 1: what is above the last whole n is drawn again. */
static Wide below(BitSource *source, Wide n) {
    Wide bits, limit = n - 1;
    for (int shift = 1; shift < 128; shift *= 2) limit |= limit >> shift; /* 2^b - 1 */
    do {
        bits = source->draw(source->context);
        if (limit >> 64) bits = bits << 64 | source->draw(source->context);
        bits &= limit;
    } while (bits >= n);
    return bits;
}

/* True with probability a / b <= 1. */
static int bernoulli(BitSource *source, Wide a, Wide b) { return below(source, b) < a; }

/* True with probability exp(-a / b), a <= b: the number of successes of Bernoulli(a / (b k)), k =
 * 1, 2, .., before the first failure is even. b < 2^120. */
static int bernoulli_exp_below_1(BitSource *source, Wide a, Wide b) {
    unsigned k = 1;
    while (bernoulli(source, a, b * k)) k++;
    return k % 2;
}

static int bernoulli_exp(BitSource *source, Wide a, Wide b) {
    for (; a > b; a -= b)
        if (!bernoulli_exp_below_1(source, 1, 1)) return 0;
    return bernoulli_exp_below_1(source, a, b);
}

/* P(x) ~ exp(-|x| / t). */
static int64_t discrete_laplace(BitSource *source, uint64_t t) {
    for (;;) {
        uint64_t u = (uint64_t)below(source, t), v = 0;
        if (!bernoulli_exp_below_1(source, u, t)) continue;
        while (bernoulli_exp_below_1(source, 1, 1)) v++;
        uint64_t size = u + t * v;
        int negative = (int)(source->draw(source->context) >> 63);
        if (negative && !size) continue;
        return negative ? -(int64_t)size : (int64_t)size;
    }
}

/* A proposal y of scale t = floor(s) + 1, taken with exp(-(|y| - s2 / t)^2 / (2 s2)); with s2 = n /
 * d that is exp(-(|y| t d - n)^2 / (2 n d t^2)). */
int64_t noise_gaussian(BitSource *source, uint64_t numerator) {
    uint64_t d = NOISE_DENOMINATOR;
    uint64_t t = (uint64_t)sqrt((double)numerator / (double)d) + 1;
    /* at most 2^51 2^10 2^41 */
    Wide denominator = (Wide)2 * numerator * d * t * t;
    for (;;) {
        int64_t y = discrete_laplace(source, t);
        uint64_t size = (uint64_t)(y < 0 ? -y : y);
        /* beyond 64 t, with probability e^-64, the square may not fit, and exp() is 0 to any
         * draw */
        if (size / 64 > t) continue;
        Wide left = (Wide)size * t * d,
             off = left > numerator ? left - numerator : numerator - left;
        if (bernoulli_exp(source, off * off, denominator)) return y;
    }
}
