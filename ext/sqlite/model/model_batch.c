/* Everybody's lists: histories are read in one scan, users are ranked in batches on all threads. */
#include <string.h>

#include "../../base/memory.h"
#include "../../models/group.h"
#include "../host/device_copy.h"
#include "model_cursor.h"

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

static void take_user(const Batch *b, int32_t user, GroupList *list) {
    const ModelCursor *c = b->cursor;
    list->history = all_histories_row(&c->all, user);
    Allowed a = {.bit = list->allowed};
    memcpy(a.bit, c->common, model_words(c->model) * sizeof *a.bit);
    if (c->request.call.exclude_seen) allowed_forbid_history(&a, &list->history);
    allowed_count(&a, c->model);
    list->n_allowed = a.n;
}

/* One group of the batch. */
static void rank_group(void *context, int64_t piece, int worker) {
    Batch *b = context;
    const ModelCursor *c = b->cursor;
    const RerankRules *rules = &c->request.call.rerank;
    Group *group = &b->group[worker];
    int32_t from = (int32_t)piece * b->size,
            n = b->n_users - from < b->size ? b->n_users - from : b->size;
    Err err = {0};
    for (int32_t i = 0; i < n; i++) take_user(b, b->first + from + i, &group->list[i]);
    Status status = group_rank(group, b->query[worker], n, b->pool, c->copy, &b->task, &err);
    for (int32_t i = 0; i < n && status == ST_OK; i++) {
        GroupList *list = &group->list[i];
        b->query[worker]->history = list->history;
        if (rerank_is_on(rules))
            status = rerank(
                b->query[worker], rules, b->category, list->ranked, &list->n, b->k, &err);
        if (list->n)
            memcpy(b->ranked + (size_t)(from + i) * b->pool, list->ranked,
                list->n * sizeof *list->ranked);
        b->n[from + i] = list->n;
    }
    task_failure_note(&b->failure, status, &err);
}

static Status explain_batch_row(ModelCursor *c, Row *row, Err *err) {
    History history = all_histories_row(&c->all, row->user);
    TRY(model_query_history(c->query, &history, err));
    return model_explain(c, row, err);
}

static Status batch_rows(ModelCursor *c, const Batch *b, Err *err) {
    Status status = ST_OK;
    size_t total = 0;
    for (int32_t u = 0; u < b->n_users; u++) total += b->n[u];
    TRY(model_reserve_rows(c, total, err));
    for (int32_t u = 0; u < b->n_users && status == ST_OK; u++)
        for (size_t i = 0; i < b->n[u] && status == ST_OK; i++) {
            const Ranked *r = &b->ranked[(size_t)u * b->pool + i];
            c->row[c->n_rows++] = (Row){.item = keymap_key(c->model->items, r->item),
                .id = r->item,
                .score = r->score,
                .rank = (sqlite3_int64)i + 1,
                .from_popular = r->from_popular,
                .user = b->first + u};
            if (c->request.because) status = explain_batch_row(c, &c->row[c->n_rows - 1], err);
        }
    return status;
}

/* Room for `batch` users. */
static Status batch_init(Batch *b, ModelTable *t, int32_t batch, Err *err) {
    const ModelCursor *c = b->cursor;
    size_t threads = (size_t)b->task.threads;
    b->size = group_size(c->model, b->pool, batch, b->task.threads, c->copy);
    b->ranked = mem_array((size_t)batch, b->pool * sizeof *b->ranked);
    b->n = mem_zeros((size_t)batch, sizeof *b->n);
    b->query = mem_zeros(threads, sizeof *b->query);
    b->group = mem_zeros(threads, sizeof *b->group);
    if (!b->ranked || !b->n || !b->query || !b->group) return fail_nomem(err, "a batch of users");
    for (size_t w = 0; w < threads; w++) {
        TRY(model_query_new(&b->query[w], c->model, err));
        TRY(group_init(&b->group[w], c->model, b->size, b->pool, err));
    }
    TRY(interrupt_poll_init(&b->poll, t->definition.db, err));
    b->task.poll = interrupt_poll;
    b->task.host = &b->poll;
    return ST_OK;
}

