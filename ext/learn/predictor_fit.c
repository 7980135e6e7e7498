/* The features of a predictor: what its options say of single ones, crosses, fitting. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../base/json.h"
#include "../base/memory.h"
#include "../base/text.h"
#include "feature_fit.h"
#include "predictor_train.h"

static int32_t find_column(const Columns *columns, const char *name, size_t len) {
    for (int32_t i = 0; i < columns->n_columns; i++)
        if (strlen(columns->column[i].name) == len &&
            memcmp(columns->column[i].name, name, len) == 0)
            return i;
    return -1;
}

/* The options of one feature: those of all, and its own over them. */
static Status options_of(
    FeatureOptions *out, const PredictorCommon *common, json_t *said, const char *name, Err *err) {
    json_t *own = json_object_get(said, name);
    OptTarget target = {feature_options, out};
    *out = common->prepare;
    out->kind = FEATURE_AUTO;
    if (!own) return ST_OK;
    char *text = json_is_string(own) ? NULL : json_dumps(own, JSON_ENCODE_ANY);
    Status status = json_is_string(own)
        ? options_set(options_find(feature_options, "kind"), out, json_string_value(own), err)
        : text ? options_set_json(&target, 1, text, err)
               : fail_nomem(err, "the features");
    free(text);
    if (status != ST_OK) err_prefix(err, "features: %.60s", name);
    return status;
}

/* Every name that is spoken of must be a feature's column. */
static Status read_said(const PredictorSetting *setting, const Columns *columns,
    const ExampleRoles *roles, json_t **out, Err *err) {
    const char *name;
    json_t *value;
    json_error_t json_error;
    const char *text = setting->common.features;
    *out = NULL;
    if (!*text) return ST_OK;
    *out = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    if (json_lacks_memory(*out, &json_error)) return fail_nomem(err, "the features");
    if (!json_is_object(*out))
        return fail(err, ST_BADARG, "features is no JSON object: %s", json_error.text);
    json_object_foreach(*out, name, value) {
        int32_t column = find_column(columns, name, strlen(name));
        if (column < 0)
            return fail(err, ST_BADARG, "features: the examples have no column '%.60s'", name);
        if (role_of_column(roles, column))
            return fail(err, ST_BADARG, "features: '%.60s' is no feature", name);
    }
    return ST_OK;
}

/* ---- crosses ---- */

/* The two columns of "a*b"; *text moves behind it and its comma. */
static Status next_cross(const char **text, const Columns *columns, int32_t source[2], Err *err) {
    const char *end = *text + strcspn(*text, ","),
               *star = memchr(*text, '*', (size_t)(end - *text));
    const char *part[2][2] = {{*text, star}, {star ? star + 1 : end, end}};
    if (!star) return fail(err, ST_BADARG, "crosses: '%.60s' (a*b, c*d)", *text);
    for (int i = 0; i < 2; i++) {
        const char *from = part[i][0], *to = part[i][1];
        while (from < to && ascii_is_space(*from)) from++;
        while (to > from && ascii_is_space(to[-1])) to--;
        source[i] = find_column(columns, from, (size_t)(to - from));
        if (source[i] < 0)
            return fail(err, ST_BADARG, "crosses: the examples have no column '%.*s'",
                (int)(to - from < 60 ? to - from : 60), from);
    }
    *text = *end ? end + 1 : end;
    return ST_OK;
}

/* Columns of one: the two columns' values together. *out is to be cleared, also after an error. */
static Status cross_column(
    Columns *out, const Columns *columns, const int32_t source[2], Err *err) {
    Bytes name = {0}, buffer = {0};
    FeatureSet set = {.source = (int32_t[]){0, 1}, .n = 1};
    TRY(columns_init(out, 1, err));
    bytes_format(&name, "%s*%s", columns->column[source[0]].name, columns->column[source[1]].name);
    bytes_append(&name, "", 1);
    Status status = name.failed ? fail_nomem(err, "a cross")
                                : columns_name(out, 0, (const char *)name.data, "", err);
    for (int64_t i = 0; i < columns->n_rows && status == ST_OK; i++) {
        Cell cells[2] = {column_cell(&columns->column[source[0]], i),
            column_cell(&columns->column[source[1]], i)};
        Cell cell = feature_set_cell(&set, 0, cells, &buffer);
        status = buffer.failed ? fail_nomem(err, "a cross") : columns_add(out, &cell, err);
    }
    bytes_clear(&name);
    bytes_clear(&buffer);
    return status;
}

