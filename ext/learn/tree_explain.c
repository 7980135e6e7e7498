/* SHAP values of trees (Lundberg, Erion and Lee 2018, "Consistent individualized feature
 * attribution for tree ensembles", algorithm 2): of every path the shares of the subsets of its
 * columns that flow down it are kept while the tree is walked, columns that are not in a subset
 * going both ways by their covers. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "trees.h"

/* A column on the path: the share of subsets that flow on where it is left out (zero) or known
 * (one), and the weight of subsets by their size. */
typedef struct PathStep {
    int32_t column;
    double zero, one, weight;
} PathStep;

typedef struct Walk {
    const Trees *trees;
    const DesignRow *row;
    int32_t component; /* of a leaf's numbers */
    double *part;
} Walk;

/* The path gets one step more, path[n]. */
static void extend(PathStep *path, int n, double zero, double one, int32_t column) {
    path[n] = (PathStep){column, zero, one, n == 0};
    for (int i = n - 1; i >= 0; i--) {
        path[i + 1].weight += one * path[i].weight * (i + 1) / (n + 1);
        path[i].weight = zero * path[i].weight * (n - i) / (n + 1);
    }
}

/* Step `at` is taken out of the n + 1 steps. */
static void unwind(PathStep *path, int n, int at) {
    double one = path[at].one, zero = path[at].zero, next = path[n].weight;
    for (int i = n - 1; i >= 0; i--) {
        if (one != 0) {
            double own = path[i].weight;
            path[i].weight = next * (n + 1) / ((i + 1) * one);
            next = own - path[i].weight * zero * (n - i) / (n + 1);
        } else {
            path[i].weight = path[i].weight * (n + 1) / (zero * (n - i));
        }
    }
    for (int i = at; i < n; i++) {
        path[i].column = path[i + 1].column;
        path[i].zero = path[i + 1].zero;
        path[i].one = path[i + 1].one;
    }
}

/* The sum of the weights without step `at`. */
static double unwound_sum(const PathStep *path, int n, int at) {
    double one = path[at].one, zero = path[at].zero, next = path[n].weight, total = 0;
    for (int i = n - 1; i >= 0; i--) {
        if (one != 0) {
            double own = next * (n + 1) / ((i + 1) * one);
            total += own;
            next = path[i].weight - own * zero * (n - i) / (n + 1);
        } else if (zero != 0) {
            total += path[i].weight * (n + 1) / (zero * (n - i));
        }
    }
    return total;
}

/* path: of the parent, n steps; room for a copy stands behind it. */
static void walk(const Walk *w, int32_t at, const PathStep *parent, int n, double zero, double one,
    int32_t column) {
    PathStep *path = (PathStep *)(uintptr_t)parent + n;
    memcpy(path, parent, (size_t)n * sizeof *path);
    extend(path, n, zero, one, column);
    const TreeNode *node = &w->trees->node[at];
    if (node->column < 0) {
        double value = w->trees->value[(int64_t)node->child * w->trees->width + w->component];
        for (int i = 1; i <= n; i++)
            w->part[path[i].column] += unwound_sum(path, n, i) * (path[i].one - path[i].zero) *
                value;
        return;
    }
    float x = design_row_at(w->row, node->column);
    int left = isnan(x) ? node->missing_left : x <= node->threshold;
    int32_t hot = node->child + !left, cold = node->child + left;
    double in_zero = 1, in_one = 1;
    int again = 1;
    while (again <= n && path[again].column != node->column) again++;
    if (again <= n) { /* the column is on the path already: its steps become one */
        in_zero = path[again].zero;
        in_one = path[again].one;
        unwind(path, n, again);
        n--;
    }
    double cover = node->cover;
    walk(w, hot, path, n + 1, in_zero * w->trees->node[hot].cover / cover, in_one, node->column);
    walk(w, cold, path, n + 1, in_zero * w->trees->node[cold].cover / cover, 0, node->column);
}

static int depth_of(const Trees *trees, int32_t at) {
    const TreeNode *node = &trees->node[at];
    if (node->column < 0) return 0;
    int left = depth_of(trees, node->child), right = depth_of(trees, node->child + 1);
    return 1 + (left > right ? left : right);
}

/* The mean of the leaves by their covers. */
static double mean_of(const Trees *trees, int32_t at, int32_t component) {
    const TreeNode *node = &trees->node[at];
    if (node->column < 0) return trees->value[(int64_t)node->child * trees->width + component];
    const TreeNode *left = &trees->node[node->child], *right = left + 1;
    return ((double)left->cover * mean_of(trees, node->child, component) +
               (double)right->cover * mean_of(trees, node->child + 1, component)) /
        ((double)left->cover + (double)right->cover);
}

Status trees_explain(
    const void *state, const DesignRow *row, int32_t score, double *part, double *base, Err *err) {
    const Trees *trees = state;
    int depth = 0;
    for (int32_t t = 0; t < trees->n_trees; t++) {
        int own = depth_of(trees, trees->root[t]);
        if (own > depth) depth = own;
    }
    /* the paths of all ancestors, one behind the other, each one step longer */
    size_t room = (size_t)(depth + 3) * (size_t)(depth + 4) / 2;
    PathStep *path = mem_array(room, sizeof *path);
    if (!path) return fail_nomem(err, "the explanation");
    *base = 0;
    for (int32_t t = 0; t < trees->n_trees; t++) {
        if (trees->width == 1 && t % trees->n_scores != score) continue;
        Walk w = {trees, row, trees->width == 1 ? 0 : score, part};
        *base += mean_of(trees, trees->root[t], w.component);
        walk(&w, trees->root[t], path, 0, 1, 1, -1);
    }
    int32_t most = row->n_dense;
    for (int32_t i = 0; i < trees->root[trees->n_trees]; i++)
        if (trees->node[i].column >= most) most = trees->node[i].column + 1;
    for (int32_t c = 0; c < most; c++) part[c] *= trees->scale;
    *base = trees->base[score] + trees->scale * *base;
    mem_free(path);
    return ST_OK;
}
