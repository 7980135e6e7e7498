/* The largest singular vectors of a sparse matrix. */
#ifndef REC_SVD_H
#define REC_SVD_H

#include "../base/task.h"
#include "csr.h"

/* v (n_cols x k, row-major): column c is the right singular vector of the c-th largest singular
 * value of the matrix; columns past its rank are 0. transposed: its transpose. Randomised subspace
 * iteration from the seed, the same bits on any number of threads (Halko, Martinsson and Tropp
 * 2011): 13 products with k + 32 columns; memory 4 (rows + 2 columns) (k + 48) bytes. The caller
 * holds dense_begin().
 *
 * is_ordered: the same bits on any CPU too, without OpenBLAS (ordered.h); k: a multiple of 16, up
 * to a few hundred. */
Status svd_right(const Csr *matrix, const Csr *transposed, int32_t k, int is_ordered, uint64_t seed,
    Task *task, float *v, Err *err);

#endif
