/* FAISS behind the engine interface, through its C API: the only C file that names faiss_* symbols
 * of that API.
 *
 * FAISS finds candidates in float32 or from its codes; every candidate is scored again, exactly,
 * from the rows, so that scores and ties are those of the exact engine. Cosine is an inner product
 * over normalised copies. A search runs on the caller's thread; a build on as many as it asked
 * for. */
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "codes.h"
#include "faiss_extra.h"
#include "faiss_plan.h"

enum {
    ADD_BATCH = 16384,
    MIN_TRAINING = 65536,
    TRAINING_A_LIST = 256,
    DEFAULT_EF = 64,
    MANY_LISTS = 512
};

typedef struct Faiss {
    FaissIndex *index;
    FaissExtraKind kind;
} Faiss;

/* FAISS's texts hold C++ signatures and paths: keep what follows the last "failed: " or
 * "file.cpp:123: ". */
static Status faiss_fail(Err *err, const char *what, const char *text) {
    const char *last = text && *text ? text : "no reason given";
    if (strstr(last, "bad_alloc")) return fail_nomem(err, "FAISS");
    for (const char *at = strstr(last, "failed: "); at; at = strstr(last, "failed: "))
        last = at + 8;
    for (const char *at = strstr(last, ".cpp:"); at; at = strstr(last, ".cpp:")) {
        last = at + 5;
        last += strspn(last, "0123456789");
        last += strspn(last, ": ");
    }
    size_t len = strcspn(last, "\n");
    return fail(err, ST_BADARG, "FAISS cannot %s: %.*s", what, len > 300 ? 300 : (int)len, last);
}

void ann_faiss_plain_factory(const char *factory, char out[64]) {
    text_format(out, 64, "%s", factory);
    char *comma = strrchr(out, ',');
    if (comma && (strcmp(comma, ",IDMap") == 0 || strcmp(comma, ",IDMap2") == 0)) *comma = 0;
}

static void faiss_free(Faiss *faiss) {
    if (!faiss) return;
    faiss_Index_free(faiss->index);
    mem_free(faiss);
}

static Status create(Faiss **out, const char *factory, int32_t dim, AnnMetric metric, Err *err) {
    char plain[64], what[120], text[400] = "";
    Faiss *faiss = mem_zeros(1, sizeof *faiss);
    *out = NULL;
    if (!faiss) return fail_nomem(err, "the index");
    ann_faiss_plain_factory(factory, plain);
    text_format(what, sizeof what, "make index '%.60s' of %d dimensions", factory, (int)dim);
    if (faiss_index_factory(
            &faiss->index, dim, plain, metric == ANN_L2 ? METRIC_L2 : METRIC_INNER_PRODUCT)) {
        mem_free(faiss);
        return faiss_fail(err, what, faiss_get_last_error());
    }
    if (faiss_extra_prepare(faiss->index, text, sizeof text)) {
        faiss_free(faiss);
        return faiss_fail(err, what, text);
    }
    faiss->kind = faiss_extra_kind(faiss->index);
    *out = faiss;
    return ST_OK;
}

/* Numbers in a factory string that would make FAISS crash, loop, or ask for more memory than there
 * is: the words before a number, its least and greatest value. The first that fits counts. */
static const struct {
    const char *word;
    long min, max;
} limits[] = {
    {"HNSW", 2, 512},
    {"IMI2x", 1, 10},
    {"IVF", 1, 1 << 20},
    {"Residual", 1, 1 << 20},
    {"x", 1, 12},
    {"", 1, 65536},
};

/* Does the text before `at` end with the word? */
static int ends_with(const char *text, const char *at, const char *word) {
    size_t len = strlen(word);
    return (size_t)(at - text) >= len && strncmp(at - len, word, len) == 0;
}

