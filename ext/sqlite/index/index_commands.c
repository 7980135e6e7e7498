/* Commands of a rec_index: INSERT INTO t(t [, arg]) VALUES('optimize' [, '{json}']). */
#include <string.h>

#include "../../base/options.h"
#include "../host/cache.h"
#include "../host/device_copy.h"
#include "../host/jobs.h"
#include "../host/values.h"
#include "index.h"

const char *const index_hidden_names[N_HIDDEN] = {"<the table's name>", "k", "options",
    "similar_to", "exclude", "arg", "score", "distance", "rank"};

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

static Status command_build(IndexTable *table, BuildKind kind, sqlite3_value *argument, Err *err) {
    BuildOptions options;
    OptTarget target = {build_options, &options};
    Task task = {0};
    Job job;
    options_default(build_options, &options);
    if (sqlite3_value_type(argument) != SQLITE_NULL)
        TRY(options_set_json(&target, 1, value_text(argument), err));
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

/* A command reads its arg and nothing else: what is not read is refused. */
static Status check_command(
    const IndexTable *table, const char *command, int takes_arg, sqlite3_value **column, Err *err) {
    for (int i = 0; i < table->n_columns + N_HIDDEN; i++) {
        int hidden = i - table->n_columns;
        int read = hidden == H_COMMAND || (hidden == H_ARG && takes_arg);
        if (!read && sqlite3_value_type(column[i]) != SQLITE_NULL)
            return fail(err, ST_BADARG, "command %s takes no %s", command,
                hidden < 0 ? table->column[i].name : index_hidden_names[hidden]);
    }
    return ST_OK;
}

Status index_command(IndexTable *table, const char *command, sqlite3_value **column, Err *err) {
    int build = strcmp(command, "optimize") == 0 || strcmp(command, "rebuild") == 0 ||
        strcmp(command, "train") == 0;
    int check = strcmp(command, "integrity-check") == 0, drop = strcmp(command, "drop-cache") == 0;
    if (!build && !check && !drop)
        return fail(err, ST_BADARG,
            "unknown command '%.60s' (train, rebuild, optimize, integrity-check, drop-cache)",
            command);
    TRY(check_command(table, command, build, column, err));
    BuildKind kind = strcmp(command, "optimize") == 0 ? BUILD_OPTIMIZE
        : strcmp(command, "train") == 0               ? BUILD_TRAIN
                                                      : BUILD_ANEW;
    if (build) return command_build(table, kind, column[table->n_columns + H_ARG], err);
    if (check) return index_check(table, err);
    index_view_clear(table);
    cache_drop_unused(NULL);
    device_forget();
    return ST_OK;
}
