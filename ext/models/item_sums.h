/* What a linear model of items learns from several shops that keep their rows to themselves: how
 * many users have an item, and how many have two of them both. Sums of shops whose users are
 * different people add up to the sums of all their rows together, and hold no user's row.
 *
 *     G_ij = users who have i and j, i <= j;  G = X'X of X: users x items, 0/1
 *
 * eval/private_sums.h makes them private. */
#ifndef REC_ITEM_SUMS_H
#define REC_ITEM_SUMS_H

#include "../base/sealed.h"
#include "dataset.h"

typedef struct PartDigest {
    char sha256[SHA256_TEXT];
} PartDigest;

typedef struct ItemSums {
    KeyMap *items;
    int32_t n_items;
    int64_t n_users, n_events;
    double newest; /* time of the newest event */
    int has_until; /* of events before until alone */
    double until;
    int64_t max_history; /* items a user counts with; 0: all */
    double rho;          /* what the noise gives; 0: none */
    int64_t combine;     /* MODEL_COMBINE_*: what makes a pair of several events */
    uint64_t drawn; /* tells the sums of two shops apart that are alike; 0 of what was added up */
    /* of what was added up: the digests of its BLOBs, ascending; of one shop's own sums none */
    int64_t n_parts;
    PartDigest *part;
    int64_t *row_start; /* n_items + 1 */
    int32_t *col;       /* of row i: i, and the j > i that some have with it, ascending */
    int32_t *count;     /* G_ij; with noise it may be below 0 */
} ItemSums;

/* Of one shop's finished data, whose item dictionary moves into the sums. ST_BADARG where there are
 * more than most_entries. */
Status item_sums_of(ItemSums *out, Dataset *data, int64_t most_entries, Task *task, Err *err);
/* The same refusal for `entries` entries. */
Status item_sums_fit(int32_t n_items, int64_t entries, int64_t most_entries, Err *err);
void item_sums_clear(ItemSums *sums);

/* An entry for every pair of items, those of nobody too. */
Status item_sums_fill(ItemSums *sums, Err *err);
/* What a count can be at all. */
static inline int32_t item_sums_narrow(int64_t count) {
    return (int32_t)(count > INT32_MAX ? INT32_MAX : count < INT32_MIN ? INT32_MIN : count);
}

/* sums += more, both as they were read: the items of both. ST_BADARG where they count differently
 * or have a part in common, ST_NOMEM. On failure sums is as it was. */
Status item_sums_join(ItemSums *sums, const ItemSums *more, Err *err);

/* The stored form: sealed "RECSUMS1", and back, from untrusted bytes. */
Status item_sums_write(const ItemSums *sums, Bytes *out, Err *err);
Status item_sums_read(ItemSums *out, const void *data, size_t len, Err *err);

#endif
