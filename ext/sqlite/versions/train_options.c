#include "train_options.h"

#include <math.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/options.h"
#include "../../base/text.h"
#include "version_store.h"

const OptSpec train_options[] = {
    {"until", OPT_TIME, offsetof(TrainOptions, until), DATE_FIRST, DATE_LAST, INFINITY, NULL,
        "train on what was before this time"},
    {"activate", OPT_CHOICE, offsetof(TrainOptions, activate), 0, 0, ACTIVATE_ALWAYS,
        "always|never|if-better",
        "serve the new version at once; if-better: where its setting beats the active one's"},
    {"keep", OPT_INT, offsetof(TrainOptions, keep), 0, 1e6, KEEP_AS_CREATED, NULL,
        "keep so many versions, the newest (and the active one and the one before it); 0: all; "
        "default: the model's"},
    {"progress", OPT_CHOICE, offsetof(TrainOptions, progress), 0, 0, 0, "none|stderr",
        "print lines on stderr"},
    {"algorithm", OPT_CHOICE, offsetof(TrainOptions, algorithm), 0, 0, 0, "",
        "another algorithm than CREATE's, with its own defaults"},
    {"max_rows", OPT_INT, offsetof(TrainOptions, max_rows), 0, 1e15, 0, NULL,
        "refuse to read more rows; 0: no limit"},
    {"max_memory", OPT_INT, offsetof(TrainOptions, max_memory), 0, 1e9, 0, NULL,
        "stop where the training thread would hold more MiB; 0: no limit"},
    {"max_seconds", OPT_REAL, offsetof(TrainOptions, max_seconds), 0, 1e9, 0, NULL,
        "stop after so long; 0: no limit"},
    {0},
};

Status train_options_read(TrainOptions *train, const char *algorithms, const OptTarget *others,
    size_t n_others, const char *json, Err *err) {
    OptSpec specs[sizeof train_options / sizeof *train_options];
    OptTarget target[1 + MAX_OTHERS] = {{specs, train}};
    memcpy(specs, train_options, sizeof specs);
    for (OptSpec *spec = specs; spec->name; spec++)
        if (strcmp(spec->name, "algorithm") == 0) spec->choices = algorithms;
    memcpy(target + 1, others, n_others * sizeof *others);
    return options_set_json(target, 1 + n_others, json, err);
}

Status train_options_text(const char *json, const char *name, char *out, size_t size, Err *err) {
    json_error_t json_error;
    json_t *root = json ? json_loads(json, 0, &json_error) : NULL;
    if (json && json_lacks_memory(root, &json_error)) return fail_nomem(err, "the options");
    const char *text = json_string_value(json_object_get(root, name));
    text_format(out, size, "%s", text ? text : "");
    json_decref(root);
    return ST_OK;
}

Status train_may_activate(const Versioned *versioned, const char *json, Err *err) {
    char activate[16];
    TRY(train_options_text(json, "activate", activate, sizeof activate, err));
    return strcmp(activate, "never") == 0 ? ST_OK : live_may_activate(versioned, err);
}

TrainLimits train_limits(const TrainOptions *train) {
    return (TrainLimits){.max_rows = train->max_rows,
        .max_bytes = (size_t)train->max_memory << 20,
        .max_seconds = train->max_seconds};
}

void limits_begin(TrainLimits *limits, Task *task) {
    if (limits->max_seconds > 0) task->deadline = task_clock() + limits->max_seconds;
    limits->budget = (MemBudget){.limit = limits->max_bytes};
    if (limits->max_bytes) limits->outer = mem_budget_set(&limits->budget);
}

/* What a limit has stopped is no want of memory, nor an interrupt. */
Status limits_end(TrainLimits *limits, const Task *task, Status status, Err *err) {
    if (limits->max_bytes) mem_budget_set(limits->outer);
    if (status == ST_NOMEM && limits->budget.exceeded)
        return fail(err, ST_BADARG, "the training would take more than max_memory=%lld MiB",
            (long long)(limits->max_bytes >> 20));
    if (status == ST_CANCELLED && atomic_load(&task->is_late))
        return fail(
            err, ST_BADARG, "the training took longer than max_seconds=%g", limits->max_seconds);
    return status;
}
