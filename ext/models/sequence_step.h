/* One step of `sequence`'s training: a batch of windows, its candidates, the gradients, Adam. */
#ifndef REC_SEQUENCE_STEP_H
#define REC_SEQUENCE_STEP_H

#include "../nn/adam.h"
#include "../nn/encoder.h"
#include "sequence_train.h"

/* A piece of a user's sequence: `length` items that are looked at, each with its next one. */
typedef struct Window {
    int64_t first; /* in sequences->item */
    int32_t length;
} Window;

/* The tokens of a step are shared out in parts of about PART_TOKENS, at most STEP_PARTS, whatever
 * the number of threads, so that sums are the same on any. Longer parts read the weights less
 * often. */
enum { STEP_PARTS = 16, PART_TOKENS = 96, STEP_ROWS = 64 };

typedef struct SequenceStep {
    const SequenceParams *params;
    const Sequences *sequences;
    int32_t n_items;
    EncoderShape shape;
    Encoder encoder;
    /* what is learnt, and Adam's moments beside it */
    float *items, *items_m, *items_v; /* items x dim */
    int32_t *items_last;              /* items: the last step that they were in */
    float *weights, *weights_m, *weights_v;
    const double *target_share; /* items: how often each is what comes next */
    /* the batch */
    size_t max_tokens, max_candidates;
    EncoderBatch batch;
    int32_t *start, *length; /* sequences */
    size_t n_sequences;
    int32_t *item, *target; /* tokens: the item, and the candidate that came next */
    size_t n_parts;
    size_t part_from[STEP_PARTS + 1]; /* sequences of a part */
    size_t part_column[STEP_PARTS];   /* how many columns of p are before its own */
    float *h;                         /* tokens x dim */
    /* the items of the batch: candidates, then those that are only looked at */
    int32_t *row_of, *row_item;
    size_t n_candidates, n_rows;
    int32_t *use_start, *use;  /* rows: the tokens that look at the row's item */
    float *e, *e_scale, *bias; /* candidates */
    float *p;                  /* part after part: candidates x its tokens up to 16s */
    /* gradients */
    float *vectors[STEP_PARTS];
    double loss[STEP_PARTS];
    EncoderScratch *scratch; /* per worker */
    float **part_scratch;    /* per worker: of sampled_softmax */
    float **gradient;        /* per worker: STEP_ROWS x 4 dim */
    int threads;
    AdamStep adam;
    EncoderMatrix matrix[ENCODER_MAX_BLOCKS * ENCODER_MATRICES];
} SequenceStep;

/* Bytes that the training takes beside the sequences. */
double step_bytes(const SequenceParams *params, int32_t n_items, int threads);
/* params, sequences, n_items, items, weights and target_share are set. */
Status step_init(SequenceStep *step, int threads, Err *err);
void step_clear(SequenceStep *step);

/* Takes windows until the batch is full; returns how many. */
int64_t step_take(SequenceStep *step, const Window *window, int64_t n);
/* One step over the batch that was taken; random: of this step. *loss: its mean over the places. */
Status step_run(
    SequenceStep *step, uint64_t stream, uint64_t seed, double *loss, Task *task, Err *err);

#endif
