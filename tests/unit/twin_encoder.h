/* The encoder and its loss once more, naively and in double: a token at a time, every sum as the
 * formula has it. The oracle of ext/nn. */
#ifndef REC_TWIN_ENCODER_H
#define REC_TWIN_ENCODER_H

#include "../../ext/nn/encoder.h"
#include "../../ext/nn/sampled_softmax.h"

enum { TWIN_TOKENS = 64, TWIN_DIM = 32, TWIN_CANDIDATES = 40 };

typedef struct TwinCase {
    EncoderShape shape;
    Dropout dropout;
    double *weights; /* encoder_floats */
    double *input;   /* tokens x dim */
    const int32_t *start, *length;
    int32_t sequences, tokens;
    double *e; /* candidates x dim, as they are */
    double bias[TWIN_CANDIDATES];
    int32_t candidates, target[TWIN_TOKENS];
    double sharpness;
    double output[TWIN_TOKENS * TWIN_DIM];
} TwinCase;

/* The loss; output is filled. */
double twin_loss(TwinCase *twin);

#endif
