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
#include "../host/schema.h"
#include "../host/values.h"

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

void loaded_clear(Loaded *loaded) {
    events_reader_clear(&loaded->reader);
    cache_release(loaded->model);
    all_histories_clear(&loaded->all);
    dataset_clear(&loaded->pairs);
    keymap_free(loaded->segment_of);
    keymap_free(loaded->segments);
    bytes_clear(&loaded->segment);
    definition_clear(&loaded->definition);
}

static Status holdout_sql(
    Loaded *loaded, const char *holdout, const char *by, sqlite3_stmt **out, Err *err) {
    const ModelDefinition *definition = &loaded->definition;
    char *schema, *table;
    int has_user, has_item, has_relevance, has_time = 0, has_by = 1;
    TRY(schema_find_table(definition->db, "table or view", holdout, "", &schema, &table, err));
    Status status = schema_has_column(
        definition->db, schema, table, definition->user, &has_user, err);
    if (status == ST_OK)
        status = schema_has_column(definition->db, schema, table, definition->item, &has_item, err);
    if (status == ST_OK)
        status = schema_has_column(definition->db, schema, table, "relevance", &has_relevance, err);
    if (status == ST_OK && definition->time)
        status = schema_has_column(definition->db, schema, table, definition->time, &has_time, err);
    if (status == ST_OK && *by)
        status = schema_has_column(definition->db, schema, table, by, &has_by, err);
    if (status == ST_OK && !has_by)
        status = fail(err, ST_BADARG, "%s has no column '%.60s' (by)", table, by);
    if (status == ST_OK && (!has_user || !has_item))
        status = fail(err, ST_BADARG, "%s has no column '%s' (the model's user and item columns)",
            table, has_user ? definition->item : definition->user);
    if (status == ST_OK) {
        char *time = has_time ? sqlite3_mprintf("h.\"%w\"", definition->time)
                              : sqlite3_mprintf("NULL");
        char *segment = *by ? sqlite3_mprintf("h.\"%w\"", by) : sqlite3_mprintf("NULL");
        status = time && segment
            ? sql_prepare(definition->db, out, err,
                  "SELECT h.\"%w\", h.\"%w\", %s, %s, %s FROM \"%w\".\"%w\" h", definition->user,
                  definition->item, has_relevance ? "h.relevance" : "1", time, segment, schema,
                  table)
            : fail_nomem(err, "SQL");
        sqlite3_free(time);
        sqlite3_free(segment);
    }
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}

/* Is (user, item) in the history? */
static int in_history(const Loaded *loaded, Key user, Key item) {
    int32_t u = keymap_find(loaded->all.users, user), i = keymap_find(loaded->model->items, item);
    return u >= 0 && i >= 0 && all_histories_has(&loaded->all, u, i);
}

/* A user is of the segment of her first row. */
static Status read_segment(
    Loaded *loaded, Key user, const char *by, sqlite3_value *value, Err *err) {
    char buffer[KEY_BUFFER];
    Key name;
    int32_t id, segment = -1;
    TRY(keymap_add(loaded->segment_of, user, &id, err));
    if ((size_t)id < loaded->segment.len / sizeof segment) return ST_OK;
    if (!value_key(value, AFFINITY_NONE, buffer, &name) && sqlite3_value_type(value) != SQLITE_NULL)
        return fail(err, ST_BADARG, "by: %.60s must be an INTEGER or a TEXT", by);
    if (sqlite3_value_type(value) != SQLITE_NULL)
        TRY(keymap_add(loaded->segments, name, &segment, err));
    bytes_append(&loaded->segment, &segment, sizeof segment);
    return loaded->segment.failed ? fail_nomem(err, "the segments") : ST_OK;
}

static Status read_holdout_row(Loaded *loaded, const char *by, sqlite3_stmt *rows, Err *err) {
    const ModelDefinition *definition = &loaded->definition;
    char buffer[2 * KEY_BUFFER];
    Key user, item;
    double relevance;
    if (!value_key(sqlite3_column_value(rows, 0), definition->user_affinity, buffer, &user) ||
        !value_key(
            sqlite3_column_value(rows, 1), definition->item_affinity, buffer + KEY_BUFFER, &item))
        return fail(err, ST_BADARG, "the hold-out has a NULL or malformed user or item");
    if (sqlite3_column_type(rows, 2) == SQLITE_NULL) return ST_OK; /* not relevant, as 0 */
    if (!events_number(rows, 2, &relevance) || relevance < 0)
        return fail(err, ST_BADARG, "the hold-out's relevance is %.40s (a number, 0 or more)",
            (const char *)sqlite3_column_text(rows, 2));
    if (relevance == 0) return ST_OK;
    if (sqlite3_column_type(rows, 3) != SQLITE_NULL && loaded->rules.has_until) {
        double time;
        TRY(events_time(definition, rows, 3, "the hold-out", &time, err));
        loaded->too_early += time < loaded->rules.until;
    }
    loaded->overlap += in_history(loaded, user, item);
    TRY(read_segment(loaded, user, by, sqlite3_column_value(rows, 4), err));
    return dataset_add(&loaded->pairs, user, item, relevance, 0, err);
}

