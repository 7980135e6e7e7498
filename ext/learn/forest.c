/* tree and forest: CART (Breiman et al. 1984) and random forests (Breiman 2001).
 *
 *     tree    one tree to the end, by Gini's impurity or the variance
 *     forest  the mean of `trees` of them, each of a bootstrap of the examples, each split looking
 *             at a draw of the columns
 *
 * as scikit-learn's classes; thresholds lie between bins (bins.h). Of classes a leaf has the share
 * of each. */
#include <math.h>
#include <stddef.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "learners.h"
#include "tree_grow.h"

typedef struct ForestParams {
    int64_t trees, leaves, depth, min_leaf, columns;
    double rows, prune;
} ForestParams;

#define TREE_OPTIONS(least) \
    {"leaves", OPT_INT, offsetof(ForestParams, leaves), 0, 1e7, 0, NULL, \
        "of a tree at most; 0: no limit"}, \
        {"depth", OPT_INT, offsetof(ForestParams, depth), 0, TREES_DEPTH - 1, 0, NULL, \
            "splits on a path; 0: no limit"}, \
    { \
        "min_leaf", OPT_INT, offsetof(ForestParams, min_leaf), 1, 1e9, least, NULL, \
            "examples of a leaf at least" \
    }

static const OptSpec tree_options[] = {
    TREE_OPTIONS(1),
    {"prune", OPT_REAL, offsetof(ForestParams, prune), 0, 1e12, 0, NULL,
        "splits go that lower the impurity (Gini's, or the variance) by no more than this for "
        "every leaf that they add; 0: all stay"},
    {0},
};

static const OptSpec forest_options[] = {
    {"trees", OPT_INT, offsetof(ForestParams, trees), 1, 1e5, 100, NULL, "how many"},
    TREE_OPTIONS(1),
    {"columns", OPT_INT, offsetof(ForestParams, columns), 0, 1e7, 0, NULL,
        "that a split looks at; 0: of classes the root of their number, of numbers a third"},
    {"rows", OPT_REAL, offsetof(ForestParams, rows), .01, 1, 1, NULL,
        "size of a tree's bootstrap beside the examples"},
    {0},
};

typedef struct Growing {
    const Learning *learning;
    const ForestParams *params;
    Bins bins;
    int32_t width;
    int is_forest;
    Trees **tree; /* of each */
    TaskFailure failure;
} Growing;

/* -w y, or -w in the class's place: tree_grow.h. Of two classes the second alone. */
static void set_gradient(const Growing *g, const double *hessian, double *gradient) {
    const Labels *labels = &g->learning->labels;
    for (int64_t i = 0; i < g->bins.n; i++) {
        double *to = gradient + i * g->width;
        if (labels->task != LEARN_CLASSES) {
            *to = -hessian[i] * labels->value[i];
            continue;
        }
        for (int32_t k = 0; k < g->width; k++)
            to[k] = -hessian[i] *
                (g->width == 1 ? labels->class_of[i] == 1 : labels->class_of[i] == k);
    }
}

/* How often each example is drawn, times its weight. */
static void draw(const Growing *g, uint64_t tree, double *hessian) {
    const double *weight = g->learning->labels.weight;
    int64_t n = g->bins.n, draws = (int64_t)ceil(g->params->rows * (double)n);
    Random random;
    for (int64_t i = 0; i < n; i++) hessian[i] = g->is_forest ? 0 : weight[i];
    random_init(&random, g->learning->seed, tree);
    for (int64_t d = 0; g->is_forest && d < draws; d++) {
        int64_t i = (int64_t)random_below(&random, (uint64_t)n);
        hessian[i] += weight[i];
    }
}

static int32_t columns_of(const Growing *g) {
    int32_t dim = g->bins.dim, columns;
    if (!g->is_forest) return 0;
    if (g->params->columns) columns = (int32_t)fmin((double)g->params->columns, dim);
    else if (g->learning->labels.task == LEARN_CLASSES) columns = (int32_t)sqrt((double)dim);
    else columns = (int32_t)ceil(dim / 3.0);
    return columns < 1 ? 1 : columns >= dim ? 0 : columns;
}