static Status check_numbers(const char *factory, Err *err) {
    for (const char *at = factory; *at; at++) {
        char *end;
        if (*at == '(')
            return fail(
                err, ST_BADARG, "index='%.60s': parts in parentheses are not taken", factory);
        if (strncmp(at, "LSQ", 3) == 0)
            return fail(err, ST_BADARG,
                "index='%.60s': LSQ is not taken (its training takes minutes and cannot be "
                "interrupted)",
                factory);
        if (strncmp(at, "NSG", 3) == 0)
            return fail(err, ST_BADARG,
                "index='%.60s': NSG is not taken (FAISS's crashes where rows are few; HNSW<M> is a "
                "graph)",
                factory);
        if (!ascii_is_digit(*at)) continue;
        long value = strtol(at, &end, 10);
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
            if (!ends_with(factory, at, limits[i].word)) continue;
            if (value >= limits[i].min && value <= limits[i].max) break;
            return fail(err, ST_BADARG, "index='%.60s': %s%ld (%ld .. %ld)", factory,
                limits[i].word, value, limits[i].min, limits[i].max);
        }
        at = end - 1;
    }
    return ST_OK;
}

static Status engine_check(const char *factory, int32_t dim, AnnMetric metric, Err *err) {
    Faiss *faiss;
    TRY(check_numbers(factory, err));
    TRY(create(&faiss, factory, dim, metric, err));
    faiss_free(faiss);
    return ST_OK;
}

static void engine_free(AnnIndex *index) {
    faiss_free(index->state);
    index->state = NULL;
}

/* ---- building ---- */

static int threads_of(const Task *task) { return task ? task->threads : 1; }

static Status after(int failed, const char *what, const char *text, const Task *task, Err *err) {
    if (task && atomic_load(&task->cancelled)) return fail(err, ST_CANCELLED, "interrupted");
    return failed ? faiss_fail(err, what, text) : ST_OK;
}

/* At most MIN_TRAINING rows, or TRAINING_A_LIST for each list, evenly spread. */
Status ann_faiss_sample(
    const AnnVectors *vectors, int64_t n_lists, float **rows, int64_t *n, Err *err) {
    size_t dim = (size_t)vectors->dim;
    *n = n_lists * TRAINING_A_LIST;
    *rows = NULL;
    if (*n < MIN_TRAINING) *n = MIN_TRAINING;
    if (*n > vectors->n) *n = vectors->n;
    if (*n == 0) return fail(err, ST_BADARG, "there are no rows to train on");
    *rows = mem_array((size_t)*n, dim * sizeof **rows);
    if (!*rows) return fail_nomem(err, "the training vectors");
    for (int64_t i = 0; i < *n; i++)
        ann_unit_row(vectors, (int64_t)((double)i * (double)vectors->n / (double)*n),
            *rows + (size_t)i * dim);
    return ST_OK;
}

/* k-means over few centroids has so many short parallel parts that waiting costs more than they do:
 * one thread then. */
static Status train(const AnnIndex *index, Faiss *faiss, Task *task, Err *err) {
    char text[400] = "";
    float *rows;
    int64_t n;
    if (faiss_Index_is_trained(faiss->index)) return ST_OK;
    TRY(ann_faiss_sample(index->vectors, faiss->kind.n_lists, &rows, &n, err));
    int threads = faiss->kind.n_lists >= MANY_LISTS ? threads_of(task) : 1;
    int failed = faiss_extra_train(
        faiss->index, n, rows, threads, task_poll_any, task, text, sizeof text);
    mem_free(rows);
    return after(failed, "train", text, task, err);
}

static Status add_rows(const AnnIndex *index, Faiss *faiss, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    size_t dim = (size_t)vectors->dim;
    char text[400] = "";
    float *batch = mem_array(
        vectors->n < ADD_BATCH ? (size_t)vectors->n : ADD_BATCH, dim * sizeof *batch);
    Status status = batch ? ST_OK : fail_nomem(err, "a batch of vectors");
    for (int64_t from = 0; from < vectors->n && status == ST_OK; from += ADD_BATCH) {
        int64_t n = vectors->n - from < ADD_BATCH ? vectors->n - from : ADD_BATCH;
        for (int64_t i = 0; i < n; i++) ann_unit_row(vectors, from + i, batch + (size_t)i * dim);
        int failed = faiss_extra_add(
            faiss->index, n, batch, threads_of(task), task_poll_any, task, text, sizeof text);
        if (task) atomic_store(&task->done, from + n);
        if (task) task_poll(task);
        status = after(failed, "add vectors", text, task, err);
    }
    mem_free(batch);
    return status;
}

