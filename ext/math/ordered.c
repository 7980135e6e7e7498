#include "ordered.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "product.h"

void ordered_gram(float *gram, const float *x, size_t n, size_t d) {
    product_run(&(Product){.m = d,
        .n = d,
        .k = n,
        .a = x,
        .a_row = 1,
        .a_col = d,
        .b = x,
        .b_row = d,
        .c = gram,
        .c_row = d});
}

/* The upper factor R of a into r. */
static int factor(const float *a, double *r, size_t d) {
    for (size_t i = 0; i < d; i++)
        for (size_t j = i; j < d; j++) {
            double sum = (double)a[i * d + j];
            for (size_t l = 0; l < i; l++) sum -= r[l * d + i] * r[l * d + j];
            if (i == j && !(sum > 0)) return 1;
            r[i * d + j] = i == j ? sqrt(sum) : sum / r[i * d + i];
        }
    return 0;
}

/* Column j of R^-1, from the diagonal up. */
static void invert_column(const double *r, float *out, size_t j, size_t d, double *column) {
    for (size_t i = j + 1; i-- > 0;) {
        double sum = i == j;
        for (size_t l = i + 1; l <= j; l++) sum -= r[i * d + l] * column[l];
        column[i] = sum / r[i * d + i];
        out[i * d + j] = (float)column[i];
    }
}

int ordered_inverse_factor(float *a, size_t d) {
    double *r = mem_zeros(d, d * sizeof *r), *column = mem_array(d, sizeof *column);
    int failed = r && column ? factor(a, r, d) : -1;
    if (!failed) {
        memset(a, 0, d * d * sizeof *a);
        for (size_t j = 0; j < d; j++) invert_column(r, a, j, d, column);
    }
    mem_free(r);
    mem_free(column);
    return failed;
}

/* a = R'R by rows of R, each of which is taken from those below at once. */
int ordered_solve_spd(double *a, double *b, size_t d) {
    for (size_t k = 0; k < d; k++) {
        double *r = a + k * d, pivot = r[k];
        if (!(pivot > 0)) return 1;
        double root = sqrt(pivot);
        for (size_t j = k; j < d; j++) r[j] /= root;
        for (size_t i = k + 1; i < d; i++)
            for (size_t j = i; j < d; j++) a[i * d + j] -= r[i] * r[j];
    }
    for (size_t k = 0; k < d; k++) { /* R'y = b */
        b[k] /= a[k * d + k];
        for (size_t j = k + 1; j < d; j++) b[j] -= a[k * d + j] * b[k];
    }
    for (size_t k = d; k-- > 0;) { /* R z = y */
        for (size_t j = k + 1; j < d; j++) b[k] -= a[k * d + j] * b[j];
        b[k] /= a[k * d + k];
    }
    return 0;
}

/* ---- eigenvalues ---- */

/* Rows and columns p and q of a, and rows p and q of v, by the rotation that makes a_pq 0. */
static void rotate_pair(double *a, double *v, size_t p, size_t q, size_t d) {
    double apq = a[p * d + q];
    if (apq == 0) return;
    double theta = (a[q * d + q] - a[p * d + p]) / (2 * apq);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;
    for (size_t i = 0; i < d; i++) {
        double x = a[i * d + p], y = a[i * d + q];
        a[i * d + p] = c * x - s * y;
        a[i * d + q] = s * x + c * y;
    }
    for (size_t i = 0; i < d; i++) {
        double x = a[p * d + i], y = a[q * d + i];
        a[p * d + i] = c * x - s * y;
        a[q * d + i] = s * x + c * y;
        x = v[p * d + i];
        y = v[q * d + i];
        v[p * d + i] = c * x - s * y;
        v[q * d + i] = s * x + c * y;
    }
    a[p * d + q] = a[q * d + p] = 0;
}

/* Are the off-diagonal elements nothing beside the diagonal? */
static int is_diagonal(const double *a, size_t d) {
    double off = 0, on = 0;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) *(i == j ? &on : &off) += a[i * d + j] * a[i * d + j];
    return off <= 1e-24 * on;
}

static int diagonalise(double *a, double *v, size_t d, Task *task) {
    enum { SWEEPS = 60 };
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        if (is_diagonal(a, d)) return 0;
        for (size_t p = 0; p + 1 < d; p++) {
            if (task_poll_any(task)) return 2;
            for (size_t q = p + 1; q < d; q++) rotate_pair(a, v, p, q, d);
        }
    }
    return !is_diagonal(a, d);
}

/* Eigenvalues ascending, of equal ones the first found first. */
static void write_sorted(const double *a, const double *v, float *out, float *value, size_t d) {
    for (size_t i = 0; i < d; i++) {
        size_t place = 0;
        for (size_t j = 0; j < d; j++)
            place += a[j * d + j] < a[i * d + i] || (a[j * d + j] == a[i * d + i] && j < i);
        value[place] = (float)a[i * d + i];
        for (size_t l = 0; l < d; l++) out[place * d + l] = (float)v[i * d + l];
    }
}

int ordered_eigen(float *a, float *value, size_t d, Task *task) {
    double *m = mem_array(d, d * sizeof *m), *v = mem_zeros(d, d * sizeof *v);
    int failed = m && v ? 0 : -1;
    for (size_t i = 0; !failed && i < d; i++) {
        v[i * d + i] = 1;
        for (size_t j = 0; j < d; j++) /* the mean of both triangles: exactly symmetric */
            m[i * d + j] = ((double)a[i * d + j] + (double)a[j * d + i]) / 2;
    }
    if (!failed) failed = diagonalise(m, v, d, task);
    if (!failed) write_sorted(m, v, a, value, d);
    mem_free(m);
    mem_free(v);
    return failed;
}
