/* Dense matrices through OpenBLAS and Fortran LAPACK: the only file that names cblas_* or LAPACK symbols.
 *
 * Row-major unless said. Every call runs on the caller's thread alone: dense_begin() switches OpenBLAS's own threads
 * off for the process while any caller is inside, dense_end() gives the host its setting back. */
#ifndef REC_DENSE_H
#define REC_DENSE_H

#include <stddef.h>
#include <stdint.h>

void dense_begin(void);
/* The same with so many threads of OpenBLAS, if nobody is inside already. */
void dense_begin_threads(int threads);
void dense_end(void);

/* gram = scale * Xt X (d x d, both triangles), x: n x d. */
void dense_gram(float *gram, const float *x, float scale, int32_t n, int32_t d);
void dense_gram_naive(float *gram, const float *x, float scale, int32_t n, int32_t d);

/* gram += scale * Xt X, upper triangle (row <= column) only. */
void dense_gram_add(float *gram, const float *x, float scale, int32_t n, int32_t d);

/* Solve A z = b for a symmetric positive definite A (d x d, upper triangle given, overwritten by its Cholesky factor);
 * b is overwritten by z. n_rhs right-hand sides, each d long, one after the other. Returns 0, or 1 when A is not
 * positive definite. */
int dense_solve_spd(float *a, float *b, int32_t d, int32_t n_rhs);

/* Solve again with the factor that dense_solve_spd left. */
void dense_solve_again(const float *factor, float *b, int32_t d, int32_t n_rhs);

/* "OpenBLAS 0.3.21 ..." as the library names itself. */
const char *dense_library(void);

#endif
