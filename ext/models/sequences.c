#include "sequences.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"

static int by_time(const void *a, const void *b) {
    const Scored *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* ---- what is learnt from ---- */

/* One user's row in order; item and place are its own. Returns how many places it has. */
static int32_t order_row(const int32_t *col, const double *time, int64_t n, Scored *order,
    int32_t *item, int32_t *place) {
    int32_t at = 0;
    for (int64_t i = 0; i < n; i++) order[i] = (Scored){time[i], col[i]};
    qsort(order, (size_t)n, sizeof *order, by_time);
    for (int64_t i = 0; i < n; i++) {
        at += i > 0 && order[i].score != order[i - 1].score;
        item[i] = (int32_t)order[i].id;
        place[i] = at;
    }
    return n ? at + 1 : 0;
}

/* Walking the sequences in the order of users meets each item's users in the order of by_item. */
static Status find_positions(Sequences *out, Err *err) {
    size_t n_items = (size_t)out->by_item->n_rows;
    int64_t *next = mem_array(n_items, sizeof *next);
    if (!next) return fail_nomem(err, "the sequences");
    memcpy(next, out->by_item->row_start, n_items * sizeof *next);
    for (int64_t e = 0; e < out->row_start[out->n_users]; e++)
        out->position[next[out->item[e]]++] = e;
    mem_free(next);
    return ST_OK;
}

Status sequences_init(Sequences *out, const Dataset *data, const char *who, Err *err) {
    const Csr *rows = &data->by_user;
    size_t n = (size_t)csr_nnz(rows);
    int64_t longest = 0;
    int ordered = n == 0;
    *out = (Sequences){
        .row_start = rows->row_start, .n_users = rows->n_rows, .by_item = &data->by_item};
    for (int32_t u = 0; u < rows->n_rows; u++)
        if (csr_row_len(rows, u) > longest) longest = csr_row_len(rows, u);
    Scored *order = mem_array((size_t)longest, sizeof *order);
    out->item = mem_array(n, sizeof *out->item);
    out->place = mem_array(n, sizeof *out->place);
    out->position = mem_array(n, sizeof *out->position);
    Status status = order && out->item && out->place && out->position
        ? ST_OK
        : fail_nomem(err, "the sequences");
    for (int32_t u = 0; u < rows->n_rows && status == ST_OK; u++) {
        int64_t from = rows->row_start[u], len = csr_row_len(rows, u);
        order_row(rows->col + from, data->pair_time + from, len, order, out->item + from,
            out->place + from);
        for (int64_t e = from; e < from + len; e++) ordered |= data->pair_time[e] != 0;
    }
    mem_free(order);
    if (status == ST_OK && !ordered)
        status = fail(err, ST_BADARG,
            "%s needs the order of the events: time= (any number that orders them), and not the "
            "same for all",
            who);
    if (status == ST_OK) status = find_positions(out, err);
    if (status != ST_OK) sequences_clear(out);
    return status;
}

void sequences_clear(Sequences *sequences) {
    mem_free(sequences->item);
    mem_free(sequences->place);
    mem_free(sequences->position);
    *sequences = (Sequences){0};
}

/* ---- ordered pairs ---- */

Status ordered_pairs_init(OrderedPairs *out, const Sequences *sequences, double decay,
    double reverse, int64_t window, Err *err) {
    *out = (OrderedPairs){sequences, reverse, window, mem_array((size_t)window, sizeof(double))};
    if (!out->fading) return fail_nomem(err, "the pairs");
    for (int64_t g = 0; g < window; g++) out->fading[g] = pow(decay, (double)g);
    return ST_OK;
}

void ordered_pairs_clear(OrderedPairs *pairs) {
    mem_free(pairs->fading);
    *pairs = (OrderedPairs){0};
}

/* What the pair of an item and one `ahead` places later (below 0: earlier) adds to C. */
static inline double pair_amount(const OrderedPairs *pairs, int32_t ahead) {
    if (ahead == 0) return (1 + pairs->reverse) / 2;
    return ahead > 0 ? pairs->fading[ahead - 1] : pairs->reverse * pairs->fading[-ahead - 1];
}

/* The entries of the sequence around position at that are within the window. */
static void window_of(
    const OrderedPairs *pairs, int32_t user, int64_t at, int64_t *from, int64_t *to) {
    const Sequences *s = pairs->sequences;
    int64_t first = s->row_start[user], end = s->row_start[user + 1];
    for (*from = at; *from > first && s->place[at] - s->place[*from - 1] <= pairs->window;) --*from;
    for (*to = at + 1; *to < end && s->place[*to] - s->place[at] <= pairs->window;) ++*to;
}

int32_t ordered_pairs_row(
    const OrderedPairs *pairs, int32_t j, int into, double *sum, int32_t *touched) {
    const Sequences *s = pairs->sequences;
    int32_t n = 0;
    for (int64_t e = s->by_item->row_start[j]; e < s->by_item->row_start[j + 1]; e++) {
        int64_t at = s->position[e], from, to;
        window_of(pairs, s->by_item->col[e], at, &from, &to);
        for (int64_t q = from; q < to; q++) {
            int32_t ahead = s->place[q] - s->place[at], other = s->item[q];
            if (q == at) continue;
            double amount = pair_amount(pairs, into ? -ahead : ahead);
            touched[n] = other;
            n += (sum[other] == 0) & (amount != 0);
            sum[other] += amount;
        }
    }
    return n;
}

void ordered_pairs_sums(const OrderedPairs *pairs, int32_t j, double *row, double *column) {
    const Sequences *s = pairs->sequences;
    *row = *column = 0;
    for (int64_t e = s->by_item->row_start[j]; e < s->by_item->row_start[j + 1]; e++) {
        int64_t at = s->position[e], from, to;
        window_of(pairs, s->by_item->col[e], at, &from, &to);
        for (int64_t q = from; q < to; q++) {
            if (q == at) continue;
            *row += pair_amount(pairs, s->place[q] - s->place[at]);
            *column += pair_amount(pairs, s->place[at] - s->place[q]);
        }
    }
}

/* ---- an asker's history ---- */

void history_in_order(const History *history, Scored *order) {
    for (int64_t h = 0; h < history->n; h++)
        order[h] = (Scored){history->time ? history->time[h] : 0, h};
    if (history->time) qsort(order, (size_t)history->n, sizeof *order, by_time);
}

void recency_weights(
    const Recency *recency, const History *history, Scored *order, double *weight) {
    double by_place = 1;
    int fades = history->time && (recency->factor < 1 || recency->days > 0);
    for (int64_t h = 0; h < history->n && !fades; h++) weight[h] = 1;
    if (!fades) return;
    history_in_order(history, order);
    double last = order[history->n - 1].score;
    for (int64_t i = history->n - 1; i >= 0; i--) {
        if (i < history->n - 1 && order[i].score != order[i + 1].score) by_place *= recency->factor;
        weight[order[i].id] = by_place *
            (recency->days > 0 ? exp2((order[i].score - last) / 86400 / recency->days) : 1);
    }
}
