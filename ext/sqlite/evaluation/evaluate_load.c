/* Reading what an evaluation needs. The hold-out is a table or view with the model's user and item
 * columns and optionally `relevance` (a gain > 0; default 1) and the model's time column.
 *
 * What must not happen is that the model reads the answer. So a hold-out pair that is in the
 * history is an error, unless repeats are asked for (exclude_seen=false) and the history is known
 * to end before the hold-out begins: the version was trained with `until` (or the option until is
 * given), and no hold-out row that has a time is earlier. */
#include "evaluate_load.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../base/options.h"
#include "../host/cache.h"

enum { UNKNOWN_SKIP, UNKNOWN_POPULAR };

static const OptSpec evaluate_options[] = {
    {"exclude_seen", OPT_FLAG, offsetof(EvaluateCall, exclude_seen), 0, 0, -1, NULL,
        "rank what is not in the history; false: everything (repeat purchases); default: true, for "
        "session_knn and repeat false"},
    {"version", OPT_INT, offsetof(EvaluateCall, version), 0, 1e12, 0, NULL,
        "judge this version; 0: the active one"},
    {"bootstrap", OPT_INT, offsetof(EvaluateCall, bootstrap), 0, 100000, 1000, NULL,
        "resamples of the users for the 95 % intervals; 0: none"},
    {"seed", OPT_INT, offsetof(EvaluateCall, seed), 0, 9007199254740991.0, 1, NULL,
        "seed of the resamples"},
    {"threads", OPT_INT, offsetof(EvaluateCall, threads), 0, 64, 0, NULL, "threads; 0: one a core"},
    {"unknown_users", OPT_CHOICE, offsetof(EvaluateCall, unknown_users), 0, 0, UNKNOWN_SKIP,
        "skip|popular", "users without a history: left out, or judged on the popular list"},
    {"progress", OPT_CHOICE, offsetof(EvaluateCall, progress), 0, 0, 0, "none|stderr",
        "print lines on stderr"},
    {"until", OPT_TIME, offsetof(EvaluateCall, until), -377705116800.0, 253402300799.0, INFINITY,
        NULL, "read the history before this time; default: the version's own until"},
    {"by", OPT_TEXT, offsetof(EvaluateCall, by), 0, 128, 0, "",
        "a column of the hold-out: its values' users are judged apart, too"},
    {"version_b", OPT_INT, offsetof(EvaluateCall, version_b), 0, 1e12, 0, NULL,
        "of rec_compare: the version of the second model; 0: the active one"},
    {"device", OPT_TEXT, offsetof(EvaluateCall, device), 0, 16, 0, "cpu",
        "lists are scored on: cpu, gpu, gpu:N, gpu:all or auto (ials, bpr, mf)"},
    {0},
};

/* Take "k" (a number or a list) out of the JSON; the rest goes through the table. */
Status evaluate_parse(const char *text, EvaluateCall *call, EvaluateOptions *out, Err *err) {
    json_error_t json_error;
    OptTarget target = {evaluate_options, call};
    call->choice = (DeviceChoice){DEVICE_CPU, 0};
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
        if (n < 1 || n > EVALUATE_MAX_K)
            status = fail(err, ST_BADARG, "k: 1 to %d cut-offs", EVALUATE_MAX_K);
        for (size_t i = 0; i < n && status == ST_OK; i++) {
            json_t *value = json_is_array(k) ? json_array_get(k, i) : k;
            if (!json_is_integer(value) || json_integer_value(value) < 1 ||
                json_integer_value(value) > 1000000)
                status = fail(err, ST_BADARG, "k must be whole numbers (1..1000000)");
            else out->k[out->n_k++] = json_integer_value(value);
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
            if (allowed)
                fail(err, ST_BADARG, "%.*s(allowed: k, %.400s", (int)(allowed - rest.text),
                    rest.text, allowed + 10);
        }
    }
    json_decref(root);
    return status == ST_OK ? device_parse(call->device, &call->choice, err) : status;
}

void loaded_clear(Loaded *l) {
    events_reader_clear(&l->reader);
    cache_release(l->model);
    all_histories_clear(&l->all);
    dataset_clear(&l->pairs);
    keymap_free(l->segment_of);
    keymap_free(l->segments);
    bytes_clear(&l->segment);
    definition_clear(&l->definition);
}

