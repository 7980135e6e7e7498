/* Sparse matrices in compressed rows: row r holds the entries row_start[r] .. row_start[r + 1] - 1,
 * columns ascending and distinct. */
#ifndef REC_CSR_H
#define REC_CSR_H

#include <stddef.h>
#include <stdint.h>

#include "../base/bytes.h"
#include "../base/status.h"

typedef struct Csr {
    int32_t n_rows;
    int32_t n_cols;
    int64_t *row_start; /* n_rows + 1 */
    int32_t *col;       /* row_start[n_rows] */
    float *val;         /* row_start[n_rows] */
} Csr;

Status csr_alloc(Csr *out, int32_t n_rows, int32_t n_cols, int64_t nnz, Err *err);
void csr_clear(Csr *matrix);

static inline int64_t csr_nnz(const Csr *matrix) {
    return matrix->row_start ? matrix->row_start[matrix->n_rows] : 0;
}
static inline int64_t csr_row_len(const Csr *matrix, int32_t row) {
    return matrix->row_start[row + 1] - matrix->row_start[row];
}

/* The entry of (row, col), or -1. O(log of the row's length). */
int64_t csr_find(const Csr *matrix, int32_t row, int32_t col);

/* Take a row out; those below move up. O(rows + nnz). */
void csr_remove_row(Csr *matrix, int32_t row);

Status csr_copy(Csr *out, const Csr *matrix, Err *err);

/* out = the transpose of matrix; columns of a row ascend because rows are walked in order. O(rows +
 * nnz). */
Status csr_transpose(Csr *out, const Csr *matrix, Err *err);

/* Stored: a u32 length a row, then all columns, then all values. */
void csr_write(const Csr *matrix, Bytes *out);
/* Back, checked: the bytes are untrusted. */
Status csr_read(Csr *out, int32_t n_rows, int32_t n_cols, Reader *in, Err *err);

#endif
