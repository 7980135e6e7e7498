#include "route.h"

#include <string.h>

#include "../base/hash.h"

/* splitmix64 (Steele, Lea and Flood 2014): spreads what differs in a few bits. */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

int route_hash(Key unit, const char *salt, uint64_t draw, uint64_t *out) {
    if (!key_bucket_hash(unit, fnv1a(FNV_START, salt, strlen(salt)), out)) return 0;
    *out = mix(*out ^ mix(draw));
    return 1;
}

/* Bit by bit: squaring a number doubles its logarithm. */
uint64_t route_exponential(uint64_t hash) {
    enum { FRACTION = 32 };
    if (hash == UINT64_MAX) return 0;
    uint64_t x = hash + 1;
    int zeros = __builtin_clzll(x);
    uint64_t log2 = (uint64_t)(63 - zeros) << FRACTION, mantissa = x << zeros; /* 1 <= m < 2 */
    for (int bit = FRACTION - 1; bit >= 0; bit--) {
        unsigned __int128 square = (unsigned __int128)mantissa * mantissa >> 63;
        int carry = (int)(square >> 64);
        if (carry) log2 |= (uint64_t)1 << bit;
        mantissa = (uint64_t)(square >> carry);
    }
    return ((uint64_t)64 << FRACTION) - log2;
}

typedef struct Draw {
    uint64_t exponential;
    uint64_t share;
    int arm;
} Draw;

/* exponential / share, compared without dividing; a share of 0 never wins. */
static int is_smaller(const Draw *a, const Draw *b) {
    return (unsigned __int128)a->exponential * b->share <
        (unsigned __int128)b->exponential * a->share;
}

int route_arm(Key unit, const char *salt, const RouteArm *arm, int n, int *out) {
    uint64_t hash;
    uint64_t left = ROUTE_WHOLE;
    if (!route_hash(unit, salt, 0, &hash)) return 0;
    Draw best = {UINT64_MAX, 0, -1};
    for (int i = 0; i < n; i++) {
        uint64_t share = arm[i].share > 0 ? (uint64_t)arm[i].share : 0,
                 own = mix(hash ^ fnv1a(FNV_START, arm[i].name, strlen(arm[i].name)));
        Draw draw = {route_exponential(own), share, i};
        left = share < left ? left - share : 0;
        if (share && (!best.share || is_smaller(&draw, &best))) best = draw;
    }
    Draw rest = {route_exponential(mix(~hash)), left, -1};
    if (left && (!best.share || is_smaller(&rest, &best))) best = rest;
    *out = best.arm;
    return 1;
}
