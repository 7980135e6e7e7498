/* Building an IVF on a device: k-means and the lists of rows there, whatever codes have to learn on
 * the CPU. What comes back is what the CPU's build would give, up to the order of float32 sums. */
#include <stdlib.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "faiss_plan.h"
#include "gpu_inside.h"

static Status train_there(void *there, const AnnIndex *index, Task *task, Err *err) {
    float *rows;
    int64_t n, lists = strtol(index->factory + 3, NULL, 10); /* IVF4096,... */
    char text[300] = "";
    TRY(ann_faiss_sample(index->vectors, lists, &rows, &n, err));
    Status status = ST_OK;
    int code = gpu_api()->train(
        there, n, rows, task ? task->threads : 1, task_poll_any, task, text, sizeof text);
    if (code) status = gpu_fail(err, code, "train", text);
    if (task && task_cancelled(task)) status = fail(err, ST_CANCELLED, "interrupted");
    mem_free(rows);
    return status;
}

static void append(void *out, const void *data, size_t len) { bytes_append(out, data, len); }

/* Bring the structure here, as if it had been stored. */
static Status fetch(AnnIndex *index, void *there, Err *err) {
    Bytes stored = {0};
    char text[300] = "";
    Status status = ST_OK;
    bytes_u32(&stored, ANN_FAISS_FORMAT);
    int code = gpu_api()->save(there, append, &stored, text, sizeof text);
    if (code) status = gpu_fail(err, code, "give the index back", text);
    if (status == ST_OK && stored.failed) status = fail_nomem(err, "the index");
    if (status == ST_OK) status = index->engine->load(index, stored.data, stored.len, err);
    if (status == ST_CORRUPT) status = ST_DEVICE; /* of what nobody has stored */
    bytes_clear(&stored);
    return status;
}

Status gpu_build(AnnIndex *index, int device, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    char text[300] = "", factory[64];
    RecGpuSpec spec = {.device = device == DEVICE_ALL ? 0 : device,
        .dim = vectors->dim,
        .inner_product = vectors->metric != ANN_L2,
        .factory = factory};
    void *there = NULL;
    ann_faiss_plain_factory(index->factory, factory);
    TRY(ann_faiss_check_norms(vectors, err));
    /* lists grow by doubling */
    TRY(gpu_check_room(spec.device, 2 * gpu_bytes(index, vectors->n), err));
    int code = gpu_api()->create(&there, &spec, text, sizeof text);
    if (code) return gpu_fail(err, code, "make the index", text);
    if (task) task_phase(task, "training", "rows", vectors->n, vectors->n);
    Status status = dense_begin_threads(task ? task->threads : 1, err);
    int began = status == ST_OK;
    if (status == ST_OK) status = train_there(there, index, task, err);
    if (task) task_phase(task, "building the index", "rows", vectors->n, vectors->n);
    if (status == ST_OK) status = gpu_add_rows(there, vectors, 0, vectors->n, task, err);
    if (status == ST_OK) status = fetch(index, there, err);
    if (began) dense_end();
    gpu_api()->destroy(there);
    return status;
}
