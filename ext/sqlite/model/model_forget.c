/* The command forget.
 *
 * Of a user there are: her events, in the shop's own table; what was shown to her and what
 * followed; and, in versions of an algorithm that keeps users' rows (docs/decisions/0009), the row
 * that her events have made. All that may fail is done first: her row is looked for and the
 * versions are rewritten in memory; then rows are deleted, with secure_delete, so that no free page
 * has them. The audit says how much was erased, and not whose. */
#include "model_forget.h"

#include <math.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/memory.h"
#include "../../base/text.h"
#include "../../models/histories.h"
#include "../host/cache.h"
#include "../host/values.h"
#include "../life/forget.h"
#include "model_table.h"
#include "model_version.h"

enum { EVENTS_DELETE, EVENTS_KEEP };
enum { VERSIONS_REWRITE, VERSIONS_DROP, VERSIONS_KEEP };

typedef struct ForgetOptions {
    int64_t events, versions;
} ForgetOptions;

static const OptSpec forget_options[] = {
    {"events", OPT_CHOICE, offsetof(ForgetOptions, events), 0, 0, 0, "delete|keep",
        "her rows of the events table"},
    {"versions", OPT_CHOICE, offsetof(ForgetOptions, versions), 0, 0, 0, "rewrite|drop|keep",
        "those that keep a row of hers"},
    {0},
};

/* A version that keeps users' rows. */
typedef struct KeptVersion {
    sqlite3_int64 version;
    Model *model;  /* a copy without her; NULL: it is to be dropped, or kept as it is */
    int n_removed; /* rows */
} KeptVersion;

typedef struct Forgetting {
    ModelTable *table;
    ForgetOptions options;
    Key user;
    char buffer[KEY_BUFFER];
    sqlite3_value *value; /* of the user, for statements; owned */
    KeptVersion *kept;
    int n_kept;
    int has_table; /* events is a table, whose rows can be deleted */
    sqlite3_int64 events, rows;
} Forgetting;

/* ---- the argument ---- */

static Status take_user(Forgetting *forgetting, Key key) {
    forgetting->user = value_convert_key(
        key, forgetting->table->definition.user_affinity, forgetting->buffer);
    return ST_OK;
}

/* {"user":, ...}: all but the user are options. */
static Status read_object(
    Forgetting *forgetting, const CommandCall *call, json_t **root, Err *err) {
    OptTarget target = {forget_options, &forgetting->options};
    TRY(command_object(call, NULL, root, err));
    json_t *user = json_object_get(*root, "user"), *rest = json_copy(*root);
    if (!rest) return fail_nomem(err, "the options");
    json_object_del(rest, "user");
    char *options = json_dumps(rest, JSON_COMPACT);
    json_decref(rest);
    if (!options) return fail_nomem(err, "the options");
    Status status = options_set_json(&target, 1, options, err);
    free(options);
    TRY(status);
    if (json_is_integer(user))
        return take_user(forgetting, (Key){.integer = json_integer_value(user)});
    if (json_is_string(user))
        return take_user(
            forgetting, (Key){.text = json_string_value(user), .len = json_string_length(user)});
    return fail(err, ST_BADARG, "forget: user must be an integer or a text");
}

/* A number, an object, or any other text, which is her key. root: owns the texts. */
static Status read_arg(Forgetting *forgetting, const CommandCall *call, json_t **root, Err *err) {
    const char *text = value_text(call->arg);
    options_default(forget_options, &forgetting->options);
    *root = NULL;
    if (!text) return fail(err, ST_BADARG, "forget: arg is a user, or an object with \"user\"");
    while (ascii_is_space(*text)) text++;
    if (*text == '{') return read_object(forgetting, call, root, err);
    Key key;
    if (!value_key(call->arg, AFFINITY_NONE, forgetting->buffer, &key))
        return value_no_key("user", call->arg, err);
    return take_user(forgetting, key);
}

/* Is the events table one whose rows can be deleted? */
static Status look_at_events(Forgetting *forgetting, Err *err) {
    const ModelDefinition *definition = &forgetting->table->definition;
    sqlite3_int64 found;
    TRY(sql_integer(definition->id.db, 0, &found, err,
        "SELECT 1 FROM \"%w\".sqlite_schema WHERE name=%Q COLLATE NOCASE AND type='table' AND "
        "rootpage>0",
        definition->id.schema, definition->events));
    forgetting->has_table = (int)found;
    if (forgetting->options.events == EVENTS_DELETE && !found)
        return fail(err, ST_BADARG,
            "forget: %s is no ordinary table: delete her rows where they are, and give "
            "{\"events\": \"keep\"}",
            definition->events);
    return ST_OK;
}

