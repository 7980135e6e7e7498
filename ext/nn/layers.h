/* Layers that work on rows of numbers, forward and backward: float32, every sum in one order. d: a
 * multiple of 16. */
#ifndef REC_LAYERS_H
#define REC_LAYERS_H

#include <stddef.h>
#include <stdint.h>

/* Layer normalisation of a row (Ba, Kiros and Hinton 2016): hat = (x - mean x) / sqrt(var x +
 * 1e-12), y = gain * hat + bias. hat may be x; returns 1 / sqrt(var x + 1e-12). */
float layer_norm(
    const float *x, const float *gain, const float *bias, size_t d, float *hat, float *y);
/* dx of dy, and what dy adds to the gradients of gain and bias. dx may be dy. */
void layer_norm_back(const float *dy, const float *hat, float scale, const float *gain, size_t d,
    float *dx, float *d_gain, float *d_bias);

/* sum x_i y_i, in 16 partial sums. */
float row_dot(const float *x, const float *y, size_t d);
/* y += x, row after row of x (rows x d) into one (d) or all rows of y. */
void row_add(float *y, const float *x, size_t d);
void rows_add_bias(float *y, const float *bias, size_t rows, size_t d);
void rows_sum(float *sum, const float *x, size_t rows, size_t d);

/* The softmax of n numbers; zero: n zeros; sum: room for n. */
void row_softmax(float *x, size_t n, const float *zero, float *sum);

/* out (columns x rows, a row out_row long and 0 past rows) = the transpose of in (rows x columns, a
 * row in_row long). */
void transpose_into(
    float *out, size_t out_row, const float *in, size_t in_row, size_t rows, size_t columns);

/* Where and how strongly numbers are dropped: a row's mask follows from (key, site, row), so that
 * it is the same forward, backward and on any thread. */
typedef struct Dropout {
    uint64_t key;
    float rate; /* 0: nothing is dropped */
} Dropout;
void dropout_row(const Dropout *dropout, uint32_t site, uint32_t row, float *x, size_t n);

#endif
