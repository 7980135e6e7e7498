#define _GNU_SOURCE /* dladdr */
#include "gpu.h"

#include <ctype.h>
#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "codes.h"
#include "faiss_plan.h"
#include "gpu_api.h"

enum { HALF_MAX = 65504, ADD_BATCH = 65536, EXTRA = 32, SCRATCH_MB = 256, ANSWER_BATCH = 4096 };

Status device_parse(const char *text, DeviceChoice *out, Err *err) {
    char *end;
    *out = (DeviceChoice){DEVICE_CPU, 0};
    if (strcmp(text, "cpu") == 0) return ST_OK;
    out->kind = strcmp(text, "auto") == 0 ? DEVICE_AUTO : DEVICE_GPU;
    if (out->kind == DEVICE_AUTO || strcmp(text, "gpu") == 0) return ST_OK;
    long number = strncmp(text, "gpu:", 4) == 0 && isdigit((unsigned char)text[4]) ? strtol(text + 4, &end, 10) : -1;
    if (number < 0 || number > 1023 || *end) return fail(err, ST_BADARG, "device=%.40s (cpu, gpu, gpu:N, auto)", text);
    out->number = (int)number;
    return ST_OK;
}

/* ---- the plug-in ---- */

static struct {
    pthread_once_t once;
    const RecGpuApi *api;
    pid_t process; /* CUDA does not live on in a forked child */
    char reason[200];
} plugin = {.once = PTHREAD_ONCE_INIT};

/* recommend_gpu.so beside the object that this code is in, as it was found when it was loaded: what was then a relative name means
 * another file once the process is in another folder. */
static pthread_once_t placed = PTHREAD_ONCE_INIT;
static char plugin_path[PATH_MAX];

static void find_place(void) {
    Dl_info info;
    char real[PATH_MAX];
    if (!dladdr(&plugin, &info) || !info.dli_fname || !strchr(info.dli_fname, '/') || !realpath(info.dli_fname, real)) return;
    char *slash = strrchr(real, '/');
    if (snprintf(plugin_path, sizeof plugin_path, "%.*s/recommend_gpu.so", (int)(slash - real), real) >= (int)sizeof plugin_path) plugin_path[0] = 0;
}

void gpu_remember_place(void) {
    pthread_once(&placed, find_place);
}

static void open_plugin(void) {
    plugin.process = getpid();
    gpu_remember_place();
    if (!plugin_path[0] || access(plugin_path, R_OK) != 0) {
        snprintf(plugin.reason, sizeof plugin.reason, "recommend_gpu.so is not beside the extension (make gpu builds it)");
        return;
    }
    void *library = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);
    const RecGpuApi *(*entry)(void) = NULL;
    void *symbol = library ? dlsym(library, "recommend_gpu") : NULL;
    memcpy(&entry, &symbol, sizeof entry);
    if (!entry) {
        const char *text = dlerror();
        snprintf(plugin.reason, sizeof plugin.reason, "recommend_gpu.so cannot be opened: %.140s", text ? text : "no reason given");
    } else if (entry()->version != REC_GPU_VERSION) {
        snprintf(plugin.reason, sizeof plugin.reason, "recommend_gpu.so has version %u of the interface, this library %d: build them together", entry()->version, REC_GPU_VERSION);
    } else {
        plugin.api = entry();
    }
}

int gpu_count(char *reason, size_t size) {
    int n = 0;
    pthread_once(&plugin.once, open_plugin);
    if (!plugin.api)
        snprintf(reason, size, "%s", plugin.reason);
    else if (plugin.process != getpid())
        snprintf(reason, size, "a forked process cannot use the GPU that its parent has opened");
    else if (plugin.api->count(&n, reason, size) != 0)
        n = 0;
    return n;
}

static Status gpu_fail(Err *err, const char *what, const char *text) {
    if (strstr(text, "out of memory") || strstr(text, "bad_alloc")) return fail(err, ST_BADARG, "GPU: no memory to %s: %.150s", what, text);
    return fail(err, ST_BADARG, "GPU cannot %s: %.200s", what, text);
}