static void batch_clear(Batch *b) {
    for (int w = 0; w < b->task.threads; w++) {
        if (b->query) model_query_free(b->query[w]);
        if (b->group) group_clear(&b->group[w]);
    }
    interrupt_poll_clear(&b->poll);
    mem_free(b->ranked);
    mem_free(b->n);
    mem_free(b->query);
    mem_free(b->group);
}

static Status rank_batch(Batch *b, Err *err) {
    int64_t groups = (b->n_users + b->size - 1) / b->size;
    b->failure = (TaskFailure){0};
    return task_failure(&b->failure, task_run(&b->task, groups, rank_group, b, err), err);
}

/* With device=auto a GPU that fails is given up. */
static Status rank_batch_somewhere(Batch *b, Err *err) {
    ModelCursor *c = b->cursor;
    Status status = rank_batch(b, err);
    if (!c->copy || !device_gave_up(c->request.device, status, err)) return status;
    cache_release(c->copy);
    c->copy = NULL;
    b->size = group_size(c->model, b->pool, b->n_users, b->task.threads, NULL);
    return rank_batch(b, err);
}

/* So many users at a time: fewer with long lists. */
static int32_t users_of_a_batch(const ModelCursor *c, size_t pool, int threads) {
    size_t users = c->copy                     ? GPU_USERS
        : threads * THREAD_USERS > BATCH_USERS ? (size_t)threads * THREAD_USERS
                                               : BATCH_USERS,
           most = BATCH_ENTRIES / (pool + 1) + 1;
    return (int32_t)(users < most ? users : most);
}

/* Rank the next users until there is a row or nobody is left. */
Status model_next_batch(ModelTable *t, ModelCursor *c, Err *err) {
    Batch b = {.cursor = c,
        .task = {.threads = c->model->common.threads ? (int)c->model->common.threads
                                                     : task_default_threads()}};
    int32_t n_users = keymap_count(c->all.users);
    b.k = model_rows_wanted(&c->request, c->model->n_items);
    b.pool = model_pool_of(&c->request, b.k, c->model->n_items);
    int32_t batch = users_of_a_batch(c, b.pool, b.task.threads);
    Status status = model_categories(t, c, &b.category, err);
    if (status == ST_OK) status = batch_init(&b, t, batch, err);
    model_clear_rows(c);
    while (status == ST_OK && c->n_rows == 0 && c->next_user < n_users) {
        b.n_users = n_users - c->next_user < batch ? n_users - c->next_user : batch;
        b.first = c->next_user;
        status = rank_batch_somewhere(&b, err);
        if (status == ST_OK) status = batch_rows(c, &b, err);
        c->next_user += b.n_users;
    }
    batch_clear(&b);
    return status;
}

/* What is shown to who asks nothing, a table browser or somebody at the prompt: short lists of the
 * first users, cheaply (docs/decisions/0013-browsing.md). */
static Status fill_glance(ModelTable *t, ModelCursor *c, Err *err) {
    enum { GLANCE_USERS = 10, GLANCE_ITEMS = 10 };
    HistoryRules rules = model_history_rules(c);
    c->request.has_k = 1;
    c->request.k = GLANCE_ITEMS;
    TRY(events_read_first_users(&t->reader, c->model, &rules, GLANCE_USERS, &c->all, err));
    c->batched = 1;
    return model_next_batch(t, c, err);
}

Status model_fill_everybody(ModelTable *t, ModelCursor *c, Err *err) {
    HistoryRules rules = model_history_rules(c);
    if (c->request.browses) return fill_glance(t, c, err);
    if (c->request.has_k != 1)
        return fail(err, ST_BADARG,
            "k is needed where no user, similar_to or basket is given (WHERE k = 10)");
    if (c->request.call.rerank.diversity > 0 && !c->model->algorithm->alike)
        return fail(err, ST_BADARG, "diversity: algorithm %s cannot tell how alike two items are",
            c->model->algorithm->name);
    if (c->request.has_candidates)
        return fail(err, ST_BADARG, "candidates need a user or a basket");
    TRY(events_read_histories(&t->reader, c->model, &rules, &c->all, err));
    TRY(device_model_copy(
        t->definition.db, c->model, c->request.device, keymap_count(c->all.users), &c->copy, err));
    c->batched = 1;
    return model_next_batch(t, c, err);
}
