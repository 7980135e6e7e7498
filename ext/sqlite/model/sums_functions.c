/* rec_sums and rec_join_sums: what a model of several shops is trained on whose rows stay where
 * they are (models/item_sums.h). rec_train takes the sum. */
#include <math.h>

#include "../../base/memory.h"
#include "../../eval/private_sums.h"
#include "../host/chance.h"
#include "../host/guard.h"
#include "../host/jobs.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "model_train.h"

typedef struct SumsOptions {
    double rho, until;
    int64_t progress, max_rows, max_memory;
    double max_seconds;
} SumsOptions;

static const OptSpec sums_options[] = {
    {"rho", OPT_REAL, offsetof(SumsOptions, rho), 0, 1e6, 0, NULL,
        "zero-concentrated differential privacy that the sums may cost; 0: exact sums"},
    {"until", OPT_TIME, offsetof(SumsOptions, until), DATE_FIRST, DATE_LAST, NAN, NULL,
        "sums of events before this time; rho needs it"},
    {"progress", OPT_CHOICE, offsetof(SumsOptions, progress), 0, 0, 0, "none|stderr",
        "print lines on stderr while it works"},
    {"max_rows", OPT_INT, offsetof(SumsOptions, max_rows), 0, 1e15, 0, NULL,
        "refuse to read more events; 0: no limit"},
    {"max_memory", OPT_INT, offsetof(SumsOptions, max_memory), 0, 1e7, 0, NULL,
        "MiB that the calling thread may hold; 0: no limit"},
    {"max_seconds", OPT_REAL, offsetof(SumsOptions, max_seconds), 0, 1e9, 0, NULL,
        "stop after so long; 0: no limit"},
    {0},
};

/* Of a pair of items in the BLOB: a column and a count. */
enum { ENTRY_BYTES = 8 };

static Status check(const ModelDefinition *definition, const SumsOptions *options, Err *err) {
    if (definition->common.min_support != 1)
        return fail(err, ST_BADARG, "what is rare is known only together: min_support=1");
    if (options->rho <= 0) return ST_OK;
    if (!isfinite(options->until))
        return fail(err, ST_BADARG, "rho needs until: the time of the newest event is somebody's");
    return private_sums_check(definition->common.max_history, options->rho, err);
}

/* The sums of the data as they are, or with noise. */
static Status sum_up(const ModelDefinition *definition, const SumsOptions *options, Dataset *data,
    ItemSums *sums, Task *task, Err *err) {
    Chance chance;
    task->threads = definition->common.threads ? (int)definition->common.threads
                                               : task_default_threads();
    int64_t most = sqlite3_limit(definition->id.db, SQLITE_LIMIT_LENGTH, -1) / ENTRY_BYTES,
            n = data->by_user.n_cols;
    if (options->rho > 0) TRY(item_sums_fit((int32_t)n, n * (n + 1) / 2, most, err));
    TRY(item_sums_of(sums, data, most, task, err));
    sums->max_history = definition->common.max_history;
    sums->combine = definition->common.combine;
    sums->has_until = isfinite(options->until);
    sums->until = sums->has_until ? options->until : 0;
    TRY(chance_begin(&chance, err));
    Status status = ST_OK;
    sums->drawn = chance.source.draw(chance.source.context);
    if (options->rho > 0) {
        sums->newest = options->until;
        status = private_sums(sums, options->rho, &chance.source, task, err);
    }
    chance_end(&chance);
    return status;
}

static Status read_and_sum(const ModelDefinition *definition, const SumsOptions *options,
    EventsReader *reader, ItemSums *sums, Err *err) {
    TrainWindow window = {.is_private = options->rho > 0,
        .has_until = isfinite(options->until),
        .until = options->until,
        .limits = {.max_rows = options->max_rows,
            .max_bytes = (size_t)options->max_memory << 20,
            .max_seconds = options->max_seconds}};
    Dataset data = {0};
    Task task = {0};
    Job job;
    TRY(guard_may_train(definition->id.db, err));
    TRY(job_begin(
        &job, "sums", definition->id.name, &task, definition->id.db, (int)options->progress, err));
    limits_begin(&window.limits, &task);
    Status status = train_read(definition, reader, &window, NULL, &data, &task, err);
    if (status == ST_OK) status = sum_up(definition, options, &data, sums, &task, err);
    dataset_clear(&data);
    status = limits_end(&window.limits, &task, status, err);
    if (status != ST_OK) item_sums_clear(sums);
    job_end(&job);
    return status;
}

