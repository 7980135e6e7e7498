#include "shapley.h"

#include "../base/memory.h"
#include "../base/random.h"

typedef struct Explaining {
    const Predictor *predictor;
    const DesignRow *row;
    DesignRow background, mixed;
    int32_t score;
    Task *task;
    int32_t *active, n; /* features that have columns */
    uint8_t *taken;     /* features.n: of the background */
    double *scores;
} Explaining;

/* v of the set whose members are not `taken`. */
static Status value_of(Explaining *e, double *out, Err *err) {
    if (task_poll(e->task)) return fail(err, ST_CANCELLED, "interrupted");
    TRY(design_row_mix(&e->mixed, &e->predictor->features, e->row, &e->background, e->taken, err));
    e->predictor->learner->score(e->predictor->state, &e->mixed, e->scores);
    *out = e->scores[e->score];
    return ST_OK;
}

/* part_i = sum over sets S without i of |S|! (n - |S| - 1)! / n! (v(S and i) - v(S)). */
static Status sum_sets(Explaining *e, double *part, double *base, Err *err) {
    double weight[SHAPLEY_EXACT + 1], value[1 << SHAPLEY_EXACT];
    const unsigned sets = 1u << e->n;
    for (unsigned set = 0; set < sets; set++) {
        for (int32_t i = 0; i < e->n; i++) e->taken[e->active[i]] = !(set >> i & 1u);
        TRY(value_of(e, &value[set], err));
    }
    weight[0] = e->n ? 1.0 / e->n : 0;
    for (int32_t size = 1; size < e->n; size++)
        weight[size] = weight[size - 1] * size / (e->n - size);
    for (unsigned set = 0; set < sets; set++) {
        int size = __builtin_popcount(set);
        for (int32_t i = 0; i < e->n; i++)
            if (!(set >> i & 1u))
                part[e->active[i]] += weight[size] * (value[set | 1u << i] - value[set]);
    }
    *base = value[0];
    return ST_OK;
}

/* One order: every feature in turn becomes the row's own. */
static Status walk(
    Explaining *e, const int32_t *order, int reversed, double *part, double *base, Err *err) {
    double before, after = 0;
    for (int32_t i = 0; i < e->n; i++) e->taken[e->active[i]] = 1;
    TRY(value_of(e, &before, err));
    *base = before;
    for (int32_t i = 0; i < e->n; i++, before = after) {
        int32_t feature = e->active[order[reversed ? e->n - 1 - i : i]];
        e->taken[feature] = 0;
        TRY(value_of(e, &after, err));
        part[feature] += (after - before) / (2 * SHAPLEY_ORDERS);
    }
    return ST_OK;
}

static Status sum_orders(Explaining *e, double *part, double *base, Err *err) {
    int32_t *order = mem_array((size_t)e->n, sizeof *order);
    Status status = order ? ST_OK : fail_nomem(err, "the explanation");
    Random random;
    random_init(&random, 1, 0);
    for (int32_t i = 0; i < e->n && order; i++) order[i] = i;
    for (int at = 0; at < SHAPLEY_ORDERS && status == ST_OK; at++) {
        for (int32_t i = e->n - 1; i > 0; i--) {
            int32_t j = (int32_t)random_below(&random, (uint64_t)i + 1), swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
        status = walk(e, order, 0, part, base, err);
        if (status == ST_OK) status = walk(e, order, 1, part, base, err);
    }
    mem_free(order);
    return status;
}

Status shapley_explain(const Predictor *predictor, const DesignRow *row, int32_t score,
    double *part, double *base, Task *task, Err *err) {
    const FeatureSet *set = &predictor->features;
    Explaining e = {.predictor = predictor,
        .row = row,
        .background = {.dense = predictor->background, .n_dense = set->n_dense},
        .score = score,
        .task = task,
        .active = mem_array((size_t)set->n, sizeof *e.active),
        .taken = mem_zeros((size_t)set->n, 1),
        .scores = mem_array((size_t)predictor_scores(predictor), sizeof *e.scores)};
    Status status = e.active && e.taken && e.scores ? design_row_init(&e.mixed, set, err)
                                                    : fail_nomem(err, "the explanation");
    for (int32_t i = 0; i < set->n; i++) part[i] = 0;
    for (int32_t i = 0; i < set->n && e.active; i++)
        if (set->feature[i].width) e.active[e.n++] = i;
    if (status == ST_OK)
        status = e.n <= SHAPLEY_EXACT ? sum_sets(&e, part, base, err)
                                      : sum_orders(&e, part, base, err);
    mem_free(e.active);
    mem_free(e.taken);
    mem_free(e.scores);
    design_row_clear(&e.mixed);
    return status;
}
