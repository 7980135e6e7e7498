/* The next setting to try, in a space of options. Values are kept in 0..1 (a share of the range,
 * logarithmic where that is asked for) or as the index of a choice. */
#ifndef REC_SAMPLER_H
#define REC_SAMPLER_H

#include <stdint.h>

#include "../base/random.h"
#include "../base/status.h"

enum { SAMPLER_MAX_DIMENSIONS = 16 };

typedef struct Dimension {
    int64_t choices; /* > 0: so many choices; 0: a number in [0, 1] */
} Dimension;

typedef struct Trial {
    double place[SAMPLER_MAX_DIMENSIONS]; /* 0..1, or the index of a choice */
    double value;                         /* the more the better */
} Trial;

/* Drawn evenly. */
void sampler_random(Random *random, const Dimension *dimension, int n, double *place);

/* The at-th point of the grid of `steps` places a number, the last dimension fastest; 0 when there
 * are no more. */
int sampler_grid(int64_t at, int64_t steps, const Dimension *dimension, int n, double *place);

/* Tree-structured Parzen estimator (Bergstra et al. 2011), each dimension apart: trials are split
 * into the best quarter (at most 25) and the rest, each a mixture of its trials' kernels and of an
 * even one; of CANDIDATES drawn from the best ones' mixture that with the largest ratio of the two
 * densities is taken. The first START trials are random. */
Status sampler_tpe(Random *random, const Dimension *dimension, int n, const Trial *trial,
    int64_t n_trials, double *place, Err *err);

#endif
