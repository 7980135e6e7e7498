/* Trees in a flat form, so that asking them needs nothing else.
 *
 * A row goes left where its column is <= the threshold, and where it is missing to the side that
 * was better in training. A leaf has `width` numbers. Boosted trees have one, and tree t adds to
 * score t mod n_scores; those of a forest have all scores, and are averaged (scale). */
#ifndef REC_TREES_H
#define REC_TREES_H

#include "learner.h"

enum { TREES_DEPTH = 1000 }; /* of a tree: splits on a path */

typedef struct TreeNode {
    int32_t column; /* -1: a leaf */
    float threshold;
    int32_t child; /* the left one, the right one is behind it; of a leaf its place in value */
    int32_t missing_left;
    float cover; /* weight of the examples that came by */
    float gain;  /* what the split gave */
} TreeNode;

typedef struct Trees {
    int32_t n_trees, n_scores, width;
    int32_t *root;  /* n_trees + 1: first nodes */
    TreeNode *node; /* root[n_trees] */
    double *value;  /* n_values x width */
    int64_t n_values;
    double *base; /* n_scores */
    double scale; /* of the sum of the trees */
    int64_t node_room, value_room, tree_room;
} Trees;

Trees *trees_new(int32_t n_scores, int32_t width, Err *err);
/* Room for a tree of so many leaves; *node and *value: where it begins. */
Status trees_reserve(Trees *trees, int64_t leaves, Err *err);
/* Append a tree of another set of the same width. */
Status trees_append(Trees *trees, const Trees *from, int32_t tree, Err *err);
/* Only the first trees stay. */
void trees_cut(Trees *trees, int32_t n_trees);

/* The leaf of a row: its place in value. */
int32_t trees_leaf(const Trees *trees, int32_t tree, const DesignRow *row);
/* A column of a row; sparse columns that are not there are 0. */
float design_row_at(const DesignRow *row, int32_t column);

/* What a Learner needs of them. */
void trees_score(const void *state, const DesignRow *row, double *out);
int32_t trees_scores(const void *state);
/* SHAP values by the covers (Lundberg et al. 2018, algorithm 2): they and base sum to the score.
 * O(trees * leaves * depth^2). */
Status trees_explain(
    const void *state, const DesignRow *row, int32_t score, double *part, double *base, Err *err);
void trees_importance(const void *state, double *gain);
/* TreeEnsembleRegressor, whose sums are float32. */
Status trees_graph(const void *state, OnnxGraph *g, Err *err);
void trees_write(const void *state, Bytes *out);
Status trees_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err);
void trees_free(void *state);
size_t trees_memory(const void *state);

#define TREES_METHODS \
    .likes_numbers = 1, .score = trees_score, .n_scores = trees_scores, .explain = trees_explain, \
    .importance = trees_importance, .graph = trees_graph, .write = trees_write, \
    .read = trees_read, .free_state = trees_free, .memory = trees_memory

#endif
