#include "version_commands.h"

#include <string.h>

#include "../../base/json.h"
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

static const Versioned *versioned_of(const CommandCall *call) {
    return ((const VersionedTable *)call->table)->id;
}

/* arg: a version's number, {"version":n}, or the name of an alias. */
static Status version_argument(const CommandCall *call, sqlite3_int64 *out, Err *err) {
    VersionOption option = {0};
    OptTarget target = {version_options, &option};
    Live live;
    TRY(live_read(versioned_of(call), &live, err));
    if (sqlite3_value_numeric_type(call->arg) == SQLITE_INTEGER) { /* also '1' */
        option.version = sqlite3_value_int64(call->arg);
    } else if (sqlite3_value_type(call->arg) == SQLITE_TEXT) {
        option.version = live_alias(&live, value_text(call->arg));
        if (!option.version) TRY(options_set_json(&target, 1, value_text(call->arg), err));
    }
    if (option.version < 1)
        return fail(
            err, ST_BADARG, "arg must be a version's number, {\"version\": n}, or an alias");
    *out = option.version;
    return ST_OK;
}

/* An error of the bytes is one of the argument, not of the database. */
Status command_load(const CommandCall *call, Err *err) {
    LoadOptions load;
    OptTarget target = {load_options, &load};
    options_default(load_options, &load);
    double at;
    TRY(audit_note_read(&((VersionedTable *)call->table)->note, call->options, &target, err));
    TRY(audit_time(versioned_of(call), &((VersionedTable *)call->table)->note, &at, err));
    if (sqlite3_value_type(call->arg) != SQLITE_BLOB)
        return fail(err, ST_BADARG, "load: arg must be the BLOB that rec_train gave");
    if (load.activate == 0) TRY(live_may_activate(versioned_of(call), err));
    const void *data = sqlite3_value_blob(call->arg);
    PutWish wish = {.activate = load.activate == 0, .keep = load.keep};
    return store_put_bytes(versioned_of(call), data, (size_t)sqlite3_value_bytes(call->arg), &wish,
        load.action ? "tune" : "load", call->rowid, err);
}

Status command_activate(const CommandCall *call, Err *err) {
    sqlite3_int64 version;
    TRY(version_argument(call, &version, err));
    TRY(live_may_activate(versioned_of(call), err));
    return store_activate(versioned_of(call), version, "activate", err);
}

/* What was done last is taken back: an experiment that runs, else the last activation. */
Status command_rollback(const CommandCall *call, Err *err) {
    Live live;
    TRY(live_read(versioned_of(call), &live, err));
    if (!*live.experiment.name) return store_rollback(versioned_of(call), err);
    Bytes *detail = &((VersionedTable *)call->table)->detail;
    bytes_format(detail, "{\"stopped\":");
    experiment_json(&live.experiment, detail);
    bytes_append(detail, "}", 1);
    live.experiment = (Experiment){0};
    return live_write(versioned_of(call), &live, err);
}

Status command_drop_version(const CommandCall *call, Err *err) {
    sqlite3_int64 version;
    TRY(version_argument(call, &version, err));
    return store_drop(versioned_of(call), version, err);
}

Status command_check_versions(const CommandCall *call, Err *err) {
    return store_check(versioned_of(call), err);
}

/* ---- the audit around commands ---- */

void versioned_table_clear(VersionedTable *table) {
    sqlite3_free(table->base.zErrMsg);
    bytes_clear(&table->detail);
}

/* Options and time are checked before anything is computed. load reads its own. */
static Status begin(const CommandCall *call, Err *err) {
    VersionedTable *table = call->table;
    double at;
    bytes_clear(&table->detail);
    table->detail = (Bytes){0};
    if (!(call->reads & READS_OPTIONS))
        TRY(audit_note_read(&table->note, call->options, NULL, err));
    else TRY(audit_note_read(&table->note, NULL, NULL, err));
    TRY(audit_time(table->id, &table->note, &at, err));
    TRY(audit_may_append(table->id, err));
    if (!table->fall_back.wanted) return ST_OK;
    char detail[100];
    AuditNote none = {.at = at};
    sqlite3_snprintf(sizeof detail, detail, "{\"wanted\":%lld,\"answered\":%lld}",
        table->fall_back.wanted, table->fall_back.answered);
    TRY(audit_append(table->id, "fall-back", detail, &none, err));
    table->fall_back = (FallBack){0};
    return ST_OK;
}

/* The argument as JSON: a number, an object as it is, any other text in quotes. */
static void append_argument(sqlite3_value *arg, Bytes *out) {
    json_error_t json_error;
    const char *text = value_text(arg);
    json_t *root = NULL;
    switch (sqlite3_value_type(arg)) {
    case SQLITE_INTEGER: bytes_format(out, "%lld", sqlite3_value_int64(arg)); break;
    case SQLITE_FLOAT: bytes_format(out, "%.17g", sqlite3_value_double(arg)); break;
    case SQLITE_TEXT:
        root = json_loads(text, JSON_DECODE_ANY, &json_error);
        if (root) bytes_append(out, text, strlen(text));
        else bytes_json_string(out, text, strlen(text));
        json_decref(root);
        break;
    default: bytes_append(out, "null", 4);
    }
}

/* {"version":5,"sha256":"...","arg":...} of what made a version, else {"arg":...}. */
static Status describe(const CommandCall *call, Bytes *out, Err *err) {
    VersionName name;
    if (out->len) return ST_OK;
    bytes_append(out, "{", 1);
    if (*call->rowid) {
        TRY(store_lookup(versioned_of(call), NULL, *call->rowid, &name, NULL, err));
        bytes_format(out, "\"version\":%lld,\"sha256\":\"%s\",", name.version, name.sha256);
    }
    bytes_append(out, "\"arg\":", 6);
    append_argument(call->arg, out);
    bytes_append(out, "}", 1);
    return ST_OK;
}

static Status end(const CommandCall *call, Err *err) {
    VersionedTable *table = call->table;
    Status status = describe(call, &table->detail, err);
    if (status == ST_OK) status = audit_time(table->id, &table->note, &table->note.at, err);
    if (status == ST_OK && *call->rowid) /* it has made a version */
        status = store_origin(table->id, *call->rowid, table->note.at, table->note.author, err);
    bytes_append(&table->detail, "", 1);
    if (status == ST_OK && table->detail.failed) status = fail_nomem(err, "the audit");
    if (status == ST_OK)
        status = audit_append(
            table->id, call->name, (const char *)table->detail.data, &table->note, err);
    bytes_clear(&table->detail);
    table->detail = (Bytes){0};
    return status;
}

const CommandHooks version_hooks = {begin, end};
