/* What a score costs beside its label. */
#ifndef REC_LOSSES_H
#define REC_LOSSES_H

#include "learner.h"

typedef enum LossKind {
    LOSS_SQUARED,      /* (y - s)^2 / 2 */
    LOSS_LOGISTIC,     /* ln(1 + exp(-y s)), y = -1, 1; of K classes -ln softmax(s)_y */
    LOSS_SQUARED_HINGE /* max(0, 1 - y s)^2; of K classes their sum, each against the rest */
} LossKind;

/* The loss of a row's k scores, which become its derivatives by them. */
double loss_of_row(LossKind kind, const Labels *labels, int64_t row, double *score, int32_t k);
/* What fits the labels: of classes the logistic loss, else the squared one. */
static inline LossKind loss_of_labels(const Labels *labels) {
    return labels->task == LEARN_CLASSES ? LOSS_LOGISTIC : LOSS_SQUARED;
}

/* Numbers as a learner likes them whose steps or penalties have a scale: (value - shift) / scale,
 * of mean 0 and deviation 1 by the weights. Of classes a copy of the labels, shift 0 and scale 1.
 * *value is to be mem_free'd. */
typedef struct Standardised {
    Labels labels;
    double *value;
    double shift, scale;
} Standardised;
Status labels_standardise(Standardised *out, const Labels *labels, int64_t n, Err *err);
/* Other labels by the same shift and scale. */
Status labels_standardise_as(
    Standardised *out, const Standardised *as, const Labels *labels, int64_t n, Err *err);

#endif
