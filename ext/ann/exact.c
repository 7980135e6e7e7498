/* Exact top-k by two passes in one walk: 8-bit codes with a proven error bound (codes.h) decide
 * which rows can still win, and only those are scored in float64 from the rows. A row is dropped
 * when even its upper bound is below the k-th best score so far: the answer is the brute-force
 * answer, ids and order.
 *
 * For inner products the rows are walked by descending norm, and the walk ends when |x| |y| falls
 * below the k-th best: real catalogues have such a skew. Memory beside the rows: dim + 20 bytes a
 * row.
 *
 * Layout: blocks of 8 rows, each block groups x 8 rows x 4 dimensions of codes (offset 128,
 * unsigned), which is what one AVX2 register takes; groups = ceil(dim / 4). A query's codes stay
 * within 63, so that pairs of products fit int16. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "codes.h"

/* STRETCH blocks are walked by every query of a batch before the next: their codes stay in the
 * cache. */
enum { BLOCK = 8, CODE_ZERO = 128, QUERY_MAX = 63, PIECE = 1024, STRETCH = 256 };

/* CodeBound of 8 rows, by field: what SIMD wants. */
typedef struct BlockBound {
    float scale[BLOCK];
    float norm[BLOCK];
    float error[BLOCK];
} BlockBound;

typedef struct Exact {
    int64_t n_blocks;
    size_t groups;
    uint8_t *code;     /* n_blocks x groups x 32 */
    BlockBound *bound; /* n_blocks */
    int64_t *order;    /* n_blocks x 8: position of each coded row; -1 pads the last block */
    int usual_norms;   /* no norm is huge: the bounds can be trusted to float32 */
} Exact;

static Status exact_check(const char *factory, int32_t dim, AnnMetric metric, Err *err) {
    (void)factory, (void)dim, (void)metric, (void)err;
    return ST_OK;
}

static void exact_free(AnnIndex *index) {
    Exact *exact = index->state;
    if (!exact) return;
    mem_free(exact->code);
    mem_free(exact->bound);
    mem_free(exact->order);
    mem_free(exact);
    index->state = NULL;
}

/* Put a row's codes and bound into place `lane` of its block. */
static void place(Exact *exact, int64_t block, size_t lane, const int8_t *code,
    const CodeBound *bound, int32_t dim) {
    exact->bound[block].scale[lane] = bound->scale;
    exact->bound[block].norm[lane] = bound->norm;
    exact->bound[block].error[lane] = bound->error;
    uint8_t *out = exact->code + (size_t)block * exact->groups * 32 + lane * 4;
    for (int32_t i = 0; i < dim; i++)
        out[(size_t)(i / 4) * 32 + (size_t)(i % 4)] = (uint8_t)(code[i] + CODE_ZERO);
}

/* Positions by descending norm (ties by position), or as they are. */
static Status walk_order(const AnnVectors *vectors, int64_t *order, Err *err) {
    if (vectors->metric != ANN_IP) {
        for (int64_t i = 0; i < vectors->n; i++) order[i] = i;
        return ST_OK;
    }
    Scored *by_norm = mem_array((size_t)vectors->n, sizeof *by_norm);
    if (!by_norm) return fail_nomem(err, "ordering the vectors");
    for (int64_t i = 0; i < vectors->n; i++) by_norm[i] = (Scored){vectors->norm[i], i};
    scored_sort(by_norm, (size_t)vectors->n);
    for (int64_t i = 0; i < vectors->n; i++) order[i] = by_norm[i].id;
    mem_free(by_norm);
    return ST_OK;
}

typedef struct Encoding {
    Exact *exact;
    const AnnVectors *vectors;
    float *scratch; /* workers x dim */
    int8_t *code;   /* workers x dim */
} Encoding;

/* One piece: PIECE blocks. */
static void encode_piece(void *context, int64_t piece, int worker) {
    const Encoding *encoding = context;
    const AnnVectors *vectors = encoding->vectors;
    int64_t end = (piece + 1) * PIECE * BLOCK;
    for (int64_t at = piece * PIECE * BLOCK; at < end && at < vectors->n; at++) {
        int64_t position = encoding->exact->order[at];
        size_t own = (size_t)worker * (size_t)vectors->dim;
        const float *row = ann_vector(vectors, position, encoding->scratch + own);
        CodeBound bound = code_row(
            row, vectors->norm[position], vectors->dim, encoding->code + own);
        place(encoding->exact, at / BLOCK, (size_t)(at % BLOCK), encoding->code + own, &bound,
            vectors->dim);
    }
}

