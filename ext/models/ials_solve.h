/* The least-squares problems of ials: one row x against the factors of its n entries.
 *
 *     A x = sum_k b_k y_k,   A = G + sum_k c_k y_k y_k' + ridge Id,   G = a0 F'F
 *     c_k = b_k = 1 + confidence * scaled_k, or, of Hu, Koren and Volinsky (hkv),
 *     b_k = a0 + confidence * scaled_k,  c_k = b_k - a0
 *
 * Two exact ways, by which is cheaper. Many entries: A is summed up and factored (n d^2 / 2 + d^3 /
 * 6 multiply-adds). Few entries, and factors turned so that G is diagonal: with D = G + ridge Id
 * the solution is
 *
 *     x = D^-1 Y' z,   (C^-1 + Y D^-1 Y') z = C^-1 b        Y: n x d, C = diag(c)
 *
 * an n x n system (n^2 d / 2 + n^3 / 6): (D + Y'CY)^-1 Y'C = D^-1 Y' (C^-1 + Y D^-1 Y')^-1. */
#ifndef REC_IALS_SOLVE_H
#define REC_IALS_SOLVE_H

#include <stdint.h>

#include "../base/status.h"

typedef struct Solver {
    int32_t d;
    const float *gram;     /* G, d x d */
    const float *diagonal; /* d: G where it is diagonal; NULL: it is not */
    const float *other;    /* F: factors of the columns */
    double reg;            /* ridge = reg (unseen + n)^power */
    double unseen;         /* a0 times the columns */
    double power;
    double confidence;
    double hkv; /* a0 in the form of Hu, Koren and Volinsky, else 0 */
} Solver;

typedef struct SolverScratch {
    float *a;      /* d x d: A, then its Cholesky factor */
    float *gather; /* rows x d */
    float *root;   /* d */
    float *z;      /* d */
} SolverScratch;

Status solver_scratch_init(SolverScratch *scratch, int32_t d, Err *err);
void solver_scratch_clear(SolverScratch *scratch);

/* c_k and b_k. */
static inline double solver_weight(const Solver *s, float scaled) {
    return (s->hkv > 0 ? 0 : 1) + s->confidence * (double)scaled;
}
static inline double solver_target(const Solver *s, float scaled) {
    return s->hkv + solver_weight(s, scaled);
}

/* x = the solution for one row; 0 where there are no entries. Leaves A's factor in scratch->a when
 * diagonal is NULL. Returns 1 when A has no inverse in float32. The caller holds dense_begin(). */
int solver_row(const Solver *s, SolverScratch *scratch, const int32_t *col, const float *scaled,
    int64_t n, float *x);

/* One step of the block solver (iALS++): the part [from, from + b) of x moves to where it is best
 * with the rest as it is. */
int solver_block(const Solver *s, SolverScratch *scratch, int32_t from, int32_t b,
    const int32_t *col, const float *scaled, int64_t n, float *x);

/* gram (d x d) = scale X'X of X: n x d, by chunks added in float64. The caller holds
 * dense_begin(). */
Status ials_gram(float *gram, const float *x, double scale, int32_t n, int32_t d, Err *err);

#endif
