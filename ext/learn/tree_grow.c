#include "tree_grow.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"

/* ---- histograms: of each bin h, the gradients, and its rows where they are counted ---- */

enum { HIST_WEIGHT, HIST_GRADIENT };

/* Bins that have rows, of a leaf of few: the others' cells are not even cleared. */
typedef struct BinMask {
    uint64_t word[(MAX_BINS + 1) / 64];
} BinMask;
enum { FEW_ROWS = 256 };

typedef struct Split {
    double gain;         /* 0: none */
    int32_t column, bin; /* up to the bin goes left */
    int missing_left;
} Split;

typedef struct Leaf {
    int32_t node;
    int64_t from, n; /* its rows */
    int64_t depth;
    double *hist; /* dim x (MAX_BINS + 1) x cell; NULL: not kept */
    double *sum;  /* cell */
    Split best;
} Leaf;

typedef struct Growing {
    const GrowData *data;
    const GrowRules *rules;
    Task *task, *watch;
    Trees *trees;
    int32_t *row, *moved; /* rows of the leaves, one leaf behind the other */
    double *gradient;     /* n x width, and the hessians: of the present leaf, in its order */
    double *hessian;
    Leaf *leaf;
    int64_t n_leaves, leaf_room;
    size_t cell;   /* doubles of a bin: width + 1, and 1 where rows are counted */
    size_t stride; /* of a column's histogram */
    int keeps;     /* histograms */
    /* the leaf that is looked at */
    Leaf *now;
    int fills;        /* its histograms are not there yet */
    uint8_t *look;    /* dim: columns */
    Split *by_column; /* dim */
    double *scratch;  /* workers x stride: where none are kept */
    double *left;     /* workers x 2 cells */
} Growing;

static double score_of(const double *sum, int32_t width, double l2) {
    double square = 0, weight = sum[HIST_WEIGHT] + l2;
    for (int32_t k = 0; k < width; k++) square += sum[HIST_GRADIENT + k] * sum[HIST_GRADIENT + k];
    return weight > 0 ? square / weight : 0;
}

static int counts_rows(const Growing *g) { return !g->rules->rows_by_weight; }

static double rows_of(const Growing *g, const double *sum) {
    return g->rules->rows_by_weight
        ? floor(sum[HIST_WEIGHT] * (double)g->now->n / g->now->sum[HIST_WEIGHT] + .5)
        : sum[g->cell - 1];
}

static void add_row(const Growing *g, double *to, int64_t i) {
    const int32_t width = g->data->width;
    const double *from = g->gradient + i * width;
    to[HIST_WEIGHT] += g->hessian[i];
    for (int32_t k = 0; k < width; k++) to[HIST_GRADIENT + k] += from[k];
    if (counts_rows(g)) to[g->cell - 1] += 1;
}

static void fill(const Growing *g, const Leaf *leaf, int32_t column, double *hist) {
    const uint8_t *bin = bins_of(g->data->bins, column);
    const int32_t *row = g->row + leaf->from;
    const size_t cell = g->cell;
    memset(hist, 0, cell * (size_t)(g->data->bins->column[column].n + 1) * sizeof *hist);
    if (cell == 2) {
        for (int64_t i = 0; i < leaf->n; i++) {
            double *to = hist + 2 * (size_t)bin[row[i]];
            to[HIST_WEIGHT] += g->hessian[i];
            to[HIST_GRADIENT] += g->gradient[i];
        }
        return;
    }
    for (int64_t i = 0; i < leaf->n; i++) add_row(g, hist + cell * bin[row[i]], i);
}

/* The same of few rows: only the bins that they are in. */
static void fill_few(
    const Growing *g, const Leaf *leaf, int32_t column, double *hist, BinMask *mask) {
    const uint8_t *bin = bins_of(g->data->bins, column);
    const int32_t *row = g->row + leaf->from;
    *mask = (BinMask){0};
    for (int64_t i = 0; i < leaf->n; i++) {
        size_t b = bin[row[i]];
        double *to = hist + g->cell * b;
        uint64_t bit = (uint64_t)1 << (b % 64), *word = &mask->word[b / 64];
        if (!(*word & bit)) memset(to, 0, g->cell * sizeof *to);
        *word |= bit;
        add_row(g, to, i);
    }
}

