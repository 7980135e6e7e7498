/* Searching the loaded copy of a rec_index: which rows of the base a request allows, the engine's
 * answer over those, and the rows of the overlay scored one by one. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "../../base/bits.h"
#include "../../base/ids.h"
#include "../../base/memory.h"
#include "../../math/kernels.h"
#include "../host/cache.h"
#include "../host/device_copy.h"
#include "index.h"

/* GROUP queries are answered by a worker in one call: they share the passes over the codes. One
 * alone past a k of MANY, which takes so long that an interrupt should not wait for the others. */
enum { GROUP = 16, MANY = 1000 };

static int contains(const int64_t *sorted, size_t n, int64_t id) {
    return ids_find(sorted, (int64_t)n, id) >= 0;
}

static int conditions_hold(const IndexTable *table, const IndexRequest *request, int32_t slot) {
    const Cell *cell = table->overlay.cell + (size_t)slot * (size_t)table->n_meta;
    for (size_t i = 0; i < request->n_conditions; i++)
        if (!condition_holds(&request->condition[i], &cell[request->condition[i].column])) return 0;
    return 1;
}

/* Which of the rows of the base satisfy the conditions: by the base's columns, but for rows whose
 * metadata have changed since. */
static Status apply_conditions(
    const IndexTable *table, const IndexRequest *request, uint64_t *bits, Err *err) {
    const IndexOverlay *overlay = &table->overlay;
    int32_t n = keymap_count(overlay->slot), kept = 0;
    /* positions to set again */
    int64_t *again = mem_array((size_t)overlay->n_meta_only, sizeof *again);
    if (!again) return fail_nomem(err, "the filter");
    for (int32_t s = 0; s < n && overlay->n_meta_only; s++) {
        if (overlay->kind[s] != SLOT_META) continue;
        int64_t at = index_base_position(table->loaded, keymap_key(overlay->slot, s).integer);
        if (at < 0 || !ann_allows(bits, at)) continue;
        bits_remove(bits, at);
        if (conditions_hold(table, request, s)) again[kept++] = at;
    }
    Status status = ST_OK;
    for (size_t i = 0; i < request->n_conditions && status == ST_OK; i++)
        status = condition_apply(
            &request->condition[i], &table->loaded->meta[request->condition[i].column], bits, err);
    for (int32_t i = 0; i < kept; i++) bits_add(bits, again[i]);
    mem_free(again);
    return status;
}

/* Base positions that the request allows, as bits; *out is NULL when all are. */
static Status allowed_positions(
    const IndexTable *table, const IndexRequest *request, uint64_t **out, int64_t *n, Err *err) {
    const IndexBase *base = table->loaded;
    const IndexOverlay *overlay = &table->overlay;
    size_t words = bits_words(base->vectors.n);
    Status status = ST_OK;
    *out = NULL;
    *n = base->vectors.n;
    if (!request->only && !request->n_exclude && !request->n_conditions &&
        overlay->n_live == base->vectors.n)
        return ST_OK;
    uint64_t *bits = mem_zeros(words, sizeof *bits);
    if (!bits) return fail_nomem(err, "the filter");
    if (!request->only) memcpy(bits, overlay->live, words * sizeof *bits);
    for (size_t i = 0; request->only && i < request->n_only; i++) {
        int64_t at = index_base_position(base, request->only[i]);
        if (at >= 0 && ann_allows(overlay->live, at)) bits_add(bits, at);
    }
    for (size_t i = 0; i < request->n_exclude; i++) {
        int64_t at = index_base_position(base, request->exclude[i]);
        if (at >= 0) bits_remove(bits, at);
    }
    if (request->n_conditions) status = apply_conditions(table, request, bits, err);
    if (status != ST_OK) {
        mem_free(bits);
        return status;
    }
    *n = 0;
    for (size_t w = 0; w < words; w++) *n += __builtin_popcountll(bits[w]);
    *out = bits;
    return ST_OK;
}

static int overlay_allows(
    const IndexTable *table, const IndexRequest *request, int32_t slot, int64_t id) {
    if (request->only && !contains(request->only, request->n_only, id)) return 0;
    return !contains(request->exclude, request->n_exclude, id) &&
        conditions_hold(table, request, slot);
}

