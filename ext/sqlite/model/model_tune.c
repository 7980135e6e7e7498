/* Tuning: INSERT INTO recs(recs, arg) VALUES('tune', '{"algorithm":"ials","trials":30}'), SELECT
 * rec_tune('recs', '{...}'), and the training of an algorithm=auto model. Events are read once;
 * every trial trains on a part of them and is judged on the rest (ext/eval/trial.h); which settings
 * are tried is ext/eval/search.h's.
 *
 * The command runs inside one write statement: all of it or nothing is kept. rec_tune runs in a
 * statement that only reads: between its trials it holds no lock, and each is stored as it ends, so
 * that an interrupt or a kill loses one trial. */
#include "model_tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../base/text.h"
#include "../../eval/choice.h"
#include "model_train.h"
#include "tune.h"

typedef struct TuningRun {
    Tuning tuning;
    StoredTrials tried;
    TuningKey key;
    char *question; /* sqlite3_malloc'ed */
    int store;
    int is_training;    /* of an algorithm=auto model */
    int64_t began_with; /* trials that were known */
    int64_t judged;     /* known ones met again, and new ones */
    double started;
    double active; /* the active version's setting's value; NaN: none */
    char *active_options;
    char *chosen; /* the setting that won, sqlite3_malloc'ed; NULL: nothing could be judged */
    double chosen_value;
    char why[200]; /* it won */
} TuningRun;

/* ---- trials ---- */

static StoredTrial *find_tried(const TuningRun *run, const char *options, double share) {
    for (int64_t i = 0; i < run->tried.n; i++)
        if (fabs(run->tried.item[i].share - share) < 1e-9 &&
            strcmp(run->tried.item[i].options, options) == 0)
            return &run->tried.item[i];
    return NULL;
}

/* The algorithm as it is, without options. */
static int is_plain(const StoredTrial *tried) {
    char plain[80];
    text_format(plain, sizeof plain, "{\"algorithm\":\"%s\"}", tried->algorithm);
    return strcmp(tried->options, plain) == 0;
}

/* The best that was judged on all users; of one family (NULL: of all), with or without the
 * algorithm as it is. */
static StoredTrial *best_tried(const TuningRun *run, const Algorithm *family, int with_plain) {
    StoredTrial *best = NULL;
    for (int64_t i = 0; i < run->tried.n; i++) {
        StoredTrial *t = &run->tried.item[i];
        if (t->share < 1 || isnan(t->value) ||
            (family && strcmp(t->algorithm, family->name) != 0) || (!with_plain && is_plain(t)))
            continue;
        if (!best || t->value > best->value) best = t;
    }
    return best;
}

/* Each user's values are kept of what a family's choice compares: the algorithm as it is, and its
 * best setting. */
static void forget_values(TuningRun *run, const Algorithm *family) {
    const StoredTrial *best = best_tried(run, family, 0);
    for (int64_t i = 0; i < run->tried.n; i++) {
        StoredTrial *t = &run->tried.item[i];
        if (strcmp(t->algorithm, family->name) != 0 || t == best || is_plain(t)) continue;
        mem_free(t->per_user);
        t->per_user = NULL;
    }
}

static void report(const TuningRun *run, const StoredTrial *t) {
    const StoredTrial *best = best_tried(run, NULL, 1);
    job_print(&run->tuning.job,
        "trial %lld, %.3g of the users: %s: %s@%lld %.5f (best %.5f), %.2f s to train",
        (long long)run->judged, t->share, t->options, run->key.metric, (long long)run->key.k,
        t->value, best ? best->value : NAN, t->seconds);
}

/* A setting that is refused is a trial without a value. */
static Status run_trial(TuningRun *run, StoredTrial *tried, Err *err) {
    Tuning *tuning = &run->tuning;
    SettingResult result = {.value = NAN};
    Err own = {0};
    tried->per_user = mem_array(
        (size_t)keymap_count(tuning->events.users), sizeof *tried->per_user);
    Status status = tried->per_user
        ? tuning_judge(tuning, tried->options, tried->share, &result, tried->per_user, &own)
        : fail_nomem(&own, "a trial");
    if (status != ST_OK) {
        mem_free(tried->per_user);
        tried->per_user = NULL;
        result = (SettingResult){.value = NAN};
    }
    tried->value = result.value;
    tried->users = result.users;
    tried->seconds = result.seconds;
    if (status == ST_OK || status == ST_BADARG) return ST_OK;
    *err = own;
    return status;
}