static Status encode_all(Exact *exact, const AnnVectors *vectors, Task *task, Err *err) {
    int workers = task ? task->threads : 1;
    int64_t pieces = (exact->n_blocks + PIECE - 1) / PIECE;
    size_t elements = (size_t)workers * (size_t)vectors->dim;
    Encoding encoding = {
        exact, vectors, mem_array(elements, sizeof(float)), mem_array(elements, 1)};
    Status status = encoding.scratch && encoding.code ? ST_OK : fail_nomem(err, "the exact index");
    if (status == ST_OK && task) status = task_run(task, pieces, encode_piece, &encoding, err);
    else
        for (int64_t piece = 0; status == ST_OK && piece < pieces; piece++)
            encode_piece(&encoding, piece, 0);
    mem_free(encoding.scratch);
    mem_free(encoding.code);
    return status;
}

static Status exact_build(AnnIndex *index, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    Exact *exact = mem_zeros(1, sizeof *exact);
    Status status = ST_OK;
    if (!exact) return fail_nomem(err, "the exact index");
    index->state = exact;
    exact->n_blocks = (vectors->n + BLOCK - 1) / BLOCK;
    exact->groups = ((size_t)vectors->dim + 3) / 4;
    exact->code = mem_aligned((size_t)exact->n_blocks, exact->groups * 32);
    exact->bound = mem_zeros((size_t)exact->n_blocks, sizeof *exact->bound);
    exact->order = mem_array((size_t)exact->n_blocks * BLOCK, sizeof *exact->order);
    if (!exact->code || !exact->bound || !exact->order) status = fail_nomem(err, "the exact index");
    if (status == ST_OK) status = walk_order(vectors, exact->order, err);
    if (status != ST_OK) {
        exact_free(index);
        return status;
    }
    memset(exact->code, CODE_ZERO, (size_t)exact->n_blocks * exact->groups * 32);
    exact->usual_norms = 1;
    for (int64_t i = 0; i < vectors->n; i++) exact->usual_norms &= vectors->norm[i] <= 1e15;
    for (int64_t at = vectors->n; at < exact->n_blocks * BLOCK; at++) exact->order[at] = -1;
    status = encode_all(exact, vectors, task, err);
    if (status != ST_OK) exact_free(index);
    return status;
}

typedef struct Query {
    const AnnSearch *search;
    TopK *top;
    CodedQuery coded;
    float *scratch; /* dim, of the whole batch */
    int over;       /* no later block can hold a better row */
    double floor;   /* the least score that enters, */
    CodeLook look;  /* and the first look at it */
} Query;

static void set_floor(Query *query, AnnMetric metric) {
    query->floor = fmax(topk_floor(query->top), query->search->min_score);
    code_look_above(&query->look, metric, query->coded.norm, query->floor);
}

/* Upper bounds of x . y for the 8 rows of a block; a bit for each that the first look does not
 * leave out. */
static unsigned block_bounds(const Exact *exact, const Query *query, const Kernels *kernel,
    int64_t block, float upper[BLOCK]) {
    const BlockBound *bound = &exact->bound[block];
    return kernel->code_look8(&query->look, exact->code + (size_t)block * exact->groups * 32,
        bound->scale, bound->norm, bound->error, upper);
}

static void score_block(
    const AnnIndex *index, Query *query, const float upper[BLOCK], unsigned in, int64_t block) {
    const Exact *exact = index->state;
    const AnnVectors *vectors = index->vectors;
    const AnnSearch *search = query->search;

    for (; in; in &= in - 1) {
        int i = __builtin_ctz(in);
        int64_t position = exact->order[block * BLOCK + i];
        if (position < 0 || !ann_allows(search->allowed, position)) continue;
        if (query->floor > -INFINITY &&
            code_is_out(vectors->metric, upper[i], query->floor, query->coded.norm,
                vectors->norm[position]))
            continue;
        double score = ann_score(vectors->metric, search->query, query->coded.norm,
            ann_vector(vectors, position, query->scratch), vectors->norm[position], vectors->dim);
        if (score < search->min_score) continue;
        topk_push(query->top, score, position);
        set_floor(query, vectors->metric);
    }
}

