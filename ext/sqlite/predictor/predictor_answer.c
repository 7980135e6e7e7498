#include "predictor_answer.h"

#include <string.h>

#include "../../base/date.h"
#include "../../base/memory.h"
#include "../host/cache.h"
#include "../versions/version_fallback.h"

const OptSpec answer_options[] = {
    {"version", OPT_TEXT, offsetof(AnswerOptions, version), 0, ROUTE_NAME, 0, "",
        "the number of a version, or an alias; default: what is live"},
    {"coverage", OPT_REAL, offsetof(AnswerOptions, coverage), .01, .9999, .9, NULL,
        "how often low .. high holds the number"},
    {0},
};

void held_clear(HeldVersion *held) {
    asker_free(held->asker);
    mem_free(held->cell);
    mem_free(held->place);
    cache_release(held->predictor);
    *held = (HeldVersion){0};
}

void answers_close(Answers *answers) {
    for (size_t i = 0; i < sizeof answers->held / sizeof *answers->held; i++)
        held_clear(&answers->held[i]);
    if (answers->table) predictor_table_release(answers->table);
    *answers = (Answers){0};
}

static Status open(Answers *answers, Err *err) {
    PredictorTable *table = answers->table;
    sqlite3_int64 version;
    TRY(live_named_version(&table->definition.id, answers->options.version, &version, err));
    TRY(store_lookup(&table->definition.id, &table->lookup, version, &answers->name,
        version ? NULL : &table->live, err));
    if (!version) answers->experiment = table->live.live.experiment;
    answers->now = experiment_is_timed(&answers->experiment) ? live_clock() : 0;
    return ST_OK;
}

Status answers_open(Answers *out, PredictorTable *table, const AnswerOptions *options, Err *err) {
    *out = (Answers){.table = table, .options = *options};
    return open(out, err);
}

Status held_open(HeldVersion *held, Predictor *predictor, Err *err) {
    size_t n = (size_t)predictor->n_columns;
    held->predictor = predictor;
    held->cell = mem_array(n, sizeof *held->cell);
    held->place = mem_array(n, sizeof *held->place);
    if (!held->cell || !held->place) return fail_nomem(err, "the prediction");
    for (size_t i = 0; i < n; i++) held->place[i] = -1;
    return (held->asker = asker_new(predictor, err)) ? ST_OK : ST_NOMEM;
}

Status predictor_of_version(
    sqlite3 *db, sqlite3_value *name, const char *version, Predictor **out, Err *err) {
    PredictorDefinition definition;
    sqlite3_int64 number;
    void *object = NULL;
    *out = NULL;
    TRY(predictor_definition_find(&definition, db, value_text(name), err));
    Status status = live_named_version(&definition.id, version, &number, err);
    if (status == ST_OK) status = store_take(&definition.id, number, &object, err);
    *out = object;
    predictor_definition_clear(&definition);
    return status;
}

typedef struct VersionOption {
    char version[ROUTE_NAME];
} VersionOption;

static const OptSpec version_option[] = {
    {"version", OPT_TEXT, offsetof(VersionOption, version), 0, ROUTE_NAME, 0, "",
        "a number or an alias; default: the active version"},
    {0},
};

Status predictor_of_options(
    sqlite3 *db, sqlite3_value *name, sqlite3_value *options, Predictor **out, Err *err) {
    VersionOption option;
    OptTarget target = {version_option, &option};
    TRY(value_options(&target, 1, options, err));
    return predictor_of_version(db, name, option.version, out, err);
}

typedef struct Loading {
    const Versioned *versioned;
    void *object; /* a reference into the cache */
    sqlite3_int64 version;
} Loading;

static Status load_this(void *context, const VersionName *name, Err *err) {
    Loading *loading = context;
    loading->version = name->version;
    return store_load(loading->versioned, name, &loading->object, err);
}

