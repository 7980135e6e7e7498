/* A feed-forward network over a row of the design: its shape, its numbers, asking it.
 *
 *     x = the dense columns, then of every sparse feature the sum of val * embedding[col]
 *     h = max(0, W x + b)        for each hidden layer
 *     s = W h + b                a score each
 *
 * Widths are padded to whole panels (product.h); what is padded is 0. Every sum has one order: the
 * same bits on any CPU, for one row as for a batch. */
#ifndef REC_NETWORK_H
#define REC_NETWORK_H

#include "../math/product.h"
#include "learner.h"
#include "weights.h"

enum { NETWORK_LAYERS = 5, NETWORK_WIDTH = 1024, NETWORK_EMBEDDING = 64 };

/* A sparse feature's table: a row of `size` numbers a column. */
typedef struct NetworkBlock {
    int32_t first, columns; /* of the design */
    int32_t size;
    int32_t input; /* its first place in x */
    int64_t at;    /* its first number */
} NetworkBlock;

typedef struct Network {
    int32_t n_dense, dim, n_scores, inputs;
    int32_t n_layers;                  /* hidden ones and the last */
    int32_t width[NETWORK_LAYERS + 1]; /* width[l]: what goes into layer l */
    NetworkBlock *block;
    int32_t n_blocks;
    WeightsKind kind;
    int64_t epochs; /* that it took */
    double shift, scale;
    /* tables first; then of each layer width[l] x up16(width[l + 1]) weights, and its biases */
    int64_t n_numbers, layer_at[NETWORK_LAYERS];
    float *number;
} Network;

/* hidden: n_hidden widths. sizes: at most `embedding` numbers a column. number is left NULL. */
Status network_init(Network *out, const FeatureSet *features, const int32_t *hidden,
    int32_t n_hidden, int32_t embedding, int32_t n_scores, Err *err);
void network_free(void *network);

static inline int32_t network_row(const Network *net, int32_t layer) {
    return (int32_t)up16((size_t)net->width[layer + 1]);
}
static inline float *network_bias(const Network *net, int32_t layer) {
    return net->number + net->layer_at[layer] +
        (int64_t)net->width[layer] * network_row(net, layer);
}

/* x of a block: size numbers; 0 where the row has no entry in it. */
int network_embed(const Network *net, const NetworkBlock *block, const DesignRow *row, float *out);

/* The scores before shift and scale. */
void network_scores_raw(const Network *net, const DesignRow *row, double *out);

/* What a Learner needs of it. */
void network_score(const void *state, const DesignRow *row, double *out);
int32_t network_scores(const void *state);
int64_t network_epochs(const void *state);
/* The tables and the first layer become one matrix. */
Status network_graph(const void *state, OnnxGraph *g, Err *err);
Status network_round(Network *net, Err *err);
void network_write(const void *state, Bytes *out);
Status network_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err);
size_t network_memory(const void *state);

#endif
