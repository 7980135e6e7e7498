#include "evaluate.h"

#include <math.h>

#include "../base/bits.h"
#include "../base/memory.h"
#include "../metrics/lists.h"
#include "../metrics/samples.h"

typedef struct Work {
    const Model *model;
    int popular_only;
    const Holdout *holdout;
    const EvaluateOptions *options;
    int64_t k_max;
    GpuCopy *copy;
    Task *task;
    int group_size;
    ModelQuery **query; /* per worker */
    Group *group;       /* per worker: lists of k_max */
    Ranked **popular;   /* per worker: k_max of the popular list */
    int32_t **listed;   /* per worker and k: counts of the items */
    int64_t *longest;   /* per worker and k */
    double *value;      /* metric x k x user */
    TaskFailure failure;
} Work;

/* What the user has, as rows of the hold-out. */
static const Csr *seen_rows(const Work *w) {
    return w->holdout->has_seen ? &w->holdout->seen : &w->holdout->history;
}

static int64_t allow_unseen(const Work *w, int32_t user, uint64_t *bit) {
    const Model *model = w->model;
    const Csr *seen = seen_rows(w);
    int64_t n = model->n_items;
    bits_fill(bit, model->n_items);
    if (!w->options->exclude_seen) return n;
    for (int64_t e = seen->row_start[user]; e < seen->row_start[user + 1]; e++, n--)
        bits_remove(bit, seen->col[e]);
    return n;
}

/* The user's relevant items with their ranks in the list. */
static Status relevant_items(const Work *w, int32_t user, const Ranked *list, size_t n_list,
    Relevant **out, size_t *out_n, Err *err) {
    const Csr *relevant = &w->holdout->relevant;
    const int64_t *unknown = &w->holdout->unknown_start[user];
    int64_t from = relevant->row_start[user], known = csr_row_len(relevant, user);
    size_t n = 0;
    Relevant *item = mem_array((size_t)(known + unknown[1] - unknown[0]), sizeof *item);
    *out = item;
    *out_n = 0;
    if (!item) return fail_nomem(err, "the evaluation");
    for (int64_t e = from; e < from + known; e++) {
        item[n] = (Relevant){.gain = (double)relevant->val[e]};
        for (size_t r = 0; r < n_list; r++)
            if (list[r].item == relevant->col[e]) item[n].rank = (int64_t)r + 1;
        n++;
    }
    for (int64_t i = unknown[0]; i < unknown[1]; i++)
        item[n++] = (Relevant){.gain = w->holdout->unknown[i]};
    *out_n = n;
    return ST_OK;
}

const char *judgement_name(int metric) {
    static const char *const own[] = {
        "serendipity", "popularity_lift", "repeat_share", "recall_repeat", "recall_explore"};
    return metric < N_RANKING_METRICS ? ranking_metric_name((RankingMetric)metric)
                                      : own[metric - N_RANKING_METRICS];
}

int judgement_metrics(const EvaluateOptions *options) {
    return options->exclude_seen ? JUDGED_REPEAT_SHARE : N_JUDGED;
}

/* Where the user's value of a metric goes. */
static double *value_place(const Work *w, int metric, int k, int32_t user) {
    return &w->value[((size_t)metric * (size_t)w->options->n_k + (size_t)k) *
            (size_t)w->holdout->n_users +
        (size_t)user];
}

static int is_listed(const Ranked *list, size_t n, int32_t item) {
    for (size_t r = 0; r < n; r++)
        if (list[r].item == item) return 1;
    return 0;
}

static double serendipity(const Work *w, int32_t user, const Ranked *list, size_t n_list,
    const Ranked *popular, size_t n_popular, int64_t k) {
    double hits = 0;
    for (size_t r = 0; r < n_list && (int64_t)r < k; r++)
        hits += csr_find(&w->holdout->relevant, user, list[r].item) >= 0 &&
            !is_listed(popular, n_popular < (size_t)k ? n_popular : (size_t)k, list[r].item);
    return hits / (double)k;
}

static double popularity_lift(
    const Work *w, const History *history, const Ranked *list, size_t n_list, int64_t k) {
    double of_list = 0, of_history = 0;
    size_t n = n_list < (size_t)k ? n_list : (size_t)k;
    for (size_t r = 0; r < n; r++) of_list += (double)w->model->popularity[list[r].item];
    for (int64_t i = 0; i < history->n; i++)
        of_history += (double)w->model->popularity[history->item[i]];
    return n && of_history > 0 ? of_list / (double)n / (of_history / (double)history->n) - 1 : NAN;
}

