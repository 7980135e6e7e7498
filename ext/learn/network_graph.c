/* A network as ONNX: a matrix a layer. */
#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"
#include "network.h"

/* Layer l as rows x columns doubles, and its biases; of the first layer a row a column of the
 * design: its row of the table times the weights of the block's inputs. */
static void fill(const Network *net, int32_t l, double *matrix, double *bias) {
    int32_t columns = net->width[l + 1], row = network_row(net, l);
    const float *weight = net->number + net->layer_at[l];
    int32_t direct = l ? net->width[l] : net->n_dense;
    for (int32_t j = 0; j < columns; j++) bias[j] = network_bias(net, l)[j];
    for (int32_t i = 0; i < direct; i++)
        for (int32_t j = 0; j < columns; j++)
            matrix[(int64_t)i * columns + j] = weight[(int64_t)i * row + j];
    for (int32_t b = 0; b < net->n_blocks && l == 0; b++) {
        const NetworkBlock *block = &net->block[b];
        for (int32_t c = 0; c < block->columns; c++) {
            const float *own = net->number + block->at + (int64_t)c * block->size;
            double *to = matrix + (int64_t)(block->first + c) * columns;
            for (int32_t k = 0; k < block->size; k++)
                for (int32_t j = 0; j < columns; j++)
                    to[j] += (double)own[k] * weight[(int64_t)(block->input + k) * row + j];
        }
    }
}

static Status layer(const Network *net, OnnxGraph *g, int32_t l, Err *err) {
    char in[16] = "xd", sum[16], out[16];
    size_t rows = (size_t)(l ? net->width[l] : net->dim), columns = (size_t)net->width[l + 1];
    double *matrix = mem_zeros(rows, columns * sizeof *matrix);
    double *bias = mem_zeros(columns, sizeof *bias);
    Status status = matrix && bias ? ST_OK : fail_nomem(err, "the model");
    if (l) text_format(in, sizeof in, "hidden%d", (int)l);
    text_format(sum, sizeof sum, "layer%d", (int)l + 1);
    text_format(out, sizeof out, "hidden%d", (int)l + 1);
    if (status == ST_OK) {
        fill(net, l, matrix, bias);
        onnx_affine(g, in, matrix, (int64_t)rows, (int64_t)columns, bias, sum);
        if (l + 1 < net->n_layers) onnx_node(g, "Relu", ONNX_IN(sum), out);
    }
    mem_free(matrix);
    mem_free(bias);
    return status;
}

Status network_graph(const void *state, OnnxGraph *g, Err *err) {
    const Network *net = state;
    char last[16];
    for (int32_t l = 0; l < net->n_layers; l++) TRY(layer(net, g, l, err));
    text_format(last, sizeof last, "layer%d", (int)net->n_layers);
    onnx_number(g, "y_scale", net->scale);
    onnx_number(g, "y_shift", net->shift);
    onnx_node(g, "Mul", ONNX_IN(last, "y_scale"), "y_scaled");
    onnx_node(g, "Add", ONNX_IN("y_scaled", "y_shift"), "scores");
    return ST_OK;
}
