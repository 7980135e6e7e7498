/* Small dense algebra whose bits depend neither on the CPU nor on threads, in double and in one
 * order, for what a trained version must have the same bits of everywhere. dense.h has the fast
 * one. */
#ifndef REC_ORDERED_H
#define REC_ORDERED_H

#include <stddef.h>

#include "../base/task.h"

/* gram = x'x (d x d), x: n x d by rows; d: a multiple of 16. Each element is one chain of fused
 * multiply-adds over the rows. */
void ordered_gram(float *gram, const float *x, size_t n, size_t d);

/* Symmetric positive definite a (d x d): the inverse of its upper Cholesky factor R (a = R'R),
 * upper triangle, 0 below. Returns 0; 1 when a is not positive definite; -1 without memory.
 * O(d^3). */
int ordered_inverse_factor(float *a, size_t d);

/* Symmetric positive definite a (d x d, upper triangle given; overwritten): b becomes the solution
 * of a z = b. Returns 0; 1 when a is not positive definite. O(d^3). */
int ordered_solve_spd(double *a, double *b, size_t d);

/* Symmetric a (d x d): eigenvalues ascending in value, a's rows become the eigenvectors, by cyclic
 * Jacobi rotations (Golub and Van Loan, Matrix Computations, 8.5). Returns 0; 1 when it does not
 * converge; 2 when the task (or NULL) is cancelled; -1 without memory. O(d^3) a sweep, some ten of
 * them: for d up to a few hundred. */
int ordered_eigen(float *a, float *value, size_t d, Task *task);

#endif
