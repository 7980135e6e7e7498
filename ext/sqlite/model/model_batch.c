#include "model_batch.h"

#include <string.h>

#include "../../base/bits.h"
#include "../../base/memory.h"
#include "../../models/group.h"
#include "../host/device_copy.h"
#include "../host/interrupt.h"
#include "model_device.h"

/* THREAD_USERS: two groups a thread at least. GPU_USERS: enough for every thread to have some while
 * others wait for the device. */
enum { BATCH_USERS = 128, THREAD_USERS = 32, GPU_USERS = 8192, BATCH_ENTRIES = 1 << 20 };

typedef struct Batch {
    Everybody *everybody;
    const Model *model;
    const Request *request;
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

/* The user at a place among those who are asked for. */
static int32_t asked_user(const Everybody *everybody, int32_t place) {
    return everybody->asked ? everybody->asked[place] : place;
}

static void take_user(const Batch *batch, int32_t user, GroupList *list) {
    int32_t n_items = batch->model->n_items;
    list->history = all_histories_row(&batch->everybody->all, user);
    memcpy(list->allowed, batch->everybody->allowed, bits_words(n_items) * sizeof *list->allowed);
    if (request_hides_seen(batch->request, batch->model))
        allowed_without_history(list->allowed, &list->history);
    list->n_allowed = bits_count(list->allowed, n_items);
}

/* One group of the batch. */
static void rank_group(void *context, int64_t piece, int worker) {
    Batch *batch = context;
    const RerankRules *rules = &batch->request->call.rerank;
    Group *group = &batch->group[worker];
    int32_t from = (int32_t)piece * batch->size,
            n = batch->n_users - from < batch->size ? batch->n_users - from : batch->size;
    Err err = {0};
    for (int32_t i = 0; i < n; i++)
        take_user(batch, asked_user(batch->everybody, batch->first + from + i), &group->list[i]);
    Status status = group_rank(
        group, batch->query[worker], n, batch->pool, batch->everybody->copy, &batch->task, &err);
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

static Status explain_row(ListRow *row, const Everybody *everybody, ModelQuery *query, Err *err) {
    History history = all_histories_row(&everybody->all, row->user);
    TRY(model_query_history(query, &history, err));
    return model_explain(row, query, SUBJECT_USER, err);
}

static Status batch_rows(ListRows *out, const Batch *batch, ModelQuery *query, Err *err) {
    Status status = ST_OK;
    size_t total = 0;
    for (int32_t u = 0; u < batch->n_users; u++) total += batch->n[u];
    TRY(list_rows_reserve(out, total, err));
    for (int32_t u = 0; u < batch->n_users && status == ST_OK; u++)
        for (size_t i = 0; i < batch->n[u] && status == ST_OK; i++) {
            list_rows_add(out, batch->model, &batch->ranked[(size_t)u * batch->pool + i],
                (int64_t)i + 1, asked_user(batch->everybody, batch->first + u));
            if (batch->request->because)
                status = explain_row(&out->row[out->n - 1], batch->everybody, query, err);
        }
    return status;
}

/* Room for so many users. */
static Status batch_init(Batch *batch, sqlite3 *db, int32_t users, Err *err) {
    size_t threads = (size_t)batch->task.threads;
    batch->size = group_size(
        batch->model, batch->pool, users, batch->task.threads, batch->everybody->copy);
    batch->ranked = mem_array((size_t)users, batch->pool * sizeof *batch->ranked);
    batch->n = mem_zeros((size_t)users, sizeof *batch->n);
    batch->query = mem_zeros(threads, sizeof *batch->query);
    batch->group = mem_zeros(threads, sizeof *batch->group);
    if (!batch->ranked || !batch->n || !batch->query || !batch->group)
        return fail_nomem(err, "a batch of users");
    for (size_t w = 0; w < threads; w++) {
        TRY(model_query_new(&batch->query[w], batch->model, err));
        TRY(group_init(&batch->group[w], batch->model, batch->size, batch->pool, err));
    }
    TRY(interrupt_poll_init(&batch->poll, db, err));
    batch->task.poll = interrupt_poll;
    batch->task.host = &batch->poll;
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
    Everybody *everybody = batch->everybody;
    Status status = rank_batch(batch, err);
    if (!everybody->copy || !device_gave_up(batch->request->device, status, err)) return status;
    cache_release(everybody->copy);
    everybody->copy = NULL;
    batch->size = group_size(batch->model, batch->pool, batch->n_users, batch->task.threads, NULL);
    return rank_batch(batch, err);
}

/* So many users at a time: fewer with long lists. */
static int32_t users_of_a_batch(int on_gpu, size_t pool, int threads) {
    size_t users = (size_t)threads * THREAD_USERS, most = BATCH_ENTRIES / (pool + 1) + 1;
    if (users < BATCH_USERS) users = BATCH_USERS;
    if (on_gpu) users = GPU_USERS;
    return (int32_t)(users < most ? users : most);
}

Status everybody_next(ListRows *out, Everybody *everybody, ModelTable *table, ModelQuery *query,
    const Request *request, Err *err) {
    const Model *model = query->model;
    int32_t n_users = everybody->asked ? everybody->n_asked : keymap_count(everybody->all.users);
    Batch batch = {.everybody = everybody, .model = model, .request = request};
    batch.task.threads = model->common.threads ? (int)model->common.threads
                                               : task_default_threads();
    batch.k = (size_t)rows_wanted(&request->wanted, model->n_items);
    batch.pool = list_pool(request, batch.k, model->n_items);
    int32_t users = users_of_a_batch(everybody->copy != NULL, batch.pool, batch.task.threads);
    Status status = model_categories(table, model, &request->call.rerank, &batch.category, err);
    if (status == ST_OK) status = batch_init(&batch, table->definition.id.db, users, err);
    list_rows_empty(out);
    while (status == ST_OK && out->n == 0 && everybody->next_user < n_users) {
        batch.first = everybody->next_user;
        batch.n_users = n_users - batch.first < users ? n_users - batch.first : users;
        status = rank_batch_somewhere(&batch, err);
        if (status == ST_OK) status = batch_rows(out, &batch, query, err);
        everybody->next_user += batch.n_users;
    }
    batch_clear(&batch);
    return status;
}

/* What is shown to who asks nothing, a table browser or somebody at the prompt: short lists of the
 * first users, cheaply. */
static Status begin_glance(Everybody *everybody, ModelTable *table, const Model *model,
    const HistoryRules *rules, Request *request, Err *err) {
    enum { GLANCE_USERS = 10, GLANCE_ITEMS = 10 };
    request->wanted = (RowsWanted){.by = WANTS_K, .k = GLANCE_ITEMS};
    return events_read_first_users(
        &table->reader, model, rules, GLANCE_USERS, &everybody->all, err);
}

static Status begin_all(Everybody *everybody, ModelTable *table, const Model *model,
    const HistoryRules *rules, const Request *request, Err *err) {
    if (request->wanted.by != WANTS_K)
        return fail(err, ST_BADARG,
            "k is needed where no user, similar_to or basket is given (WHERE k = 10)");
    if (request->call.rerank.diversity > 0 && !model->algorithm->alike)
        return fail(err, ST_BADARG, "diversity: algorithm %s cannot tell how alike two items are",
            model->algorithm->name);
    if (request->has_candidates) return fail(err, ST_BADARG, "candidates need a user or a basket");
    TRY(events_read_histories(&table->reader, model, rules, &everybody->all, err));
    return model_device_copy(table->definition.id.db, model, request->device,
        keymap_count(everybody->all.users), &everybody->copy, err);
}

Status everybody_begin(Everybody *out, ModelTable *table, const Model *model, uint64_t *allowed,
    Request *request, Err *err) {
    HistoryRules rules = history_rules_until(model, request->call.until);
    *out = (Everybody){.allowed = allowed};
    TRY(request->browses ? begin_glance(out, table, model, &rules, request, err)
                         : begin_all(out, table, model, &rules, request, err));
    out->begun = 1;
    return ST_OK;
}

Status everybody_keep(Everybody *everybody, const Arms *arms, int arm, Err *err) {
    int32_t n = keymap_count(everybody->all.users);
    everybody->asked = mem_array((size_t)n, sizeof *everybody->asked);
    if (!everybody->asked) return fail_nomem(err, "the users");
    for (int32_t user = 0; user < n; user++) {
        int is_asked;
        TRY(answer_has_user(arms, arm, keymap_key(everybody->all.users, user), &is_asked, err));
        if (is_asked) everybody->asked[everybody->n_asked++] = user;
    }
    return ST_OK;
}

void everybody_clear(Everybody *everybody) {
    mem_free(everybody->asked);
    all_histories_clear(&everybody->all);
    mem_free(everybody->allowed);
    cache_release(everybody->copy);
    *everybody = (Everybody){0};
}
