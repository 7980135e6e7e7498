/* Users whose last item `sequence` does not train on: where it stands in their lists says after
 * each pass whether the model still gets better. */
#ifndef REC_SEQUENCE_VALIDATION_H
#define REC_SEQUENCE_VALIDATION_H

#include "sequence_train.h"

enum { VALIDATION_USERS = 2000, VALIDATION_LIST = 10 };

typedef struct SequenceValidation {
    const SequenceParams *params;
    /* what is trained on: the given data, its visits without those that are held out (own) */
    Dataset data;
    const Sequences *sequences; /* of that data: the caller sets it */
    int32_t *user, *item;       /* those with a held item, and it */
    int64_t n;
} SequenceValidation;

/* A share of the users with three visits or more, VALIDATION_USERS at most, drawn by the seed. None
 * where params->validation is 0. validation_clear also after an error. */
Status validation_init(SequenceValidation *out, const Dataset *data, const SequenceParams *params,
    uint64_t seed, Err *err);
void validation_clear(SequenceValidation *validation);

/* The mean over the users of params->metric at VALIDATION_LIST, with the held item as the only
 * relevant one among all items but those that she had before it. O(users (encoder + items * dim)),
 * on the task's threads. */
Status validation_judge(const SequenceValidation *validation, const float *items, float *weights,
    double *out, Task *task, Err *err);

#endif
