/* Everybody's lists: histories are read in one scan, users are ranked in batches on all threads. */
#include <string.h>

#include "../../base/memory.h"
#include "../../models/group.h"
#include "../host/device_copy.h"
#include "../host/interrupt.h"
#include "model_cursor.h"
#include "model_device.h"

/* THREAD_USERS: two groups a thread at least. GPU_USERS: enough for every thread to have some while
 * others wait for the device. */
enum { BATCH_USERS = 128, THREAD_USERS = 32, GPU_USERS = 8192, BATCH_ENTRIES = 1 << 20 };

typedef struct Batch {
    ModelCursor *cursor;
    Task task;
    InterruptPoll poll;
    int32_t first, n_users;
    size_t k, pool;
    const int32_t *category; /* for a list in another order */
    Ranked *ranked;          /* users x pool */
    size_t *n;               /* per user of the batch */
    int size;                /* of a group */
    Group *group;            /* per worker */
    ModelQuery **query;      /* per worker */
    TaskFailure failure;
} Batch;

static void take_user(const Batch *batch, int32_t user, GroupList *list) {
    const ModelCursor *cursor = batch->cursor;
    list->history = all_histories_row(&cursor->all, user);
    Allowed allowed = {.bit = list->allowed};
    memcpy(allowed.bit, cursor->common, model_words(cursor->model) * sizeof *allowed.bit);
    if (cursor->request.call.exclude_seen) allowed_forbid_history(&allowed, &list->history);
    allowed_count(&allowed, cursor->model);
    list->n_allowed = allowed.n;
}

/* One group of the batch. */
static void rank_group(void *context, int64_t piece, int worker) {
    Batch *batch = context;
    const ModelCursor *cursor = batch->cursor;
    const RerankRules *rules = &cursor->request.call.rerank;
    Group *group = &batch->group[worker];
    int32_t from = (int32_t)piece * batch->size,
            n = batch->n_users - from < batch->size ? batch->n_users - from : batch->size;
    Err err = {0};
    for (int32_t i = 0; i < n; i++) take_user(batch, batch->first + from + i, &group->list[i]);
    Status status = group_rank(
        group, batch->query[worker], n, batch->pool, cursor->copy, &batch->task, &err);
    for (int32_t i = 0; i < n && status == ST_OK; i++) {
        GroupList *list = &group->list[i];
        batch->query[worker]->history = list->history;
        if (rerank_is_on(rules))
            status = rerank(batch->query[worker], rules, batch->category, list->ranked, &list->n,
                batch->k, &err);
        if (list->n)
            memcpy(batch->ranked + (size_t)(from + i) * batch->pool, list->ranked,
                list->n * sizeof *list->ranked);
        batch->n[from + i] = list->n;
    }
    task_failure_note(&batch->failure, status, &err);
}

static Status explain_batch_row(ModelCursor *cursor, Row *row, Err *err) {
    History history = all_histories_row(&cursor->all, row->user);
    TRY(model_query_history(cursor->query, &history, err));
    return model_explain(cursor, row, err);
}

static Status batch_rows(ModelCursor *cursor, const Batch *batch, Err *err) {
    Status status = ST_OK;
    size_t total = 0;
    for (int32_t u = 0; u < batch->n_users; u++) total += batch->n[u];
    TRY(model_reserve_rows(cursor, total, err));
    for (int32_t u = 0; u < batch->n_users && status == ST_OK; u++)
        for (size_t i = 0; i < batch->n[u] && status == ST_OK; i++) {
            const Ranked *r = &batch->ranked[(size_t)u * batch->pool + i];
            cursor->row[cursor->n_rows++] = (Row){.item = keymap_key(cursor->model->items, r->item),
                .id = r->item,
                .score = r->score,
                .rank = (sqlite3_int64)i + 1,
                .from_popular = r->from_popular,
                .user = batch->first + u};
            if (cursor->request.because)
                status = explain_batch_row(cursor, &cursor->row[cursor->n_rows - 1], err);
        }
    return status;
}

/* Room for `batch` users. */
static Status batch_init(Batch *b, ModelTable *table, int32_t batch, Err *err) {
    const ModelCursor *cursor = b->cursor;
    size_t threads = (size_t)b->task.threads;
    b->size = group_size(cursor->model, b->pool, batch, b->task.threads, cursor->copy);
    b->ranked = mem_array((size_t)batch, b->pool * sizeof *b->ranked);
    b->n = mem_zeros((size_t)batch, sizeof *b->n);
    b->query = mem_zeros(threads, sizeof *b->query);
    b->group = mem_zeros(threads, sizeof *b->group);
    if (!b->ranked || !b->n || !b->query || !b->group) return fail_nomem(err, "a batch of users");
    for (size_t w = 0; w < threads; w++) {
        TRY(model_query_new(&b->query[w], cursor->model, err));
        TRY(group_init(&b->group[w], cursor->model, b->size, b->pool, err));
    }
    TRY(interrupt_poll_init(&b->poll, table->definition.db, err));
    b->task.poll = interrupt_poll;
    b->task.host = &b->poll;
    return ST_OK;
}

