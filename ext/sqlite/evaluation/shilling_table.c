/* rec_shilling(model, users [, options]): how much a group of users shifts what others are shown.
 *
 * The model's setting is trained twice, with the group's events and without, and the other users'
 * lists are compared: which share of them has the item among its first k. A planted group (false
 * accounts that click for an item) shows as an item that the others see because of it. Two
 * trainings in memory; nothing is stored. */
#include <string.h>

#include "../../base/bits.h"
#include "../../base/memory.h"
#include "../../base/options.h"
#include "../../eval/profile.h"
#include "../../eval/trial.h"
#include "../host/guard.h"
#include "../host/jobs.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "../model/model_events.h"
#include "../model/model_items.h"

enum { MOST_K = 1000 };

typedef struct ShillingOptions {
    int64_t k, sample;
} ShillingOptions;

static const OptSpec shilling_options[] = {
    {"k", OPT_INT, offsetof(ShillingOptions, k), 1, MOST_K, 10, NULL, "length of the lists"},
    {"sample", OPT_INT, offsetof(ShillingOptions, sample), 1, 1e9, 1000, NULL,
        "other users whose lists are looked at, evenly among them"},
    {0},
};

typedef struct Shilling {
    ModelDefinition definition;
    EventsReader reader;
    ShillingOptions options;
    EventSet set;
    uint8_t *in_group;    /* per user of the set */
    int32_t *group_count; /* per item of the set: events of the group */
    int32_t *shown[2];    /* per item of the set: lists with the group, without */
    int64_t n_lists;      /* of each */
    Task task;
} Shilling;

static void shilling_clear(Shilling *shilling) {
    event_set_clear(&shilling->set);
    mem_free(shilling->in_group);
    mem_free(shilling->group_count);
    mem_free(shilling->shown[0]);
    mem_free(shilling->shown[1]);
    events_reader_clear(&shilling->reader);
    definition_clear(&shilling->definition);
}

/* ---- the group ---- */

static Status read_group(Shilling *shilling, const char *json, Err *err) {
    size_t users = (size_t)keymap_count(shilling->set.users),
           items = (size_t)keymap_count(shilling->set.items);
    KeyList list = {0};
    shilling->in_group = mem_zeros(users, 1);
    shilling->group_count = mem_zeros(items, sizeof *shilling->group_count);
    for (int i = 0; i < 2; i++) shilling->shown[i] = mem_zeros(items, sizeof *shilling->shown[i]);
    if (!shilling->in_group || !shilling->group_count || !shilling->shown[0] || !shilling->shown[1])
        return fail_nomem(err, "the group");
    TRY(key_list_parse(&list, "users", json, shilling->definition.user_affinity, err));
    for (size_t i = 0; i < list.n; i++) {
        int32_t user = keymap_find(shilling->set.users, list.key[i]);
        if (user >= 0) shilling->in_group[user] = 1;
    }
    key_list_clear(&list);
    for (int64_t i = 0; i < shilling->set.n; i++) {
        const Event *event = &shilling->set.event[i];
        shilling->group_count[event->item] += shilling->in_group[event->user];
    }
    return ST_OK;
}

/* ---- a training, and the lists that follow from it ---- */

/* without: leave the group out. */
static Status make_dataset(Shilling *shilling, int without, Dataset *out, Err *err) {
    const ModelDefinition *definition = &shilling->definition;
    DatasetRules rules = model_rules(
        definition->algorithm, &definition->common, &definition->params);
    TRY(dataset_init(out, err));
    TRY(items_list(definition, out, err));
    for (int64_t i = 0; i < shilling->set.n; i++) {
        const Event *event = &shilling->set.event[i];
        if (without && shilling->in_group[event->user]) continue;
        TRY(dataset_add(out, keymap_key(shilling->set.users, event->user),
            keymap_key(shilling->set.items, event->item), event->weight, event->time, err));
    }
    TRY(dataset_finish(out, &rules, &shilling->task, err));
    return items_read(definition, out, &shilling->task, err);
}

/* One user's list into the counts. */
static Status count_list(Shilling *shilling, ModelQuery *query, const Dataset *data, int32_t user,
    uint64_t *allowed, int32_t *shown, Err *err) {
    const Model *model = query->model;
    Ranked row[MOST_K];
    size_t n;
    HistoryRows rows = dataset_rows(data);
    History history = history_of_row(&rows, user);
    int64_t n_allowed = model->n_items;
    bits_fill(allowed, n_allowed);
    for (int64_t i = 0; !model->algorithm->keeps_seen && i < history.n; i++, n_allowed--)
        bits_remove(allowed, history.item[i]);
    TRY(model_query_history(query, &history, err));
    TRY(model_query_rank(query, allowed, n_allowed, (size_t)shilling->options.k, row, &n, err));
    query->history = (History){0};
    for (size_t i = 0; i < n; i++) {
        int32_t item = keymap_find(shilling->set.items, keymap_key(model->items, row[i].item));
        if (item >= 0) shown[item]++;
    }
    return ST_OK;
}

