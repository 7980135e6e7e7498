/* Minimising a function of many numbers by its gradient.
 *
 *     L-BFGS (Liu and Nocedal 1989), 10 pairs, steps halved until the function falls enough
 *     (Armijo); with l1 > 0 its orthant-wise form for f(x) + l1 sum |x_i| (Andrew and Gao 2007).
 *     Plain gradient descent with the step 1 / steepness. */
#ifndef REC_DESCENT_H
#define REC_DESCENT_H

#include "../base/task.h"

typedef struct Descent {
    void *context;
    /* *value = f(x), gradient = f'(x); n numbers each. */
    Status (*evaluate)(void *context, const double *x, double *value, double *gradient, Err *err);
    /* After each step, of which the first is 1, *stop 1 ends it; may be NULL. */
    Status (*note)(void *context, int64_t step, double value, int *stop, Err *err);
    int64_t n;
    int64_t most_steps;
    double tolerance; /* it ends where no element of the gradient is larger */
    double l1;        /* of the first n_l1 numbers */
    int64_t n_l1;
} Descent;

/* x: where it starts and what it finds. */
Status descent_lbfgs(const Descent *descent, double *x, Err *err);
/* step: constant; l1 must be 0. */
Status descent_gradient(const Descent *descent, double *x, double step, Err *err);

#endif
