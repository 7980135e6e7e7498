/* Matrix products whose bits depend neither on the CPU nor on threads: every element of the result
 * is one chain of fused multiply-adds over k, in order. Where that does not matter, dense.h has
 * OpenBLAS. */
#ifndef REC_PRODUCT_H
#define REC_PRODUCT_H

#include <stddef.h>

/* Up to a whole panel of columns. */
static inline size_t up16(size_t n) { return (n + 15) / 16 * 16; }

/* c (m x n) = a b, or c + a b where add: a_il = a[i * a_row + l * a_col], so that a transpose is
 * another pair of strides; b (k x n) and c by rows of b_row and c_row numbers. n: a multiple of
 * 16. */
typedef struct Product {
    size_t m, n, k;
    const float *a;
    size_t a_row, a_col;
    const float *b;
    size_t b_row;
    float *c;
    size_t c_row;
    int add;
} Product;
void product_run(const Product *product);

/* The same with one running sum in double an element, for tests. */
void product_naive(const Product *product);

#endif
