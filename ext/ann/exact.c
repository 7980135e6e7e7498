/* Exact top-k by two passes in one walk: 8-bit codes with a proven error bound decide which rows can still win, and
 * only those are scored in float64 from the float32 rows.
 *
 * Row y is coded as y = s c + e with integer c in [-127, 127], s = max|y_i| / 127; the query as x = t q + f with
 * integer q in [-63, 63], t = max|x_i| / 63. Then
 *
 *     x . y = t s (q . c) + f . y + t q . e,   so   |x . y - t s (q . c)| <= |f| |y| + |t q| |e|      (Cauchy-Schwarz)
 *
 * with the true norms |y| and |e| stored per row. A row is dropped when even its upper bound is below the k-th best
 * score so far: the answer is the brute-force answer, ids and order.
 *
 * For inner products the rows are walked by descending norm, and the walk ends when |x| |y| falls below the k-th best:
 * real catalogues have such a skew. Memory beside the rows: dim + 20 bytes a row.
 *
 * Layout: blocks of 8 rows, each block groups x 8 rows x 4 dimensions of codes (offset 128, unsigned), which is what
 * one AVX2 register takes; groups = ceil(dim / 4). */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "ann.h"

/* STRETCH blocks are walked by every query of a batch before the next: their codes stay in the cache. */
enum { BLOCK = 8, CODE_ZERO = 128, CODE_MAX = 127, QUERY_MAX = 63, PIECE = 1024, STRETCH = 256 };

/* Slack for the float32 arithmetic of the bound itself, relative to |x| |y|: a dozen roundings of 2^-24 each. */
static const float ROUNDING = 4e-6f;

typedef struct Bound {
    float scale[BLOCK]; /* s */
    float norm[BLOCK];  /* |y|, rounded up */
    float error[BLOCK]; /* |e|, rounded up */
} Bound;

typedef struct Exact {
    int64_t n_blocks;
    size_t groups;
    uint8_t *code;   /* n_blocks x groups x 32 */
    Bound *bound;    /* n_blocks */
    int64_t *order;  /* n_blocks x 8: position of each coded row; -1 pads the last block */
    int usual_norms; /* no norm is huge: the bounds can be trusted to float32 */
} Exact;

static const double USUAL_MIN = 1e-15, USUAL_MAX = 1e15;

/* Far from float32's limits, so that no product of two such norms or their parts overflows or loses its digits. */
static int is_usual(double norm) {
    return norm >= USUAL_MIN && norm <= USUAL_MAX;
}

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

static float round_up(double value) {
    return nextafterf((float)value, INFINITY);
}

/* Code one row into place `lane` of its block. */
static void encode_row(Exact *exact, int64_t block, size_t lane, const float *row, double norm, int32_t dim) {
    uint8_t *code = exact->code + (size_t)block * exact->groups * 32;
    Bound *bound = &exact->bound[block];
    float largest = 0;
    double error = 0;

    for (int32_t i = 0; i < dim; i++) largest = fmaxf(largest, fabsf(row[i]));
    float scale = largest / CODE_MAX;
    for (int32_t i = 0; i < dim; i++) {
        int c = scale > 0 ? (int)lrint((double)row[i] / (double)scale) : 0;
        if (c > CODE_MAX) c = CODE_MAX;
        if (c < -CODE_MAX) c = -CODE_MAX;
        double e = (double)row[i] - (double)scale * c;
        error += e * e;
        code[(size_t)(i / 4) * 32 + lane * 4 + (size_t)(i % 4)] = (uint8_t)(c + CODE_ZERO);
    }
    bound->scale[lane] = scale;
    /* A tiny row is never left out by its bound (infinity, or NaN, is below nothing): it is always scored. */
    bound->norm[lane] = norm > 0 && norm < USUAL_MIN ? INFINITY : round_up(norm);
    bound->error[lane] = round_up(sqrt(error));
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
} Encoding;

/* One piece: PIECE blocks. */
static void encode_piece(void *context, int64_t piece, int worker) {
    const Encoding *encoding = context;
    const AnnVectors *vectors = encoding->vectors;
    int64_t end = (piece + 1) * PIECE * BLOCK;
    for (int64_t at = piece * PIECE * BLOCK; at < end && at < vectors->n; at++) {
        int64_t position = encoding->exact->order[at];
        const float *row = ann_vector(vectors, position, encoding->scratch + (size_t)worker * (size_t)vectors->dim);
        encode_row(encoding->exact, at / BLOCK, (size_t)(at % BLOCK), row, vectors->norm[position], vectors->dim);
    }
}

