#include "model_answer.h"

#include <string.h>

#include "../../base/memory.h"
#include "../host/cache.h"
#include "../versions/version_fallback.h"

void loaded_clear(LoadedVersion *loaded) {
    model_query_free(loaded->spare);
    cache_release(loaded->model);
    mem_free(loaded->category);
    *loaded = (LoadedVersion){0};
}

/* ---- what the table keeps ---- */

static LoadedVersion *find_loaded(ModelTable *table, const VersionName *name) {
    for (int i = 0; i < MODEL_KEEPS; i++) {
        LoadedVersion *loaded = &table->loaded[i];
        if (loaded->model && loaded->version == name->version &&
            strcmp(loaded->model->sha256, name->sha256) == 0)
            return loaded;
    }
    return NULL;
}

/* A version with other content than it had: somebody was forgotten. */
static void drop_rewritten(ModelTable *table, const VersionName *name) {
    for (int i = 0; i < MODEL_KEEPS; i++) {
        LoadedVersion *loaded = &table->loaded[i];
        if (!loaded->model || loaded->version != name->version) continue;
        store_forget_loaded(&table->definition.id, loaded->model->sha256);
        loaded_clear(loaded);
    }
}

/* In the place that was filled longest ago. */
static Status load(ModelTable *table, const VersionName *name, LoadedVersion **out, Err *err) {
    void *model;
    *out = find_loaded(table, name);
    if (*out) return ST_OK;
    drop_rewritten(table, name);
    TRY(store_load(&table->definition.id, name, &model, err));
    *out = &table->loaded[table->next_loaded++ % MODEL_KEEPS];
    loaded_clear(*out);
    (*out)->model = model;
    (*out)->version = name->version;
    return ST_OK;
}

/* The reference and the scratch memory of the last query, or new ones. */
static Status hold(ModelTable *table, const VersionName *name, Answering *out, Err *err) {
    LoadedVersion *loaded;
    TRY(load(table, name, &loaded, err));
    if (loaded->spare) {
        out->query = loaded->spare;
        loaded->spare = NULL;
    } else {
        TRY(model_query_new(&out->query, loaded->model, err));
    }
    /* the cursor's own: the table may move on before the cursor is closed */
    cache_retain(loaded->model);
    out->model = loaded->model;
    out->version = name->version;
    return ST_OK;
}

void answer_give_back(ModelTable *table, Answering *answering) {
    ModelQuery *query = answering->query;
    for (int i = 0; i < MODEL_KEEPS && query; i++) {
        LoadedVersion *loaded = &table->loaded[i];
        if (loaded->model != answering->model || loaded->spare) continue;
        loaded->spare = query;
        query = NULL;
    }
    model_query_free(query);
    cache_release(answering->model);
    *answering = (Answering){0};
}

/* ---- the last good version ---- */

typedef struct Holding {
    ModelTable *table;
    Answering *out;
} Holding;

static Status hold_this(void *context, const VersionName *name, Err *err) {
    const Holding *holding = context;
    return hold(holding->table, name, holding->out, err);
}

/* A version that was found bad is not read again with every query, until a command has run. */
static int is_known_bad(const ModelTable *table, const VersionName *name) {
    return table->bad.version == name->version && strcmp(table->bad.sha256, name->sha256) == 0;
}

/* The version, or where it is damaged the last good one; then no arm has answered. */
static Status hold_or_fall_back(
    ModelTable *table, const VersionName *name, Answering *out, Err *err) {
    Err own = {0};
    Status status = is_known_bad(table, name) || !*name->sha256 ? ST_CORRUPT
                                                                : hold(table, name, out, &own);
    if (!version_is_damaged(status)) {
        if (status != ST_OK) *err = own;
        return status;
    }
    Err later = {0};
    Holding holding = {table, out};
    Status other = version_take_earlier(
        &table->definition.id, &table->lookup, name->version, hold_this, &holding, &later);
    if (other != ST_OK) {
        *err = other == ST_BADARG ? own : later;
        if (is_known_bad(table, name) || !*name->sha256)
            fail(err, status, "version %lld is damaged", name->version);
        return other == ST_BADARG ? status : other;
    }
    table->bad = *name;
    table->versions.fall_back = (FallBack){name->version, out->version};
    *out->arm = 0;
    out->fell_back = 1;
    return ST_OK;
}

/* An arm's version; one whose row is gone has no digest, and falls back. */
static Status lookup_arm(ModelTable *table, sqlite3_int64 version, VersionName *out, Err *err) {
    Err own = {0};
    Status status = store_lookup(&table->definition.id, &table->lookup, version, out, NULL, &own);
    if (version_is_damaged(status)) {
        *out = (VersionName){.version = version};
        return ST_OK;
    }
    if (status != ST_OK) *err = own;
    return status;
}

/* ---- routing ---- */

