#include "dataset.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"

static const double SECONDS_PER_DAY = 86400.0;

Status dataset_init(Dataset *data, Err *err) {
    *data = (Dataset){.newest = -INFINITY};
    data->users = keymap_new();
    data->items = keymap_new();
    return data->users && data->items ? ST_OK : fail_nomem(err, "the events");
}

void dataset_clear(Dataset *data) {
    for (int32_t i = 0; data->item_text && i < data->by_user.n_cols; i++)
        mem_free(data->item_text[i]);
    mem_free(data->item_text);
    mem_free(data->item_vector);
    keymap_free(data->users);
    keymap_free(data->items);
    mem_free(data->event);
    csr_clear(&data->by_user);
    csr_clear(&data->by_item);
    mem_free(data->pair_time);
    mem_free(data->visit_start);
    mem_free(data->visit);
    *data = (Dataset){0};
}

double dataset_decay(double weight, double time, double newest, double half_life) {
    if (half_life <= 0 || time >= newest) return weight;
    return weight * exp2((time - newest) / SECONDS_PER_DAY / half_life);
}

Status dataset_add(Dataset *data, Key user, Key item, double weight, double time, Err *err) {
    Event event = {.weight = weight, .time = time};
    if (!isfinite(weight) || fabs(weight) > DATASET_MAX_WEIGHT)
        return fail(err, ST_BADARG, "event %lld has weight %g (-1e12..1e12)",
            (long long)data->n_events + 1, weight);
    if (data->only_listed && keymap_find(data->items, item) < 0) return ST_OK;
    if (data->n_events == data->capacity) {
        int64_t capacity = data->capacity + data->capacity / 2 + 1024;
        Event *grown = mem_resize(data->event, (size_t)capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "the events");
        data->event = grown;
        data->capacity = capacity;
    }
    TRY(keymap_add(data->users, user, &event.user, err));
    TRY(keymap_add(data->items, item, &event.item, err));
    if (time > data->newest) data->newest = time;
    data->event[data->n_events++] = event;
    return ST_OK;
}

Status dataset_list_item(Dataset *data, Key item, Err *err) {
    int32_t id;
    TRY(keymap_add(data->items, item, &id, err));
    data->n_listed = keymap_count(data->items);
    return ST_OK;
}

static int compare_event(const void *a, const void *b) {
    const Event *x = a, *y = b;
    if (x->user != y->user) return x->user < y->user ? -1 : 1;
    if (x->item != y->item) return x->item < y->item ? -1 : 1;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    return (x->weight > y->weight) - (x->weight < y->weight);
}

void events_sort(Event *event, int64_t n) {
    if (n > 1) qsort(event, (size_t)n, sizeof *event, compare_event);
}

static int compare_times(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double basket_weight(int64_t b, int64_t n, const BasketRules *rules) {
    int64_t group = b / rules->group, groups = (n + rules->group - 1) / rules->group;
    int64_t own = group == groups - 1 ? n - group * rules->group : rules->group;
    return pow(rules->decay, (double)(b % rules->group)) / (double)own *
        pow(rules->group_decay, (double)group) / (double)groups;
}

/* One user's events; time: room for n numbers. */
static void weigh_user(Event *event, int64_t n, const BasketRules *rules, double *time) {
    int64_t baskets = 0;
    for (int64_t i = 0; i < n; i++) time[i] = event[i].time;
    qsort(time, (size_t)n, sizeof *time, compare_times);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || time[i] != time[baskets - 1]) time[baskets++] = time[i];
    for (int64_t from = 0, to; from < n; from = to) { /* a pair */
        double sum = 0, size = 0;
        for (to = from; to < n && event[to].item == event[from].item; to++) {
            sum += event[to].weight;
            size += fabs(event[to].weight);
        }
        for (int64_t i = from; i < to; i++) {
            const double *place = bsearch(
                &event[i].time, time, (size_t)baskets, sizeof *time, compare_times);
            int again = i > from && event[i].time == event[i - 1].time;
            event[i].weight = sum_is_positive(sum, size, to - from) && !again
                ? basket_weight(baskets - 1 - (place - time), baskets, rules)
                : 0;
        }
    }
}

