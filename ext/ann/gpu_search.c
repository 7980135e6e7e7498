/* Searching a copy: candidates from the device, exact scores from the rows, and a proof that no
 * other row can belong to the answer.
 *
 * Searches that want as many candidates are asked together, PIECE at a time. A worker has one
 * piece: while one waits for the device, the others normalise queries and score candidates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "codes.h"
#include "faiss_plan.h"
#include "gpu_inside.h"

/* FAISS keeps the best in queues of 32, 64, .. 2048 per query: as many candidates as the queue has
 * room for cost nothing more. A search has MARGIN or an eighth of k beyond its k at least. */
enum {
    LEAST_QUEUE = 32,
    N_QUEUES = 7,
    MARGIN = 8,
    PIECE = 1024,
    LEAST_PIECE = 128,
    PIECE_CANDIDATES = 1 << 18,
    CPU_GROUP = 16
};

/* Searches order[from .. from + n - 1]; wanted 0: for the CPU. */
typedef struct Piece {
    int64_t from, n;
    int64_t wanted;
} Piece;

typedef struct GpuRun {
    GpuCopy *copy;
    const AnnIndex *index;
    const AnnSearch *searches;
    TopK *tops;
    double *norm;   /* of each query */
    int64_t *order; /* searches that want as many candidates are neighbours */
    Piece *piece;
    int64_t n_pieces;
    int64_t nprobe;
    Task *task;
    TaskFailure failure;
} GpuRun;

/* The pieces' results do not matter any more. */
static int is_over(const GpuRun *r) { return r->task && task_cancelled(r->task); }

/* How many candidates a search wants: the size of a queue, or 0. */
static int64_t queue_of(
    const AnnIndex *index, const AnnSearch *search, int is_exact, int64_t *nprobe) {
    const AnnVectors *vectors = index->vectors;
    int64_t allowed = ann_n_allowed(vectors, search),
            k = (int64_t)search->k < allowed ? (int64_t)search->k : allowed, queue = LEAST_QUEUE;
    int64_t wanted = k + (k > 8 * MARGIN ? k / 8 : MARGIN);
    *nprobe = 0;
    if (k < 1 || search->min_score > -INFINITY) return 0;
    if (!is_exact && (!ann_faiss_plan(index, search, &wanted, nprobe) || *nprobe > REC_GPU_MAX_K))
        return 0;
    /* a device knows no filter: as many more as it may find in vain */
    wanted += vectors->n - allowed;
    if (wanted > vectors->n) wanted = vectors->n;
    while (queue < wanted && queue < REC_GPU_MAX_K) queue *= 2;
    return queue >= wanted ? queue : 0;
}

int gpu_suits(const AnnIndex *index, const AnnSearch *search) {
    int64_t nprobe;
    return queue_of(index, search, !gpu_is_ivf(index), &nprobe) > 0;
}

/* ---- one query ---- */

/* How far a score of the device may be from the exact one: a float32 sum of dim products (Higham
 * 2002, 3.1); of Euclidean distances |x|^2 - 2 x.q + |q|^2. Rows and queries rounded to float16:
 * relatively, and by half a step of its smallest numbers an element. */
static double score_error(const GpuCopy *c, const AnnVectors *vectors, double query_norm) {
    double unit = (double)(vectors->dim + 16) * ldexp(1, -24) + (c->half ? ldexp(1, -10) : 0),
           both = query_norm + c->longest;
    double reach = vectors->metric == ANN_L2 ? both * both : query_norm * c->longest;
    return 2 * unit * reach + (c->half ? ldexp(sqrt((double)vectors->dim), -23) * both : 0);
}

/* What a part has found for a query. */
typedef struct GpuHits {
    const GpuPart *part;
    const float *distance; /* wanted, best first */
    const int64_t *label;
    int64_t wanted;
} GpuHits;

/* Score a part's candidates. *bound: no other row of the part has a better score, up to the
 * device's error; -INFINITY: there is none. */
static void score_candidates(const GpuCopy *c, const AnnVectors *vectors, const AnnSearch *search,
    double norm, const GpuHits *f, float *scratch, TopK *top, double *bound) {
    /* an IVF's rows keep their numbers */
    int64_t found = 0, first = c->is_exact ? f->part->from : 0;
    for (int64_t i = 0; i < f->wanted; i++) {
        int64_t row = f->label[i] + first;
        if (f->label[i] < 0 || row >= vectors->n) continue;
        found++;
        if (!ann_allows(search->allowed, row)) continue;
        topk_push(top,
            ann_score(vectors->metric, search->query, norm, ann_vector(vectors, row, scratch),
                vectors->norm[row], vectors->dim),
            row);
    }
    double last = f->wanted ? (double)f->distance[f->wanted - 1] : 0;
    *bound = found == f->part->n               ? -INFINITY
        : found == f->wanted && isfinite(last) ? (vectors->metric == ANN_L2 ? -last : last)
                                               : INFINITY;
}