static void search_overlay(
    const IndexTable *table, const IndexRequest *request, const float *query, TopK *top) {
    double norm = sqrt(kernels()->dot(query, query, (size_t)table->dim));
    for (int32_t s = 0; s < keymap_count(table->overlay.slot); s++) {
        int64_t id = keymap_key(table->overlay.slot, s).integer;
        if (table->overlay.kind[s] != SLOT_ROW || !overlay_allows(table, request, s, id)) continue;
        const float *row = table->overlay.row + (size_t)s * (size_t)table->dim;
        double row_norm = sqrt(kernels()->dot(row, row, (size_t)table->dim));
        double score = ann_score(table->metric, query, norm, row, row_norm, table->dim);
        if (score >= request->min_score) topk_push(top, score, id);
    }
}

/* The base's rows that were found for a query, by id, and the overlay's; found's positions are
 * below the base's rows. */
static Status merge(const IndexTable *table, const IndexRequest *request, const float *query,
    const TopK *found, TopK *top, Err *err) {
    size_t most = found->k + (size_t)keymap_count(table->overlay.slot);
    TRY(topk_init(top, most < request->k ? most : request->k, err));
    for (size_t j = 0; j < found->len; j++)
        topk_push(top, found->item[j].score, table->loaded->id[found->item[j].id]);
    search_overlay(table, request, query, top);
    topk_sort(top);
    return ST_OK;
}

/* What the engine is asked for a query of the request. */
static AnnSearch search_of(const IndexTable *table, const IndexRequest *request,
    const uint64_t *allowed, int64_t n_allowed, const float *queries, int64_t i) {
    size_t k = (int64_t)request->k < n_allowed ? request->k : (size_t)n_allowed;
    return (AnnSearch){.query = queries ? queries + (size_t)i * (size_t)table->dim : NULL,
        .k = k,
        .min_score = request->min_score,
        .allowed = allowed,
        .n_allowed = n_allowed,
        .ef = request->ef,
        .nprobe = request->nprobe,
        .candidates = request->candidates};
}

/* n queries, one after the other in memory, by one call of the engine. */
static Status search_group(const IndexTable *table, const IndexRequest *request,
    const uint64_t *allowed, int64_t n_allowed, const float *queries, int n, TopK *tops, Err *err) {
    const IndexBase *base = table->loaded;
    AnnSearch search[GROUP] = {{0}};
    TopK found[GROUP] = {{0}};
    Status status = ST_OK;
    for (int i = 0; i < n && status == ST_OK; i++) {
        search[i] = search_of(table, request, allowed, n_allowed, queries, i);
        status = topk_init(&found[i], search[i].k, err);
    }
    if (status == ST_OK) status = base->index.engine->search(&base->index, search, found, n, err);
    for (int i = 0; i < n && status == ST_OK; i++)
        status = merge(table, request, search[i].query, &found[i], &tops[i], err);
    for (int i = 0; i < n; i++) topk_clear(&found[i]);
    return status;
}

/* ---- on a GPU ---- */

static Status search_copy(const IndexTable *table, GpuCopy *copy, const IndexRequest *request,
    const uint64_t *allowed, int64_t n_allowed, const float *queries, int64_t n, TopK *tops,
    Task *task, Err *err) {
    AnnSearch *search = mem_array((size_t)n, sizeof *search);
    TopK *found = mem_zeros((size_t)n, sizeof *found);
    Status status = search && found ? ST_OK : fail_nomem(err, "a batch of queries");
    for (int64_t i = 0; i < n && status == ST_OK; i++) {
        search[i] = search_of(table, request, allowed, n_allowed, queries, i);
        status = topk_init(&found[i], search[i].k, err);
    }
    if (status == ST_OK)
        status = gpu_copy_search(
            copy, &table->loaded->index, search, found, n, task ? task->threads : 0, task, err);
    for (int64_t i = 0; i < n && status == ST_OK; i++)
        status = merge(table, request, search[i].query, &found[i], &tops[i], err);
    for (int64_t i = 0; i < n && found; i++) topk_clear(&found[i]);
    mem_free(search);
    mem_free(found);
    return status;
}

/* The copy that a request's n queries are for; NULL where the CPU answers. */
static Status take_copy(IndexTable *table, const IndexRequest *request, const uint64_t *allowed,
    int64_t n_allowed, int64_t n, GpuCopy **out, Err *err) {
    DeviceChoice device = request->device;
    *out = NULL;
    if (n == 0 ||
        !device_is_worth(device, (double)n * (double)table->loaded->vectors.n * (double)table->dim))
        return ST_OK;
    if (device.kind == DEVICE_GPU) TRY(gpu_check(device.number, err));
    AnnSearch first = search_of(table, request, allowed, n_allowed, NULL, 0);
    return gpu_suits(&table->loaded->index, &first) ? index_view_copy(table, device, out, err)
                                                    : ST_OK;
}