Status ann_faiss_check_norms(const AnnVectors *vectors, Err *err) {
    for (int64_t i = 0; i < vectors->n && vectors->metric != ANN_COSINE; i++)
        if (vectors->norm[i] > 1e15)
            return fail(err, ST_BADARG, "a vector of norm %g is too long for FAISS (1e15)",
                vectors->norm[i]);
    return ST_OK;
}

static Status engine_build(AnnIndex *index, Task *task, Err *err) {
    Faiss *faiss;
    TRY(ann_faiss_check_norms(index->vectors, err));
    TRY(create(&faiss, index->factory, index->vectors->dim, index->vectors->metric, err));
    Status status = dense_begin_threads(threads_of(task), err);
    int began = status == ST_OK;
    if (task) task_phase(task, "training", "rows", index->vectors->n, index->vectors->n);
    if (status == ST_OK) status = train(index, faiss, task, err);
    if (task) task_phase(task, "building the index", "rows", index->vectors->n, index->vectors->n);
    if (status == ST_OK) status = add_rows(index, faiss, task, err);
    if (began) dense_end();
    if (status != ST_OK) faiss_free(faiss);
    else index->state = faiss;
    return status;
}

/* ---- storing ---- */

static void append(void *out, const void *data, size_t len) { bytes_append(out, data, len); }

/* u32 format, then FAISS's arrays. Nothing for a kind that cannot be stored. */
static Status engine_save(const AnnIndex *index, Bytes *out, Err *err) {
    const Faiss *faiss = index->state;
    char text[400] = "";
    size_t before = out->len;
    int stored;
    bytes_u32(out, ANN_FAISS_FORMAT);
    if (faiss_extra_save(faiss->index, append, out, &stored, text, sizeof text))
        return faiss_fail(err, "write the index", text);
    if (!stored) out->len = before;
    return out->failed ? fail_nomem(err, "the stored index") : ST_OK;
}

static Status engine_load(AnnIndex *index, const void *data, size_t len, Err *err) {
    Faiss *faiss;
    Reader in = reader_of(data, len);
    char text[400] = "";
    if (read_u32(&in) != ANN_FAISS_FORMAT || in.failed)
        return fail(err, ST_CORRUPT, "the stored index is malformed (rebuild mends it)");
    TRY(create(&faiss, index->factory, index->vectors->dim, index->vectors->metric, err));
    Status status = dense_begin(1, err);
    if (status != ST_OK) {
        faiss_free(faiss);
        return status;
    }
    int failed = faiss_extra_load(
        faiss->index, index->vectors->n, in.data + in.pos, in.len - in.pos, text, sizeof text);
    dense_end();
    if (failed) {
        faiss_free(faiss);
        return fail(err, ST_CORRUPT, "the stored index: %.200s (rebuild mends it)", text);
    }
    index->state = faiss;
    return ST_OK;
}

/* ---- searching ---- */

/* Lists to visit: the square root of their number, more where a filter leaves few rows in each. */
static int64_t lists_to_visit(
    const Faiss *faiss, const AnnVectors *vectors, const AnnSearch *search) {
    int64_t lists = faiss->kind.n_lists,
            visited = search->nprobe ? search->nprobe : (int64_t)ceil(sqrt((double)lists));
    if (!search->allowed || search->n_allowed == 0) return visited < lists ? visited : lists;
    double more = (double)visited * (double)vectors->n / (double)search->n_allowed;
    return more < (double)lists ? (int64_t)more : lists;
}

/* How many candidates are worth an exact score: the more, the more the codes have lost. */
static int64_t candidates_for(const Faiss *faiss, const AnnSearch *search, int64_t k) {
    static const int64_t times[] = {1, 2, 16}, extra[] = {0, 16, 96};
    int64_t wanted = search->candidates ? search->candidates
                                        : k * times[faiss->kind.loss] + extra[faiss->kind.loss];
    return wanted < k ? k : wanted;
}