static Status encode_all(Exact *exact, const AnnVectors *vectors, Task *task, Err *err) {
    int workers = task ? task->threads : 1;
    int64_t pieces = (exact->n_blocks + PIECE - 1) / PIECE;
    Encoding encoding = {exact, vectors, mem_array((size_t)workers * (size_t)vectors->dim, sizeof(float))};
    Status status = encoding.scratch ? ST_OK : fail_nomem(err, "the exact index");
    if (status == ST_OK && task)
        status = task_run(task, pieces, encode_piece, &encoding, err);
    else
        for (int64_t piece = 0; status == ST_OK && piece < pieces; piece++) encode_piece(&encoding, piece, 0);
    mem_free(encoding.scratch);
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
    for (int64_t i = 0; i < vectors->n; i++) exact->usual_norms &= vectors->norm[i] <= USUAL_MAX;
    for (int64_t at = vectors->n; at < exact->n_blocks * BLOCK; at++) exact->order[at] = -1;
    status = encode_all(exact, vectors, task, err);
    if (status != ST_OK) exact_free(index);
    return status;
}

typedef struct Query {
    const AnnSearch *search;
    TopK *top;
    double norm;         /* |x| */
    int8_t *code;        /* q, 4 * groups */
    float *scratch;      /* dim, of the whole batch */
    float scale;         /* t */
    float error;         /* |f| */
    float coded_norm;    /* |t q| */
    int32_t bias;        /* 128 sum q: what the offset of the codes adds */
    int over;            /* no later block can hold a better row */
} Query;

static void code_query(Query *query, int32_t dim, size_t groups) {
    const float *x = query->search->query;
    float largest = 0;
    double error = 0, coded = 0;
    int32_t sum = 0;

    for (int32_t i = 0; i < dim; i++) largest = fmaxf(largest, fabsf(x[i]));
    query->scale = largest / QUERY_MAX;
    memset(query->code, 0, 4 * groups);
    for (int32_t i = 0; i < dim; i++) {
        int q = query->scale > 0 ? (int)lrint((double)x[i] / (double)query->scale) : 0;
        if (q > QUERY_MAX) q = QUERY_MAX;
        if (q < -QUERY_MAX) q = -QUERY_MAX;
        double tq = (double)query->scale * q;
        error += ((double)x[i] - tq) * ((double)x[i] - tq);
        coded += tq * tq;
        query->code[i] = (int8_t)q;
        sum += q;
    }
    query->error = round_up(sqrt(error));
    query->coded_norm = round_up(sqrt(coded));
    query->bias = CODE_ZERO * sum;
}

/* Upper bounds of x . y for the 8 rows of a block. */
static void block_bounds(const Exact *exact, const Query *query, int64_t block, float upper[BLOCK]) {
    const Bound *bound = &exact->bound[block];
    int32_t dot[BLOCK];
    float slack = (float)query->norm * ROUNDING;

    kernels()->code_dot8(exact->code + (size_t)block * exact->groups * 32, query->code, exact->groups, dot);
    for (int i = 0; i < BLOCK; i++)
        upper[i] = query->scale * bound->scale[i] * (float)(dot[i] - query->bias) +
                   (query->error + slack) * bound->norm[i] + query->coded_norm * bound->error[i];
}

/* The least x . y with which a row of norm y could enter, given the least score that enters. */
static double needed_dot(AnnMetric metric, double floor, double x_norm, double y_norm) {
    if (metric == ANN_IP) return floor;
    if (metric == ANN_COSINE) return floor * x_norm * y_norm;
    return (x_norm * x_norm + y_norm * y_norm + floor) / 2; /* -|x|^2 - |y|^2 + 2 x . y >= floor */
}

/* The rounding of needed_dot and of the float64 score itself, generously: relative to the numbers that enter. */
static double needed_slack(AnnMetric metric, double x_norm, double y_norm) {
    double scale = metric == ANN_L2 ? x_norm * x_norm + y_norm * y_norm : x_norm * y_norm;
    return scale * 1e-12;
}

