#include "onnx_predictor.h"

#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"

/* "calibrated", N x scores: 1 / (1 + exp(-(a s + b))). */
static Status calibrated(const Predictor *predictor, OnnxGraph *g, Err *err) {
    int32_t n = predictor_scores(predictor);
    double *numbers = mem_array((size_t)n, 2 * sizeof *numbers);
    if (!numbers) return fail_nomem(err, "the model");
    Status status = ST_OK;
    for (int32_t i = 0; i < n && status == ST_OK; i++) {
        const Calibration *own = &predictor->calibration[i];
        if (own->kind != CALIBRATION_PLATT)
            status = fail(err, ST_BADARG, "calibrate=isotonic has no operator in ONNX (platt)");
        numbers[i] = own->a;
        numbers[n + i] = own->b;
    }
    onnx_doubles(g, "platt_a", numbers, 1, n);
    onnx_doubles(g, "platt_b", numbers + n, 1, n);
    onnx_node(g, "Mul", ONNX_IN("scores", "platt_a"), "platt_slope");
    onnx_node(g, "Add", ONNX_IN("platt_slope", "platt_b"), "platt_score");
    onnx_node(g, "Sigmoid", ONNX_IN("platt_score"), "calibrated");
    mem_free(numbers);
    return status;
}

/* "probabilities" of "scores", as predictor.c makes them. */
static Status probabilities(const Predictor *predictor, OnnxGraph *g, Err *err) {
    int natural = predictor->learner->gives_probabilities;
    static const char *const both[] = {"p0", "p1"};
    if (predictor->calibration) TRY(calibrated(predictor, g, err));
    if (predictor_classes(predictor) == 2) {
        onnx_number(g, "one", 1);
        if (predictor->calibration) {
            onnx_node(g, "Identity", ONNX_IN("calibrated"), "p1");
        } else if (natural) {
            onnx_number(g, "zero", 0);
            onnx_node(g, "Max", ONNX_IN("scores", "zero"), "above");
            onnx_node(g, "Min", ONNX_IN("above", "one"), "p1");
        } else {
            onnx_node(g, "Sigmoid", ONNX_IN("scores"), "p1");
        }
        onnx_node(g, "Sub", ONNX_IN("one", "p1"), "p0");
        onnx_concat(g, both, 2, "probabilities");
    } else if (predictor->calibration) {
        onnx_row_sum(g, "calibrated", "all");
        onnx_node(g, "Div", ONNX_IN("calibrated", "all"), "probabilities");
    } else if (natural) {
        onnx_node(g, "Identity", ONNX_IN("scores"), "probabilities");
    } else {
        onnx_int(g, "axis", 1);
        onnx_node(g, "Softmax", ONNX_IN("scores"), "probabilities");
    }
    return ST_OK;
}

/* "label" of the place of the largest probability. */
static Status labels(const Predictor *predictor, OnnxGraph *g, Err *err) {
    int32_t n = predictor_classes(predictor);
    int texts = 0;
    char **text = onnx_key_texts(predictor->classes);
    int64_t *number = mem_array((size_t)n, sizeof *number);
    Status status = text && number ? ST_OK : fail_nomem(err, "the model");
    for (int32_t i = 0; i < n && status == ST_OK; i++) {
        Key key = keymap_key(predictor->classes, i);
        texts |= key.text != NULL;
        number[i] = key.integer;
    }
    if (status == ST_OK && texts) onnx_strings(g, "classes", (const char *const *)text, n);
    else if (status == ST_OK) onnx_int64s(g, "classes", number, n);
    onnx_int(g, "axis", 1);
    onnx_int(g, "keepdims", 0);
    onnx_node(g, "ArgMax", ONNX_IN("probabilities"), "place");
    onnx_node(g, "Gather", ONNX_IN("classes", "place"), "label");
    onnx_output(g, "label", texts ? ONNX_STRING : ONNX_INT64, 0);
    onnx_output(g, "probabilities", ONNX_DOUBLE, n);
    onnx_key_texts_free(text, n);
    mem_free(number);
    return status;
}

