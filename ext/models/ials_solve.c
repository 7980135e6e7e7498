#include "ials_solve.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "../math/kernels.h"

enum { GATHER = 256 };

static size_t gather_rows(int32_t d) { return d > GATHER ? (size_t)d : GATHER; }

Status solver_scratch_init(SolverScratch *scratch, int32_t d, Err *err) {
    size_t width = (size_t)d;
    scratch->a = mem_aligned(width, width * sizeof(float));
    scratch->gather = mem_aligned(gather_rows(d), width * sizeof(float));
    scratch->root = mem_aligned(width, sizeof(float));
    scratch->z = mem_aligned(width, sizeof(float));
    return scratch->a && scratch->gather && scratch->root && scratch->z
        ? ST_OK
        : fail_nomem(err, "the solver");
}

void solver_scratch_clear(SolverScratch *scratch) {
    mem_free(scratch->a);
    mem_free(scratch->gather);
    mem_free(scratch->root);
    mem_free(scratch->z);
    *scratch = (SolverScratch){0};
}

/* Rows come from all over the table: ask for the one after the next while this one is worked on. */
static void ahead(const Solver *s, const int32_t *col, int64_t k, int64_t n) {
    if (k + 2 >= n) return;
    const char *row = (const char *)(s->other + (size_t)col[k + 2] * (size_t)s->d);
    for (int32_t line = 0; line < s->d * 4 && line < 1024; line += 64)
        __builtin_prefetch(row + line);
}

/* out = sum over k of weight_k y_k. */
static void add_up(
    const Solver *s, const int32_t *col, const float *weight, int64_t n, float *out) {
    size_t d = (size_t)s->d;
    if (d % 16 == 0) {
        kernels()->sparse_row(col, weight, n, s->other, d, d, out);
        return;
    }
    memset(out, 0, d * sizeof *out);
    for (int64_t k = 0; k < n; k++)
        for (size_t f = 0; f < d; f++) out[f] += weight[k] * s->other[(size_t)col[k] * d + f];
}

/* Add sum c y y' to A and sum b y to b, in blocks of GATHER rows scaled by sqrt(c). */
static void add_entries(const Solver *s, SolverScratch *scratch, const int32_t *col,
    const float *scaled, int64_t n, float *b) {
    size_t d = (size_t)s->d;
    float target[GATHER], *part = scratch->z;
    for (int64_t from = 0; from < n; from += GATHER) {
        int32_t block = (int32_t)(n - from < GATHER ? n - from : GATHER);
        for (int32_t k = 0; k < block; k++) {
            ahead(s, col + from, k, block);
            target[k] = (float)solver_target(s, scaled[from + k]);
            kernels()->scaled(s->other + (size_t)col[from + k] * d,
                sqrtf((float)solver_weight(s, scaled[from + k])), d,
                scratch->gather + (size_t)k * d);
        }
        add_up(s, col + from, target, block, part);
        for (size_t f = 0; f < d; f++) b[f] += part[f];
        dense_gram_add(scratch->a, scratch->gather, 1, block, s->d);
    }
}

static int solve_whole(const Solver *s, SolverScratch *scratch, const int32_t *col,
    const float *scaled, int64_t n, float ridge, float *x) {
    size_t d = (size_t)s->d;
    if (s->diagonal) memset(scratch->a, 0, d * d * sizeof *scratch->a);
    else memcpy(scratch->a, s->gram, d * d * sizeof *scratch->a);
    for (size_t f = 0; f < d; f++)
        scratch->a[f * d + f] += ridge + (s->diagonal ? s->diagonal[f] : 0);
    add_entries(s, scratch, col, scaled, n, x);
    return dense_solve_spd(scratch->a, x, s->d, 1);
}

/* The n x n system; gather holds Y D^-1/2. */
static int solve_few(const Solver *s, SolverScratch *scratch, const int32_t *col,
    const float *scaled, int32_t n, float ridge, float *x) {
    size_t d = (size_t)s->d;
    for (size_t f = 0; f < d; f++) scratch->root[f] = 1 / sqrtf(s->diagonal[f] + ridge);
    for (int32_t k = 0; k < n; k++) {
        ahead(s, col, k, n);
        kernels()->product(
            scratch->root, s->other + (size_t)col[k] * d, d, scratch->gather + (size_t)k * d);
    }
    dense_gram_rows(scratch->a, scratch->gather, n, s->d);
    for (int32_t k = 0; k < n; k++) {
        float c = (float)solver_weight(s, scaled[k]);
        scratch->a[(size_t)k * (size_t)n + (size_t)k] += 1 / c;
        scratch->z[k] = s->hkv > 0 ? (float)solver_target(s, scaled[k]) / c : 1;
    }
    if (dense_solve_spd(scratch->a, scratch->z, n, 1)) return 1;
    add_up(s, col, scratch->z, n, x);
    kernels()->product(x, scratch->root, d, x); /* D^-1 is the square of root */
    kernels()->product(x, scratch->root, d, x);
    return 0;
}

