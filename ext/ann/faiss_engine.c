/* FAISS behind the engine interface, through its C API: the only C file that names faiss_* symbols.
 *
 * FAISS finds candidates in float32; every candidate is scored again, exactly, from the rows, so that scores and ties
 * are those of the exact engine. Cosine is an inner product over normalised copies. Everything runs on the caller's
 * thread, but for a build that asked for threads. */
#define _GNU_SOURCE /* fmemopen, open_memstream */
#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "ann.h"
#include "faiss_extra.h"

enum { ADD_BATCH = 256, DEFAULT_EF = 64, MIN_LINKS = 2, MAX_LINKS = 512 };

/* Called by FAISS in place of its own distance functions. */
float rec_faiss_dot(const float *a, const float *b, size_t n);
float rec_faiss_l2_squared(const float *a, const float *b, size_t n);

float rec_faiss_dot(const float *a, const float *b, size_t n) {
    return kernels()->dot_float(a, b, n);
}

float rec_faiss_l2_squared(const float *a, const float *b, size_t n) {
    return kernels()->l2_squared_float(a, b, n);
}

/* OpenMP and OpenBLAS run on this thread alone between enter and leave; the host's settings come back. */
typedef struct Quiet {
    int omp_threads;
} Quiet;

static Quiet enter(int threads) {
    Quiet quiet = {omp_get_max_threads()};
    omp_set_num_threads(threads);
    dense_begin();
    return quiet;
}

static void leave(Quiet quiet) {
    dense_end();
    omp_set_num_threads(quiet.omp_threads);
}

/* FAISS's texts hold C++ signatures and paths: keep what follows the last "failed: " or "file.cpp:123: ". */
static Status faiss_fail(Err *err, const char *what, const char *text) {
    const char *last = text ? text : "no reason given";
    for (const char *at = strstr(last, "failed: "); at; at = strstr(last, "failed: ")) last = at + 8;
    for (const char *at = strstr(last, ".cpp:"); at; at = strstr(last, ".cpp:")) {
        last = at + 5;
        last += strspn(last, "0123456789");
        last += strspn(last, ": ");
    }
    size_t len = strcspn(last, "\n");
    return fail(err, ST_BADARG, "FAISS cannot %s: %.*s", what, len > 300 ? 300 : (int)len, last);
}

static FaissMetricType faiss_metric(AnnMetric metric) {
    return metric == ANN_L2 ? METRIC_L2 : METRIC_INNER_PRODUCT;
}

static Status create(FaissIndex **out, const char *factory, int32_t dim, AnnMetric metric, Err *err) {
    *out = NULL;
    if (faiss_index_factory(out, dim, factory, faiss_metric(metric)) == 0) return ST_OK;
    char what[120];
    snprintf(what, sizeof what, "make index '%.60s' of %d dimensions", factory, (int)dim);
    return faiss_fail(err, what, faiss_get_last_error());
}

/* "HNSW32" or "HNSW32,Flat": the M links a row has in each layer, or -1. */
static long hnsw_links(const char *factory) {
    char *end;
    if (strncmp(factory, "HNSW", 4) != 0 || factory[4] < '0' || factory[4] > '9') return -1;
    long links = strtol(factory + 4, &end, 10);
    return *end == 0 || strcmp(end, ",Flat") == 0 ? links : -1;
}

/* What can be built without training and checked when it is read back: Flat and HNSW over flat. FAISS crashes on HNSW0
 * and does not end on HNSW1. */
static Status engine_check(const char *factory, int32_t dim, AnnMetric metric, Err *err) {
    FaissIndex *index;
    long links = hnsw_links(factory);
    if (strcmp(factory, "Flat") != 0 && (links < MIN_LINKS || links > MAX_LINKS))
        return fail(err, ST_BADARG, "index='%.60s' (exact, auto, Flat, HNSW%d .. HNSW%d)", factory, MIN_LINKS, MAX_LINKS);
    TRY(create(&index, factory, dim, metric, err));
    faiss_Index_free(index);
    return ST_OK;
}

static void engine_free(AnnIndex *index) {
    faiss_Index_free(index->state);
    index->state = NULL;
}

/* Rows from .. from + n - 1, normalised for cosine. */
static void copy_rows(const AnnVectors *vectors, int64_t from, int64_t n, float *out) {
    size_t dim = (size_t)vectors->dim;
    memcpy(out, ann_row(vectors, from), (size_t)n * dim * sizeof *out);
    if (vectors->metric != ANN_COSINE) return;
    for (int64_t i = 0; i < n; i++) {
        double norm = vectors->norm[from + i];
        for (size_t j = 0; norm > 0 && j < dim; j++) out[(size_t)i * dim + j] = (float)((double)out[(size_t)i * dim + j] / norm);
    }
}

static Status add_rows(AnnIndex *index, FaissIndex *faiss, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    float *batch = mem_aligned(ADD_BATCH, (size_t)vectors->dim * sizeof *batch);
    Status status = batch ? ST_OK : fail_nomem(err, "a batch of vectors");

    for (int64_t from = 0; from < vectors->n && status == ST_OK; from += ADD_BATCH) {
        int64_t n = vectors->n - from < ADD_BATCH ? vectors->n - from : ADD_BATCH;
        copy_rows(vectors, from, n, batch);
        if (faiss_Index_add(faiss, n, batch)) status = faiss_fail(err, "add vectors", faiss_get_last_error());
        if (!task || status != ST_OK) continue;
        atomic_store(&task->done, from + n);
        if (task_poll(task)) status = fail(err, ST_CANCELLED, "interrupted");
    }
    mem_free(batch);
    return status;
}

