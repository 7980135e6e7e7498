#include "examples.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "neighbours.h"

typedef struct Builder {
    const Model *model;
    const Dataset *data;
    const ExampleParams *params;
    Sequences sequences; /* of next */
    Examples *out;
    int64_t n_source, n_target; /* so far */
    int32_t n_rows;
    int32_t *taken; /* items: the last row, from 1, that has the item as a source */
} Builder;

static double user_weight(const Builder *b, int32_t user) {
    double items = (double)csr_row_len(&b->data->by_user, user);
    return b->params->user_power > 0 ? pow(items, -b->params->user_power / 2) : 1;
}

static void put(Csr *out, int64_t *n, int32_t item, double value) {
    out->col[*n] = item;
    out->val[(*n)++] = (float)value;
}

static void end_row(Builder *b) {
    b->n_rows++;
    b->out->source.row_start[b->n_rows] = b->n_source;
    if (!b->out->shared) b->out->target.row_start[b->n_rows] = b->n_target;
}

/* The user's items as source and as target. */
static void self_row(Builder *b, int32_t user, double weight) {
    const Csr *rows = &b->data->by_user;
    for (int64_t e = rows->row_start[user]; e < rows->row_start[user + 1]; e++) {
        double x = pair_value(b->model, b->params->pairs, rows->val[e]) * weight;
        put(&b->out->source, &b->n_source, rows->col[e], x);
        if (!b->out->shared) put(&b->out->target, &b->n_target, rows->col[e], x);
    }
    end_row(b);
}

/* One row for all m items of a place: the rows of each are the same but for the target, and add up
 * to one with sqrt(m) times the source and the targets over sqrt(m). */
static void next_row(Builder *b, int64_t at, int64_t end, double weight) {
    const Sequences *s = &b->sequences;
    int64_t from = sequences_look_back(s, at, b->params->window);
    double many = sqrt((double)(end - at));
    for (int64_t e = at - 1; e >= from; e--) {
        int32_t back = s->place[at] - s->place[e];
        if (b->taken[s->item[e]] == b->n_rows + 1) continue; /* it was had again since */
        b->taken[s->item[e]] = b->n_rows + 1;
        double x = fmax(pow(b->params->decay, (double)back - 1), b->params->floor);
        if (x > 0) put(&b->out->source, &b->n_source, s->item[e], x * weight * many);
    }
    for (int64_t e = at; e < end; e++)
        put(&b->out->target, &b->n_target, s->item[e], weight / many);
    end_row(b);
}

/* Places of a user from the second on: [*at, *end) is the next one. */
static int next_place(const Sequences *s, int32_t user, int64_t *at, int64_t *end) {
    int64_t last = s->row_start[user + 1];
    *at = *end;
    while (*end < last && s->place[*end] == s->place[*at]) ++*end;
    return *at < last;
}

static void add_rows(Builder *b) {
    int64_t target = b->params->target;
    double share = target == TARGET_BOTH ? b->params->next_share : 1;
    for (int32_t u = 0; u < b->data->by_user.n_rows; u++) {
        double weight = user_weight(b, u);
        int64_t at, end = target == TARGET_SELF ? 0 : b->sequences.row_start[u];
        if (target != TARGET_NEXT)
            self_row(b, u, target == TARGET_BOTH ? weight * sqrt(1 - share) : weight);
        if (target == TARGET_SELF || !next_place(&b->sequences, u, &at, &end)) continue;
        while (next_place(&b->sequences, u, &at, &end)) next_row(b, at, end, weight * sqrt(share));
    }
}

/* How many rows and entries there will be, at most. */
static void count(const Builder *b, int64_t *rows, int64_t *source, int64_t *target) {
    int64_t kind = b->params->target, own = csr_nnz(&b->data->by_user);
    *rows = kind == TARGET_NEXT ? 0 : b->data->by_user.n_rows;
    *source = *target = kind == TARGET_NEXT ? 0 : own;
    for (int32_t u = 0; kind != TARGET_SELF && u < b->data->by_user.n_rows; u++) {
        int64_t at, end = b->sequences.row_start[u];
        if (!next_place(&b->sequences, u, &at, &end)) continue;
        while (next_place(&b->sequences, u, &at, &end)) {
            ++*rows;
            *source += at - sequences_look_back(&b->sequences, at, b->params->window);
            *target += end - at;
        }
    }
}

/* Columns in order: the transpose of the transpose. */
static Status put_in_order(Csr *rows, Csr *by_item, Err *err) {
    TRY(csr_transpose(by_item, rows, err));
    csr_clear(rows);
    return csr_transpose(rows, by_item, err);
}

static Status build(Builder *b, Err *err) {
    Examples *out = b->out;
    int64_t rows, source, target;
    count(b, &rows, &source, &target);
    if (rows > INT32_MAX) return fail(err, ST_BADARG, "more than 2^31 rows to learn from");
    TRY(csr_alloc(&out->source, (int32_t)rows, b->model->n_items, source, err));
    out->shared = b->params->target == TARGET_SELF;
    if (!out->shared) TRY(csr_alloc(&out->target, (int32_t)rows, b->model->n_items, target, err));
    add_rows(b);
    TRY(put_in_order(&out->source, &out->source_by_item, err));
    if (!out->shared) return put_in_order(&out->target, &out->target_by_item, err);
    out->target = out->source;
    out->target_by_item = out->source_by_item;
    return ST_OK;
}

Status examples_init(Examples *out, const Model *model, const Dataset *data,
    const ExampleParams *params, const char *who, Task *task, Err *err) {
    Builder b = {.model = model, .data = data, .params = params, .out = out};
    *out = (Examples){0};
    task_phase(task, "examples", "users", 0, 0);
    b.taken = mem_zeros((size_t)model->n_items, sizeof *b.taken);
    Status status = b.taken ? ST_OK : fail_nomem(err, "the examples");
    if (status == ST_OK && params->target != TARGET_SELF)
        status = sequences_init(&b.sequences, data, who, err);
    if (status == ST_OK) status = build(&b, err);
    mem_free(b.taken);
    sequences_clear(&b.sequences);
    if (status == ST_OK && task_poll(task)) status = fail(err, ST_CANCELLED, "interrupted");
    if (status != ST_OK) examples_clear(out);
    return status;
}

void examples_clear(Examples *examples) {
    csr_clear(&examples->source);
    csr_clear(&examples->source_by_item);
    if (!examples->shared) {
        csr_clear(&examples->target);
        csr_clear(&examples->target_by_item);
    }
    *examples = (Examples){0};
}
