#include "trees.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"

Trees *trees_new(int32_t n_scores, int32_t width, Err *err) {
    Trees *trees = mem_zeros(1, sizeof *trees);
    if (trees) {
        trees->n_scores = n_scores;
        trees->width = width;
        trees->scale = 1;
        trees->root = mem_zeros(1, sizeof *trees->root);
        trees->base = mem_zeros((size_t)n_scores, sizeof *trees->base);
    }
    if (trees && trees->root && trees->base) return trees;
    trees_free(trees);
    fail_nomem(err, "the trees");
    return NULL;
}

void trees_free(void *state) {
    Trees *trees = state;
    if (!trees) return;
    mem_free(trees->root);
    mem_free(trees->node);
    mem_free(trees->value);
    mem_free(trees->base);
    mem_free(trees);
}

/* Room for `wanted` entries of a block. */
static int grow(void *block, int64_t *room, int64_t wanted, size_t size) {
    void *old;
    memcpy(&old, block, sizeof old);
    if (wanted <= *room && old) return 1;
    int64_t most = *room * 2 > wanted ? *room * 2 : wanted;
    void *grown = mem_resize(old, (size_t)most, size);
    if (!grown) return 0;
    memcpy(block, &grown, sizeof grown);
    *room = most;
    return 1;
}

Status trees_reserve(Trees *trees, int64_t leaves, Err *err) {
    int64_t nodes = trees->root[trees->n_trees];
    if (nodes + 2 * leaves > INT32_MAX)
        return fail(err, ST_BADARG, "the trees would have more than 2^31 nodes");
    return grow(&trees->node, &trees->node_room, nodes + 2 * leaves, sizeof *trees->node) &&
            grow(&trees->value, &trees->value_room, (trees->n_values + leaves) * trees->width,
                sizeof *trees->value) &&
            grow(&trees->root, &trees->tree_room, trees->n_trees + 2, sizeof *trees->root)
        ? ST_OK
        : fail_nomem(err, "the trees");
}

static int64_t leaves_of(const Trees *trees, int32_t tree) {
    return (trees->root[tree + 1] - trees->root[tree] + 1) / 2;
}

Status trees_append(Trees *trees, const Trees *from, int32_t tree, Err *err) {
    int64_t leaves = leaves_of(from, tree);
    if (from->width != trees->width) return fail(err, ST_BADARG, "trees of another width");
    TRY(trees_reserve(trees, leaves, err));
    int32_t at = trees->root[trees->n_trees], start = from->root[tree], end = from->root[tree + 1];
    for (int32_t i = start; i < end; i++) {
        TreeNode node = from->node[i];
        if (node.column < 0) {
            memcpy(trees->value + trees->n_values * trees->width,
                from->value + (int64_t)node.child * from->width,
                (size_t)from->width * sizeof *trees->value);
            node.child = (int32_t)trees->n_values++;
        } else {
            node.child += at - start;
        }
        trees->node[at + i - start] = node;
    }
    trees->root[++trees->n_trees] = at + end - start;
    return ST_OK;
}

void trees_cut(Trees *trees, int32_t n_trees) {
    trees->n_trees = n_trees;
    trees->n_values = 0;
    for (int32_t t = 0; t < n_trees; t++) trees->n_values += leaves_of(trees, t);
}

/* ---- asking ---- */

float design_row_at(const DesignRow *row, int32_t column) {
    if (column < row->n_dense) return row->dense[column];
    int64_t low = 0, high = row->n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (row->col[middle] < column) low = middle + 1;
        else high = middle;
    }
    return low < row->n && row->col[low] == column ? row->val[low] : 0;
}

static int goes_left(const TreeNode *node, float x) {
    return isnan(x) ? node->missing_left : x <= node->threshold;
}

int32_t trees_leaf(const Trees *trees, int32_t tree, const DesignRow *row) {
    const TreeNode *node = &trees->node[trees->root[tree]];
    while (node->column >= 0)
        node = &trees->node[node->child + !goes_left(node, design_row_at(row, node->column))];
    return node->child;
}

void trees_score(const void *state, const DesignRow *row, double *out) {
    const Trees *trees = state;
    for (int32_t s = 0; s < trees->n_scores; s++) out[s] = 0;
    for (int32_t t = 0; t < trees->n_trees; t++) {
        const double *value = trees->value + (int64_t)trees_leaf(trees, t, row) * trees->width;
        if (trees->width == 1) out[t % trees->n_scores] += *value;
        else
            for (int32_t s = 0; s < trees->width; s++) out[s] += value[s];
    }
    for (int32_t s = 0; s < trees->n_scores; s++) out[s] = trees->base[s] + trees->scale * out[s];
}

int32_t trees_scores(const void *state) { return ((const Trees *)state)->n_scores; }

void trees_importance(const void *state, double *gain) {
    const Trees *trees = state;
    for (int32_t i = 0; i < trees->root[trees->n_trees]; i++)
        if (trees->node[i].column >= 0) gain[trees->node[i].column] += trees->node[i].gain;
}

