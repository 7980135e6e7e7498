/* A trained recommender, and how to ask it.
 *
 * A Model is immutable and may be shared by threads. It knows items by dense id 0 .. n_items-1 in
 * key order, so ties by id are ties by key, and it knows no users: a user is her history, which the
 * caller reads from the events when it asks. A ModelQuery holds the scratch memory of one asker.
 *
 *     ModelQuery *query = model_query_new(model, &err);
 *     model_query_history(query, &history, &err);
 *     model_query_rank(query, allowed, n_allowed, k, &list, &err);
 *
 * Adding an algorithm: one file with an Algorithm, one line in registry.c, one reference page. */
#ifndef REC_MODEL_H
#define REC_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "../base/bytes.h"
#include "../base/keymap.h"
#include "../base/options.h"
#include "../base/sealed.h"
#include "../base/status.h"
#include "../base/task.h"
#include "../base/topk.h"
#include "../base/tunable.h"
#include "dataset.h"

/* Options that every algorithm has; the others follow from the algorithm's own table. */
typedef struct CommonParams {
    double half_life;
    int64_t min_support;
    int64_t max_history;
    int64_t scale;   /* MODEL_SCALE_* */
    int64_t combine; /* MODEL_COMBINE_* */
    int64_t threads; /* 0: the CPU's */
    int64_t seed;
} CommonParams;
enum { MODEL_SCALE_LOG, MODEL_SCALE_LINEAR, MODEL_SCALE_BINARY };
enum {
    MODEL_COMBINE_AUTO,
    MODEL_COMBINE_SUM,
    MODEL_COMBINE_LAST,
    MODEL_COMBINE_MAX,
    MODEL_COMBINE_MEAN
};
extern const OptSpec model_common_options[];

/* Room for any algorithm's own parameters. */
typedef struct AlgorithmParams {
    _Alignas(16) unsigned char bytes[2048];
} AlgorithmParams;

typedef struct TrainingStep {
    double sweep;      /* counts full passes; x.5 is the user half */
    double objective;  /* what the algorithm minimises */
    double seconds;    /* since training began */
    double validation; /* of a held part, by the algorithm's metric; NaN: none */
} TrainingStep;

typedef struct Algorithm Algorithm;

typedef struct Model {
    const Algorithm *algorithm;
    CommonParams common;
    AlgorithmParams params;
    KeyMap *items;
    int32_t n_items;
    int64_t n_users;
    int64_t n_events;
    double newest;             /* time of the newest event that was trained on */
    int has_until;             /* trained on, and remembers, events before until */
    double until;              /* unix seconds */
    float *popularity;         /* n_items: distinct users of the item */
    int32_t *popular;          /* n_items: ids by (popularity descending, id) */
    void *state;               /* the algorithm's own */
    const struct Model *start; /* while training: the version of init_from, borrowed; or NULL */
    double trained_seconds;
    TrainingStep *step;
    int64_t n_steps;
    /* what it was trained on (eval/profile.h), JSON; NULL: of before 2026-12 */
    char *trained_on;
    char sha256[SHA256_TEXT]; /* of the stored form, without the times and trained_on */
} Model;

/* What a user has, or what is in a cart: distinct items in ascending id, weights > 0. */
typedef struct History {
    int32_t *item;
    float *weight;
    int64_t n;
    double *time; /* when each was had last: unix seconds, in a cart its place; NULL: unknown */
    /* what she has at all, ascending, where the taste above may be only a part of it (max_history,
     * baskets); */
    const int32_t *seen;
    int64_t n_seen; /* NULL: item */
    /* every time that she had one of the items, oldest first, of one time by id; in a cart as they
     * are listed. NULL: each once, at its time */
    const Visit *visit;
    int64_t n_visits;
    int is_cart; /* its times are places */
} History;

/* The items that count as seen. */
static inline const int32_t *history_seen(const History *history, int64_t *n) {
    *n = history->seen ? history->n_seen : history->n;
    return history->seen ? history->seen : history->item;
}

typedef struct ModelQuery {
    const Model *model;
    History history;  /* borrowed from the caller */
    int32_t similar;  /* the item whose neighbours are asked for, or -1 */
    int popular_only; /* the popular list, whatever the algorithm: the baseline of evaluations */
    void *scratch;    /* the algorithm's own */
} ModelQuery;

struct CostAsk;
struct Cost;
struct ItemSums;