static Status judge_setting(
    void *context, const char *name, const char *options, double share, double *value, Err *err) {
    TuningRun *run = context;
    const Algorithm *algorithm = algorithm_find(name);
    const StoredTrial *known = find_tried(run, options, share);
    atomic_store(&run->tuning.job.trial, ++run->judged);
    if (known) {
        *value = known->value;
        return ST_OK;
    }
    StoredTrial tried = {
        .algorithm = algorithm->name, .options = (char *)(uintptr_t)options, .share = share};
    TRY(run_trial(run, &tried, err));
    *value = tried.value;
    TRY(trial_list_add(&run->tried, &tried, err));
    forget_values(run, algorithm);
    report(run, &tried);
    return run->store ? trials_put(&run->tuning.definition->id, &run->key, &tried, err) : ST_OK;
}

static int out_of_time(void *context) {
    const TuningRun *run = context;
    return run->tuning.call.seconds > 0 && task_clock() - run->started > run->tuning.call.seconds;
}

/* What the call names, else the model's; NULL: auto, or no algorithm. */
static const Algorithm *asked_algorithm(const Tuning *tuning) {
    return *tuning->call.algorithm ? algorithm_find(tuning->call.algorithm)
                                   : tuning->definition->algorithm;
}

static Status explore(TuningRun *run, Err *err) {
    const TuneCall *call = &run->tuning.call;
    Tunable tunable[SEARCH_MAX_TUNABLES];
    int n = 1, has_time = run->tuning.definition->time != NULL;
    SearchRules rules = {(SearchSampler)call->sampler, call->trials, (uint64_t)call->seed,
        call->halving, call->least_share};
    SearchHost host = {run, judge_setting, out_of_time};
    if (strcmp(call->algorithm, "auto") == 0) {
        if (call->space) return fail(err, ST_BADARG, "space belongs to one algorithm, not to auto");
        n = 0;
        for (size_t i = 0; algorithm_registry[i] && n < SEARCH_MAX_TUNABLES; i++)
            if (algorithm_in_auto(algorithm_registry[i], has_time, run->tuning.events.n))
                tunable[n++] = algorithm_tunable(algorithm_registry[i], has_time);
    } else {
        const Algorithm *algorithm = asked_algorithm(&run->tuning);
        if (!algorithm)
            return fail(
                err, ST_BADARG, "algorithm=%.40s (auto, or one of rec_options)", call->algorithm);
        AlgorithmParams defaults;
        options_default(algorithm->options, &defaults);
        if (run->tuning.definition->session && algorithm_by_session(algorithm, &defaults))
            return fail(
                err, ST_BADARG, "%s on a model with session= cannot be tuned", algorithm->name);
        tunable[0] = algorithm_tunable(algorithm, has_time);
    }
    return search_settings(&rules, tunable, n, call->space, &host, err);
}

/* ---- what a tuning asks ---- */

/* All trials answer the same question, repeats or not: what the algorithm that was asked for, else
 * the model's, offers by itself. */
static int own_rule(const Tuning *tuning) {
    const Algorithm *algorithm = asked_algorithm(tuning);
    return !(algorithm ? algorithm : tuning->definition->algorithm)->keeps_seen;
}

/* Values under the same question can be compared: the same events, split, metric and rule for
 * repeats. */
