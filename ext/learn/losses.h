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
/* Those of a training and of the examples that judge it (none: left empty), by the former's shift
 * and scale, or where it goes on from a state by that one's; and the sums of their weights. */
typedef struct LearningLabels {
    Standardised own, held;
    double weight, held_weight;
} LearningLabels;
typedef struct LabelScale {
    double shift, scale;
} LabelScale;
/* start: NULL for none. *out is to be cleared, also after an error. */
Status learning_labels(
    LearningLabels *out, const Learning *learning, const LabelScale *start, Err *err);
void learning_labels_clear(LearningLabels *labels);

#endif