/* For inner products: can a block and all after it be left out? */
static int walk_is_over(const Exact *exact, const Query *query, int64_t block) {
    return query->coded.norm * (double)exact->bound[block].norm[0] * (1 + 1e-12) < query->floor;
}

static void walk(const AnnIndex *index, Query *query, int64_t from, int64_t to) {
    const Exact *exact = index->state;
    const Kernels *kernel = kernels();
    int by_norm = index->vectors->metric == ANN_IP;
    float upper[BLOCK];
    unsigned in;
    /* Where the order is that of the positions, a block's 8 rows are one byte of the allowed bits
     * (little-endian). */
    const uint8_t *allowed = by_norm ? NULL : (const uint8_t *)query->search->allowed;
    for (int64_t block = from; block < to && !query->over; block++) {
        if (by_norm && walk_is_over(exact, query, block)) query->over = 1;
        else if ((!allowed || allowed[block]) &&
            (in = block_bounds(exact, query, kernel, block, upper)) != 0)
            score_block(index, query, upper, in, block);
    }
}

/* Few allowed rows, or norms that float32 bounds cannot hold: score the rows one by one. */
static int scans(const AnnIndex *index, const Query *query) {
    const Exact *exact = index->state;
    const AnnSearch *search = query->search;
    return !exact->usual_norms || !code_is_usual(query->coded.norm) ||
        (search->allowed && search->n_allowed < index->vectors->n / 12);
}

static Status exact_search(
    const AnnIndex *index, const AnnSearch *searches, TopK *tops, int n, Err *err) {
    const Exact *exact = index->state;
    size_t dim = (size_t)index->vectors->dim, code_bytes = 4 * exact->groups;
    Query *query = mem_zeros((size_t)n, sizeof *query);
    int8_t *code = mem_array((size_t)n, code_bytes);
    float *scratch = mem_array(dim, sizeof *scratch);
    Status status = query && code && scratch ? ST_OK : fail_nomem(err, "the coded queries");

    for (int i = 0; i < n && status == ST_OK; i++) {
        int8_t *own = code + (size_t)i * code_bytes;
        memset(own, 0, code_bytes);
        query[i] = (Query){.search = &searches[i],
            .top = &tops[i],
            .scratch = scratch,
            .over = searches[i].k == 0};
        query[i].coded = code_query(searches[i].query, index->vectors->dim, QUERY_MAX, own);
        query[i].look = (CodeLook){.query = own,
            .groups = exact->groups,
            .bias = CODE_ZERO * query[i].coded.sum,
            .scale = query[i].coded.scale,
            .error = code_query_error(&query[i].coded),
            .coded_norm = query[i].coded.coded_norm};
        set_floor(&query[i], index->vectors->metric);
        if (!query[i].over && scans(index, &query[i])) {
            status = ann_scan(index->vectors, &searches[i], &tops[i], err);
            query[i].over = 1;
        }
    }
    for (int64_t block = 0; block < exact->n_blocks && status == ST_OK; block += STRETCH)
        for (int i = 0; i < n; i++)
            walk(index, &query[i], block,
                block + STRETCH < exact->n_blocks ? block + STRETCH : exact->n_blocks);
    mem_free(query);
    mem_free(code);
    mem_free(scratch);
    return status;
}

static size_t exact_memory(const AnnIndex *index) {
    const Exact *exact = index->state;
    return (size_t)exact->n_blocks *
        (exact->groups * 32 + sizeof(BlockBound) + BLOCK * sizeof(int64_t));
}

static size_t exact_predict(const char *factory, int64_t n, int32_t dim) {
    size_t blocks = ((size_t)n + BLOCK - 1) / BLOCK;
    (void)factory;
    return blocks * (((size_t)dim + 3) / 4 * 32 + sizeof(BlockBound) + BLOCK * sizeof(int64_t));
}

const AnnEngine ann_exact_engine = {
    .name = "exact",
    .check = exact_check,
    .build = exact_build,
    .search = exact_search,
    .memory = exact_memory,
    .predict = exact_predict,
    .free = exact_free,
};