static void result_sums(
    sqlite3_context *context, const char *name, ItemSums *sums, Status status, Err *err) {
    Bytes blob = {0};
    if (status == ST_OK) status = item_sums_write(sums, &blob, err);
    item_sums_clear(sums);
    if (status == ST_OK) {
        sqlite3_result_blob64(context, blob.data, blob.len, mem_free); /* large: not copied */
    } else {
        sql_function_error(context, name, status, err);
        bytes_clear(&blob);
    }
}

/* rec_sums(model [, options]) */
static void rec_sums(sqlite3_context *context, int argc, sqlite3_value **argv) {
    ModelDefinition definition;
    EventsReader reader = {.definition = &definition};
    SumsOptions options;
    ItemSums sums = {0};
    Err err = {0};
    sqlite3 *db = sqlite3_context_db_handle(context);
    Status status = definition_find(&definition, db, value_text(argv[0]), &err);
    if (status == ST_OK) status = guard_enter(&err);
    if (status == ST_OK) {
        ModelDefinition asked = definition; /* its texts are shared */
        reader.definition = &asked;
        asked.algorithm = algorithm_find("ease");
        options_default(asked.algorithm->options, &asked.params);
        options_default(sums_options, &options);
        OptTarget targets[] = {{sums_options, &options}, {model_common_options, &asked.common}};
        const char *json = argc > 1 ? value_text(argv[1]) : NULL;
        if (json) status = options_set_json(targets, 2, json, &err);
        if (status == ST_OK) status = check(&asked, &options, &err);
        if (status == ST_OK) status = read_and_sum(&asked, &options, &reader, &sums, &err);
        guard_leave();
    }
    result_sums(context, "rec_sums", &sums, status, &err);
    events_reader_clear(&reader);
    definition_clear(&definition);
}

/* rec_join_sums(sums): an aggregate. */
static void join_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    ItemSums *sums = sqlite3_aggregate_context(context, sizeof *sums), more = {0};
    Err err = {0};
    (void)argc;
    if (!sums) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    Status status = sums_of_value(argv[0], &more, &err);
    if (status == ST_OK && sums->items) {
        status = item_sums_join(sums, &more, &err);
        item_sums_clear(&more);
    } else if (status == ST_OK) {
        *sums = more;
    }
    if (status != ST_OK) sql_function_error(context, "rec_join_sums", status, &err);
}

static void join_final(sqlite3_context *context) {
    ItemSums *sums = sqlite3_aggregate_context(context, 0);
    Err err = {0};
    if (sums && sums->items) result_sums(context, "rec_join_sums", sums, ST_OK, &err);
}

/* rec_sums_info(sums): what they tell. */
static Status info_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ItemSums sums;
    (void)db;
    TRY(sums_of_value(argv[0], &sums, err));
    row_integer(sink, sums.n_parts);
    row_integer(sink, sums.n_users);
    row_integer(sink, sums.n_events);
    row_integer(sink, sums.n_items);
    row_integer(sink, sums.row_start[sums.n_items]);
    row_number(sink, sums.n_events ? sums.newest : NAN);
    row_number(sink, sums.has_until ? sums.until : NAN);
    row_integer(sink, sums.max_history);
    row_number(sink, sums.rho > 0 ? sums.rho : NAN);
    item_sums_clear(&sums);
    return ST_OK;
}

static int register_info(sqlite3 *db) {
    static const RowTable table = {.name = "rec_sums_info",
        .columns = "parts INTEGER, users INTEGER, events INTEGER, items INTEGER, pairs INTEGER, "
                   "newest REAL, until REAL, max_history INTEGER, rho REAL",
        .n_columns = 9,
        .arguments = ", sums HIDDEN",
        .n_arguments = 1,
        .n_required = 1,
        .fill = info_fill};
    return row_table_register(db, &table);
}

int register_sums_functions(sqlite3 *db) {
    int registered = register_info(db);
    if (registered) return registered;
    for (int arguments = 1; arguments <= 2; arguments++) {
        int code = sqlite3_create_function_v2(db, "rec_sums", arguments,
            SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, rec_sums, NULL, NULL, NULL);
        if (code) return code;
    }
    return sqlite3_create_function_v2(
        db, "rec_join_sums", 1, FUNCTION_PURE, NULL, NULL, join_step, join_final, NULL);
}