/* The device is there and ours to use. */
static Status gpu_check(int device, Err *err) {
    char reason[300] = "";
    int n = gpu_count(reason, sizeof reason);
    if (n == 0) return fail(err, ST_BADARG, "device=gpu: %s", reason);
    return device < n ? ST_OK : fail(err, ST_BADARG, "device=gpu:%d: there are %d", device, n);
}

Status gpu_info(int device, GpuInfo *out, Err *err) {
    RecGpuDevice info;
    char text[300] = "";
    TRY(gpu_check(device, err));
    if (plugin.api->device(device, &info, text, sizeof text)) return gpu_fail(err, "be asked", text);
    memcpy(out->name, info.name, sizeof out->name);
    out->memory_total = info.memory_total;
    out->memory_free = info.memory_free;
    return ST_OK;
}

/* Why the last search with device=auto stayed on the CPU. */
static pthread_mutex_t note_mutex = PTHREAD_MUTEX_INITIALIZER;
static char note[300];

void gpu_note(const char *reason) {
    pthread_mutex_lock(&note_mutex);
    snprintf(note, sizeof note, "%s", reason);
    pthread_mutex_unlock(&note_mutex);
}

void gpu_noted(char *out, size_t size) {
    pthread_mutex_lock(&note_mutex);
    snprintf(out, size, "%s", note);
    pthread_mutex_unlock(&note_mutex);
}

/* ---- copies ---- */

struct GpuCopy {
    void *index; /* the plug-in's */
    int device;
    int is_exact;     /* all rows, without a structure */
    int half;
    double longest;   /* norm of a row */
};

static int is_ivf(const AnnIndex *index) {
    return index->engine == &ann_faiss_engine && strncmp(index->factory, "IVF", 3) == 0;
}

uint64_t gpu_copy_bytes(const AnnIndex *index) {
    uint64_t row = index->vectors->storage == ANN_F32 ? sizeof(float) : 2;
    uint64_t rows = is_ivf(index) ? index->engine->predict(index->factory, index->vectors->n, index->vectors->dim) + (uint64_t)index->vectors->n * 8 : (uint64_t)index->vectors->n * (uint64_t)index->vectors->dim * row + (uint64_t)index->vectors->n * sizeof(float);
    return rows + rows / 8 + ((uint64_t)SCRATCH_MB << 20);
}

void gpu_copy_free(void *copy) {
    GpuCopy *c = copy;
    if (!c) return;
    if (c->index && plugin.process == getpid()) plugin.api->destroy(c->index);
    mem_free(c);
}

static Status add_rows(GpuCopy *c, const AnnVectors *vectors, Task *task, Err *err) {
    size_t dim = (size_t)vectors->dim;
    char text[300] = "";
    float *batch = mem_array(vectors->n < ADD_BATCH ? (size_t)vectors->n : ADD_BATCH, dim * sizeof *batch);
    Status status = batch ? ST_OK : fail_nomem(err, "a batch of vectors");
    for (int64_t from = 0; from < vectors->n && status == ST_OK; from += ADD_BATCH) {
        int64_t n = vectors->n - from < ADD_BATCH ? vectors->n - from : ADD_BATCH;
        for (int64_t i = 0; i < n; i++) ann_unit_row(vectors, from + i, batch + (size_t)i * dim);
        if (plugin.api->add(c->index, n, batch, text, sizeof text)) status = gpu_fail(err, "copy the vectors", text);
        if (status == ST_OK && task && task_poll(task)) status = fail(err, ST_CANCELLED, "interrupted");
    }
    mem_free(batch);
    return status;
}

