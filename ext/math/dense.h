/* Dense matrices through OpenBLAS and Fortran LAPACK: the only file that names cblas_* or LAPACK
 * symbols.
 *
 * Row-major unless said. Every call runs on the caller's thread alone: dense_begin() switches
 * OpenBLAS's own threads off for the process while any caller is inside, dense_end() gives the host
 * its setting back. */
#ifndef REC_DENSE_H
#define REC_DENSE_H

#include <stddef.h>
#include <stdint.h>

#include "../base/status.h"

/* For so many threads of ours that will call BLAS at once. ST_NOMEM where OpenBLAS would not get
 * the buffers that it takes for them: it would ask for them for ever. Nothing is to be ended
 * then. */
Status dense_begin(int callers, Err *err);
/* The same for one caller and so many threads of OpenBLAS, if nobody is inside already. */
Status dense_begin_threads(int threads, Err *err);
void dense_end(void);

/* gram = scale * Xt X (d x d, both triangles), x: n x d. */
void dense_gram(float *gram, const float *x, float scale, int32_t n, int32_t d);
void dense_gram_naive(float *gram, const float *x, float scale, int32_t n, int32_t d);

/* gram += scale * Xt X, upper triangle (row <= column) only. */
void dense_gram_add(float *gram, const float *x, float scale, int32_t n, int32_t d);

/* gram = X X' (n x n), upper triangle only, x: n x d. */
void dense_gram_rows(float *gram, const float *x, int32_t n, int32_t d);

/* Solve A z = b for a symmetric positive definite A (d x d, upper triangle given, overwritten by
 * its Cholesky factor); b is overwritten by z. n_rhs right-hand sides, each d long, one after the
 * other. Returns 0, or 1 when A is not positive definite. */
int dense_solve_spd(float *a, float *b, int32_t d, int32_t n_rhs);

/* Solve again with the factor that dense_solve_spd left. */
void dense_solve_again(const float *factor, float *b, int32_t d, int32_t n_rhs);

/* c (m x n) = alpha a b + beta c, with a (m x k) and b (k x n), or their transposes where a_t, b_t
 * say so. A row of c, a, b is c_row, a_row, b_row floats long in memory. */
typedef struct DenseProduct {
    int32_t m, n, k;
    float alpha, beta;
    float *c;
    const float *a, *b;
    int32_t c_row, a_row, b_row;
    int a_t, b_t;
} DenseProduct;
void dense_multiply(const DenseProduct *p);

/* Symmetric positive definite a (d x d): its upper Cholesky factor R (a = R'R) in its upper
 * triangle; or its inverse, both triangles. Return 0, or 1 when a is not positive definite. */
int dense_cholesky(float *a, int32_t d);
int dense_invert_spd(float *a, int32_t d);

/* x (n x d) = x R^-1, R the upper triangle of r (d x d). */
void dense_divide_upper(float *x, const float *r, int32_t n, int32_t d);

/* Symmetric a (d x d): eigenvalues ascending in value, a's rows become the eigenvectors. Returns 0;
 * 1 when it failed; -1 without memory. */
int dense_eigen(float *a, float *value, int32_t d);

/* "OpenBLAS 0.3.21 ..." as the library names itself. */
const char *dense_library(void);

#endif
