/* A predictor as an ONNX model: features, learner, answers. */
#ifndef REC_ONNX_PREDICTOR_H
#define REC_ONNX_PREDICTOR_H

#include "onnx_graph.h"
#include "predictor.h"

/* by_columns: one input "columns", N x dim floats, what rec_transform gives, with their names in
 * this order as the metadata "columns" (JSON); else an input a
 * column of the examples: numbers as N x 1 doubles with NaN where there is none, categories as N x
 * 1 strings with "" where there is none, vectors as N x dim floats. Outputs: of numbers and ranking
 * "prediction" (N x 1), of classes "label" (N) and "probabilities" (N x classes), of segments
 * "label" and "distance", of components "coordinates", of anomaly "score"; all numbers double. An
 * error where ONNX cannot say it. */
Status predictor_onnx(const Predictor *predictor, int by_columns, Bytes *out, Err *err);

/* Keys as texts, numbers in decimals; NULL: no memory. To be freed with their number. */
char **onnx_key_texts(const KeyMap *keys);
void onnx_key_texts_free(char **text, int32_t n);

/* The features' part: "x", N x dim floats. */
Status onnx_features(const Predictor *predictor, OnnxGraph *g, Err *err);

#endif
