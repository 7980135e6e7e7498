#define _DEFAULT_SOURCE /* getentropy */
#include "random.h"

#include <math.h>
#include <pthread.h>
#include <unistd.h>

static uint64_t splitmix64(uint64_t *x) {
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void random_init(Random *random, uint64_t seed, uint64_t stream) {
    uint64_t x = seed;
    x = splitmix64(&x) ^ (stream * 0xd1342543de82ef95u + 1);
    for (int i = 0; i < 4; i++) random->state[i] = splitmix64(&x);
}

static uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

uint64_t random_u64(Random *random) {
    uint64_t *s = random->state;
    uint64_t result = rotate(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double random_uniform(Random *random) { return (double)(random_u64(random) >> 11) * 0x1p-53; }

uint64_t random_below(Random *random, uint64_t n) {
    uint64_t limit = -n % n; /* 2^64 mod n: values below it would be drawn once too often */
    uint64_t x;
    do x = random_u64(random);
    while (x < limit);
    return x % n;
}

double random_normal(Random *random) {
    double u = 1.0 - random_uniform(random); /* (0, 1], so that the logarithm is finite */
    double v = random_uniform(random);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

static uint64_t secret;
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void draw_secret(void) {
    /* where the library is loaded */
    if (getentropy(&secret, sizeof secret)) secret = (uint64_t)(uintptr_t)&secret;
}

uint64_t process_secret(void) {
    pthread_once(&secret_once, draw_secret);
    return secret;
}