static Status holdout_sql(
    Loaded *l, const char *holdout, const char *by, sqlite3_stmt **out, Err *err) {
    const ModelDefinition *d = &l->definition;
    char *schema, *table;
    int has_user, has_item, has_relevance, has_time = 0, has_by = 1;
    TRY(glue_find_table(d->db, "table or view", holdout, "", &schema, &table, err));
    Status status = glue_has_column(d->db, schema, table, d->user, &has_user, err);
    if (status == ST_OK) status = glue_has_column(d->db, schema, table, d->item, &has_item, err);
    if (status == ST_OK)
        status = glue_has_column(d->db, schema, table, "relevance", &has_relevance, err);
    if (status == ST_OK && d->time)
        status = glue_has_column(d->db, schema, table, d->time, &has_time, err);
    if (status == ST_OK && *by) status = glue_has_column(d->db, schema, table, by, &has_by, err);
    if (status == ST_OK && !has_by)
        status = fail(err, ST_BADARG, "%s has no column '%.60s' (by)", table, by);
    if (status == ST_OK && (!has_user || !has_item))
        status = fail(err, ST_BADARG, "%s has no column '%s' (the model's user and item columns)",
            table, has_user ? d->item : d->user);
    if (status == ST_OK) {
        char *time = has_time ? sqlite3_mprintf("h.\"%w\"", d->time) : sqlite3_mprintf("NULL");
        char *segment = *by ? sqlite3_mprintf("h.\"%w\"", by) : sqlite3_mprintf("NULL");
        status = time && segment
            ? glue_prepare(d->db, out, err,
                  "SELECT h.\"%w\", h.\"%w\", %s, %s, %s FROM \"%w\".\"%w\" h", d->user, d->item,
                  has_relevance ? "h.relevance" : "1", time, segment, schema, table)
            : fail_nomem(err, "SQL");
        sqlite3_free(time);
        sqlite3_free(segment);
    }
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}

/* Is (user, item) in the history? */
static int in_history(const Loaded *l, Key user, Key item) {
    int32_t u = keymap_find(l->all.users, user), i = keymap_find(l->model->items, item);
    return u >= 0 && i >= 0 && all_histories_has(&l->all, u, i);
}

/* A user is of the segment of her first row. */
static Status read_segment(Loaded *l, Key user, const char *by, sqlite3_value *value, Err *err) {
    char buffer[32];
    Key name;
    int32_t id, segment = -1;
    TRY(keymap_add(l->segment_of, user, &id, err));
    if ((size_t)id < l->segment.len / sizeof segment) return ST_OK;
    if (!glue_key(value, AFFINITY_NONE, buffer, &name) && sqlite3_value_type(value) != SQLITE_NULL)
        return fail(err, ST_BADARG, "by: %.60s must be an INTEGER or a TEXT", by);
    if (sqlite3_value_type(value) != SQLITE_NULL) TRY(keymap_add(l->segments, name, &segment, err));
    bytes_append(&l->segment, &segment, sizeof segment);
    return l->segment.failed ? fail_nomem(err, "the segments") : ST_OK;
}

static Status read_holdout_row(Loaded *l, const char *by, sqlite3_stmt *rows, Err *err) {
    const ModelDefinition *d = &l->definition;
    char buffer[64];
    Key user, item;
    double relevance;
    if (!glue_key(sqlite3_column_value(rows, 0), d->user_affinity, buffer, &user) ||
        !glue_key(sqlite3_column_value(rows, 1), d->item_affinity, buffer + 32, &item))
        return fail(err, ST_BADARG, "the hold-out has a NULL or malformed user or item");
    if (sqlite3_column_type(rows, 2) == SQLITE_NULL) return ST_OK; /* not relevant, as 0 */
    if (!events_number(rows, 2, &relevance) || relevance < 0)
        return fail(err, ST_BADARG, "the hold-out's relevance is %.40s (a number, 0 or more)",
            (const char *)sqlite3_column_text(rows, 2));
    if (relevance == 0) return ST_OK;
    if (sqlite3_column_type(rows, 3) != SQLITE_NULL && l->rules.has_until) {
        double time;
        TRY(events_time(d, rows, 3, "the hold-out", &time, err));
        l->too_early += time < l->rules.until;
    }
    l->overlap += in_history(l, user, item);
    TRY(read_segment(l, user, by, sqlite3_column_value(rows, 4), err));
    return dataset_add(&l->pairs, user, item, relevance, 0, err);
}

