#include "shown_log.h"

#include <math.h>
#include <string.h>

#include "../../base/date.h"
#include "../../base/json.h"
#include "../versions/version_find.h"
#include "../versions/version_store.h"

static VersionedTable *table_of(const CommandCall *call) { return call->table; }
static const Versioned *versioned_of(const CommandCall *call) { return table_of(call)->id; }

Status log_ensure(const Versioned *versioned, Err *err) {
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    TRY(shadow_ensure(&version_shadow, &owner, "lists", err));
    TRY(shadow_ensure(&version_shadow, &owner, "shown", err));
    return shadow_ensure(&version_shadow, &owner, "outcomes", err);
}

/* ---- JSON into rows ---- */

static int json_key(json_t *value, Affinity affinity, char *buffer, Key *out) {
    if (json_is_integer(value)) *out = (Key){.integer = json_integer_value(value)};
    else if (json_is_string(value))
        *out = (Key){.text = json_string_value(value), .len = json_string_length(value)};
    else return 0;
    *out = value_convert_key(*out, affinity, buffer);
    return 1;
}

static Status take_key(const CommandCall *call, json_t *object, const char *name, Affinity affinity,
    char *buffer, Key *out, Err *err) {
    return json_key(json_object_get(object, name), affinity, buffer, out)
        ? ST_OK
        : fail(err, ST_BADARG, "%s: %s must be an integer or a text", call->name, name);
}

/* Unix seconds or a date; the clock's where it is not given. */
static Status take_at(const CommandCall *call, json_t *object, double *out, Err *err) {
    json_t *value = json_object_get(object, "at");
    const char *text = json_text(value);
    if (!value || json_is_null(value)) *out = live_clock();
    else if (json_is_number(value)) *out = json_number_value(value);
    else if (!text || !date_parse(text, strlen(text), out)) *out = NAN;
    return isfinite(*out) && date_is_possible(*out)
        ? ST_OK
        : fail(err, ST_BADARG, "%s: at is unix seconds or a date", call->name);
}

static const char *text_or_null(json_t *object, const char *name) {
    return json_text(json_object_get(object, name));
}

static Status check_text(const CommandCall *call, json_t *object, const char *name, Err *err) {
    json_t *value = json_object_get(object, name);
    return !value || json_is_null(value) || json_text(value)
        ? ST_OK
        : fail(err, ST_BADARG, "%s: %s must be a text", call->name, name);
}

/* ---- shown ---- */

/* A row of m_lists on its way. */
typedef struct ShownList {
    Key list, user;
    int has_user;
    double at;
    const char *scenario, *arm, *experiment;
    sqlite3_int64 version;
    char buffer[2 * KEY_BUFFER];
    Live live;
} ShownList;

/* What served, where the caller does not say: by the user's arm now, else the active version. */
static Status take_version(const CommandCall *call, json_t *object, ShownList *out, Err *err) {
    const Experiment *experiment = &out->live.experiment;
    json_t *version = json_object_get(object, "version"), *arm = json_object_get(object, "arm");
    int place = -1;
    TRY(live_read(versioned_of(call), &out->live, err));
    TRY(check_text(call, object, "arm", err));
    if (arm) {
        out->arm = json_text(arm);
        place = out->arm ? experiment_find_arm(experiment, out->arm) : -1;
    } else if (experiment->n && out->has_user) {
        if (!experiment_arm(experiment, out->user, out->at, &place))
            return fail_nomem(err, "the arm");
        if (place >= 0) out->arm = experiment->arm[place].name;
    }
    if (out->arm) out->experiment = text_or_null(object, "experiment");
    if (out->arm && !out->experiment && *experiment->name) out->experiment = experiment->name;
    if (version && !json_is_null(version) && !json_is_integer(version))
        return fail(err, ST_BADARG, "shown: version is an integer");
    if (json_is_integer(version)) out->version = json_integer_value(version);
    else if (place >= 0) out->version = experiment->version[place];
    else return store_active(versioned_of(call), &out->version, err);
    return ST_OK;
}

