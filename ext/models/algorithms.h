/* The algorithms by name, for registry.c. */
#ifndef REC_ALGORITHMS_H
#define REC_ALGORITHMS_H

#include "model.h"

extern const Algorithm popular_algorithm;
extern const Algorithm item_knn_algorithm;
extern const Algorithm ials_algorithm;

#endif
