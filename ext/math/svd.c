#include "svd.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "dense.h"
#include "kernels.h"
#include "ordered.h"
#include "product.h"

enum { EXTRA = 32, STEPS = 6, ROWS_A_PIECE = 256, CHUNKS = 16, MIN_CHUNK = 1024 };

/* z: columns x width, the subspace; y: rows x width. */
typedef struct Subspace {
    const Csr *matrix, *transposed;
    int32_t width; /* a multiple of 16 */
    int is_ordered;
    float *z, *y, *gram, *value;
} Subspace;

/* ---- products ---- */

typedef struct SparseProduct {
    const Csr *sparse;
    const float *in;
    float *out;
    int32_t width;
} SparseProduct;

static int64_t pieces_of(int32_t rows) { return ((int64_t)rows + ROWS_A_PIECE - 1) / ROWS_A_PIECE; }

static int32_t piece_end(int64_t piece, int32_t rows) {
    int64_t end = (piece + 1) * ROWS_A_PIECE;
    return (int32_t)(end < rows ? end : rows);
}

static void product_piece(void *context, int64_t piece, int worker) {
    const SparseProduct *p = context;
    size_t width = (size_t)p->width;
    (void)worker;
    for (int32_t r = (int32_t)(piece * ROWS_A_PIECE); r < piece_end(piece, p->sparse->n_rows);
         r++) {
        int64_t e = p->sparse->row_start[r];
        kernels()->sparse_row(p->sparse->col + e, p->sparse->val + e, csr_row_len(p->sparse, r),
            p->in, width, width, p->out + (size_t)r * width);
    }
}

static Status multiply(
    const Csr *sparse, const float *in, float *out, int32_t width, Task *task, Err *err) {
    SparseProduct product = {sparse, in, out, width};
    return task_run(task, pieces_of(sparse->n_rows), product_piece, &product, err);
}

/* ---- Gram matrices ---- */

/* Rows in chunks whose size depends on their number alone; the chunks' sums are added in order. */
typedef struct Gram {
    const float *x;
    float *part; /* chunks x width x width */
    int32_t n, width, chunk;
    int is_ordered;
} Gram;

static void gram_piece(void *context, int64_t piece, int worker) {
    const Gram *g = context;
    int32_t from = (int32_t)piece * g->chunk, n = g->n - from < g->chunk ? g->n - from : g->chunk;
    (void)worker;
    size_t width = (size_t)g->width;
    float *gram = g->part + (size_t)piece * width * width;
    const float *x = g->x + (size_t)from * width;
    if (g->is_ordered) ordered_gram(gram, x, (size_t)n, width);
    else dense_gram(gram, x, 1, n, g->width);
}

/* s->gram = X'X, x: n x width. */
static Status gram_of(Subspace *s, const float *x, int32_t n, Task *task, Err *err) {
    int32_t width = s->width;
    float *gram = s->gram;
    size_t size = (size_t)width * (size_t)width;
    int32_t chunk = n / CHUNKS < MIN_CHUNK ? MIN_CHUNK : n / CHUNKS;
    int64_t chunks = ((int64_t)n + chunk - 1) / chunk;
    Gram g = {x, mem_array((size_t)chunks, size * sizeof(float)), n, width, chunk, s->is_ordered};
    Status status = g.part ? task_run(task, chunks, gram_piece, &g, err)
                           : fail_nomem(err, "the singular vectors");
    memset(gram, 0, size * sizeof *gram);
    for (int64_t c = 0; c < chunks && status == ST_OK; c++)
        for (size_t i = 0; i < size; i++) gram[i] += g.part[(size_t)c * size + i];
    mem_free(g.part);
    return status;
}

/* ---- the subspace ---- */

typedef struct SvdRows {
    float *z, *out;
    const float *with; /* width x k; to divide by: width x width */
    int32_t n, width, k;
    int is_ordered;
} SvdRows;

