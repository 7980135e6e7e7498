#include "histories.h"

#include <math.h>
#include <string.h>

#include "../base/hash.h"
#include "../base/memory.h"

HistoryRules history_rules(const Model *model) {
    DatasetRules rules = model_rules(model->algorithm, &model->common, &model->params);
    return (HistoryRules){.newest = model->newest,
        .pair = rules.pair,
        .basket = rules.basket,
        .keeps_order = rules.keeps_order,
        .has_until = model->has_until,
        .until = model->until};
}

HistoryRules history_rules_until(const Model *model, double until) {
    HistoryRules rules = history_rules(model);
    if (isfinite(until)) {
        rules.has_until = 1;
        rules.until = until;
    }
    return rules;
}

/* Items that the model does not know still make baskets: under this id until the baskets are
 * weighed. */
enum { UNKNOWN_ITEM = INT32_MAX };

int32_t history_item(const Model *model, const HistoryRules *rules, Key item) {
    int32_t id = keymap_find(model->items, item);
    return id < 0 && rules->basket.group ? UNKNOWN_ITEM : id;
}

/* ---- events as they are read ---- */

/* Sessions of one user are told apart by a hash of the key. */
static uint64_t session_hash(Key key) {
    return key.text ? fnv1a(FNV_START, key.text, key.len)
                    : fnv1a(7, &key.integer, sizeof key.integer);
}

static Status event_list_grow(EventList *list, int has_session, Err *err) {
    int64_t capacity = list->capacity + list->capacity / 2 + 128;
    Event *event = mem_resize(list->event, (size_t)capacity, sizeof *event);
    if (!event) return fail_nomem(err, "the history");
    list->event = event;
    if (has_session) {
        uint64_t *session = mem_resize(list->session, (size_t)capacity, sizeof *session);
        if (!session) return fail_nomem(err, "the history");
        list->session = session;
    }
    list->capacity = capacity;
    return ST_OK;
}

Status event_list_add(EventList *list, Event event, const Key *session, Err *err) {
    if (list->n == list->capacity) TRY(event_list_grow(list, session != NULL, err));
    if (session) list->session[list->n] = session_hash(*session);
    list->event[list->n++] = event;
    return ST_OK;
}

void event_list_clear(EventList *list) {
    mem_free(list->event);
    mem_free(list->session);
    *list = (EventList){0};
}

/* ---- one user's events become her pairs ---- */

Status event_list_take_session(EventList *list, EventList *one, Err *err) {
    int64_t left = 0;
    uint64_t wanted = list->session && list->n ? list->session[0] : 0;
    one->n = 0;
    for (int64_t i = 0; i < list->n; i++) {
        if (!list->session || list->session[i] == wanted) {
            TRY(event_list_add(one, list->event[i], NULL, err));
            continue;
        }
        list->event[left] = list->event[i];
        list->session[left++] = list->session[i];
    }
    list->n = left;
    return ST_OK;
}

/* Of n events and their sessions, only those of the session with the latest event stay; returns how
 * many. */
static int64_t latest_session(Event *event, const uint64_t *session, int64_t n) {
    int64_t latest = 0, kept = 0;
    for (int64_t i = 1; i < n; i++)
        if (event[i].time > event[latest].time ||
            (event[i].time == event[latest].time && session[i] > session[latest]))
            latest = i;
    uint64_t wanted = n ? session[latest] : 0;
    for (int64_t i = 0; i < n; i++)
        if (session[i] == wanted) event[kept++] = event[i];
    return kept;
}

/* Decay counts from the newest event that was trained on, or of this history where that is later:
 * what came after the training fades in its own order. */
static double newest_of(const Event *event, int64_t n, double trained) {
    for (int64_t i = 0; i < n; i++) trained = fmax(trained, event[i].time);
    return trained;
}