static float ridge_of(const Solver *s, int64_t n) {
    double count = s->unseen + (double)n;
    return (float)(s->reg * (s->power == 1 ? count : pow(count, s->power)));
}

/* The n x n system divides by every c. */
static int weighs_all(const Solver *s, const float *scaled, int64_t n) {
    for (int64_t k = 0; k < n && s->hkv > 0; k++)
        if (solver_weight(s, scaled[k]) < 1e-9) return 0;
    return 1;
}

int solver_row(const Solver *s, SolverScratch *scratch, const int32_t *col, const float *scaled,
    int64_t n, float *x) {
    float ridge = ridge_of(s, n);
    memset(x, 0, (size_t)s->d * sizeof *x);
    if (n == 0) return 0;
    if (s->diagonal && n * 4 < (int64_t)s->d * 3 && ridge > 0 && weighs_all(s, scaled, n))
        return solve_few(s, scratch, col, scaled, (int32_t)n, ridge, x);
    return solve_whole(s, scratch, col, scaled, n, ridge, x);
}

/* H step = -g with g = sum y_B (c x.y - b) + (G x)_B + ridge x_B and H = G_BB + sum c y_B y_B' +
 * ridge. */
int solver_block(const Solver *s, SolverScratch *scratch, int32_t from, int32_t b,
    const int32_t *col, const float *scaled, int64_t n, float *x) {
    size_t d = (size_t)s->d, width = (size_t)b;
    float ridge = ridge_of(s, n), *g = scratch->z, *h = scratch->a;
    if (n == 0) return 0;
    for (size_t f = 0; f < width; f++) {
        const float *gram = s->gram + (size_t)(from + (int32_t)f) * d;
        g[f] = -kernels()->dot_float(gram, x, d) - ridge * x[(size_t)from + f];
        memcpy(h + f * width, gram + from, width * sizeof *h);
        h[f * width + f] += ridge;
    }
    for (int64_t begin = 0; begin < n; begin += GATHER) {
        int32_t block = (int32_t)(n - begin < GATHER ? n - begin : GATHER);
        for (int32_t k = 0; k < block; k++) {
            const float *y = s->other + (size_t)col[begin + k] * d;
            float c = (float)solver_weight(s, scaled[begin + k]), root = sqrtf(c),
                  miss = (float)solver_target(s, scaled[begin + k]) -
                c * kernels()->dot_float(x, y, d);
            float *row = scratch->gather + (size_t)k * width;
            for (size_t f = 0; f < width; f++) {
                row[f] = root * y[(size_t)from + f];
                g[f] += miss * y[(size_t)from + f];
            }
        }
        dense_gram_add(h, scratch->gather, 1, block, b);
    }
    if (dense_solve_spd(h, g, b, 1)) return 1;
    for (size_t f = 0; f < width; f++) x[(size_t)from + f] += g[f];
    return 0;
}

enum { GRAM_CHUNK = 4096 };

/* gram = scale X'X by chunks added in float64. */
Status ials_gram(float *gram, const float *x, double scale, int32_t n, int32_t d, Err *err) {
    size_t size = (size_t)d * (size_t)d;
    float *part = mem_array(size, sizeof *part);
    double *sum = mem_zeros(size, sizeof *sum);
    if (part && sum) {
        for (int32_t from = 0; from < n; from += GRAM_CHUNK) {
            dense_gram(part, x + (size_t)from * (size_t)d, 1,
                n - from < GRAM_CHUNK ? n - from : GRAM_CHUNK, d);
            for (size_t i = 0; i < size; i++) sum[i] += (double)part[i];
        }
        for (size_t i = 0; i < size; i++) gram[i] = (float)(scale * sum[i]);
    }
    Status status = part && sum ? ST_OK : fail_nomem(err, "the Gram matrix");
    mem_free(part);
    mem_free(sum);
    return status;
}