/* The first bin from b on that has rows; n: none. */
static int32_t next_bin(const BinMask *mask, int32_t b, int32_t n) {
    if (!mask) return b;
    while (b < n) {
        uint64_t word = mask->word[b / 64] >> (b % 64);
        if (word) {
            b += __builtin_ctzll(word);
            return b < n ? b : n;
        }
        b = (b / 64 + 1) * 64;
    }
    return n;
}

static int has_missing(const Growing *g, const double *hist, const BinMask *mask, int32_t column) {
    int32_t n = g->data->bins->column[column].n;
    if (mask && !(mask->word[n / 64] >> (n % 64) & 1)) return 0;
    return hist[g->cell * (size_t)n + HIST_WEIGHT] > 0;
}

/* Of a leaf's score: a gain below is what sums lose by rounding. */
static const double NOISE = 1e-12;

static const double LEAST_WEIGHT = 1e-15; /* of a side, whatever the rules allow */

/* What a side of a split must have. */
static int may_be_leaf(const Growing *g, const double *sum) {
    return sum[HIST_WEIGHT] > 0 && sum[HIST_WEIGHT] >= g->rules->min_weight &&
        rows_of(g, sum) >= g->rules->min_rows;
}

typedef struct Scan {
    const double *hist;
    const BinMask *mask; /* NULL: all bins are there */
    int32_t column;
    int has_missing, missing_left;
    double *left, *right; /* room: cells */
    double parent;        /* the leaf's score */
} Scan;

/* The best threshold of a column with the missing ones on one side. */
static void scan(const Growing *g, const Scan *s, Split *best) {
    const int32_t n = g->data->bins->column[s->column].n, width = g->data->width;
    const size_t cell = g->cell;
    double *left = s->left, *right = s->right;
    memset(left, 0, cell * sizeof *left);
    if (s->missing_left) memcpy(left, s->hist + cell * (size_t)n, cell * sizeof *left);
    for (int32_t b = next_bin(s->mask, 0, n); b < n; b = next_bin(s->mask, b + 1, n)) {
        const double *own = s->hist + cell * (size_t)b;
        if (b == n - 1 && (s->missing_left || !s->has_missing)) return; /* nobody is behind it */
        if (own[HIST_WEIGHT] == 0 && b > 0) continue;
        for (size_t k = 0; k < cell; k++) left[k] += own[k];
        for (size_t k = 0; k < cell; k++) right[k] = g->now->sum[k] - left[k];
        if (!may_be_leaf(g, left) || !may_be_leaf(g, right)) continue;
        double gain = score_of(left, width, g->rules->l2) + score_of(right, width, g->rules->l2) -
            s->parent;
        if (gain > best->gain && gain > g->rules->min_gain && gain > NOISE * s->parent)
            *best = (Split){gain, s->column, b, s->missing_left};
    }
}

/* The same of one gradient, where rows are not counted: a side's least weight is one number. */
static void scan_one(const Growing *g, const Scan *s, Split *best) {
    const int32_t n = g->data->bins->column[s->column].n;
    const int32_t last = s->missing_left || !s->has_missing ? n - 1 : n;
    const double *missing = s->hist + 2 * (size_t)n, *sum = g->now->sum, l2 = g->rules->l2;
    const double rows = (g->rules->min_rows - .5) * sum[HIST_WEIGHT] / (double)g->now->n;
    const double least = fmax(fmax(g->rules->min_weight, rows), LEAST_WEIGHT);
    double weight = s->missing_left ? missing[HIST_WEIGHT] : 0;
    double gradient = s->missing_left ? missing[HIST_GRADIENT] : 0;
    double most = fmax(fmax(best->gain, g->rules->min_gain), NOISE * s->parent);
    for (int32_t b = 0; b < last; b++) {
        const double *own = s->hist + 2 * (size_t)b;
        weight += own[HIST_WEIGHT];
        gradient += own[HIST_GRADIENT];
        double other = sum[HIST_WEIGHT] - weight, rest = sum[HIST_GRADIENT] - gradient;
        if (weight < least || (own[HIST_WEIGHT] == 0 && b > 0)) continue;
        if (other < least) return;
        double gain = gradient * gradient / (weight + l2) + rest * rest / (other + l2) - s->parent;
        if (!(gain > most)) continue;
        most = gain;
        *best = (Split){gain, s->column, b, s->missing_left};
    }
}