/* Basket weights first, which unknown items take part in; then those have no more to say. */
static Status weigh(Event *event, int64_t *n, const HistoryRules *rules, Err *err) {
    int64_t kept = 0;
    TRY(events_weigh_baskets(event, *n, &rules->basket, err));
    for (int64_t i = 0; i < *n; i++)
        if (event[i].item != UNKNOWN_ITEM) event[kept++] = event[i];
    *n = kept;
    return ST_OK;
}

/* The items that are there of sorted events, without those that the model does not know, which are
 * last. */
static int64_t held_items(const Event *event, int64_t n, const HistoryRules *rules, int32_t *item) {
    int64_t held = events_held(event, n, &rules->pair, item);
    while (held > 0 && item[held - 1] == UNKNOWN_ITEM) held--;
    return held;
}

/* The visits of sorted events. */
static int64_t take_visits(const Event *event, int64_t n, Visit *visit) {
    int64_t taken = 0;
    for (int64_t i = 0; i < n; i++)
        if (event[i].weight > 0 && event[i].item != UNKNOWN_ITEM)
            visit[taken++] = (Visit){event[i].time, event[i].item};
    return taken;
}

/* Of visits by item only those of the pairs stay, and come into the order of time. */
static int64_t keep_visits(Visit *visit, int64_t n, const Event *pair, int64_t n_pairs) {
    int64_t kept = 0, at = 0;
    for (int64_t i = 0; i < n; i++) {
        while (at < n_pairs && pair[at].item < visit[i].item) at++;
        if (at < n_pairs && pair[at].item == visit[i].item) visit[kept++] = visit[i];
    }
    return visits_order(visit, kept);
}

/* What a user's events become: pairs at the front of them. */
typedef struct Netted {
    int64_t n_pairs;
    int32_t *seen; /* what she has at all, however long ago; NULL, or room for all */
    int64_t n_seen;
    Visit *visit; /* NULL, or room for all */
    int64_t n_visits;
} Netted;

static Status net_history(Event *event, const uint64_t *session, int64_t n,
    const HistoryRules *rules, Netted *out, Err *err) {
    out->n_pairs = out->n_seen = out->n_visits = 0;
    if (session) n = latest_session(event, session, n);
    events_sort(event, n);
    if (out->seen) out->n_seen = held_items(event, n, rules, out->seen);
    if (out->visit) out->n_visits = take_visits(event, n, out->visit);
    TRY(weigh(event, &n, rules, err));
    out->n_pairs = events_net(event, n, newest_of(event, n, rules->newest), &rules->pair);
    if (out->visit) out->n_visits = keep_visits(out->visit, out->n_visits, event, out->n_pairs);
    return ST_OK;
}

/* ---- one history ---- */

void owned_history_clear(OwnedHistory *owned) {
    mem_free(owned->history.item);
    mem_free(owned->history.weight);
    mem_free(owned->history.time);
    mem_free(owned->seen);
    mem_free(owned->visit);
    *owned = (OwnedHistory){0};
}

Status owned_history_reserve(OwnedHistory *out, int64_t n, Err *err) {
    if (n > out->capacity || !out->history.item) {
        owned_history_clear(out);
        out->history.item = mem_array((size_t)n, sizeof *out->history.item);
        out->history.weight = mem_array((size_t)n, sizeof *out->history.weight);
        out->history.time = mem_array((size_t)n, sizeof *out->history.time);
        out->seen = mem_array((size_t)n, sizeof *out->seen);
        out->visit = mem_array((size_t)n, sizeof *out->visit);
        if (!out->history.item || !out->history.weight || !out->history.time || !out->seen ||
            !out->visit)
            return fail_nomem(err, "the history");
        out->capacity = n;
    }
    out->history.n = out->history.n_visits = 0;
    out->history.seen = NULL;
    out->history.visit = NULL;
    out->history.is_cart = 0;
    return ST_OK;
}

