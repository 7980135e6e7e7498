/* The encoder of BERT (Devlin et al. 2019) over texts that have become tokens: a vector a text.
 *
 *     x = LN(word[token] + position[place] + kind)
 *     for each layer
 *         x = LN(x + W_o attention(W_q x, W_k x, W_v x))      heads side by side, each with the
 *                                                             softmax of q k / sqrt(dim / heads)
 *         x = LN(x + W_2 gelu(W_1 x))
 *     vector = the mean of all x, or the first one, to unit length
 *
 * with a bias at each W. Texts of a batch stand one after the other, without padding. The same bits
 * on any CPU and for a text in whatever company. */
#ifndef REC_BERT_H
#define REC_BERT_H

#include <stddef.h>
#include <stdint.h>

#include "../base/bytes.h"
#include "../base/status.h"
#include "../math/packed.h"

typedef enum BertPooling { POOL_MEAN, POOL_FIRST } BertPooling;

typedef struct BertShape {
    size_t dim;    /* a multiple of 16 */
    size_t layers; /* 1 .. BERT_MAX_LAYERS */
    size_t heads;  /* dim / heads: a multiple of 16 */
    size_t inner;  /* a multiple of 16 */
    size_t words;  /* of the vocabulary */
    size_t length; /* the most tokens of a text */
    BertPooling pooling;
    PackedKind kind; /* of matrices and words */
} BertShape;
enum { BERT_MAX_LAYERS = 48, BERT_MAX_DIM = 4096, BERT_MAX_LENGTH = 2048 };

/* Is it one that this file can run? */
Status bert_check_shape(const BertShape *shape, Err *err);

typedef struct BertLayer {
    Packed qkv, out, w1, w2; /* q, k and v side by side */
    const float *b_qkv, *b_out, *b1, *b2;
    const float *norm_out[2], *norm_2[2]; /* gain, bias */
} BertLayer;
typedef struct Bert {
    BertShape shape;
    const void *word;         /* words x dim */
    const float *word_factor; /* words, where the numbers are bytes */
    const float *place;       /* length x dim: position + kind */
    const float *norm[2];
    BertLayer layer[BERT_MAX_LAYERS];
} Bert;

/* Bytes of all weights of the shape. */
size_t bert_bytes(const BertShape *shape);
/* Where in those bytes what is; they stay the caller's, aligned to 64. */
void bert_init(Bert *out, const BertShape *shape, void *weights);

/* Room of a worker, for texts of so many tokens together, the longest of `longest`. */
typedef struct BertScratch {
    float *memory;
    float *x, *r;      /* tokens x dim */
    float *qkv;        /* tokens x 3 dim */
    float *z;          /* tokens x max(inner, dim) */
    float *keys;       /* dim / heads x longest, up to 16s */
    float *p;          /* longest x longest, up to 16s */
    float *zero, *sum; /* longest, up to 16s */
} BertScratch;
Status bert_scratch_init(
    BertScratch *out, const BertShape *shape, size_t tokens, size_t longest, Err *err);
void bert_scratch_clear(BertScratch *scratch);

/* n texts, text t of length[t] tokens, 1 .. shape.length, one after the other in token; out: n x
 * dim. Tokens are below shape.words. */
void bert_run(const Bert *bert, const int32_t *token, const int32_t *length, size_t n, float *out,
    BertScratch *scratch);

#endif