static void column_work(void *context, int64_t at, int worker) {
    Growing *g = context;
    int32_t column = (int32_t)at;
    BinMask mask;
    Split *best = &g->by_column[column];
    *best = (Split){0};
    if (!g->look[column]) return;
    double *hist = g->keeps ? g->now->hist + g->stride * (size_t)column
                            : g->scratch + g->stride * (size_t)worker;
    int few = !g->keeps && g->now->n < FEW_ROWS;
    if (few) fill_few(g, g->now, column, hist, &mask);
    else if (g->fills) fill(g, g->now, column, hist);
    Scan s = {.hist = hist,
        .mask = few ? &mask : NULL,
        .column = column,
        .has_missing = has_missing(g, hist, few ? &mask : NULL, column),
        .left = g->left + 2 * g->cell * (size_t)worker,
        .right = g->left + 2 * g->cell * (size_t)worker + g->cell,
        .parent = score_of(g->now->sum, g->data->width, g->rules->l2)};
    void (*look_for)(const Growing *, const Scan *, Split *) = g->cell == 2 && !few ? scan_one
                                                                                    : scan;
    look_for(g, &s, best);
    if (s.has_missing) {
        s.missing_left = 1;
        look_for(g, &s, best);
    } else {
        best->missing_left = -1; /* decided by the sizes of the sides */
    }
}

/* ---- leaves ---- */

static Status run_columns(Growing *g, Err *err) {
    int32_t dim = g->data->bins->dim;
    if (g->task) return learn_run(g->task, g->now->n * dim < 500000, dim, column_work, g, err);
    for (int32_t c = 0; c < dim; c++) column_work(g, c, 0);
    return task_cancelled(g->watch) ? fail(err, ST_CANCELLED, "interrupted") : ST_OK;
}

/* `columns` of those that may be used, drawn; those that were looked at before are left out. */
static void draw_columns(Growing *g, Random *random, uint8_t *seen, int32_t columns) {
    int32_t dim = g->data->bins->dim, left = 0;
    memset(g->look, 0, (size_t)dim);
    for (int32_t c = 0; c < dim; c++) left += !seen[c];
    for (int32_t c = 0; c < dim && columns > 0; c++) {
        if (seen[c]) continue;
        if (random_below(random, (uint64_t)left--) < (uint64_t)columns) {
            g->look[c] = seen[c] = 1;
            columns--;
        }
    }
}

static void take_best(Growing *g) {
    for (int32_t c = 0; c < g->data->bins->dim; c++)
        if (g->by_column[c].gain > g->now->best.gain) g->now->best = g->by_column[c];
}

/* Columns that have nothing to split by are replaced by others, as long as there are some. */
static Status look_at_some(Growing *g, Err *err) {
    int32_t dim = g->data->bins->dim;
    Random random;
    uint8_t *seen = mem_zeros((size_t)dim, 1);
    if (!seen) return fail_nomem(err, "the tree");
    for (int32_t c = 0; c < dim; c++) seen[c] = g->data->use && !g->data->use[c];
    random_init(&random, g->rules->seed, (uint64_t)g->now->node);
    Status status = ST_OK;
    for (;;) {
        int any = 0;
        draw_columns(g, &random, seen, g->rules->columns);
        for (int32_t c = 0; c < dim; c++) any |= g->look[c];
        if (!any) break;
        status = run_columns(g, err);
        if (status != ST_OK) break;
        take_best(g);
        if (g->now->best.gain > 0) break;
    }
    mem_free(seen);
    return status;
}

static void gather(Growing *g, const Leaf *leaf) {
    const int32_t width = g->data->width;
    for (int64_t i = 0; i < leaf->n; i++) {
        int64_t row = g->row[leaf->from + i];
        g->hessian[i] = g->data->hessian[row];
        for (int32_t k = 0; k < width; k++)
            g->gradient[i * width + k] = g->data->gradient[row * width + k];
    }
}

static void sum_leaf(const Growing *g, Leaf *leaf) {
    const int32_t width = g->data->width;
    memset(leaf->sum, 0, g->cell * sizeof *leaf->sum);
    for (int64_t i = 0; i < leaf->n; i++) {
        leaf->sum[HIST_WEIGHT] += g->hessian[i];
        for (int32_t k = 0; k < width; k++)
            leaf->sum[HIST_GRADIENT + k] += g->gradient[i * width + k];
    }
    if (counts_rows(g)) leaf->sum[g->cell - 1] = (double)leaf->n;
}

