#include "onnx_graph.h"

#include <string.h>

#include "../base/text.h"

void onnx_clear(OnnxGraph *g) {
    bytes_clear(&g->nodes);
    bytes_clear(&g->initializers);
    bytes_clear(&g->inputs);
    bytes_clear(&g->outputs);
    bytes_clear(&g->notes);
    bytes_clear(&g->attributes);
}

int onnx_failed(const OnnxGraph *g) {
    return g->nodes.failed || g->initializers.failed || g->inputs.failed || g->outputs.failed ||
        g->notes.failed || g->attributes.failed;
}

/* ---- Protocol Buffers: a key is field * 8 + wire type ---- */

enum { VARINT = 0, LENGTH = 2, FIXED32 = 5 };

static void varint(Bytes *out, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)(value & 0x7F);
        value >>= 7;
        if (value) byte |= 0x80;
        bytes_append(out, &byte, 1);
    } while (value);
}
static void put_int(Bytes *out, unsigned field, int64_t value) {
    varint(out, field * 8 + VARINT);
    varint(out, (uint64_t)value);
}
static void put_bytes(Bytes *out, unsigned field, const void *data, size_t len) {
    varint(out, field * 8 + LENGTH);
    varint(out, len);
    if (len) bytes_append(out, data, len);
}
static void put_text(Bytes *out, unsigned field, const char *text) {
    put_bytes(out, field, text, strlen(text));
}
static void put_float(Bytes *out, unsigned field, double value) {
    float x = (float)value;
    varint(out, field * 8 + FIXED32);
    bytes_append(out, &x, sizeof x);
}
/* A message becomes a field, and is cleared. */
static void put_message(Bytes *out, unsigned field, Bytes *message) {
    put_bytes(out, field, message->data, message->len);
    out->failed |= message->failed;
    bytes_clear(message);
}

/* ---- attributes: name 1, f 2, i 3, s 4, floats 7, ints 8, strings 9, type 20 ---- */

enum { OF_FLOAT = 1, OF_INT, OF_TEXT, OF_FLOATS = 6, OF_INTS, OF_TEXTS };

static void add_attribute(OnnxGraph *g, const char *name, int type, Bytes *attribute) {
    put_text(attribute, 1, name);
    put_int(attribute, 20, type);
    put_message(&g->attributes, 5, attribute);
}

void onnx_int(OnnxGraph *g, const char *name, int64_t value) {
    Bytes own = {0};
    put_int(&own, 3, value);
    add_attribute(g, name, OF_INT, &own);
}
void onnx_float(OnnxGraph *g, const char *name, double value) {
    Bytes own = {0};
    put_float(&own, 2, value);
    add_attribute(g, name, OF_FLOAT, &own);
}
void onnx_text(OnnxGraph *g, const char *name, const char *value) {
    Bytes own = {0};
    put_text(&own, 4, value);
    add_attribute(g, name, OF_TEXT, &own);
}
void onnx_ints(OnnxGraph *g, const char *name, const int64_t *value, int64_t n) {
    Bytes own = {0};
    for (int64_t i = 0; i < n; i++) put_int(&own, 8, value[i]);
    add_attribute(g, name, OF_INTS, &own);
}
void onnx_floats(OnnxGraph *g, const char *name, const double *value, int64_t n) {
    Bytes own = {0};
    for (int64_t i = 0; i < n; i++) put_float(&own, 7, value[i]);
    add_attribute(g, name, OF_FLOATS, &own);
}
void onnx_texts(OnnxGraph *g, const char *name, const char *const *value, int64_t n) {
    Bytes own = {0};
    for (int64_t i = 0; i < n; i++) put_text(&own, 9, value[i]);
    add_attribute(g, name, OF_TEXTS, &own);
}

/* ---- nodes: input 1, output 2, op_type 4, attribute 5, domain 7 ---- */

/* Tensors of the graph begin with a letter that keeps them apart from the caller's. */
static void put_name(Bytes *out, unsigned field, const char *name) {
    size_t len = strlen(name);
    varint(out, field * 8 + LENGTH);
    varint(out, len + 1);
    bytes_append(out, "#", 1);
    bytes_append(out, name, len);
}

static void finish_node(OnnxGraph *g, const char *domain, const char *op, Bytes *node) {
    put_text(node, 4, op);
    if (*domain) put_text(node, 7, domain);
    if (g->attributes.len) bytes_append(node, g->attributes.data, g->attributes.len);
    g->attributes.len = 0;
    put_message(&g->nodes, 1, node);
}

static void add_node(OnnxGraph *g, const char *domain, const char *op, const char *const *in,
    int64_t n, const char *out) {
    Bytes node = {0};
    for (int64_t i = 0; i < n; i++) put_name(&node, 1, in[i]);
    put_name(&node, 2, out);
    finish_node(g, domain, op, &node);
}

static int64_t count(const OnnxInputs *in) {
    int64_t n = 0;
    while (n < 4 && in->name[n]) n++;
    return n;
}

void onnx_node(OnnxGraph *g, const char *op, OnnxInputs in, const char *out) {
    add_node(g, "", op, in.name, count(&in), out);
}
void onnx_node_ml(OnnxGraph *g, const char *op, OnnxInputs in, const char *out) {
    add_node(g, "ai.onnx.ml", op, in.name, count(&in), out);
}
void onnx_concat(OnnxGraph *g, const char *const *in, int64_t n, const char *out) {
    onnx_int(g, "axis", 1);
    add_node(g, "", "Concat", in, n, out);
}
void onnx_cast(OnnxGraph *g, const char *in, OnnxType to, const char *out) {
    onnx_int(g, "to", to);
    onnx_node(g, "Cast", ONNX_IN(in), out);
}