static void score_block(const AnnIndex *index, const Query *query, int64_t block) {
    const Exact *exact = index->state;
    const AnnVectors *vectors = index->vectors;
    const AnnSearch *search = query->search;
    TopK *top = query->top;
    float upper[BLOCK];

    block_bounds(exact, query, block, upper);
    for (int i = 0; i < BLOCK; i++) {
        int64_t position = exact->order[block * BLOCK + i];
        double floor = fmax(topk_floor(top), search->min_score);
        if (position < 0) continue;
        if (floor > -INFINITY) {
            double norm = vectors->norm[position];
            double needed = needed_dot(vectors->metric, floor, query->norm, norm);
            if ((double)upper[i] < needed - needed_slack(vectors->metric, query->norm, norm)) continue;
        }
        if (!ann_allows(search->allowed, position)) continue;
        double score = ann_score(vectors->metric, search->query, query->norm, ann_vector(vectors, position, query->scratch),
                                 vectors->norm[position], vectors->dim);
        if (score >= search->min_score) topk_push(top, score, position);
    }
}

/* For inner products: can a block and all after it be left out? */
static int walk_is_over(const Exact *exact, const Query *query, int64_t block) {
    double floor = fmax(topk_floor(query->top), query->search->min_score);
    return query->norm * (double)exact->bound[block].norm[0] * (1 + 1e-12) < floor;
}

static void walk(const AnnIndex *index, Query *query, int64_t from, int64_t to) {
    const Exact *exact = index->state;
    int by_norm = index->vectors->metric == ANN_IP;
    /* Where the order is that of the positions, a block's 8 rows are one byte of the allowed bits (little-endian). */
    const uint8_t *allowed = by_norm ? NULL : (const uint8_t *)query->search->allowed;
    for (int64_t block = from; block < to && !query->over; block++) {
        if (by_norm && walk_is_over(exact, query, block))
            query->over = 1;
        else if (!allowed || allowed[block])
            score_block(index, query, block);
    }
}

/* Few allowed rows, or norms that float32 bounds cannot hold: score the rows one by one. */
static int scans(const AnnIndex *index, const Query *query) {
    const Exact *exact = index->state;
    const AnnSearch *search = query->search;
    return !exact->usual_norms || !is_usual(query->norm) || (search->allowed && search->n_allowed < index->vectors->n / 12);
}

static Status exact_search(const AnnIndex *index, const AnnSearch *searches, TopK *tops, int n, Err *err) {
    const Exact *exact = index->state;
    size_t dim = (size_t)index->vectors->dim, code_bytes = 4 * exact->groups;
    Query *query = mem_zeros((size_t)n, sizeof *query);
    int8_t *code = mem_array((size_t)n, code_bytes);
    float *scratch = mem_array(dim, sizeof *scratch);
    Status status = query && code && scratch ? ST_OK : fail_nomem(err, "the coded queries");

    for (int i = 0; i < n && status == ST_OK; i++) {
        query[i] = (Query){.search = &searches[i], .top = &tops[i], .code = code + (size_t)i * code_bytes, .scratch = scratch, .over = searches[i].k == 0};
        query[i].norm = sqrt(kernels()->dot(searches[i].query, searches[i].query, dim));
        if (!query[i].over && scans(index, &query[i])) {
            status = ann_scan(index->vectors, &searches[i], &tops[i], err);
            query[i].over = 1;
        }
        if (!query[i].over) code_query(&query[i], index->vectors->dim, exact->groups);
    }
    for (int64_t block = 0; block < exact->n_blocks && status == ST_OK; block += STRETCH)
        for (int i = 0; i < n; i++) walk(index, &query[i], block, block + STRETCH < exact->n_blocks ? block + STRETCH : exact->n_blocks);
    mem_free(query);
    mem_free(code);
    mem_free(scratch);
    return status;
}

static size_t exact_memory(const AnnIndex *index) {
    const Exact *exact = index->state;
    return (size_t)exact->n_blocks * (exact->groups * 32 + sizeof(Bound) + BLOCK * sizeof(int64_t));
}

static size_t exact_predict(const char *factory, int64_t n, int32_t dim) {
    size_t blocks = ((size_t)n + BLOCK - 1) / BLOCK;
    (void)factory;
    return blocks * (((size_t)dim + 3) / 4 * 32 + sizeof(Bound) + BLOCK * sizeof(int64_t));
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
