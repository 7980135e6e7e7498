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
#include "../host/device_copy.h"
#include "../host/schema.h"
#include "../host/values.h"
#include "../model/model_device.h"
#include "../model/model_version.h"

enum { UNKNOWN_SKIP, UNKNOWN_POPULAR };

static const OptSpec evaluate_options[] = {
    {"exclude_seen", OPT_FLAG, offsetof(EvaluateCall, exclude_seen), 0, 0, -1, NULL,
        "rank what is not in the history; false: everything (repeat purchases); default: true, "
        "but false where the algorithm offers what one has"},
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
    {"until", OPT_TIME, offsetof(EvaluateCall, until), DATE_FIRST, DATE_LAST, INFINITY, NULL,
        "read the history before this time; default: the version's own until"},
    {"by", OPT_TEXT, offsetof(EvaluateCall, by), 0, 128, 0, "",
        "a column of the hold-out: its values' users are judged apart, too"},
    {"version_b", OPT_INT, offsetof(EvaluateCall, version_b), 0, 1e12, 0, NULL,
        "of rec_compare: the version of the second model; 0: the active one"},
    {"device", OPT_TEXT, offsetof(EvaluateCall, device), 0, 16, 0, "cpu",
        "lists are scored on: cpu, gpu, gpu:N, gpu:all or auto (by vectors)"},
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
    out->beyond = 1;
    out->bootstrap = call->bootstrap;
    out->seed = (uint64_t)call->seed;
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
    out->bootstrap = call->bootstrap;
    out->seed = (uint64_t)call->seed;
    return status == ST_OK ? device_parse(call->device, &call->choice, err) : status;
}

/* The columns of the hold-out's statement. */
enum { HOLDOUT_USER, HOLDOUT_ITEM, HOLDOUT_RELEVANCE, HOLDOUT_TIME, HOLDOUT_SEGMENT };

/* The hold-out on its way: what was read of it, against the histories that the model reads. */
typedef struct HoldoutReading {
    const ModelDefinition *definition;
    const Model *model;
    const EvaluateCall *call;
    HistoryRules rules;
    AllHistories all;
    Dataset pairs;      /* (user, item); items by key */
    KeyMap *segment_of; /* with by=: users in the order of their first rows, */
    KeyMap *segments;   /* the segments, */
    Bytes segment;      /* and an int32 a user of segment_of: her segment, -1 for none */
    int64_t overlap;    /* rows that are in the history */
    int64_t too_early;  /* rows with a time before the history's end */
} HoldoutReading;

static void reading_clear(HoldoutReading *reading) {
    all_histories_clear(&reading->all);
    dataset_clear(&reading->pairs);
    keymap_free(reading->segment_of);
    keymap_free(reading->segments);
    bytes_clear(&reading->segment);
}

