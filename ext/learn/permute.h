/* Permutation importance (Breiman 2001): how much worse a predictor judges examples that it has not
 * learnt from where one feature's values are exchanged among them. */
#ifndef REC_PERMUTE_H
#define REC_PERMUTE_H

#include "predictor.h"

/* Of every feature the rise of the main judgement's loss (judge.h: of rmse, of log_loss; the fall
 * of ndcg@10), by one permutation drawn from seed; 0 for one that is not looked at. Of more than
 * PERMUTE_ROWS examples so many, evenly among them (whole groups, the first ones). predictor->
 * permuted is filled; NaN where nothing can be judged. O(features * rows) predictions. */
enum { PERMUTE_ROWS = 1000 };
Status permutation_importance(
    Predictor *predictor, const Design *design, const Labels *labels, Task *task, Err *err);

#endif