/* Are all its examples alike? Then there is nothing to gain. */
static int is_pure(const Growing *g, const Leaf *leaf) {
    const int32_t width = g->data->width;
    if (width == 1) return 0;
    for (int32_t k = 0; k < width; k++)
        if (-leaf->sum[HIST_GRADIENT + k] >= leaf->sum[HIST_WEIGHT]) return 1;
    return 0;
}

/* May it be split at all? */
static int is_final(const Growing *g, const Leaf *leaf) {
    int64_t depth = g->rules->max_depth ? g->rules->max_depth : TREES_DEPTH - 1;
    return leaf->n < 2 || leaf->depth >= depth || is_pure(g, leaf);
}

/* The leaf's best split, of its sums and, where they are kept, histograms; fills: these are not
 * there yet. Kept ones are filled of a final leaf, too: its neighbour's follow from them. */
static Status look(Growing *g, Leaf *leaf, int fills, Err *err) {
    g->now = leaf;
    g->fills = fills || !g->keeps;
    leaf->best = (Split){0};
    if (fills) {
        gather(g, leaf);
        sum_leaf(g, leaf);
    }
    int final = is_final(g, leaf);
    if (final && !(g->keeps && fills)) return ST_OK;
    if (g->rules->columns) return look_at_some(g, err);
    for (int32_t c = 0; c < g->data->bins->dim; c++) g->look[c] = !g->data->use || g->data->use[c];
    TRY(run_columns(g, err));
    if (!final) take_best(g);
    return ST_OK;
}

static Status add_leaf(Growing *g, Leaf **out, Err *err) {
    if (g->n_leaves == g->leaf_room) {
        int64_t room = g->leaf_room ? 2 * g->leaf_room : 64;
        void *grown = mem_resize(g->leaf, (size_t)room, sizeof *g->leaf);
        if (!grown) return fail_nomem(err, "the tree");
        g->leaf = grown;
        g->leaf_room = room;
    }
    Leaf *leaf = &g->leaf[g->n_leaves];
    *leaf = (Leaf){0};
    leaf->sum = mem_zeros(g->cell, sizeof *leaf->sum);
    if (g->keeps)
        leaf->hist = mem_array((size_t)g->data->bins->dim, g->stride * sizeof *leaf->hist);
    g->n_leaves++;
    *out = leaf;
    return leaf->sum && (!g->keeps || leaf->hist) ? ST_OK : fail_nomem(err, "the tree");
}

/* ---- splitting ---- */

static int goes_left(const Growing *g, const Split *split, int32_t row) {
    int32_t bin = bins_of(g->data->bins, split->column)[row];
    if (bin == g->data->bins->column[split->column].n) return split->missing_left;
    return bin <= split->bin;
}

/* The leaf's rows by side, each in their order; returns how many go left. */
static int64_t part_rows(Growing *g, const Leaf *leaf) {
    int32_t *row = g->row + leaf->from;
    int64_t left = 0, right = 0;
    for (int64_t i = 0; i < leaf->n; i++) {
        if (goes_left(g, &leaf->best, row[i])) row[left++] = row[i];
        else g->moved[right++] = row[i];
    }
    memcpy(row + left, g->moved, (size_t)right * sizeof *row);
    return left;
}

static void write_split(Growing *g, const Leaf *leaf, int32_t child) {
    TreeNode *node = &g->trees->node[leaf->node];
    const Split *split = &leaf->best;
    const ColumnBins *bins = &g->data->bins->column[split->column];
    node->column = split->column;
    node->threshold = split->bin < bins->n - 1 ? bins->upper[split->bin] : INFINITY;
    node->child = child;
    node->missing_left = split->missing_left;
    node->gain = (float)split->gain;
}

/* A leaf's place: a child of the node that was split. */
static void place_leaf(
    Growing *g, Leaf *leaf, int32_t node, int64_t from, int64_t n, int64_t depth) {
    leaf->node = node;
    leaf->from = from;
    leaf->n = n;
    leaf->depth = depth;
    g->trees->node[node] = (TreeNode){.column = -1};
}

/* What the larger side has is what the parent had without the smaller one: `parent` becomes it. */
static void subtract(double *parent, const double *part, size_t n) {
    for (size_t i = 0; i < n; i++) parent[i] -= part[i];
}