static Status take_list(
    const CommandCall *call, json_t *object, const KeyKinds *kinds, ShownList *out, Err *err) {
    json_t *user = json_object_get(object, "user");
    TRY(take_key(call, object, "list", AFFINITY_NONE, out->buffer, &out->list, err));
    out->has_user = user && !json_is_null(user);
    if (out->has_user)
        TRY(take_key(call, object, "user", kinds->user, out->buffer + KEY_BUFFER, &out->user, err));
    TRY(take_at(call, object, &out->at, err));
    TRY(check_text(call, object, "scenario", err));
    TRY(check_text(call, object, "experiment", err));
    out->scenario = text_or_null(object, "scenario");
    if (!json_is_array(json_object_get(object, "items")))
        return fail(err, ST_BADARG, "shown: items must be an array");
    return take_version(call, object, out, err);
}

static Status insert_list(
    const Versioned *versioned, const ShownList *list, sqlite3_int64 *id, Err *err) {
    sqlite3_stmt *insert;
    sqlite3_int64 known;
    TRY(sql_prepare(versioned->db, &insert, err,
        "INSERT OR IGNORE INTO \"%w\".\"%w_lists\"(list, user, at, scenario, experiment, arm, "
        "version) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        versioned->schema, versioned->name));
    value_bind_key(insert, 1, list->list);
    if (list->has_user) value_bind_key(insert, 2, list->user);
    sqlite3_bind_double(insert, 3, list->at);
    sqlite3_bind_text(insert, 4, list->scenario, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 5, list->experiment, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 6, list->arm, -1, SQLITE_STATIC);
    if (list->version) sqlite3_bind_int64(insert, 7, list->version);
    TRY(sql_finish(versioned->db, insert, err));
    known = sqlite3_changes64(versioned->db);
    *id = sqlite3_last_insert_rowid(versioned->db);
    return known ? ST_OK : fail(err, ST_BADARG, "shown: this list is in the log already");
}

/* One of the items: a key, or {"item":, "rank":, "team":, "version":, "propensity":}. */
typedef struct ShownItem {
    Key item;
    char buffer[KEY_BUFFER];
    sqlite3_int64 rank, version; /* version 0: the list's */
    const char *team;
    double propensity; /* NaN: unknown */
} ShownItem;

static Status check_members(json_t *item, sqlite3_int64 place, Err *err) {
    static const char *const allowed[] = {"item", "rank", "team", "version", "propensity"};
    const char *key;
    json_t *value;
    json_object_foreach(item, key, value) {
        size_t i = 0;
        while (i < 5 && strcmp(allowed[i], key) != 0) i++;
        if (i == 5) return fail(err, ST_BADARG, "shown: item %lld: unknown '%.60s'", place, key);
    }
    return ST_OK;
}

static Status take_item(const CommandCall *call, json_t *value, sqlite3_int64 place,
    const KeyKinds *kinds, ShownItem *out, Err *err) {
    json_t *item = json_is_object(value) ? json_object_get(value, "item") : value,
           *propensity = json_object_get(value, "propensity"),
           *rank = json_object_get(value, "rank"), *version = json_object_get(value, "version");
    *out = (ShownItem){.rank = place, .propensity = NAN};
    if (json_is_object(value)) TRY(check_members(value, place, err));
    if ((rank && !json_is_integer(rank)) ||
        (version && !json_is_null(version) && !json_is_integer(version)))
        return fail(err, ST_BADARG, "shown: item %lld: rank and version are integers", place);
    if (!json_key(item, kinds->item, out->buffer, &out->item))
        return fail(err, ST_BADARG, "shown: item %lld is no integer or text", place);
    if (json_is_integer(rank)) out->rank = json_integer_value(rank);
    if (json_is_integer(version)) out->version = json_integer_value(version);
    if (out->rank < 1) return fail(err, ST_BADARG, "shown: a rank is 1 or more");
    TRY(check_text(call, value, "team", err));
    out->team = text_or_null(value, "team");
    if (propensity && !json_is_null(propensity)) {
        out->propensity = json_is_number(propensity) ? json_number_value(propensity) : -1;
        if (!(out->propensity > 0 && out->propensity <= 1))
            return fail(err, ST_BADARG, "shown: a propensity is above 0 and at most 1");
    }
    return ST_OK;
}

static Status insert_item(
    sqlite3 *db, sqlite3_stmt *insert, sqlite3_int64 list, const ShownItem *item, Err *err) {
    int has_row;
    sqlite3_bind_int64(insert, 1, list);
    sqlite3_bind_int64(insert, 2, item->rank);
    value_bind_key(insert, 3, item->item);
    sqlite3_bind_text(insert, 4, item->team, -1, SQLITE_STATIC);
    if (item->version) sqlite3_bind_int64(insert, 5, item->version);
    else sqlite3_bind_null(insert, 5);
    if (isfinite(item->propensity)) sqlite3_bind_double(insert, 6, item->propensity);
    else sqlite3_bind_null(insert, 6);
    Status status = sql_step(db, insert, &has_row, err);
    if (status != ST_OK) err_prefix(err, "shown: rank %lld", item->rank);
    sqlite3_reset(insert);
    return status;
}

/* Inside BEGIN an INSERT ... VALUES takes nothing back by itself. */
static void take_back(const Versioned *versioned, sqlite3_int64 list) {
    sql_execute(versioned->db, NULL, "DELETE FROM \"%w\".\"%w_shown\" WHERE list=%lld",
        versioned->schema, versioned->name, list);
    sql_execute(versioned->db, NULL, "DELETE FROM \"%w\".\"%w_lists\" WHERE id=%lld",
        versioned->schema, versioned->name, list);
}

static Status insert_items(
    const CommandCall *call, json_t *items, const KeyKinds *kinds, sqlite3_int64 list, Err *err) {
    const Versioned *versioned = versioned_of(call);
    sqlite3_stmt *insert;
    size_t i;
    json_t *value;
    TRY(sql_prepare(versioned->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_shown\"(list, rank, item, team, version, propensity) VALUES(?1, "
        "?2, ?3, ?4, ?5, ?6)",
        versioned->schema, versioned->name));
    Status status = ST_OK;
    json_array_foreach(items, i, value) {
        ShownItem item;
        if (status == ST_OK)
            status = take_item(call, value, (sqlite3_int64)i + 1, kinds, &item, err);
        if (status == ST_OK) status = insert_item(versioned->db, insert, list, &item, err);
    }
    sqlite3_finalize(insert);
    return status;
}

Status command_shown(const CommandCall *call, Err *err) {
    static const char allowed[] = "list|user|at|scenario|experiment|arm|version|items";
    const Versioned *versioned = versioned_of(call);
    json_t *object;
    KeyKinds kinds;
    ShownList list = {0};
    sqlite3_int64 id = 0;
    TRY(version_key_kinds(versioned, &kinds, err));
    TRY(command_object(call, allowed, &object, err));
    Status status = take_list(call, object, &kinds, &list, err);
    if (status == ST_OK) status = log_ensure(versioned, err);
    if (status == ST_OK) status = insert_list(versioned, &list, &id, err);
    if (status == ST_OK) {
        status = insert_items(call, json_object_get(object, "items"), &kinds, id, err);
        if (status != ST_OK && status != ST_CANCELLED) take_back(versioned, id);
    }
    json_decref(object);
    if (status == ST_OK) *call->rowid = id;
    return status;
}

/* ---- outcome ---- */

/* The log's id of a list, and its user as a value that is sqlite3_value_free'd; NULL for none. */
static Status find_list(
    const Versioned *versioned, Key list, sqlite3_int64 *id, sqlite3_value **user, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT id, user FROM \"%w\".\"%w_lists\" WHERE list=?1", versioned->schema,
        versioned->name));
    value_bind_key(row, 1, list);
    Status status = sql_step(versioned->db, row, &has_row, err);
    if (status == ST_OK && !has_row)
        status = fail(err, ST_BADARG, "outcome: the log has no such list");
    if (status == ST_OK) {
        *id = sqlite3_column_int64(row, 0);
        *user = sqlite3_value_dup(sqlite3_column_value(row, 1));
        if (!*user) status = fail_nomem(err, "the user");
    }
    sqlite3_finalize(row);
    return status;
}