/* The same users both times: others, evenly. Whom a training does not know has no list. */
static Status count_lists(
    Shilling *shilling, const Model *model, const Dataset *data, int32_t *shown, Err *err) {
    ModelQuery *query = NULL;
    uint64_t *allowed = mem_array(bits_words(model->n_items), sizeof *allowed);
    int64_t others = 0, met = 0;
    int32_t users = keymap_count(shilling->set.users);
    for (int32_t u = 0; u < users; u++) others += !shilling->in_group[u];
    Status status = allowed ? model_query_new(&query, model, err) : fail_nomem(err, "the lists");
    shilling->n_lists = 0;
    for (int32_t u = 0; u < users && status == ST_OK; u++) {
        if (shilling->in_group[u] || !is_picked(met++, others, shilling->options.sample)) continue;
        shilling->n_lists++;
        int32_t own = keymap_find(data->users, keymap_key(shilling->set.users, u));
        if (own >= 0) status = count_list(shilling, query, data, own, allowed, shown, err);
        if (status == ST_OK && task_poll(&shilling->task))
            status = fail(err, ST_CANCELLED, "interrupted");
    }
    model_query_free(query);
    mem_free(allowed);
    return status;
}

static Status train_and_count(Shilling *shilling, int without, Err *err) {
    const ModelDefinition *definition = &shilling->definition;
    Dataset data = {0};
    Model *model = NULL;
    AlgorithmParams params = definition->params;
    options_forget_training(definition->algorithm->options, &params);
    Status status = make_dataset(shilling, without, &data, err);
    if (status == ST_OK)
        status = model_train(&model, definition->algorithm, &definition->common, &params, NULL,
            &data, &shilling->task, err);
    if (status == ST_OK)
        status = count_lists(shilling, model, &data, shilling->shown[without], err);
    model_free(model);
    dataset_clear(&data);
    return status;
}

/* ---- the rows ---- */

static void rows_of(RowSink *sink, const Shilling *shilling) {
    double n = (double)shilling->n_lists;
    for (int32_t i = 0; i < keymap_count(shilling->set.items); i++) {
        if (!shilling->shown[0][i] && !shilling->shown[1][i] && !shilling->group_count[i]) continue;
        row_key(sink, keymap_key(shilling->set.items, i));
        row_integer(sink, shilling->group_count[i]);
        row_number(sink, shilling->shown[0][i] / n);
        row_number(sink, shilling->shown[1][i] / n);
        row_number(sink, (shilling->shown[0][i] - shilling->shown[1][i]) / n);
    }
}

static Status run(Shilling *shilling, sqlite3 *db, sqlite3_value **argv, Err *err) {
    ModelDefinition *definition = &shilling->definition;
    Job job;
    TRY(definition_find(definition, db, value_text(argv[0]), err));
    shilling->reader.definition = definition;
    if (definition->session && algorithm_by_session(definition->algorithm, &definition->params))
        return fail(err, ST_BADARG, "a model by sessions has no users to leave out");
    TRY(guard_may_train(db, err));
    TRY(event_set_init(&shilling->set, err));
    TRY(job_begin(&job, "shilling", definition->id.name, &shilling->task, db, 0, err));
    shilling->reader.task = &shilling->task;
    Status status = events_read_set(&shilling->reader, 0, 0, &shilling->set, err);
    shilling->reader.task = NULL;
    if (status == ST_OK) status = event_set_sort(&shilling->set, err);
    if (status == ST_OK) status = read_group(shilling, value_text(argv[1]), err);
    for (int without = 0; without < 2 && status == ST_OK; without++)
        status = train_and_count(shilling, without, err);
    job_end(&job);
    return status;
}

static Status shilling_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Shilling shilling = {0};
    OptTarget target = {shilling_options, &shilling.options};
    TRY(value_options(&target, 1, argv[2], err));
    TRY(guard_enter(err));
    Status status = run(&shilling, db, argv, err);
    guard_leave();
    if (status == ST_OK) rows_of(sink, &shilling);
    shilling_clear(&shilling);
    return status;
}

int register_shilling(sqlite3 *db) {
    static const RowTable table = {.name = "rec_shilling",
        .columns = "item, group_events INTEGER, share_with REAL, share_without REAL, shift REAL",
        .n_columns = 5,
        .arguments = ", model HIDDEN, users HIDDEN, options HIDDEN",
        .n_arguments = 3,
        .n_required = 2,
        .flags = SQLITE_VTAB_DIRECTONLY,
        .fill = shilling_fill};
    return row_table_register(db, &table);
}
