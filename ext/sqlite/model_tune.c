/* Tuning: INSERT INTO recs(recs, arg) VALUES('tune', '{"algorithm":"ials","trials":30}'), and rec_crossval. Events are read once; every
 * trial trains on a part of them and is judged on the rest (ext/eval/trial.h). Everything is computed before the first write. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/json.h"
#include "../base/memory.h"
#include "../eval/sampler.h"
#include "../eval/trial.h"
#include "model_table.h"
#include "modules.h"
#include "progress.h"
#include "row_table.h"

enum { MAX_TRIALS = 10000, GRID_STEPS = 4 };
enum { SAMPLER_TPE, SAMPLER_RANDOM, SAMPLER_GRID };
enum { IF_BETTER, ALWAYS, NEVER };

typedef struct TuneCall {
    char algorithm[32];
    int64_t trials;
    int64_t sampler;
    int64_t metric;
    int64_t k;
    int64_t split;
    double share;
    int64_t folds;
    int64_t seed;
    double seconds;
    int64_t exclude_seen;
    int64_t activate;
    int64_t progress;
} TuneCall;

static const OptSpec tune_options[] = {
    {"algorithm", OPT_TEXT, offsetof(TuneCall, algorithm), 0, 32, 0, "", "which one; auto: popular, item_knn, ials, slim and repeat, each with its share of the trials; default: the model's"},
    {"trials", OPT_INT, offsetof(TuneCall, trials), 1, MAX_TRIALS, 30, NULL, "settings that are tried"},
    {"sampler", OPT_CHOICE, offsetof(TuneCall, sampler), 0, 0, SAMPLER_TPE, "tpe|random|grid", "how they are chosen"},
    {"metric", OPT_CHOICE, offsetof(TuneCall, metric), 0, 0, METRIC_NDCG, "precision|recall|hit|rr|ap|ndcg", "what is maximised"},
    {"k", OPT_INT, offsetof(TuneCall, k), 1, 1000000, 10, NULL, "cut-off of the metric"},
    {"split", OPT_CHOICE, offsetof(TuneCall, split), 0, 0, SPLIT_TIME, "time|last|random", "what is held out: the latest events, every user's last item, or pairs by a hash"},
    {"share", OPT_REAL, offsetof(TuneCall, share), 0.001, 0.9, 0.1, NULL, "of split=time: how much is held out"},
    {"folds", OPT_INT, offsetof(TuneCall, folds), 2, 100, 5, NULL, "of split=random: one part of so many is held out; of rec_crossval: parts that are held out in turn"},
    {"seed", OPT_INT, offsetof(TuneCall, seed), 0, 9007199254740991.0, 1, NULL, "of the sampler and of split=random"},
    {"seconds", OPT_REAL, offsetof(TuneCall, seconds), 0, 1e9, 0, NULL, "no new trial after so many; 0: no limit"},
    {"exclude_seen", OPT_FLAG, offsetof(TuneCall, exclude_seen), 0, 0, -1, NULL, "judge what is new to the user; false: repeats, too; default: the algorithm's own"},
    {"activate", OPT_CHOICE, offsetof(TuneCall, activate), 0, 0, IF_BETTER, "if-better|always|never", "train and serve the best setting: if it beats the active version's, always, or not at all"},
    {"progress", OPT_CHOICE, offsetof(TuneCall, progress), 0, 0, 0, "none|stderr", "print lines on stderr"},
    {0},
};

/* ---- the space ---- */

typedef struct Axis {
    const char *name; /* of the JSON */
    json_t *choices;  /* array, or NULL */
    double min, max;
    int log, whole;
} Axis;

typedef struct Space {
    json_t *root;
    const Algorithm *algorithm;
    Axis axis[SAMPLER_MAX_DIMENSIONS];
    Dimension dimension[SAMPLER_MAX_DIMENSIONS];
    int n;
} Space;