static Status ask(TuningRun *run, Err *err) {
    const TuneCall *call = &run->tuning.call;
    uint64_t hash;
    char until[40] = "null";
    TRY(event_set_hash(&run->tuning.events, &hash, err));
    if (isfinite(call->until)) sqlite3_snprintf(sizeof until, until, "%!.17g", call->until);
    run->key.metric = ranking_metric_name((RankingMetric)call->metric);
    run->key.k = call->k;
    run->key.seed = call->seed;
    run->question = sqlite3_mprintf(
        "{\"metric\":\"%s\",\"k\":%lld,\"split\":%d,\"share\":%!.17g,\"folds\":%lld,\"judged\":%"
        "lld,\"seed\":%lld,\"until\":%s,\"exclude_seen\":%d,\"events\":\"%016llx\"}",
        run->key.metric, (sqlite3_int64)call->k, (int)call->split, call->share,
        (sqlite3_int64)call->folds, (sqlite3_int64)call->judged, (sqlite3_int64)call->seed, until,
        (int)call->exclude_seen, (unsigned long long)hash);
    run->key.question = run->question;
    return run->question ? ST_OK : fail_nomem(err, "the trials");
}

/* ---- which one wins ---- */

/* Different settings of a family that were tried, on however many users. */
static int64_t challengers(const TuningRun *run, const Algorithm *family) {
    int64_t n = 0;
    for (int64_t i = 0; i < run->tried.n; i++) {
        const StoredTrial *t = &run->tried.item[i];
        int64_t before = 0;
        while (before < i && strcmp(run->tried.item[before].options, t->options) != 0) before++;
        n += strcmp(t->algorithm, family->name) == 0 && !is_plain(t) && before == i;
    }
    return n;
}

/* Each user's value of a setting, from an earlier run or found again. */
static Status need_values(TuningRun *run, StoredTrial *tried, Err *err) {
    SettingResult result;
    if (tried->per_user) return ST_OK;
    tried->per_user = mem_array(
        (size_t)keymap_count(run->tuning.events.users), sizeof *tried->per_user);
    return tried->per_user
        ? tuning_judge(&run->tuning, tried->options, 1, &result, tried->per_user, err)
        : fail_nomem(err, "a trial");
}

static Status note(const TuningRun *run, const StoredTrial *tried, const char *text, Err *err) {
    return run->store
        ? trials_note(&run->tuning.definition->id, &run->key, tried->options, text, err)
        : ST_OK;
}

/* A family's setting: its best, if that beats the algorithm as it is by more than chance on the
 * same users; else the latter. */
static Status choose_of_family(
    TuningRun *run, const Algorithm *family, const StoredTrial **out, Err *err) {
    char plain[80], text[200] = "the algorithm as it is";
    double value;
    text_format(plain, sizeof plain, "{\"algorithm\":\"%s\"}", family->name);
    StoredTrial *best = best_tried(run, family, 0);
    /* halving has left it behind */
    if (best && !find_tried(run, plain, 1))
        TRY(judge_setting(run, family->name, plain, 1, &value, err));
    StoredTrial *base = find_tried(run, plain, 1);
    best = best_tried(run, family, 0); /* the list may have moved */
    *out = base && !isnan(base->value) ? base : best;
    if (best && *out == base && best->value > base->value) {
        TRY(need_values(run, base, err));
        TRY(need_values(run, best, err));
        PairedTest test = paired_test(
            base->per_user, best->per_user, keymap_count(run->tuning.events.users));
        int64_t tried = challengers(run, family);
        int wins = is_beyond_chance(&test, tried);
        text_format(text, sizeof text,
            "%s the algorithm as it is by more than chance: %+.5f, p = %.2g for %lld users (%.2g "
            "is asked of the best of %lld)",
            wins ? "beats" : "does not beat", test.difference, test.p, (long long)test.users,
            .05 / (double)(tried > 1 ? tried : 1), (long long)tried);
        TRY(note(run, best, text, err));
        if (wins) *out = best;
        if (!wins)
            text_format(text, sizeof text,
                "the algorithm as it is; the best of %lld settings does not beat it by more than "
                "chance (p = %.2g)",
                (long long)tried, test.p);
    }
    if (*out == base && base) TRY(note(run, base, text, err));
    if (*out && (isnan(run->chosen_value) || (*out)->value > run->chosen_value))
        text_format(run->why, sizeof run->why, "%s", text);
    return ST_OK;
}