static Status grow_one(Growing *g, int64_t at, Task *task, Err *err) {
    size_t n = (size_t)g->bins.n, width = (size_t)g->width;
    double *hessian = mem_array(n, sizeof *hessian);
    double *gradient = mem_array(n, width * sizeof *gradient);
    GrowRules rules = {.max_leaves = g->params->leaves,
        .max_depth = g->params->depth,
        .min_rows = (double)g->params->min_leaf,
        .columns = columns_of(g),
        .seed = g->learning->seed * 1000003 + (uint64_t)at};
    GrowData data = {&g->bins, g->width, gradient, hessian, NULL};
    Status status = hessian && gradient ? ST_OK : fail_nomem(err, "a tree");
    if (status == ST_OK) {
        draw(g, (uint64_t)at, hessian);
        set_gradient(g, hessian, gradient);
        if (!(g->tree[at] = trees_new(g->width, g->width, err))) status = ST_NOMEM;
    }
    if (status == ST_OK)
        status = tree_grow(g->tree[at], &data, &rules, task, g->learning->task, NULL, err);
    mem_free(hessian);
    mem_free(gradient);
    return status;
}

static void tree_work(void *context, int64_t at, int worker) {
    Growing *g = context;
    Err err = {0};
    (void)worker;
    task_failure_note(&g->failure, grow_one(g, at, NULL, &err), &err);
}

static Status grow_all(Growing *g, int64_t n, Trees **out, Err *err) {
    task_phase(g->learning->task, "growing", "trees", n, n);
    Status status = g->is_forest
        ? task_failure(&g->failure, task_run(g->learning->task, n, tree_work, g, err), err)
        : grow_one(g, 0, g->learning->task, err);
    if (status == ST_OK && !(*out = trees_new(g->width, g->width, err))) status = ST_NOMEM;
    for (int64_t t = 0; t < n && status == ST_OK; t++)
        status = trees_append(*out, g->tree[t], 0, err);
    if (status == ST_OK) (*out)->scale = 1 / (double)n;
    return status;
}

static Status train(const Learning *learning, int is_forest, void **out, Err *err) {
    Growing g = {.learning = learning,
        .params = learning->params,
        .width = labels_scores(&learning->labels),
        .is_forest = is_forest};
    int64_t n = is_forest ? g.params->trees : 1;
    Trees *trees = NULL;
    Status status = bins_build(&g.bins, learning->design, learning->task, err);
    g.tree = mem_zeros((size_t)n, sizeof *g.tree);
    if (status == ST_OK && !g.tree) status = fail_nomem(err, "the trees");
    if (status == ST_OK) status = grow_all(&g, n, &trees, err);
    for (int64_t t = 0; t < n && g.tree; t++) trees_free(g.tree[t]);
    mem_free(g.tree);
    bins_clear(&g.bins);
    *out = trees;
    return status;
}

static Status tree_train(const Learning *learning, void **out, Err *err) {
    const ForestParams *params = learning->params;
    const Labels *labels = &learning->labels;
    double weight = 0;
    TRY(train(learning, 0, out, err));
    if (params->prune <= 0) return ST_OK;
    for (int64_t i = 0; i < learning->design->n; i++) weight += labels->weight[i];
    /* of two classes the second's share alone is looked at: half of Gini's impurity */
    double scale = labels->task == LEARN_CLASSES && labels_scores(labels) == 1 ? .5 : 1;
    Trees *trees = *out;
    Status status = tree_prune(&trees, params->prune * weight * scale, err);
    *out = trees;
    return status;
}

static Status forest_train(const Learning *learning, void **out, Err *err) {
    return train(learning, 1, out, err);
}

const Learner tree_learner = {
    .name = "tree",
    .summary = "a decision tree",
    .tasks = 1u << LEARN_NUMBER | 1u << LEARN_CLASSES,
    .gives_probabilities = 1,
    .options = tree_options,
    .params_size = sizeof(ForestParams),
    .space = "{\"min_leaf\":{\"min\":1,\"max\":200,\"log\":true},\"depth\":[0,2,3,4,6,8,12],"
             "\"prune\":[0,0.0001,0.001,0.003,0.01,0.03]}",
    .train = tree_train,
    TREES_METHODS,
};

const Learner forest_learner = {
    .name = "forest",
    .summary = "a random forest",
    .tasks = 1u << LEARN_NUMBER | 1u << LEARN_CLASSES,
    .gives_probabilities = 1,
    .options = forest_options,
    .params_size = sizeof(ForestParams),
    .space = "{\"min_leaf\":{\"min\":1,\"max\":50,\"log\":true}}",
    .train = forest_train,
    TREES_METHODS,
};
