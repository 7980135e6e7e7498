/* Walking the graph: greedily down the upper levels, then best-first on level 0 with the ef nearest
 * allowed rows kept.
 *
 * Rows that are not allowed lead the walk on but are not kept, so that it goes on until ef allowed
 * rows are found. Its cost grows as the share of allowed rows falls, and scanning them costs less
 * the fewer they are; where the two meet, and whenever the walk has cost as much as the scan would,
 * the allowed rows are scanned. So k rows come back whenever k are allowed, and a filter never
 * costs much more than an exact search over what it leaves. */
#include <math.h>
#include <string.h>

#include "../base/bits.h"
#include "../base/memory.h"
#include "../math/kernels.h"
#include "graph.h"

/* STEPS: distances that a walk computes for each row kept, about (measured, HNSW32:
 * docs/benchmarks.md). */
enum { DEFAULT_EF = 64, BEAM = 8, STEPS = 20, MAX_BATCH = 1024, LINE = 64, LINES_AHEAD = 8 };

typedef struct Near {
    float distance; /* smaller is nearer; by this alone the walk is led */
    int32_t node;
} Near;

typedef struct Heap {
    Near *item;
    size_t len;
    size_t capacity;
} Heap;

typedef struct Walk {
    const AnnVectors *vectors;
    const Graph *graph;
    const AnnSearch *search;
    const float *query;
    int by_codes; /* else by the rows */
    CodedQuery coded;
    int8_t *narrow;
    int16_t *wide;  /* the query's codes, padded */
    uint64_t *seen; /* a bit a node */
    Heap next;      /* nearest on top */
    Heap kept;      /* farthest on top, at most ef */
    size_t ef;
    Near starts[BEAM];
    float *scratch; /* dim */
    int64_t steps;
    int64_t budget;
    int failed;
} Walk;

/* Does a stand above b? */
static int above(const Near *a, const Near *b, int nearest_on_top) {
    return nearest_on_top ? a->distance < b->distance : a->distance > b->distance;
}

static void sift_up(Near *item, size_t at, int nearest_on_top) {
    Near moved = item[at];
    for (; at > 0 && above(&moved, &item[(at - 1) / 2], nearest_on_top); at = (at - 1) / 2)
        item[at] = item[(at - 1) / 2];
    item[at] = moved;
}

static void sift_down(Near *item, size_t len, int nearest_on_top) {
    Near moved = item[0];
    size_t at = 0;
    for (size_t child = 1; child < len; child = 2 * at + 1) {
        if (child + 1 < len && above(&item[child + 1], &item[child], nearest_on_top)) child++;
        if (!above(&item[child], &moved, nearest_on_top)) break;
        item[at] = item[child];
        at = child;
    }
    item[at] = moved;
}

static int heap_push(Heap *heap, Near near, int nearest_on_top) {
    if (heap->len == heap->capacity) {
        size_t capacity = heap->capacity * 2 + 256;
        Near *grown = mem_resize(heap->item, capacity, sizeof *grown);
        if (!grown) return 0;
        heap->item = grown;
        heap->capacity = capacity;
    }
    heap->item[heap->len] = near;
    sift_up(heap->item, heap->len++, nearest_on_top);
    return 1;
}

static Near heap_pop(Heap *heap, int nearest_on_top) {
    Near top = heap->item[0];
    heap->item[0] = heap->item[--heap->len];
    if (heap->len) sift_down(heap->item, heap->len, nearest_on_top);
    return top;
}

/* From the codes, to their precision; |x|^2 is left out of |x - y|^2, since it moves no row before
 * another. */
static float coded_distance(const Walk *walk, int32_t node) {
    const RowCodes *codes = &walk->graph->codes;
    const CodeBound *bound = row_code_bound(codes, node);
    float dot = walk->coded.scale * bound->scale *
        (float)kernels()->code_dot(row_code(codes, node), walk->wide, codes->padded);
    if (walk->vectors->metric == ANN_L2) return bound->norm * bound->norm - 2 * dot;
    if (walk->vectors->metric == ANN_IP) return -dot;
    return bound->norm > 0 ? -dot / bound->norm : 0;
}

static float distance(const Walk *walk, int32_t node) {
    if (walk->by_codes) return coded_distance(walk, node);
    const AnnVectors *vectors = walk->vectors;
    const float *row = ann_vector(vectors, node, walk->scratch);
    if (vectors->metric == ANN_L2)
        return kernels()->l2_squared_float(walk->query, row, (size_t)vectors->dim);
    float dot = kernels()->dot_float(walk->query, row, (size_t)vectors->dim);
    if (vectors->metric == ANN_IP) return -dot;
    return vectors->norm[node] > 0 ? -dot / (float)vectors->norm[node] : 0;
}

