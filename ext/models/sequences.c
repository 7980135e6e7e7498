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

static void place_visits(Sequences *out, const Dataset *data, int *ordered) {
    for (int32_t u = 0; u < out->n_users; u++) {
        int32_t place = 0;
        for (int64_t v = out->row_start[u]; v < out->row_start[u + 1]; v++) {
            const Visit *visit = &data->visit[v];
            place += v > out->row_start[u] && visit->time != visit[-1].time;
            out->item[v] = visit->item;
            out->place[v] = place;
            out->user[v] = u;
            *ordered |= visit->time != 0;
        }
    }
}

/* A counting sort of the places by item. */
static void index_items(Sequences *out) {
    int64_t n = out->row_start[out->n_users], *next = out->at_start + 1;
    for (int64_t v = 0; v < n; v++) next[out->item[v] + 1]++;
    for (int32_t i = 0; i < out->n_items; i++) next[i + 1] += next[i];
    for (int64_t v = 0; v < n; v++) out->at[next[out->item[v]]++] = v;
}

Status sequences_init(Sequences *out, const Dataset *data, const char *who, Err *err) {
    size_t n = (size_t)data->visit_start[data->by_user.n_rows];
    int ordered = n == 0;
    *out = (Sequences){.n_users = data->by_user.n_rows,
        .n_items = data->by_user.n_cols,
        .row_start = data->visit_start};
    out->item = mem_array(n, sizeof *out->item);
    out->place = mem_array(n, sizeof *out->place);
    out->user = mem_array(n, sizeof *out->user);
    /* one more, since next[i] of index_items ends where i + 1 begins */
    out->at_start = mem_zeros((size_t)out->n_items + 2, sizeof *out->at_start);
    out->at = mem_array(n, sizeof *out->at);
    if (!out->item || !out->place || !out->user || !out->at_start || !out->at) {
        sequences_clear(out);
        return fail_nomem(err, "the sequences");
    }
    place_visits(out, data, &ordered);
    index_items(out);
    if (ordered) return ST_OK;
    sequences_clear(out);
    return fail(err, ST_BADARG,
        "%s needs the order of the events: time= (any number that orders them), and not the same "
        "for all",
        who);
}

void sequences_clear(Sequences *sequences) {
    mem_free(sequences->item);
    mem_free(sequences->place);
    mem_free(sequences->user);
    mem_free(sequences->at_start);
    mem_free(sequences->at);
    *sequences = (Sequences){0};
}

int64_t sequences_look_back(const Sequences *s, int64_t at, int64_t window) {
    int64_t from = at, first = s->row_start[s->user[at]];
    while (from > first && s->place[at] - s->place[from - 1] <= window) from--;
    return from;
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
static void window_of(const OrderedPairs *pairs, int64_t at, int64_t *from, int64_t *to) {
    const Sequences *s = pairs->sequences;
    int64_t end = s->row_start[s->user[at] + 1];
    *from = sequences_look_back(s, at, pairs->window);
    for (*to = at + 1; *to < end && s->place[*to] - s->place[at] <= pairs->window;) ++*to;
}

int32_t ordered_pairs_row(
    const OrderedPairs *pairs, int32_t j, int into, double *sum, int32_t *touched) {
    const Sequences *s = pairs->sequences;
    int32_t n = 0;
    for (int64_t e = s->at_start[j]; e < s->at_start[j + 1]; e++) {
        int64_t at = s->at[e], from, to;
        window_of(pairs, at, &from, &to);
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
    for (int64_t e = s->at_start[j]; e < s->at_start[j + 1]; e++) {
        int64_t at = s->at[e], from, to;
        window_of(pairs, at, &from, &to);
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
