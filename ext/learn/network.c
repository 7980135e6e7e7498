#include "network.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"

void network_free(void *network) {
    Network *net = network;
    if (!net) return;
    mem_free(net->block);
    mem_free(net->number);
    mem_free(net);
}

/* ---- shape ---- */

/* Where what is, by widths and blocks. */
static Status lay_out(Network *net, Err *err) {
    int64_t at = 0, input = net->n_dense;
    for (int32_t b = 0; b < net->n_blocks; b++) {
        NetworkBlock *block = &net->block[b];
        block->at = at;
        block->input = (int32_t)input;
        at += (int64_t)block->columns * block->size;
        input += block->size;
    }
    if (input > INT32_MAX / 2) return fail(err, ST_BADARG, "the network has too many inputs");
    net->width[0] = net->inputs = (int32_t)input;
    for (int32_t l = 0; l < net->n_layers; l++) {
        net->layer_at[l] = at;
        at += ((int64_t)net->width[l] + 1) * network_row(net, l);
    }
    net->n_numbers = at;
    return at <= (int64_t)1 << 28
        ? ST_OK
        : fail(err, ST_BADARG, "the network would have more than 2^28 weights");
}

Status network_init(Network *net, const FeatureSet *features, const int32_t *hidden,
    int32_t n_hidden, int32_t embedding, int32_t n_scores, Err *err) {
    net->n_dense = features->n_dense;
    net->dim = features->dim;
    net->n_scores = n_scores;
    net->n_layers = n_hidden + 1;
    for (int32_t l = 0; l < n_hidden; l++) net->width[l + 1] = hidden[l];
    net->width[n_hidden + 1] = n_scores;
    if (!(net->block = mem_zeros((size_t)features->n, sizeof *net->block)))
        return fail_nomem(err, "the network");
    for (int32_t i = 0; i < features->n; i++) {
        const Feature *feature = &features->feature[i];
        if (!feature->is_sparse || !feature->width) continue;
        net->block[net->n_blocks++] = (NetworkBlock){.first = feature->first,
            .columns = feature->width,
            .size = feature->width < embedding ? feature->width : embedding};
    }
    return lay_out(net, err);
}

/* ---- asking ---- */

int network_embed(const Network *net, const NetworkBlock *block, const DesignRow *row, float *out) {
    int64_t n, from = design_row_range(row, block->first, block->columns, &n);
    for (int32_t k = 0; k < block->size; k++) out[k] = 0;
    for (int64_t e = from; e < from + n; e++) {
        const float *own = net->number + block->at +
            (int64_t)(row->col[e] - block->first) * block->size;
        for (int32_t k = 0; k < block->size; k++) out[k] += row->val[e] * own[k];
    }
    return n > 0;
}

/* c += a W, of one row: k numbers, which go into the layer from `input` on. */
static void pour(
    const Network *net, int32_t layer, int32_t input, const float *a, int32_t k, float *c) {
    int32_t width = network_row(net, layer);
    Product product = {.m = 1,
        .n = (size_t)width,
        .k = (size_t)k,
        .a = a,
        .a_row = (size_t)k,
        .a_col = 1,
        .b = net->number + net->layer_at[layer] + (int64_t)input * width,
        .b_row = (size_t)width,
        .c = c,
        .c_row = (size_t)width,
        .add = 1};
    if (k) product_run(&product);
}

void network_scores_raw(const Network *net, const DesignRow *row, double *out) {
    float room[2][NETWORK_WIDTH], embedded[NETWORK_EMBEDDING], *h = room[0];
    for (int32_t l = 0; l + 1 < net->n_layers; l++) {
        int32_t width = network_row(net, l);
        float *next = room[l % 2];
        memcpy(next, network_bias(net, l), (size_t)width * sizeof *next);
        if (l) pour(net, l, 0, h, net->width[l], next);
        else pour(net, 0, 0, row->dense, net->n_dense, next);
        for (int32_t b = 0; l == 0 && b < net->n_blocks; b++)
            if (network_embed(net, &net->block[b], row, embedded))
                pour(net, 0, net->block[b].input, embedded, net->block[b].size, next);
        for (int32_t i = 0; i < width; i++) next[i] = next[i] > 0 ? next[i] : 0;
        h = next;
    }
    int32_t last = net->n_layers - 1, width = network_row(net, last);
    for (int32_t s = 0; s < net->n_scores; s++) {
        float sum = network_bias(net, last)[s];
        const float *w = net->number + net->layer_at[last] + s;
        for (int32_t i = 0; i < net->width[last]; i++) sum = fmaf(h[i], w[(int64_t)i * width], sum);
        out[s] = sum;
    }
}

void network_score(const void *state, const DesignRow *row, double *out) {
    const Network *net = state;
    network_scores_raw(net, row, out);
    for (int32_t s = 0; s < net->n_scores; s++) out[s] = net->shift + net->scale * out[s];
}

int32_t network_scores(const void *state) { return ((const Network *)state)->n_scores; }
int64_t network_epochs(const void *state) { return ((const Network *)state)->epochs; }

size_t network_memory(const void *state) {
    const Network *net = state;
    return sizeof *net + (size_t)net->n_blocks * sizeof *net->block +
        (size_t)net->n_numbers * sizeof *net->number;
}