/* 0: a row that is not among the candidates may still belong to the best. */
static int settle(const GpuCopy *c, const AnnVectors *vectors, const AnnSearch *search, double norm,
    const GpuHits *found, int n_found, float *scratch, TopK *top) {
    double least = INFINITY, bound, highest = -INFINITY;
    for (int f = 0; f < n_found; f++) {
        score_candidates(c, vectors, search, norm, &found[f], scratch, top, &bound);
        highest = fmax(highest, bound);
    }
    if ((int64_t)top->len == ann_n_allowed(vectors, search)) return 1;
    if (top->len < search->k) return 0;
    if (!c->is_exact || highest == -INFINITY) return 1;
    for (size_t i = 0; i < top->len; i++) least = fmin(least, top->item[i].score);
    return least > highest + score_error(c, vectors, vectors->metric == ANN_COSINE ? 1 : norm);
}

/* ---- a piece ---- */

/* By the CPU: the searches with these numbers. A graph's answer would not be exact. */
static Status answer_here(const GpuRun *r, const int64_t *number, int64_t n, Err *err) {
    const AnnIndex *index = r->index;
    int scan = !gpu_is_ivf(index) && index->engine != &ann_exact_engine;
    for (int64_t from = 0; from < n && !is_over(r); from += CPU_GROUP) {
        AnnSearch search[CPU_GROUP];
        TopK top[CPU_GROUP];
        int group = n - from < CPU_GROUP ? (int)(n - from) : CPU_GROUP;
        Status status = ST_OK;
        for (int i = 0; i < group; i++) {
            search[i] = r->searches[number[from + i]];
            top[i] = r->tops[number[from + i]];
            top[i].len = 0;
            if (scan && status == ST_OK)
                status = ann_scan(index->vectors, &search[i], &top[i], err);
        }
        if (!scan) status = index->engine->search(index, search, top, group, err);
        for (int i = 0; i < group; i++) r->tops[number[from + i]] = top[i];
        TRY(status);
    }
    return ST_OK;
}

typedef struct Answers {
    float *query, *distance, *scratch;
    int64_t *label, *left;
} Answers;

static Status answers_alloc(Answers *a, const Piece *piece, int parts, size_t dim, Err *err) {
    size_t n = (size_t)piece->n, candidates = (size_t)piece->wanted * (size_t)parts;
    a->query = mem_array(n, dim * sizeof *a->query);
    a->distance = mem_array(n, candidates * sizeof *a->distance);
    a->label = mem_array(n, candidates * sizeof *a->label);
    a->left = mem_array(n, sizeof *a->left);
    a->scratch = mem_array(dim, sizeof *a->scratch);
    return a->query && a->distance && a->label && a->left && a->scratch
        ? ST_OK
        : fail_nomem(err, "the candidates");
}

static void answers_clear(Answers *a) {
    mem_free(a->query);
    mem_free(a->distance);
    mem_free(a->label);
    mem_free(a->left);
    mem_free(a->scratch);
}

/* Ask one part of replicas, or all shards, beginning with another each time. found: where each
 * part's answers begin. */
static Status ask(
    const GpuRun *r, const Piece *piece, Answers *a, GpuHits *found, int n_found, Err *err) {
    GpuCopy *c = r->copy;
    char text[300] = "";
    unsigned turn = atomic_fetch_add(&c->turn, 1u);
    for (int i = 0; i < n_found; i++) {
        int p = (int)((turn + (unsigned)i) % (unsigned)c->n_parts);
        const GpuPart *part = &c->part[p];
        size_t at = (size_t)i * (size_t)piece->n * (size_t)piece->wanted;
        found[i] = (GpuHits){part, a->distance + at, a->label + at,
            piece->wanted < part->n ? piece->wanted : part->n};
        if (found[i].wanted == 0) continue;
        int code = gpu_api()->search(part->index, piece->n, a->query, found[i].wanted, r->nprobe,
            a->distance + at, a->label + at, text, sizeof text);
        if (code) return gpu_fail(err, code, "search", text);
    }
    return ST_OK;
}

static Status answer(const GpuRun *r, const Piece *piece, Answers *a, Err *err) {
    const AnnVectors *vectors = r->index->vectors;
    size_t dim = (size_t)vectors->dim;
    const int64_t *number = r->order + piece->from;
    GpuHits found[GPU_MAX_DEVICES];
    int n_found = r->copy->is_shards ? r->copy->n_parts : 1;
    int64_t n_left = 0;
    for (int64_t i = 0; i < piece->n; i++)
        ann_unit_query(
            vectors, r->searches[number[i]].query, r->norm[number[i]], a->query + (size_t)i * dim);
    TRY(ask(r, piece, a, found, n_found, err));
    for (int64_t i = 0; i < piece->n; i++) {
        if (!settle(r->copy, vectors, &r->searches[number[i]], r->norm[number[i]], found, n_found,
                a->scratch, &r->tops[number[i]]))
            a->left[n_left++] = number[i];
        for (int f = 0; f < n_found; f++) { /* to the next query's answers */
            found[f].distance += found[f].wanted;
            found[f].label += found[f].wanted;
        }
    }
    atomic_fetch_add(&r->copy->asked, piece->n);
    atomic_fetch_add(&r->copy->unsettled, n_left);
    return answer_here(r, a->left, n_left, err);
}

