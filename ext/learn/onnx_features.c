/* What feature_apply does, as ONNX. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"
#include "onnx_predictor.h"

enum { NAME = 40 };

typedef struct Part {
    OnnxGraph *g;
    const Feature *feature;
    const char *input; /* the column's name */
    int number;        /* of the feature: names begin with it */
    char out[NAME];    /* the feature's columns, N x width doubles or floats */
} Part;

/* Names of a feature's tensors. */
typedef struct Name {
    char text[NAME];
} Name;
static Name named(const Part *part, const char *what) {
    Name name;
    text_format(name.text, sizeof name.text, "f%d_%s", part->number, what);
    return name;
}
#define N(what) named(part, what).text

/* ---- numbers ---- */

static void bins(const Part *part, const char *x, const char *is_missing) {
    OnnxGraph *g = part->g;
    const Feature *f = part->feature;
    int64_t edges = f->n_edges;
    double *turn = mem_zeros((size_t)(edges + 1) * (size_t)(edges + 1), sizeof *turn);
    double *first = mem_zeros((size_t)edges + 1, sizeof *first);
    if (!turn || !first) g->nodes.failed = 1;
    for (int64_t e = 0; e < edges && turn; e++) { /* beyond edge e: out of bin e, into e + 1 */
        turn[e * (edges + 1) + e] = -1;
        turn[e * (edges + 1) + e + 1] = 1;
    }
    if (turn && first) {
        first[0] = 1;
        onnx_doubles(g, N("edges"), f->edge, 1, edges);
        onnx_doubles(g, N("turn"), turn, edges, edges + 1);
        onnx_doubles(g, N("first"), first, 1, edges + 1);
        onnx_number(g, N("one"), 1);
    }
    onnx_node(g, "GreaterOrEqual", ONNX_IN(x, N("edges")), N("beyond"));
    onnx_cast(g, N("beyond"), ONNX_DOUBLE, N("steps"));
    onnx_node(g, "MatMul", ONNX_IN(N("steps"), N("turn")), N("turned"));
    onnx_node(g, "Add", ONNX_IN(N("turned"), N("first")), N("bin"));
    onnx_node(g, "Sub", ONNX_IN(N("one"), is_missing), N("there"));
    onnx_node(g, "Mul", ONNX_IN(N("bin"), N("there")), N("value"));
    mem_free(turn);
    mem_free(first);
}

static void scaled(const Part *part, const char *input) {
    OnnxGraph *g = part->g;
    const Feature *f = part->feature;
    Name x;
    text_format(x.text, NAME, "%s", input);
    onnx_number(g, N("shift"), f->shift);
    onnx_number(g, N("scale"), f->scale);
    if (f->options.missing != MISSING_NATIVE) {
        onnx_number(g, N("fill"), f->fill);
        onnx_node(g, "Where", ONNX_IN(N("nan"), N("fill"), x.text), N("filled"));
        x = named(part, "filled");
    }
    if (f->options.clip > 0) {
        onnx_number(g, N("low"), f->low);
        onnx_number(g, N("high"), f->high);
        onnx_node(g, "Max", ONNX_IN(x.text, N("low")), N("risen"));
        onnx_node(g, "Min", ONNX_IN(N("risen"), N("high")), N("clipped"));
        x = named(part, "clipped");
    }
    if (f->options.scale == SCALE_LOG) {
        onnx_number(g, N("one"), 1);
        onnx_node(g, "Abs", ONNX_IN(x.text), N("size"));
        onnx_node(g, "Sign", ONNX_IN(x.text), N("sign"));
        onnx_node(g, "Add", ONNX_IN(N("size"), N("one")), N("more"));
        onnx_node(g, "Log", ONNX_IN(N("more")), N("log"));
        onnx_node(g, "Mul", ONNX_IN(N("log"), N("sign")), N("logged"));
        x = named(part, "logged");
    }
    onnx_node(g, "Sub", ONNX_IN(x.text, N("shift")), N("shifted"));
    onnx_node(g, "Div", ONNX_IN(N("shifted"), N("scale")), N("value"));
}

