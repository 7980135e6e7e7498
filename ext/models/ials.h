/* What the files of ials share: ials.c is the algorithm, ials_train.c its training. */
#ifndef REC_IALS_H
#define REC_IALS_H

#include "factors.h"
#include "ials_solve.h"

typedef struct IalsParams {
    int64_t factors;
    int64_t sweeps;
    double reg;
    double unobserved_weight;
    double confidence;
    int64_t solver;
    int64_t block;
    int64_t init_from;
    int64_t form;
    double reg_power;
} IalsParams;

typedef struct IalsState {
    Factors factors; /* y */
    IalsParams params;
    float *gram; /* a0 Y'Y */
} IalsState;

enum { EXACT, BLOCKS };

enum { FORM_RENDLE, FORM_HKV };

/* What unobserved_weight=0 stands for, into model->params. */
void ials_choose_weight(Model *model);
/* model->state with room for the item factors. */
Status ials_new_state(Model *model, Err *err);
/* What queries need beside the factors. */
Status ials_finish_state(Model *model, Err *err);

Status ials_train(Model *model, const Dataset *data, Task *task, Err *err);

#endif
