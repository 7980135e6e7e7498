/* Commands of a rec_index: INSERT INTO t(t [, arg]) VALUES('optimize' [, '{json}']). */
#include <string.h>

#include "../../base/options.h"
#include "../host/guard.h"
#include "../host/cache.h"
#include "../host/device_copy.h"
#include "../host/jobs.h"
#include "../host/values.h"
#include "index.h"

typedef struct BuildOptions {
    int64_t build_threads;
    int64_t ef_construction;
    int64_t progress;
    char device[16];
} BuildOptions;

static const OptSpec build_options[] = {
    {"build_threads", OPT_INT, offsetof(BuildOptions, build_threads), 1, 64, 1, NULL,
        "threads that build a graph: with 1 the same rows give the same graph, more are faster"},
    {"ef_construction", OPT_INT, offsetof(BuildOptions, ef_construction), 0, 10000, 0, NULL,
        "graphs: candidates looked at for a new row; more take longer to build and find more in a "
        "large table; 0: FAISS's 40"},
    {"device", OPT_TEXT, offsetof(BuildOptions, device), 0, 16, 0, "",
        "an IVF is built on: cpu, gpu, gpu:N, gpu:all (the first) or auto; default: the index's"},
    {"progress", OPT_CHOICE, offsetof(BuildOptions, progress), 0, 0, 0, "none|stderr",
        "print lines on stderr"},
    {0},
};

static Status build(const CommandCall *call, BuildKind kind, Err *err) {
    IndexTable *table = call->table;
    BuildOptions options;
    OptTarget target = {build_options, &options};
    Task task = {0};
    Job job;
    options_default(build_options, &options);
    TRY(guard_may_train(table->db, err));
    if (sqlite3_value_type(call->arg) != SQLITE_NULL)
        TRY(options_set_json(&target, 1, value_text(call->arg), err));
    DeviceChoice device = table->device;
    if (*options.device) TRY(device_parse(options.device, &device, err));
    task.threads = (int)options.build_threads;
    table->build_ef = (int)options.ef_construction;
    if (kind != BUILD_OPTIMIZE && table->content) TRY(index_content_mend_triggers(table, err));
    TRY(job_begin(&job, kind == BUILD_OPTIMIZE ? "optimize" : "rebuild", table->name, &task,
        table->db, (int)options.progress, err));
    Status status = index_view_build(table, kind, device, &task, err);
    job_end(&job);
    return status;
}

static Status command_train(const CommandCall *call, Err *err) {
    return build(call, BUILD_TRAIN, err);
}

static Status command_rebuild(const CommandCall *call, Err *err) {
    return build(call, BUILD_ANEW, err);
}

static Status command_optimize(const CommandCall *call, Err *err) {
    return build(call, BUILD_OPTIMIZE, err);
}

static Status command_check(const CommandCall *call, Err *err) {
    return index_check(call->table, err);
}

static Status command_drop_cache(const CommandCall *call, Err *err) {
    (void)err;
    index_view_clear(call->table);
    cache_drop_unused(NULL);
    device_forget();
    return ST_OK;
}

static const Command COMMANDS[] = {
    {"train", READS_ARG, command_train},
    {"rebuild", READS_ARG, command_rebuild},
    {"optimize", READS_ARG, command_optimize},
    {"integrity-check", READS_NOTHING, command_check},
    {"drop-cache", READS_NOTHING, command_drop_cache},
    {0},
};

static const char *column_name(const void *owner, int column) {
    const IndexTable *table = owner;
    return column < table->n_columns ? table->column[column].name
                                     : index_hidden_names[column - table->n_columns];
}

Status index_command(IndexTable *table, sqlite3_value **column, Err *err) {
    sqlite3_int64 rowid;
    int hidden = table->n_columns;
    CommandColumns columns = {column, hidden + N_HIDDEN, hidden + H_COMMAND, hidden + H_ARG,
        hidden + H_OPTIONS, column_name};
    return command_run(COMMANDS, NULL, table, &columns, &rowid, err);
}