static void number(Part *part) {
    OnnxGraph *g = part->g;
    const Feature *f = part->feature;
    onnx_input(g, part->input, ONNX_DOUBLE, 1, N("given"));
    onnx_node(g, "IsNaN", ONNX_IN(N("given")), N("nan"));
    onnx_cast(g, N("nan"), ONNX_DOUBLE, N("missing"));
    if (f->options.scale == SCALE_BINS) bins(part, N("given"), N("missing"));
    else scaled(part, N("given"));
    Name value = named(part, "value"), missing = named(part, "missing");
    const char *both[] = {value.text, missing.text};
    if (f->has_indicator) onnx_concat(g, both, 2, N("both"));
    onnx_cast(g, f->has_indicator ? N("both") : N("value"), ONNX_FLOAT, part->out);
}

/* ---- categories ---- */

void onnx_key_texts_free(char **text, int32_t n) {
    for (int32_t i = 0; i < n && text; i++) mem_free(text[i]);
    mem_free(text);
}

char **onnx_key_texts(const KeyMap *keys) {
    int32_t n = keymap_count(keys);
    char **text = mem_zeros((size_t)n, sizeof *text);
    for (int32_t i = 0; i < n && text; i++) {
        char buffer[32];
        Key key = keymap_key(keys, i);
        text_format(buffer, sizeof buffer, "%lld", (long long)key.integer);
        text[i] = key.text ? mem_text(key.text, key.len) : mem_text(buffer, strlen(buffer));
        if (text[i]) continue;
        onnx_key_texts_free(text, n);
        return NULL;
    }
    return text;
}

static void one_hot(Part *part, const char *const *key, int32_t n) {
    OnnxGraph *g = part->g;
    Name own = named(part, "own"), others = named(part, "others");
    const char *both[] = {own.text, others.text};
    onnx_texts(g, "cats_strings", key, n);
    onnx_int(g, "zeros", 1);
    onnx_node_ml(g, "OneHotEncoder", ONNX_IN(N("given")), N("hot"));
    onnx_int(g, "axis", 1);
    onnx_node(g, "Flatten", ONNX_IN(N("hot")), own.text);
    if (!part->feature->options.buckets) {
        onnx_node(g, "Identity", ONNX_IN(own.text), part->out);
        return;
    }
    onnx_row_sum(g, own.text, N("sum"));
    onnx_number(g, N("one"), 1);
    onnx_cast(g, N("one"), ONNX_FLOAT, N("one_float"));
    onnx_node(g, "Sub", ONNX_IN(N("one_float"), N("sum")), others.text);
    onnx_concat(g, both, 2, part->out);
}

/* A table a column: the key's number. */
static Status target(Part *part, const char *const *key, int32_t n, Err *err) {
    OnnxGraph *g = part->g;
    const Feature *f = part->feature;
    double *value = mem_array((size_t)n, sizeof *value);
    Name *name = mem_array((size_t)f->width, sizeof *name);
    const char **list = mem_array((size_t)f->width, sizeof *list);
    Status status = value && name && list ? ST_OK : fail_nomem(err, "the model");
    for (int32_t c = 0; c < f->width && status == ST_OK; c++) {
        for (int32_t i = 0; i < n; i++)
            value[i] = f->weight[(size_t)i * (size_t)f->width + (size_t)c];
        onnx_texts(g, "keys_strings", key, n);
        onnx_floats(g, "values_floats", value, n);
        onnx_float(g, "default_float", f->weight[(size_t)n * (size_t)f->width + (size_t)c]);
        text_format(name[c].text, NAME, "f%d_mean%d", part->number, (int)c);
        list[c] = name[c].text;
        onnx_node_ml(g, "LabelEncoder", ONNX_IN(N("given")), name[c].text);
    }
    if (status == ST_OK) onnx_concat(g, list, f->width, part->out);
    mem_free(value);
    mem_free(name);
    mem_free(list);
    return status;
}

