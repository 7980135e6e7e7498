/* One setting of an algorithm, trained on a part of the events and judged on the rest: what tuning
 * and cross-validation repeat. */
#ifndef REC_TRIAL_H
#define REC_TRIAL_H

#include "evaluate.h"

/* All events, read once, with ids of their own. */
typedef struct EventSet {
    KeyMap *users, *items;
    Event *event;
    int64_t n, capacity;
} EventSet;
Status event_set_init(EventSet *set, Err *err);
void event_set_clear(EventSet *set);
Status event_set_add(EventSet *set, Key user, Key item, double weight, double time, Err *err);
/* Users and items in key order, so that nothing that is summed over them depends on the order of
 * the scan. */
Status event_set_sort(EventSet *set, Err *err);

/* held[i]: 1 where event i is of the part that is judged, else 0. All events of a (user, item) pair
 * go the same way but where time decides. */
typedef enum SplitKind {
    SPLIT_TIME,  /* the latest `share` of all events, by time */
    SPLIT_LAST,  /* of every user with two pairs or more the pair whose first event is the latest */
    SPLIT_RANDOM /* pairs by a hash of the pair and the seed: part `fold` of `folds` */
} SplitKind;
Status split_events(const EventSet *set, SplitKind kind, double share, int64_t fold, int64_t folds,
    uint64_t seed, uint8_t *held, Err *err);

/* out = held, but LEFT_OUT for the events of all users but a share of them by a hash; the users of
 * a share are also in every larger one. */
enum { LEFT_OUT = 2 };
Status sample_users(
    const EventSet *set, double share, uint64_t seed, const uint8_t *held, uint8_t *out, Err *err);

/* A hash of the events as a set, whatever their order. */
Status event_set_hash(const EventSet *set, uint64_t *out, Err *err);

/* What reads the catalogue for algorithms that want it: before the events, and once items have
 * their ids. NULL: nothing. */
typedef struct Catalogue {
    void *host;
    Status (*list)(void *host, Dataset *data, Err *err);
    Status (*read)(void *host, Dataset *data, Task *task, Err *err);
} Catalogue;

typedef struct Setting {
    const Algorithm *algorithm;
    CommonParams common;
    AlgorithmParams params;
} Setting;

typedef struct TrialResult {
    double value[N_RANKING_METRICS][EVALUATE_MAX_K]; /* means over users; NaN without users */
    int32_t users;
    double seconds; /* of the training */
} TrialResult;

/* What each user of the set had of one metric at the first k, summed over trials. */
typedef struct TrialUsers {
    RankingMetric metric;
    double *sum;    /* per user of the set */
    int32_t *count; /* in how many she was judged */
} TrialUsers;

/* What the trial before left, for one that differs in nothing that training reads (the weights of a
 * blend: Algorithm.reweigh). All 0 at first. */
typedef struct TrialKept {
    struct TrialPart *part; /* NULL: nothing is kept */
    Model *model;
    uint8_t *held; /* what was held, of the same set */
    CommonParams common;
    int exclude_seen;
} TrialKept;
void trial_kept_clear(TrialKept *kept);

/* Where repeats are left out (exclude_seen), held pairs that are also trained on do not count.
 * users: added to, or NULL. kept: of earlier trials on the same set, or NULL. */
Status trial_run(TrialResult *out, TrialUsers *users, const EventSet *set, const uint8_t *held,
    const Setting *setting, const EvaluateOptions *options, const Catalogue *catalogue,
    TrialKept *kept, Task *task, Err *err);

#endif