static Status read_axis(Space *s, const char *name, json_t *value, Err *err) {
    const OptSpec *spec = options_find(s->algorithm->options, name);
    if (!spec) spec = options_find(model_common_options, name);
    if (!spec) {
        const OptSpec *tables[] = {s->algorithm->options, model_common_options, NULL};
        return options_unknown(tables, name, err);
    }
    if (strcmp(name, "init_from") == 0) return fail(err, ST_BADARG, "init_from cannot be tuned: the version has seen what is held out");
    if (s->n == SAMPLER_MAX_DIMENSIONS) return fail(err, ST_BADARG, "space: more than %d options", SAMPLER_MAX_DIMENSIONS);
    Axis *axis = &s->axis[s->n];
    *axis = (Axis){.name = name, .whole = spec->kind == OPT_INT};
    if (json_is_array(value) && json_array_size(value) > 0) {
        axis->choices = value;
        s->dimension[s->n++] = (Dimension){(int64_t)json_array_size(value)};
        return ST_OK;
    }
    json_t *min = json_object_get(value, "min"), *max = json_object_get(value, "max");
    axis->log = json_is_true(json_object_get(value, "log"));
    axis->min = json_number_value(min);
    axis->max = json_number_value(max);
    if ((spec->kind != OPT_INT && spec->kind != OPT_REAL) || !json_is_number(min) || !json_is_number(max) || !(axis->min < axis->max) || (axis->log && axis->min <= 0))
        return fail(err, ST_BADARG, "space: %.40s must be a list of values, or {\"min\":a,\"max\":b} of a number, with \"log\":true where a is above 0", name);
    if (axis->min < spec->min || axis->max > spec->max) return fail(err, ST_BADARG, "space: %.40s may be %g to %g", name, spec->min, spec->max);
    s->dimension[s->n++] = (Dimension){0};
    return ST_OK;
}

/* space: the call's JSON object, or NULL for the algorithm's own. */
static Status space_init(Space *s, const Algorithm *algorithm, json_t *space, Err *err) {
    json_error_t json_error;
    const char *name;
    json_t *value;
    *s = (Space){.algorithm = algorithm};
    if (!space && !algorithm->tune_space) return fail(err, ST_BADARG, "algorithm %s has no space of its own: give \"space\"", algorithm->name);
    s->root = space ? json_incref(space) : json_loads(algorithm->tune_space, 0, &json_error);
    if (!s->root) return fail_nomem(err, "the space");
    if (!json_is_object(s->root) || json_object_size(s->root) == 0) return fail(err, ST_BADARG, "space must be an object such as {\"neighbours\":[20,50,100]}");
    json_object_foreach(s->root, name, value) TRY(read_axis(s, name, value, err));
    return ST_OK;
}

/* Six digits, as long as that stays within the range. */
static double readable(const Axis *axis, double at) {
    char text[40];
    sqlite3_snprintf(sizeof text, text, "%.6g", at);
    double rounded = strtod(text, NULL);
    return rounded >= axis->min && rounded <= axis->max ? rounded : at;
}

/* {"algorithm":..., option: value, ...} of a point. */
static char *setting_json(const Space *s, const double *place) {
    json_t *root = json_object();
    json_object_set_new(root, "algorithm", json_string(s->algorithm->name));
    for (int i = 0; i < s->n; i++) {
        const Axis *axis = &s->axis[i];
        double at = axis->log ? axis->min * pow(axis->max / axis->min, place[i]) : axis->min + (axis->max - axis->min) * place[i];
        if (axis->choices)
            json_object_set(root, axis->name, json_array_get(axis->choices, (size_t)place[i]));
        else
            json_object_set_new(root, axis->name, axis->whole ? json_integer((json_int_t)llround(at)) : json_real(readable(axis, at)));
    }
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(root);
    return text;
}

/* ---- trials ---- */

typedef struct Tried {
    const Algorithm *algorithm;
    char *options; /* json_dumps' */
    double value;
    int32_t users;
    double seconds;
} Tried;

typedef struct Tuning {
    const ModelDefinition *definition;
    TuneCall call;
    EventSet events;
    uint8_t *held;
    Tried *tried;
    int64_t n;
    double started;
    Task task;
} Tuning;

static Status list_items(void *host, Dataset *data, Err *err) {
    return items_list(host, data, err);
}

static Status read_items(void *host, Dataset *data, Err *err) {
    return items_read(host, data, err);
}

static Status run_setting(Tuning *t, const char *options, TrialResult *out, const Algorithm **algorithm, Err *err) {
    ModelDefinition d = *t->definition; /* its texts stay the definition's */
    Setting setting;
    EvaluateOptions evaluate = {.k = {t->call.k}, .n_k = 1, .exclude_seen = (int)t->call.exclude_seen};
    TRY(train_setting(&d, options, &setting, err));
    d.algorithm = setting.algorithm;
    *algorithm = setting.algorithm;
    if (d.session && setting.algorithm->by_session) return fail(err, ST_BADARG, "%s on a model with session= cannot be tuned", setting.algorithm->name);
    Catalogue catalogue = {&d, list_items, read_items};
    return trial_run(out, &t->events, t->held, &setting, &evaluate, &catalogue, &t->task, err);
}

