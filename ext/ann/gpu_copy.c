/* Copies of an index on one device or several. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "codes.h"
#include "faiss_plan.h"
#include "gpu_inside.h"

enum { ADD_BATCH = 65536, SCRATCH_MB = 256 };

int gpu_is_ivf(const AnnIndex *index) {
    return index->engine == &ann_faiss_engine && strncmp(index->factory, "IVF", 3) == 0;
}

uint64_t gpu_bytes(const AnnIndex *index, int64_t n) {
    uint64_t element = index->vectors->storage == ANN_F32 ? sizeof(float) : 2,
             own_number = sizeof(int64_t), norm = sizeof(float), rows = (uint64_t)n;
    uint64_t bytes = gpu_is_ivf(index)
        ? index->engine->predict(index->factory, n, index->vectors->dim) + rows * own_number
        : rows * ((uint64_t)index->vectors->dim * element + norm);
    /* rows that grow are copied: for a moment both are there */
    if (!gpu_is_ivf(index) && n > ADD_BATCH) bytes *= 2;
    return bytes + bytes / 8 + ((uint64_t)SCRATCH_MB << 20);
}

Status gpu_check_room(int device, uint64_t needed, Err *err) {
    GpuInfo info;
    TRY(gpu_info(device, &info, err));
    if (needed <= info.memory_free) return ST_OK;
    return fail(err, ST_NOROOM,
        "GPU %d has %.1f of %.1f GiB free, the index needs %.1f (drop-cache gives back what nobody "
        "uses)",
        device, ldexp((double)info.memory_free, -30), ldexp((double)info.memory_total, -30),
        ldexp((double)needed, -30));
}

void gpu_copy_free(void *copy) {
    GpuCopy *c = copy;
    if (!c) return;
    for (int p = 0; p < c->n_parts; p++)
        if (c->part[p].index && gpu_usable()) gpu_api()->destroy(c->part[p].index);
    mem_free(c);
}

int gpu_copy_pays(const GpuCopy *c) {
    int64_t asked = atomic_load(&c->asked);
    return asked < 1000 || atomic_load(&c->unsettled) * 2 <= asked;
}

Status gpu_add_rows(
    void *index, const AnnVectors *vectors, int64_t from, int64_t n, Task *task, Err *err) {
    size_t dim = (size_t)vectors->dim;
    char text[300] = "";
    float *batch = mem_array(n < ADD_BATCH ? (size_t)n : ADD_BATCH, dim * sizeof *batch);
    Status status = batch ? ST_OK : fail_nomem(err, "a batch of vectors");
    for (int64_t at = 0; at < n && status == ST_OK; at += ADD_BATCH) {
        int64_t rows = n - at < ADD_BATCH ? n - at : ADD_BATCH;
        for (int64_t i = 0; i < rows; i++)
            ann_unit_row(vectors, from + at + i, batch + (size_t)i * dim);
        int code = gpu_api()->add(index, rows, batch, text, sizeof text);
        if (code) status = gpu_fail(err, code, "copy the vectors", text);
        if (task) atomic_store(&task->done, at + rows);
        if (status == ST_OK && task_poll_any(task)) status = fail(err, ST_CANCELLED, "interrupted");
    }
    mem_free(batch);
    return status;
}

/* One device; or all of them: each the whole index where the least of them has room for it, else
 * each as many rows as another. */
static Status choose_parts(GpuCopy *c, const AnnIndex *index, int device, Err *err) {
    int64_t n = index->vectors->n;
    char reason[300] = "";
    Err unused;
    c->n_parts = 1;
    c->part[0] = (GpuPart){.device = device, .n = n};
    if (device != DEVICE_ALL) return gpu_check_room(device, gpu_bytes(index, n), err);
    TRY(gpu_check(0, err));
    int devices = gpu_count(reason, sizeof reason), fits = 1;
    if (devices > GPU_MAX_DEVICES) devices = GPU_MAX_DEVICES;
    for (int d = 0; d < devices && fits; d++) {
        Status status = gpu_check_room(d, gpu_bytes(index, n), &unused);
        if (status != ST_OK && status != ST_NOROOM) return fail(err, status, "%s", unused.text);
        fits = status == ST_OK;
    }
    c->n_parts = devices;
    c->is_shards = !fits;
    for (int d = 0; d < devices; d++) {
        int64_t from = fits ? 0 : n * d / devices, to = fits ? n : n * (d + 1) / devices;
        c->part[d] = (GpuPart){.device = d, .from = from, .n = to - from};
        if (!fits) TRY(gpu_check_room(d, gpu_bytes(index, to - from), err));
    }
    return ST_OK;
}

/* structure: FAISS's own bytes behind the engine's u32 format; empty for rows alone. */
static Status fill_part(const GpuCopy *c, GpuPart *part, const AnnIndex *index,
    const Bytes *structure, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    RecGpuSpec spec = {.device = part->device,
        .dim = vectors->dim,
        .inner_product = vectors->metric != ANN_L2,
        .half = c->half,
        .n = vectors->n,
        .from = part->from,
        .to = part->from + part->n};
    char text[300] = "", factory[64];
    if (!c->is_exact) {
        ann_faiss_plain_factory(index->factory, factory);
        spec.factory = factory;
        spec.structure = structure->data + sizeof(uint32_t);
        spec.structure_len = structure->len - sizeof(uint32_t);
    }
    int code = gpu_api()->create(&part->index, &spec, text, sizeof text);
    if (code) return gpu_fail(err, code, "hold the index", text);
    return c->is_exact ? gpu_add_rows(part->index, vectors, part->from, part->n, task, err) : ST_OK;
}

static Status fill_parts(GpuCopy *c, const AnnIndex *index, Task *task, Err *err) {
    Bytes structure = {0};
    Status status = c->is_exact ? ST_OK : index->engine->save(index, &structure, err);
    if (status == ST_OK && !c->is_exact && structure.len <= sizeof(uint32_t))
        status = fail(err, ST_DEVICE, "index='%.60s' cannot be copied to a GPU", index->factory);
    for (int p = 0; p < c->n_parts && status == ST_OK; p++) {
        status = fill_part(c, &c->part[p], index, &structure, task, err);
        if (status == ST_OK && task_poll_any(task)) status = fail(err, ST_CANCELLED, "interrupted");
    }
    bytes_clear(&structure);
    return status;
}

Status gpu_copy_new(GpuCopy **out, const AnnIndex *index, int device, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    GpuCopy *c = mem_zeros(1, sizeof *c);
    *out = NULL;
    if (!c) return fail_nomem(err, "the copy");
    c->is_exact = !gpu_is_ivf(index);
    c->half = vectors->storage != ANN_F32;
    for (int64_t i = 0; i < vectors->n; i++) c->longest = fmax(c->longest, vectors->norm[i]);
    if (vectors->metric == ANN_COSINE) c->longest = 1;
    if (c->half && c->longest > HALF_MAX) c->longest = INFINITY;
    Status status = code_is_usual(c->longest) || c->longest == 0
        ? choose_parts(c, index, device, err)
        : fail(err, ST_DEVICE, "GPU: a vector is too long or too short for float%d",
              c->half ? 16 : 32);
    if (status == ST_OK) status = fill_parts(c, index, task, err);
    if (status == ST_OK) *out = c;
    else gpu_copy_free(c);
    return status;
}