/* Rows of z times `with`, into rows of out. */
static void multiply_rows(const SvdRows *r, int32_t from, int32_t n, float *out) {
    const float *z = r->z + (size_t)from * (size_t)r->width;
    if (r->is_ordered)
        product_run(&(Product){.m = (size_t)n,
            .n = (size_t)r->k,
            .k = (size_t)r->width,
            .a = z,
            .a_row = (size_t)r->width,
            .a_col = 1,
            .b = r->with,
            .b_row = (size_t)r->k,
            .c = out,
            .c_row = (size_t)r->k});
    else
        dense_multiply(&(DenseProduct){.m = n,
            .n = r->k,
            .k = r->width,
            .alpha = 1,
            .c = out,
            .c_row = r->k,
            .a = z,
            .a_row = r->width,
            .b = r->with,
            .b_row = r->k});
}

static void divide_piece(void *context, int64_t piece, int worker) {
    const SvdRows *r = context;
    int32_t from = (int32_t)(piece * ROWS_A_PIECE), n = piece_end(piece, r->n) - from;
    size_t at = (size_t)from * (size_t)r->width;
    (void)worker;
    if (r->is_ordered) multiply_rows(r, from, n, r->out + at);
    else dense_divide_upper(r->z + at, r->with, n, r->width);
}

/* gram's Cholesky factor (ordered: its inverse), with so little added to its diagonal that it
 * exists: dependent columns stay harmless. */
static Status factor(Subspace *s, Task *task, Err *err) {
    size_t width = (size_t)s->width;
    for (double ridge = 1e-7; ridge < 1; ridge *= 100) {
        double trace = 0;
        TRY(gram_of(s, s->z, s->matrix->n_cols, task, err));
        for (size_t i = 0; i < width; i++) trace += (double)s->gram[i * width + i];
        for (size_t i = 0; i < width; i++)
            s->gram[i * width + i] += (float)(ridge * trace) + 1e-30F;
        int failed = s->is_ordered ? ordered_inverse_factor(s->gram, width)
                                   : dense_cholesky(s->gram, s->width);
        if (failed < 0) return fail_nomem(err, "the singular vectors");
        if (!failed) return ST_OK;
    }
    return fail(err, ST_BADARG, "the singular vectors do not converge");
}

/* z = z R^-1 with R'R = z'z, twice: nearly orthonormal columns. */
static Status orthonormalise(Subspace *s, Task *task, Err *err) {
    size_t bytes = (size_t)s->matrix->n_cols * (size_t)s->width * sizeof *s->z;
    float *divided = s->is_ordered ? mem_array(bytes, 1) : NULL;
    Status status = s->is_ordered && !divided ? fail_nomem(err, "the singular vectors") : ST_OK;
    for (int pass = 0; status == ST_OK && pass < 2; pass++) {
        status = factor(s, task, err);
        SvdRows rows = {
            s->z, divided, s->gram, s->matrix->n_cols, s->width, s->width, s->is_ordered};
        if (status == ST_OK) status = task_run(task, pieces_of(rows.n), divide_piece, &rows, err);
        if (status == ST_OK && divided) memcpy(s->z, divided, bytes);
    }
    mem_free(divided);
    return status;
}

static void rotate_piece(void *context, int64_t piece, int worker) {
    const SvdRows *r = context;
    int32_t from = (int32_t)(piece * ROWS_A_PIECE);
    (void)worker;
    multiply_rows(r, from, piece_end(piece, r->n) - from, r->out + (size_t)from * (size_t)r->k);
}

/* out (columns x k) = z times the first k eigenvectors of the Gram matrix in s->gram, the largest
 * first, each divided by the root of its eigenvalue when `unit`; those of tiny eigenvalues become
 * 0. */
