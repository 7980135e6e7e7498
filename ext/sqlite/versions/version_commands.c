#include "version_commands.h"

#include "../../base/options.h"
#include "../host/values.h"
#include "version_store.h"

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

static const Versioned *versioned_of(const CommandCall *call) {
    return ((const VersionedTable *)call->table)->id;
}

/* An error of the bytes is one of the argument, not of the database. */
Status command_load(const CommandCall *call, Err *err) {
    LoadOptions load;
    OptTarget target = {load_options, &load};
    options_default(load_options, &load);
    if (sqlite3_value_type(call->options) != SQLITE_NULL)
        TRY(options_set_json(&target, 1, value_text(call->options), err));
    if (sqlite3_value_type(call->arg) != SQLITE_BLOB)
        return fail(err, ST_BADARG, "load: arg must be the BLOB that rec_train gave");
    const void *data = sqlite3_value_blob(call->arg);
    PutWish wish = {load.activate == 0, load.keep};
    return store_put_bytes(versioned_of(call), data, (size_t)sqlite3_value_bytes(call->arg), &wish,
        load.action ? "tune" : "load", call->rowid, err);
}

Status command_activate(const CommandCall *call, Err *err) {
    sqlite3_int64 version;
    TRY(version_argument(call->arg, &version, err));
    return store_activate(versioned_of(call), version, err);
}

Status command_rollback(const CommandCall *call, Err *err) {
    return store_rollback(versioned_of(call), err);
}

Status command_drop_version(const CommandCall *call, Err *err) {
    sqlite3_int64 version;
    TRY(version_argument(call->arg, &version, err));
    return store_drop(versioned_of(call), version, err);
}

Status command_check_versions(const CommandCall *call, Err *err) {
    return store_check(versioned_of(call), err);
}