static Status prepare_holdout(const ModelDefinition *definition, const char *holdout,
    const char *by, sqlite3_stmt **out, Err *err) {
    char *schema, *table;
    int has_user, has_item, has_relevance, has_time = 0, has_by = 1;
    TRY(schema_find_table(definition->id.db, "table or view", holdout, "", &schema, &table, err));
    Status status = schema_has_column(
        definition->id.db, schema, table, definition->user, &has_user, err);
    if (status == ST_OK)
        status = schema_has_column(
            definition->id.db, schema, table, definition->item, &has_item, err);
    if (status == ST_OK)
        status = schema_has_column(
            definition->id.db, schema, table, "relevance", &has_relevance, err);
    if (status == ST_OK && definition->time)
        status = schema_has_column(
            definition->id.db, schema, table, definition->time, &has_time, err);
    if (status == ST_OK && *by)
        status = schema_has_column(definition->id.db, schema, table, by, &has_by, err);
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
            ? sql_prepare(definition->id.db, out, err,
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
static int in_history(const HoldoutReading *reading, Key user, Key item) {
    int32_t u = keymap_find(reading->all.users, user), i = keymap_find(reading->model->items, item);
    return u >= 0 && i >= 0 && all_histories_has(&reading->all, u, i);
}

/* A user is of the segment of her first row. */
static Status read_segment(HoldoutReading *reading, Key user, sqlite3_value *value, Err *err) {
    char buffer[KEY_BUFFER];
    Key name;
    int32_t id, segment = -1;
    TRY(keymap_add(reading->segment_of, user, &id, err));
    if ((size_t)id < reading->segment.len / sizeof segment) return ST_OK;
    if (sqlite3_value_type(value) != SQLITE_NULL) {
        if (!value_key(value, AFFINITY_NONE, buffer, &name))
            return fail(
                err, ST_BADARG, "by: %.60s must be an INTEGER or a TEXT", reading->call->by);
        TRY(keymap_add(reading->segments, name, &segment, err));
    }
    bytes_append(&reading->segment, &segment, sizeof segment);
    return reading->segment.failed ? fail_nomem(err, "the segments") : ST_OK;
}

static Status read_row(HoldoutReading *reading, sqlite3_stmt *row, Err *err) {
    const ModelDefinition *definition = reading->definition;
    char buffer[2 * KEY_BUFFER];
    Key user, item;
    double relevance;
    if (!value_key(
            sqlite3_column_value(row, HOLDOUT_USER), definition->user_affinity, buffer, &user) ||
        !value_key(sqlite3_column_value(row, HOLDOUT_ITEM), definition->item_affinity,
            buffer + KEY_BUFFER, &item))
        return fail(err, ST_BADARG, "the hold-out has a NULL or malformed user or item");
    if (sqlite3_column_type(row, HOLDOUT_RELEVANCE) == SQLITE_NULL) return ST_OK; /* as 0 */
    if (!events_number(row, HOLDOUT_RELEVANCE, &relevance) || relevance < 0)
        return fail(err, ST_BADARG, "the hold-out's relevance is %.40s (a number, 0 or more)",
            (const char *)sqlite3_column_text(row, HOLDOUT_RELEVANCE));
    if (relevance == 0) return ST_OK;
    if (sqlite3_column_type(row, HOLDOUT_TIME) != SQLITE_NULL && reading->rules.has_until) {
        double time;
        TRY(events_time(definition, row, HOLDOUT_TIME, "the hold-out", &time, err));
        reading->too_early += time < reading->rules.until;
    }
    reading->overlap += in_history(reading, user, item);
    TRY(read_segment(reading, user, sqlite3_column_value(row, HOLDOUT_SEGMENT), err));
    return dataset_add(&reading->pairs, user, item, relevance, 0, err);
}

static Status check_overlap(const HoldoutReading *reading, Err *err) {
    if (reading->too_early)
        return fail(err, ST_BADARG,
            "%lld hold-out rows are earlier than the end of the history that the model reads "
            "(until=%.0f)",
            (long long)reading->too_early, reading->rules.until);
    if (!reading->overlap || (!reading->call->exclude_seen && reading->rules.has_until))
        return ST_OK;
    if (reading->call->exclude_seen)
        return fail(err, ST_BADARG,
            "%lld hold-out rows are also in the history that the model reads, and exclude_seen "
            "hides them: leave them out of the hold-out, or judge repeats with {\"exclude_seen\": "
            "false}",
            (long long)reading->overlap);
    return fail(err, ST_BADARG,
        "%lld hold-out rows are also in the history that the model reads: it has seen the answers. "
        "Train with {\"until\": t} (or pass until) so that the history ends where the hold-out "
        "begins",
        (long long)reading->overlap);
}

static Status read_rows(HoldoutReading *reading, const char *holdout, Err *err) {
    sqlite3_stmt *row = NULL;
    DatasetRules as_they_are = {0};
    Task task = {0};
    TRY(prepare_holdout(reading->definition, holdout, reading->call->by, &row, err));
    Status status = ST_OK;
    while (sql_next(reading->definition->id.db, row, &status, err)) {
        status = read_row(reading, row, err);
    }
    sqlite3_finalize(row);
    if (status == ST_OK) status = check_overlap(reading, err);
    return status == ST_OK ? dataset_finish(&reading->pairs, &as_they_are, &task, err) : status;
}

/* Her row in the histories, -1 when she has none. */
static int32_t history_row(const HoldoutReading *reading, Key user) {
    int32_t row = keymap_find(reading->all.users, user);
    return row >= 0 && csr_row_len(&reading->all.rows, row) > 0 ? row : -1;
}

static int32_t segment_of(const HoldoutReading *reading, Key user) {
    int32_t id = keymap_find(reading->segment_of, user), segment = -1;
    if (id >= 0)
        memcpy(&segment, reading->segment.data + (size_t)id * sizeof segment, sizeof segment);
    return segment;
}

/* Room in *out for the users of the hold-out: entries of their histories, and of what they have
 * seen where that is more. */
static Status holdout_reserve(const HoldoutReading *reading, Holdout *out, Err *err) {
    const AllHistories *all = &reading->all;
    const Csr *pairs = &reading->pairs.by_user;
    int64_t n_history = 0, n_seen = 0;
    for (int32_t p = 0; p < pairs->n_rows; p++) {
        int32_t row = history_row(reading, keymap_key(reading->pairs.users, p));
        if (row < 0) continue;
        n_history += csr_row_len(&all->rows, row);
        n_seen += all->seen ? all->seen_start[row + 1] - all->seen_start[row] : 0;
    }
    return holdout_init(out, pairs->n_rows, reading->model->n_items, n_history,
        all->seen ? n_seen : HOLDOUT_SEES_HISTORY, csr_nnz(pairs), err);
}

/* The judged users, in the order of their keys. */
static Status lay_out(HoldoutReading *reading, Holdout *out, JudgedUsers *users, Err *err) {
    const Csr *pairs = &reading->pairs.by_user;
    TRY(holdout_reserve(reading, out, err));
    users->user = mem_array((size_t)pairs->n_rows, sizeof *users->user);
    users->segment = mem_array((size_t)pairs->n_rows, sizeof *users->segment);
    if (!users->user || !users->segment) return fail_nomem(err, "the hold-out");
    for (int32_t p = 0; p < pairs->n_rows; p++) {
        Key user = keymap_key(reading->pairs.users, p);
        int32_t row = history_row(reading, user);
        History history = row >= 0 ? all_histories_row(&reading->all, row) : (History){0};
        if (row < 0 && reading->call->unknown_users == UNKNOWN_SKIP) continue;
        for (int64_t e = pairs->row_start[p]; e < pairs->row_start[p + 1]; e++)
            holdout_add_relevant(out,
                keymap_find(reading->model->items, keymap_key(reading->pairs.items, pairs->col[e])),
                (double)pairs->val[e]);
        users->user[out->n_users] = p;
        users->segment[out->n_users] = segment_of(reading, user);
        TRY(holdout_end_user(out, &history, err));
    }
    users->keys = reading->pairs.users;
    users->segments = reading->segments;
    reading->pairs.users = reading->segments = NULL;
    return ST_OK;
}

static Status find_model(
    JudgedModel *out, sqlite3 *db, const char *name, EvaluateCall *call, Err *err) {
    TRY(definition_find(&out->definition, db, name, err));
    TRY(model_of_version(&out->definition, call->version, &out->model, err));
    if (call->exclude_seen < 0) call->exclude_seen = !out->model->algorithm->keeps_seen;
    return ST_OK;
}

static Status read_holdout(const JudgedModel *model, const char *holdout, const EvaluateCall *call,
    Holdout *out, JudgedUsers *users, Err *err) {
    EventsReader events = {.definition = &model->definition};
    HoldoutReading reading = {.definition = &model->definition,
        .model = model->model,
        .call = call,
        .rules = history_rules_until(model->model, call->until),
        .segment_of = keymap_new(),
        .segments = keymap_new()};
    Status status = events_read_histories(&events, model->model, &reading.rules, &reading.all, err);
    if (status == ST_OK) status = dataset_init(&reading.pairs, err);
    if (status == ST_OK && (!reading.segment_of || !reading.segments))
        status = fail_nomem(err, "the segments");
    if (status == ST_OK) status = read_rows(&reading, holdout, err);
    if (status == ST_OK) status = lay_out(&reading, out, users, err);
    events_reader_clear(&events);
    reading_clear(&reading);
    return status;
}

Status evaluate_load(JudgedModel *model, Holdout *holdout, JudgedUsers *users, sqlite3 *db,
    const char *name, const char *table, EvaluateCall *call, Err *err) {
    TRY(find_model(model, db, name, call, err));
    return read_holdout(model, table, call, holdout, users, err);
}

void judged_model_clear(JudgedModel *model) {
    cache_release(model->model);
    definition_clear(&model->definition);
}

void judged_users_clear(JudgedUsers *users) {
    keymap_free(users->keys);
    keymap_free(users->segments);
    mem_free(users->user);
    mem_free(users->segment);
}

/* By the model, its lists scored on the device. A GPU that fails with device=auto is given up, and
 * the CPU begins again. */
Status evaluate_judge(Judgement *out, const JudgedModel *model, const Holdout *holdout,
    DeviceChoice device, const EvaluateOptions *options, Task *task, Err *err) {
    GpuCopy *copy;
    *out = (Judgement){0};
    TRY(model_device_copy(
        model->definition.id.db, model->model, device, holdout->n_users, &copy, err));
    Status status = judge(out, model->model, 0, copy, holdout, options, task, err);
    cache_release(copy);
    if (!copy || !device_gave_up(device, status, err)) return status;
    judgement_clear(out);
    return judge(out, model->model, 0, NULL, holdout, options, task, err);
}
