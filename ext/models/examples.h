/* What a linear model of items learns from: rows of what is known (source) and what is to be said
 * (target), both users x items or finer. `ease` and `slim` train on G = S'S and K = S'T.
 *
 *     self   a row a user: S = T = X, her items
 *     next   a row for every place t of her sequence but the first: S has the items before it,
 *            max(decay^(g - 1), floor) for g places back, at most `window` of them; T has those of
 *            t (SLIST, Choi et al. 2021; TALE, Park et al. 2025)
 *     both   the rows of self, times sqrt(1 - next_share), and those of next, times
 *            sqrt(next_share)
 *
 * All rows of a user of d items times d^(-user_power / 2). */
#ifndef REC_EXAMPLES_H
#define REC_EXAMPLES_H

#include "model.h"
#include "sequences.h"

enum { TARGET_SELF, TARGET_NEXT, TARGET_BOTH };

typedef struct ExampleParams {
    int64_t target;
    int64_t pairs;
    double decay;
    double floor;
    int64_t window;
    double next_share;
    double user_power;
} ExampleParams;

#define EXAMPLE_OPTIONS(Params, examples) \
    {"pairs", OPT_CHOICE, offsetof(Params, examples.pairs), 0, 0, PAIRS_BINARY, "binary|weighted", \
        "whether X holds that a user has an item, or its scaled weight"}, \
        {"target", OPT_CHOICE, offsetof(Params, examples.target), 0, 0, TARGET_SELF, \
            "self|next|both", \
            "what items are to say: the user's other items, her next ones, or both"}, \
        {"decay", OPT_REAL, offsetof(Params, examples.decay), 0, 1, .8, NULL, \
            "next, both: what an item counts beside one that is a place later"}, \
        {"floor", OPT_REAL, offsetof(Params, examples.floor), 0, 1, .4, NULL, \
            "next, both: what an item counts at least"}, \
        {"window", OPT_INT, offsetof(Params, examples.window), 1, 100000, 50, NULL, \
            "next, both: places that are looked back"}, \
        {"next_share", OPT_REAL, offsetof(Params, examples.next_share), 0, 1, .5, NULL, \
            "both: the share of the next items beside the others"}, \
    { \
        "user_power", OPT_REAL, offsetof(Params, examples.user_power), 0, 2, 0, NULL, \
            "how much users of many items are discounted" \
    }

typedef struct Examples {
    Csr source, source_by_item; /* rows x items, and its transpose */
    Csr target, target_by_item; /* of self those of source, borrowed */
    int shared;
} Examples;

/* who: begins the error where there is no order. O(rows * window). */
Status examples_init(Examples *out, const Model *model, const Dataset *data,
    const ExampleParams *params, const char *who, Task *task, Err *err);
void examples_clear(Examples *examples);

/* The recency that -1 stands for. */
static inline Recency examples_recency(const ExampleParams *params, Recency recency) {
    if (recency.factor < 0) recency.factor = params->target == TARGET_SELF ? 1 : .6;
    return recency;
}

#endif
