/* Fitting: which kind a column is, and what its values are like. */
#ifndef REC_FEATURE_FIT_H
#define REC_FEATURE_FIT_H

#include "../base/task.h"
#include "feature.h"

/* What is fitted on: the rows of `row`, and what a target encoding and the look for a leak need to
 * know of their labels. */
typedef struct FitExamples {
    const int64_t *row;  /* n rows of the columns */
    const uint8_t *fold; /* n: 0 .. FEATURE_FOLDS - 1 */
    int64_t n;
    int n_classes;           /* 0: the label is a number, or there is none */
    const int32_t *class_of; /* n, or NULL */
    const double *value;     /* n, or NULL */
} FitExamples;

/* likes_numbers: for a learner of trees: nothing is scaled, missing ones stay missing, categories
 * are means. *out is to be cleared, also after an error. */
Status feature_fit(Feature *out, const Column *column, const FeatureOptions *options,
    int likes_numbers, const FitExamples *examples, Task *task, Err *err);

#endif