static Status rotate(Subspace *s, float *out, int32_t k, int unit, Task *task, Err *err) {
    size_t width = (size_t)s->width;
    int failed = s->is_ordered ? ordered_eigen(s->gram, s->value, width, task)
                               : dense_eigen(s->gram, s->value, s->width);
    if (failed == 2) return fail(err, ST_CANCELLED, "interrupted");
    if (failed)
        return failed < 0 ? fail_nomem(err, "the singular vectors")
                          : fail(err, ST_BADARG, "the singular vectors do not converge");
    float *flipped = mem_array(width, (size_t)k * sizeof *flipped); /* columns: eigenvectors */
    if (!flipped) return fail_nomem(err, "the singular vectors");
    for (size_t c = 0; c < (size_t)k; c++) {
        double value = (double)s->value[width - 1 - c], largest = (double)s->value[width - 1];
        double scale = value > 1e-6 * largest && value > 0 ? unit ? 1 / sqrt(value) : 1 : 0;
        for (size_t i = 0; i < width; i++)
            flipped[i * (size_t)k + c] = (float)(scale *
                (double)s->gram[(width - 1 - c) * width + i]);
    }
    SvdRows rows = {s->z, out, flipped, s->matrix->n_cols, s->width, k, s->is_ordered};
    Status status = task_run(task, pieces_of(rows.n), rotate_piece, &rows, err);
    mem_free(flipped);
    return status;
}

static Status iterate(Subspace *s, uint64_t seed, Task *task, Err *err) {
    for (int32_t r = 0; r < s->matrix->n_cols; r++) {
        Random random;
        random_init(&random, seed, (uint64_t)r);
        for (int32_t c = 0; c < s->width; c++)
            s->z[(size_t)r * (size_t)s->width + (size_t)c] = (float)random_normal(&random);
    }
    for (int step = 0; step < STEPS; step++) {
        TRY(multiply(s->matrix, s->z, s->y, s->width, task, err));
        TRY(multiply(s->transposed, s->y, s->z, s->width, task, err));
        TRY(orthonormalise(s, task, err));
    }
    return ST_OK;
}

/* An orthonormal basis, then the singular vectors within it (Rayleigh and Ritz). */
static Status extract(Subspace *s, int32_t k, float *v, Task *task, Err *err) {
    float *basis = mem_array((size_t)s->matrix->n_cols, (size_t)s->width * sizeof *basis);
    if (!basis) return fail_nomem(err, "the singular vectors");
    Status status = gram_of(s, s->z, s->matrix->n_cols, task, err);
    if (status == ST_OK) status = rotate(s, basis, s->width, 1, task, err);
    if (status == ST_OK) {
        memcpy(s->z, basis, (size_t)s->matrix->n_cols * (size_t)s->width * sizeof *basis);
        status = multiply(s->matrix, s->z, s->y, s->width, task, err);
    }
    if (status == ST_OK) status = gram_of(s, s->y, s->matrix->n_rows, task, err);
    if (status == ST_OK) status = rotate(s, v, k, 0, task, err);
    mem_free(basis);
    return status;
}

Status svd_right(const Csr *matrix, const Csr *transposed, int32_t k, int is_ordered, uint64_t seed,
    Task *task, float *v, Err *err) {
    Subspace s = {.matrix = matrix,
        .transposed = transposed,
        .width = (k + EXTRA + 15) / 16 * 16,
        .is_ordered = is_ordered};
    size_t width = (size_t)s.width;
    s.z = mem_array((size_t)matrix->n_cols, width * sizeof *s.z);
    s.y = mem_array((size_t)matrix->n_rows, width * sizeof *s.y);
    s.gram = mem_array(width, width * sizeof *s.gram);
    s.value = mem_array(width, sizeof *s.value);
    Status status = s.z && s.y && s.gram && s.value ? ST_OK
                                                    : fail_nomem(err, "the singular vectors");
    if (status == ST_OK) status = iterate(&s, seed, task, err);
    if (status == ST_OK) status = extract(&s, k, v, task, err);
    mem_free(s.z);
    mem_free(s.y);
    mem_free(s.gram);
    mem_free(s.value);
    return status;
}
