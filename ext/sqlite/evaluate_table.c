/* rec_evaluate(model, holdout [, options]): how good the model's lists were for what came afterwards, beside the popular
 * list's. The hold-out is a table or view with the model's user and item columns and optionally `relevance` (a gain > 0;
 * default 1) and the model's time column.
 *
 * What must not happen is that the model reads the answer. So a hold-out pair that is in the history is an error, unless
 * repeats are asked for (exclude_seen=false) and the history is known to end before the hold-out begins: the version was
 * trained with `until` (or the option until is given), and no hold-out row that has a time is earlier. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/options.h"
#include "../eval/evaluate.h"
#include "cache.h"
#include "model_table.h"
#include "modules.h"
#include "progress.h"
#include "row_table.h"

typedef struct CallOptions {
    int64_t exclude_seen;
    int64_t version;
    int64_t bootstrap;
    int64_t seed;
    int64_t threads;
    int64_t unknown_users;
    int64_t progress;
    double until;
} CallOptions;

enum { UNKNOWN_SKIP, UNKNOWN_POPULAR };

static const OptSpec evaluate_options[] = {
    {"exclude_seen", OPT_FLAG, offsetof(CallOptions, exclude_seen), 0, 0, -1, NULL, "rank what is not in the history; false: everything (repeat purchases); default: true, for session_knn and repeat false"},
    {"version", OPT_INT, offsetof(CallOptions, version), 0, 1e12, 0, NULL, "judge this version; 0: the active one"},
    {"bootstrap", OPT_INT, offsetof(CallOptions, bootstrap), 0, 100000, 1000, NULL, "resamples of the users for the 95 % intervals; 0: none"},
    {"seed", OPT_INT, offsetof(CallOptions, seed), 0, 9007199254740991.0, 1, NULL, "seed of the resamples"},
    {"threads", OPT_INT, offsetof(CallOptions, threads), 0, 64, 0, NULL, "threads; 0: one a core"},
    {"unknown_users", OPT_CHOICE, offsetof(CallOptions, unknown_users), 0, 0, UNKNOWN_SKIP, "skip|popular", "users without a history: left out, or judged on the popular list"},
    {"progress", OPT_CHOICE, offsetof(CallOptions, progress), 0, 0, 0, "none|stderr", "print lines on stderr"},
    {"until", OPT_REAL, offsetof(CallOptions, until), -1e15, 1e15, INFINITY, NULL, "read the history before this time; default: the version's own until"},
    {0},
};

/* Take "k" (a number or a list) out of the JSON; the rest goes through the table. */
static Status parse_options(const char *text, CallOptions *call, EvaluateOptions *out, Err *err) {
    json_error_t json_error;
    OptTarget target = {evaluate_options, call};
    options_default(evaluate_options, call);
    out->n_k = 1;
    out->k[0] = 10;
    if (!text) return ST_OK;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    json_t *k = json_is_object(root) ? json_object_get(root, "k") : NULL;
    Status status = ST_OK;
    if (k) {
        size_t n = json_is_array(k) ? json_array_size(k) : 1;
        out->n_k = 0;
        if (n < 1 || n > EVALUATE_MAX_K) status = fail(err, ST_BADARG, "k: 1 to %d cut-offs", EVALUATE_MAX_K);
        for (size_t i = 0; i < n && status == ST_OK; i++) {
            json_t *value = json_is_array(k) ? json_array_get(k, i) : k;
            if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > 1000000)
                status = fail(err, ST_BADARG, "k must be whole numbers (1..1000000)");
            else
                out->k[out->n_k++] = json_integer_value(value);
        }
        json_object_del(root, "k");
    }
    if (status == ST_OK && k) {
        char *rest = json_dumps(root, 0);
        status = rest ? options_set_json(&target, 1, rest, err) : fail_nomem(err, "the options");
        free(rest);
    } else if (status == ST_OK) {
        status = options_set_json(&target, 1, text, err);
        if (status == ST_BADARG && strstr(err->text, "unknown option")) {
            Err rest = *err;
            const char *allowed = strstr(rest.text, "(allowed: ");
            if (allowed) fail(err, ST_BADARG, "%.*s(allowed: k, %.400s", (int)(allowed - rest.text), rest.text, allowed + 10);
        }
    }
    json_decref(root);
    return status;
}

