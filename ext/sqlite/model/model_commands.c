/* Commands of a rec_model: INSERT INTO recs(recs [, arg [, options]]) VALUES('train', '{json}').
 * Everything is read and computed before the first write (store_put). */
#include <string.h>

#include "../../base/options.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/values.h"
#include "model_table.h"

typedef struct VersionOption {
    int64_t version;
} VersionOption;

static const OptSpec version_options[] = {
    {"version", OPT_INT, offsetof(VersionOption, version), 1, 1e12, 0, NULL, "number of a version"},
    {0},
};

typedef struct LoadOptions {
    int64_t activate;
    int64_t keep;
    int64_t action;
} LoadOptions;

static const OptSpec load_options[] = {
    {"activate", OPT_CHOICE, offsetof(LoadOptions, activate), 0, 0, 0, "always|never",
        "serve the new version at once"},
    {"keep", OPT_INT, offsetof(LoadOptions, keep), 0, 1e6, KEEP_AS_CREATED, NULL,
        "keep so many versions; default: the model's"},
    {"action", OPT_CHOICE, offsetof(LoadOptions, action), 0, 0, 0, "load|tune",
        "what rec_deployments says of it"},
    {0},
};

/* arg: a version's number, or {"version":n}. */
static Status version_argument(sqlite3_value *argument, sqlite3_int64 *out, Err *err) {
    VersionOption option = {0};
    OptTarget target = {version_options, &option};
    if (sqlite3_value_numeric_type(argument) == SQLITE_INTEGER) /* also '1' */
        option.version = sqlite3_value_int64(argument);
    else if (sqlite3_value_type(argument) == SQLITE_TEXT)
        TRY(options_set_json(&target, 1, value_text(argument), err));
    if (option.version < 1)
        return fail(err, ST_BADARG, "arg must be a version's number, or {\"version\": n}");
    *out = option.version;
    return ST_OK;
}

static Status command_train(
    ModelTable *table, sqlite3_value *argument, sqlite3_int64 *version, Err *err) {
    Model *model;
    PutWish wish;
    const char *options = sqlite3_value_type(argument) == SQLITE_NULL ? NULL : value_text(argument);
    const ModelDefinition *definition = &table->definition;
    if (tune_before_train(definition, options))
        TRY(tune_and_train(definition, &table->reader, options, 1, &model, &wish, err));
    else TRY(train_model(definition, &table->reader, options, &model, &wish, err));
    Status status = store_put(definition, model, &wish, "train", version, err);
    model_free(model);
    return status;
}

static Status command_load(ModelTable *table, sqlite3_value *argument, sqlite3_value *options,
    sqlite3_int64 *version, Err *err) {
    Model *model;
    LoadOptions load;
    OptTarget target = {load_options, &load};
    options_default(load_options, &load);
    if (sqlite3_value_type(options) != SQLITE_NULL)
        TRY(options_set_json(&target, 1, (const char *)sqlite3_value_text(options), err));
    if (sqlite3_value_type(argument) != SQLITE_BLOB)
        return fail(err, ST_BADARG, "load: arg must be the BLOB that rec_train gave");
    const void *data = sqlite3_value_blob(argument);
    Status status = model_read(&model, data, (size_t)sqlite3_value_bytes(argument), err);
    if (status == ST_CORRUPT) { /* of the argument, not of the database */
        err_prefix(err, "load");
        return ST_BADARG;
    }
    if (status != ST_OK) return status;
    status = store_put(&table->definition, model, &(PutWish){load.activate == 0, load.keep},
        load.action ? "tune" : "load", version, err);
    model_free(model);
    return status;
}

/* A command reads its arg, `load` its options too, and nothing else: what is not read is
 * refused. */
static Status check_columns(const char *command, sqlite3_value **column, Err *err) {
    static const char *const names[N_MODEL_COLUMNS] = {"user", "item", "score", "rank", "because",
        "version", "", "k", "similar_to", "basket", "candidates", "exclude", "options", "arg"};
    int takes_arg = strcmp(command, "rollback") != 0 && strcmp(command, "integrity-check") != 0;
    for (int i = 0; i < N_MODEL_COLUMNS; i++) {
        int read = i == C_COMMAND || (i == C_ARG && takes_arg) ||
            (i == C_OPTIONS && strcmp(command, "load") == 0);
        if (!read && sqlite3_value_type(column[i]) != SQLITE_NULL)
            return fail(err, ST_BADARG, "command %s takes no %s", command, names[i]);
    }
    return ST_OK;
}

static Status run_command(ModelTable *table, const char *command, sqlite3_value **column,
    sqlite3_int64 *rowid, Err *err) {
    const ModelDefinition *definition = &table->definition;
    static const char *const commands[] = {
        "train", "tune", "load", "activate", "rollback", "drop-version", "integrity-check"};
    sqlite3_int64 version = 0;
    int known = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        known |= strcmp(command, commands[i]) == 0;
    if (!known)
        return fail(err, ST_BADARG,
            "unknown command '%.60s' (train, tune, load, activate, rollback, drop-version, "
            "integrity-check)",
            command);
    TRY(check_columns(command, column, err));
    if (strcmp(command, "train") == 0) return command_train(table, column[C_ARG], rowid, err);
    if (strcmp(command, "tune") == 0)
        return tune_model(definition, &table->reader, value_text(column[C_ARG]), rowid, err);
    if (strcmp(command, "load") == 0)
        return command_load(table, column[C_ARG], column[C_OPTIONS], rowid, err);
    if (strcmp(command, "rollback") == 0) return store_rollback(definition, err);
    if (strcmp(command, "integrity-check") == 0) return store_check(definition, err);
    TRY(version_argument(column[C_ARG], &version, err));
    return strcmp(command, "activate") == 0 ? store_activate(definition, version, err)
                                            : store_drop(definition, version, err);
}

int model_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
    ModelTable *table = (ModelTable *)vtab;
    Err err = {0};
    Status status;
    int insert = argc == 2 + N_MODEL_COLUMNS && sqlite3_value_type(argv[0]) == SQLITE_NULL;
    sqlite3_value **column = argv + 2;
    if (!insert || sqlite3_value_type(column[C_COMMAND]) == SQLITE_NULL) {
        status = fail(&err, ST_BADARG,
            "rows are computed and cannot be changed; a command is INSERT INTO %s(%s) "
            "VALUES('train')",
            table->definition.name, table->definition.name);
    } else {
        const char *command = (const char *)sqlite3_value_text(column[C_COMMAND]);
        *rowid = 0;
        status = command ? guard_enter_table(&table->busy, &err) : fail_nomem(&err, "a command");
        if (status == ST_OK) {
            status = run_command(table, command, column, rowid, &err);
            guard_leave_table(&table->busy);
        }
    }
    return sql_vtab_error(vtab, "rec_model", table->definition.name, status, &err);
}
