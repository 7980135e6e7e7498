#include "model_files.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "../base/json.h"
#include "../base/memory.h"
#include "../base/text.h"
#include "learners.h"

const OptSpec model_file_options[] = {
    {"columns", OPT_TEXT, offsetof(ModelFileOptions, columns), 0, 8000, 0, "",
        "names of the features in their order, as a JSON array; default: the file's"},
    {"classes", OPT_TEXT, offsetof(ModelFileOptions, classes), 0, 4000, 0, "",
        "labels in the order of the file's classes, as a JSON array; default: 0, 1, .."},
    {0},
};

/* ---- the predictor around them ---- */

static Status rename_columns(ModelFile *file, const char *json, Err *err) {
    json_error_t json_error;
    size_t i;
    json_t *name, *root = *json ? json_loads(json, 0, &json_error) : NULL;
    if (!*json) return ST_OK;
    Status status = ST_OK;
    if (json_lacks_memory(root, &json_error)) return fail_nomem(err, "the columns");
    if (json_array_size(root) != (size_t)file->n_names)
        status = fail(err, ST_BADARG, "columns: an array of %d names", (int)file->n_names);
    json_array_foreach(root, i, name) {
        const char *text = json_text(name);
        if (status != ST_OK) break;
        if (!text) status = fail(err, ST_BADARG, "columns: a name is no text");
        if (status != ST_OK) break;
        mem_free(file->name[i]);
        if (!(file->name[i] = mem_text(text, strlen(text))))
            status = fail_nomem(err, "the columns");
    }
    json_decref(root);
    return status;
}

static Status add_class(KeyMap *classes, const json_t *label, int *are_numbers, Err *err) {
    int32_t id, before = keymap_count(classes);
    const char *text = json_string_value(label);
    Key key = text ? (Key){.text = text, .len = json_string_length(label)}
                   : (Key){.integer = json_integer_value(label)};
    if (!text && !json_is_integer(label))
        return fail(err, ST_BADARG, "classes: a label is neither a text nor a whole number");
    *are_numbers &= !text;
    TRY(keymap_add(classes, key, &id, err));
    return id == before ? ST_OK : fail(err, ST_BADARG, "classes: a label twice");
}

static Status set_classes(
    Predictor *predictor, int32_t n, json_t *own, const char *json, Err *err) {
    json_error_t json_error;
    Status status = ST_OK;
    if (!(predictor->classes = keymap_new())) return fail_nomem(err, "the classes");
    predictor->classes_are_numbers = 1;
    json_t *root = *json ? json_loads(json, 0, &json_error) : json_incref(own);
    if (*json && json_lacks_memory(root, &json_error)) return fail_nomem(err, "the classes");
    if ((*json || own) && json_array_size(root) != (size_t)n)
        status = fail(err, ST_BADARG, "classes: an array of %d labels", (int)n);
    for (int32_t i = 0; i < n && status == ST_OK; i++) {
        json_t *label = root ? json_array_get(root, (size_t)i) : json_integer(i);
        status = label ? add_class(predictor->classes, label, &predictor->classes_are_numbers, err)
                       : fail_nomem(err, "the classes");
        if (!root) json_decref(label);
    }
    json_decref(root);
    return status;
}

/* Numbers as they are, missing ones as NaN. */
static Status set_features(Predictor *predictor, ModelFile *file, Err *err) {
    FeatureSet *set = &predictor->features;
    size_t n = (size_t)file->n_names;
    predictor->column = mem_zeros(n, sizeof *predictor->column);
    set->feature = mem_zeros(n, sizeof *set->feature);
    set->source = mem_array(n, 2 * sizeof *set->source);
    predictor->importance = mem_zeros(n, sizeof(double));
    predictor->permuted = mem_array(n, sizeof(double));
    predictor->background = mem_zeros(n, sizeof(float));
    if (!predictor->column || !set->feature || !set->source || !predictor->importance ||
        !predictor->permuted || !predictor->background)
        return fail_nomem(err, "the predictor");
    predictor->n_columns = set->n = file->n_names;
    for (int32_t i = 0; i < file->n_names; i++) {
        Feature *feature = &set->feature[i];
        const char *name = file->name[i];
        *feature = (Feature){.kind = FEATURE_NUMBER, .width = 1, .scale = 1};
        options_default(feature_options, &feature->options);
        feature->options.kind = FEATURE_NUMBER;
        feature->options.missing = file->linear ? MISSING_ERROR : MISSING_NATIVE;
        feature->options.scale = SCALE_NONE;
        feature->options.encode = ENCODE_ONEHOT;
        set->source[2 * i] = i;
        set->source[2 * i + 1] = -1;
        predictor->permuted[i] = predictor->background[i] = NAN;
        predictor->column[i] = mem_text(name, strlen(name));
        feature->name = mem_text(name, strlen(name));
        if (!feature->name || !predictor->column[i]) return fail_nomem(err, "the predictor");
    }
    return feature_set_lay_out(set, err);
}

/* What each column's splits gave, as shares. */
static void weigh(Predictor *predictor) {
    double sum = 0;
    predictor->learner->importance(predictor->state, predictor->importance);
    for (int32_t i = 0; i < predictor->features.n; i++) sum += predictor->importance[i];
    for (int32_t i = 0; i < predictor->features.n && sum > 0; i++) predictor->importance[i] /= sum;
}

static const Learner *learner_of(const ModelFile *file) {
    if (file->linear) return file->n_classes ? &logistic_learner : &linear_learner;
    return file->has_probabilities ? &forest_learner : &boosting_learner;
}

static Status wrap(
    Predictor *predictor, ModelFile *file, const ModelFileOptions *options, Err *err) {
    predictor->learner = learner_of(file);
    options_default(predictor_options, &predictor->common);
    options_default(predictor->learner->options, &predictor->params);
    predictor->task = file->n_classes ? LEARN_CLASSES
        : file->is_ranking            ? LEARN_RANKING
                                      : LEARN_NUMBER;
    if (!file->name) TRY(model_file_number_names(file, file->n_names, err));
    TRY(rename_columns(file, options->columns, err));
    TRY(set_features(predictor, file, err));
    if (file->n_classes)
        TRY(set_classes(predictor, file->n_classes, file->classes, options->classes, err));
    predictor->state = file->trees ? (void *)file->trees : file->linear;
    file->trees = NULL;
    file->linear = NULL;
    weigh(predictor);
    return ST_OK;
}

/* A protobuf of ONNX begins with the field ir_version, a varint. */
Status model_file_read(
    Predictor **out, const char *text, size_t len, const ModelFileOptions *options, Err *err) {
    ModelFile file = {0};
    size_t at = 0;
    *out = NULL;
    while (at < len && strchr(" \t\r\n", text[at]) && text[at]) at++;
    char *copy = mem_text(text, len); /* it ends with NUL: numbers end there at the latest */
    if (!copy) return fail_nomem(err, "the model");
    text = copy;
    Status status = len && text[0] == 8 ? onnx_read(&file, text, len, err)
        : at < len && text[at] == '{'   ? xgboost_read(&file, text, len, err)
                                        : lightgbm_read(&file, text, len, err);
    Predictor *predictor = status == ST_OK ? mem_zeros(1, sizeof *predictor) : NULL;
    if (status == ST_OK)
        status = predictor ? wrap(predictor, &file, options, err)
                           : fail_nomem(err, "the predictor");
    model_file_clear(&file);
    mem_free(copy);
    *out = predictor;
    return status;
}