static Status hold(Answers *answers, HeldVersion *held, const VersionName *name, Err *err) {
    PredictorTable *table = answers->table;
    const Versioned *versioned = &table->definition.id;
    Loading loading = {.versioned = versioned};
    Status status = load_this(&loading, name, err);
    if (version_is_damaged(status) && !*answers->options.version) {
        Err later = {0};
        Status other = version_take_earlier(
            versioned, &table->lookup, name->version, load_this, &loading, &later);
        if (other != ST_OK && other != ST_BADARG) *err = later;
        if (other != ST_BADARG) status = other;
    }
    TRY(status);
    TRY(held_open(held, loading.object, err));
    if (loading.version != name->version)
        table->versions.fall_back = (FallBack){name->version, loading.version};
    held->version = loading.version;
    return ST_OK;
}

Status answers_for(Answers *answers, const Key *unit, HeldVersion **out, Err *err) {
    const Experiment *experiment = &answers->experiment;
    PredictorTable *table = answers->table;
    VersionName name = answers->name;
    int arm = -1;
    if (unit && experiment->n && !experiment_arm(experiment, *unit, answers->now, &arm))
        return fail_nomem(err, "the arm");
    *out = &answers->held[arm + 1];
    if ((*out)->version) return ST_OK;
    if (arm >= 0)
        TRY(store_lookup(
            &table->definition.id, &table->lookup, experiment->version[arm], &name, NULL, err));
    Status status = hold(answers, *out, &name, err);
    if (status != ST_OK) held_clear(*out);
    else if (arm >= 0) memcpy((*out)->arm, experiment->arm[arm].name, sizeof(*out)->arm);
    return status;
}

Cell cell_of_value(sqlite3_value *value) {
    Cell cell = {0};
    switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER: return cell_of_integer(sqlite3_value_int64(value));
    case SQLITE_FLOAT: return cell_of_number(sqlite3_value_double(value));
    case SQLITE_TEXT:
        cell.bytes = (const char *)sqlite3_value_text(value);
        cell.len = (size_t)sqlite3_value_bytes(value);
        cell.type = cell.bytes ? CELL_TEXT : CELL_NULL;
        return cell;
    case SQLITE_BLOB:
        cell.type = CELL_BLOB;
        cell.bytes = sqlite3_value_blob(value);
        cell.len = (size_t)sqlite3_value_bytes(value);
        return cell;
    default: return cell;
    }
}

static void result_vector(sqlite3_context *context, const double *x, int32_t n) {
    float *out = mem_array((size_t)n, sizeof *out);
    if (!out) {
        sqlite3_result_error_nomem(context);
        return;
    }
    for (int32_t i = 0; i < n; i++) out[i] = (float)x[i];
    sqlite3_result_blob64(context, out, (sqlite3_uint64)n * sizeof *out, SQLITE_TRANSIENT);
    mem_free(out);
}

/* As it stands in the examples: a number that is no whole one is kept as its text. */
static void result_class(sqlite3_context *context, const Predictor *predictor, int32_t id) {
    Key key = keymap_key(predictor->classes, id);
    double number;
    if (key.text && predictor->classes_are_numbers && number_parse(key.text, key.len, &number))
        sqlite3_result_double(context, number);
    else result_key(context, key);
}

void result_prediction(
    sqlite3_context *context, const Predictor *predictor, const Prediction *prediction) {
    switch (predictor->task) {
    case LEARN_CLASSES: result_class(context, predictor, prediction->best); break;
    case LEARN_SEGMENTS: sqlite3_result_int64(context, prediction->best); break;
    case LEARN_COMPONENTS:
        result_vector(context, prediction->score, predictor_scores(predictor));
        break;
    default: sqlite3_result_double(context, prediction->value);
    }
}

/* A class as a name of a member: its text, or its digits. */
static void class_name(Key key, Bytes *out) {
    if (key.text) bytes_json_string(out, key.text, key.len);
    else bytes_format(out, "\"%lld\"", (long long)key.integer);
}

void probabilities_json(const Predictor *predictor, const Prediction *prediction, Bytes *out) {
    int32_t n = predictor_classes(predictor);
    bytes_append(out, "{", 1);
    for (int32_t i = 0; i < n; i++) {
        if (i) bytes_append(out, ",", 1);
        class_name(keymap_key(predictor->classes, i), out);
        bytes_format(out, ":%.9g", prediction->probability[i]);
    }
    bytes_append(out, "}", 1);
}