typedef struct Loaded {
    ModelDefinition definition;
    EventsReader reader;
    Model *model;
    sqlite3_int64 version;
    HistoryRules rules;
    AllHistories all;     /* all users' histories */
    Dataset pairs;        /* the hold-out as (user, item) pairs; items by key */
    int64_t overlap;      /* hold-out pairs that are in the history */
    int64_t too_early;    /* hold-out rows with a time before the history's end */
} Loaded;

static void loaded_clear(Loaded *l) {
    events_reader_clear(&l->reader);
    cache_release(l->model);
    all_histories_clear(&l->all);
    dataset_clear(&l->pairs);
    definition_clear(&l->definition);
}

static Status column_exists(sqlite3 *db, const char *schema, const char *table, const char *column, int *out, Err *err) {
    sqlite3_int64 found;
    TRY(glue_integer(db, 0, &found, err, "SELECT 1 FROM pragma_table_xinfo(%Q, %Q) WHERE lower(name)=lower(%Q)", table, schema, column));
    *out = found != 0;
    return ST_OK;
}

static Status holdout_sql(Loaded *l, const char *holdout, sqlite3_stmt **out, Err *err) {
    const ModelDefinition *d = &l->definition;
    char *schema, *table;
    int has_user, has_item, has_relevance, has_time = 0;
    TRY(glue_find_table(d->db, "table or view", holdout, "", &schema, &table, err));
    Status status = column_exists(d->db, schema, table, d->user, &has_user, err);
    if (status == ST_OK) status = column_exists(d->db, schema, table, d->item, &has_item, err);
    if (status == ST_OK) status = column_exists(d->db, schema, table, "relevance", &has_relevance, err);
    if (status == ST_OK && d->time) status = column_exists(d->db, schema, table, d->time, &has_time, err);
    if (status == ST_OK && (!has_user || !has_item))
        status = fail(err, ST_BADARG, "%s has no column '%s' (the model's user and item columns)", table, has_user ? d->item : d->user);
    if (status == ST_OK) {
        char *time = has_time ? sqlite3_mprintf("CASE typeof(h.\"%w\") WHEN 'text' THEN unixepoch(h.\"%w\") ELSE h.\"%w\" END", d->time, d->time, d->time) : sqlite3_mprintf("NULL");
        status = time ? glue_prepare(d->db, out, err, "SELECT h.\"%w\", h.\"%w\", %s, %s FROM \"%w\".\"%w\" h", d->user, d->item, has_relevance ? "h.relevance" : "1", time, schema, table)
                      : fail_nomem(err, "SQL");
        sqlite3_free(time);
    }
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}

/* Is (user, item) in the history? */
static int in_history(const Loaded *l, Key user, Key item) {
    int32_t u = keymap_find(l->all.users, user), i = keymap_find(l->model->items, item);
    if (u < 0 || i < 0) return 0;
    for (int64_t e = l->all.rows.row_start[u]; e < l->all.rows.row_start[u + 1]; e++)
        if (l->all.rows.col[e] == i) return 1;
    return 0;
}

static Status read_holdout_row(Loaded *l, sqlite3_stmt *rows, Err *err) {
    const ModelDefinition *d = &l->definition;
    char buffer[64];
    Key user, item;
    double relevance = sqlite3_column_double(rows, 2);
    if (!glue_key(sqlite3_column_value(rows, 0), d->user_affinity, buffer, &user) || !glue_key(sqlite3_column_value(rows, 1), d->item_affinity, buffer + 32, &item))
        return fail(err, ST_BADARG, "the hold-out has a NULL or malformed user or item");
    if (!isfinite(relevance) || relevance < 0) return fail(err, ST_BADARG, "the hold-out's relevance must be 0 or more");
    if (relevance == 0) return ST_OK;
    if (sqlite3_column_type(rows, 3) != SQLITE_NULL && l->rules.has_until && sqlite3_column_double(rows, 3) < l->rules.until) l->too_early++;
    l->overlap += in_history(l, user, item);
    return dataset_add(&l->pairs, user, item, relevance, 0, err);
}