/* leaf has the parent's histograms and sums, other has room for those of the smaller side. */
static Status look_at_both(Growing *g, Leaf *leaf, Leaf *other, Err *err) {
    const size_t cell = g->cell;
    Leaf *small = leaf->n <= other->n ? leaf : other, *large = small == leaf ? other : leaf;
    if (small == leaf) { /* the parent's go to the larger one */
        double *hist = leaf->hist, *sum = leaf->sum;
        leaf->hist = other->hist;
        leaf->sum = other->sum;
        other->hist = hist;
        other->sum = sum;
    }
    TRY(look(g, small, 1, err));
    subtract(large->sum, small->sum, cell);
    for (int32_t c = 0; c < g->data->bins->dim; c++)
        if (g->look[c])
            subtract(large->hist + g->stride * (size_t)c, small->hist + g->stride * (size_t)c,
                cell * (size_t)(g->data->bins->column[c].n + 1));
    return look(g, large, 0, err);
}

static Status split_leaf(Growing *g, int64_t at, Err *err) {
    Leaf *other;
    TRY(trees_reserve(g->trees, g->n_leaves + 1, err));
    TRY(add_leaf(g, &other, err));
    Leaf *leaf = &g->leaf[at];
    int32_t first = g->trees->root[g->trees->n_trees];
    int32_t child = first + 2 * (int32_t)(g->n_leaves - 1) - 1;
    int64_t from = leaf->from, n = leaf->n, depth = leaf->depth + 1;
    int64_t left = part_rows(g, leaf);
    if (leaf->best.missing_left < 0) leaf->best.missing_left = 2 * left >= n;
    write_split(g, leaf, child);
    place_leaf(g, leaf, child, from, left, depth);
    place_leaf(g, other, child + 1, from + left, n - left, depth);
    if (g->keeps) return look_at_both(g, leaf, other, err);
    TRY(look(g, leaf, 1, err));
    return look(g, other, 1, err);
}

static int64_t best_leaf(const Growing *g) {
    int64_t best = -1;
    for (int64_t i = 0; i < g->n_leaves; i++)
        if (g->leaf[i].best.gain > 0 &&
            (best < 0 || g->leaf[i].best.gain > g->leaf[best].best.gain))
            best = i;
    return best;
}

static Status start(Growing *g, Err *err) {
    const Bins *bins = g->data->bins;
    Leaf *leaf;
    int64_t n = 0;
    for (int64_t i = 0; i < bins->n; i++)
        if (g->data->hessian[i] > 0) g->row[n++] = (int32_t)i;
    TRY(trees_reserve(g->trees, 1, err));
    TRY(add_leaf(g, &leaf, err));
    place_leaf(g, leaf, g->trees->root[g->trees->n_trees], 0, n, 0);
    return look(g, leaf, 1, err);
}

static Status grow(Growing *g, Err *err) {
    const GrowRules *rules = g->rules;
    TRY(start(g, err));
    /* without a limit every leaf is split in the end, whichever comes first */
    for (int64_t at = 0; !rules->max_leaves && at < g->n_leaves;) {
        if (g->leaf[at].best.gain > 0) TRY(split_leaf(g, at, err));
        else at++;
    }
    while (rules->max_leaves && g->n_leaves < rules->max_leaves) {
        int64_t at = best_leaf(g);
        if (at < 0) return ST_OK;
        TRY(split_leaf(g, at, err));
    }
    return ST_OK;
}

/* ---- the finished tree ---- */

static void set_covers(Trees *trees) {
    for (int32_t i = trees->root[trees->n_trees + 1] - 1; i >= trees->root[trees->n_trees]; i--) {
        TreeNode *node = &trees->node[i];
        if (node->column >= 0)
            node->cover = trees->node[node->child].cover + trees->node[node->child + 1].cover;
    }
}

static void finish(Growing *g, int32_t *leaf_of) {
    Trees *trees = g->trees;
    const int32_t width = g->data->width;
    for (int64_t l = 0; l < g->n_leaves; l++) {
        const Leaf *leaf = &g->leaf[l];
        TreeNode *node = &trees->node[leaf->node];
        double *value = trees->value + trees->n_values * width;
        double weight = leaf->sum[HIST_WEIGHT] + g->rules->l2;
        for (int32_t k = 0; k < width; k++)
            value[k] = weight > 0 ? -leaf->sum[HIST_GRADIENT + k] / weight : 0;
        node->child = (int32_t)trees->n_values++;
        node->cover = (float)leaf->sum[HIST_WEIGHT];
        for (int64_t i = 0; leaf_of && i < leaf->n; i++)
            leaf_of[g->row[leaf->from + i]] = node->child;
    }
    trees->root[trees->n_trees + 1] = trees->root[trees->n_trees] + 2 * (int32_t)g->n_leaves - 1;
    set_covers(trees);
    trees->n_trees++;
}

