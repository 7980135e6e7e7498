#include "file_tree.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"

void file_tree_clear(FileTree *t) {
    void *block[] = {t->column, t->left, t->right, t->threshold, t->missing_left, t->leaf,
        t->split_cover, t->leaf_cover, t->gain};
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) mem_free(block[i]);
    *t = (FileTree){0};
}

Status file_tree_init(FileTree *t, int32_t n_splits, int32_t width, Err *err) {
    size_t n = (size_t)n_splits, leaves = n + 1;
    *t = (FileTree){.n_splits = n_splits,
        .width = width,
        .column = mem_zeros(n, sizeof *t->column),
        .left = mem_zeros(n, sizeof *t->left),
        .right = mem_zeros(n, sizeof *t->right),
        .threshold = mem_zeros(n, sizeof *t->threshold),
        .missing_left = mem_zeros(n, 1),
        .leaf = mem_zeros(leaves, (size_t)width * sizeof *t->leaf),
        .split_cover = mem_zeros(n, sizeof(double)),
        .leaf_cover = mem_zeros(leaves, sizeof(double)),
        .gain = mem_zeros(n, sizeof(double))};
    return t->column && t->left && t->right && t->threshold && t->missing_left && t->leaf &&
            t->split_cover && t->leaf_cover && t->gain
        ? ST_OK
        : fail_nomem(err, "the trees");
}

float float_at_most(double x) {
    float near = (float)x;
    return (double)near > x ? nextafterf(near, -INFINITY) : near;
}

static Status no_tree(Err *err) { return fail(err, ST_BADARG, "the model's trees are damaged"); }

/* A node's content at its place; children are given places behind all so far. */
static Status place(Trees *trees, const FileTree *t, int32_t n_columns, int32_t link, int32_t at,
    int32_t *end, int32_t *queue, Err *err) {
    TreeNode *node = &trees->node[at];
    if (link < 0) {
        if (~link > t->n_splits) return no_tree(err);
        const double *leaf = t->leaf + (int64_t)~link * t->width;
        for (int32_t s = 0; s < t->width; s++) {
            if (!isfinite(leaf[s])) return no_tree(err);
            trees->value[trees->n_values * t->width + s] = leaf[s];
        }
        *node = (TreeNode){.column = -1,
            .child = (int32_t)trees->n_values++,
            .cover = (float)t->leaf_cover[~link]};
        return ST_OK;
    }
    if (link >= t->n_splits || t->column[link] < 0 || t->column[link] >= n_columns)
        return no_tree(err);
    *node = (TreeNode){.column = t->column[link],
        .threshold = t->threshold[link],
        .child = *end,
        .missing_left = t->missing_left[link],
        .cover = (float)t->split_cover[link],
        .gain = (float)t->gain[link]};
    int32_t first = trees->root[trees->n_trees];
    if (*end + 2 - first > 2 * t->n_splits + 1) return no_tree(err); /* a node twice */
    queue[*end - first] = t->left[link];
    queue[*end + 1 - first] = t->right[link];
    *end += 2;
    return ST_OK;
}

Status file_tree_append(Trees *trees, const FileTree *t, int32_t n_columns, Err *err) {
    TRY(trees_reserve(trees, (int64_t)t->n_splits + 1, err));
    int32_t first = trees->root[trees->n_trees], end = first + 1;
    int32_t *queue = mem_array(2 * (size_t)t->n_splits + 1, sizeof *queue);
    if (!queue) return fail_nomem(err, "the trees");
    Status status = ST_OK;
    queue[0] = t->n_splits ? 0 : ~0;
    uint16_t *depth = mem_zeros(2 * (size_t)t->n_splits + 1, sizeof *depth);
    if (!depth) status = fail_nomem(err, "the trees");
    for (int32_t at = first; at < end && status == ST_OK; at++) {
        int32_t before = end;
        status = place(trees, t, n_columns, queue[at - first], at, &end, queue, err);
        for (int32_t child = before; child < end && status == ST_OK; child++) {
            depth[child - first] = (uint16_t)(depth[at - first] + 1);
            if (depth[child - first] >= TREES_DEPTH)
                status = fail(err, ST_BADARG, "a tree is deeper than %d splits", TREES_DEPTH);
        }
    }
    mem_free(depth);
    mem_free(queue);
    if (status == ST_OK && end - first != 2 * t->n_splits + 1) status = no_tree(err);
    if (status == ST_OK) trees->root[++trees->n_trees] = end;
    return status;
}

void model_file_clear(ModelFile *file) {
    trees_free(file->trees);
    linear_state_free(file->linear);
    json_decref(file->classes);
    for (int32_t i = 0; i < file->n_names && file->name; i++) mem_free(file->name[i]);
    mem_free(file->name);
    *file = (ModelFile){0};
}

Status model_file_number_names(ModelFile *file, int32_t n, Err *err) {
    file->n_names = n;
    if (!(file->name = mem_zeros((size_t)n, sizeof *file->name)))
        return fail_nomem(err, "the columns");
    for (int32_t i = 0; i < n; i++) {
        char name[16];
        text_format(name, sizeof name, "f%d", (int)i);
        if (!(file->name[i] = mem_text(name, strlen(name)))) return fail_nomem(err, "the columns");
    }
    return ST_OK;
}
