/* boosting: gradient-boosted trees (Friedman 2001), grown leaf by leaf from histograms as LightGBM
 * does (Ke et al. 2017), whose names and defaults the options have; of task=ranking LambdaMART. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "boosting_loss.h"
#include "learners.h"
#include "tree_grow.h"

typedef struct BoostingParams {
    int64_t rounds, leaves, depth, min_leaf, patience, loss, truncation;
    double rate, l2, min_weight, min_gain, rows, columns, quantile;
} BoostingParams;

static const OptSpec boosting_options[] = {
    {"rounds", OPT_INT, offsetof(BoostingParams, rounds), 1, 1e6, 100, NULL,
        "trees, of each class"},
    {"rate", OPT_REAL, offsetof(BoostingParams, rate), 1e-6, 1, .1, NULL,
        "how much of a tree is added"},
    {"leaves", OPT_INT, offsetof(BoostingParams, leaves), 2, 1e5, 31, NULL, "of a tree at most"},
    {"depth", OPT_INT, offsetof(BoostingParams, depth), 0, TREES_DEPTH - 1, 0, NULL,
        "splits on a path; 0: no limit"},
    {"min_leaf", OPT_INT, offsetof(BoostingParams, min_leaf), 1, 1e9, 20, NULL,
        "examples of a leaf at least"},
    {"min_weight", OPT_REAL, offsetof(BoostingParams, min_weight), 0, 1e9, 1e-3, NULL,
        "second derivatives of a leaf at least"},
    {"min_gain", OPT_REAL, offsetof(BoostingParams, min_gain), 0, 1e9, 0, NULL,
        "what a split must gain"},
    {"l2", OPT_REAL, offsetof(BoostingParams, l2), 0, 1e9, 0, NULL, "makes leaves smaller"},
    {"rows", OPT_REAL, offsetof(BoostingParams, rows), .01, 1, 1, NULL,
        "share of the examples that a round draws"},
    {"columns", OPT_REAL, offsetof(BoostingParams, columns), .001, 1, 1, NULL,
        "share of the columns that a tree draws"},
    {"patience", OPT_INT, offsetof(BoostingParams, patience), 0, 1e6, 0, NULL,
        "stop after so many rounds in which the examples that judge did not get better, and keep "
        "the best; 0: never"},
    {"loss", OPT_CHOICE, offsetof(BoostingParams, loss), 0, 0, 0, "squared|quantile", "of numbers"},
    {"quantile", OPT_REAL, offsetof(BoostingParams, quantile), .001, .999, .5, NULL,
        "of loss=quantile: it predicts this quantile"},
    {"truncation", OPT_INT, offsetof(BoostingParams, truncation), 1, 1e6, 30, NULL,
        "of task=ranking: places of a list that count"},
    {0},
};

typedef struct Boosting {
    const Learning *learning;
    const BoostingParams *params;
    LossCall loss, held_loss;
    Bins bins;
    Trees *trees;
    int32_t n_scores;
    double *score, *gradient, *hessian, *drawn; /* n_scores x n; drawn: n */
    double *held_score;                         /* n_scores x held rows */
    int32_t *leaf_of, *rows;
    uint8_t *use; /* of the columns */
    int64_t best_round;
    double best;
} Boosting;

static void boosting_clear(Boosting *b) {
    bins_clear(&b->bins);
    mem_free(b->score);
    mem_free(b->gradient);
    mem_free(b->hessian);
    mem_free(b->drawn);
    mem_free(b->held_score);
    mem_free(b->leaf_of);
    mem_free(b->rows);
    mem_free(b->use);
}

static BoostingLoss loss_of(const Boosting *b) {
    switch (b->learning->labels.task) {
    case LEARN_CLASSES: return BOOST_LOGISTIC;
    case LEARN_RANKING: return BOOST_LAMBDA;
    default: return b->params->loss ? BOOST_QUANTILE : BOOST_SQUARED;
    }
}

/* ---- a round ---- */

/* Rows and columns that this tree looks at. */
static void draw(Boosting *b, int64_t tree, const double *hessian) {
    int32_t dim = b->bins.dim;
    Random random;
    random_init(&random, b->learning->seed, (uint64_t)(tree / b->n_scores));
    for (int64_t i = 0; i < b->bins.n; i++)
        b->drawn[i] = b->params->rows >= 1 || random_uniform(&random) < b->params->rows ? hessian[i]
                                                                                        : 0;
    int32_t wanted = (int32_t)fmax(1, ceil(b->params->columns * dim));
    random_init(&random, b->learning->seed ^ 0x9E3779B97F4A7C15u, (uint64_t)tree);
    for (int32_t c = 0; c < dim; c++) {
        b->use[c] = random_below(&random, (uint64_t)(dim - c)) < (uint64_t)wanted;
        wanted -= b->use[c];
    }
}