Status history_of_events(EventList *list, const HistoryRules *rules, OwnedHistory *out, Err *err) {
    TRY(owned_history_reserve(out, list->n, err));
    Netted netted = {.seen = out->seen, .visit = rules->keeps_order ? out->visit : NULL};
    TRY(net_history(list->event, list->session, list->n, rules, &netted, err));
    out->history.seen = out->seen;
    out->history.n_seen = netted.n_seen;
    out->history.visit = netted.visit;
    out->history.n_visits = netted.n_visits;
    for (int64_t i = 0; i < netted.n_pairs; i++) {
        out->history.item[i] = list->event[i].item;
        out->history.weight[i] = (float)list->event[i].weight;
        out->history.time[i] = list->event[i].time;
    }
    out->history.n = netted.n_pairs;
    return ST_OK;
}

Status history_of_basket(
    const int32_t *item, int64_t n, int32_t n_items, OwnedHistory *out, Err *err) {
    float *count = mem_zeros((size_t)n_items, sizeof *count);
    double *place = mem_array((size_t)n_items, sizeof *place);
    Status status = count && place ? owned_history_reserve(out, n, err)
                                   : fail_nomem(err, "the basket");
    for (int64_t i = 0; i < n && status == ST_OK; i++) {
        if (item[i] < 0) continue;
        count[item[i]] += 1;
        place[item[i]] = (double)i;
        out->visit[out->history.n_visits++] = (Visit){(double)i, item[i]};
    }
    if (status == ST_OK) {
        out->history.visit = out->visit;
        out->history.is_cart = 1;
    }
    for (int32_t i = 0; i < n_items && status == ST_OK; i++) {
        if (count[i] == 0) continue;
        out->history.item[out->history.n] = i;
        out->history.weight[out->history.n] = count[i];
        out->history.time[out->history.n++] = place[i];
    }
    mem_free(count);
    mem_free(place);
    return status;
}

/* ---- everybody's ---- */

void all_histories_clear(AllHistories *all) {
    keymap_free(all->users);
    csr_clear(&all->rows);
    mem_free(all->time);
    mem_free(all->seen);
    mem_free(all->seen_start);
    mem_free(all->visit);
    mem_free(all->visit_start);
    *all = (AllHistories){0};
}

History history_of_row(const HistoryRows *all, int32_t user) {
    int64_t from = all->rows->row_start[user];
    History history = {.item = all->rows->col + from,
        .weight = all->rows->val + from,
        .n = csr_row_len(all->rows, user),
        .time = all->time ? all->time + from : NULL};
    if (all->visit) {
        history.visit = all->visit + all->visit_start[user];
        history.n_visits = all->visit_start[user + 1] - all->visit_start[user];
    }
    return history;
}

HistoryRows dataset_rows(const Dataset *data) {
    return (HistoryRows){&data->by_user, data->pair_time, data->visit, data->visit_start};
}

History all_histories_row(const AllHistories *all, int32_t user) {
    History history = history_of_row(
        &(HistoryRows){&all->rows, all->time, all->visit, all->visit_start}, user);
    if (all->seen) {
        history.seen = all->seen + all->seen_start[user];
        history.n_seen = all->seen_start[user + 1] - all->seen_start[user];
    }
    return history;
}

int all_histories_has(const AllHistories *all, int32_t user, int32_t item) {
    History history = all_histories_row(all, user);
    int64_t n, low = 0;
    const int32_t *seen = history_seen(&history, &n);
    while (low < n) { /* ascending */
        int64_t middle = low + (n - low) / 2;
        if (seen[middle] == item) return 1;
        if (seen[middle] < item) low = middle + 1;
        else n = middle;
    }
    return 0;
}

/* Events in the order of their users, each with its session where they count. */
typedef struct EventGroups {
    int64_t *start; /* users + 1 */
    Event *event;
    uint64_t *session;
} EventGroups;

static void groups_clear(EventGroups *groups) {
    mem_free(groups->start);
    mem_free(groups->event);
    mem_free(groups->session);
}

