/* Aliases, notes, and experiments: who is answered by which version. Each command reads and checks
 * everything, loads the versions that it names, and then writes one row. */
#include <math.h>
#include <string.h>

#include "../../base/date.h"
#include "../../base/json.h"
#include "../host/values.h"
#include "version_commands.h"
#include "version_store.h"

static VersionedTable *table_of(const CommandCall *call) { return call->table; }
static const Versioned *versioned_of(const CommandCall *call) { return table_of(call)->id; }

Status version_take(
    const CommandCall *call, const Live *live, json_t *value, sqlite3_int64 *out, Err *err) {
    const char *name = json_text(value);
    *out = json_is_integer(value) ? json_integer_value(value) : name ? live_alias(live, name) : 0;
    if (*out < 1)
        return name ? fail(err, ST_BADARG, "there is no alias '%.60s'", name)
                    : fail(err, ST_BADARG, "%s: a version is a number or an alias", call->name);
    return store_read_back(versioned_of(call), *out, err);
}

/* ---- aliases ---- */

static void remove_alias(Live *live, const char *name) {
    for (int i = 0; i < live->n_aliases; i++)
        if (strcmp(live->alias[i].name, name) == 0) {
            live->alias[i] = live->alias[--live->n_aliases];
            return;
        }
}

static Status set_alias(
    const CommandCall *call, Live *live, const char *name, json_t *value, Err *err) {
    sqlite3_int64 version;
    TRY(live_check_name("alias", name, err));
    if (strcmp(name, "active") == 0)
        return fail(err, ST_BADARG, "'active' is what activate sets, and no alias");
    if (json_is_null(value)) {
        if (!live_alias(live, name)) return fail(err, ST_BADARG, "there is no alias '%s'", name);
        remove_alias(live, name);
        return ST_OK;
    }
    TRY(version_take(call, live, value, &version, err));
    remove_alias(live, name);
    if (live->n_aliases == LIVE_MAX_ALIASES)
        return fail(err, ST_BADARG, "more than %d aliases", LIVE_MAX_ALIASES);
    Alias *alias = &live->alias[live->n_aliases++];
    *alias = (Alias){.version = version};
    memcpy(alias->name, name, strlen(name) + 1);
    return ST_OK;
}

static Status set_aliases(const CommandCall *call, json_t *object, Live *live, Err *err) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) TRY(set_alias(call, live, name, value, err));
    return ST_OK;
}

Status command_alias(const CommandCall *call, Err *err) {
    Live live;
    json_t *object;
    TRY(live_read(versioned_of(call), &live, err));
    TRY(command_object(call, NULL, &object, err));
    Status status = set_aliases(call, object, &live, err);
    json_decref(object);
    return status == ST_OK ? live_write(versioned_of(call), &live, err) : status;
}

/* ---- tags and notes ---- */

/* value: NULL deletes. */
static Status put_fact(const Versioned *versioned, sqlite3_int64 version, const char *prefix,
    const char *key, json_t *value, Err *err) {
    sqlite3_stmt *statement;
    char *name = sqlite3_mprintf("%s%s", prefix, key);
    if (!name) return fail_nomem(err, "a tag");
    Status status = sql_prepare(versioned->db, &statement, err,
        json_is_null(value) ? "DELETE FROM \"%w\".\"%w_facts\" WHERE version=?1 AND key=?2"
                            : "REPLACE INTO \"%w\".\"%w_facts\" VALUES(?1, ?2, ?3)",
        versioned->schema, versioned->name);
    if (status == ST_OK) {
        sqlite3_bind_int64(statement, 1, version);
        sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
        if (json_is_integer(value)) sqlite3_bind_int64(statement, 3, json_integer_value(value));
        else if (json_is_real(value)) sqlite3_bind_double(statement, 3, json_real_value(value));
        else if (json_is_string(value))
            sqlite3_bind_text(statement, 3, json_text(value), -1, SQLITE_STATIC);
        status = sql_finish(versioned->db, statement, err);
    }
    sqlite3_free(name);
    return status;
}

static int is_plain(json_t *value) {
    return json_is_null(value) || json_is_number(value) || json_is_string(value);
}

