/* Adam (Kingma and Ba 2015) with a rate that rises in the beginning and falls to the end. */
#ifndef REC_ADAM_H
#define REC_ADAM_H

#include <stddef.h>
#include <stdint.h>

/* One step, t = 1, 2, ..:  m = .9 m + .1 g,  v = .999 v + .001 g^2,  x -= rate m / (1 - .9^t) /
 * (sqrt(v / (1 - .999^t)) + 1e-8). */
typedef struct AdamStep {
    int64_t step;
    float rate, shrink; /* the rate, and 1 / sqrt(1 - .999^t) */
} AdamStep;
/* done: the share of the training that has been done, 0 .. 1. The rate rises over the first `warm`
 * of it, and falls to 0 at the end. */
AdamStep adam_step(int64_t step, double done, double warm, double rate);

void adam_update(const AdamStep *step, float *x, float *m, float *v, const float *g, size_t n);

/* A row that has been in no step since *last, 0 for none, makes the moves that its m leaves it, up
 * to the step before this one: what it would have done with gradients of 0, but that all these
 * moves have the rate of this step. Afterwards adam_update goes on. */
void adam_catch_up(const AdamStep *step, int32_t *last, float *x, float *m, float *v, size_t n);

#endif