/* Take over options, and what came out. A setting that is refused is a trial without a value. */
static Status try_setting(Tuning *t, const Algorithm *algorithm, char *options, Err *err) {
    TrialResult result = {0};
    const Algorithm *same;
    Err own = {0};
    Status status = run_setting(t, options, &result, &same, &own);
    if (status != ST_OK && status != ST_BADARG) {
        *err = own;
        free(options);
        return status;
    }
    double value = status == ST_OK ? result.value[t->call.metric][0] : NAN;
    t->tried[t->n++] = (Tried){algorithm, options, value, result.users, result.seconds};
    return ST_OK;
}

static int out_of_time(const Tuning *t) {
    return t->call.seconds > 0 && task_clock() - t->started > t->call.seconds;
}

/* trials settings of one algorithm. */
static Status explore(Tuning *t, const Algorithm *algorithm, json_t *space, int64_t trials, Err *err) {
    Space s = {0};
    Random random;
    Status status = ST_OK;
    Trial *trial = mem_zeros((size_t)trials, sizeof *trial);
    int64_t known = 0;
    random_init(&random, (uint64_t)t->call.seed, 0);
    if (t->definition->session && algorithm->by_session) status = fail(err, ST_BADARG, "%s on a model with session= cannot be tuned", algorithm->name);
    if (status == ST_OK) status = trial ? space_init(&s, algorithm, space, err) : fail_nomem(err, "the trials");
    for (int64_t i = 0; status == ST_OK && i < trials && !out_of_time(t); i++) {
        double place[SAMPLER_MAX_DIMENSIONS];
        if (t->call.sampler == SAMPLER_GRID && !sampler_grid(i, GRID_STEPS, s.dimension, s.n, place)) break;
        if (t->call.sampler == SAMPLER_RANDOM) sampler_random(&random, s.dimension, s.n, place);
        if (t->call.sampler == SAMPLER_TPE) status = sampler_tpe(&random, s.dimension, s.n, trial, known, place, err);
        char *options = status == ST_OK ? setting_json(&s, place) : NULL;
        if (status == ST_OK && !options) status = fail_nomem(err, "the trials");
        if (status == ST_OK) status = try_setting(t, algorithm, options, err);
        if (status != ST_OK || isnan(t->tried[t->n - 1].value)) continue;
        memcpy(trial[known].place, place, sizeof place);
        trial[known++].value = t->tried[t->n - 1].value;
    }
    json_decref(s.root);
    mem_free(trial);
    return status;
}

static Status explore_all(Tuning *t, json_t *space, Err *err) {
    static const char *const automatic[] = {"popular", "item_knn", "ials", "slim", "repeat"};
    const int n = (int)(sizeof automatic / sizeof *automatic);
    const char *name = t->call.algorithm;
    if (strcmp(name, "auto") != 0) {
        const Algorithm *algorithm = *name ? algorithm_find(name) : t->definition->algorithm;
        return algorithm ? explore(t, algorithm, space, t->call.trials, err) : fail(err, ST_BADARG, "algorithm=%.40s (auto, or one of rec_options)", name);
    }
    if (space) return fail(err, ST_BADARG, "space belongs to one algorithm, not to auto");
    for (int i = 0; i < n; i++) TRY(explore(t, algorithm_find(automatic[i]), NULL, (t->call.trials + i) / n, err));
    return ST_OK;
}

/* ---- reading what is asked ---- */

/* "space" is taken out of the JSON, the rest goes through the table. */
static Status read_call(const char *text, TuneCall *call, json_t **space, const char *also, json_t **other, Err *err) {
    json_error_t json_error;
    OptTarget target = {tune_options, call};
    options_default(tune_options, call);
    json_t *root = json_loads(text ? text : "{}", JSON_REJECT_DUPLICATES, &json_error);
    if (json_lacks_memory(root, &json_error)) return fail_nomem(err, "the options");
    *space = json_incref(json_object_get(root, "space"));
    json_object_del(root, "space");
    if (also) *other = json_incref(json_object_get(root, also));
    if (also) json_object_del(root, also);
    char *rest = json_is_object(root) ? json_dumps(root, 0) : NULL;
    Status status = !json_is_object(root) ? fail(err, ST_BADARG, "options: %s (a JSON object such as {\"trials\":30})", root ? "not an object" : json_error.text)
                    : rest               ? options_set_json(&target, 1, rest, err)
                                         : fail_nomem(err, "the options");
    free(rest);
    json_decref(root);
    return status;
}