static Status check_overlap(const Loaded *loaded, const EvaluateCall *call, Err *err) {
    if (loaded->too_early)
        return fail(err, ST_BADARG,
            "%lld hold-out rows are earlier than the end of the history that the model reads "
            "(until=%.0f)",
            (long long)loaded->too_early, loaded->rules.until);
    if (!loaded->overlap || (!call->exclude_seen && loaded->rules.has_until)) return ST_OK;
    if (call->exclude_seen)
        return fail(err, ST_BADARG,
            "%lld hold-out rows are also in the history that the model reads, and exclude_seen "
            "hides them: leave them out of the hold-out, or judge repeats with {\"exclude_seen\": "
            "false}",
            (long long)loaded->overlap);
    return fail(err, ST_BADARG,
        "%lld hold-out rows are also in the history that the model reads: it has seen the answers. "
        "Train with {\"until\": t} (or pass until) so that the history ends where the hold-out "
        "begins",
        (long long)loaded->overlap);
}

Status evaluate_load(Loaded *loaded, sqlite3 *db, const char *model, const char *holdout,
    EvaluateCall *call, Err *err) {
    char sha256[65];
    sqlite3_stmt *rows = NULL;
    int has_row = 1;
    TRY(definition_find(&loaded->definition, db, model, err));
    loaded->reader.definition = &loaded->definition;
    TRY(store_lookup(&loaded->definition, NULL, call->version, &loaded->version, sha256, err));
    TRY(store_model(&loaded->definition, loaded->version, sha256, &loaded->model, err));
    if (call->exclude_seen < 0) call->exclude_seen = !loaded->model->algorithm->keeps_seen;
    loaded->rules = history_rules(loaded->model);
    if (isfinite(call->until)) {
        loaded->rules.has_until = 1;
        loaded->rules.until = call->until;
    }
    TRY(events_read_histories(&loaded->reader, loaded->model, &loaded->rules, &loaded->all, err));
    TRY(dataset_init(&loaded->pairs, err));
    loaded->segment_of = keymap_new();
    loaded->segments = keymap_new();
    if (!loaded->segment_of || !loaded->segments) return fail_nomem(err, "the segments");
    TRY(holdout_sql(loaded, holdout, call->by, &rows, err));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = sql_step(db, rows, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = read_holdout_row(loaded, call->by, rows, err);
    }
    sqlite3_finalize(rows);
    if (status == ST_OK) status = check_overlap(loaded, call, err);
    DatasetRules rules = {0};
    Task task = {0};
    return status == ST_OK ? dataset_finish(&loaded->pairs, &rules, &task, err) : status;
}

void aligned_clear(Aligned *aligned) {
    mem_free(aligned->user);
    mem_free(aligned->segment);
    holdout_clear(&aligned->holdout);
}

/* The user's row in the histories, -1 when she has none. */
static int32_t history_row(const Loaded *loaded, int32_t user) {
    int32_t row = keymap_find(loaded->all.users, keymap_key(loaded->pairs.users, user));
    return row >= 0 && csr_row_len(&loaded->all.rows, row) > 0 ? row : -1;
}

static int32_t segment_of(const Loaded *loaded, Key user) {
    int32_t id = keymap_find(loaded->segment_of, user), segment = -1;
    if (id >= 0)
        memcpy(&segment, loaded->segment.data + (size_t)id * sizeof segment, sizeof segment);
    return segment;
}

Status evaluate_align(const Loaded *loaded, const EvaluateCall *call, Aligned *aligned, Err *err) {
    const Csr *pairs = &loaded->pairs.by_user;
    int32_t n = pairs->n_rows;
    int64_t n_history = 0, n_seen = 0;
    for (int32_t p = 0; p < n; p++) {
        int32_t row = history_row(loaded, p);
        n_history += row >= 0 ? csr_row_len(&loaded->all.rows, row) : 0;
        n_seen += row >= 0 && loaded->all.seen
            ? loaded->all.seen_start[row + 1] - loaded->all.seen_start[row]
            : 0;
    }
    TRY(holdout_init(&aligned->holdout, n, loaded->model->n_items, n_history,
        loaded->all.seen ? n_seen : HOLDOUT_SEES_HISTORY, csr_nnz(pairs), err));
    aligned->user = mem_array((size_t)n, sizeof *aligned->user);
    aligned->segment = mem_array((size_t)n, sizeof *aligned->segment);
    if (!aligned->user || !aligned->segment) return fail_nomem(err, "the hold-out");
    for (int32_t p = 0; p < n; p++) {
        int32_t row = history_row(loaded, p);
        History history = row >= 0 ? all_histories_row(&loaded->all, row) : (History){0};
        if (row < 0 && call->unknown_users == UNKNOWN_SKIP) continue;
        for (int64_t e = pairs->row_start[p]; e < pairs->row_start[p + 1]; e++)
            holdout_add_relevant(&aligned->holdout,
                keymap_find(loaded->model->items, keymap_key(loaded->pairs.items, pairs->col[e])),
                (double)pairs->val[e]);
        aligned->user[aligned->holdout.n_users] = p;
        aligned->segment[aligned->holdout.n_users] = segment_of(
            loaded, keymap_key(loaded->pairs.users, p));
        holdout_end_user(&aligned->holdout, &history);
    }
    return ST_OK;
}