/* Leaves of the quantile loss: the quantile of what is left to predict, of the rows of each. */
static Status renew_leaves(Boosting *b, int64_t first_value, Err *err) {
    const Labels *labels = &b->learning->labels;
    double *left = b->gradient;
    int64_t n = b->bins.n;
    for (int64_t i = 0; i < n; i++) left[i] = labels->value[i] - b->score[i];
    for (int64_t v = first_value; v < b->trees->n_values; v++) {
        int64_t own = 0;
        for (int64_t i = 0; i < n; i++)
            if (b->leaf_of[i] == v && b->drawn[i] > 0) b->rows[own++] = (int32_t)i;
        double value = loss_quantile(left, labels->weight, b->rows, own, b->params->quantile);
        if (isnan(value)) return fail_nomem(err, "the leaves");
        b->trees->value[v] = value;
    }
    return ST_OK;
}

static void add_tree(Boosting *b, int32_t k, int64_t first_value) {
    Trees *trees = b->trees;
    double *score = b->score + k * b->bins.n;
    for (int64_t v = first_value; v < trees->n_values; v++) trees->value[v] *= b->params->rate;
    for (int64_t i = 0; i < b->bins.n; i++) score[i] += trees->value[b->leaf_of[i]];
    if (!b->held_score) return;
    const Design *held = b->learning->held;
    score = b->held_score + k * held->n;
    for (int64_t i = 0; i < held->n; i++) {
        DesignRow row = design_row(held, i);
        score[i] += trees->value[trees_leaf(trees, trees->n_trees - 1, &row)];
    }
}

static Status run_round(Boosting *b, Err *err) {
    GrowRules rules = {.max_leaves = b->params->leaves,
        .max_depth = b->params->depth,
        .min_rows = (double)b->params->min_leaf,
        .min_weight = b->params->min_weight,
        .min_gain = b->params->min_gain,
        .rows_by_weight = 1,
        .l2 = b->params->l2};
    Task *task = b->learning->task;
    TRY(loss_derivatives(&b->loss, b->score, b->gradient, b->hessian, err));
    for (int32_t k = 0; k < b->n_scores; k++) {
        int64_t first_value = b->trees->n_values;
        draw(b, b->trees->n_trees, b->hessian + k * b->bins.n);
        GrowData data = {&b->bins, 1, b->gradient + k * b->bins.n, b->drawn, b->use};
        TRY(tree_grow(b->trees, &data, &rules, task, task, b->leaf_of, err));
        if (b->loss.loss == BOOST_QUANTILE) TRY(renew_leaves(b, first_value, err));
        add_tree(b, k, first_value);
    }
    return ST_OK;
}

/* The curve has every round of few examples; of more the loss would cost as much as the tree. */
enum { EVERY_ROUND = 20000, SELDOM = 10 };

static Status note_round(Boosting *b, int64_t round, int64_t rounds, Err *err) {
    double loss, held = NAN;
    int seldom = b->bins.n > EVERY_ROUND && round % SELDOM && round != rounds;
    atomic_store(&b->learning->task->done, round);
    if (seldom && !(b->held_score && b->params->patience)) return ST_OK;
    TRY(loss_mean(&b->loss, b->score, &loss, err));
    if (b->held_score) TRY(loss_mean(&b->held_loss, b->held_score, &held, err));
    if (b->held_score && !(held >= b->best)) {
        b->best = held;
        b->best_round = round;
    }
    return learn_log_add(b->learning->log, (double)round, loss, held, err);
}

static Status run_rounds(Boosting *b, Err *err) {
    int64_t rounds = b->learning->sweeps ? b->learning->sweeps : b->params->rounds;
    int32_t before = b->trees->n_trees;
    task_phase(b->learning->task, "boosting", "rounds", rounds, rounds);
    for (int64_t round = 1; round <= rounds; round++) {
        TRY(run_round(b, err));
        TRY(note_round(b, round, rounds, err));
        if (b->held_score && b->params->patience && round - b->best_round >= b->params->patience)
            break;
    }
    if (b->held_score && b->params->patience)
        trees_cut(b->trees, before + (int32_t)b->best_round * b->n_scores);
    return ST_OK;
}