Status version_check_facts(const CommandCall *call, json_t *tags, json_t *note, Err *err) {
    const char *key;
    json_t *value;
    if ((tags && !json_is_object(tags)) || (note && !json_is_string(note) && !json_is_null(note)))
        return fail(err, ST_BADARG, "%s: tags is an object, note a text", call->name);
    json_object_foreach(tags, key, value) {
        TRY(live_check_name("tag", key, err));
        if (!is_plain(value))
            return fail(err, ST_BADARG, "tag '%s': a text, a number, or null to delete", key);
    }
    return ST_OK;
}

Status version_annotate(
    const CommandCall *call, sqlite3_int64 version, json_t *tags, json_t *note, Err *err) {
    const Versioned *versioned = versioned_of(call);
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    json_t *value;
    const char *key;
    TRY(version_check_facts(call, tags, note, err));
    TRY(shadow_ensure(&version_shadow, &owner, "facts", err));
    json_object_foreach(tags, key, value)
        TRY(put_fact(versioned, version, "tag:", key, value, err));
    return note ? put_fact(versioned, version, "note", "", note, err) : ST_OK;
}

static Status annotate(const CommandCall *call, json_t *object, Err *err) {
    Live live;
    sqlite3_int64 version;
    TRY(live_read(versioned_of(call), &live, err));
    TRY(version_take(call, &live, json_object_get(object, "version"), &version, err));
    return version_annotate(
        call, version, json_object_get(object, "tags"), json_object_get(object, "note"), err);
}

Status command_annotate(const CommandCall *call, Err *err) {
    json_t *object;
    TRY(command_object(call, "version|tags|note", &object, err));
    Status status = annotate(call, object, err);
    json_decref(object);
    return status;
}

/* ---- experiments ---- */

static Status take_text(
    json_t *object, const char *key, const char *otherwise, char out[ROUTE_NAME], Err *err) {
    json_t *value = json_object_get(object, key);
    const char *text = value ? json_text(value) : otherwise;
    TRY(live_check_name(key, text, err));
    memcpy(out, text, strlen(text) + 1);
    return ST_OK;
}

/* A number of unix seconds, or a date; absent: NaN. */
static Status take_time(json_t *object, const char *key, double *out, Err *err) {
    json_t *value = json_object_get(object, key);
    const char *text = json_text(value);
    *out = json_is_number(value) ? json_number_value(value) : NAN;
    if (!value || json_is_null(value) || isfinite(*out)) return ST_OK;
    return text && date_parse(text, strlen(text), out)
        ? ST_OK
        : fail(err, ST_BADARG, "%s: unix seconds or a date", key);
}

/* As shares of ROUTE_WHOLE, which they may not pass; what they leave is in no arm. */
static Status take_shares(json_t *shares, Experiment *out, Err *err) {
    size_t i;
    json_t *share;
    int64_t whole = 0;
    if (json_array_size(shares) != (size_t)out->n)
        return fail(err, ST_BADARG, "shares: an array with a number for each of %d arms", out->n);
    json_array_foreach(shares, i, share) {
        double value = json_is_number(share) ? json_number_value(share) : NAN;
        if (!(value >= 0 && value <= 1))
            return fail(err, ST_BADARG, "shares: each is a number from 0 to 1");
        whole += out->arm[i].share = llround(value * ROUTE_WHOLE);
    }
    /* .7 + .2 + .1 is not 1 in binary */
    if (whole > ROUTE_WHOLE + out->n)
        return fail(err, ST_BADARG, "shares: together they are more than 1");
    if (whole > ROUTE_WHOLE) out->arm[experiment_largest(out)].share -= whole - ROUTE_WHOLE;
    return ST_OK;
}

static Status take_arms(
    const CommandCall *call, const Live *live, json_t *object, Experiment *out, Err *err) {
    json_t *arms = json_object_get(object, "arms"), *value;
    const char *name;
    if (json_object_size(arms) < 2 || json_object_size(arms) > ROUTE_MAX_ARMS)
        return fail(err, ST_BADARG, "arms: an object of 2 to %d arms, each with its version",
            ROUTE_MAX_ARMS);
    json_object_foreach(arms, name, value) {
        TRY(live_check_name("arm", name, err));
        TRY(version_take(call, live, value, &out->version[out->n], err));
        memcpy(out->arm[out->n++].name, name, strlen(name) + 1);
    }
    json_t *shares = json_object_get(object, "shares");
    if (shares) return take_shares(shares, out, err);
    for (int i = 0; i < out->n; i++) out->arm[i].share = ROUTE_WHOLE / out->n;
    return ST_OK;
}