/* ---- constants: dims 1, data_type 2, string_data 6, name 8, raw_data 9 ---- */

static void begin_tensor(
    Bytes *tensor, const char *name, OnnxType type, int64_t rows, int64_t columns) {
    put_int(tensor, 1, rows);
    if (columns) put_int(tensor, 1, columns);
    put_int(tensor, 2, type);
    put_name(tensor, 8, name);
}

void onnx_doubles(
    OnnxGraph *g, const char *name, const double *value, int64_t rows, int64_t columns) {
    Bytes tensor = {0};
    begin_tensor(&tensor, name, ONNX_DOUBLE, rows, columns);
    put_bytes(&tensor, 9, value, (size_t)rows * (size_t)(columns ? columns : 1) * sizeof *value);
    put_message(&g->initializers, 5, &tensor);
}
void onnx_number(OnnxGraph *g, const char *name, double value) {
    onnx_doubles(g, name, &value, 1, 1);
}
void onnx_int64s(OnnxGraph *g, const char *name, const int64_t *value, int64_t n) {
    Bytes tensor = {0};
    begin_tensor(&tensor, name, ONNX_INT64, n, 0);
    put_bytes(&tensor, 9, value, (size_t)n * sizeof *value);
    put_message(&g->initializers, 5, &tensor);
}
void onnx_strings(OnnxGraph *g, const char *name, const char *const *value, int64_t n) {
    Bytes tensor = {0};
    begin_tensor(&tensor, name, ONNX_STRING, n, 0);
    for (int64_t i = 0; i < n; i++) put_text(&tensor, 6, value[i]);
    put_message(&g->initializers, 5, &tensor);
}

static void named(char *name, size_t size, const char *out, const char *what) {
    text_format(name, size, "%s_%s", out, what);
}

void onnx_affine(OnnxGraph *g, const char *in, const double *matrix, int64_t rows, int64_t columns,
    const double *bias, const char *out) {
    char weight[48], product[48], constant[48];
    named(weight, sizeof weight, out, "weight");
    named(product, sizeof product, out, "product");
    named(constant, sizeof constant, out, "bias");
    onnx_doubles(g, weight, matrix, rows, columns);
    onnx_doubles(g, constant, bias, 1, columns);
    onnx_node(g, "MatMul", ONNX_IN(in, weight), product);
    onnx_node(g, "Add", ONNX_IN(product, constant), out);
}

void onnx_row_sum(OnnxGraph *g, const char *in, const char *out) {
    char axis[48];
    int64_t one = 1;
    named(axis, sizeof axis, out, "axis");
    onnx_int64s(g, axis, &one, 1);
    onnx_node(g, "ReduceSum", ONNX_IN(in, axis), out);
}

/* ---- what goes in and out: name 1, type 2: tensor_type 1: elem_type 1, shape 2: dim 1 ---- */

static void add_value(Bytes *to, unsigned field, const char *name, OnnxType type, int64_t columns) {
    Bytes dim = {0}, shape = {0}, tensor = {0}, kind = {0}, value = {0};
    put_text(&dim, 2, "N");
    put_message(&shape, 1, &dim);
    if (columns) {
        put_int(&dim, 1, columns);
        put_message(&shape, 1, &dim);
    }
    put_int(&tensor, 1, type);
    put_message(&tensor, 2, &shape);
    put_message(&kind, 1, &tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, &kind);
    put_message(to, field, &value);
}

void onnx_input(OnnxGraph *g, const char *name, OnnxType type, int64_t columns, const char *as) {
    Bytes node = {0};
    add_value(&g->inputs, 11, name, type, columns);
    put_text(&node, 1, name);
    put_name(&node, 2, as);
    finish_node(g, "", "Identity", &node);
}
void onnx_output(OnnxGraph *g, const char *name, OnnxType type, int64_t columns) {
    Bytes node = {0};
    add_value(&g->outputs, 12, name, type, columns);
    put_name(&node, 1, name);
    put_text(&node, 2, name);
    finish_node(g, "", "Identity", &node);
}

/* ---- the model ---- */

static void add_operators(Bytes *out, const char *domain, int64_t version) {
    Bytes own = {0};
    put_text(&own, 1, domain);
    put_int(&own, 2, version);
    put_message(out, 8, &own);
}

void onnx_note(OnnxGraph *g, const char *key, const char *value, size_t len) {
    Bytes entry = {0};
    put_text(&entry, 1, key);
    put_bytes(&entry, 2, value, len);
    put_message(&g->notes, 14, &entry);
}

void onnx_model(const OnnxGraph *g, Bytes *out) {
    Bytes graph = {0};
    const Bytes *part[] = {&g->nodes, &g->initializers, &g->inputs, &g->outputs};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (part[i]->len) bytes_append(&graph, part[i]->data, part[i]->len);
    put_text(&graph, 2, "predictor");
    put_int(out, 1, 7);
    put_text(out, 2, "sqlite-recommend");
    add_operators(out, "", 13);
    add_operators(out, "ai.onnx.ml", 2);
    put_message(out, 7, &graph);
    if (g->notes.len) bytes_append(out, g->notes.data, g->notes.len);
    out->failed |= onnx_failed(g);
}