struct Algorithm {
    const char *name;
    const char *summary;  /* one line for rec_options and the reference */
    int impersonal;       /* ranks without a history */
    int scores_all;       /* has something to say about every item: nothing is filled in */
    int no_similar;       /* has no neighbours of an item */
    int32_t least_events; /* below, by rule of thumb, the popular list is hard to beat */
    /* reads texts and vectors of the items table, and knows its items without events */
    int wants_items;
    int own_items; /* scores nothing but what is in the history */
    /* predicts the weight itself, a rating; that a user has an item means nothing */
    int rates;
    int in_auto;    /* AUTO_*: one of those that algorithm=auto tries */
    int keeps_seen; /* offers what the asker has, unless exclude_seen says otherwise */
    const OptSpec *options;
    size_t params_size;
    /* JSON: what tuning explores of the options unless told otherwise; NULL: nothing */
    const char *tune_space;
    /* the same where events have times; NULL: no other */
    const char *tune_space_timed;
    /* Weights by baskets instead of sums, if the options say so; NULL: never. */
    BasketRules (*baskets)(const AlgorithmParams *params);
    /* Does it, with these options, learn from the order of events? NULL: never. */
    int (*wants_order)(const AlgorithmParams *params);
    /* Does it, with these options, train on sessions, and take the asker's latest session for her
     * history, where there is session=? NULL: never. */
    int (*by_session)(const AlgorithmParams *params);
    /* How an asker's history fades (sequences.h); NULL: not at all. Of those that serve as
     * neighbours.h does. */
    struct Recency (*recency)(const AlgorithmParams *params);
    /* What the option table cannot say about options that do not go together; NULL: nothing. */
    Status (*check)(const AlgorithmParams *params, Err *err);
    /* Make a trained model one of these options, where they differ in nothing that training reads:
     * 1; else 0, and nothing has changed. NULL: never. */
    int (*reweigh)(Model *model, const AlgorithmParams *params);
    /* Add what a training takes (cost.h). */
    void (*cost)(const struct CostAsk *ask, struct Cost *out);
    /* Fill model->state from the data; model->params, common, items and popularity are set. */
    Status (*train)(Model *model, const Dataset *data, Task *task, Err *err);
    /* The same from sums over many shops (item_sums.h), with the bits of a training on all their
     * rows; ST_BADARG where these options need more than sums. NULL: it cannot. */
    Status (*train_sums)(Model *model, const struct ItemSums *sums, Task *task, Err *err);
    void (*write)(const Model *model, Bytes *out);
    /* Read what write wrote; every count and value is checked: the bytes are untrusted. */
    Status (*read)(Model *model, Reader *in, Err *err);
    void (*free_state)(Model *model);
    size_t (*memory)(const Model *model);

    Status (*query_new)(ModelQuery *query, Err *err);
    void (*query_free)(ModelQuery *query);
    /* Prepare for query->history (n >= 1) or query->similar (>= 0). */
    Status (*query_prepare)(ModelQuery *query, Err *err);
    /* The scores of all items as they stand after query_prepare, for who keeps them: score and rank
     * follow. NULL: they are asked. */
    const struct Scoreboard *(*board)(const ModelQuery *query);
    /* The score of an item after query_prepare; 0 where the model has nothing to say. */
    double (*score)(const ModelQuery *query, int32_t item);
    /* Where scores are logits, whose softmax says how likely each item is: those of all items, into
     * score (n_items), after query_prepare for a history or an item; float32's precision. */
    void (*logits)(const ModelQuery *query, double *score);
    /* The score of every item to somebody without a history, whose list is the popular one. NULL:
     * 0. */
    double (*stranger)(const Model *model);
    /* The k best allowed items that the model has something to say about, unsorted. */
    Status (*rank)(
        const ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, TopK *top, Err *err);
    /* part[j] = what history item j adds to the score of item; the parts sum to the score. NULL:
     * not additive. */
    Status (*contributions)(const ModelQuery *query, int32_t item, double *part, Err *err);
    /* How alike two items are, 0..1; NULL: the model cannot tell. */
    double (*alike)(const Model *model, int32_t a, int32_t b);
    /* An item's vector of *dim numbers, for a rec_index of one's own; NULL: the model has none. */
    const float *(*item_vector)(const Model *model, int32_t item, int32_t *dim);
    /* Does this version keep users' rows (docs/decisions/0009-rows-without-keys.md)? NULL: none. */
    int (*keeps_rows)(const Model *model);
    /* Take out the row that this history was when it was trained on, by its items; of several the
     * one of the closest weights. *removed: was there one? What follows from the rows is stale
     * until the model has been written and read. */
    Status (*forget)(Model *model, const History *history, int *removed, Err *err);
    /* Where score and rank for a history are those of an inner product: the index over the items'
     * vectors, and after query_prepare the asker's vector. NULL: they are not. */
    const struct AnnIndex *(*index)(const Model *model);
    const float *(*asker)(const ModelQuery *query);
};