Status events_weigh_baskets(Event *event, int64_t n, const BasketRules *rules, Err *err) {
    if (rules->group <= 0) return ST_OK;
    double *time = mem_array((size_t)n, sizeof *time);
    if (!time) return fail_nomem(err, "the baskets");
    for (int64_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && event[to].user == event[from].user; to++) {}
        weigh_user(event + from, to - from, rules, time);
    }
    mem_free(time);
    return ST_OK;
}

int sum_is_positive(double sum, double size, int64_t n) {
    return sum > (double)n * DBL_EPSILON * size;
}

/* The events of one pair, combined without and with decay. */
typedef struct PairSum {
    double plain, decayed, size;
    int64_t n;
} PairSum;

static void pair_add(PairSum *sum, const Event *event, double newest, const PairRules *rules) {
    double decayed = dataset_decay(event->weight, event->time, newest, rules->half_life);
    int first = sum->n++ == 0,
        takes = first || rules->combine == COMBINE_LAST ||
        (rules->combine == COMBINE_MAX && event->weight > sum->plain);
    sum->size += fabs(event->weight);
    if (rules->combine == COMBINE_SUM || rules->combine == COMBINE_MEAN) {
        sum->plain += event->weight;
        sum->decayed += decayed;
    } else if (takes) {
        sum->plain = event->weight;
        sum->decayed = decayed;
    }
}

static int pair_is_there(const PairSum *sum, const PairRules *rules) {
    if (rules->keeps_all) return 1;
    int adds = rules->combine == COMBINE_SUM || rules->combine == COMBINE_MEAN;
    return adds ? sum_is_positive(sum->plain, sum->size, sum->n) : sum->plain > 0;
}

static double pair_weight(const PairSum *sum, const PairRules *rules) {
    double weight = rules->combine == COMBINE_MEAN ? sum->decayed / (double)sum->n : sum->decayed;
    return rules->keeps_all || weight > DATASET_LEAST_WEIGHT ? weight : DATASET_LEAST_WEIGHT;
}

/* The pair that begins at event[from], up to *to. */
static PairSum pair_of(const Event *event, int64_t n, int64_t from, double newest,
    const PairRules *rules, int64_t *to) {
    PairSum sum = {0};
    for (*to = from;
         *to < n && event[*to].user == event[from].user && event[*to].item == event[from].item;
         ++*to)
        pair_add(&sum, &event[*to], newest, rules);
    return sum;
}

static int64_t combine_pairs(Event *event, int64_t n, double newest, const PairRules *rules) {
    int64_t n_pairs = 0;
    for (int64_t from = 0, to; from < n; from = to) {
        PairSum sum = pair_of(event, n, from, newest, rules, &to);
        Event pair = event[to - 1]; /* the latest */
        pair.weight = pair_weight(&sum, rules);
        if (pair_is_there(&sum, rules)) event[n_pairs++] = pair;
    }
    return n_pairs;
}

int64_t events_held(const Event *event, int64_t n, const PairRules *rules, int32_t *item) {
    int64_t n_items = 0;
    for (int64_t from = 0, to; from < n; from = to) {
        PairSum sum = pair_of(event, n, from, -INFINITY, rules, &to); /* without decay */
        if (pair_is_there(&sum, rules)) item[n_items++] = event[from].item;
    }
    return n_items;
}