/* The CPU's structure in FAISS's own bytes, behind the engine's u32 format. */
static Status create(GpuCopy *c, const AnnIndex *index, Err *err) {
    const AnnVectors *vectors = index->vectors;
    RecGpuSpec spec = {.device = c->device, .dim = vectors->dim, .inner_product = vectors->metric != ANN_L2, .half = c->half, .n = vectors->n};
    Bytes structure = {0};
    char text[300] = "";
    Status status = ST_OK;
    if (!c->is_exact) {
        status = index->engine->save(index, &structure, err);
        if (status == ST_OK && structure.len <= sizeof(uint32_t)) status = fail(err, ST_BADARG, "index='%.60s' cannot be copied to a GPU", index->factory);
        spec.factory = index->factory;
        spec.structure = structure.data + sizeof(uint32_t);
        spec.structure_len = structure.len - sizeof(uint32_t);
    }
    if (status == ST_OK && plugin.api->create(&c->index, &spec, text, sizeof text)) status = gpu_fail(err, "hold the index", text);
    bytes_clear(&structure);
    return status;
}

Status gpu_copy_new(GpuCopy **out, const AnnIndex *index, int device, Task *task, Err *err) {
    GpuInfo info;
    uint64_t needed = gpu_copy_bytes(index);
    *out = NULL;
    TRY(gpu_info(device, &info, err));
    if (needed > info.memory_free)
        return fail(err, ST_BADARG, "GPU %d has %.1f of %.1f GiB free, the index needs %.1f (drop-cache gives back what nobody uses)", device, ldexp((double)info.memory_free, -30), ldexp((double)info.memory_total, -30), ldexp((double)needed, -30));
    GpuCopy *c = mem_zeros(1, sizeof *c);
    if (!c) return fail_nomem(err, "the copy");
    *c = (GpuCopy){.device = device, .is_exact = !is_ivf(index), .half = index->vectors->storage != ANN_F32};
    for (int64_t i = 0; i < index->vectors->n; i++) c->longest = fmax(c->longest, index->vectors->norm[i]);
    if (index->vectors->metric == ANN_COSINE) c->longest = 1;
    if (c->half && c->longest > HALF_MAX) c->longest = INFINITY;
    Status status = code_is_usual(c->longest) || c->longest == 0 ? create(c, index, err) : fail(err, ST_BADARG, "GPU: a vector is too long for float%d", c->half ? 16 : 32);
    if (status == ST_OK && c->is_exact) status = add_rows(c, index->vectors, task, err);
    if (status == ST_OK)
        *out = c;
    else
        gpu_copy_free(c);
    return status;
}

/* ---- searching ---- */

/* How far a score of the device may be from the exact one: a float32 sum of dim products (Higham 2002, 3.1); of Euclidean distances
 * |x|^2 - 2 x.q + |q|^2. Rows and queries rounded to float16: relatively, and by half a step of its smallest numbers an element. */
static double score_error(const GpuCopy *c, const AnnVectors *vectors, double query_norm) {
    double unit = (double)(vectors->dim + 16) * ldexp(1, -24) + (c->half ? ldexp(1, -10) : 0), both = query_norm + c->longest;
    double reach = vectors->metric == ANN_L2 ? both * both : query_norm * c->longest;
    return 2 * unit * reach + (c->half ? ldexp(sqrt((double)vectors->dim), -23) * both : 0);
}

/* Score one query's candidates; 0: a row that is not among them may still belong to the best. */
static int settle(const GpuCopy *c, const AnnVectors *vectors, const AnnSearch *search, double norm, const float *distance, const int64_t *label, int64_t wanted, float *scratch, TopK *top) {
    double least = INFINITY;
    int64_t found = 0;
    for (int64_t i = 0; i < wanted; i++) {
        if (label[i] < 0 || label[i] >= vectors->n) continue;
        found++;
        if (!ann_allows(search->allowed, label[i])) continue;
        topk_push(top, ann_score(vectors->metric, search->query, norm, ann_vector(vectors, label[i], scratch), vectors->norm[label[i]], vectors->dim), label[i]);
    }
    if (top->len < search->k && (int64_t)top->len < ann_n_allowed(vectors, search)) return 0;
    if (!c->is_exact || found == vectors->n) return 1;
    for (size_t i = 0; i < top->len; i++) least = fmin(least, top->item[i].score);
    double last = (double)distance[wanted - 1], bound = vectors->metric == ANN_L2 ? -last : last;
    return isfinite(last) && least > bound + score_error(c, vectors, vectors->metric == ANN_COSINE ? (norm > 0 ? 1 : 0) : norm);
}

