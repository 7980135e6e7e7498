/* Softmax cross-entropy over candidates that all places of a batch share (Jean et al. 2015; the
 * correction by the logarithm of the chance to be a candidate: Bengio and Senecal 2008).
 *
 *     logit_ct = e_c . h_t + bias_c,    loss = - mean over places t of log softmax(logit_.t) at the
 *                                       candidate that came next
 *
 * with e and h as they are, or, with sharpness > 0, e / |e| and sharpness h / |h|. */
#ifndef REC_SAMPLED_SOFTMAX_H
#define REC_SAMPLED_SOFTMAX_H

#include <stddef.h>
#include <stdint.h>

typedef struct SampledSoftmax {
    size_t dim;        /* a multiple of 16 */
    size_t candidates; /* C */
    const float *e;    /* C x dim */
    const float *bias; /* C */
    float sharpness;   /* 0: inner products as they are; else e is normalised by the caller */
    float places;      /* of the batch: what the mean divides by */
    float *p;          /* C x p_row: afterwards the logits' gradient but for a factor a place */
    size_t p_row;      /* a multiple of 16 */
} SampledSoftmax;

/* Scratch for so many places: floats of `sampled_softmax_scratch`. */
size_t sampled_softmax_scratch(size_t dim, size_t places);

/* Places t of a range: h (places x dim), target[t] the candidate that came next, or below 0;
 * columns of p up to 16s of places are written. Returns the sum of their losses over `places`; dh
 * (places x dim) becomes the gradient of h, and h what p is to be multiplied by to give that of e:
 * de_c = sum_t p_ct h_t. */
double sampled_softmax(const SampledSoftmax *loss, float *h, const int32_t *target, size_t places,
    float *dh, float *scratch);

/* x = sharpness x / |x|; returns sharpness / |x|, 0 where x is 0. And back: dx = scale (dy - y (y .
 * dy) / sharpness^2), dx may be dy. */
float normalise_row(float *x, size_t d, float sharpness);
void normalise_row_back(
    const float *y, float scale, float sharpness, size_t d, const float *dy, float *dx);

#endif
