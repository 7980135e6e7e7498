#include "evaluate.h"

#include <string.h>

#include "../base/memory.h"

typedef struct Work {
    const Model *model;
    int popular_only;
    const Holdout *holdout;
    const EvaluateOptions *options;
    int64_t k_max;
    ModelQuery **query;  /* per worker */
    uint64_t **allowed;  /* per worker: bits */
    Ranked **ranked;     /* per worker: k_max */
    uint64_t **covered;  /* per worker and k: bits of recommended items */
    double *value;       /* metric x k x user */
    _Atomic int failed;
} Work;

static size_t words_of(const Model *model) {
    return ((size_t)model->n_items + 63) / 64;
}

static int64_t allow_unseen(const Work *w, int32_t user, uint64_t *bit) {
    const Model *model = w->model;
    const Csr *history = w->holdout->history;
    int64_t n = model->n_items;
    memset(bit, 0xff, words_of(model) * sizeof *bit);
    if (model->n_items % 64) bit[words_of(model) - 1] = ((uint64_t)1 << (model->n_items % 64)) - 1;
    if (!w->options->exclude_seen) return n;
    for (int64_t e = history->row_start[user]; e < history->row_start[user + 1]; e++, n--)
        bit[history->col[e] >> 6] &= ~((uint64_t)1 << (history->col[e] & 63));
    return n;
}

/* The user's relevant items with their ranks in the list. */
static Status relevant_items(const Work *w, int32_t user, const Ranked *list, size_t n_list, Relevant **out, size_t *out_n) {
    const Csr *relevant = w->holdout->relevant;
    int64_t from = relevant->row_start[user], known = csr_row_len(relevant, user);
    size_t n = 0;
    Relevant *item = mem_array((size_t)(known + w->holdout->n_unknown[user]), sizeof *item);
    *out = item;
    *out_n = 0;
    if (!item) return ST_NOMEM;
    for (int64_t e = from; e < from + known; e++) {
        item[n] = (Relevant){.gain = (double)relevant->val[e]};
        for (size_t r = 0; r < n_list; r++)
            if (list[r].item == relevant->col[e]) item[n].rank = (int64_t)r + 1;
        n++;
    }
    for (int32_t i = 0; i < w->holdout->n_unknown[user]; i++) item[n++] = (Relevant){.gain = w->holdout->unknown[user][i]};
    *out_n = n;
    return ST_OK;
}

static void evaluate_user(void *context, int64_t piece, int worker) {
    Work *w = context;
    int32_t user = (int32_t)piece;
    const Csr *rows = w->holdout->history;
    int64_t from = rows->row_start[user];
    History history = {rows->col + from, rows->val + from, csr_row_len(rows, user), w->holdout->history_time + from};
    Relevant *item = NULL;
    size_t n_list, n_item;
    int64_t n_allowed = allow_unseen(w, user, w->allowed[worker]);

    w->query[worker]->popular_only = w->popular_only;
    Status status = model_query_history(w->query[worker], &history, NULL);
    if (status == ST_OK)
        status = model_query_rank(w->query[worker], w->allowed[worker], n_allowed, (size_t)w->k_max, w->ranked[worker], &n_list, NULL);
    if (status == ST_OK) status = relevant_items(w, user, w->ranked[worker], n_list, &item, &n_item);
    if (status != ST_OK) w->failed = 1;
    for (int k = 0; k < w->options->n_k && status == ST_OK; k++) {
        uint64_t *covered = w->covered[worker * EVALUATE_MAX_K + k];
        for (size_t r = 0; r < n_list && (int64_t)r < w->options->k[k]; r++)
            covered[w->ranked[worker][r].item >> 6] |= (uint64_t)1 << (w->ranked[worker][r].item & 63);
        for (int m = 0; m < N_RANKING_METRICS; m++)
            w->value[((size_t)m * EVALUATE_MAX_K + (size_t)k) * (size_t)w->holdout->n_users + (size_t)user] =
                ranking_metric((RankingMetric)m, item, n_item, w->options->k[k], 0);
    }
    mem_free(item);
}

