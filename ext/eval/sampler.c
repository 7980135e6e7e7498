#include "sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"

enum { START = 10, CANDIDATES = 24, MOST_GOOD = 25 };

static double draw(Random *random, const Dimension *d) {
    return d->choices ? (double)random_below(random, (uint64_t)d->choices) : random_uniform(random);
}

void sampler_random(Random *random, const Dimension *dimension, int n, double *place) {
    for (int i = 0; i < n; i++) place[i] = draw(random, &dimension[i]);
}

int sampler_grid(int64_t at, int64_t steps, const Dimension *dimension, int n, double *place) {
    for (int i = n - 1; i >= 0; i--) {
        int64_t size = dimension[i].choices ? dimension[i].choices : steps, own = at % size;
        at /= size;
        place[i] = dimension[i].choices ? (double)own
            : steps > 1                 ? (double)own / (double)(steps - 1)
                                        : .5;
    }
    return at == 0;
}

static int best_first(const void *a, const void *b) {
    double x = ((const Trial *)a)->value, y = ((const Trial *)b)->value;
    return (x < y) - (x > y);
}

/* A mixture of kernels at trials' places in one dimension, and an even one of weight 1. */
typedef struct Mixture {
    const Trial *trial;
    int64_t n;
    int axis;
    const Dimension *dimension;
    double width; /* of a kernel, for numbers */
} Mixture;

static Mixture mixture_of(const Trial *trial, int64_t n, int axis, const Dimension *dimension) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < n; i++) mean += trial[i].place[axis] / (double)n;
    for (int64_t i = 0; i < n; i++)
        square += (trial[i].place[axis] - mean) * (trial[i].place[axis] - mean) / (double)n;
    double width = 1.06 * sqrt(square) * pow((double)n, -.2); /* Silverman's rule */
    return (Mixture){trial, n, axis, dimension, width < .03 ? .03 : width};
}

static double density(const Mixture *m, double at) {
    double sum = m->dimension->choices ? 1 / (double)m->dimension->choices : 1;
    for (int64_t i = 0; i < m->n; i++) {
        double own = m->trial[i].place[m->axis];
        if (m->dimension->choices) {
            sum += own == at;
            continue;
        }
        double z = (at - own) / m->width,
               inside = (erf((1 - own) / m->width / sqrt(2)) - erf(-own / m->width / sqrt(2))) / 2;
        sum += exp(-z * z / 2) / (m->width * 2.5066282746310002 * inside);
    }
    return sum / (double)(m->n + 1);
}

static double draw_from(Random *random, const Mixture *m) {
    uint64_t chosen = random_below(random, (uint64_t)m->n + 1);
    if (chosen == (uint64_t)m->n) return draw(random, m->dimension);
    double own = m->trial[chosen].place[m->axis];
    if (m->dimension->choices) return own;
    for (int tries = 0; tries < 100; tries++) {
        double at = own + m->width * random_normal(random);
        if (at >= 0 && at <= 1) return at;
    }
    return own;
}

Status sampler_tpe(Random *random, const Dimension *dimension, int n, const Trial *trial,
    int64_t n_trials, double *place, Err *err) {
    if (n_trials < START) {
        sampler_random(random, dimension, n, place);
        return ST_OK;
    }
    Trial *sorted = mem_array((size_t)n_trials, sizeof *sorted);
    if (!sorted) return fail_nomem(err, "the trials");
    memcpy(sorted, trial, (size_t)n_trials * sizeof *sorted);
    qsort(sorted, (size_t)n_trials, sizeof *sorted, best_first);
    int64_t good = (n_trials + 3) / 4 < MOST_GOOD ? (n_trials + 3) / 4 : MOST_GOOD;
    for (int i = 0; i < n; i++) {
        Mixture best = mixture_of(sorted, good, i, &dimension[i]),
                rest = mixture_of(sorted + good, n_trials - good, i, &dimension[i]);
        double largest = -1;
        for (int c = 0; c < CANDIDATES; c++) {
            double at = draw_from(random, &best), ratio = density(&best, at) / density(&rest, at);
            if (ratio > largest) {
                largest = ratio;
                place[i] = at;
            }
        }
    }
    mem_free(sorted);
    return ST_OK;
}
