/* Trees as ONNX's TreeEnsembleRegressor: a list for each attribute of a node, one for each of a
 * leaf. */
#include <string.h>

#include "../base/memory.h"
#include "trees.h"

typedef struct Lists {
    int64_t *tree, *id, *feature, *left, *right, *missing; /* nodes */
    double *threshold;
    const char **mode;
    int64_t *leaf_tree, *leaf_id, *target; /* leaves x width */
    double *weight;
    int64_t n, n_leaves;
} Lists;

static void lists_clear(Lists *l) {
    void *block[] = {l->tree, l->id, l->feature, l->left, l->right, l->missing, l->threshold,
        (void *)l->mode, l->leaf_tree, l->leaf_id, l->target, l->weight};
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) mem_free(block[i]);
}

static Status lists_init(Lists *l, const Trees *trees, Err *err) {
    size_t n = (size_t)trees->root[trees->n_trees],
           leaves = n * (size_t)trees->width; /* more than there are */
    *l = (Lists){.tree = mem_array(n, 8),
        .id = mem_array(n, 8),
        .feature = mem_array(n, 8),
        .left = mem_array(n, 8),
        .right = mem_array(n, 8),
        .missing = mem_array(n, 8),
        .threshold = mem_array(n, sizeof(double)),
        .mode = mem_array(n, sizeof(char *)),
        .leaf_tree = mem_array(leaves, 8),
        .leaf_id = mem_array(leaves, 8),
        .target = mem_array(leaves, 8),
        .weight = mem_array(leaves, sizeof(double))};
    return l->tree && l->id && l->feature && l->left && l->right && l->missing && l->threshold &&
            l->mode && l->leaf_tree && l->leaf_id && l->target && l->weight
        ? ST_OK
        : fail_nomem(err, "the model");
}

static void add_leaf(Lists *l, const Trees *trees, int32_t t, int64_t id, const TreeNode *node) {
    for (int32_t s = 0; s < trees->width; s++) {
        l->leaf_tree[l->n_leaves] = t;
        l->leaf_id[l->n_leaves] = id;
        l->target[l->n_leaves] = trees->width == 1 ? t % trees->n_scores : s;
        l->weight[l->n_leaves++] = trees->scale *
            trees->value[(int64_t)node->child * trees->width + s];
    }
}

static void fill(Lists *l, const Trees *trees) {
    for (int32_t t = 0; t < trees->n_trees; t++) {
        int32_t first = trees->root[t];
        for (int32_t i = first; i < trees->root[t + 1]; i++) {
            const TreeNode *node = &trees->node[i];
            int is_leaf = node->column < 0;
            int64_t at = l->n++;
            l->tree[at] = t;
            l->id[at] = i - first;
            l->feature[at] = is_leaf ? 0 : node->column;
            l->left[at] = is_leaf ? 0 : node->child - first;
            l->right[at] = is_leaf ? 0 : node->child + 1 - first;
            l->missing[at] = is_leaf ? 0 : node->missing_left;
            l->threshold[at] = is_leaf ? 0 : node->threshold;
            l->mode[at] = is_leaf ? "LEAF" : "BRANCH_LEQ";
            if (is_leaf) add_leaf(l, trees, t, i - first, node);
        }
    }
}

Status trees_graph(const void *state, OnnxGraph *g, Err *err) {
    const Trees *trees = state;
    Lists l;
    Status status = lists_init(&l, trees, err);
    if (status == ST_OK) {
        fill(&l, trees);
        onnx_int(g, "n_targets", trees->n_scores);
        onnx_text(g, "aggregate_function", "SUM");
        onnx_text(g, "post_transform", "NONE");
        onnx_floats(g, "base_values", trees->base, trees->n_scores);
        onnx_ints(g, "nodes_treeids", l.tree, l.n);
        onnx_ints(g, "nodes_nodeids", l.id, l.n);
        onnx_ints(g, "nodes_featureids", l.feature, l.n);
        onnx_ints(g, "nodes_truenodeids", l.left, l.n);
        onnx_ints(g, "nodes_falsenodeids", l.right, l.n);
        onnx_ints(g, "nodes_missing_value_tracks_true", l.missing, l.n);
        onnx_floats(g, "nodes_values", l.threshold, l.n);
        onnx_texts(g, "nodes_modes", l.mode, l.n);
        onnx_ints(g, "target_treeids", l.leaf_tree, l.n_leaves);
        onnx_ints(g, "target_nodeids", l.leaf_id, l.n_leaves);
        onnx_ints(g, "target_ids", l.target, l.n_leaves);
        onnx_floats(g, "target_weights", l.weight, l.n_leaves);
        onnx_node_ml(g, "TreeEnsembleRegressor", ONNX_IN("x"), "tree_sums");
        onnx_cast(g, "tree_sums", ONNX_DOUBLE, "scores");
    }
    lists_clear(&l);
    return status;
}