static Status check_overlap(const Loaded *l, const CallOptions *call, Err *err) {
    if (l->too_early)
        return fail(err, ST_BADARG, "%lld hold-out rows are earlier than the end of the history that the model reads (until=%.0f)", (long long)l->too_early, l->rules.until);
    if (!l->overlap || (!call->exclude_seen && l->rules.has_until)) return ST_OK;
    if (call->exclude_seen)
        return fail(err, ST_BADARG, "%lld hold-out rows are also in the history that the model reads, and exclude_seen hides them: leave them out of the hold-out, or judge repeats with {\"exclude_seen\":false}", (long long)l->overlap);
    return fail(err, ST_BADARG, "%lld hold-out rows are also in the history that the model reads: it has seen the answers. Train with {\"until\":t} (or pass until) so that the history ends where the hold-out begins", (long long)l->overlap);
}

static Status load_all(Loaded *l, sqlite3 *db, sqlite3_value **argv, CallOptions *call, Err *err) {
    char sha256[65];
    sqlite3_stmt *rows = NULL;
    int has_row = 1;
    TRY(definition_find(&l->definition, db, (const char *)sqlite3_value_text(argv[0]), err));
    l->reader.definition = &l->definition;
    TRY(store_lookup(&l->definition, NULL, call->version, &l->version, sha256, err));
    TRY(store_model(&l->definition, l->version, sha256, &l->model, err));
    if (call->exclude_seen < 0) call->exclude_seen = !l->model->algorithm->keeps_seen;
    l->rules = history_rules(l->model);
    if (isfinite(call->until)) {
        l->rules.has_until = 1;
        l->rules.until = call->until;
    }
    TRY(events_read_histories(&l->reader, l->model, &l->rules, &l->all, err));
    TRY(dataset_init(&l->pairs, err));
    TRY(holdout_sql(l, (const char *)sqlite3_value_text(argv[1]), &rows, err));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = glue_step(db, rows, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = read_holdout_row(l, rows, err);
    }
    sqlite3_finalize(rows);
    if (status == ST_OK) status = check_overlap(l, call, err);
    DatasetRules rules = {0};
    Task task = {0};
    return status == ST_OK ? dataset_finish(&l->pairs, &rules, &task, err) : status;
}

/* The judged users' rows, aligned: history and relevant have the same users in the same order. */
typedef struct Aligned {
    Holdout holdout;
    Csr history;
    double *history_time;
    Csr relevant;
    double *unknown_gain;
    const double **unknown;
    int32_t *n_unknown;
} Aligned;

static void aligned_clear(Aligned *a) {
    csr_clear(&a->history);
    mem_free(a->history_time);
    csr_clear(&a->relevant);
    mem_free(a->unknown_gain);
    mem_free(a->unknown);
    mem_free(a->n_unknown);
}

/* The user's row in the histories, -1 when she has none. */
static int32_t history_row(const Loaded *l, int32_t user) {
    int32_t row = keymap_find(l->all.users, keymap_key(l->pairs.users, user));
    return row >= 0 && csr_row_len(&l->all.rows, row) > 0 ? row : -1;
}

