/* From examples to a predictor. */
#ifndef REC_PREDICTOR_TRAIN_H
#define REC_PREDICTOR_TRAIN_H

#include "labelled.h"

/* Fit the features, learn, judge on the part that was held, and, with refit, learn again from all.
 * start: the predictor of init_from, or NULL: its features are kept, and learning goes on from its
 * state where the learner can. */
Status predictor_train(Predictor **out, const PredictorSetting *setting, const Columns *columns,
    const ExampleRoles *roles, const Predictor *start, Task *task, Err *err);

/* Learn from the examples that are not held and judge on those that are: the value of
 * judgement_main, the more the better. For tuning; *log_loss etc. as judge.h. */
Status predictor_try(const PredictorSetting *setting, const Columns *columns, const Labelled *all,
    const ExampleRoles *roles, Task *task, Verdict *judgement, int32_t *n_judgements, Err *err);

/* ---- steps of it (predictor_fit.c) ---- */

/* The features of the columns, fitted on the part and laid out; crosses and options of single
 * features as the setting says. */
Status predictor_fit_features(FeatureSet *out, const PredictorSetting *setting,
    const Columns *columns, const ExampleRoles *roles, const Labelled *part, Task *task, Err *err);

/* The part with its classes made equally frequent; *chosen 0: it is as it was, and SMOTE
 * adds to its design instead. *out is to be cleared, also after an error. */
Status resample_part(
    Labelled *out, const Labelled *part, int64_t resample, uint64_t seed, int *chosen, Err *err);
/* Add points between neighbours of the rarer classes to design and labels (Chawla et al. 2002: 5
 * neighbours; sparse entries are the point's own). */
Status resample_smote(Design *design, Labelled *part, uint64_t seed, Task *task, Err *err);

#endif