typedef struct Answers {
    float *query, *distance, *scratch;
    int64_t *label;
} Answers;

static Status answers_alloc(Answers *a, int64_t n, int64_t wanted, size_t dim, Err *err) {
    a->query = mem_array((size_t)n, dim * sizeof *a->query);
    a->distance = mem_array((size_t)n, (size_t)wanted * sizeof *a->distance);
    a->label = mem_array((size_t)n, (size_t)wanted * sizeof *a->label);
    a->scratch = mem_array(dim, sizeof *a->scratch);
    return a->query && a->distance && a->label && a->scratch ? ST_OK : fail_nomem(err, "the candidates");
}

static void answers_clear(Answers *a) {
    mem_free(a->query);
    mem_free(a->distance);
    mem_free(a->label);
    mem_free(a->scratch);
}

static Status answer(GpuCopy *c, const AnnIndex *index, const AnnSearch *searches, TopK *tops, int64_t n, int64_t wanted, int64_t nprobe, Answers *a, Err *err) {
    const AnnVectors *vectors = index->vectors;
    size_t dim = (size_t)vectors->dim;
    char text[300] = "";
    for (int64_t i = 0; i < n; i++) ann_unit_query(vectors, searches[i].query, sqrt(kernels()->dot(searches[i].query, searches[i].query, dim)), a->query + (size_t)i * dim);
    if (plugin.api->search(c->index, n, a->query, wanted, nprobe, a->distance, a->label, text, sizeof text)) return gpu_fail(err, "search", text);
    for (int64_t i = 0; i < n; i++) {
        double norm = sqrt(kernels()->dot(searches[i].query, searches[i].query, dim));
        int fits = code_is_usual(norm) && (!c->half || vectors->metric == ANN_COSINE || norm <= HALF_MAX);
        if (fits && settle(c, vectors, &searches[i], norm, a->distance + i * wanted, a->label + i * wanted, wanted, a->scratch, &tops[i])) continue;
        tops[i].len = 0;
        if (c->is_exact && index->engine != &ann_exact_engine) /* a graph's answer would not be exact */
            TRY(ann_scan(vectors, &searches[i], &tops[i], err));
        else
            TRY(index->engine->search(index, &searches[i], &tops[i], 1, err));
    }
    return ST_OK;
}

Status gpu_copy_search(GpuCopy *c, const AnnIndex *index, const AnnSearch *searches, TopK *tops, int64_t n, int *done, Err *err) {
    const AnnVectors *vectors = index->vectors;
    int64_t k = (int64_t)searches->k, wanted = k + (k > 4 * EXTRA ? k / 4 : EXTRA), nprobe = 0;
    int64_t batch = n < ANSWER_BATCH ? n : ANSWER_BATCH;
    Answers a = {0};
    *done = 0;
    if (!c->is_exact && !ann_faiss_plan(index, searches, &wanted, &nprobe)) return ST_OK;
    wanted += vectors->n - ann_n_allowed(vectors, searches); /* a device knows no filter: as many more as it may find in vain */
    if (wanted > vectors->n) wanted = vectors->n;
    if (k < 1 || vectors->n < 1 || wanted > REC_GPU_MAX_K || nprobe > REC_GPU_MAX_K) return ST_OK;
    TRY(gpu_check(c->device, err));
    Status status = answers_alloc(&a, batch, wanted, (size_t)vectors->dim, err);
    for (int64_t from = 0; from < n && status == ST_OK; from += batch)
        status = answer(c, index, searches + from, tops + from, n - from < batch ? n - from : batch, wanted, nprobe, &a, err);
    answers_clear(&a);
    *done = status == ST_OK;
    return status;
}
