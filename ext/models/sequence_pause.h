/* A training of `sequence` that has stopped between two passes: what the remaining ones need beside
 * the version's items and weights, so that they end with the bits of a training in one piece. */
#ifndef REC_SEQUENCE_PAUSE_H
#define REC_SEQUENCE_PAUSE_H

#include "sequence_train.h"

typedef struct SequencePause {
    int64_t pass;  /* passes that are made; 0: nothing is paused, the rest is empty */
    int64_t steps; /* of Adam, in them */
    double best;   /* patience: the best pass's value; -1: none yet */
    int64_t since; /* and how many passes ago that was */
    uint64_t data; /* fingerprint of the sequences and of who is held out */
    size_t n;      /* numbers */
    float *number; /* Adam's moments, items_last as int32; what pause_keep was given */
} SequencePause;

/* An array of the training, `n` numbers of 32 bits. */
typedef struct PausePart {
    void *at;
    size_t n;
} PausePart;

/* How many numbers a training with params keeps. */
size_t pause_numbers(const SequenceParams *params, int32_t n_items);

/* Room for them, in an empty pause. */
Status pause_init(SequencePause *pause, const SequenceParams *params, int32_t n_items, Err *err);
void pause_clear(SequencePause *pause);

/* The parts, pause->n numbers in all, into the pause, and back out of it. */
void pause_keep(SequencePause *pause, const PausePart *part, size_t n_parts);
void pause_restore(const SequencePause *pause, const PausePart *part, size_t n_parts);

/* Do both train alike, but for where they start and stop? */
int pause_same_params(const SequenceParams *a, const SequenceParams *b);
uint64_t pause_fingerprint(const struct SequenceValidation *validation);

/* The stored form: u64 pass, and unless it is 0 u64 steps, f64 best, u64 since, u64 data, and the
 * numbers. ST_CORRUPT where they are no numbers of a training with params. */
void pause_write(const SequencePause *pause, Bytes *out);
Status pause_read(
    SequencePause *pause, const SequenceParams *params, int32_t n_items, Reader *in, Err *err);

#endif
