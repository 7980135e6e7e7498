/* Building an ONNX graph (onnx.proto3, IR version 7, operators ai.onnx 13 and ai.onnx.ml 2): nodes
 * over named tensors, written as Protocol Buffers.
 *
 *     onnx_doubles(g, "weight", weight, dim, k);
 *     onnx_node(g, "MatMul", ONNX_IN("x", "weight"), "scores");
 *
 * Sticky like Bytes: onnx_failed at the end says whether memory was short. */
#ifndef REC_ONNX_GRAPH_H
#define REC_ONNX_GRAPH_H

#include "../base/bytes.h"
#include "../base/status.h"

typedef enum OnnxType {
    ONNX_FLOAT = 1,
    ONNX_INT64 = 7,
    ONNX_STRING = 8,
    ONNX_DOUBLE = 11
} OnnxType;

typedef struct OnnxGraph {
    Bytes nodes, initializers, inputs, outputs, notes;
    Bytes attributes; /* of the node that comes next */
} OnnxGraph;
void onnx_clear(OnnxGraph *g);
int onnx_failed(const OnnxGraph *g);

typedef struct OnnxInputs {
    const char *name[4]; /* NULL behind the last */
} OnnxInputs;
#define ONNX_IN(...) ((OnnxInputs){{__VA_ARGS__}})

/* Attributes of the next node. */
void onnx_int(OnnxGraph *g, const char *name, int64_t value);
void onnx_float(OnnxGraph *g, const char *name, double value);
void onnx_text(OnnxGraph *g, const char *name, const char *value);
void onnx_ints(OnnxGraph *g, const char *name, const int64_t *value, int64_t n);
void onnx_floats(OnnxGraph *g, const char *name, const double *value, int64_t n);
/* n texts, each NUL-terminated. */
void onnx_texts(OnnxGraph *g, const char *name, const char *const *value, int64_t n);

/* A node of ai.onnx; of ai.onnx.ml. */
void onnx_node(OnnxGraph *g, const char *op, OnnxInputs in, const char *out);
void onnx_node_ml(OnnxGraph *g, const char *op, OnnxInputs in, const char *out);
/* A node with any number of inputs. */
void onnx_concat(OnnxGraph *g, const char *const *in, int64_t n, const char *out);
/* Cast(in) to a type. */
void onnx_cast(OnnxGraph *g, const char *in, OnnxType to, const char *out);

/* Constants: rows x columns; columns 0: one axis of `rows`. */
void onnx_doubles(
    OnnxGraph *g, const char *name, const double *value, int64_t rows, int64_t columns);
void onnx_number(OnnxGraph *g, const char *name, double value); /* 1 x 1 */
void onnx_int64s(OnnxGraph *g, const char *name, const int64_t *value, int64_t n);
void onnx_strings(OnnxGraph *g, const char *name, const char *const *value, int64_t n);

/* out = in matrix + bias: N x rows doubles, rows x columns, columns. */
void onnx_affine(OnnxGraph *g, const char *in, const double *matrix, int64_t rows, int64_t columns,
    const double *bias, const char *out);
/* out = the sum over the columns of in, N x 1. */
void onnx_row_sum(OnnxGraph *g, const char *in, const char *out);

/* Tensors of N rows from and to the caller, whose names are kept apart from the graph's own: an
 * input is known as `as`, an output is the tensor of its name. columns 0: one axis of N. */
void onnx_input(OnnxGraph *g, const char *name, OnnxType type, int64_t columns, const char *as);
void onnx_output(OnnxGraph *g, const char *name, OnnxType type, int64_t columns);

/* Metadata of the model: a key and its value, which is copied. */
void onnx_note(OnnxGraph *g, const char *key, const char *value, size_t len);
/* The whole model. */
void onnx_model(const OnnxGraph *g, Bytes *out);

#endif
