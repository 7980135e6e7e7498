/* The logistic function, without overflow. */
#ifndef REC_SIGMOID_H
#define REC_SIGMOID_H

#include <math.h>

static inline double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

#endif
