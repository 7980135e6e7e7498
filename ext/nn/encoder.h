/* A small causal transformer over sequences of vectors: what comes in at a place, and what is known
 * there of all that came before.
 *
 *     x = drop(LN(input))
 *     for each block
 * g   = LN(x + drop(attention(x)))                 one head, causal, softmax of q k / sqrt(d)
 *                                                          + a number for each distance
 *         f   = LN(x + drop(low + beta^2 (x - low)))       low_t = sum_k h_k x_(t-k)
 *         h   = mix f + (1 - mix) g
 *         x   = LN(h + drop(W2 gelu(W1 h + b1) + b2))      W1: d x 4 d
 *
 * low is a causal low-pass filter: h_k = (1 + 2 cos(2 pi k / L) + 2 cos(4 pi k / L)) / L, the three
 * lowest frequencies of a window of L places, so that all places of a sequence train in one pass.
 * Attention: Vaswani et al. 2017; SASRec, Kang and McAuley 2018; filter and mix: BSARec, Shin et
 * al. 2024, whose filter sees the future; numbers by distance: Shaw et al. 2018 and T5.
 *
 * Sequences of a batch stand one after the other, without padding between them. All sums have one
 * order: the same bits on any number of threads and on any CPU. */
#ifndef REC_ENCODER_H
#define REC_ENCODER_H

#include <stddef.h>
#include <stdint.h>

#include "../base/status.h"
#include "layers.h"

typedef struct EncoderShape {
    size_t dim;    /* d: a multiple of 16 */
    size_t blocks; /* 1 .. ENCODER_MAX_BLOCKS */
    size_t length; /* L: the longest sequence */
    float mix;     /* the filter's share */
} EncoderShape;
enum { ENCODER_MAX_BLOCKS = 8 };

/* Weights, or their gradients, as one array: first all vectors, then all matrices. */
typedef struct EncoderBlock {
    /* gain and bias of the three norms; b: biases */
    float *norm_attention[2], *norm_filter[2], *norm_out[2];
    float *b_qkv, *b_out, *b1, *b2;
    float *distance; /* length */
    float *beta;     /* dim */
    float *qkv;      /* dim x 3 dim: q, k, v side by side */
    float *out;      /* dim x dim */
    float *w1, *w2;  /* dim x 4 dim, 4 dim x dim */
} EncoderBlock;
typedef struct EncoderWeights {
    float *norm_in[2];
    EncoderBlock block[ENCODER_MAX_BLOCKS];
} EncoderWeights;

size_t encoder_vectors(const EncoderShape *shape); /* how many numbers */
size_t encoder_floats(const EncoderShape *shape);  /* with the matrices */
/* Where in the array what is; without_matrices: the array ends with the vectors. */
EncoderWeights encoder_weights(const EncoderShape *shape, float *array);
/* Starting weights: gains 1, biases and numbers by distance 0, beta from N(0, 1), matrices from
 * N(0, .02^2). */
void encoder_start(const EncoderShape *shape, float *array, uint64_t seed);
/* The matrices of all blocks: *n of them, in the array's order, each rows x columns. */
typedef struct EncoderMatrix {
    size_t offset; /* in the array */
    size_t rows, columns;
} EncoderMatrix;
enum { ENCODER_MATRICES = 4 }; /* a block: qkv, out, w1, w2 */
void encoder_matrices(const EncoderShape *shape, EncoderMatrix *out);

/* What a batch of sequences leaves behind: rows of a token each. */
typedef struct EncoderTrace {
    size_t tokens; /* room for */
    float *x;      /* what comes into the block */
    float *qkv;    /* 3 dim; backward: its gradient */
    float *attended;
    float *probability; /* of each sequence n x n16, at n16 * (first token) */
    float *hat_attention, *hat_filter, *hat_out;
    float *scale_attention, *scale_filter, *scale_out; /* a number a token */
    float *high;                                       /* x - low */
    float *h;
    float *z;     /* 4 dim; backward: its gradient */
    float *y;     /* 4 dim */
    float *d_out; /* gradients of what drop(attention) and drop(W2 ..) are made of */
    float *d_r;
} EncoderTrace;
typedef struct Encoder {
    EncoderShape shape;
    EncoderWeights weights;
    float *transposed[ENCODER_MAX_BLOCKS][ENCODER_MATRICES]; /* for going back; NULL: serving */
    float *filter; /* length x length: h_(i - j), j <= i */
    Dropout dropout;
} Encoder;
typedef struct EncoderBatch {
    const int32_t *start;  /* sequences: first token */
    const int32_t *length; /* 1 .. shape.length */
    size_t tokens;
    float *hat_in, *scale_in;
    float *input;  /* tokens x dim: forward what comes in; backward its gradient */
    float *output; /* tokens x dim: forward what comes out; backward holds its gradient first */
    EncoderTrace trace[ENCODER_MAX_BLOCKS];
    float *memory; /* everything above but start and length */
} EncoderBatch;

/* Encoder over an array of weights, which stay the caller's. back: with room for transposes. */
Status encoder_init(Encoder *out, const EncoderShape *shape, float *array, int back, Err *err);
void encoder_clear(Encoder *encoder);
/* After weights have changed: matrix m of encoder_matrices into its transpose. */
void encoder_transpose(Encoder *encoder, const float *array, size_t m);

/* Bytes that a batch of so many tokens takes. */
size_t encoder_batch_bytes(const EncoderShape *shape, size_t tokens);
Status encoder_batch_init(EncoderBatch *out, const EncoderShape *shape, size_t tokens, Err *err);
void encoder_batch_clear(EncoderBatch *batch);

/* Scratch of a worker, for ranges of so many tokens. */
typedef struct EncoderScratch {
    float *memory;
    float *a, *b, *c, *e; /* of a sequence: length16 x max(dim, length16), length16: up to 16s */
    float *zero, *sum;    /* length16 each */
    float *wide;          /* tokens x 4 dim */
    float *row[3];        /* tokens x dim each */
} EncoderScratch;
Status encoder_scratch_init(
    EncoderScratch *out, const EncoderShape *shape, size_t tokens, Err *err);
void encoder_scratch_clear(EncoderScratch *scratch);

/* Sequences [from, to): the rows of their own tokens alone are touched. */
void encoder_forward(
    const Encoder *encoder, EncoderBatch *batch, size_t from, size_t to, EncoderScratch *scratch);
/* Of the batch's only sequence, from token 0, the last token's row of the output alone: the same
 * bits at a good half of the cost. */
void encoder_last(const Encoder *encoder, EncoderBatch *batch, EncoderScratch *scratch);
/* From the gradient in batch->output to that in batch->input; gradients of the vectors are added to
 * `vectors`, those of the matrices follow from the trace (encoder_matrix_gradient). */
void encoder_backward(const Encoder *encoder, EncoderBatch *batch, size_t from, size_t to,
    EncoderScratch *scratch, const EncoderWeights *vectors);
/* The gradient of rows [row, row + rows) of matrix m over the batch's tokens, into out (rows x
 * columns). */
void encoder_matrix_gradient(const Encoder *encoder, const EncoderBatch *batch, size_t m,
    size_t row, size_t rows, float *out);

#endif