static int first_visit(Walk *walk, int32_t node) {
    if (bits_have(walk->seen, node)) return 0;
    bits_add(walk->seen, node);
    return 1;
}

/* May the node be kept: is it allowed, or a row beside it? Those that are looked at cost the walk
 * steps. */
static int stands_for_allowed(Walk *walk, int32_t node) {
    const uint64_t *allowed = walk->search->allowed;
    const int32_t *row;
    if (ann_allows(allowed, node)) return 1;
    int64_t n = row_groups_of(&walk->graph->groups, node, &row);
    for (int64_t i = 0; row && i < n; i++)
        if (ann_allows(allowed, row[i])) return 1;
    walk->steps += n / 16;
    return 0;
}

/* A row that is near enough leads the walk on, and is kept if it is allowed. */
static void offer(Walk *walk, int32_t node, float d) {
    if (walk->kept.len >= walk->ef && !(d < walk->kept.item[0].distance)) return;
    walk->failed |= !heap_push(&walk->next, (Near){d, node}, 1);
    if (!stands_for_allowed(walk, node)) return;
    if (walk->kept.len >= walk->ef) {
        walk->kept.item[0] = (Near){d, node};
        sift_down(walk->kept.item, walk->kept.len, 0);
    } else {
        walk->failed |= !heap_push(&walk->kept, (Near){d, node}, 0);
    }
}

/* Ask for the lines of a row before they are needed. */
static void ask_for(const Walk *walk, int32_t node) {
    const char *row = walk->by_codes ? (const char *)row_code_bound(&walk->graph->codes, node)
                                     : ann_stored(walk->vectors, node);
    size_t bytes = walk->by_codes ? walk->graph->codes.stride : walk->vectors->stride,
           lines = (bytes + LINE - 1) / LINE;
    for (size_t i = 0; i < lines && i < LINES_AHEAD; i++) __builtin_prefetch(row + i * LINE);
}

static void expand(Walk *walk, int32_t node, int level) {
    const int32_t *link = graph_links(walk->graph, node, level);
    int32_t fresh[MAX_BATCH], n = *link++, n_fresh = 0;
    for (int32_t i = 0; i < n; i++)
        if (first_visit(walk, link[i])) {
            fresh[n_fresh++] = link[i];
            ask_for(walk, link[i]);
        }
    for (int32_t i = 0; i < n_fresh; i++) offer(walk, fresh[i], distance(walk, fresh[i]));
    walk->steps += n_fresh;
}

/* From the starting points in `next`, until the nearest that is left is farther than all ef that
 * are kept. Returns 0 when it ran out of its budget. */
static int walk_level(Walk *walk, int level) {
    while (walk->next.len && !walk->failed) {
        Near near = heap_pop(&walk->next, 1);
        if (walk->kept.len >= walk->ef && near.distance > walk->kept.item[0].distance) break;
        if (walk->steps > walk->budget) return 0;
        if (walk->next.len) __builtin_prefetch(&walk->graph->start[walk->next.item[0].node]);
        expand(walk, near.node, level);
    }
    return 1;
}

static void forget_seen(Walk *walk) {
    memset(walk->seen, 0, bits_words(walk->graph->n) * sizeof *walk->seen);
}

/* Down the upper levels, keeping the BEAM nearest of each as the starting points of the next: a
 * single one ends in the wrong cluster where clusters lie far apart, and level 0 has no way from
 * one to another. */
static int walk_graph(Walk *walk, size_t ef) {
    AnnSearch every = *walk->search;
    const AnnSearch *asked = walk->search;
    every.allowed = NULL;
    walk->search = &every; /* on the upper levels every row leads */
    walk->ef = BEAM;
    forget_seen(walk);
    first_visit(walk, walk->graph->entry);
    offer(walk, walk->graph->entry, distance(walk, walk->graph->entry));
    for (int level = walk->graph->top_level; level > 0; level--) {
        walk_level(walk, level);
        walk->next.len = 0;
        for (size_t i = 0; i < walk->kept.len; i++)
            walk->failed |= !heap_push(&walk->next, walk->kept.item[i], 1);
    }
    size_t n = walk->kept.len;
    walk->search = asked;
    walk->ef = ef;
    walk->kept.len = 0;
    walk->next.len = 0;
    for (size_t i = 0; i < n; i++) walk->starts[i] = walk->kept.item[i];
    if (walk->graph->top_level > 0) forget_seen(walk);
    for (size_t i = 0; i < n; i++) {
        first_visit(walk, walk->starts[i].node);
        offer(walk, walk->starts[i].node, walk->starts[i].distance);
    }
    return walk_level(walk, 0);
}