/* A row of m_outcomes on its way. */
typedef struct Outcome {
    sqlite3_int64 list;        /* 0: none is named */
    sqlite3_value *users_list; /* the user of that list, owned */
    Key user, item;
    int has_user, has_item;
    const char *kind;
    double value, at;
    char buffer[3 * KEY_BUFFER];
} Outcome;

static Status take_outcome(
    const CommandCall *call, json_t *object, const KeyKinds *kinds, Outcome *out, Err *err) {
    json_t *value = json_object_get(object, "value"), *item = json_object_get(object, "item"),
           *user = json_object_get(object, "user");
    Key list;
    out->has_user = user && !json_is_null(user);
    out->has_item = item && !json_is_null(item);
    TRY(take_at(call, object, &out->at, err));
    TRY(check_text(call, object, "kind", err));
    out->kind = text_or_null(object, "kind");
    TRY(live_check_name("outcome: kind", out->kind, err));
    out->value = !value || json_is_null(value) ? 1
        : json_is_number(value)                ? json_number_value(value)
                                               : NAN;
    if (!isfinite(out->value)) return fail(err, ST_BADARG, "outcome: value must be a number");
    if (out->has_user)
        TRY(take_key(call, object, "user", kinds->user, out->buffer, &out->user, err));
    if (out->has_item)
        TRY(take_key(call, object, "item", kinds->item, out->buffer + KEY_BUFFER, &out->item, err));
    if (!json_object_get(object, "list"))
        return out->has_user ? ST_OK : fail(err, ST_BADARG, "outcome: give a list or a user");
    TRY(take_key(call, object, "list", AFFINITY_NONE, out->buffer + 2 * KEY_BUFFER, &list, err));
    return find_list(versioned_of(call), list, &out->list, &out->users_list, err);
}