static void set_arm(Answering *out, const Experiment *experiment, int arm) {
    out->share = 1;
    out->place = arm;
    if (arm < 0) return;
    memcpy(out->arm, experiment->arm[arm].name, sizeof out->arm);
    memcpy(out->experiment, experiment->name, sizeof out->experiment);
    out->share = (double)experiment->arm[arm].share / ROUTE_WHOLE;
}

static double now_for(const Experiment *experiment) {
    return experiment_is_timed(experiment) ? live_clock() : 0;
}

int answer_unit(const ModelTable *table, const Request *request, char *buffer, Key *out) {
    const char *unit = request->call.unit;
    if (*unit) {
        *out = value_convert_key(
            (Key){.text = unit, .len = strlen(unit)}, table->definition.user_affinity, buffer);
        return 1;
    }
    *out = request->similar; /* which holds a user's key, too */
    return request->subject == SUBJECT_USER;
}

/* The arm of the request, -1 for none; *is_routed: the experiment has decided that. */
static Status route(
    const ModelTable *table, const Request *request, int *out, int *is_routed, Err *err) {
    const Experiment *experiment = &table->live.live.experiment;
    char buffer[KEY_BUFFER];
    Key unit;
    *out = -1;
    *is_routed = 0;
    if (*request->call.arm) {
        *out = experiment_find_arm(experiment, request->call.arm);
        return *out >= 0
            ? ST_OK
            : fail(err, ST_BADARG, "no arm '%s' is in an experiment that runs", request->call.arm);
    }
    /* what two lists are drawn from is the same for all */
    if (*request->call.interleave || !experiment->n || !answer_unit(table, request, buffer, &unit))
        return ST_OK;
    double now = now_for(experiment);
    *is_routed = !(now < experiment->start) && !(now >= experiment->end);
    return experiment_arm(experiment, unit, now, out) ? ST_OK : fail_nomem(err, "the arm");
}

Status answer_version(ModelTable *table, const char *name, Answering *out, Err *err) {
    const Versioned *versioned = &table->definition.id;
    VersionName found;
    sqlite3_int64 version;
    *out = (Answering){.share = 1, .place = -1};
    TRY(live_named_version(versioned, name, &version, err));
    TRY(store_lookup(versioned, &table->lookup, version, &found, NULL, err));
    return hold(table, &found, out, err);
}

Status answer_request(ModelTable *table, const Request *request, Answering *out, Err *err) {
    const Versioned *versioned = &table->definition.id;
    const Experiment *experiment = &table->live.live.experiment;
    VersionName name;
    int arm, is_routed;
    *out = (Answering){.share = 1};
    if (*request->call.at) return answer_version(table, request->call.at, out, err);
    TRY(store_lookup(versioned, &table->lookup, request->call.version, &name, &table->live, err));
    if (request->call.version) return hold(table, &name, out, err);
    TRY(route(table, request, &arm, &is_routed, err));
    set_arm(out, experiment, arm);
    out->is_routed = is_routed;
    if (arm >= 0 && experiment->version[arm] != name.version)
        TRY(lookup_arm(table, experiment->version[arm], &name, err));
    return hold_or_fall_back(table, &name, out, err);
}

Status answer_arm(ModelTable *table, int arm, Answering *out, Err *err) {
    const Experiment *experiment = &table->live.live.experiment;
    VersionName name;
    *out = (Answering){.share = 1};
    set_arm(out, experiment, arm);
    if (arm >= 0) TRY(lookup_arm(table, experiment->version[arm], &name, err));
    else TRY(store_lookup(&table->definition.id, &table->lookup, 0, &name, NULL, err));
    return hold_or_fall_back(table, &name, out, err);
}

static Status answer_arms(ModelTable *table, Arms *arms, Err *err) {
    for (int i = 0; i < arms->n; i++) { TRY(answer_arm(table, i - 1, &arms->answering[i], err)); }
    return ST_OK;
}

Status answer_everybody(ModelTable *table, const Request *request, Arms *out, Err *err) {
    const CallOptions *call = &request->call;
    VersionName name;
    *out = (Arms){.n = 1};
    int is_named = call->version || *call->at || *call->arm || *call->unit;
    if (!is_named)
        TRY(store_lookup(&table->definition.id, &table->lookup, 0, &name, &table->live, err));
    if (!is_named) out->experiment = table->live.live.experiment;
    out->now = now_for(&out->experiment);
    if (out->experiment.n) out->n += out->experiment.n;
    out->answering = mem_zeros((size_t)out->n, sizeof *out->answering);
    if (!out->answering) return fail_nomem(err, "the arms");
    return out->n > 1 ? answer_arms(table, out, err)
                      : answer_request(table, request, out->answering, err);
}

Status answer_has_user(const Arms *arms, int i, Key user, int *out, Err *err) {
    int place;
    if (!experiment_arm(&arms->experiment, user, arms->now, &place))
        return fail_nomem(err, "the arm");
    *out = place == arms->answering[i].place;
    return ST_OK;
}