static double score_of(Walk *walk, double query_norm, int32_t row) {
    const AnnVectors *vectors = walk->vectors;
    return ann_score(vectors->metric, walk->query, query_norm,
        ann_vector(vectors, row, walk->scratch), vectors->norm[row], vectors->dim);
}

/* The allowed rows of the nodes that were kept. Rows of one group have one score, but for the
 * rounding of cosines of other lengths; of those that are equal k with the lowest numbers do. */
static void score_kept(Walk *walk, int64_t k, TopK *top) {
    double norm = sqrt(kernels()->dot(walk->query, walk->query, (size_t)walk->vectors->dim));
    for (size_t i = 0; i < walk->kept.len; i++) {
        int32_t node = walk->kept.item[i].node;
        const int32_t *row;
        int64_t n = row_groups_of(&walk->graph->groups, node, &row), pushed = 0;
        double score = score_of(walk, norm, node);
        int differ = row && walk->vectors->metric == ANN_COSINE;
        for (int64_t j = 0; j < n && (differ || pushed < k); j++) {
            int32_t own = row ? row[j] : node;
            if (!ann_allows(walk->search->allowed, own)) continue;
            topk_push(top, differ ? score_of(walk, norm, own) : score, own);
            pushed++;
        }
    }
    for (int64_t i = 0, pushed = 0; i < walk->graph->n_aside && pushed < k; i++)
        if (ann_allows(walk->search->allowed, walk->graph->aside[i])) {
            topk_push(top, 0, walk->graph->aside[i]);
            pushed++;
        }
}

/* Do the nodes that were kept stand for k allowed rows? */
static int are_enough(const Walk *walk, int64_t k) {
    int64_t found = (int64_t)walk->kept.len; /* each stands for one at least */
    for (size_t i = 0; i < walk->kept.len && found < k; i++) {
        const int32_t *row;
        int64_t n = row_groups_of(&walk->graph->groups, walk->kept.item[i].node, &row), own = 0;
        for (int64_t j = 0; row && j < n && found + own - 1 < k; j++)
            own += ann_allows(walk->search->allowed, row[j]);
        if (row) found += own - 1;
    }
    return found >= k;
}

/* Is scanning the allowed rows cheaper than the walk is likely to be? */
static int scan_is_better(const Walk *walk, int64_t k) {
    int64_t allowed = ann_n_allowed(walk->vectors, walk->search);
    double walking = (double)STEPS * (double)walk->ef * (double)walk->vectors->n / (double)allowed;
    return walk->search->min_score > -INFINITY || k * 4 >= allowed || walking > (double)allowed;
}

static void prepare_query(Walk *walk) {
    int32_t dim = walk->vectors->dim;
    walk->query = walk->search->query;
    walk->coded = code_query(walk->query, dim, CODE_MAX, walk->narrow);
    walk->by_codes = walk->graph->codes.data && code_is_usual(walk->coded.norm);
    for (int32_t i = 0; i < dim; i++) walk->wide[i] = walk->narrow[i];
}

static Status scan(Walk *walk, TopK *top, Err *err) {
    if (!walk->by_codes) return ann_scan(walk->vectors, walk->search, top, err);
    return row_codes_scan(
        &walk->graph->codes, &walk->coded, walk->wide, walk->vectors, walk->search, top, err);
}

static Status search_one(Walk *walk, TopK *top, Err *err) {
    const AnnSearch *search = walk->search;
    int64_t allowed = ann_n_allowed(walk->vectors, search);
    int64_t k = (int64_t)search->k < allowed ? (int64_t)search->k : allowed,
            ef = search->ef ? search->ef : DEFAULT_EF;
    if (k == 0) return ST_OK;
    prepare_query(walk);
    walk->ef = (size_t)(ef < k ? k : ef);
    walk->next.len = walk->kept.len = 0;
    walk->steps = 0;
    walk->budget = search->allowed ? allowed : INT64_MAX;
    if (walk->graph->unusual || walk->graph->entry < 0 || !code_is_usual(walk->coded.norm) ||
        scan_is_better(walk, k))
        return scan(walk, top, err);
    int ended = walk_graph(walk, walk->ef);
    if (walk->failed) return fail_nomem(err, "a search");
    if (!ended || !are_enough(walk, k)) return scan(walk, top, err);
    score_kept(walk, k, top);
    return ST_OK;
}