static Status search_once(IndexTable *table, const IndexRequest *request, TopK *top, Err *err) {
    uint64_t *allowed;
    int64_t n_allowed;
    GpuCopy *copy = NULL;
    TRY(allowed_positions(table, request, &allowed, &n_allowed, err));
    Status status = take_copy(table, request, allowed, n_allowed, 1, &copy, err);
    int here = status == ST_OK && !copy;
    if (copy) {
        status = search_copy(
            table, copy, request, allowed, n_allowed, request->query, 1, top, NULL, err);
        here = device_gave_up(request->device, status, err);
        cache_release(copy);
    }
    if (here)
        status = search_group(table, request, allowed, n_allowed, request->query, 1, top, err);
    mem_free(allowed);
    return status;
}

/* ---- rows that have gone without a word ---- */

/* Ids that a search leaves out besides those of its request. */
typedef struct GoneRows {
    int64_t *id; /* ascending */
    size_t n;
} GoneRows;

static Status left_add(GoneRows *left, const int64_t *id, size_t n, Err *err) {
    int64_t *grown = mem_resize(left->id, left->n + n, sizeof *grown);
    if (!grown) return fail_nomem(err, "the rows that have gone");
    left->id = grown;
    if (n) memcpy(grown + left->n, id, n * sizeof *grown);
    left->n += n;
    ids_sort(grown, left->n);
    return ST_OK;
}

/* Found ids whose row is not there any more, or has no vector; *any says whether there were
 * some. */
static Status leave_out_gone(
    IndexTable *table, const TopK *top, GoneRows *left, int *any, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    size_t before = left->n;
    Status status = ST_OK;
    TRY(index_statement(table, GET_ROW, &statement, err));
    for (size_t i = 0; i < top->len && status == ST_OK; i++) {
        sqlite3_bind_int64(statement, 1, top->item[i].id);
        status = sql_step(table->db, statement, &has_row, err);
        int gone = status == ST_OK &&
            (!has_row || sqlite3_column_type(statement, ROW_VECTOR) == SQLITE_NULL);
        sqlite3_reset(statement);
        if (gone) status = left_add(left, &top->item[i].id, 1, err);
    }
    *any = left->n > before;
    return status;
}

/* All of them, by one pass over the table. */
static Status leave_out_all_gone(IndexTable *table, GoneRows *left, Err *err) {
    int64_t *id;
    size_t n;
    Status status = index_view_gone(table, &id, &n, err);
    if (status == ST_OK) status = left_add(left, id, n, err);
    mem_free(id);
    return status;
}

/* REPLACE through another key deletes a row of the user's table without firing a trigger. Rows that
 * were found and are gone are left out, and the search runs again; where that goes on, all rows
 * that are gone are looked for. Nothing of it is remembered: neither such a deletion nor its
 * rollback leaves a change behind. */
static Status without_gone(IndexTable *table, const IndexRequest *request, TopK *top, Err *err) {
    enum { ROUNDS = 3 };
    GoneRows left = {0};
    int any = 0;
    Status status = leave_out_gone(table, top, &left, &any, err);
    if (status == ST_OK && any) status = left_add(&left, request->exclude, request->n_exclude, err);
    for (int round = 1; status == ST_OK && any; round++) {
        IndexRequest again = *request;
        if (round == ROUNDS) status = leave_out_all_gone(table, &left, err);
        again.exclude = left.id;
        again.n_exclude = left.n;
        topk_clear(top);
        *top = (TopK){0};
        if (status == ST_OK) status = search_once(table, &again, top, err);
        if (status == ST_OK) status = leave_out_gone(table, top, &left, &any, err);
    }
    mem_free(left.id);
    return status;
}

Status index_search(IndexTable *table, const IndexRequest *request, TopK *top, Err *err) {
    TRY(search_once(table, request, top, err));
    return table->content ? without_gone(table, request, top, err) : ST_OK;
}

/* ---- batches ---- */

struct IndexBatch {
    IndexTable *table;
    const IndexRequest *request;
    uint64_t *allowed;
    int64_t n_allowed;
    const float *queries;
    int64_t n;
    int64_t group; /* queries of a piece */
    TopK *tops;
    GpuCopy *copy;
    TaskFailure failure;
    Task *host; /* the caller's, which is polled on her thread alone */
    Task task;  /* of the search */
    Status status;
    Err err;
    /* in the background */
    int has_thread;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    int is_over;
};

