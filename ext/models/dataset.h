/* Behaviour events as a sparse user x item matrix, the input of every recommender.
 *
 * The caller adds events in any order; dataset_finish gives dense ids in key order and sums each
 * pair's weights in the order (time, weight), so that the matrix has the same bits whatever the
 * order of the scan was. */
#ifndef REC_DATASET_H
#define REC_DATASET_H

#include <stdint.h>

#include "../base/keymap.h"
#include "../base/status.h"
#include "../base/task.h"
#include "../math/csr.h"

typedef struct Event {
    int32_t user;
    int32_t item;
    double weight;
    double time; /* unix seconds; 0 where there is no time column */
} Event;

/* Weights by baskets instead of sums (TIFU-kNN): a basket is a user's events of one time. The b-th
 * from the latest, b = 0, 1, .., is the a-th of group g, a = b mod group and g = b / group, and
 * gives each of its items
 *
 *     decay^a / (baskets of group g)  *  group_decay^g / (groups of the user) */
typedef struct BasketRules {
    int64_t group; /* baskets in a group; 0: no weights by baskets */
    double decay;
    double group_decay;
} BasketRules;

/* What the events of a (user, item) pair make together. */
typedef enum PairCombine { COMBINE_SUM, COMBINE_LAST, COMBINE_MAX, COMBINE_MEAN } PairCombine;

typedef struct PairRules {
    double half_life;    /* days; 0: no decay. Weight x 2^(-(newest - time) / half_life) */
    int64_t max_history; /* a user counts with this many items, the latest; 0: with all */
    PairCombine combine;
    int keeps_all; /* weights are ratings: a pair is there whatever its weight is */
} PairRules;

typedef struct DatasetRules {
    PairRules pair;
    int64_t min_support; /* items of fewer distinct users are left out */
    BasketRules basket;
    int keeps_order; /* every event's place in the order of time, not only the pairs' latest */
} DatasetRules;

/* An item that a user had, as often as she had it. */
typedef struct Visit {
    double time;
    int32_t item;
} Visit;

/* One user's visits in the order of (time, item), each once; returns how many. */
int64_t visits_order(Visit *visit, int64_t n);

typedef struct Dataset {
    KeyMap *users;
    KeyMap *items;
    Event *event; /* until dataset_finish */
    int64_t n_events;
    int64_t capacity;
    double newest;     /* time of the newest event */
    Csr by_user;       /* users x items: summed weight, > 0 */
    Csr by_item;       /* its transpose */
    double *pair_time; /* time of the latest event of each entry of by_user */
    /* where rules.keeps_order: each user's events of weights above 0 and of pairs that are there,
     * by (time, item), each (item, time) once */
    int64_t *visit_start; /* users + 1 */
    Visit *visit;
    /* Of the items table, where the algorithm wants it. */
    /* items that were added by dataset_list_item: they stay without an event too */
    int32_t n_listed;
    int only_listed;    /* set before the first event: those of other items are left out */
    char **item_text;   /* per item: its text, or NULL; owned */
    float *item_vector; /* items x vector_dim: 0 where there is none */
    int32_t vector_dim;
} Dataset;

Status dataset_init(Dataset *data, Err *err);
void dataset_clear(Dataset *data);

/* |weight| <= 1e12 and finite; negative weights (cancellations) are netted against the pair's
 * others. */
Status dataset_add(Dataset *data, Key user, Key item, double weight, double time, Err *err);

/* Before all events: an item of the catalogue, whether anybody has it or not. */
Status dataset_list_item(Dataset *data, Key item, Err *err);

/* Build the matrices; pairs that are not there (events_net) are dropped, and so are the items and
 * users that are left with nothing. Cancellable by task. O(n log n). */
Status dataset_finish(Dataset *data, const DatasetRules *rules, Task *task, Err *err);

/* Order events by (user, item, time, weight). */
void events_sort(Event *event, int64_t n);

/* Combine sorted events in place to one a (user, item) pair, each with the time of its latest
 * event, and keep each user's latest max_history pairs. Training and live histories both go through
 * here. Returns how many pairs are left, sorted.
 *
 * Whether a pair is there is decided without decay: where its weights, combined, are more than
 * rounding errors above 0. So what was bought long ago stays bought. Its weight is the decayed one,
 * DATASET_LEAST_WEIGHT at least. */
int64_t events_net(Event *event, int64_t n, double newest, const PairRules *rules);

/* Of one user's sorted events the items of the pairs that are there, ascending, into item (room for
 * n). Returns how many. */
int64_t events_held(const Event *event, int64_t n, const PairRules *rules, int32_t *item);

/* Is a sum of n numbers more than 0, where size is the sum of their absolute values? Below n
 * rounding errors it is not. */
int sum_is_positive(double sum, double size, int64_t n);

/* What the b-th basket from the latest of a user's n gives its items. */
double basket_weight(int64_t b, int64_t n, const BasketRules *rules);

/* Give sorted events the weights of their baskets; pairs that are not there get 0. */
Status events_weigh_baskets(Event *event, int64_t n, const BasketRules *rules, Err *err);

/* The decayed weight of an event, as training and live histories both use it. An event newer than
 * `newest` counts in full. */
double dataset_decay(double weight, double time, double newest, double half_life);

/* The longest vector of an item. */
#define DATASET_MAX_DIM 65536

/* Largest |weight| that an event may have. */
#define DATASET_MAX_WEIGHT 1e12

/* What decays below it stays there: 100 half-lives, and far from where float32 ends. */
#define DATASET_LEAST_WEIGHT 1e-30

#endif