static void walk_free(Walk *walk) {
    mem_free(walk->seen);
    mem_free(walk->scratch);
    mem_free(walk->narrow);
    mem_free(walk->wide);
    mem_free(walk->next.item);
    mem_free(walk->kept.item);
}

static Status walk_alloc(Walk *walk, Err *err) {
    size_t dim = (size_t)walk->vectors->dim;
    walk->seen = mem_array(bits_words(walk->graph->n), sizeof *walk->seen);
    walk->scratch = mem_array(dim, sizeof *walk->scratch);
    walk->narrow = mem_array(dim, 1);
    walk->wide = mem_zeros(dim + 16, sizeof *walk->wide);
    if (walk->seen && walk->scratch && walk->narrow && walk->wide) return ST_OK;
    walk_free(walk);
    *walk = (Walk){.vectors = walk->vectors, .graph = walk->graph};
    return fail_nomem(err, "a search");
}

/* ---- are the codes good enough? ---- */

/* Of the distances from a row to its links on level 0: the variance, and that of what the codes
 * make of them, summed. */
static void compare_links(Walk *walk, int32_t node, double *variance, double *error_variance) {
    const int32_t *link = graph_links(walk->graph, node, 0);
    int32_t n = *link++;
    double sum = 0, squares = 0, error_sum = 0, error_squares = 0;
    for (int32_t i = 0; i < n; i++) {
        walk->by_codes = 1;
        double coded = (double)distance(walk, link[i]);
        walk->by_codes = 0;
        double true_one = (double)distance(walk, link[i]), error = coded - true_one;
        sum += true_one;
        squares += true_one * true_one;
        error_sum += error;
        error_squares += error * error;
    }
    if (n == 0) return;
    *variance += squares - sum * sum / n;
    *error_variance += error_squares - error_sum * error_sum / n;
}

/* Codes lose their use where rows lie close together and far from the origin. They are kept if,
 * over the links of some rows, their error spreads by less than a tenth of what the distances
 * do. */
static Status are_precise(const Graph *graph, const AnnVectors *vectors, int *out, Err *err) {
    enum { SAMPLE = 64 };
    double variance = 0, error_variance = 0;
    AnnSearch search = {0};
    Walk walk = {.vectors = vectors, .graph = graph, .search = &search};
    TRY(walk_alloc(&walk, err));
    float *query = mem_array((size_t)vectors->dim, sizeof *query);
    int64_t n = graph->n < SAMPLE ? graph->n : SAMPLE;
    for (int64_t i = 0; i < n && query; i++) {
        int32_t node = (int32_t)(i * graph->n / n), end = (int32_t)((i + 1) * graph->n / n);
        while (node < end && !graph->levels[node]) node++; /* rows beside their node are none */
        if (node == end) continue;
        memcpy(
            query, ann_vector(vectors, node, walk.scratch), (size_t)vectors->dim * sizeof *query);
        search.query = query;
        prepare_query(&walk);
        compare_links(&walk, node, &variance, &error_variance);
    }
    *out = variance > 0 && error_variance <= 0.01 * variance; /* without evidence none */
    walk_free(&walk);
    Status status = query ? ST_OK : fail_nomem(err, "a vector");
    mem_free(query);
    return status;
}

Status graph_make_codes(Graph *graph, const AnnVectors *vectors, Err *err) {
    int precise = 0;
    TRY(row_codes_build(&graph->codes, vectors, err));
    graph->unusual = graph->codes.data == NULL && graph->n > 0;
    if (!graph->codes.data) return ST_OK;
    Status status = are_precise(graph, vectors, &precise, err);
    if (!precise) row_codes_clear(&graph->codes);
    return status;
}

/* ---- searches ---- */

Status graph_search(const AnnIndex *index, const AnnSearch *searches, TopK *tops, int n, Err *err) {
    Walk walk = {.vectors = index->vectors, .graph = index->state};
    Status status = walk_alloc(&walk, err);
    for (int i = 0; i < n && status == ST_OK; i++) {
        walk.search = &searches[i];
        status = search_one(&walk, &tops[i], err);
    }
    walk_free(&walk);
    return status;
}