/* ---- versions that keep rows ---- */

/* The rules of her history as the version was trained on it. */
static HistoryRules rules_of(const ModelDefinition *definition, const Model *model) {
    HistoryRules rules = history_rules(model);
    if (!model->has_until && definition->time) {
        rules.has_until = 1;
        rules.until = nextafter(model->newest, INFINITY);
    }
    return rules;
}

/* Her rows out of the model; *n_rows: how many histories she had, removed of which are gone. */
static Status remove_rows(
    Forgetting *forgetting, Model *model, int *n_rows, int *removed, Err *err) {
    ModelTable *table = forgetting->table;
    HistoryRules rules = rules_of(&table->definition, model);
    EventList all = {0}, one = {0};
    OwnedHistory history = {0};
    Status status = events_read_user_list(
        &table->reader, model, &rules, forgetting->value, &all, err);
    *n_rows = *removed = 0;
    while (status == ST_OK && all.n) {
        int gone = 0;
        status = event_list_take_session(&all, &one, err);
        if (status == ST_OK) status = history_of_events(&one, &rules, &history, err);
        if (status != ST_OK || !history.history.n) continue;
        ++*n_rows;
        status = model->algorithm->forget(model, &history.history, &gone, err);
        *removed += gone;
    }
    event_list_clear(&all);
    event_list_clear(&one);
    owned_history_clear(&history);
    return status;
}

static Status rewrite_in_memory(
    Forgetting *forgetting, const Model *model, KeptVersion *kept, Err *err) {
    int n_rows;
    TRY(model_copy(model, &kept->model, err));
    TRY(remove_rows(forgetting, kept->model, &n_rows, &kept->n_removed, err));
    if (kept->n_removed == n_rows) return ST_OK;
    return fail(err, ST_BADARG,
        "forget: version %lld (%s) keeps users' rows, and hers cannot be told among them: train "
        "again and give {\"versions\": \"drop\"}, or \"keep\"",
        kept->version, model->algorithm->name);
}

static int keeps_rows(const Model *model) {
    return model->algorithm->keeps_rows && model->algorithm->keeps_rows(model);
}

/* May it be dropped? Asked before anything is erased. */
static Status may_drop(const Versioned *versioned, sqlite3_int64 version, Err *err) {
    sqlite3_int64 active;
    Live live;
    TRY(store_active(versioned, &active, err));
    TRY(live_read(versioned, &live, err));
    return active != version && !live_uses(&live, version)
        ? ST_OK
        : fail(err, ST_BADARG,
              "forget: version %lld keeps users' rows and is active, has an alias, or is an arm: "
              "it cannot be dropped",
              version);
}

static Status add_kept(Forgetting *forgetting, sqlite3_int64 version, Err *err) {
    ModelTable *table = forgetting->table;
    Model *model = NULL;
    Status status = model_of_version(&table->definition, version, &model, err);
    /* what does not load may keep rows: who drops or keeps them need not know */
    int is_lost = status == ST_CORRUPT && forgetting->options.versions != VERSIONS_REWRITE;
    if (is_lost) status = ST_OK;
    if (status == ST_OK && (is_lost || keeps_rows(model))) {
        KeptVersion *grown = mem_resize(
            forgetting->kept, (size_t)forgetting->n_kept + 1, sizeof *grown);
        if (!grown) status = fail_nomem(err, "the versions");
        else {
            forgetting->kept = grown;
            KeptVersion *kept = &grown[forgetting->n_kept++];
            *kept = (KeptVersion){.version = version};
            if (forgetting->options.versions == VERSIONS_REWRITE)
                status = rewrite_in_memory(forgetting, model, kept, err);
            else if (forgetting->options.versions == VERSIONS_DROP)
                status = may_drop(&table->definition.id, version, err);
        }
    }
    cache_release(model);
    return status;
}

/* All versions; those that are rewritten are held in memory until they are written. */
static Status look_at_versions(Forgetting *forgetting, Err *err) {
    const Versioned *versioned = &forgetting->table->definition.id;
    sqlite3_stmt *rows;
    forgetting->kept = mem_array(0, sizeof *forgetting->kept);
    if (!forgetting->kept) return fail_nomem(err, "the versions");
    TRY(sql_prepare(versioned->db, &rows, err,
        "SELECT version FROM \"%w\".\"%w_versions\" ORDER BY version", versioned->schema,
        versioned->name));
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err))
        status = add_kept(forgetting, sqlite3_column_int64(rows, 0), err);
    sqlite3_finalize(rows);
    return status;
}

