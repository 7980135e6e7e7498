#include "version_live.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Status corrupt(Err *err) { return fail(err, ST_CORRUPT, "config: live is malformed"); }

/* ---- JSON ---- */

static int take_name(json_t *object, const char *key, char out[ROUTE_NAME]) {
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || strlen(text) >= ROUTE_NAME) return 0;
    memcpy(out, text, strlen(text) + 1);
    return 1;
}

static double number_or_nan(json_t *value) {
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int64_t to_share(double share) { return llround(share * ROUTE_WHOLE); }

static int parse_arms(json_t *arms, Experiment *out) {
    size_t i;
    json_t *arm;
    int64_t whole = 0;
    if (json_array_size(arms) < 1 || json_array_size(arms) > ROUTE_MAX_ARMS) return 0;
    json_array_foreach(arms, i, arm) {
        double share = number_or_nan(json_object_get(arm, "share"));
        out->version[i] = json_integer_value(json_object_get(arm, "version"));
        if (!take_name(arm, "arm", out->arm[i].name) || !(share >= 0 && share <= 1) ||
            out->version[i] < 1)
            return 0;
        whole += out->arm[i].share = to_share(share);
    }
    out->n = (int)json_array_size(arms);
    return whole <= ROUTE_WHOLE;
}

static int parse_experiment(json_t *object, Experiment *out) {
    json_t *guards = json_object_get(object, "guards");
    char *text = json_is_array(guards) ? json_dumps(guards, JSON_COMPACT) : NULL;
    int done = text && strlen(text) < sizeof out->guards;
    if (done) memcpy(out->guards, text, strlen(text) + 1);
    free(text);
    out->since = number_or_nan(json_object_get(object, "since"));
    out->start = number_or_nan(json_object_get(object, "start"));
    out->end = number_or_nan(json_object_get(object, "end"));
    return done && take_name(object, "name", out->name) && *out->name &&
        take_name(object, "salt", out->salt) && take_name(object, "control", out->control) &&
        take_name(object, "metric", out->metric) && isfinite(out->since) &&
        parse_arms(json_object_get(object, "arms"), out);
}

static int parse_aliases(json_t *aliases, Live *out) {
    const char *name;
    json_t *version;
    json_object_foreach(aliases, name, version) {
        Alias *alias = &out->alias[out->n_aliases];
        if (out->n_aliases == LIVE_MAX_ALIASES || strlen(name) >= sizeof alias->name ||
            !json_is_integer(version) || json_integer_value(version) < 1)
            return 0;
        memcpy(alias->name, name, strlen(name) + 1);
        alias->version = json_integer_value(version);
        out->n_aliases++;
    }
    return 1;
}

Status live_parse(const char *json, Live *out, Err *err) {
    json_error_t json_error;
    *out = (Live){0};
    if (!json) return ST_OK;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &json_error),
           *experiment = json_object_get(root, "experiment");
    int done = json_is_object(root) && parse_aliases(json_object_get(root, "aliases"), out) &&
        (!experiment || parse_experiment(experiment, &out->experiment));
    json_decref(root);
    if (!done) *out = (Live){0};
    return done ? ST_OK : corrupt(err);
}

Status live_cache_take(LiveCache *cache, const char *text, Err *err) {
    if (!text && !cache->text) return ST_OK;
    if (text && cache->text && strcmp(text, cache->text) == 0) return ST_OK;
    sqlite3_free(cache->text);
    cache->text = NULL;
    cache->live = (Live){0};
    if (!text) return ST_OK;
    TRY(live_parse(text, &cache->live, err));
    cache->text = sqlite3_mprintf("%s", text);
    return cache->text ? ST_OK : fail_nomem(err, "what is live");
}

static void append_string(Bytes *out, const char *name, const char *text) {
    bytes_format(out, "\"%s\":", name);
    bytes_json_string(out, text, strlen(text));
    bytes_append(out, ",", 1);
}

static void append_time(Bytes *out, const char *name, double value) {
    if (isfinite(value)) bytes_format(out, "\"%s\":%.17g,", name, value);
}

void experiment_json(const Experiment *experiment, Bytes *out) {
    bytes_append(out, "{", 1);
    append_string(out, "name", experiment->name);
    append_string(out, "salt", experiment->salt);
    append_string(out, "control", experiment->control);
    append_string(out, "metric", experiment->metric);
    bytes_format(out, "\"guards\":%s,", experiment->guards);
    append_time(out, "since", experiment->since);
    append_time(out, "start", experiment->start);
    append_time(out, "end", experiment->end);
    bytes_format(out, "\"arms\":[");
    for (int i = 0; i < experiment->n; i++) {
        bytes_append(out, i ? ",{" : "{", i ? 2 : 1);
        append_string(out, "arm", experiment->arm[i].name);
        bytes_format(out, "\"version\":%lld,\"share\":%.9g}", experiment->version[i],
            (double)experiment->arm[i].share / ROUTE_WHOLE);
    }
    bytes_append(out, "]}", 2);
}

