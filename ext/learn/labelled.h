/* Examples with their labels, and which of them judge. */
#ifndef REC_LABELLED_H
#define REC_LABELLED_H

#include "columns.h"
#include "predictor.h"

/* What columns are besides features: their places, -1 for none. */
typedef struct ExampleRoles {
    int32_t label, id, weight, split, group, time;
} ExampleRoles;
int role_of_column(const ExampleRoles *roles, int32_t column); /* is it one of them? */
/* All others are what features are made of: columns->asked. */
void roles_ask(const ExampleRoles *roles, Columns *columns);

typedef struct PredictorSetting {
    const Learner *learner;
    PredictorCommon common;
    LearnerParams params;
} PredictorSetting;

typedef struct Labelled {
    LearnTask task;
    int64_t n;
    int64_t *row;      /* of the columns; in key order of the groups, then of the ids, then as they
                        * came */
    uint8_t *held;     /* judges */
    uint8_t *fold;     /* 0 .. FEATURE_FOLDS - 1 */
    int32_t *class_of; /* of LEARN_CLASSES */
    double *value;     /* of LEARN_NUMBER, LEARN_RANKING */
    double *weight;
    int32_t *group_of; /* where there are groups: ids, ascending */
    int64_t *group;    /* of LEARN_RANKING: starts of the groups, n_groups + 1 */
    int64_t n_groups;
    KeyMap *classes;         /* owned by the whole, shared by parts */
    int classes_are_numbers; /* no label was a text */
    int64_t n_skipped;       /* rows without a label, or of the split 'test' */
    int is_part;
} Labelled;
/* A number, or a date as unix seconds; what: for the error. */
Status example_number(const char *what, const Cell *cell, double *out, Err *err);
void labelled_clear(Labelled *labelled);

/* All examples that have a label. Errors: no examples, one class, a label that is no number. */
Status labelled_init(Labelled *out, const Columns *columns, const ExampleRoles *roles,
    const PredictorSetting *setting, Err *err);
/* Part `part` of `parts` judges instead, by a hash; groups stay whole. */
void labelled_hold_part(Labelled *all, uint64_t seed, int64_t part, int64_t parts);
/* Those that judge, or those that do not; keep: -1 all. */
Status labelled_part(Labelled *out, const Labelled *all, int held, Err *err);
/* The same with rows given by their places in it, which may repeat. */
Status labelled_choose(
    Labelled *out, const Labelled *all, const int64_t *place, int64_t n, Err *err);
Labels labelled_labels(const Labelled *labelled);

/* Weights such that every class weighs the same. */
Status labelled_balance(Labelled *labelled, Err *err);

#endif