static Status open_tuning(Tuning *t, EventsReader *reader, Err *err) {
    if (t->call.split != SPLIT_RANDOM && !t->definition->time) return fail(err, ST_BADARG, "split=time and split=last need the model's time= column (or split=random)");
    TRY(event_set_init(&t->events, err));
    TRY(events_read_set(reader, &t->events, err));
    t->held = mem_array((size_t)t->events.n, 1);
    return t->held ? ST_OK : fail_nomem(err, "the split");
}

static void close_tuning(Tuning *t) {
    for (int64_t i = 0; i < t->n; i++) free(t->tried[i].options);
    mem_free(t->tried);
    mem_free(t->held);
    event_set_clear(&t->events);
}

/* The value of the active version's setting, NaN where there is none. */
static Status judge_active(Tuning *t, double *value, Err *err) {
    char *options;
    TrialResult result;
    const Algorithm *algorithm;
    *value = NAN;
    TRY(store_active_options(t->definition, &options, err));
    if (!options) return ST_OK;
    Status status = run_setting(t, options, &result, &algorithm, err);
    if (status == ST_OK) *value = result.value[t->call.metric][0];
    sqlite3_free(options);
    return status;
}

static int64_t best_trial(const Tuning *t) {
    int64_t best = -1;
    for (int64_t i = 0; i < t->n; i++)
        if (!isnan(t->tried[i].value) && (best < 0 || t->tried[i].value > t->tried[best].value)) best = i;
    return best;
}

static Status store_trials(const Tuning *t, Err *err) {
    const ModelDefinition *d = t->definition;
    sqlite3_int64 tuning;
    const char *metric = ranking_metric_name((RankingMetric)t->call.metric);
    TRY(glue_execute(d->db, err, "CREATE TABLE IF NOT EXISTS \"%w\".\"%w_trials\"(" TRIALS_COLUMNS ")", d->schema, d->name));
    TRY(glue_integer(d->db, 0, &tuning, err, "SELECT coalesce(max(tuning), 0) + 1 FROM \"%w\".\"%w_trials\"", d->schema, d->name));
    for (int64_t i = 0; i < t->n; i++) {
        char value[40] = "NULL";
        if (!isnan(t->tried[i].value)) sqlite3_snprintf(sizeof value, value, "%!.17g", t->tried[i].value);
        TRY(glue_execute(d->db, err, "INSERT INTO \"%w\".\"%w_trials\"(tuning, algorithm, options, metric, k, value, users, seconds, seed) VALUES(%lld, %Q, %Q, %Q, %lld, %s, %d, %!.6g, %lld)", d->schema, d->name, tuning,
                         t->tried[i].algorithm->name, t->tried[i].options, metric, (sqlite3_int64)t->call.k, value, (int)t->tried[i].users, t->tried[i].seconds, (sqlite3_int64)t->call.seed));
    }
    return ST_OK;
}

/* All trials answer the same question, repeats or not: what the algorithm that was asked for, else the model's, offers by itself. */
static int64_t own_rule(const Tuning *t) {
    const Algorithm *algorithm = *t->call.algorithm ? algorithm_find(t->call.algorithm) : NULL;
    return !(algorithm ? algorithm : t->definition->algorithm)->keeps_seen;
}

static Status tune_all(Tuning *t, json_t *space, EventsReader *reader, double *active, Err *err) {
    TRY(open_tuning(t, reader, err));
    TRY(split_events(&t->events, (SplitKind)t->call.split, t->call.share, 0, t->call.folds, (uint64_t)t->call.seed, t->held, err));
    t->tried = mem_zeros((size_t)t->call.trials + 8, sizeof *t->tried);
    if (!t->tried) return fail_nomem(err, "the trials");
    if (t->call.exclude_seen < 0) t->call.exclude_seen = own_rule(t);
    if (t->call.activate == IF_BETTER) TRY(judge_active(t, active, err));
    return explore_all(t, space, err);
}