void live_json(const Live *live, Bytes *out) {
    const char *comma = "";
    bytes_append(out, "{", 1);
    if (live->n_aliases) {
        bytes_format(out, "\"aliases\":{");
        for (int i = 0; i < live->n_aliases; i++) {
            if (i) bytes_append(out, ",", 1);
            bytes_json_string(out, live->alias[i].name, strlen(live->alias[i].name));
            bytes_format(out, ":%lld", live->alias[i].version);
        }
        bytes_append(out, "}", 1);
        comma = ",";
    }
    if (*live->experiment.name) {
        bytes_format(out, "%s\"experiment\":", comma);
        experiment_json(&live->experiment, out);
    }
    bytes_append(out, "}", 1);
}

/* ---- m_config ---- */

Status live_read(const Versioned *versioned, Live *out, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    *out = (Live){0};
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT value FROM \"%w\".\"%w_config\" WHERE key='live'", versioned->schema,
        versioned->name));
    Status status = sql_step(versioned->db, row, &has_row, err);
    if (status == ST_OK && has_row)
        status = live_parse((const char *)sqlite3_column_text(row, 0), out, err);
    sqlite3_finalize(row);
    return status;
}

/* What cannot be read back would stop every list: it must not be stored. */
static Status can_be_read(Bytes *json, Err *err) {
    Live back;
    bytes_append(json, "", 1);
    Status status = json->failed ? fail_nomem(err, "what is live")
                                 : live_parse((const char *)json->data, &back, err);
    if (status == ST_OK) json->len--;
    else bytes_clear(json);
    return status;
}

Status live_write(const Versioned *versioned, const Live *live, Err *err) {
    Bytes json = {0};
    sqlite3_stmt *replace = NULL;
    if (!live->n_aliases && !*live->experiment.name)
        return sql_execute(versioned->db, err, "DELETE FROM \"%w\".\"%w_config\" WHERE key='live'",
            versioned->schema, versioned->name);
    live_json(live, &json);
    TRY(can_be_read(&json, err));
    Status status = json.failed ? fail_nomem(err, "what is live")
                                : sql_prepare(versioned->db, &replace, err,
                                      "REPLACE INTO \"%w\".\"%w_config\" VALUES('live', ?1)",
                                      versioned->schema, versioned->name);
    if (status == ST_OK) {
        sqlite3_bind_text64(
            replace, 1, (const char *)json.data, json.len, SQLITE_STATIC, SQLITE_UTF8);
        status = sql_finish(versioned->db, replace, err);
    }
    bytes_clear(&json);
    return status;
}

/* ---- asking ---- */

Status live_check_name(const char *what, const char *name, Err *err) {
    size_t len = name ? strlen(name) : 0;
    int good = len >= 1 && len < ROUTE_NAME;
    for (size_t i = 0; i < len && good; i++) {
        unsigned char c = (unsigned char)name[i];
        good = c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
            c == '-' || c == '_' || c == '.';
    }
    return good ? ST_OK
                : fail(err, ST_BADARG, "%s '%.70s' (1 to 63 letters, digits, - _ .)", what,
                      name ? name : "");
}

sqlite3_int64 live_alias(const Live *live, const char *name) {
    for (int i = 0; i < live->n_aliases; i++)
        if (strcmp(live->alias[i].name, name) == 0) return live->alias[i].version;
    return 0;
}

int live_uses(const Live *live, sqlite3_int64 version) {
    int used = 0;
    for (int i = 0; i < live->n_aliases; i++) used |= live->alias[i].version == version;
    for (int i = 0; i < live->experiment.n; i++) used |= live->experiment.version[i] == version;
    return used;
}

int experiment_is_timed(const Experiment *experiment) {
    return isfinite(experiment->start) || isfinite(experiment->end);
}

int experiment_arm(const Experiment *experiment, Key unit, double now, int *out) {
    *out = -1;
    if (!experiment->n || now < experiment->start || now >= experiment->end) return 1;
    return route_arm(unit, experiment->salt, experiment->arm, experiment->n, out);
}

int experiment_find_arm(const Experiment *experiment, const char *name) {
    for (int i = 0; i < experiment->n; i++)
        if (strcmp(experiment->arm[i].name, name) == 0) return i;
    return -1;
}

int experiment_largest(const Experiment *experiment) {
    int largest = 0;
    for (int i = 1; i < experiment->n; i++)
        if (experiment->arm[i].share > experiment->arm[largest].share) largest = i;
    return largest;
}

double live_clock(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    sqlite3_int64 milliseconds = 0; /* since the Julian epoch */
    if (vfs && vfs->iVersion >= 2 && vfs->xCurrentTimeInt64)
        vfs->xCurrentTimeInt64(vfs, &milliseconds);
    return ((double)milliseconds - 210866760000000.0) / 1000;
}

Status live_may_activate(const Versioned *versioned, Err *err) {
    Live live;
    TRY(live_read(versioned, &live, err));
    if (!*live.experiment.name) return ST_OK;
    return fail(err, ST_BADARG,
        "the experiment '%s' runs: end it with stop or rollback, or store the version with "
        "{\"activate\": \"never\"}",
        live.experiment.name);
}

Status live_named_version(
    const Versioned *versioned, const char *name, sqlite3_int64 *out, Err *err) {
    Live live;
    char *end;
    *out = 0;
    if (!*name) return ST_OK;
    *out = strtoll(name, &end, 10);
    if (!*end && *out > 0) return ST_OK;
    TRY(live_read(versioned, &live, err));
    *out = live_alias(&live, name);
    return *out ? ST_OK : fail(err, ST_BADARG, "there is no alias '%.60s'", name);
}
