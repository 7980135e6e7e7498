/* Minimal cost-complexity pruning (Breiman et al. 1984). */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "tree_grow.h"

typedef struct Pruning {
    const Trees *trees;
    Trees *out;
    double cost;     /* of a leaf, in units of gain */
    double *benefit; /* nodes: what its splits are worth; 0: it becomes a leaf */
    double *mean;    /* nodes x width: of the leaves below, by cover */
} Pruning;

/* Children lie behind their parents. */
static void weigh(Pruning *p) {
    const Trees *trees = p->trees;
    const int32_t width = trees->width;
    for (int32_t i = trees->root[1] - 1; i >= 0; i--) {
        const TreeNode *node = &trees->node[i];
        double *mean = p->mean + (int64_t)i * width;
        if (node->column < 0) {
            memcpy(mean, trees->value + (int64_t)node->child * width, (size_t)width * sizeof *mean);
            continue;
        }
        const TreeNode *left = &trees->node[node->child], *right = left + 1;
        double all = (double)left->cover + right->cover;
        double share = all > 0 ? left->cover / all : .5;
        for (int32_t s = 0; s < width; s++)
            mean[s] = share * p->mean[(int64_t)node->child * width + s] +
                (1 - share) * p->mean[(int64_t)(node->child + 1) * width + s];
        p->benefit[i] = fmax(
            0, node->gain - p->cost + p->benefit[node->child] + p->benefit[node->child + 1]);
    }
}

/* From the root down; queue: the old node at each new place. */
static void copy(Pruning *p, int32_t *queue) {
    Trees *out = p->out;
    int32_t end = 1;
    queue[0] = 0;
    for (int32_t at = 0; at < end; at++) {
        TreeNode node = p->trees->node[queue[at]];
        if (node.column >= 0 && p->benefit[queue[at]] > 0) {
            queue[end] = node.child;
            queue[end + 1] = node.child + 1;
            node.child = end;
            end += 2;
        } else {
            memcpy(out->value + out->n_values * out->width,
                p->mean + (int64_t)queue[at] * out->width, (size_t)out->width * sizeof *out->value);
            node = (TreeNode){.column = -1, .child = (int32_t)out->n_values++, .cover = node.cover};
        }
        out->node[at] = node;
    }
    out->root[++out->n_trees] = end;
}

Status tree_prune(Trees **trees, double cost, Err *err) {
    const Trees *from = *trees;
    size_t n = (size_t)from->root[1], width = (size_t)from->width;
    int32_t *queue = mem_array(n, sizeof *queue);
    Pruning p = {.trees = from,
        .out = trees_new(from->n_scores, from->width, err),
        .cost = cost,
        .benefit = mem_zeros(n, sizeof(double)),
        .mean = mem_zeros(n, width * sizeof(double))};
    Status status = queue && p.out && p.benefit && p.mean
        ? trees_reserve(p.out, from->n_values, err)
        : fail_nomem(err, "the trees");
    if (status == ST_OK) {
        weigh(&p);
        copy(&p, queue);
        p.out->scale = from->scale;
        trees_free(*trees);
        *trees = p.out;
        p.out = NULL;
    }
    trees_free(p.out);
    mem_free(queue);
    mem_free(p.benefit);
    mem_free(p.mean);
    return status;
}
