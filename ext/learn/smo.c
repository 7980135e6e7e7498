#include "smo.h"

#include <math.h>

#include "../base/memory.h"

typedef struct Solving {
    const Smo *smo;
    double *a, *gradient; /* n */
} Solving;

static const float *kernel_of(const Smo *smo, int64_t i) {
    return smo->kernel + (size_t)(i % smo->n_examples) * smo->kernel_row;
}
static double diagonal(const Smo *smo, int64_t i) { return kernel_of(smo, i)[i % smo->n_examples]; }

static int may_rise(const Solving *s, int64_t i) {
    return s->smo->y[i] > 0 ? s->a[i] < s->smo->c[i] : s->a[i] > 0;
}
static int may_fall(const Solving *s, int64_t i) {
    return s->smo->y[i] > 0 ? s->a[i] > 0 : s->a[i] < s->smo->c[i];
}

/* The pair that promises the most; 0: the largest violation is below the tolerance. */
static int choose(const Solving *s, int64_t *out_i, int64_t *out_j) {
    const Smo *smo = s->smo;
    double most = -INFINITY, least = INFINITY, best = 0;
    int64_t i = -1, j = -1;
    for (int64_t t = 0; t < smo->n; t++) {
        double slope = -smo->y[t] * s->gradient[t];
        if (!may_rise(s, t) || !(slope > most)) continue;
        most = slope;
        i = t;
    }
    if (i < 0) return 0;
    const float *k = kernel_of(smo, i);
    double own = diagonal(smo, i);
    for (int64_t t = 0, e = 0; t < smo->n; t++, e++) {
        if (e == smo->n_examples) e = 0;
        double slope = -smo->y[t] * s->gradient[t], gap = most - slope;
        if (!may_fall(s, t)) continue;
        least = fmin(least, slope);
        if (!(gap > 0)) continue;
        double curve = fmax(own + diagonal(smo, t) - 2 * (double)k[e], 1e-12);
        if (!(gap * gap / curve > best)) continue;
        best = gap * gap / curve;
        j = t;
    }
    *out_i = i;
    *out_j = j;
    return j >= 0 && most - least >= smo->tolerance;
}

/* Move a_i and a_j along y' a = 0 to the minimum, or to where one meets its bound. */
static void step(Solving *s, int64_t i, int64_t j) {
    const Smo *smo = s->smo;
    const float *ki = kernel_of(smo, i), *kj = kernel_of(smo, j);
    double curve = diagonal(smo, i) + diagonal(smo, j) - 2 * (double)ki[j % smo->n_examples];
    double gap = smo->y[j] * s->gradient[j] - smo->y[i] * s->gradient[i];
    double move = gap / fmax(curve, 1e-12); /* of y_i a_i upwards, of y_j a_j downwards */
    double room_i = smo->y[i] > 0 ? smo->c[i] - s->a[i] : s->a[i];
    double room_j = smo->y[j] > 0 ? s->a[j] : smo->c[j] - s->a[j];
    move = fmin(move, fmin(room_i, room_j));
    s->a[i] += smo->y[i] * move;
    s->a[j] -= smo->y[j] * move;
    /* at a bound they are exactly there */
    if (move == room_i) s->a[i] = smo->y[i] > 0 ? smo->c[i] : 0;
    if (move == room_j) s->a[j] = smo->y[j] > 0 ? 0 : smo->c[j];
    for (int64_t t = 0, e = 0; t < smo->n; t++, e++) {
        if (e == smo->n_examples) e = 0;
        s->gradient[t] += smo->y[t] * move * ((double)ki[e] - kj[e]);
    }
}

/* The mean over those that are free, else the middle of what the others allow. */
static double find_rho(const Solving *s) {
    double sum = 0, low = -INFINITY, high = INFINITY;
    int64_t free = 0;
    for (int64_t t = 0; t < s->smo->n; t++) {
        double slope = s->smo->y[t] * s->gradient[t];
        if (may_rise(s, t) && may_fall(s, t)) {
            sum += slope;
            free++;
        } else if (may_rise(s, t)) {
            high = fmin(high, slope);
        } else {
            low = fmax(low, slope);
        }
    }
    if (free) return sum / (double)free;
    return isfinite(low) && isfinite(high) ? (low + high) / 2 : isfinite(low) ? low : high;
}

Status smo_solve(const Smo *smo, double *a, double *rho, Task *task, Err *err) {
    Solving s = {smo, a, mem_array((size_t)smo->n, sizeof *s.gradient)};
    int64_t i, j;
    Status status = ST_OK;
    if (!s.gradient) return fail_nomem(err, "the solver");
    for (int64_t t = 0; t < smo->n; t++) {
        a[t] = 0;
        s.gradient[t] = smo->p[t];
    }
    for (int64_t n = 0; n < smo->most_steps && choose(&s, &i, &j); n++) {
        step(&s, i, j);
        if (n % 64 == 0 && task_cancelled(task)) {
            status = fail(err, ST_CANCELLED, "interrupted");
            break;
        }
    }
    *rho = find_rho(&s);
    mem_free(s.gradient);
    return status;
}