static Status allocate(Work *w, int threads, Err *err) {
    size_t words = words_of(w->model), t = (size_t)threads;
    w->query = mem_zeros(t, sizeof *w->query);
    w->allowed = mem_zeros(t, sizeof *w->allowed);
    w->ranked = mem_zeros(t, sizeof *w->ranked);
    w->covered = mem_zeros(t * EVALUATE_MAX_K, sizeof *w->covered);
    w->value = mem_zeros((size_t)N_RANKING_METRICS * EVALUATE_MAX_K * (size_t)w->holdout->n_users, sizeof *w->value);
    if (!w->query || !w->allowed || !w->ranked || !w->covered || !w->value) return fail_nomem(err, "the evaluation");
    for (size_t i = 0; i < t; i++) {
        TRY(model_query_new(&w->query[i], w->model, err));
        w->allowed[i] = mem_array(words, sizeof **w->allowed);
        w->ranked[i] = mem_array((size_t)w->k_max, sizeof **w->ranked);
        if (!w->allowed[i] || !w->ranked[i]) return fail_nomem(err, "the evaluation");
        for (size_t k = 0; k < EVALUATE_MAX_K; k++)
            if (!(w->covered[i * EVALUATE_MAX_K + k] = mem_zeros(words, sizeof(uint64_t)))) return fail_nomem(err, "the evaluation");
    }
    return ST_OK;
}

static void work_clear(Work *w, int threads) {
    for (int i = 0; i < threads; i++) {
        if (w->query) model_query_free(w->query[i]);
        if (w->allowed) mem_free(w->allowed[i]);
        if (w->ranked) mem_free(w->ranked[i]);
        for (int k = 0; w->covered && k < EVALUATE_MAX_K; k++) mem_free(w->covered[i * EVALUATE_MAX_K + k]);
    }
    mem_free(w->query);
    mem_free(w->allowed);
    mem_free(w->ranked);
    mem_free(w->covered);
    mem_free(w->value);
}

static double coverage(const Work *w, int k, int threads) {
    int64_t n = 0;
    for (size_t word = 0; word < words_of(w->model); word++) {
        uint64_t bits = 0;
        for (int i = 0; i < threads; i++) bits |= w->covered[i * EVALUATE_MAX_K + k][word];
        n += __builtin_popcountll(bits);
    }
    return w->model->n_items ? (double)n / (double)w->model->n_items : 0;
}

Status evaluate(Evaluation *out, const Model *model, int popular_only, const Holdout *holdout, const EvaluateOptions *options, Task *task, Err *err) {
    Work w = {.model = model, .popular_only = popular_only, .holdout = holdout, .options = options};
    for (int k = 0; k < options->n_k; k++)
        if (options->k[k] > w.k_max) w.k_max = options->k[k];
    if (w.k_max > model->n_items) w.k_max = model->n_items;
    task_phase(task, popular_only ? "popular baseline" : "evaluating", holdout->n_users);
    Status status = allocate(&w, task->threads, err);
    if (status == ST_OK) status = task_run(task, holdout->n_users, evaluate_user, &w, err);
    if (status == ST_OK && w.failed) status = fail_nomem(err, "the evaluation");
    for (int m = 0; m < N_RANKING_METRICS && status == ST_OK; m++)
        for (int k = 0; k < options->n_k && status == ST_OK; k++)
            status = bootstrap_mean(&out->metric[m][k], w.value + ((size_t)m * EVALUATE_MAX_K + (size_t)k) * (size_t)holdout->n_users,
                                    holdout->n_users, options->bootstrap, options->seed, err);
    for (int k = 0; k < options->n_k && status == ST_OK; k++) out->coverage[k] = coverage(&w, k, task->threads);
    work_clear(&w, task->threads);
    return status;
}