static void run_piece(void *context, int64_t at, int worker) {
    GpuRun *r = context;
    const Piece *piece = &r->piece[at];
    Answers a = {0};
    Err err = {0};
    Status status = ST_OK;
    (void)worker;
    if (is_over(r)) return;
    if (piece->wanted) {
        status = answers_alloc(&a, piece, r->copy->is_shards ? r->copy->n_parts : 1,
            (size_t)r->index->vectors->dim, &err);
        if (status == ST_OK) status = answer(r, piece, &a, &err);
    } else {
        status = answer_here(r, r->order + piece->from, piece->n, &err);
    }
    answers_clear(&a);
    task_failure_note(&r->failure, status, &err);
}

/* ---- all of them ---- */

/* 0: for the CPU; 1 ..: by the size of the queue. */
static int class_of(const GpuRun *r, int64_t i, int64_t *nprobe) {
    const AnnVectors *vectors = r->index->vectors;
    int64_t queue = queue_of(r->index, &r->searches[i], r->copy->is_exact, nprobe);
    int fits = code_is_usual(r->norm[i]) &&
        (!r->copy->half || vectors->metric == ANN_COSINE || r->norm[i] <= HALF_MAX),
        class = 0;
    for (int64_t size = LEAST_QUEUE; fits && size <= queue; size *= 2) class ++;
    return class;
}

/* So many searches of a class are a piece. */
static int64_t piece_size(int class, int64_t n, int threads) {
    int64_t most = class ? PIECE_CANDIDATES / (LEAST_QUEUE << (class - 1)) : CPU_GROUP,
            share = threads ? (n + 2 * threads - 1) / (2 * threads) : n;
    if (most > PIECE) most = PIECE;
    if (class && share < LEAST_PIECE) share = LEAST_PIECE;
    return share > most ? most : share > 1 ? share : 1;
}

static Status plan(GpuRun *r, int64_t n, int threads, Err *err) {
    int64_t count[N_QUEUES + 1] = {0}, start[N_QUEUES + 1], at = 0, nprobe;
    unsigned char *class = mem_array((size_t)n, 1);
    r->norm = mem_array((size_t)n, sizeof *r->norm);
    r->order = mem_array((size_t)n, sizeof *r->order);
    r->piece = mem_array((size_t)n, sizeof *r->piece);
    if (!class || !r->norm || !r->order || !r->piece) {
        mem_free(class);
        return fail_nomem(err, "a batch of queries");
    }
    for (int64_t i = 0; i < n; i++) {
        const float *query = r->searches[i].query;
        r->norm[i] = sqrt(kernels()->dot(query, query, (size_t)r->index->vectors->dim));
        class[i] = (unsigned char)class_of(r, i, &nprobe);
        count[class[i]]++;
        if (nprobe > r->nprobe) r->nprobe = nprobe;
    }
    for (int c = 0; c <= N_QUEUES; c++) {
        int64_t size = piece_size(c, count[c], threads), end = at + count[c];
        start[c] = at;
        for (; at < end; at += size)
            r->piece[r->n_pieces++] = (Piece){.from = at,
                .n = end - at < size ? end - at : size,
                .wanted = c ? LEAST_QUEUE << (c - 1) : 0};
        at = end;
    }
    for (int64_t i = 0; i < n; i++) r->order[start[class[i]]++] = i;
    mem_free(class);
    return ST_OK;
}

Status gpu_copy_search(GpuCopy *copy, const AnnIndex *index, const AnnSearch *searches, TopK *tops,
    int64_t n, int threads, Task *task, Err *err) {
    GpuRun run = {.copy = copy, .index = index, .searches = searches, .tops = tops, .task = task};
    TRY(gpu_check(copy->part[copy->n_parts - 1].device, err));
    Status status = plan(&run, n, threads, err);
    if (status == ST_OK && threads) status = task_run(task, run.n_pieces, run_piece, &run, err);
    else
        for (int64_t p = 0; p < run.n_pieces && status == ST_OK; p++) run_piece(&run, p, 0);
    status = task_failure(&run.failure, status, err);
    if (status == ST_OK && is_over(&run)) status = fail(err, ST_CANCELLED, "interrupted");
    mem_free(run.norm);
    mem_free(run.order);
    mem_free(run.piece);
    return status;
}