static Status insert_outcome(const CommandCall *call, const Outcome *outcome, Err *err) {
    const Versioned *versioned = versioned_of(call);
    sqlite3_stmt *insert;
    TRY(sql_prepare(versioned->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_outcomes\"(at, list, user, item, kind, value) VALUES(?1, ?2, ?3, "
        "?4, ?5, ?6)",
        versioned->schema, versioned->name));
    sqlite3_bind_double(insert, 1, outcome->at);
    if (outcome->list) sqlite3_bind_int64(insert, 2, outcome->list);
    if (outcome->has_user) value_bind_key(insert, 3, outcome->user);
    else if (outcome->users_list) sqlite3_bind_value(insert, 3, outcome->users_list);
    if (outcome->has_item) value_bind_key(insert, 4, outcome->item);
    sqlite3_bind_text(insert, 5, outcome->kind, -1, SQLITE_STATIC);
    sqlite3_bind_double(insert, 6, outcome->value);
    TRY(sql_finish(versioned->db, insert, err));
    *call->rowid = sqlite3_last_insert_rowid(versioned->db);
    return ST_OK;
}

Status command_outcome(const CommandCall *call, Err *err) {
    static const char allowed[] = "list|user|item|kind|value|at";
    json_t *object;
    KeyKinds kinds;
    Outcome outcome = {0};
    TRY(version_key_kinds(versioned_of(call), &kinds, err));
    TRY(command_object(call, allowed, &object, err));
    Status status = log_ensure(versioned_of(call), err);
    if (status == ST_OK) status = take_outcome(call, object, &kinds, &outcome, err);
    if (status == ST_OK) status = insert_outcome(call, &outcome, err);
    sqlite3_value_free(outcome.users_list);
    json_decref(object);
    return status;
}

/* ---- merge-user ---- */

static Status move_rows(const Versioned *versioned, const char *suffix, Key from, Key to,
    sqlite3_int64 *moved, Err *err) {
    sqlite3_stmt *update;
    TRY(sql_prepare(versioned->db, &update, err,
        "UPDATE \"%w\".\"%w_%s\" SET user=?2 WHERE user=?1", versioned->schema, versioned->name,
        suffix));
    value_bind_key(update, 1, from);
    value_bind_key(update, 2, to);
    TRY(sql_finish(versioned->db, update, err));
    *moved += sqlite3_changes64(versioned->db);
    return ST_OK;
}

/* The audit says how much was moved, and not whose: it outlives a forgotten user. */
Status command_merge_user(const CommandCall *call, Err *err) {
    static const char allowed[] = "from|to";
    const Versioned *versioned = versioned_of(call);
    json_t *object;
    KeyKinds kinds;
    Key from, to;
    char buffer[2 * KEY_BUFFER];
    sqlite3_int64 moved = 0;
    TRY(version_key_kinds(versioned, &kinds, err));
    TRY(command_object(call, allowed, &object, err));
    Status status = take_key(call, object, "from", kinds.user, buffer, &from, err);
    if (status == ST_OK)
        status = take_key(call, object, "to", kinds.user, buffer + KEY_BUFFER, &to, err);
    if (status == ST_OK) status = log_ensure(versioned, err);
    if (status == ST_OK) status = move_rows(versioned, "lists", from, to, &moved, err);
    if (status == ST_OK) status = move_rows(versioned, "outcomes", from, to, &moved, err);
    json_decref(object);
    bytes_format(&table_of(call)->detail, "{\"rows\":%lld}", moved);
    return status;
}