static void batch_clear(Batch *batch) {
    for (int w = 0; w < batch->task.threads; w++) {
        if (batch->query) model_query_free(batch->query[w]);
        if (batch->group) group_clear(&batch->group[w]);
    }
    interrupt_poll_clear(&batch->poll);
    mem_free(batch->ranked);
    mem_free(batch->n);
    mem_free(batch->query);
    mem_free(batch->group);
}

static Status rank_batch(Batch *batch, Err *err) {
    int64_t groups = (batch->n_users + batch->size - 1) / batch->size;
    batch->failure = (TaskFailure){0};
    return task_failure(
        &batch->failure, task_run(&batch->task, groups, rank_group, batch, err), err);
}

/* With device=auto a GPU that fails is given up. */
static Status rank_batch_somewhere(Batch *batch, Err *err) {
    ModelCursor *cursor = batch->cursor;
    Status status = rank_batch(batch, err);
    if (!cursor->copy || !device_gave_up(cursor->request.device, status, err)) return status;
    cache_release(cursor->copy);
    cursor->copy = NULL;
    batch->size = group_size(cursor->model, batch->pool, batch->n_users, batch->task.threads, NULL);
    return rank_batch(batch, err);
}

/* So many users at a time: fewer with long lists. */
static int32_t users_of_a_batch(const ModelCursor *cursor, size_t pool, int threads) {
    size_t users = cursor->copy                ? GPU_USERS
        : threads * THREAD_USERS > BATCH_USERS ? (size_t)threads * THREAD_USERS
                                               : BATCH_USERS,
           most = BATCH_ENTRIES / (pool + 1) + 1;
    return (int32_t)(users < most ? users : most);
}

/* Rank the next users until there is a row or nobody is left. */
Status model_next_batch(ModelTable *table, ModelCursor *cursor, Err *err) {
    Batch b = {.cursor = cursor,
        .task = {.threads = cursor->model->common.threads ? (int)cursor->model->common.threads
                                                          : task_default_threads()}};
    int32_t n_users = keymap_count(cursor->all.users);
    b.k = (size_t)rows_wanted(&cursor->request.wanted, cursor->model->n_items);
    b.pool = model_pool_of(&cursor->request, b.k, cursor->model->n_items);
    int32_t batch = users_of_a_batch(cursor, b.pool, b.task.threads);
    Status status = model_categories(table, cursor, &b.category, err);
    if (status == ST_OK) status = batch_init(&b, table, batch, err);
    model_clear_rows(cursor);
    while (status == ST_OK && cursor->n_rows == 0 && cursor->next_user < n_users) {
        b.n_users = n_users - cursor->next_user < batch ? n_users - cursor->next_user : batch;
        b.first = cursor->next_user;
        status = rank_batch_somewhere(&b, err);
        if (status == ST_OK) status = batch_rows(cursor, &b, err);
        cursor->next_user += b.n_users;
    }
    batch_clear(&b);
    return status;
}

/* What is shown to who asks nothing, a table browser or somebody at the prompt: short lists of the
 * first users, cheaply (docs/decisions/0013-browsing.md). */
static Status fill_glance(ModelTable *table, ModelCursor *cursor, Err *err) {
    enum { GLANCE_USERS = 10, GLANCE_ITEMS = 10 };
    HistoryRules rules = model_history_rules(cursor);
    cursor->request.wanted.by = WANTS_K;
    cursor->request.wanted.k = GLANCE_ITEMS;
    TRY(events_read_first_users(
        &table->reader, cursor->model, &rules, GLANCE_USERS, &cursor->all, err));
    cursor->batched = 1;
    return model_next_batch(table, cursor, err);
}

Status model_fill_everybody(ModelTable *table, ModelCursor *cursor, Err *err) {
    HistoryRules rules = model_history_rules(cursor);
    if (cursor->request.browses) return fill_glance(table, cursor, err);
    if (cursor->request.wanted.by != WANTS_K)
        return fail(err, ST_BADARG,
            "k is needed where no user, similar_to or basket is given (WHERE k = 10)");
    if (cursor->request.call.rerank.diversity > 0 && !cursor->model->algorithm->alike)
        return fail(err, ST_BADARG, "diversity: algorithm %s cannot tell how alike two items are",
            cursor->model->algorithm->name);
    if (cursor->request.has_candidates)
        return fail(err, ST_BADARG, "candidates need a user or a basket");
    TRY(events_read_histories(&table->reader, cursor->model, &rules, &cursor->all, err));
    TRY(model_device_copy(table->definition.db, cursor->model, cursor->request.device,
        keymap_count(cursor->all.users), &cursor->copy, err));
    cursor->batched = 1;
    return model_next_batch(table, cursor, err);
}