static void search_piece(void *context, int64_t piece, int worker) {
    IndexBatch *batch = context;
    int64_t from = piece * batch->group,
            n = batch->n - from < batch->group ? batch->n - from : batch->group;
    Err err = {0};
    (void)worker;
    task_failure_note(&batch->failure,
        search_group(batch->table, batch->request, batch->allowed, batch->n_allowed,
            batch->queries + from * batch->table->dim, (int)n, batch->tops + from, &err),
        &err);
}

static Status search_here(IndexBatch *batch, Task *task, Err *err) {
    int64_t pieces = (batch->n + batch->group - 1) / batch->group;
    if (pieces != 1 || batch->group == 1)
        return task_failure(&batch->failure, task_run(task, pieces, search_piece, batch, err), err);
    search_piece(batch, 0, 0); /* on this thread: too short to be interrupted */
    return task_failure(&batch->failure, ST_OK, err);
}

static void search_batch(IndexBatch *batch, Task *task) {
    int here = !batch->copy;
    if (batch->copy) {
        batch->status = search_copy(batch->table, batch->copy, batch->request, batch->allowed,
            batch->n_allowed, batch->queries, batch->n, batch->tops, task, &batch->err);
        here = device_gave_up(batch->request->device, batch->status, &batch->err);
    }
    if (here) batch->status = search_here(batch, task, &batch->err);
}

static void *search_in_background(void *context) {
    IndexBatch *batch = context;
    search_batch(batch, &batch->task);
    pthread_mutex_lock(&batch->mutex);
    batch->is_over = 1;
    pthread_cond_signal(&batch->ended);
    pthread_mutex_unlock(&batch->mutex);
    return NULL;
}

Status index_batch_begin(IndexBatch **out, IndexTable *table, const IndexRequest *request,
    const float *queries, int64_t n, TopK *tops, int may_wait, Task *task, Err *err) {
    IndexBatch *batch = *out = mem_zeros(1, sizeof *batch);
    if (!batch) return fail_nomem(err, "a batch of queries");
    *batch = (IndexBatch){.table = table,
        .request = request,
        .queries = queries,
        .n = n,
        .tops = tops,
        .group = request->k > MANY ? 1 : GROUP,
        .host = task,
        .task = {.threads = task->threads}};
    pthread_mutex_init(&batch->mutex, NULL);
    pthread_cond_init(&batch->ended, NULL);
    batch->status = allowed_positions(
        table, request, &batch->allowed, &batch->n_allowed, &batch->err);
    if (batch->status == ST_OK)
        batch->status = take_copy(
            table, request, batch->allowed, batch->n_allowed, n, &batch->copy, &batch->err);
    if (batch->status != ST_OK) return ST_OK; /* index_batch_end says so */
    batch->has_thread = may_wait && batch->copy &&
        pthread_create(&batch->thread, NULL, search_in_background, batch) == 0;
    if (!batch->has_thread) search_batch(batch, task);
    return ST_OK;
}

/* Wait, while the caller's thread is asked whether to go on. */
static void await(IndexBatch *batch) {
    pthread_mutex_lock(&batch->mutex);
    while (!batch->is_over) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 20000000;
        if (until.tv_nsec >= 1000000000)
            until = (struct timespec){until.tv_sec + 1, until.tv_nsec - 1000000000};
        if (pthread_cond_timedwait(&batch->ended, &batch->mutex, &until) != ETIMEDOUT) continue;
        pthread_mutex_unlock(&batch->mutex);
        if (task_poll(batch->host)) atomic_store(&batch->task.cancelled, 1);
        pthread_mutex_lock(&batch->mutex);
    }
    pthread_mutex_unlock(&batch->mutex);
    pthread_join(batch->thread, NULL);
}

Status index_batch_end(IndexBatch *batch, Err *err) {
    if (!batch) return ST_OK;
    if (batch->has_thread) await(batch);
    Status status = batch->status;
    if (status != ST_OK && err) *err = batch->err;
    for (int64_t i = 0; i < batch->n && status == ST_OK && batch->table->content; i++) {
        IndexRequest one = *batch->request;
        one.query = batch->queries + i * batch->table->dim;
        status = without_gone(batch->table, &one, &batch->tops[i], err);
    }
    cache_release(batch->copy);
    mem_free(batch->allowed);
    pthread_cond_destroy(&batch->ended);
    pthread_mutex_destroy(&batch->mutex);
    mem_free(batch);
    return status;
}

double index_shown_score(AnnMetric metric, double score) {
    if (metric != ANN_L2) return score;
    return score < 0 ? -sqrt(-score) : 0; /* not -0 */
}

double index_distance(AnnMetric metric, double score) {
    if (metric == ANN_L2) return sqrt(-score);
    return metric == ANN_COSINE ? 1 - score : -score;
}