Status tune_model(const ModelDefinition *definition, EventsReader *reader, const char *options, sqlite3_int64 *version, Err *err) {
    Tuning t = {.definition = definition, .started = task_clock()};
    json_t *space = NULL;
    double active = NAN;
    Job job;
    Status status = read_call(options, &t.call, &space, NULL, NULL, err);
    if (status == ST_OK) status = progress_begin(&job, "tune", definition->name, &t.task, definition->db, (int)t.call.progress, err);
    if (status == ST_OK) {
        status = tune_all(&t, space, reader, &active, err);
        progress_end(&job);
    }
    int64_t best = status == ST_OK ? best_trial(&t) : -1;
    int wanted = best >= 0 && (t.call.activate == ALWAYS || (t.call.activate == IF_BETTER && (isnan(active) || t.tried[best].value > active)));
    Model *model = NULL;
    int activate;
    if (wanted) status = train_model(definition, reader, t.tried[best].options, &model, &activate, err);
    if (status == ST_OK) status = store_trials(&t, err);
    if (status == ST_OK && model) status = store_put(definition, model, 1, "tune", version, err);
    model_free(model);
    json_decref(space);
    close_tuning(&t);
    return status;
}

/* ---- rec_crossval(model [, options]) ---- */

static Status emit_fold(RowSink *sink, const TrialResult *result, int64_t fold, int64_t k) {
    for (int m = 0; m < N_RANKING_METRICS; m++) {
        row_integer(sink, fold);
        row_text(sink, ranking_metric_name((RankingMetric)m));
        row_integer(sink, k);
        row_number(sink, result->value[m][0]);
        row_integer(sink, result->users);
        row_real(sink, result->seconds);
    }
    return ST_OK;
}

static Status each_fold(Tuning *t, EventsReader *reader, const char *options, RowSink *sink, Err *err) {
    const Algorithm *algorithm;
    t->call.split = SPLIT_RANDOM;
    TRY(open_tuning(t, reader, err));
    for (int64_t fold = 0; fold < t->call.folds; fold++) {
        TrialResult result;
        TRY(split_events(&t->events, SPLIT_RANDOM, 0, fold, t->call.folds, (uint64_t)t->call.seed, t->held, err));
        TRY(run_setting(t, options, &result, &algorithm, err));
        TRY(emit_fold(sink, &result, fold + 1, t->call.k));
    }
    return ST_OK;
}

static Status crossval_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ModelDefinition d = {0};
    EventsReader reader = {.definition = &d};
    Tuning t = {.definition = &d};
    json_t *space = NULL, *train = NULL;
    Job job;
    const char *text = argv[1] && sqlite3_value_type(argv[1]) != SQLITE_NULL ? (const char *)sqlite3_value_text(argv[1]) : NULL;
    Status status = read_call(text, &t.call, &space, "train", &train, err);
    if (status == ST_OK && space) status = fail(err, ST_BADARG, "rec_crossval judges one setting: give it as \"train\"");
    if (status == ST_OK) status = definition_find(&d, db, (const char *)sqlite3_value_text(argv[0]), err);
    if (status == ST_OK && train && !json_is_object(train)) status = fail(err, ST_BADARG, "train must be an object of options, such as {\"algorithm\":\"ials\"}");
    if (status == ST_OK && (json_object_get(train, "init_from") || json_object_get(train, "until"))) status = fail(err, ST_BADARG, "train: init_from and until have no place in a cross-validation");
    char *options = status == ST_OK && train ? json_dumps(train, JSON_COMPACT) : NULL;
    if (status == ST_OK && train && !options) status = fail_nomem(err, "the options");
    if (status == ST_OK) status = progress_begin(&job, "crossval", d.name, &t.task, db, (int)t.call.progress, err);
    if (status == ST_OK) {
        status = each_fold(&t, &reader, options, sink, err);
        progress_end(&job);
    }
    free(options);
    json_decref(space);
    json_decref(train);
    close_tuning(&t);
    events_reader_clear(&reader);
    definition_clear(&d);
    return status;
}

int register_crossval(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_crossval",
        .columns = "fold INTEGER, metric TEXT, k INTEGER, value REAL, users INTEGER, train_seconds REAL",
        .n_columns = 6,
        .arguments = ", model_name HIDDEN, options HIDDEN",
        .n_arguments = 2,
        .n_required = 1,
        .fill = crossval_fill,
    };
    return row_table_register(db, &table);
}