/* Of the families' settings the one with the highest value. */
static Status choose(TuningRun *run, Err *err) {
    run->chosen_value = NAN;
    for (int f = 0; algorithm_registry[f]; f++) {
        const StoredTrial *own = NULL;
        if (!best_tried(run, algorithm_registry[f], 1)) continue;
        TRY(choose_of_family(run, algorithm_registry[f], &own, err));
        if (!own || !(isnan(run->chosen_value) || own->value > run->chosen_value)) continue;
        sqlite3_free(run->chosen);
        run->chosen = sqlite3_mprintf("%s", own->options);
        if (!run->chosen) return fail_nomem(err, "the options");
        run->chosen_value = own->value;
    }
    const StoredTrial *winner = run->chosen ? find_tried(run, run->chosen, 1) : NULL;
    if (!winner) return ST_OK;
    char text[240];
    text_format(text, sizeof text, "chosen: %s", run->why);
    job_print(&run->tuning.job, "%s: %s", run->chosen, text);
    return note(run, winner, text, err);
}

/* A version that cannot be judged (by sessions, say) has no value, like a trial. */
static Status judge_active(TuningRun *run, Err *err) {
    SettingResult result;
    Err own = {0};
    TRY(store_active_options(&run->tuning.definition->id, &run->active_options, err));
    if (!run->active_options) return ST_OK;
    Status status = tuning_judge(&run->tuning, run->active_options, 1, &result, NULL, &own);
    if (status == ST_OK) run->active = result.value;
    if (status == ST_OK || status == ST_BADARG) return ST_OK;
    *err = own;
    return status;
}

static const char *name_of(const char *name) {
    const Algorithm *algorithm = algorithm_find(name);
    return algorithm ? algorithm->name : NULL;
}

/* Everything up to the last trial. */
static Status search(TuningRun *run, EventsReader *reader, Err *err) {
    Tuning *tuning = &run->tuning;
    TuneCall *call = &tuning->call;
    TRY(tuning_open(tuning, reader, call->split == SPLIT_RANDOM ? call->judged : 1, err));
    for (int64_t part = 0; part < tuning->parts; part++)
        TRY(split_events(&tuning->events, (SplitKind)call->split, call->share, part, call->folds,
            (uint64_t)call->seed, tuning->held + part * tuning->events.n, err));
    if (call->exclude_seen < 0) call->exclude_seen = own_rule(tuning);
    TRY(ask(run, err));
    if (run->store)
        TRY(trials_begin(
            &tuning->definition->id, &run->key, (int)call->resume, name_of, &run->tried, err));
    run->began_with = run->tried.n;
    if (call->activate == IF_BETTER || run->is_training) TRY(judge_active(run, err));
    TRY(explore(run, err));
    return choose(run, err);
}

static Status run_search(TuningRun *run, const ModelDefinition *definition, EventsReader *reader,
    const char *options, int store, int is_training, Err *err) {
    *run = (TuningRun){.tuning = {.definition = definition},
        .store = store,
        .is_training = is_training,
        .started = task_clock(),
        .active = NAN,
        .chosen_value = NAN};
    Tuning *tuning = &run->tuning;
    TRY(tune_call_read(&tuning->call, definition, options, NULL, NULL, err));
    if (tuning->call.resume && !store)
        return fail(err, ST_BADARG, "resume: no trials are kept here");
    if (store && tuning->call.activate != NEVER) TRY(live_may_activate(&definition->id, err));
    TRY(job_begin(&tuning->job, "tune", definition->id.name, &tuning->task, definition->id.db,
        (int)tuning->call.progress, err));
    atomic_store(&tuning->job.trials, tuning->call.trials);
    Status status = search(run, reader, err);
    job_end(&tuning->job);
    return status;
}

static void run_clear(TuningRun *run) {
    tuning_close(&run->tuning);
    trial_list_clear(&run->tried);
    sqlite3_free(run->question);
    sqlite3_free(run->active_options);
    sqlite3_free(run->chosen);
}

/* ---- what follows ---- */

/* Train by a setting on all events there are for this call. */
static Status train_by(
    const TuningRun *run, EventsReader *reader, const char *setting, Model **out, Err *err) {
    const TuneCall *call = &run->tuning.call;
    json_error_t json_error;
    PutWish wish;
    json_t *root = json_loads(setting, 0, &json_error);
    int failed = !root;
    if (isfinite(call->until)) failed |= json_object_set_new(root, "until", json_real(call->until));
    if (call->progress) failed |= json_object_set_new(root, "progress", json_string("stderr"));
    char *options = failed ? NULL : json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17));
    Status status = options ? train_model(run->tuning.definition, reader, options, out, &wish, err)
                            : fail_nomem(err, "the options");
    free(options);
    json_decref(root);
    return status;
}

