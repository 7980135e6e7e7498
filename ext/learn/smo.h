/* Sequential minimal optimisation, of the dual problems of support vectors:
 *
 *     min 1/2 a' Q a + p' a    with  y' a = 0,  0 <= a_i <= c_i,  Q_ij = y_i y_j k_ij
 *
 * two numbers a step, chosen by the second-order rule (Fan, Chen and Lin 2005), until the largest
 * violation is below the tolerance. Variable i is about example i mod n_examples: of regression
 * each has two. One thread; a step costs O(n). */
#ifndef REC_SMO_H
#define REC_SMO_H

#include <stddef.h>

#include "../base/task.h"

typedef struct Smo {
    int64_t n, n_examples;
    const float *kernel; /* n_examples rows of kernel_row numbers */
    size_t kernel_row;
    const int8_t *y;     /* n: 1 or -1 */
    const double *p, *c; /* n */
    double tolerance;
    int64_t most_steps;
} Smo;

/* a: n numbers; *rho: the score of x is sum y_i a_i k(x_i, x) - rho. task is looked at for an
 * interrupt. */
Status smo_solve(const Smo *smo, double *a, double *rho, Task *task, Err *err);

#endif