/* ---- erasing ---- */

static Status delete_events(Forgetting *forgetting, Err *err) {
    const ModelDefinition *definition = &forgetting->table->definition;
    sqlite3_stmt *statement;
    if (forgetting->options.events == EVENTS_KEEP) return ST_OK;
    TRY(sql_prepare(definition->id.db, &statement, err,
        "DELETE FROM \"%w\".\"%w\" WHERE \"%w\"=?1 AND \"%w\"=?1 COLLATE BINARY",
        definition->id.schema, definition->events, definition->user, definition->user));
    value_bind_key(statement, 1, forgetting->user);
    TRY(sql_finish(definition->id.db, statement, err));
    forgetting->events = sqlite3_changes64(definition->id.db);
    return ST_OK;
}

static Status write_version(Forgetting *forgetting, KeptVersion *kept, Bytes *detail, Err *err) {
    const Versioned *versioned = &forgetting->table->definition.id;
    const char *what = "kept";
    if (forgetting->options.versions == VERSIONS_DROP) {
        TRY(store_drop(versioned, kept->version, err));
        what = "dropped";
    } else if (kept->model && kept->n_removed) {
        TRY(store_rewrite(versioned, kept->version, kept->model, err));
        what = "rewritten";
    } else if (kept->model) {
        what = "has none";
    }
    bytes_format(detail, "%s\"%lld\":\"%s\"", detail->data[detail->len - 1] == '{' ? "" : ",",
        (long long)kept->version, what);
    return ST_OK;
}

static Status erase(Forgetting *forgetting, Bytes *detail, Err *err) {
    const Versioned *versioned = &forgetting->table->definition.id;
    TRY(delete_events(forgetting, err));
    TRY(log_forget(versioned, forgetting->user, &forgetting->rows, err));
    bytes_format(detail, "{\"events\":%lld,\"rows\":%lld,\"versions\":{",
        (long long)forgetting->events, (long long)forgetting->rows);
    if (detail->failed) return fail_nomem(err, "the audit");
    for (int i = 0; i < forgetting->n_kept; i++)
        TRY(write_version(forgetting, &forgetting->kept[i], detail, err));
    bytes_append(detail, "}}", 2);
    return ST_OK;
}

/* Freed pages are overwritten while it is on. */
static Status erase_securely(Forgetting *forgetting, Bytes *detail, Err *err) {
    const Versioned *versioned = &forgetting->table->definition.id;
    sqlite3_int64 before;
    TRY(sql_integer(
        versioned->db, 0, &before, err, "PRAGMA \"%w\".secure_delete", versioned->schema));
    TRY(sql_execute(versioned->db, err, "PRAGMA \"%w\".secure_delete=ON", versioned->schema));
    Status status = erase(forgetting, detail, err);
    const char *again = before == 1 ? "ON" : before == 2 ? "FAST" : "OFF";
    sql_execute(versioned->db, NULL, "PRAGMA \"%w\".secure_delete=%s", versioned->schema, again);
    return status;
}

static Status forget(Forgetting *forgetting, const CommandCall *call, Err *err) {
    json_t *root;
    sqlite3_stmt *row = NULL;
    int has_row;
    Status status = read_arg(forgetting, call, &root, err);
    if (status == ST_OK) status = look_at_events(forgetting, err);
    if (status == ST_OK)
        status = sql_prepare(forgetting->table->definition.id.db, &row, err, "SELECT ?1");
    if (status == ST_OK) {
        value_bind_key(row, 1, forgetting->user);
        status = sql_step(forgetting->table->definition.id.db, row, &has_row, err);
        forgetting->value = sqlite3_value_dup(sqlite3_column_value(row, 0));
        if (status == ST_OK && !forgetting->value) status = fail_nomem(err, "the user");
    }
    sqlite3_finalize(row);
    if (status == ST_OK) status = look_at_versions(forgetting, err);
    if (status == ST_OK)
        status = erase_securely(forgetting, &forgetting->table->versions.detail, err);
    json_decref(root);
    return status;
}

Status command_forget(const CommandCall *call, Err *err) {
    Forgetting forgetting = {.table = call->table};
    Status status = forget(&forgetting, call, err);
    for (int i = 0; i < forgetting.n_kept; i++) model_free(forgetting.kept[i].model);
    mem_free(forgetting.kept);
    sqlite3_value_free(forgetting.value);
    return status;
}