/* ---- a training ---- */

/* The start's trees go first. */
static Status take_start(Boosting *b, Err *err) {
    const Trees *start = b->learning->start;
    const Design *design = b->learning->design, *held = b->learning->held;
    if (!start) return ST_OK;
    if (start->width != 1 || start->n_scores != b->n_scores || start->scale != 1 ||
        start->n_trees % b->n_scores)
        return fail(err, ST_BADARG, "init_from: its trees are not those of boosting");
    memcpy(b->trees->base, start->base, (size_t)b->n_scores * sizeof *b->trees->base);
    for (int32_t t = 0; t < start->n_trees; t++) TRY(trees_append(b->trees, start, t, err));
    double *own = mem_array((size_t)b->n_scores, sizeof *own);
    if (!own) return fail_nomem(err, "the trees");
    for (int64_t i = 0; i < design->n; i++) {
        DesignRow row = design_row(design, i);
        trees_score(b->trees, &row, own);
        for (int32_t k = 0; k < b->n_scores; k++) b->score[k * design->n + i] = own[k];
    }
    for (int64_t i = 0; b->held_score && i < held->n; i++) {
        DesignRow row = design_row(held, i);
        trees_score(b->trees, &row, own);
        for (int32_t k = 0; k < b->n_scores; k++) b->held_score[k * held->n + i] = own[k];
    }
    mem_free(own);
    return ST_OK;
}

static Status prepare(Boosting *b, Err *err) {
    const Learning *learning = b->learning;
    size_t n = (size_t)learning->design->n, k = (size_t)b->n_scores;
    int64_t held = learning->held ? learning->held->n : 0;
    TRY(bins_build(&b->bins, learning->design, learning->task, err));
    b->score = mem_array(n, k * sizeof *b->score);
    b->gradient = mem_array(n, k * sizeof *b->gradient);
    b->hessian = mem_array(n, k * sizeof *b->hessian);
    b->drawn = mem_array(n, sizeof *b->drawn);
    b->leaf_of = mem_array(n, sizeof *b->leaf_of);
    b->rows = mem_array(n, sizeof *b->rows);
    b->use = mem_array((size_t)b->bins.dim, 1);
    if (held) b->held_score = mem_array((size_t)held, k * sizeof *b->held_score);
    if (!b->score || !b->gradient || !b->hessian || !b->drawn || !b->leaf_of || !b->rows ||
        !b->use || (held && !b->held_score))
        return fail_nomem(err, "the trees");
    loss_base(&b->loss, b->trees->base);
    for (size_t s = 0; s < k; s++) {
        for (size_t i = 0; i < n; i++) b->score[s * n + i] = b->trees->base[s];
        for (int64_t i = 0; i < held; i++) b->held_score[(int64_t)s * held + i] = b->trees->base[s];
    }
    return take_start(b, err);
}

static Status boosting_train(const Learning *learning, void **out, Err *err) {
    Boosting b = {.learning = learning,
        .params = learning->params,
        .n_scores = labels_scores(&learning->labels),
        .best = INFINITY};
    if (!(b.trees = trees_new(b.n_scores, 1, err))) return ST_NOMEM;
    *out = b.trees;
    b.loss = (LossCall){loss_of(&b), b.params->quantile, b.params->truncation, &learning->labels,
        learning->design->n, b.n_scores, learning->task};
    b.held_loss = b.loss;
    b.held_loss.labels = &learning->held_labels;
    b.held_loss.n = learning->held ? learning->held->n : 0;
    Status status = prepare(&b, err);
    if (status == ST_OK) status = run_rounds(&b, err);
    boosting_clear(&b);
    return status;
}

static int64_t boosting_sweeps(const void *state) {
    const Trees *trees = state;
    return trees->n_trees / trees->n_scores;
}

const Learner boosting_learner = {
    .name = "boosting",
    .summary = "gradient-boosted trees; of lists LambdaMART",
    .tasks = 1u << LEARN_NUMBER | 1u << LEARN_CLASSES | 1u << LEARN_RANKING,
    .can_start = 1,
    .options = boosting_options,
    .params_size = sizeof(BoostingParams),
    .space = "{\"rounds\":[50,100,200,400],\"rate\":{\"min\":0.02,\"max\":0.3,\"log\":true},"
             "\"leaves\":[7,15,31,63],\"min_leaf\":{\"min\":5,\"max\":200,\"log\":true}}",
    .train = boosting_train,
    .sweeps = boosting_sweeps,
    TREES_METHODS,
};