/* A counting sort. new_id: users by their ids so far. */
static Status group_events(
    const EventList *list, int32_t n_users, const int32_t *new_id, EventGroups *out, Err *err) {
    *out = (EventGroups){mem_zeros((size_t)n_users + 2, sizeof *out->start),
        mem_array((size_t)list->n, sizeof *out->event),
        list->session ? mem_array((size_t)list->n, sizeof *out->session) : NULL};
    if (!out->start || !out->event || (list->session && !out->session))
        return fail_nomem(err, "the histories");
    /* next[u]: where user u's next event goes; in the end where u + 1 begins, which is start[u
     * + 1] */
    int64_t *next = out->start + 1;
    for (int64_t i = 0; i < list->n; i++) next[new_id[list->event[i].user] + 1]++;
    for (int32_t u = 0; u < n_users; u++) next[u + 1] += next[u];
    for (int64_t i = 0; i < list->n; i++) {
        int64_t to = next[new_id[list->event[i].user]]++;
        out->event[to] = list->event[i];
        if (list->session) out->session[to] = list->session[i];
    }
    return ST_OK;
}

static Status alloc_histories(int32_t n_users, int32_t n_items, int64_t n_events,
    const HistoryRules *rules, AllHistories *out, Err *err) {
    TRY(csr_alloc(&out->rows, n_users, n_items, n_events, err));
    out->time = mem_array((size_t)n_events, sizeof *out->time);
    if (!out->time) return fail_nomem(err, "the histories");
    if (rules->keeps_order) {
        out->visit = mem_array((size_t)n_events, sizeof *out->visit);
        out->visit_start = mem_zeros((size_t)n_users + 1, sizeof *out->visit_start);
        if (!out->visit || !out->visit_start) return fail_nomem(err, "the histories");
    }
    /* the taste is all that is there */
    if (rules->pair.max_history <= 0 && !rules->basket.group) return ST_OK;
    out->seen = mem_array((size_t)n_events, sizeof *out->seen);
    out->seen_start = mem_zeros((size_t)n_users + 1, sizeof *out->seen_start);
    return out->seen && out->seen_start ? ST_OK : fail_nomem(err, "the histories");
}

/* Net each user's events, and lay them out as rows. */
static Status net_histories(
    EventGroups *groups, const HistoryRules *rules, AllHistories *out, Err *err) {
    int64_t at = 0, seen_at = 0, visit_at = 0;
    for (int32_t u = 0; u < out->rows.n_rows; u++) {
        int64_t from = groups->start[u];
        Event *event = groups->event + from;
        Netted netted = {.seen = out->seen ? out->seen + seen_at : NULL,
            .visit = out->visit ? out->visit + visit_at : NULL};
        TRY(net_history(event, groups->session ? groups->session + from : NULL,
            groups->start[u + 1] - from, rules, &netted, err));
        for (int64_t i = 0; i < netted.n_pairs; i++, at++) {
            out->rows.col[at] = event[i].item;
            out->rows.val[at] = (float)event[i].weight;
            out->time[at] = event[i].time;
        }
        out->rows.row_start[u + 1] = at;
        seen_at += netted.n_seen;
        visit_at += netted.n_visits;
        if (out->seen) out->seen_start[u + 1] = seen_at;
        if (out->visit) out->visit_start[u + 1] = visit_at;
    }
    return ST_OK;
}

Status all_histories_of_events(EventList *list, KeyMap *users, int32_t n_items,
    const HistoryRules *rules, AllHistories *out, Err *err) {
    EventGroups groups = {0};
    int32_t *new_id = NULL, n_users = keymap_count(users);
    *out = (AllHistories){.users = users};
    Status status = keymap_sort(users, &new_id, err);
    if (status == ST_OK) status = group_events(list, n_users, new_id, &groups, err);
    if (status == ST_OK) status = alloc_histories(n_users, n_items, list->n, rules, out, err);
    if (status == ST_OK) status = net_histories(&groups, rules, out, err);
    mem_free(new_id);
    groups_clear(&groups);
    if (status != ST_OK) all_histories_clear(out);
    return status;
}