static Status engine_build(AnnIndex *index, Task *task, Err *err) {
    FaissIndex *faiss;
    if (task) task_phase(task, "building the index", index->vectors->n);
    TRY(create(&faiss, index->factory, index->vectors->dim, index->vectors->metric, err));
    Quiet quiet = enter(task ? task->threads : 1);
    Status status = add_rows(index, faiss, task, err);
    leave(quiet);
    if (status != ST_OK)
        faiss_Index_free(faiss);
    else
        index->state = faiss;
    return status;
}

static Status engine_save(const AnnIndex *index, Bytes *out, Err *err) {
    char *data = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&data, &len);
    if (!file) return fail_nomem(err, "the stored index");
    int failed = faiss_write_index(index->state, file);
    failed |= fclose(file);
    if (!failed) bytes_append(out, data, len);
    free(data); /* open_memstream's own */
    if (failed) return faiss_fail(err, "write the index", faiss_get_last_error());
    return out->failed ? fail_nomem(err, "the stored index") : ST_OK;
}

static Status engine_load(AnnIndex *index, const void *data, size_t len, Err *err) {
    FaissIndex *faiss = NULL;
    char text[200] = "";
    FILE *file = len ? fmemopen((void *)(uintptr_t)data, len, "rb") : NULL;
    if (!file) return fail(err, ST_CORRUPT, "stored index of %zu bytes", len);
    int failed = faiss_read_index(file, 0, &faiss);
    fclose(file);
    if (failed) {
        faiss_fail(err, "read the stored index", faiss_get_last_error());
        return ST_CORRUPT;
    }
    if (faiss_extra_check(faiss, index->vectors->n, index->vectors->dim, text, sizeof text)) {
        faiss_Index_free(faiss);
        return fail(err, ST_CORRUPT, "the stored index: %s (rebuild mends it)", text);
    }
    index->state = faiss;
    return ST_OK;
}

/* Ask FAISS for `wanted` candidates and push those that are allowed, scored exactly. */
static Status collect(const AnnIndex *index, const AnnSearch *search, int64_t wanted, TopK *top, Err *err) {
    const AnnVectors *vectors = index->vectors;
    size_t dim = (size_t)vectors->dim;
    float *distances = mem_array((size_t)wanted, sizeof *distances);
    int64_t *labels = mem_array((size_t)wanted, sizeof *labels);
    float *query = mem_array(dim, sizeof *query);
    char text[400] = "";
    Status status = distances && labels && query ? ST_OK : fail_nomem(err, "the candidates");
    double norm = sqrt(kernels()->dot(search->query, search->query, dim));

    if (status == ST_OK) {
        int64_t ef = search->ef ? search->ef : DEFAULT_EF;
        for (size_t i = 0; i < dim; i++)
            query[i] = vectors->metric == ANN_COSINE && norm > 0 ? (float)((double)search->query[i] / norm) : search->query[i];
        Quiet quiet = enter(1);
        if (faiss_extra_search(index->state, query, wanted, ef < wanted ? wanted : ef, search->nprobe, distances, labels,
                               text, sizeof text))
            status = faiss_fail(err, "search", text);
        leave(quiet);
    }
    for (int64_t i = 0; status == ST_OK && i < wanted; i++) {
        if (labels[i] < 0 || labels[i] >= vectors->n || !ann_allows(search->allowed, labels[i])) continue;
        double score = ann_score(vectors->metric, search->query, norm, ann_row(vectors, labels[i]), vectors->norm[labels[i]],
                                 vectors->dim);
        if (score >= search->min_score) topk_push(top, score, labels[i]);
    }
    mem_free(distances);
    mem_free(labels);
    mem_free(query);
    return status;
}

/* A filter that leaves many rows over-fetches; few rows, a bound on the score, or too few found: scan exactly. So k rows
 * come back whenever k rows qualify. */
static Status engine_search(const AnnIndex *index, const AnnSearch *search, TopK *top, Err *err) {
    const AnnVectors *vectors = index->vectors;
    int64_t allowed = search->allowed ? search->n_allowed : vectors->n;
    int64_t k = (int64_t)search->k < allowed ? (int64_t)search->k : allowed;
    int scan = search->min_score > -INFINITY || k * 4 >= allowed || allowed * 2 < vectors->n;

    if (k == 0) return ST_OK;
    if (!scan) {
        int64_t wanted = k * vectors->n / allowed + (search->allowed ? k : 0);
        TRY(collect(index, search, wanted < vectors->n ? wanted : vectors->n, top, err));
        scan = (int64_t)top->len < k;
        if (scan) top->len = 0;
    }
    if (scan) ann_scan(vectors, search, top);
    return ST_OK;
}

static size_t engine_memory(const AnnIndex *index) {
    /* rows again, and about 2 M links of 4 bytes a row in a graph */
    return (size_t)index->vectors->n * ((size_t)index->vectors->dim * sizeof(float) + 320);
}

const AnnEngine ann_faiss_engine = {
    .name = "faiss",
    .check = engine_check,
    .build = engine_build,
    .save = engine_save,
    .load = engine_load,
    .search = engine_search,
    .memory = engine_memory,
    .free = engine_free,
};

const char *ann_faiss_version(void) {
    return faiss_extra_version();
}