static Status align(const Loaded *l, const CallOptions *call, Aligned *a, Err *err) {
    const Csr *pairs = &l->pairs.by_user;
    int32_t n = pairs->n_rows, n_items = l->model->n_items, u = 0;
    int64_t at_history = 0, at_relevant = 0, at_unknown = 0, history_nnz = 0;
    for (int32_t p = 0; p < n; p++) {
        int32_t row = history_row(l, p);
        history_nnz += row >= 0 ? csr_row_len(&l->all.rows, row) : 0;
    }
    TRY(csr_alloc(&a->history, n, n_items, history_nnz, err));
    TRY(csr_alloc(&a->relevant, n, n_items, csr_nnz(pairs), err));
    a->history_time = mem_array((size_t)history_nnz, sizeof *a->history_time);
    a->unknown_gain = mem_array((size_t)csr_nnz(pairs), sizeof *a->unknown_gain);
    a->unknown = mem_zeros((size_t)n, sizeof *a->unknown);
    a->n_unknown = mem_zeros((size_t)n, sizeof *a->n_unknown);
    if (!a->history_time || !a->unknown_gain || !a->unknown || !a->n_unknown) return fail_nomem(err, "the hold-out");
    for (int32_t p = 0; p < n; p++) {
        int32_t row = history_row(l, p);
        if (row < 0 && call->unknown_users == UNKNOWN_SKIP) continue;
        for (int64_t e = row >= 0 ? l->all.rows.row_start[row] : 0; row >= 0 && e < l->all.rows.row_start[row + 1]; e++, at_history++) {
            a->history.col[at_history] = l->all.rows.col[e];
            a->history.val[at_history] = l->all.rows.val[e];
            a->history_time[at_history] = l->all.time[e];
        }
        a->unknown[u] = a->unknown_gain + at_unknown;
        for (int64_t e = pairs->row_start[p]; e < pairs->row_start[p + 1]; e++) {
            int32_t item = keymap_find(l->model->items, keymap_key(l->pairs.items, pairs->col[e]));
            if (item < 0) {
                a->unknown_gain[at_unknown++] = (double)pairs->val[e];
                a->n_unknown[u]++;
            } else {
                a->relevant.col[at_relevant] = item;
                a->relevant.val[at_relevant++] = pairs->val[e];
            }
        }
        u++;
        a->history.row_start[u] = at_history;
        a->relevant.row_start[u] = at_relevant;
    }
    a->history.n_rows = a->relevant.n_rows = u;
    a->holdout = (Holdout){u, &a->history, a->history_time, &a->relevant, a->unknown, a->n_unknown};
    return ST_OK;
}

static void emit(RowSink *sink, const char *model, const char *metric, int64_t k, double value, double low, double high, int32_t users) {
    row_text(sink, model);
    row_text(sink, metric);
    row_integer(sink, k);
    double numbers[] = {value, low, high};
    for (int i = 0; i < 3; i++) {
        if (isnan(numbers[i]))
            row_null(sink);
        else
            row_real(sink, numbers[i]);
    }
    row_integer(sink, users);
}

static void emit_all(RowSink *sink, const char *name, const Evaluation *e, const EvaluateOptions *options, int32_t users) {
    for (int k = 0; k < options->n_k; k++) {
        for (int m = 0; m < N_RANKING_METRICS; m++) {
            const Interval *i = &e->metric[m][k];
            int interval = options->bootstrap > 0;
            emit(sink, name, ranking_metric_name((RankingMetric)m), options->k[k], i->mean, interval ? i->low : NAN, interval ? i->high : NAN, users);
        }
        emit(sink, name, "coverage", options->k[k], users ? e->coverage[k] : NAN, NAN, NAN, users);
    }
}

static Status evaluate_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    CallOptions call;
    EvaluateOptions options = {0};
    Loaded l = {0};
    Aligned a = {0};
    Evaluation evaluation;
    Task task = {0};
    Job job;

    const char *text = argv[2] && sqlite3_value_type(argv[2]) != SQLITE_NULL ? (const char *)sqlite3_value_text(argv[2]) : NULL;
    TRY(parse_options(text, &call, &options, err));
    options.bootstrap = call.bootstrap;
    options.seed = (uint64_t)call.seed;
    task.threads = call.threads ? (int)call.threads : task_default_threads();
    Status status = load_all(&l, db, argv, &call, err);
    options.exclude_seen = (int)call.exclude_seen;
    if (status == ST_OK) status = align(&l, &call, &a, err);
    if (status == ST_OK) status = progress_begin(&job, "evaluate", l.definition.name, &task, db, (int)call.progress, err);
    if (status == ST_OK) {
        for (int popular = 0; popular < 2 && status == ST_OK; popular++) {
            status = evaluate(&evaluation, l.model, popular, &a.holdout, &options, &task, err);
            if (status == ST_OK) emit_all(sink, popular ? "popular" : l.definition.name, &evaluation, &options, a.holdout.n_users);
        }
        progress_end(&job);
    }
    aligned_clear(&a);
    loaded_clear(&l);
    return status;
}

int register_evaluate(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_evaluate",
        .columns = "model TEXT, metric TEXT, k INTEGER, value REAL, ci_low REAL, ci_high REAL, users INTEGER",
        .n_columns = 7,
        .arguments = ", model_name HIDDEN, holdout HIDDEN, options HIDDEN",
        .n_arguments = 3,
        .n_required = 2,
        .fill = evaluate_fill,
    };
    return row_table_register(db, &table);
}