/* Where the best setting is to serve: train it. *out stays NULL where it is not. */
static Status train_winner(const TuningRun *run, EventsReader *reader, Model **out, Err *err) {
    int64_t activate = run->tuning.call.activate;
    *out = NULL;
    if (!run->chosen || activate == NEVER ||
        (activate == IF_BETTER && run->active_options && !(run->chosen_value > run->active)))
        return ST_OK;
    return train_by(run, reader, run->chosen, out, err);
}

/* Inside BEGIN a failed INSERT ... VALUES takes nothing back by itself (version_store.c); an
 * interrupt takes all. */
static void take_back(const TuningRun *run, Status status) {
    if (status != ST_OK && status != ST_CANCELLED && run->store)
        trials_take_back(&run->tuning.definition->id, &run->key);
}

Status tune_model(const ModelDefinition *definition, EventsReader *reader, const char *options,
    sqlite3_int64 *version, Err *err) {
    TuningRun run;
    Model *model = NULL;
    Status status = run_search(&run, definition, reader, options, 1, 0, err);
    if (status == ST_OK) status = train_winner(&run, reader, &model, err);
    if (status == ST_OK && model)
        status = store_put(&definition->id, model,
            &(PutWish){.activate = 1, .keep = KEEP_AS_CREATED}, "tune", version, err);
    take_back(&run, status);
    model_free(model);
    run_clear(&run);
    return status;
}

int tune_before_train(const ModelDefinition *definition, const char *options) {
    json_error_t json_error;
    json_t *root = options ? json_loads(options, 0, &json_error) : NULL;
    json_t *name = json_object_get(root, "algorithm");
    int automatic = !name || (json_is_string(name) && strcmp(json_string_value(name), "auto") == 0);
    json_decref(root);
    return definition->automatic && automatic;
}

/* Too few events, or users with a past, to judge anything: the model is trained all the same, as it
 * would be without a search, and the trials say so. */
static Status fall_back(TuningRun *run, const char **setting, Err *err) {
    static const char plain[] = "{\"algorithm\":\"" DEFAULT_ALGORITHM "\"}";
    StoredTrial tried = {.algorithm = DEFAULT_ALGORITHM,
        .options = (char *)(uintptr_t)plain,
        .share = 1,
        .value = NAN};
    *setting = plain;
    text_format(run->why, sizeof run->why,
        "too few events, or users with a past, to judge anything in the part that is held "
        "out: " DEFAULT_ALGORITHM " as it is");
    job_print(&run->tuning.job, "%s", run->why);
    if (run->store && !find_tried(run, plain, 1))
        TRY(trials_put(&run->tuning.definition->id, &run->key, &tried, err));
    return note(run, &tried, run->why, err);
}

/* The active version's setting is one of those that can win: on new events it may be the best
 * still. */
Status tune_and_train(const ModelDefinition *definition, EventsReader *reader, const char *options,
    int store, Model **out, PutWish *wish, Err *err) {
    TuningRun run;
    *out = NULL;
    Status status = run_search(&run, definition, reader, options, store, 1, err);
    *wish = (PutWish){
        .activate = status == ST_OK && run.tuning.call.activate != NEVER, .keep = KEEP_AS_CREATED};
    const char *setting = run.chosen && !(run.active >= run.chosen_value) ? run.chosen
        : !isnan(run.active)                                              ? run.active_options
                                                                          : NULL;
    if (status == ST_OK && !setting)
        status = out_of_time(&run) ? fail(err, ST_BADARG,
                                         "algorithm=auto: the time was up (seconds=%g) before a "
                                         "setting was judged on all users",
                                         run.tuning.call.seconds)
                                   : fall_back(&run, &setting, err);
    if (status == ST_OK) status = train_by(&run, reader, setting, out, err);
    take_back(&run, status);
    run_clear(&run);
    return status;
}

