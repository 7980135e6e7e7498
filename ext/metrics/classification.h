/* Area under the ROC curve by mid-ranks: the chance that a positive scores above a negative, ties counting half
 * (Mann-Whitney U / (P N); equals scikit-learn's roc_auc_score). */
#ifndef REC_CLASSIFICATION_H
#define REC_CLASSIFICATION_H

#include <stddef.h>

typedef struct Labelled {
    double score;
    int positive;
} Labelled;

/* item is sorted in place. NaN when there is no positive or no negative. O(n log n). */
double auc(Labelled *item, size_t n);

#endif
