/* Everybody's lists: histories are read in one scan, users are ranked in batches on all threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "model_cursor.h"

enum { BATCH_USERS = 128, BATCH_ENTRIES = 1 << 20 };

typedef struct Batch {
    ModelCursor *cursor;
    int32_t first;
    size_t k, pool;
    const int32_t *category; /* for a list in another order */
    Ranked *ranked; /* BATCH_USERS x pool */
    size_t *n;      /* per user of the batch */
    ModelQuery **query; /* per worker */
    uint64_t **bit;     /* per worker */
    TaskFailure failure;
} Batch;

static void rank_batch_user(void *context, int64_t piece, int worker) {
    Batch *b = context;
    const ModelCursor *c = b->cursor;
    History history = all_histories_row(&c->all, b->first + (int32_t)piece);
    Allowed a = {.bit = b->bit[worker]};
    memcpy(a.bit, c->common, model_words(c->model) * sizeof *a.bit);
    if (c->request.call.exclude_seen) allowed_forbid_history(&a, &history);
    allowed_count(&a, c->model);
    Ranked *list = b->ranked + (size_t)piece * b->pool;
    const RerankRules *rules = &c->request.call.rerank;
    Err err = {0};
    Status status = model_query_history(b->query[worker], &history, &err);
    if (status == ST_OK) status = model_query_rank(b->query[worker], a.bit, a.n, b->pool, list, &b->n[piece], &err);
    if (status == ST_OK && rerank_is_on(rules)) status = rerank(b->query[worker], rules, b->category, list, &b->n[piece], b->k, &err);
    task_failure_note(&b->failure, status, &err);
}

static Status explain_batch_row(ModelCursor *c, Row *row, Err *err) {
    History history = all_histories_row(&c->all, row->user);
    TRY(model_query_history(c->query, &history, err));
    return model_explain(c, row, err);
}

static Status batch_rows(ModelCursor *c, const Batch *b, int32_t n_users, Err *err) {
    Status status = ST_OK;
    size_t total = 0;
    for (int32_t u = 0; u < n_users; u++) total += b->n[u];
    TRY(model_reserve_rows(c, total, err));
    for (int32_t u = 0; u < n_users && status == ST_OK; u++)
        for (size_t i = 0; i < b->n[u] && status == ST_OK; i++) {
            const Ranked *r = &b->ranked[(size_t)u * b->pool + i];
            c->row[c->n_rows++] = (Row){.item = keymap_key(c->model->items, r->item), .id = r->item, .score = r->score, .rank = (sqlite3_int64)i + 1,
                                        .from_popular = r->from_popular, .user = b->first + u};
            if (c->request.because) status = explain_batch_row(c, &c->row[c->n_rows - 1], err);
        }
    return status;
}

/* Rank the next users until there is a row or nobody is left. */
Status model_next_batch(ModelTable *t, ModelCursor *c, Err *err) {
    Task task = {.threads = c->model->common.threads ? (int)c->model->common.threads : task_default_threads()};
    InterruptPoll poll = {0};
    Batch b = {.cursor = c};
    int32_t n_users = keymap_count(c->all.users);

    Status status = model_categories(t, c, &b.category, err);
    b.k = model_rows_wanted(&c->request, c->model->n_items);
    b.pool = model_pool_of(&c->request, b.k, c->model->n_items);
    int32_t batch = b.pool > BATCH_ENTRIES / BATCH_USERS ? (int32_t)(BATCH_ENTRIES / b.pool) + 1 : BATCH_USERS; /* fewer users with long lists */
    b.ranked = mem_array((size_t)batch * b.pool, sizeof *b.ranked);
    b.n = mem_zeros(BATCH_USERS, sizeof *b.n);
    b.query = mem_zeros((size_t)task.threads, sizeof *b.query);
    b.bit = mem_zeros((size_t)task.threads, sizeof *b.bit);
    if (status == ST_OK && (!b.ranked || !b.n || !b.query || !b.bit)) status = fail_nomem(err, "a batch of users");
    for (int w = 0; w < task.threads && status == ST_OK; w++) {
        status = model_query_new(&b.query[w], c->model, err);
        if (status == ST_OK && !(b.bit[w] = mem_array(model_words(c->model), sizeof **b.bit))) status = fail_nomem(err, "a batch of users");
    }
    if (status == ST_OK) status = interrupt_poll_init(&poll, t->definition.db, err);
    task.poll = interrupt_poll;
    task.host = &poll;
    model_clear_rows(c);
    while (status == ST_OK && c->n_rows == 0 && c->next_user < n_users) {
        int32_t n = n_users - c->next_user < batch ? n_users - c->next_user : batch;
        b.first = c->next_user;
        status = task_failure(&b.failure, task_run(&task, n, rank_batch_user, &b, err), err);
        if (status == ST_OK) status = batch_rows(c, &b, n, err);
        c->next_user += n;
    }
    for (int w = 0; w < task.threads; w++) {
        if (b.query) model_query_free(b.query[w]);
        if (b.bit) mem_free(b.bit[w]);
    }
    interrupt_poll_clear(&poll);
    mem_free(b.ranked);
    mem_free(b.n);
    mem_free(b.query);
    mem_free(b.bit);
    return status;
}

Status model_fill_everybody(ModelTable *t, ModelCursor *c, Err *err) {
    HistoryRules rules = model_history_rules(c);
    if (c->request.has_k != 1) return fail(err, ST_BADARG, "k is needed where no user, similar_to or basket is given (WHERE k = 10)");
    if (c->request.call.rerank.diversity > 0 && !c->model->algorithm->alike) return fail(err, ST_BADARG, "diversity: algorithm %s cannot tell how alike two items are", c->model->algorithm->name);
    if (c->request.has_candidates) return fail(err, ST_BADARG, "candidates need a user or a basket");
    TRY(events_read_histories(&t->reader, c->model, &rules, &c->all, err));
    c->batched = 1;
    return model_next_batch(t, c, err);
}