/* A number and the text of its digits are two categories here, and one in ONNX. */
static Status check_keys(const Feature *f, const char *const *key, int32_t n, Err *err) {
    if (!n) return fail(err, ST_BADARG, "feature '%.60s' has no category (input=columns)", f->name);
    for (int32_t i = 0; i < n; i++) {
        Key number = keymap_key(f->keys, i);
        if (number.text) continue;
        Key text = {.text = key[i], .len = strlen(key[i])};
        if (keymap_find(f->keys, text) >= 0)
            return fail(err, ST_BADARG,
                "feature '%.60s' has %s as a number and as a text (input=columns)", f->name,
                key[i]);
    }
    return ST_OK;
}

static Status category(Part *part, Err *err) {
    const Feature *f = part->feature;
    int32_t n = keymap_count(f->keys);
    if (f->options.encode != ENCODE_TARGET && f->options.buckets > 1)
        return fail(err, ST_BADARG,
            "feature '%.60s' has more than one bucket of a hash, which ONNX has not (buckets=1, or "
            "input=columns)",
            f->name);
    char **key = onnx_key_texts(f->keys);
    if (!key) return fail_nomem(err, "the model");
    Status status = check_keys(f, (const char *const *)key, n, err);
    if (status != ST_OK) {
        onnx_key_texts_free(key, n);
        return status;
    }
    onnx_input(part->g, part->input, ONNX_STRING, 1, N("given"));
    if (f->options.encode == ENCODE_TARGET) status = target(part, (const char *const *)key, n, err);
    else one_hot(part, (const char *const *)key, n);
    onnx_key_texts_free(key, n);
    return status;
}

/* ---- all ---- */

static Status feature_part(Part *part, Err *err) {
    const Feature *f = part->feature;
    text_format(part->out, NAME, "f%d", part->number);
    switch (f->kind) {
    case FEATURE_NUMBER:
    case FEATURE_BOOLEAN: number(part); return ST_OK;
    case FEATURE_CATEGORY: return category(part, err);
    case FEATURE_VECTOR:
        if (f->has_indicator)
            return fail(err, ST_BADARG,
                "feature '%.60s' is a vector that may be missing (input=columns)", f->name);
        onnx_input(part->g, part->input, ONNX_FLOAT, f->width, part->out);
        return ST_OK;
    default:
        return fail(err, ST_BADARG,
            "feature '%.60s' is a %s, which ONNX has no operator for (input=columns)", f->name,
            f->kind == FEATURE_TEXT ? "text" : "date");
    }
}

Status onnx_features(const Predictor *predictor, OnnxGraph *g, Err *err) {
    const FeatureSet *set = &predictor->features;
    Part *part = mem_zeros((size_t)set->n, sizeof *part);
    const char **out = mem_array((size_t)set->n, sizeof *out);
    Status status = part && out ? ST_OK : fail_nomem(err, "the model");
    int64_t n = 0;
    for (int sparse = 0; sparse < 2 && status == ST_OK; sparse++) /* as they are laid out */
        for (int32_t i = 0; i < set->n && status == ST_OK; i++) {
            const Feature *feature = &set->feature[i];
            if (feature->is_sparse != sparse || !feature->width) continue;
            if (set->source[2 * i + 1] >= 0) {
                status = fail(err, ST_BADARG,
                    "feature '%.60s' is made of two columns (input=columns)", feature->name);
                break;
            }
            part[i] = (Part){.g = g,
                .feature = feature,
                .input = predictor->column[set->source[2 * i]],
                .number = (int)i};
            status = feature_part(&part[i], err);
            out[n++] = part[i].out;
        }
    if (status == ST_OK) onnx_concat(g, out, n, "x");
    mem_free(part);
    mem_free(out);
    return status;
}
