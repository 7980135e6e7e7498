/* Training of `sequence` (sequence.c has the model): the loop of steps, below it one step. */
#ifndef REC_SEQUENCE_TRAIN_H
#define REC_SEQUENCE_TRAIN_H

#include "../nn/encoder.h"
#include "model.h"
#include "sequences.h"

typedef struct SequenceParams {
    int64_t dim;
    int64_t blocks;
    int64_t length;
    int64_t passes;
    int64_t batch;
    int64_t sampled;
    double rate;
    double dropout;
    double mix;
    double sharpness;
    double memory;
    int64_t init_from;
    double validation;
    int64_t metric; /* METRIC_NDCG10, .. */
    int64_t patience;
    int64_t pause_after;
} SequenceParams;
enum { METRIC_NDCG10, METRIC_HIT10, METRIC_RR10 };

static inline EncoderShape sequence_shape(const SequenceParams *params) {
    return (EncoderShape){
        (size_t)params->dim, (size_t)params->blocks, (size_t)params->length, (float)params->mix};
}

/* Starting vectors of the items (items x dim): of the largest singular vectors of what is had
 * together, rows of length `size`; random where an item is had with nothing. A training phase. */
Status sequence_start(const Model *model, const Sequences *sequences, int32_t dim, float *vectors,
    Task *task, Err *err);

/* Train items (items x dim) and weights (encoder_floats), which hold where to start from, on what
 * the validation leaves. With patience the best pass's are left there. from: a paused training to
 * go on from, whose items and weights these are, or NULL. pause, empty, becomes where
 * params->pause_after stops this one. */
struct SequenceValidation;
struct SequencePause;
Status sequence_fit(Model *model, const struct SequenceValidation *validation, float *items,
    float *weights, const struct SequencePause *from, struct SequencePause *pause, Task *task,
    Err *err);

#endif
