/* The options of a training, and the setting that they make of a model's definition. */
#include "model_setting.h"

#include <math.h>
#include <string.h>

#include "../../base/options.h"
#include "../versions/version_store.h"

const OptSpec train_options[] = {
    {"until", OPT_TIME, offsetof(TrainOptions, until), DATE_FIRST, DATE_LAST, INFINITY, NULL,
        "train on events before this time"},
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
        "refuse to read more events; 0: no limit"},
    {"max_memory", OPT_INT, offsetof(TrainOptions, max_memory), 0, 1e9, 0, NULL,
        "stop where the training thread would hold more MiB; 0: no limit"},
    {"max_seconds", OPT_REAL, offsetof(TrainOptions, max_seconds), 0, 1e9, 0, NULL,
        "stop after so long; 0: no limit"},
    {0},
};

/* {"algorithm":"x"} must be known before its options can be read: a first pass over the JSON
 * through SQLite. */
static Status option_algorithm(ModelDefinition *definition, const char *options, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(sql_prepare(definition->id.db, &statement, err,
        "SELECT json_extract(%Q, '$.algorithm') WHERE json_valid(%Q)", options, options));
    Status status = sql_step(definition->id.db, statement, &has_row, err);
    const char *name = has_row ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    const Algorithm *algorithm = name ? algorithm_find(name) : NULL;
    if (algorithm && algorithm != definition->algorithm) {
        definition->algorithm = algorithm;
        options_default(algorithm->options, &definition->params);
    }
    sqlite3_finalize(statement);
    return status;
}

Status train_read_options(
    ModelDefinition *definition, TrainOptions *train, const char *options, Err *err) {
    OptSpec specs[sizeof train_options / sizeof *train_options];
    Bytes names = {0};
    memcpy(specs, train_options, sizeof specs);
    for (size_t i = 0; algorithm_registry[i]; i++)
        bytes_format(&names, "%s%s", i ? "|" : "", algorithm_registry[i]->name);
    bytes_append(&names, "", 1);
    if (names.failed) return fail_nomem(err, "the options");
    for (OptSpec *spec = specs; spec->name; spec++)
        if (strcmp(spec->name, "algorithm") == 0) spec->choices = (const char *)names.data;
    Status status = option_algorithm(definition, options, err);
    OptTarget target[] = {{specs, train}, {definition->algorithm->options, &definition->params},
        {model_common_options, &definition->common}};
    if (status == ST_OK) status = options_set_json(target, 3, options, err);
    bytes_clear(&names);
    return status == ST_OK && definition->algorithm->check
        ? definition->algorithm->check(&definition->params, err)
        : status;
}

Status train_setting(
    const ModelDefinition *definition, const char *options, Setting *out, Err *err) {
    ModelDefinition d = *definition; /* options change a copy; the texts stay the definition's */
    TrainOptions train;
    options_default(train_options, &train);
    if (options) TRY(train_read_options(&d, &train, options, err));
    *out = (Setting){d.algorithm, d.common, d.params};
    return ST_OK;
}