/* Few allowed rows, a bound on the score, or a large k: an exact scan over the allowed rows costs
 * no more. */
static int scans(
    const Faiss *faiss, const AnnVectors *vectors, const AnnSearch *search, int64_t k) {
    int64_t allowed = ann_n_allowed(vectors, search);
    if (search->min_score > -INFINITY || k * 4 >= allowed) return 1;
    if (!search->allowed) return 0;
    if (!faiss->kind.takes_filter) return allowed * 2 < vectors->n;
    double visited = (double)lists_to_visit(faiss, vectors, search) / (double)faiss->kind.n_lists *
        (double)vectors->n;
    /* a code that is visited costs less than a row that is scored */
    return (double)allowed < visited / 2;
}

int ann_faiss_plan(
    const AnnIndex *index, const AnnSearch *search, int64_t *candidates, int64_t *nprobe) {
    const Faiss *faiss = index->state;
    int64_t allowed = ann_n_allowed(index->vectors, search),
            k = (int64_t)search->k < allowed ? (int64_t)search->k : allowed;
    *candidates = candidates_for(faiss, search, k);
    *nprobe = faiss->kind.n_lists ? lists_to_visit(faiss, index->vectors, search) : 0;
    return k > 0 && !scans(faiss, index->vectors, search, k);
}

typedef struct Candidates {
    float *query;
    float *distances;
    int64_t *labels;
} Candidates;

static void candidates_clear(Candidates *c) {
    mem_free(c->query);
    mem_free(c->distances);
    mem_free(c->labels);
}

static Status candidates_alloc(Candidates *c, int64_t n, int64_t wanted, size_t dim, Err *err) {
    c->query = mem_array((size_t)n, dim * sizeof *c->query);
    c->distances = mem_array((size_t)n, (size_t)wanted * sizeof *c->distances);
    c->labels = mem_array((size_t)n, (size_t)wanted * sizeof *c->labels);
    return c->query && c->distances && c->labels ? ST_OK : fail_nomem(err, "the candidates");
}

/* Score the candidates of one search exactly. */
static void score(const AnnVectors *vectors, const AnnSearch *search, const int64_t *labels,
    int64_t n, float *scratch, TopK *top) {
    double norm = sqrt(kernels()->dot(search->query, search->query, (size_t)vectors->dim));
    for (int64_t i = 0; i < n; i++) {
        if (labels[i] < 0 || labels[i] >= vectors->n || !ann_allows(search->allowed, labels[i]))
            continue;
        topk_push(top,
            ann_score(vectors->metric, search->query, norm, ann_vector(vectors, labels[i], scratch),
                vectors->norm[labels[i]], vectors->dim),
            labels[i]);
    }
}