static Status take_guards(json_t *object, Experiment *out, Err *err) {
    json_t *guards = json_object_get(object, "guards"), *guard;
    size_t i;
    memcpy(out->guards, "[]", 3);
    if (!guards) return ST_OK;
    int good = json_is_array(guards);
    json_array_foreach(guards, i, guard) good &= json_is_string(guard);
    char *text = good ? json_dumps(guards, JSON_COMPACT) : NULL;
    good = text && strlen(text) < sizeof out->guards;
    if (good) memcpy(out->guards, text, strlen(text) + 1);
    free(text);
    return good ? ST_OK : fail(err, ST_BADARG, "guards: an array of names of metrics");
}

/* What is said of an experiment beside its arms. */
static Status take_terms(
    const CommandCall *call, json_t *object, const char *name, Experiment *out, Err *err) {
    TRY(take_text(object, "name", name, out->name, err));
    TRY(take_text(object, "salt", out->name, out->salt, err));
    TRY(take_text(object, "metric", "conversion", out->metric, err));
    TRY(take_guards(object, out, err));
    TRY(take_time(object, "start", &out->start, err));
    TRY(take_time(object, "end", &out->end, err));
    if (out->end <= out->start) return fail(err, ST_BADARG, "end is not after start");
    return audit_time(versioned_of(call), &table_of(call)->note, &out->since, err);
}

static Status refuse_running(const Live *live, Err *err) {
    return *live->experiment.name
        ? fail(err, ST_BADARG, "the experiment '%s' runs: stop it first", live->experiment.name)
        : ST_OK;
}

/* The audit says what the experiment is. */
static Status write_experiment(const CommandCall *call, const Live *live, Err *err) {
    experiment_json(&live->experiment, &table_of(call)->detail);
    return live_write(versioned_of(call), live, err);
}

static Status begin_experiment(const CommandCall *call, json_t *object, Live *live, Err *err) {
    Experiment *experiment = &live->experiment;
    TRY(refuse_running(live, err));
    if (!json_object_get(object, "name"))
        return fail(err, ST_BADARG, "experiment: it needs a name");
    TRY(take_terms(call, object, NULL, experiment, err));
    TRY(take_arms(call, live, object, experiment, err));
    TRY(take_text(object, "control", experiment->arm[0].name, experiment->control, err));
    if (experiment_find_arm(experiment, experiment->control) < 0)
        return fail(err, ST_BADARG, "control: there is no arm '%s'", experiment->control);
    return write_experiment(call, live, err);
}

static Status with_object(const CommandCall *call, const char *allowed,
    Status (*run)(const CommandCall *, json_t *, Live *, Err *), Err *err) {
    Live live;
    json_t *object;
    TRY(live_read(versioned_of(call), &live, err));
    TRY(command_object(call, allowed, &object, err));
    Status status = run(call, object, &live, err);
    json_decref(object);
    return status;
}

Status command_experiment(const CommandCall *call, Err *err) {
    return with_object(
        call, "name|arms|shares|metric|guards|control|start|end|salt", begin_experiment, err);
}

/* An experiment may have the name, too. */
static int is_canary(const Experiment *experiment) {
    return strcmp(experiment->name, "canary") == 0 && experiment->n == 2 &&
        strcmp(experiment->arm[0].name, "control") == 0 &&
        strcmp(experiment->arm[1].name, "canary") == 0;
}