/* Rows that were left out walk down the tree by their bins. */
static void walk_others(
    const Growing *g, int32_t tree, const int32_t *bin_of_node, int32_t *leaf_of) {
    const Trees *trees = g->trees;
    const Bins *bins = g->data->bins;
    int32_t first = trees->root[tree];
    for (int64_t i = 0; i < bins->n; i++) {
        if (g->data->hessian[i] > 0) continue;
        int32_t at = first;
        while (trees->node[at].column >= 0) {
            const TreeNode *node = &trees->node[at];
            int32_t bin = bins_of(bins, node->column)[i];
            int left = bin == bins->column[node->column].n ? node->missing_left
                                                           : bin <= bin_of_node[at - first];
            at = node->child + !left;
        }
        leaf_of[i] = trees->node[at].child;
    }
}

/* Of a threshold the bin that it ends. */
static int32_t bin_of_threshold(const ColumnBins *bins, float threshold) {
    int32_t b = 0;
    while (b < bins->n - 1 && bins->upper[b] < threshold) b++;
    return b;
}

static Status place_others(const Growing *g, int32_t *leaf_of, Err *err) {
    int32_t tree = g->trees->n_trees - 1, first = g->trees->root[tree];
    int32_t n = g->trees->root[tree + 1] - first;
    int32_t *bin = mem_zeros((size_t)n, sizeof *bin);
    if (!bin) return fail_nomem(err, "the tree");
    for (int32_t i = 0; i < n; i++) {
        const TreeNode *node = &g->trees->node[first + i];
        if (node->column >= 0)
            bin[i] = bin_of_threshold(&g->data->bins->column[node->column], node->threshold);
    }
    walk_others(g, tree, bin, leaf_of);
    mem_free(bin);
    return ST_OK;
}

static void growing_clear(Growing *g) {
    for (int64_t i = 0; i < g->n_leaves; i++) {
        mem_free(g->leaf[i].hist);
        mem_free(g->leaf[i].sum);
    }
    mem_free(g->leaf);
    mem_free(g->row);
    mem_free(g->moved);
    mem_free(g->gradient);
    mem_free(g->hessian);
    mem_free(g->look);
    mem_free(g->by_column);
    mem_free(g->scratch);
    mem_free(g->left);
}

/* Histograms of all leaves are kept where they take no more than this. */
static const double HISTOGRAMS = 1 << 30;

static Status prepare(Growing *g, Err *err) {
    const Bins *bins = g->data->bins;
    size_t n = (size_t)bins->n, dim = (size_t)bins->dim;
    size_t cell = g->cell = (size_t)g->data->width + 1 + (size_t)counts_rows(g);
    size_t workers = g->task && g->task->threads > 1 ? (size_t)g->task->threads : 1;
    g->stride = (MAX_BINS + 1) * cell;
    g->keeps = g->rules->max_leaves && !g->rules->columns &&
        (double)g->stride * (double)dim * 8 * (double)g->rules->max_leaves < HISTOGRAMS;
    g->row = mem_array(n, sizeof *g->row);
    g->moved = mem_array(n, sizeof *g->moved);
    g->gradient = mem_array(n, (size_t)g->data->width * sizeof *g->gradient);
    g->hessian = mem_array(n, sizeof *g->hessian);
    g->look = mem_zeros(dim, 1);
    g->by_column = mem_zeros(dim, sizeof *g->by_column);
    g->scratch = mem_array(g->keeps ? 1 : workers, g->stride * sizeof *g->scratch);
    g->left = mem_array(workers, 2 * cell * sizeof *g->left);
    return g->row && g->moved && g->gradient && g->hessian && g->look && g->by_column &&
            g->scratch && g->left
        ? ST_OK
        : fail_nomem(err, "the tree");
}

Status tree_grow(Trees *trees, const GrowData *data, const GrowRules *rules, Task *task,
    Task *watch, int32_t *leaf_of, Err *err) {
    Growing g = {.data = data, .rules = rules, .task = task, .watch = watch, .trees = trees};
    Status status = prepare(&g, err);
    if (status == ST_OK) status = grow(&g, err);
    if (status == ST_OK) {
        finish(&g, leaf_of);
        if (leaf_of) status = place_others(&g, leaf_of, err);
    }
    growing_clear(&g);
    return status;
}