/* ---- rec_tune(model [, options]) ---- */

/* A version is several rows, all or none: one statement, which takes itself back when it is
 * interrupted or finds the file locked. */
static Status put_version(
    const ModelDefinition *definition, Model *model, sqlite3_int64 *version, Err *err) {
    Bytes blob = {0};
    char sha256[SHA256_TEXT];
    sqlite3_stmt *statement = NULL;
    int has_row;
    Status status = model_write(model, &blob, sha256, err);
    if (status == ST_OK)
        status = sql_prepare(definition->id.db, &statement, err,
            "INSERT INTO \"%w\".\"%w\"(\"%w\", arg, options) VALUES('load', ?1, "
            "'{\"action\":\"tune\"}')",
            definition->id.schema, definition->id.name, definition->id.name);
    if (status == ST_OK) sqlite3_bind_blob64(statement, 1, blob.data, blob.len, SQLITE_STATIC);
    if (status == ST_OK) status = sql_step(definition->id.db, statement, &has_row, err);
    sqlite3_finalize(statement);
    bytes_clear(&blob);
    if (status == ST_OK)
        status = sql_integer(definition->id.db, 0, version, err,
            "SELECT value FROM \"%w\".\"%w_config\" WHERE key='last_version'",
            definition->id.schema, definition->id.name);
    return status;
}

/* What it stores must be kept as it goes: not so inside a statement that writes. (Inside BEGIN it
 * is the caller's to keep.) */
static Status check_statement(sqlite3 *db, const char *schema, Err *err) {
    sqlite3_vfs *vfs = NULL;
    sqlite3_file_control(db, schema, SQLITE_FCNTL_VFS_POINTER, &vfs);
    /* it replicates what statements that write do, and ends the node where another one writes */
    if (vfs && vfs->zName && sqlite3_strnicmp(vfs->zName, "dqlite", 6) == 0)
        return fail(err, ST_BADARG,
            "a SELECT cannot write to a replicated database: INSERT INTO recs(recs, arg) "
            "VALUES('tune', '{...}') is the same tuning, or tune a copy and load the version");
    if (sqlite3_get_autocommit(db) && sqlite3_txn_state(db, NULL) == SQLITE_TXN_WRITE)
        return fail(err, ST_BADARG,
            "it writes as it goes: call it from a plain SELECT, not from a statement that writes");
    return ST_OK;
}

static void append_number(Bytes *json, const char *name, double value) {
    char text[40] = "null";
    if (!isnan(value)) sqlite3_snprintf(sizeof text, text, "%!.17g", value);
    bytes_format(json, ",\"%s\":%s", name, text);
}

/* The result, as JSON text. */
static Status summary(const TuningRun *run, sqlite3_int64 version, Bytes *json, Err *err) {
    bytes_format(json,
        "{\"tuning\":%lld,\"trials\":%lld,\"new_trials\":%lld,\"metric\":\"%s\",\"k\":%lld",
        run->key.tuning, (long long)run->tried.n, (long long)(run->tried.n - run->began_with),
        run->key.metric, (long long)run->key.k);
    append_number(json, "value", run->chosen_value);
    append_number(json, "active_value", run->active);
    bytes_format(json, ",\"options\":%s,\"why\":", run->chosen ? run->chosen : "null");
    bytes_json_string(json, run->why, strlen(run->why));
    if (version) bytes_format(json, ",\"version\":%lld}", version);
    else bytes_append(json, ",\"version\":null}", 16);
    return json->failed ? fail_nomem(err, "the result") : ST_OK;
}

Status tune_outside(const ModelDefinition *definition, EventsReader *reader, const char *options,
    Bytes *out, Err *err) {
    TuningRun run;
    Model *model = NULL;
    sqlite3_int64 version = 0;
    TRY(check_statement(definition->id.db, definition->id.schema, err));
    Status status = run_search(&run, definition, reader, options, 1, 0, err);
    if (status == ST_OK) status = train_winner(&run, reader, &model, err);
    if (status == ST_OK && model) status = put_version(definition, model, &version, err);
    if (status == ST_OK) status = summary(&run, version, out, err);
    model_free(model);
    run_clear(&run);
    return status;
}