/* n searches that differ in their queries alone. */
static Status search_alike(
    const AnnIndex *index, const AnnSearch *searches, TopK *tops, int n, Err *err) {
    const Faiss *faiss = index->state;
    const AnnVectors *vectors = index->vectors;
    size_t dim = (size_t)vectors->dim;
    int64_t allowed = ann_n_allowed(vectors, searches),
            k = (int64_t)searches->k < allowed ? (int64_t)searches->k : allowed;
    Candidates c = {0};
    char text[400] = "";
    float *scratch = mem_array(dim, sizeof *scratch);
    Status status = scratch ? ST_OK : fail_nomem(err, "a vector");
    int scan = k > 0 && scans(faiss, vectors, searches, k);

    if (status == ST_OK && k > 0 && !scan) {
        int64_t wanted = candidates_for(faiss, searches, k);
        if (searches->allowed && !faiss->kind.takes_filter)
            wanted = wanted * vectors->n / allowed + k;
        if (wanted > vectors->n) wanted = vectors->n;
        status = candidates_alloc(&c, n, wanted, dim, err);
        for (int i = 0; i < n && status == ST_OK; i++)
            ann_unit_query(vectors, searches[i].query,
                sqrt(kernels()->dot(searches[i].query, searches[i].query, dim)),
                c.query + (size_t)i * dim);
        FaissExtraSearch search = {.n = n,
            .query = c.query,
            .k = wanted,
            .distances = c.distances,
            .labels = c.labels,
            .allowed = searches->allowed};
        search.ef = searches->ef ? searches->ef : DEFAULT_EF;
        if (search.ef < wanted) search.ef = wanted;
        search.nprobe = faiss->kind.n_lists ? lists_to_visit(faiss, vectors, searches) : 0;
        int needs_blas = faiss->kind.transforms; /* else FAISS needs none for so few queries */
        if (status == ST_OK && needs_blas) status = dense_begin(1, err);
        int began = status == ST_OK && needs_blas;
        if (status == ST_OK && faiss_extra_search(faiss->index, &search, text, sizeof text))
            status = faiss_fail(err, "search", text);
        if (began) dense_end();
        for (int i = 0; i < n && status == ST_OK; i++)
            score(vectors, &searches[i], c.labels + (size_t)i * (size_t)wanted, wanted, scratch,
                &tops[i]);
    }
    for (int i = 0; i < n && status == ST_OK; i++) {
        if ((int64_t)tops[i].len >= k) continue; /* else too few were found: all are looked at */
        tops[i].len = 0;
        status = ann_scan(vectors, &searches[i], &tops[i], err);
    }
    candidates_clear(&c);
    mem_free(scratch);
    return status;
}

static int alike(const AnnVectors *vectors, const AnnSearch *a, const AnnSearch *b) {
    double norm = sqrt(kernels()->dot(b->query, b->query, (size_t)vectors->dim));
    return code_is_usual(norm) && a->k == b->k && a->min_score == b->min_score &&
        a->allowed == b->allowed && a->ef == b->ef && a->nprobe == b->nprobe &&
        a->candidates == b->candidates;
}

static Status engine_search(
    const AnnIndex *index, const AnnSearch *searches, TopK *tops, int n, Err *err) {
    for (int from = 0, to; from < n; from = to) {
        double norm = sqrt(kernels()->dot(
            searches[from].query, searches[from].query, (size_t)index->vectors->dim));
        if (!code_is_usual(norm)) { /* not for float32: all are looked at */
            TRY(ann_scan(index->vectors, &searches[from], &tops[from], err));
            to = from + 1;
            continue;
        }
        for (to = from + 1; to < n && alike(index->vectors, &searches[from], &searches[to]); to++) {
        }
        TRY(search_alike(index, searches + from, tops + from, to - from, err));
    }
    return ST_OK;
}

/* ---- memory ---- */

/* Bytes a row takes in FAISS, estimated from the factory string: its last number of codes, else
 * float32. */
static size_t engine_predict(const char *factory, int64_t n, int32_t dim) {
    const char *pq = strstr(factory, "PQ"), *sq = strstr(factory, "SQ");
    size_t code = (size_t)dim * sizeof(float);
    if (sq && strncmp(sq, "SQfp16", 6) == 0) code = (size_t)dim * 2;
    else if (sq) code = (size_t)dim;
    for (const char *next = pq; next; next = strstr(next + 2, "PQ")) pq = next;
    if (pq && ascii_is_digit(pq[2])) code = (size_t)strtol(pq + 2, NULL, 10);
    return (size_t)n *
        (code + (strncmp(factory, "IVF", 3) == 0 || strstr(factory, ",IVF") ? sizeof(int64_t) : 0));
}

static size_t engine_memory(const AnnIndex *index) {
    return engine_predict(index->factory, index->vectors->n, index->vectors->dim);
}

const AnnEngine ann_faiss_engine = {
    .name = "faiss",
    .check = engine_check,
    .build = engine_build,
    .save = engine_save,
    .load = engine_load,
    .search = engine_search,
    .memory = engine_memory,
    .predict = engine_predict,
    .free = engine_free,
};

const char *ann_faiss_version(void) { return faiss_extra_version(); }
