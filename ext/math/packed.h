/* A matrix that many others are multiplied with: laid out once in the panels that the kernel reads,
 * as float32, as half floats, or as bytes with a factor a column. As in product.h every sum is one
 * chain of fused multiply-adds in order: the same bits on any CPU. */
#ifndef REC_PACKED_H
#define REC_PACKED_H

#include <stddef.h>

/* float32; IEEE half precision; round(x / factor), factor = max |x| of the column / 127 */
typedef enum PackedKind { PACKED_FLOAT, PACKED_HALF, PACKED_INT8 } PackedKind;

typedef struct Packed {
    PackedKind kind;
    size_t k, n;         /* rows, columns; n: a multiple of 16 */
    const void *panel;   /* n / 16 panels of k x 16 numbers */
    const float *factor; /* n, where the numbers are bytes */
} Packed;

/* Bytes of the panels. */
size_t packed_bytes(PackedKind kind, size_t k, size_t n);

/* Lay out b (k x n, b_lj = b[l * row + j * column]): panel gets packed_bytes, factor n numbers
 * (PACKED_INT8). scratch: k numbers. */
void packed_set(PackedKind kind, size_t k, size_t n, const float *b, size_t row, size_t column,
    void *panel, float *factor, float *scratch);

/* c (m x n) = a b + bias, rows of a_row and of c_row numbers; bias: n. */
void packed_product(const Packed *b, size_t m, const float *a, size_t a_row, const float *bias,
    float *c, size_t c_row);

#endif