size_t trees_memory(const void *state) {
    const Trees *trees = state;
    return sizeof *trees + (size_t)trees->root[trees->n_trees] * sizeof *trees->node +
        (size_t)(trees->n_values * trees->width) * sizeof *trees->value;
}

/* ---- stored form: counts, base, scale, roots, nodes, values ---- */

void trees_write(const void *state, Bytes *out) {
    const Trees *trees = state;
    bytes_u32(out, (uint32_t)trees->n_trees);
    bytes_u32(out, (uint32_t)trees->n_scores);
    bytes_u32(out, (uint32_t)trees->width);
    bytes_u32(out, (uint32_t)trees->n_values);
    bytes_f64(out, trees->scale);
    bytes_append(out, trees->base, (size_t)trees->n_scores * sizeof *trees->base);
    bytes_append(out, trees->root, ((size_t)trees->n_trees + 1) * sizeof *trees->root);
    bytes_append(out, trees->node, (size_t)trees->root[trees->n_trees] * sizeof *trees->node);
    bytes_append(
        out, trees->value, (size_t)(trees->n_values * trees->width) * sizeof *trees->value);
}

/* Each node but a root is the child of one node before it, so that every walk ends, and no path is
 * longer than TREES_DEPTH. depth: nodes, zeros. */
static int is_tree(const Trees *trees, int32_t t, int32_t dim, uint16_t *depth) {
    int32_t from = trees->root[t], to = trees->root[t + 1];
    if (to <= from || (int64_t)to > trees->node_room) return 0;
    depth[from] = 1;
    for (int32_t i = from; i < to; i++) {
        const TreeNode *node = &trees->node[i];
        int32_t child = node->child;
        if (!depth[i] || depth[i] > TREES_DEPTH) return 0;
        if (node->column < -1 || node->column >= dim) return 0;
        if (node->column < 0) {
            if (child < 0 || child >= trees->n_values) return 0;
            continue;
        }
        if (child <= i || child > to - 2 || depth[child] || depth[child + 1]) return 0;
        depth[child] = depth[child + 1] = (uint16_t)(depth[i] + 1);
    }
    return 1;
}

static Status check(const Trees *trees, int32_t dim, Err *err) {
    uint16_t *depth = mem_zeros((size_t)trees->node_room, sizeof *depth);
    if (!depth) return fail_nomem(err, "the trees");
    int sound = trees->root[0] == 0 && trees->root[trees->n_trees] == trees->node_room;
    for (int32_t t = 0; t < trees->n_trees && sound; t++) sound = is_tree(trees, t, dim, depth);
    mem_free(depth);
    return sound ? ST_OK : fail(err, ST_CORRUPT, "the trees are damaged");
}

static Status read_block_into(void *out, size_t count, size_t size, Reader *in, Err *err) {
    const void *block = read_block(in, count, size);
    if (!block) return fail(err, ST_CORRUPT, "the trees are cut short");
    void *copy = mem_array(count, size);
    if (!copy) return fail_nomem(err, "the trees");
    memcpy(copy, block, count * size);
    memcpy(out, &copy, sizeof copy);
    return ST_OK;
}

static Status read_arrays(Trees *trees, int32_t dim, Reader *in, Err *err) {
    mem_free(trees->base);
    mem_free(trees->root);
    trees->base = NULL;
    trees->root = NULL;
    size_t n = (size_t)trees->n_trees;
    TRY(read_block_into(&trees->base, (size_t)trees->n_scores, sizeof(double), in, err));
    TRY(read_block_into(&trees->root, n + 1, sizeof *trees->root, in, err));
    int32_t nodes = trees->root[n];
    if (nodes < 0) return fail(err, ST_CORRUPT, "the trees are damaged");
    TRY(read_block_into(&trees->node, (size_t)nodes, sizeof *trees->node, in, err));
    trees->node_room = nodes;
    TRY(read_block_into(
        &trees->value, (size_t)(trees->n_values * trees->width), sizeof(double), in, err));
    return check(trees, dim, err);
}

Status trees_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err) {
    uint32_t n_trees = read_u32(in), n_scores = read_u32(in), width = read_u32(in);
    uint32_t n_values = read_u32(in);
    double scale = read_f64(in);
    (void)n_dense;
    if (in->failed || n_trees > INT32_MAX - 1 || !n_scores || n_scores > 100000 || !width ||
        (width != 1 && width != n_scores) || n_values > INT32_MAX)
        return fail(err, ST_CORRUPT, "the trees are damaged");
    Trees *trees = trees_new((int32_t)n_scores, (int32_t)width, err);
    if (!trees) return ST_NOMEM;
    trees->n_trees = (int32_t)n_trees;
    trees->n_values = n_values;
    trees->scale = scale;
    *state = trees;
    return read_arrays(trees, dim, in, err);
}