/* What wants the popular list, too: where that is judged, it is there. */
static Status evaluate_beyond(Work *w, int32_t user, int worker, const GroupList *list, Err *err) {
    const Ranked *popular = w->popular_only ? list->ranked : w->popular[worker];
    size_t n_popular = list->n;
    w->query[worker]->popular_only = 1;
    if (!w->popular_only)
        TRY(model_query_rank(w->query[worker], list->allowed, list->n_allowed, (size_t)w->k_max,
            w->popular[worker], &n_popular, err));
    for (int k = 0; k < w->options->n_k; k++) {
        *value_place(w, JUDGED_SERENDIPITY, k, user) = serendipity(
            w, user, list->ranked, list->n, popular, n_popular, w->options->k[k]);
        *value_place(w, JUDGED_POPULARITY_LIFT, k, user) = popularity_lift(
            w, &list->history, list->ranked, list->n, w->options->k[k]);
    }
    return ST_OK;
}

static void evaluate_repeats(Work *w, int32_t user, const GroupList *list, int k) {
    const Csr *relevant = &w->holdout->relevant;
    const int64_t *unknown = &w->holdout->unknown_start[user];
    size_t most = (size_t)w->options->k[k], n = list->n < most ? list->n : most;
    double had = 0, found[2] = {0}; /* that she has not, that she has */
    double all[2] = {(double)(unknown[1] - unknown[0]), 0};
    for (int64_t e = relevant->row_start[user]; e < relevant->row_start[user + 1]; e++)
        all[csr_find(seen_rows(w), user, relevant->col[e]) >= 0]++;
    for (size_t r = 0; r < n; r++) {
        int has = csr_find(seen_rows(w), user, list->ranked[r].item) >= 0;
        had += has;
        found[has] += csr_find(relevant, user, list->ranked[r].item) >= 0;
    }
    *value_place(w, JUDGED_REPEAT_SHARE, k, user) = n ? had / (double)n : NAN;
    *value_place(w, JUDGED_RECALL_REPEAT, k, user) = all[1] > 0 ? found[1] / all[1] : NAN;
    *value_place(w, JUDGED_RECALL_EXPLORE, k, user) = all[0] > 0 ? found[0] / all[0] : NAN;
}

/* Count the list's items, and judge the ranks. */
static void evaluate_list(
    Work *w, int32_t user, int worker, const GroupList *list, Relevant *item, size_t n_item) {
    for (int k = 0; k < w->options->n_k; k++) {
        int at = worker * EVALUATE_MAX_K + k;
        int64_t n = w->options->k[k] < (int64_t)list->n ? w->options->k[k] : (int64_t)list->n;
        for (int64_t r = 0; r < n; r++) w->listed[at][list->ranked[r].item]++;
        if (n > w->longest[at]) w->longest[at] = n;
        for (int m = 0; m < N_RANKING_METRICS; m++)
            *value_place(w, m, k, user) = ranking_metric(
                (RankingMetric)m, item, n_item, w->options->k[k], 0);
        evaluate_repeats(w, user, list, k);
    }
}

static Status evaluate_user(Work *w, int32_t user, int worker, const GroupList *list, Err *err) {
    Relevant *item = NULL;
    size_t n_item;
    Status status = relevant_items(w, user, list->ranked, list->n, &item, &n_item, err);
    if (status == ST_OK) evaluate_list(w, user, worker, list, item, n_item);
    if (status == ST_OK && w->options->beyond) status = evaluate_beyond(w, user, worker, list, err);
    mem_free(item);
    return status;
}

static void evaluate_group(void *context, int64_t piece, int worker) {
    Work *w = context;
    Group *group = &w->group[worker];
    int32_t from = (int32_t)piece * w->group_size, left = w->holdout->n_users - from,
            n = left < w->group_size ? left : w->group_size;
    for (int32_t i = 0; i < n; i++) {
        group->list[i].history = holdout_history(w->holdout, from + i);
        group->list[i].n_allowed = allow_unseen(w, from + i, group->list[i].allowed);
    }
    w->query[worker]->popular_only = w->popular_only;
    Err err = {0};
    Status status = group_rank(
        group, w->query[worker], n, (size_t)w->k_max, w->copy, w->task, &err);
    for (int32_t i = 0; i < n && status == ST_OK; i++)
        status = evaluate_user(w, from + i, worker, &group->list[i], &err);
    task_failure_note(&w->failure, status, &err);
}

static Status allocate(Work *w, int threads, Err *err) {
    size_t t = (size_t)threads;
    w->query = mem_zeros(t, sizeof *w->query);
    w->group = mem_zeros(t, sizeof *w->group);
    w->popular = mem_zeros(t, sizeof *w->popular);
    w->listed = mem_zeros(t * EVALUATE_MAX_K, sizeof *w->listed);
    w->longest = mem_zeros(t * EVALUATE_MAX_K, sizeof *w->longest);
    w->value = mem_zeros(
        (size_t)N_JUDGED * (size_t)w->options->n_k * (size_t)w->holdout->n_users, sizeof *w->value);
    if (!w->query || !w->group || !w->popular || !w->listed || !w->longest || !w->value)
        return fail_nomem(err, "the evaluation");
    for (size_t i = 0; i < t; i++) {
        TRY(model_query_new(&w->query[i], w->model, err));
        TRY(group_init(&w->group[i], w->model, w->group_size, (size_t)w->k_max, err));
        w->popular[i] = mem_array((size_t)w->k_max, sizeof **w->popular);
        if (!w->popular[i]) return fail_nomem(err, "the evaluation");
        for (size_t k = 0; k < (size_t)w->options->n_k; k++)
            if (!(w->listed[i * EVALUATE_MAX_K + k] = mem_zeros(
                      (size_t)w->model->n_items, sizeof(int32_t))))
                return fail_nomem(err, "the evaluation");
    }
    return ST_OK;
}

