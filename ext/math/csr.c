#include "csr.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"

Status csr_alloc(Csr *out, int32_t n_rows, int32_t n_cols, int64_t nnz, Err *err) {
    Csr matrix = {.n_rows = n_rows, .n_cols = n_cols};
    *out = (Csr){0};
    matrix.row_start = mem_zeros((size_t)n_rows + 1, sizeof *matrix.row_start);
    matrix.col = mem_array((size_t)nnz, sizeof *matrix.col);
    matrix.val = mem_array((size_t)nnz, sizeof *matrix.val);
    if (!matrix.row_start || !matrix.col || !matrix.val) {
        csr_clear(&matrix);
        return fail_nomem(err, "a sparse matrix");
    }
    *out = matrix;
    return ST_OK;
}

void csr_clear(Csr *matrix) {
    mem_free(matrix->row_start);
    mem_free(matrix->col);
    mem_free(matrix->val);
    *matrix = (Csr){0};
}

int64_t csr_find(const Csr *matrix, int32_t row, int32_t col) {
    int64_t low = matrix->row_start[row], high = matrix->row_start[row + 1], end = high;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (matrix->col[middle] < col) low = middle + 1;
        else high = middle;
    }
    return low < end && matrix->col[low] == col ? low : -1;
}

void csr_remove_row(Csr *matrix, int32_t row) {
    int64_t from = matrix->row_start[row + 1], gone = csr_row_len(matrix, row),
            rest = csr_nnz(matrix) - from;
    memmove(matrix->col + from - gone, matrix->col + from, (size_t)rest * sizeof *matrix->col);
    memmove(matrix->val + from - gone, matrix->val + from, (size_t)rest * sizeof *matrix->val);
    for (int32_t r = row; r < matrix->n_rows; r++)
        matrix->row_start[r] = matrix->row_start[r + 1] - gone;
    matrix->n_rows--;
}

Status csr_copy(Csr *out, const Csr *matrix, Err *err) {
    size_t nnz = (size_t)csr_nnz(matrix);
    TRY(csr_alloc(out, matrix->n_rows, matrix->n_cols, (int64_t)nnz, err));
    memcpy(
        out->row_start, matrix->row_start, ((size_t)matrix->n_rows + 1) * sizeof *out->row_start);
    if (nnz) {
        memcpy(out->col, matrix->col, nnz * sizeof *out->col);
        memcpy(out->val, matrix->val, nnz * sizeof *out->val);
    }
    return ST_OK;
}

Status csr_transpose(Csr *out, const Csr *matrix, Err *err) {
    int64_t nnz = csr_nnz(matrix);
    TRY(csr_alloc(out, matrix->n_cols, matrix->n_rows, nnz, err));
    for (int64_t e = 0; e < nnz; e++) out->row_start[matrix->col[e] + 1]++;
    for (int32_t c = 0; c < matrix->n_cols; c++) out->row_start[c + 1] += out->row_start[c];
    /* row_start[c] serves as the cursor of row c and ends at its successor's start; then all shift
     * back by one. */
    for (int32_t r = 0; r < matrix->n_rows; r++)
        for (int64_t e = matrix->row_start[r]; e < matrix->row_start[r + 1]; e++) {
            int64_t at = out->row_start[matrix->col[e]]++;
            out->col[at] = r;
            out->val[at] = matrix->val[e];
        }
    for (int32_t c = matrix->n_cols; c > 0; c--) out->row_start[c] = out->row_start[c - 1];
    out->row_start[0] = 0;
    return ST_OK;
}

void csr_write(const Csr *matrix, Bytes *out) {
    size_t nnz = (size_t)csr_nnz(matrix);
    for (int32_t r = 0; r < matrix->n_rows; r++) bytes_u32(out, (uint32_t)csr_row_len(matrix, r));
    bytes_append(out, matrix->col, nnz * sizeof *matrix->col);
    bytes_append(out, matrix->val, nnz * sizeof *matrix->val);
}

static int is_sane(const Csr *matrix) {
    for (int32_t r = 0; r < matrix->n_rows; r++) {
        int32_t before = -1;
        for (int64_t e = matrix->row_start[r]; e < matrix->row_start[r + 1]; e++) {
            if (matrix->col[e] <= before || matrix->col[e] >= matrix->n_cols ||
                !isfinite(matrix->val[e]))
                return 0;
            before = matrix->col[e];
        }
    }
    return 1;
}

Status csr_read(Csr *out, int32_t n_rows, int32_t n_cols, Reader *in, Err *err) {
    int64_t nnz = 0;
    const void *lens = read_block(in, (uint64_t)n_rows, sizeof(uint32_t));
    if (in->failed) return fail(err, ST_CORRUPT, "a sparse matrix is truncated");
    Reader len = reader_of(lens, (size_t)n_rows * sizeof(uint32_t));
    for (int32_t r = 0; r < n_rows; r++) nnz += read_u32(&len);
    const void *col = read_block(in, (uint64_t)nnz, sizeof(int32_t)),
               *val = read_block(in, (uint64_t)nnz, sizeof(float));
    if (in->failed) return fail(err, ST_CORRUPT, "a sparse matrix is truncated");
    TRY(csr_alloc(out, n_rows, n_cols, nnz, err));
    len = reader_of(lens, (size_t)n_rows * sizeof(uint32_t));
    for (int32_t r = 0; r < n_rows; r++) out->row_start[r + 1] = out->row_start[r] + read_u32(&len);
    if (nnz) {
        memcpy(out->col, col, (size_t)nnz * sizeof *out->col);
        memcpy(out->val, val, (size_t)nnz * sizeof *out->val);
    }
    return is_sane(out) ? ST_OK : fail(err, ST_CORRUPT, "a sparse matrix is malformed");
}