static void segments(OnnxGraph *g) {
    int64_t axis = 1;
    onnx_int(g, "axis", 1);
    onnx_int(g, "keepdims", 0);
    onnx_node(g, "ArgMin", ONNX_IN("scores"), "label");
    onnx_ints(g, "axes", &axis, 1);
    onnx_node(g, "ReduceMin", ONNX_IN("scores"), "least");
    onnx_node(g, "Sqrt", ONNX_IN("least"), "distance");
    onnx_output(g, "label", ONNX_INT64, 0);
    onnx_output(g, "distance", ONNX_DOUBLE, 1);
}

static Status answers(const Predictor *predictor, OnnxGraph *g, Err *err) {
    static const char *const names[] = {"prediction", "", "prediction", "", "coordinates", "score"};
    const char *name = names[predictor->task];
    switch (predictor->task) {
    case LEARN_CLASSES: TRY(probabilities(predictor, g, err)); return labels(predictor, g, err);
    case LEARN_SEGMENTS: segments(g); return ST_OK;
    default:
        onnx_node(g, "Identity", ONNX_IN("scores"), name);
        onnx_output(g, name, ONNX_DOUBLE, predictor_scores(predictor));
        return ST_OK;
    }
}

/* A column may not have the name of an output. */
static Status check_names(const Predictor *predictor, Err *err) {
    static const char *const outputs[] = {
        "label", "probabilities", "prediction", "distance", "coordinates", "score"};
    for (int32_t i = 0; i < predictor->n_columns; i++)
        for (size_t o = 0; o < sizeof outputs / sizeof *outputs; o++)
            if (strcmp(predictor->column[i], outputs[o]) == 0)
                return fail(err, ST_BADARG,
                    "feature '%s' has the name of an output of the model (input=columns)",
                    outputs[o]);
    return ST_OK;
}

static Status build(const Predictor *predictor, int by_columns, OnnxGraph *g, Err *err) {
    if (!predictor->learner->graph)
        return fail(err, ST_BADARG, "%s has no form in ONNX", predictor->learner->name);
    if (by_columns) {
        onnx_input(g, "columns", ONNX_FLOAT, predictor->features.dim, "x");
    } else {
        TRY(check_names(predictor, err));
        TRY(onnx_features(predictor, g, err));
    }
    onnx_cast(g, "x", ONNX_DOUBLE, "xd");
    TRY(predictor->learner->graph(predictor->state, g, err));
    return answers(predictor, g, err);
}

/* Names of the columns, in their order. */
static Status note_columns(const Predictor *predictor, OnnxGraph *g, Err *err) {
    Bytes json = {0}, name = {0};
    bytes_append(&json, "[", 1);
    for (int32_t c = 0; c < predictor->features.dim; c++) {
        name.len = 0;
        feature_set_column_name(&predictor->features, c, &name);
        if (c) bytes_append(&json, ",", 1);
        bytes_json_string(&json, (const char *)name.data, name.len);
    }
    bytes_append(&json, "]", 1);
    Status status = json.failed || name.failed ? fail_nomem(err, "the model") : ST_OK;
    if (status == ST_OK) onnx_note(g, "columns", (const char *)json.data, json.len);
    bytes_clear(&json);
    bytes_clear(&name);
    return status;
}

Status predictor_onnx(const Predictor *predictor, int by_columns, Bytes *out, Err *err) {
    OnnxGraph g = {0};
    char about[200];
    text_format(about, sizeof about, "sqlite-recommend %s, sha256 %s", predictor->learner->name,
        predictor->sha256);
    onnx_note(&g, "description", about, strlen(about));
    Status status = build(predictor, by_columns, &g, err);
    if (status == ST_OK && by_columns) status = note_columns(predictor, &g, err);
    if (status == ST_OK) onnx_model(&g, out);
    onnx_clear(&g);
    return status == ST_OK && out->failed ? fail_nomem(err, "the model") : status;
}
