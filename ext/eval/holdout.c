#include "holdout.h"

#include <string.h>

#include "../base/memory.h"

Status holdout_init(Holdout *h, int32_t n_users, int32_t n_items, int64_t n_history, int64_t n_seen,
    int64_t n_relevant, Err *err) {
    *h = (Holdout){.has_seen = n_seen >= 0};
    TRY(csr_alloc(&h->history, n_users, n_items, n_history, err));
    if (h->has_seen) TRY(csr_alloc(&h->seen, n_users, n_items, n_seen, err));
    TRY(csr_alloc(&h->relevant, n_users, n_items, n_relevant, err));
    h->history_time = mem_array((size_t)n_history, sizeof *h->history_time);
    h->unknown = mem_array((size_t)n_relevant, sizeof *h->unknown);
    h->unknown_start = mem_zeros((size_t)n_users + 1, sizeof *h->unknown_start);
    h->visit_start = mem_zeros((size_t)n_users + 1, sizeof *h->visit_start);
    if (!h->history_time || !h->unknown || !h->unknown_start || !h->visit_start)
        return fail_nomem(err, "the hold-out");
    h->history.n_rows = h->relevant.n_rows = 0;
    return ST_OK;
}

void holdout_clear(Holdout *h) {
    csr_clear(&h->history);
    csr_clear(&h->seen);
    csr_clear(&h->relevant);
    mem_free(h->history_time);
    mem_free(h->visit);
    mem_free(h->visit_start);
    mem_free(h->unknown);
    mem_free(h->unknown_start);
    *h = (Holdout){0};
}

void holdout_add_relevant(Holdout *h, int32_t item, double gain) {
    if (item < 0) {
        h->unknown[h->n_unknown++] = gain;
    } else {
        h->relevant.col[h->n_relevant] = item;
        h->relevant.val[h->n_relevant++] = (float)gain;
    }
}

static Status add_visits(Holdout *h, const History *history, Err *err) {
    int64_t at = h->visit_start[h->n_users], needed = at + history->n_visits;
    if (needed > h->visit_capacity) {
        int64_t capacity = needed + needed / 2 + 1024;
        Visit *visit = mem_resize(h->visit, (size_t)capacity, sizeof *visit);
        if (!visit) return fail_nomem(err, "the hold-out");
        h->visit = visit;
        h->visit_capacity = capacity;
    }
    memcpy(h->visit + at, history->visit, (size_t)history->n_visits * sizeof *history->visit);
    return ST_OK;
}

History holdout_history(const Holdout *h, int32_t user) {
    return history_of_row(
        &(HistoryRows){&h->history, h->history_time, h->visit, h->visit_start}, user);
}

Status holdout_end_user(Holdout *h, const History *history, Err *err) {
    int64_t at = h->history.row_start[h->n_users];
    if (history->n_visits) TRY(add_visits(h, history, err));
    h->visit_start[h->n_users + 1] = h->visit_start[h->n_users] + history->n_visits;
    if (history->n) {
        memcpy(h->history.col + at, history->item, (size_t)history->n * sizeof *history->item);
        memcpy(h->history.val + at, history->weight, (size_t)history->n * sizeof *history->weight);
        memcpy(h->history_time + at, history->time, (size_t)history->n * sizeof *history->time);
    }
    if (h->has_seen) {
        int64_t n, from = h->seen.row_start[h->n_users];
        const int32_t *item = history_seen(history, &n);
        if (n) memcpy(h->seen.col + from, item, (size_t)n * sizeof *item);
        h->seen.row_start[h->n_users + 1] = from + n;
    }
    h->n_users++;
    h->history.n_rows = h->relevant.n_rows = h->n_users;
    h->history.row_start[h->n_users] = at + history->n;
    h->relevant.row_start[h->n_users] = h->n_relevant;
    h->unknown_start[h->n_users] = h->n_unknown;
    return ST_OK;
}
