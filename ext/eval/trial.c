#include "trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"

Status event_set_init(EventSet *set, Err *err) {
    *set = (EventSet){.users = keymap_new(), .items = keymap_new()};
    return set->users && set->items ? ST_OK : fail_nomem(err, "the events");
}

void event_set_clear(EventSet *set) {
    keymap_free(set->users);
    keymap_free(set->items);
    mem_free(set->event);
    *set = (EventSet){0};
}

Status event_set_add(EventSet *set, Key user, Key item, double weight, double time, Err *err) {
    Event event = {.weight = weight, .time = time};
    if (set->n == set->capacity) {
        int64_t capacity = set->capacity + set->capacity / 2 + 1024;
        Event *grown = mem_resize(set->event, (size_t)capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "the events");
        set->event = grown;
        set->capacity = capacity;
    }
    TRY(keymap_add(set->users, user, &event.user, err));
    TRY(keymap_add(set->items, item, &event.item, err));
    set->event[set->n++] = event;
    return ST_OK;
}

/* ---- splits ---- */

typedef struct EventPlace {
    Event event;
    int64_t at;
} EventPlace;

static int by_time(const void *a, const void *b) {
    const EventPlace *x = a, *y = b;
    if (x->event.time != y->event.time) return x->event.time < y->event.time ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_pair(const void *a, const void *b) {
    const EventPlace *x = a, *y = b;
    if (x->event.user != y->event.user) return x->event.user < y->event.user ? -1 : 1;
    if (x->event.item != y->event.item) return x->event.item < y->event.item ? -1 : 1;
    return by_time(a, b);
}

static EventPlace *placed_events(const EventSet *set, int (*compare)(const void *, const void *)) {
    EventPlace *out = mem_array((size_t)set->n, sizeof *out);
    for (int64_t i = 0; out && i < set->n; i++) out[i] = (EventPlace){set->event[i], i};
    if (out && set->n > 1) qsort(out, (size_t)set->n, sizeof *out, compare);
    return out;
}

/* Events of one time go together: the cut is the time of the first that is held. */
static Status split_by_time(const EventSet *set, double share, uint8_t *held, Err *err) {
    EventPlace *placed = placed_events(set, by_time);
    if (!placed) return fail_nomem(err, "the split");
    /* 1 - .8 is a little less than .2 */
    int64_t first = (int64_t)floor((1 - share) * (double)set->n + 1e-9);
    for (int64_t i = 0; i < set->n && first < set->n; i++)
        held[placed[i].at] = placed[i].event.time >= placed[first].event.time;
    mem_free(placed);
    return ST_OK;
}

/* Of pairs of one time the item with the lower key, whatever the order of the rows. */
static int later(const EventSet *set, const Event *a, const Event *b) {
    if (a->time != b->time) return a->time > b->time;
    return key_compare(keymap_key(set->items, a->item), keymap_key(set->items, b->item)) < 0;
}

static Status split_last(const EventSet *set, uint8_t *held, Err *err) {
    EventPlace *placed = placed_events(set, by_pair);
    if (!placed) return fail_nomem(err, "the split");
    for (int64_t from = 0, to; from < set->n; from = to) { /* a user */
        int64_t latest = from, pairs = 0;
        for (to = from; to < set->n && placed[to].event.user == placed[from].event.user; to++) {
            int first = to == from || placed[to].event.item != placed[to - 1].event.item;
            pairs += first;
            if (first && later(set, &placed[to].event, &placed[latest].event)) latest = to;
        }
        for (int64_t i = from; i < to && pairs >= 2; i++)
            held[placed[i].at] = placed[i].event.item == placed[latest].event.item;
    }
    mem_free(placed);
    return ST_OK;
}

static void append_key(Bytes *out, Key key) {
    bytes_append(out, key.text ? "t" : "i", 1);
    if (key.text) bytes_append(out, key.text, key.len);
    else bytes_u64(out, (uint64_t)key.integer);
}

/* Hash what has been appended to part, which becomes empty. */
static uint64_t hash_of(Bytes *part) {
    uint8_t digest[16];
    if (part->failed) return 0;
    bytes_checksum(part->data, part->len, digest);
    part->len = 0;
    Reader in = reader_of(digest, sizeof digest);
    return read_u64(&in);
}

static Status split_random(
    const EventSet *set, int64_t fold, int64_t folds, uint64_t seed, uint8_t *held, Err *err) {
    Bytes pair = {0};
    for (int64_t i = 0; i < set->n && !pair.failed; i++) {
        bytes_u64(&pair, seed);
        append_key(&pair, keymap_key(set->users, set->event[i].user));
        bytes_append(&pair, "/", 1);
        append_key(&pair, keymap_key(set->items, set->event[i].item));
        held[i] = hash_of(&pair) % (uint64_t)folds == (uint64_t)fold;
    }
    Status status = pair.failed ? fail_nomem(err, "the split") : ST_OK;
    bytes_clear(&pair);
    return status;
}

Status sample_users(
    const EventSet *set, double share, uint64_t seed, const uint8_t *held, uint8_t *out, Err *err) {
    int32_t n = keymap_count(set->users);
    uint64_t hash = 0;
    uint8_t *in = mem_array((size_t)n, 1);
    Status status = in ? ST_OK : fail_nomem(err, "the sample");
    for (int32_t u = 0; status == ST_OK && u < n; u++) {
        if (!key_bucket_hash(keymap_key(set->users, u), seed, &hash))
            status = fail_nomem(err, "the sample");
        in[u] = ldexp((double)hash, -64) < share;
    }
    for (int64_t i = 0; status == ST_OK && i < set->n; i++)
        out[i] = in[set->event[i].user] ? held[i] : LEFT_OUT;
    mem_free(in);
    return status;
}

Status event_set_hash(const EventSet *set, uint64_t *out, Err *err) {
    Bytes event = {0};
    *out = (uint64_t)set->n;
    for (int64_t i = 0; i < set->n && !event.failed; i++) {
        append_key(&event, keymap_key(set->users, set->event[i].user));
        bytes_append(&event, "/", 1);
        append_key(&event, keymap_key(set->items, set->event[i].item));
        bytes_f64(&event, set->event[i].weight);
        bytes_f64(&event, set->event[i].time);
        *out += hash_of(&event);
    }
    Status status = event.failed ? fail_nomem(err, "the events") : ST_OK;
    bytes_clear(&event);
    return status;
}

Status split_events(const EventSet *set, SplitKind kind, double share, int64_t fold, int64_t folds,
    uint64_t seed, uint8_t *held, Err *err) {
    memset(held, 0, (size_t)set->n);
    if (kind == SPLIT_TIME) return split_by_time(set, share, held, err);
    return kind == SPLIT_LAST ? split_last(set, held, err)
                              : split_random(set, fold, folds, seed, held, err);
}

/* ---- one trial ---- */

typedef struct TrialPart {
    Dataset train, test;
    /* what the training part holds at all, where max_history or baskets cut it; else empty */
    Dataset all;
    int has_all;
    Holdout holdout; /* users with both parts, in key order */
    int32_t *user;   /* per user of the hold-out: of the test part */
} TrialPart;

static void part_clear(TrialPart *p) {
    dataset_clear(&p->train);
    dataset_clear(&p->test);
    dataset_clear(&p->all);
    holdout_clear(&p->holdout);
    mem_free(p->user);
}

static Status fill(Dataset *data, const EventSet *set, const uint8_t *held, int which, Err *err) {
    for (int64_t i = 0; i < set->n; i++)
        if (held[i] == which)
            TRY(dataset_add(data, keymap_key(set->users, set->event[i].user),
                keymap_key(set->items, set->event[i].item), set->event[i].weight,
                set->event[i].time, err));
    return ST_OK;
}

/* What the user of the training part has: taste and, into seen (room for all items), what counts as
 * seen. */
static History history_of(const TrialPart *p, const Model *model, int32_t own, int32_t *seen) {
    const Csr *all = &p->all.by_user;
    HistoryRows rows = dataset_rows(&p->train);
    History history = history_of_row(&rows, own);
    if (!p->has_all) return history;
    int32_t u = keymap_find(p->all.users, keymap_key(p->train.users, own));
    /* in key order, as the model's ids are */
    for (int64_t e = all->row_start[u]; e < all->row_start[u + 1]; e++) {
        int32_t item = keymap_find(model->items, keymap_key(p->all.items, all->col[e]));
        if (item >= 0) seen[history.n_seen++] = item;
    }
    history.seen = seen;
    return history;
}

static int has_item(const History *history, int32_t item) {
    int64_t n;
    const int32_t *seen = history_seen(history, &n);
    for (int64_t i = 0; i < n; i++)
        if (seen[i] == item) return 1;
    return 0;
}

/* The users of both parts. Test pairs count 1 each: whether, not how much. */
static Status align(TrialPart *p, const Model *model, int exclude_seen, Err *err) {
    const Csr *train = &p->train.by_user, *test = &p->test.by_user;
    TRY(holdout_init(&p->holdout, test->n_rows, model->n_items, csr_nnz(train),
        p->has_all ? csr_nnz(&p->all.by_user) : HOLDOUT_SEES_HISTORY, csr_nnz(test), err));
    int32_t *seen = mem_array((size_t)model->n_items, sizeof *seen);
    p->user = mem_array((size_t)test->n_rows, sizeof *p->user);
    if (!seen || !p->user) {
        mem_free(seen);
        return fail_nomem(err, "the hold-out");
    }
    Status status = ST_OK;
    for (int32_t u = 0; status == ST_OK && u < test->n_rows; u++) {
        int32_t own = keymap_find(p->train.users, keymap_key(p->test.users, u)), relevant = 0;
        if (own < 0) continue;
        History history = history_of(p, model, own, seen);
        for (int64_t e = test->row_start[u]; e < test->row_start[u + 1]; e++) {
            int32_t item = keymap_find(model->items, keymap_key(p->test.items, test->col[e]));
            if (item >= 0 && exclude_seen && has_item(&history, item)) continue;
            holdout_add_relevant(&p->holdout, item, 1);
            relevant++;
        }
        if (!relevant) continue;
        p->user[p->holdout.n_users] = u;
        status = holdout_end_user(&p->holdout, &history, err);
    }
    mem_free(seen);
    return status;
}

static void summarise(TrialResult *out, const Judgement *judged, const EvaluateOptions *options) {
    for (int k = 0; k < options->n_k; k++)
        for (int m = 0; m < N_RANKING_METRICS; m++) {
            const double *value = judgement_values(judged, m, k);
            double sum = 0;
            for (int32_t u = 0; u < judged->n_users; u++) sum += value[u];
            out->value[m][k] = judged->n_users ? sum / judged->n_users : NAN;
        }
    out->users = judged->n_users;
}

Status event_set_sort(EventSet *set, Err *err) {
    int32_t *user = NULL, *item = NULL;
    Status status = keymap_sort(set->users, &user, err);
    if (status == ST_OK) status = keymap_sort(set->items, &item, err);
    for (int64_t i = 0; i < set->n && status == ST_OK; i++) {
        set->event[i].user = user[set->event[i].user];
        set->event[i].item = item[set->event[i].item];
    }
    mem_free(user);
    mem_free(item);
    return status;
}

static void add_users(
    TrialUsers *users, const EventSet *set, const TrialPart *p, const Judgement *judged) {
    const double *value = judgement_values(judged, (int)users->metric, 0);
    for (int32_t u = 0; u < judged->n_users; u++) {
        int32_t id = keymap_find(set->users, keymap_key(p->test.users, p->user[u]));
        users->sum[id] += value[u];
        users->count[id]++;
    }
}

/* Everything up to the trained model and who is judged. */
static Status train_part(TrialPart *p, Model **model, const EventSet *set, const uint8_t *held,
    const Setting *setting, int exclude_seen, const Catalogue *catalogue, Task *task, Err *err) {
    DatasetRules rules = model_rules(setting->algorithm, &setting->common, &setting->params),
                 plain = {0};
    TRY(dataset_init(&p->train, err));
    TRY(dataset_init(&p->test, err));
    if (catalogue) TRY(catalogue->list(catalogue->host, &p->train, err));
    TRY(fill(&p->train, set, held, 0, err));
    TRY(fill(&p->test, set, held, 1, err));
    TRY(dataset_finish(&p->train, &rules, task, err));
    TRY(dataset_finish(&p->test, &plain, task, err));
    p->has_all = rules.pair.max_history > 0 || rules.basket.group;
    if (p->has_all) {
        DatasetRules whole = {
            .pair = {.combine = rules.pair.combine, .keeps_all = rules.pair.keeps_all}};
        TRY(dataset_init(&p->all, err));
        TRY(fill(&p->all, set, held, 0, err));
        TRY(dataset_finish(&p->all, &whole, task, err));
    }
    if (catalogue) TRY(catalogue->read(catalogue->host, &p->train, task, err));
    AlgorithmParams params = setting->params;
    options_forget_training(setting->algorithm->options, &params);
    TRY(model_train(
        model, setting->algorithm, &setting->common, &params, NULL, &p->train, task, err));
    return align(p, *model, exclude_seen, err);
}

static Status judge_part(const TrialPart *p, const Model *model, TrialResult *out,
    TrialUsers *users, const EventSet *set, const EvaluateOptions *options, Task *task, Err *err) {
    Judgement judged = {0};
    Status status = judge(&judged, model, 0, NULL, &p->holdout, options, task, err);
    if (status == ST_OK) summarise(out, &judged, options);
    if (status == ST_OK && users) add_users(users, set, p, &judged);
    judgement_clear(&judged);
    return status;
}

/* ---- what is kept ---- */

static void part_free(TrialPart *p) {
    if (p) part_clear(p);
    mem_free(p);
}

void trial_kept_clear(TrialKept *kept) {
    part_free(kept->part);
    model_free(kept->model);
    mem_free(kept->held);
    *kept = (TrialKept){0};
}

/* Does the kept model become this setting's, on the same part? */
static int can_reuse(const TrialKept *kept, const EventSet *set, const uint8_t *held,
    const Setting *setting, int exclude_seen) {
    return kept && kept->part && kept->model->algorithm == setting->algorithm &&
        kept->exclude_seen == exclude_seen &&
        memcmp(&kept->common, &setting->common, sizeof kept->common) == 0 &&
        memcmp(kept->held, held, (size_t)set->n) == 0 &&
        setting->algorithm->reweigh(kept->model, &setting->params);
}

/* part and model move there; without memory for what was held they go. */
static void keep(TrialKept *kept, TrialPart *part, Model *model, const EventSet *set,
    const uint8_t *held, const Setting *setting, int exclude_seen) {
    trial_kept_clear(kept);
    *kept = (TrialKept){part, model, mem_array((size_t)set->n, 1), setting->common, exclude_seen};
    if (kept->held) memcpy(kept->held, held, (size_t)set->n);
    else trial_kept_clear(kept);
}

Status trial_run(TrialResult *out, TrialUsers *users, const EventSet *set, const uint8_t *held,
    const Setting *setting, const EvaluateOptions *options, const Catalogue *catalogue,
    TrialKept *kept, Task *task, Err *err) {
    EvaluateOptions own = *options;
    *out = (TrialResult){0};
    if (own.exclude_seen < 0) own.exclude_seen = !setting->algorithm->keeps_seen;
    if (can_reuse(kept, set, held, setting, own.exclude_seen)) {
        out->seconds = kept->model->trained_seconds;
        return judge_part(kept->part, kept->model, out, users, set, &own, task, err);
    }
    Model *model = NULL;
    TrialPart *part = mem_zeros(1, sizeof *part);
    if (!part) return fail_nomem(err, "a trial");
    Status status = train_part(
        part, &model, set, held, setting, own.exclude_seen, catalogue, task, err);
    if (status == ST_OK) out->seconds = model->trained_seconds;
    if (status == ST_OK) status = judge_part(part, model, out, users, set, &own, task, err);
    if (status == ST_OK && kept && setting->algorithm->reweigh) {
        keep(kept, part, model, set, held, setting, own.exclude_seen);
        return ST_OK;
    }
    model_free(model);
    part_free(part);
    return status;
}
