/* Which settings are tried, and on how many users: draws from a space, and successive halving. The
 * procedure depends on the seed, the rules and the values alone: run again with values that are
 * known already it goes the same way, which is how a tuning is resumed. */
#ifndef REC_SEARCH_H
#define REC_SEARCH_H

#include "space.h"

/* That take turns. */
enum { SEARCH_MAX_TUNABLES = 8 };

typedef enum SearchSampler { SEARCH_TPE, SEARCH_RANDOM, SEARCH_GRID } SearchSampler;

typedef struct SearchRules {
    SearchSampler sampler;
    int64_t trials; /* of the first round */
    uint64_t seed;
    /* 0: every setting on all users. Else, with h: all on a share of h^-r of the users, the best 1
     * / h of them on h times as many, and so on up to all users (Jamieson and Talwalkar 2016) */
    int64_t halving;
    /* the first round's share is the least power of 1 / h that is not below; 0: 1 / h itself */
    double least_share;
} SearchRules;

typedef struct SearchHost {
    void *context;
    /* name: the tunable's. *value: the more the better, NaN where the setting cannot be judged. */
    Status (*judge)(void *context, const char *name, const char *options, double share,
        double *value, Err *err);
    int (*enough)(void *context); /* no further trial */
} SearchHost;

/* Several tunables take turns, each first as it is without options; a single one is judged as it
 * is besides its trials, on all users. space belongs to a single one, NULL: its own. A setting is
 * tried once; a space without new ones ends its trials. */
Status search_settings(const SearchRules *rules, const Tunable *tunable, int n_tunables,
    json_t *space, const SearchHost *host, Err *err);

#endif
