/* Stopping where the examples that judge do not get better. */
#ifndef REC_PATIENCE_H
#define REC_PATIENCE_H

#include <stdint.h>

typedef struct Patience {
    int64_t steps; /* without a better one, until it is over; 0: never */
    double best;
    int64_t best_step; /* 0: none yet */
} Patience;

/* After a step, of which the first is 1: is its loss the least so far? */
static inline int patience_better(Patience *patience, int64_t step, double loss) {
    if (patience->best_step && !(loss < patience->best)) return 0;
    patience->best = loss;
    patience->best_step = step;
    return 1;
}
static inline int patience_over(const Patience *patience, int64_t step) {
    return patience->steps && step - patience->best_step >= patience->steps;
}

#endif