/* Does algorithm=auto try it? AUTO_TIMED: where events have times, and there are least_events. */
enum { AUTO_NEVER, AUTO_ALWAYS, AUTO_TIMED };
static inline int algorithm_in_auto(const Algorithm *algorithm, int has_time, int64_t n_events) {
    return algorithm->in_auto == AUTO_ALWAYS ||
        (algorithm->in_auto == AUTO_TIMED && has_time && n_events >= algorithm->least_events);
}

/* What tuning needs to know of an algorithm. */
static inline Tunable algorithm_tunable(const Algorithm *algorithm, int has_time) {
    const char *space = has_time && algorithm->tune_space_timed ? algorithm->tune_space_timed
                                                                : algorithm->tune_space;
    return (Tunable){algorithm->name, algorithm->options, model_common_options, space};
}

static inline int algorithm_by_session(const Algorithm *algorithm, const AlgorithmParams *params) {
    return algorithm->by_session && algorithm->by_session(params);
}

/* What a model has where nothing is said. */
#define DEFAULT_ALGORITHM "item_knn"

const Algorithm *algorithm_find(const char *name);
/* NULL-terminated. */
extern const Algorithm *const algorithm_registry[];

/* Train on a finished dataset, whose item dictionary moves into the model. start: the version to
 * start from, or NULL. */
Status model_train(Model **out, const Algorithm *algorithm, const CommonParams *common,
    const AlgorithmParams *params, const Model *start, Dataset *data, Task *task, Err *err);
/* On sums, whose item dictionary moves into the model. */
Status model_train_sums(Model **out, const Algorithm *algorithm, const CommonParams *common,
    const AlgorithmParams *params, struct ItemSums *sums, Task *task, Err *err);
void model_free(Model *model);
size_t model_memory(const Model *model);

/* How events become pairs, by the algorithm and its options. */
DatasetRules model_rules(
    const Algorithm *algorithm, const CommonParams *common, const AlgorithmParams *params);

/* The score of an item, or 0 where the model has nothing good to say about it; only after
 * model_query_history or _similar. */
double model_query_score(const ModelQuery *query, int32_t item);

/* The algorithm's own word after query_prepare: the score of an item, which may be negative, and
 * rank. */
double algorithm_score(const ModelQuery *query, int32_t item);
Status algorithm_rank(
    const ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, TopK *top, Err *err);

/* What a summed weight counts for, by the scale option: log(1 + w), w or 1. */
double model_scaled(const Model *model, float weight);

/* Append a row to the training log. */
Status model_log_step(Model *model, double sweep, double objective, double seconds, Err *err);

/* The stored form, and back (version_blob.c has the layout). */
Status model_write(const Model *model, Bytes *out, char sha256[SHA256_TEXT], Err *err);
Status model_read(Model **out, const void *data, size_t len, Err *err);
/* A model of one's own, which may be changed: written and read. */
Status model_copy(const Model *model, Model **out, Err *err);
/* {"name":value,...} of all options, common ones included. */
void model_options_json(const Model *model, Bytes *out);

Status model_query_new(ModelQuery **out, const Model *model, Err *err);
void model_query_free(ModelQuery *query);

/* Has the algorithm anything to say to this asker? Otherwise the list is the popular one. */
int model_query_speaks(const ModelQuery *query);
/* Ask about a history (n may be 0: then everything comes from popular) or about the neighbours of
 * an item. */
Status model_query_history(ModelQuery *query, const History *history, Err *err);
Status model_query_similar(ModelQuery *query, int32_t item, Err *err);

typedef struct Ranked {
    int32_t item;
    /* filled from the popular list: score is 0, or the algorithm's for a stranger */
    int from_popular;
    double score;
} Ranked;

/* The first k of the list: allowed items by (score descending, id), then, where the model has
 * nothing more to say, the popular ones by (popularity descending, id) with score 0, or the
 * algorithm's for a stranger. *out_n <= k. */
Status model_query_rank(ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, size_t k,
    Ranked *out, size_t *out_n, Err *err);

/* The list of what the algorithm has ranked (top is sorted), filled up from the popular list. */
Status model_list(const Model *model, TopK *top, const uint64_t *allowed, size_t k, Ranked *out,
    size_t *out_n, Err *err);

#endif