/* ---- stored form: shape, then tables, weights and biases in their order ---- */

Status network_round(Network *net, Err *err) {
    for (int32_t b = 0; b < net->n_blocks; b++)
        TRY(weights_round(net->kind, net->number + net->block[b].at, net->block[b].columns,
            net->block[b].size, err));
    for (int32_t l = 0; l < net->n_layers; l++) {
        int32_t row = network_row(net, l);
        TRY(weights_round(net->kind, net->number + net->layer_at[l], net->width[l], row, err));
        TRY(weights_round(WEIGHTS_FLOAT, network_bias(net, l), 1, row, err));
    }
    return ST_OK;
}

void network_write(const void *state, Bytes *out) {
    const Network *net = state;
    bytes_u32(out, (uint32_t)net->n_layers);
    for (int32_t l = 1; l <= net->n_layers; l++) bytes_u32(out, (uint32_t)net->width[l]);
    bytes_u32(out, (uint32_t)net->n_blocks);
    for (int32_t b = 0; b < net->n_blocks; b++) {
        bytes_u32(out, (uint32_t)net->block[b].first);
        bytes_u32(out, (uint32_t)net->block[b].columns);
        bytes_u32(out, (uint32_t)net->block[b].size);
    }
    bytes_u32(out, (uint32_t)net->kind);
    bytes_u64(out, (uint64_t)net->epochs);
    bytes_f64(out, net->shift);
    bytes_f64(out, net->scale);
    for (int32_t b = 0; b < net->n_blocks; b++)
        weights_write(net->kind, net->number + net->block[b].at, net->block[b].columns,
            net->block[b].size, out);
    for (int32_t l = 0; l < net->n_layers; l++) {
        int32_t row = network_row(net, l);
        weights_write(net->kind, net->number + net->layer_at[l], net->width[l], row, out);
        weights_write(WEIGHTS_FLOAT, network_bias(net, l), 1, row, out);
    }
}

static Status damaged(Err *err) { return fail(err, ST_CORRUPT, "the network is damaged"); }

static Status read_shape(Network *net, Reader *in, Err *err) {
    uint32_t layers = read_u32(in);
    if (in->failed || layers < 2 || layers > NETWORK_LAYERS) return damaged(err);
    net->n_layers = (int32_t)layers;
    for (uint32_t l = 1; l <= layers; l++) {
        uint32_t width = read_u32(in);
        if (!width || width > (l < layers ? NETWORK_WIDTH : 100000)) return damaged(err);
        net->width[l] = (int32_t)width;
    }
    net->n_scores = net->width[layers];
    uint32_t blocks = read_u32(in);
    if (in->failed || blocks > 65535) return damaged(err);
    if (!(net->block = mem_zeros(blocks, sizeof *net->block)))
        return fail_nomem(err, "the network");
    net->n_blocks = (int32_t)blocks;
    int32_t behind = net->n_dense; /* blocks follow one another */
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t first = read_u32(in), columns = read_u32(in), size = read_u32(in);
        if (in->failed || first < (uint32_t)behind || first > (uint32_t)net->dim || !columns ||
            columns > (uint32_t)net->dim - first || !size || size > NETWORK_EMBEDDING)
            return damaged(err);
        net->block[b] = (NetworkBlock){
            .first = (int32_t)first, .columns = (int32_t)columns, .size = (int32_t)size};
        behind = (int32_t)(first + columns);
    }
    uint32_t kind = read_u32(in);
    net->epochs = (int64_t)read_u64(in);
    net->shift = read_f64(in);
    net->scale = read_f64(in);
    if (in->failed || kind > WEIGHTS_INT8 || net->epochs < 0 || !isfinite(net->shift) ||
        !isfinite(net->scale))
        return damaged(err);
    net->kind = (WeightsKind)kind;
    return lay_out(net, err) == ST_OK ? ST_OK : damaged(err);
}

/* Rows of numbers to their place. */
static Status read_rows(
    WeightsKind kind, float *to, int64_t rows, int32_t n, Reader *in, Err *err) {
    float *numbers;
    Status status = weights_read(kind, &numbers, rows, n, in, err);
    if (status == ST_OK) memcpy(to, numbers, (size_t)rows * (size_t)n * sizeof *to);
    mem_free(numbers);
    return status;
}

Status network_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err) {
    Network *net = *state = mem_zeros(1, sizeof *net);
    if (!net) return fail_nomem(err, "the network");
    net->dim = dim;
    net->n_dense = n_dense;
    TRY(read_shape(net, in, err));
    if ((uint64_t)net->n_numbers > in->len) return damaged(err); /* a byte each at least */
    if (!(net->number = mem_zeros((size_t)net->n_numbers, sizeof *net->number)))
        return fail_nomem(err, "the network");
    for (int32_t b = 0; b < net->n_blocks; b++) {
        const NetworkBlock *block = &net->block[b];
        TRY(read_rows(net->kind, net->number + block->at, block->columns, block->size, in, err));
    }
    for (int32_t l = 0; l < net->n_layers; l++) {
        int32_t row = network_row(net, l);
        TRY(read_rows(net->kind, net->number + net->layer_at[l], net->width[l], row, in, err));
        TRY(read_rows(WEIGHTS_FLOAT, network_bias(net, l), 1, row, in, err));
    }
    return ST_OK;
}