static void work_clear(Work *w, int threads) {
    for (int i = 0; i < threads; i++) {
        if (w->query) model_query_free(w->query[i]);
        if (w->group) group_clear(&w->group[i]);
        if (w->popular) mem_free(w->popular[i]);
        for (int k = 0; w->listed && k < EVALUATE_MAX_K; k++)
            mem_free(w->listed[i * EVALUATE_MAX_K + k]);
    }
    mem_free(w->query);
    mem_free(w->group);
    mem_free(w->popular);
    mem_free(w->listed);
    mem_free(w->longest);
    mem_free(w->value);
}

/* The first worker's counts become everybody's, and the values the caller's. */
static void hand_over(Work *w, int threads, Judgement *out) {
    for (int k = 0; k < w->options->n_k; k++) {
        out->listed[k] = w->listed[k];
        w->listed[k] = NULL;
        for (int t = 0; t < threads; t++)
            if (w->longest[t * EVALUATE_MAX_K + k] > out->longest[k])
                out->longest[k] = w->longest[t * EVALUATE_MAX_K + k];
        for (int t = 1; t < threads; t++)
            for (int32_t i = 0; i < w->model->n_items; i++)
                out->listed[k][i] += w->listed[t * EVALUATE_MAX_K + k][i];
    }
    out->n_users = w->holdout->n_users;
    out->n_k = w->options->n_k;
    out->value = w->value;
    w->value = NULL;
}

Status judge(Judgement *out, const Model *model, int popular_only, GpuCopy *copy,
    const Holdout *holdout, const EvaluateOptions *options, Task *task, Err *err) {
    Work w = {.model = model,
        .popular_only = popular_only,
        .copy = copy,
        .task = task,
        .holdout = holdout,
        .options = options};
    *out = (Judgement){0};
    for (int k = 0; k < options->n_k; k++)
        if (options->k[k] > w.k_max) w.k_max = options->k[k];
    if (w.k_max > model->n_items) w.k_max = model->n_items;
    w.group_size = group_size(model, (size_t)w.k_max, holdout->n_users, task->threads, copy);
    int64_t groups = (holdout->n_users + w.group_size - 1) / w.group_size;
    task_phase(
        task, popular_only ? "popular baseline" : "evaluating", "users", holdout->n_users, groups);
    Status status = allocate(&w, task->threads, err);
    if (status == ST_OK)
        status = task_failure(&w.failure, task_run(task, groups, evaluate_group, &w, err), err);
    if (status == ST_OK) hand_over(&w, task->threads, out);
    work_clear(&w, task->threads);
    return status;
}

void judgement_clear(Judgement *judged) {
    mem_free(judged->value);
    for (int k = 0; k < EVALUATE_MAX_K; k++) mem_free(judged->listed[k]);
    *judged = (Judgement){0};
}

const double *judgement_values(const Judgement *judged, int metric, int k) {
    return judged->value +
        ((size_t)metric * (size_t)judged->n_k + (size_t)k) * (size_t)judged->n_users;
}

Status judgement_beyond(
    BeyondAccuracy *out, const Judgement *judged, const Model *model, int k, Err *err) {
    double distinct = 0, lists = 0, surprise = 0, entries = 0, square = 0, users = judged->n_users,
           longest = (double)judged->longest[k];
    Sample *count = mem_array((size_t)model->n_items, sizeof *count);
    if (!count) return fail_nomem(err, "the evaluation");
    for (int32_t i = 0; i < model->n_items; i++) {
        double listed = judged->listed[k][i], holders = (double)model->popularity[i];
        count[i] = (Sample){listed, 0};
        distinct += listed > 0;
        entries += listed;
        square += listed * listed;
        /* an item that nobody has is no news: it has no share */
        if (holders > 0) surprise -= listed * log2(holders / (double)model->n_users);
        if (holders > 0) lists += listed;
    }
    out->coverage = model->n_items ? distinct / (double)model->n_items : 0;
    out->gini = sample_gini(count, (size_t)model->n_items, 0);
    out->novelty = lists > 0 ? surprise / lists : NAN;
    int of_one_length = users >= 2 && entries > 0 && entries == users * longest;
    out->personalization = of_one_length ? mean_unlikeness(square / longest, users, users) : NAN;
    mem_free(count);
    return ST_OK;
}