static int count_crosses(const char *text) {
    int n = *text != 0;
    for (; *text; text++) n += *text == ',';
    return n;
}

/* ---- all of them ---- */

typedef struct Fitting {
    const PredictorSetting *setting;
    const Columns *columns;
    FitExamples examples;
    json_t *said;
    Task *task;
    FeatureSet *set;
} Fitting;

static Status fit_one(
    Fitting *f, const Column *column, int is_cross, int32_t a, int32_t b, Err *err) {
    FeatureOptions options;
    FeatureSet *set = f->set;
    int32_t i = set->n++;
    TRY(options_of(&options, &f->setting->common, is_cross ? NULL : f->said, column->name, err));
    if (is_cross) options.kind = FEATURE_CATEGORY;
    set->source[2 * i] = a;
    set->source[2 * i + 1] = b;
    TRY(feature_fit(&set->feature[i], column, &options, f->setting->learner->likes_numbers,
        &f->examples, f->task, err));
    if (set->feature[i].options.missing == MISSING_NATIVE && !f->setting->learner->likes_numbers)
        return fail(err, ST_BADARG, "missing=native is for algorithms of trees, not %s",
            f->setting->learner->name);
    return ST_OK;
}

static Status fit_crosses(Fitting *f, const int32_t *place, Err *err) {
    const char *text = f->setting->common.crosses;
    Status status = ST_OK;
    while (*text && status == ST_OK) {
        int32_t source[2];
        Columns cross = {0};
        TRY(next_cross(&text, f->columns, source, err));
        if (place[source[0]] < 0 || place[source[1]] < 0)
            return fail(err, ST_BADARG, "crosses: a column that is no feature");
        status = cross_column(&cross, f->columns, source, err);
        if (status == ST_OK)
            status = fit_one(f, cross.column, 1, place[source[0]], place[source[1]], err);
        columns_clear(&cross);
    }
    return status;
}

/* place: of a column of the examples among those that features are made of, -1 for none. */
static Status fit_all(Fitting *f, int32_t *place, Err *err) {
    int32_t n = f->columns->n_asked;
    for (int32_t i = 0; i < f->columns->n_columns; i++) place[i] = -1;
    for (int32_t i = 0; i < n; i++) place[f->columns->asked[i]] = i;
    size_t most = (size_t)(n + count_crosses(f->setting->common.crosses));
    f->set->feature = mem_zeros(most, sizeof *f->set->feature);
    f->set->source = mem_zeros(most, 2 * sizeof *f->set->source);
    if (!f->set->feature || !f->set->source) return fail_nomem(err, "the features");
    task_phase(f->task, "looking at features", "features", n, n);
    for (int32_t i = 0; i < n; i++) {
        TRY(fit_one(f, &f->columns->column[f->columns->asked[i]], 0, i, -1, err));
        atomic_fetch_add(&f->task->done, 1);
        if (task_poll(f->task)) return fail(err, ST_CANCELLED, "interrupted");
    }
    TRY(fit_crosses(f, place, err));
    TRY(feature_set_lay_out(f->set, err));
    return f->set->dim ? ST_OK
                       : fail(err, ST_BADARG,
                             "no column of the examples is a feature to learn "
                             "from: all are the same in every example, or ignored");
}

Status predictor_fit_features(FeatureSet *out, const PredictorSetting *setting,
    const Columns *columns, const ExampleRoles *roles, const Labelled *part, Task *task, Err *err) {
    Labels labels = labelled_labels(part);
    Fitting f = {.setting = setting,
        .columns = columns,
        .examples = {.row = part->row,
            .fold = part->fold,
            .n = part->n,
            .n_classes = labels.n_classes,
            .class_of = part->class_of,
            .value = part->value},
        .task = task,
        .set = out};
    *out = (FeatureSet){0};
    int32_t *place = mem_array((size_t)columns->n_columns, sizeof *place);
    Status status = place ? read_said(setting, columns, roles, &f.said, err)
                          : fail_nomem(err, "the features");
    if (status == ST_OK) status = fit_all(&f, place, err);
    json_decref(f.said);
    mem_free(place);
    return status;
}