static int latest_first(const void *a, const void *b) {
    const Event *x = a, *y = b;
    if (x->time != y->time) return x->time > y->time ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

/* Keep each user's latest max_history pairs. */
static int64_t cap_histories(Event *pair, int64_t n, int64_t max_history) {
    int64_t kept = 0;
    if (max_history <= 0) return n;
    for (int64_t from = 0; from < n;) {
        int64_t to = from;
        while (to < n && pair[to].user == pair[from].user) to++;
        int64_t len = to - from;
        if (len > max_history) {
            qsort(pair + from, (size_t)len, sizeof *pair, latest_first);
            len = max_history;
            events_sort(pair + from, len);
        }
        memmove(pair + kept, pair + from, (size_t)len * sizeof *pair);
        kept += len;
        from = to;
    }
    return kept;
}

int64_t events_net(Event *event, int64_t n, double newest, const PairRules *rules) {
    return cap_histories(event, combine_pairs(event, n, newest, rules), rules->max_history);
}

static Status drop_rare_items(
    Event *pair, int64_t *n, int32_t n_items, int64_t min_support, Err *err) {
    int64_t kept = 0;
    if (min_support <= 1) return ST_OK;
    int64_t *support = mem_zeros((size_t)n_items, sizeof *support);
    if (!support) return fail_nomem(err, "the items' support");
    for (int64_t i = 0; i < *n; i++) support[pair[i].item]++;
    for (int64_t i = 0; i < *n; i++)
        if (support[pair[i].item] >= min_support) pair[kept++] = pair[i];
    *n = kept;
    mem_free(support);
    return ST_OK;
}

/* Events with ids that follow those of the pairs: n of them, or NULL. */
typedef struct Followers {
    Event *event;
    int64_t n;
} Followers;

/* Replace a map by one that holds only the ids in use or listed (NULL: none is), still in key
 * order, and renumber them in the pairs; followers of an id that is gone get -1. */
static Status keep_used(KeyMap **map, const uint8_t *listed, Event *pair, int64_t n,
    const Followers *followers, int32_t *(*id_of)(Event *), Err *err) {
    int32_t count = keymap_count(*map);
    int32_t *new_id = mem_array((size_t)count, sizeof *new_id);
    KeyMap *kept = keymap_new();
    Status status = new_id && kept ? ST_OK : fail_nomem(err, "the keys in use");

    if (status == ST_OK) {
        for (int32_t i = 0; i < count; i++) new_id[i] = listed && listed[i] ? 0 : -1;
        for (int64_t i = 0; i < n; i++) new_id[*id_of(&pair[i])] = 0;
        for (int32_t i = 0; i < count && status == ST_OK; i++)
            if (new_id[i] == 0) status = keymap_add(kept, keymap_key(*map, i), &new_id[i], err);
    }
    if (status == ST_OK) {
        for (int64_t i = 0; i < n; i++) *id_of(&pair[i]) = new_id[*id_of(&pair[i])];
        for (int64_t i = 0; i < followers->n; i++)
            *id_of(&followers->event[i]) = new_id[*id_of(&followers->event[i])];
        keymap_free(*map);
        *map = kept;
        kept = NULL;
    }
    keymap_free(kept);
    mem_free(new_id);
    return status;
}

static int32_t *user_of(Event *event) { return &event->user; }

static int32_t *item_of(Event *event) { return &event->item; }

/* *listed: per new item id, is it of the catalogue? */
static Status number_in_key_order(Dataset *data, uint8_t **listed, Err *err) {
    int32_t *user = NULL, *item = NULL;
    Status status = keymap_sort(data->users, &user, err);
    if (status == ST_OK) status = keymap_sort(data->items, &item, err);
    for (int64_t i = 0; status == ST_OK && i < data->n_events; i++) {
        data->event[i].user = user[data->event[i].user];
        data->event[i].item = item[data->event[i].item];
    }
    *listed = mem_zeros((size_t)keymap_count(data->items), 1);
    if (status == ST_OK && !*listed) status = fail_nomem(err, "the items");
    for (int32_t i = 0; status == ST_OK && i < data->n_listed; i++) (*listed)[item[i]] = 1;
    mem_free(user);
    mem_free(item);
    return status;
}

static Status fill_matrix(Dataset *data, int64_t n_pairs, Err *err) {
    Csr *by_user = &data->by_user;
    TRY(csr_alloc(by_user, keymap_count(data->users), keymap_count(data->items), n_pairs, err));
    data->pair_time = mem_array((size_t)n_pairs, sizeof *data->pair_time);
    if (!data->pair_time) return fail_nomem(err, "the pairs' times");
    for (int64_t i = 0; i < n_pairs; i++) {
        by_user->row_start[data->event[i].user + 1]++;
        by_user->col[i] = data->event[i].item;
        by_user->val[i] = (float)data->event[i].weight;
        data->pair_time[i] = data->event[i].time;
    }
    for (int32_t u = 0; u < by_user->n_rows; u++)
        by_user->row_start[u + 1] += by_user->row_start[u];
    return csr_transpose(&data->by_item, by_user, err);
}

/* Sort by (user, item, time, weight): users by counting, each user's events by comparison. */
static Status sort_events(Dataset *data, Task *task, Err *err) {
    int32_t n_users = keymap_count(data->users);
    int64_t *start = mem_zeros((size_t)n_users + 1, sizeof *start);
    Event *sorted = mem_array((size_t)data->n_events, sizeof *sorted);
    Status status = start && sorted ? ST_OK : fail_nomem(err, "sorting the events");
    if (status == ST_OK) {
        for (int64_t i = 0; i < data->n_events; i++) start[data->event[i].user + 1]++;
        for (int32_t u = 0; u < n_users; u++) start[u + 1] += start[u];
        for (int64_t i = 0; i < data->n_events; i++)
            sorted[start[data->event[i].user]++] = data->event[i];
        /* start[u] is now the end of user u */
        for (int32_t u = 0; u < n_users && status == ST_OK; u++) {
            int64_t from = u ? start[u - 1] : 0, n = start[u] - from;
            events_sort(sorted + from, n);
            if (u % 4096 == 0 && task_poll(task)) status = fail(err, ST_CANCELLED, "interrupted");
        }
        mem_free(data->event);
        data->event = sorted;
        data->capacity = data->n_events;
        sorted = NULL;
    }
    mem_free(start);
    mem_free(sorted);
    return status;
}

static int compare_visit(const void *a, const void *b) {
    const Visit *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

int64_t visits_order(Visit *visit, int64_t n) {
    int64_t kept = 0;
    if (n > 1) qsort(visit, (size_t)n, sizeof *visit, compare_visit);
    for (int64_t i = 0; i < n; i++)
        if (kept == 0 || compare_visit(&visit[kept - 1], &visit[i]) != 0) visit[kept++] = visit[i];
    return kept;
}

/* events: of all users, by user. */
static Status fill_visits(Dataset *data, const Followers *events, Err *err) {
    int32_t n_users = data->by_user.n_rows;
    int64_t at = 0, n = 0;
    data->visit_start = mem_zeros((size_t)n_users + 1, sizeof *data->visit_start);
    data->visit = mem_array((size_t)events->n, sizeof *data->visit);
    if (!data->visit_start || !data->visit) return fail_nomem(err, "the order of the events");
    for (int32_t u = 0; u < n_users; u++) {
        int64_t from = n;
        while (at < events->n && events->event[at].user < u) at++;
        for (; at < events->n && events->event[at].user == u; at++) {
            const Event *event = &events->event[at];
            if (event->weight > 0 && event->item >= 0 &&
                csr_find(&data->by_user, u, event->item) >= 0)
                data->visit[n++] = (Visit){event->time, event->item};
        }
        n = from + visits_order(data->visit + from, n - from);
        data->visit_start[u + 1] = n;
    }
    return ST_OK;
}

static Status copy_events(const Dataset *data, Followers *out, Err *err) {
    out->event = mem_array((size_t)data->n_events, sizeof *out->event);
    if (!out->event) return fail_nomem(err, "the order of the events");
    out->n = data->n_events;
    if (out->n) memcpy(out->event, data->event, (size_t)out->n * sizeof *out->event);
    return ST_OK;
}

static Status finish(Dataset *data, uint8_t **listed, Followers *order, const DatasetRules *rules,
    Task *task, Err *err) {
    TRY(number_in_key_order(data, listed, err));
    TRY(sort_events(data, task, err));
    if (rules->keeps_order) TRY(copy_events(data, order, err));
    TRY(events_weigh_baskets(data->event, data->n_events, &rules->basket, err));
    int64_t n_pairs = events_net(data->event, data->n_events, data->newest, &rules->pair);
    TRY(drop_rare_items(data->event, &n_pairs, keymap_count(data->items), rules->min_support, err));
    TRY(keep_used(&data->users, NULL, data->event, n_pairs, order, user_of, err));
    TRY(keep_used(&data->items, *listed, data->event, n_pairs, order, item_of, err));
    TRY(fill_matrix(data, n_pairs, err));
    return rules->keeps_order ? fill_visits(data, order, err) : ST_OK;
}

Status dataset_finish(Dataset *data, const DatasetRules *rules, Task *task, Err *err) {
    uint8_t *listed = NULL;
    Followers order = {0};
    Status status = finish(data, &listed, &order, rules, task, err);
    mem_free(listed);
    mem_free(order.event);
    if (status != ST_OK) return status;
    mem_free(data->event);
    data->event = NULL;
    if (!(data->newest > -INFINITY)) data->newest = 0;
    return ST_OK;
}