static Status check_overlap(const Loaded *l, const EvaluateCall *call, Err *err) {
    if (l->too_early)
        return fail(err, ST_BADARG,
            "%lld hold-out rows are earlier than the end of the history that the model reads "
            "(until=%.0f)",
            (long long)l->too_early, l->rules.until);
    if (!l->overlap || (!call->exclude_seen && l->rules.has_until)) return ST_OK;
    if (call->exclude_seen)
        return fail(err, ST_BADARG,
            "%lld hold-out rows are also in the history that the model reads, and exclude_seen "
            "hides them: leave them out of the hold-out, or judge repeats with {\"exclude_seen\": "
            "false}",
            (long long)l->overlap);
    return fail(err, ST_BADARG,
        "%lld hold-out rows are also in the history that the model reads: it has seen the answers. "
        "Train with {\"until\": t} (or pass until) so that the history ends where the hold-out "
        "begins",
        (long long)l->overlap);
}

Status evaluate_load(
    Loaded *l, sqlite3 *db, const char *model, const char *holdout, EvaluateCall *call, Err *err) {
    char sha256[65];
    sqlite3_stmt *rows = NULL;
    int has_row = 1;
    TRY(definition_find(&l->definition, db, model, err));
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
    l->segment_of = keymap_new();
    l->segments = keymap_new();
    if (!l->segment_of || !l->segments) return fail_nomem(err, "the segments");
    TRY(holdout_sql(l, holdout, call->by, &rows, err));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = glue_step(db, rows, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = read_holdout_row(l, call->by, rows, err);
    }
    sqlite3_finalize(rows);
    if (status == ST_OK) status = check_overlap(l, call, err);
    DatasetRules rules = {0};
    Task task = {0};
    return status == ST_OK ? dataset_finish(&l->pairs, &rules, &task, err) : status;
}

void aligned_clear(Aligned *a) {
    mem_free(a->user);
    mem_free(a->segment);
    holdout_clear(&a->holdout);
}

/* The user's row in the histories, -1 when she has none. */
static int32_t history_row(const Loaded *l, int32_t user) {
    int32_t row = keymap_find(l->all.users, keymap_key(l->pairs.users, user));
    return row >= 0 && csr_row_len(&l->all.rows, row) > 0 ? row : -1;
}

static int32_t segment_of(const Loaded *l, Key user) {
    int32_t id = keymap_find(l->segment_of, user), segment = -1;
    if (id >= 0) memcpy(&segment, l->segment.data + (size_t)id * sizeof segment, sizeof segment);
    return segment;
}

Status evaluate_align(const Loaded *l, const EvaluateCall *call, Aligned *a, Err *err) {
    const Csr *pairs = &l->pairs.by_user;
    int32_t n = pairs->n_rows;
    int64_t n_history = 0, n_seen = 0;
    for (int32_t p = 0; p < n; p++) {
        int32_t row = history_row(l, p);
        n_history += row >= 0 ? csr_row_len(&l->all.rows, row) : 0;
        n_seen += row >= 0 && l->all.seen ? l->all.seen_start[row + 1] - l->all.seen_start[row] : 0;
    }
    TRY(holdout_init(&a->holdout, n, l->model->n_items, n_history,
        l->all.seen ? n_seen : HOLDOUT_SEES_HISTORY, csr_nnz(pairs), err));
    a->user = mem_array((size_t)n, sizeof *a->user);
    a->segment = mem_array((size_t)n, sizeof *a->segment);
    if (!a->user || !a->segment) return fail_nomem(err, "the hold-out");
    for (int32_t p = 0; p < n; p++) {
        int32_t row = history_row(l, p);
        History history = row >= 0 ? all_histories_row(&l->all, row) : (History){0};
        if (row < 0 && call->unknown_users == UNKNOWN_SKIP) continue;
        for (int64_t e = pairs->row_start[p]; e < pairs->row_start[p + 1]; e++)
            holdout_add_relevant(&a->holdout,
                keymap_find(l->model->items, keymap_key(l->pairs.items, pairs->col[e])),
                (double)pairs->val[e]);
        a->user[a->holdout.n_users] = p;
        a->segment[a->holdout.n_users] = segment_of(l, keymap_key(l->pairs.users, p));
        holdout_end_user(&a->holdout, &history);
    }
    return ST_OK;
}
