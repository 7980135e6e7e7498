/* The parts of ials that tests look into. */
#ifndef REC_IALS_H
#define REC_IALS_H

#include "../ann/ann.h"
#include "model.h"

typedef struct IalsParams {
    int64_t factors;
    int64_t sweeps;
    double reg;
    double unobserved_weight;
    double confidence;
} IalsParams;

typedef struct IalsState {
    IalsParams params;
    AnnVectors items; /* y: items x d */
    float *gram;      /* a0 Y'Y */
    AnnIndex index;
} IalsState;

/* The objective at the top of ials.c. x: users x d, y: items x d; scaled: per entry of by_user; by_item its transpose.
 * Users are summed in pieces on the task's threads, the pieces in order. */
Status ials_objective(double *out, const float *x, const float *y, const Csr *by_user, const Csr *by_item,
                      const float *scaled, const IalsParams *params, Task *task, Err *err);

/* The starting factors: row r from stream r of the seed. */
void ials_start(float *factors, int32_t n, int32_t d, uint64_t seed);

#endif