/* The same canary with another share goes on: its users stay, where the share grows. */
static Status canary(const CommandCall *call, json_t *object, Live *live, Err *err) {
    Experiment *experiment = &live->experiment;
    sqlite3_int64 version, active;
    json_t *share = json_object_get(object, "share");
    double part = json_is_number(share) ? json_number_value(share) : NAN;
    int goes_on = is_canary(experiment);
    if (!(part > 0 && part < 1))
        return fail(err, ST_BADARG, "canary: share is a number between 0 and 1");
    if (!goes_on) TRY(refuse_running(live, err));
    else if (json_object_size(object) > 2)
        return fail(err, ST_BADARG, "canary: it runs: only its share can be changed");
    TRY(version_take(call, live, json_object_get(object, "version"), &version, err));
    TRY(store_active(versioned_of(call), &active, err));
    if (!active) return fail(err, ST_BADARG, "canary: no version is active");
    if (version == active) return fail(err, ST_BADARG, "version %lld is active already", version);
    if (goes_on && version != experiment->version[1])
        return fail(
            err, ST_BADARG, "the canary is version %lld: stop it first", experiment->version[1]);
    if (!goes_on) {
        char salt[ROUTE_NAME]; /* no two canaries try the same users */
        sqlite3_snprintf(sizeof salt, salt, "canary-%lld", version);
        TRY(take_terms(call, object, "canary", experiment, err));
        if (!json_object_get(object, "salt")) memcpy(experiment->salt, salt, sizeof salt);
        memcpy(experiment->control, "control", 8);
        memcpy(experiment->arm[0].name, "control", 8);
        memcpy(experiment->arm[1].name, "canary", 7);
        experiment->version[0] = active;
        experiment->version[1] = version;
        experiment->n = 2;
    }
    experiment->arm[1].share = llround(part * ROUTE_WHOLE);
    experiment->arm[0].share = ROUTE_WHOLE - experiment->arm[1].share;
    return write_experiment(call, live, err);
}

Status command_canary(const CommandCall *call, Err *err) {
    return with_object(call, "version|share|metric|guards|start|end|salt", canary, err);
}

/* The running experiment, if it is the one that is named. */
static Status check_running(const Live *live, json_t *object, Err *err) {
    const char *name = json_text(json_object_get(object, "name"));
    if (!*live->experiment.name) return fail(err, ST_BADARG, "no experiment runs");
    if (json_object_get(object, "name") && (!name || strcmp(name, live->experiment.name) != 0))
        return fail(err, ST_BADARG, "the experiment that runs is '%s'", live->experiment.name);
    return ST_OK;
}

static Status set_shares(const CommandCall *call, json_t *object, Live *live, Err *err) {
    TRY(check_running(live, object, err));
    TRY(take_shares(json_object_get(object, "shares"), &live->experiment, err));
    return write_experiment(call, live, err);
}

Status command_shares(const CommandCall *call, Err *err) {
    return with_object(call, "name|shares", set_shares, err);
}

static Status stop(const CommandCall *call, json_t *object, Live *live, Err *err) {
    const char *promote = json_text(json_object_get(object, "promote"));
    Bytes *detail = &table_of(call)->detail;
    TRY(check_running(live, object, err));
    int arm = promote ? experiment_find_arm(&live->experiment, promote) : -1;
    if (json_object_get(object, "promote") && arm < 0)
        return fail(err, ST_BADARG, "promote: there is no arm '%.60s'", promote ? promote : "");
    sqlite3_int64 version = arm < 0 ? 0 : live->experiment.version[arm];
    bytes_format(detail, "{\"stopped\":");
    experiment_json(&live->experiment, detail);
    if (version) {
        bytes_format(detail, ",\"promote\":");
        bytes_json_string(detail, promote, strlen(promote));
        bytes_format(detail, ",\"version\":%lld", version);
    }
    bytes_append(detail, "}", 1);
    if (version) TRY(store_read_back(versioned_of(call), version, err));
    live->experiment = (Experiment){0};
    TRY(live_write(versioned_of(call), live, err));
    return version ? store_activate(versioned_of(call), version, "promote", err) : ST_OK;
}

/* arg: nothing, or an object. */
Status command_stop(const CommandCall *call, Err *err) {
    Live live;
    if (sqlite3_value_type(call->arg) != SQLITE_NULL)
        return with_object(call, "name|promote", stop, err);
    TRY(live_read(versioned_of(call), &live, err));
    return stop(call, NULL, &live, err);
}
