#include "descent.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"

enum { PAIRS = 10 };

typedef struct Memory {
    double *s, *y; /* PAIRS x n: differences of places and gradients */
    double rho[PAIRS];
    int n, next;
} Memory;

typedef struct State {
    const Descent *descent;
    double *x, *gradient, *direction, *next_x, *next_gradient, *pseudo;
    double value;
    Memory memory;
} State;

static double dot(const double *a, const double *b, int64_t n) {
    double sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++) sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double penalty(const Descent *d, const double *x) {
    double sum = 0;
    if (d->l1 <= 0) return 0;
    for (int64_t i = 0; i < d->n_l1; i++) sum += fabs(x[i]);
    return d->l1 * sum;
}

/* The steepest direction of f + l1 |x|: its pseudo-gradient. */
static void pseudo_gradient(const State *s, double *out) {
    const Descent *d = s->descent;
    memcpy(out, s->gradient, (size_t)d->n * sizeof *out);
    if (d->l1 <= 0) return;
    for (int64_t i = 0; i < d->n_l1; i++) {
        if (s->x[i] > 0) out[i] += d->l1;
        else if (s->x[i] < 0) out[i] -= d->l1;
        else if (out[i] + d->l1 < 0) out[i] += d->l1;
        else if (out[i] - d->l1 > 0) out[i] -= d->l1;
        else out[i] = 0;
    }
}

static double largest(const double *a, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(a[i]));
    return most;
}

/* direction = -H pseudo by the two loops; H: what the pairs say of the inverse of the second
 * derivative. */
static void find_direction(State *s) {
    const int64_t n = s->descent->n;
    const Memory *m = &s->memory;
    double alpha[PAIRS], *r = s->direction;
    for (int64_t i = 0; i < n; i++) r[i] = -s->pseudo[i];
    for (int k = 0; k < m->n; k++) { /* the newest first */
        int at = (m->next - 1 - k + 2 * PAIRS) % PAIRS;
        const double *y = m->y + at * n;
        alpha[at] = m->rho[at] * dot(m->s + at * n, r, n);
        for (int64_t i = 0; i < n; i++) r[i] -= alpha[at] * y[i];
    }
    if (m->n) {
        int at = (m->next - 1 + PAIRS) % PAIRS;
        double scale = 1 / (m->rho[at] * dot(m->y + at * n, m->y + at * n, n));
        for (int64_t i = 0; i < n; i++) r[i] *= scale;
    }
    for (int k = m->n - 1; k >= 0; k--) {
        int at = (m->next - 1 - k + 2 * PAIRS) % PAIRS;
        const double *pair = m->s + at * n;
        double beta = m->rho[at] * dot(m->y + at * n, r, n);
        for (int64_t i = 0; i < n; i++) r[i] += (alpha[at] - beta) * pair[i];
    }
    if (s->descent->l1 > 0) /* it keeps to the side where the pseudo-gradient falls */
        for (int64_t i = 0; i < s->descent->n_l1; i++)
            if (r[i] * s->pseudo[i] >= 0) r[i] = 0;
}

static void remember(State *s) {
    const int64_t n = s->descent->n;
    Memory *m = &s->memory;
    double *pair = m->s + m->next * n, *change = m->y + m->next * n;
    for (int64_t i = 0; i < n; i++) {
        pair[i] = s->next_x[i] - s->x[i];
        change[i] = s->next_gradient[i] - s->gradient[i];
    }
    double curvature = dot(pair, change, n);
    if (!(curvature > 1e-14 * dot(change, change, n))) return;
    m->rho[m->next] = 1 / curvature;
    m->next = (m->next + 1) % PAIRS;
    if (m->n < PAIRS) m->n++;
}

/* x + step direction; where |x| is penalised no number changes its side. */
static void move(const State *s, double step) {
    const Descent *d = s->descent;
    for (int64_t i = 0; i < d->n; i++) s->next_x[i] = s->x[i] + step * s->direction[i];
    if (d->l1 <= 0) return;
    for (int64_t i = 0; i < d->n_l1; i++) {
        double side = s->x[i] != 0 ? s->x[i] : -s->pseudo[i];
        if (s->next_x[i] * side < 0) s->next_x[i] = 0;
    }
}

/* *moved 0: no step makes it smaller, as far as numbers can tell. */
static Status search_line(State *s, double *value, int *moved, Err *err) {
    const Descent *d = s->descent;
    double slope = dot(s->pseudo, s->direction, d->n), step = 1;
    double from = s->value + penalty(d, s->x);
    *moved = 0;
    if (!(slope < 0)) return ST_OK;
    if (!s->memory.n) step = 1 / fmax(1, sqrt(dot(s->pseudo, s->pseudo, d->n)));
    for (int tries = 0; tries < 40; tries++, step /= 2) {
        move(s, step);
        TRY(d->evaluate(d->context, s->next_x, value, s->next_gradient, err));
        double gain = 1e-4 * step * slope;
        if (d->l1 > 0) {
            gain = 0;
            for (int64_t i = 0; i < d->n; i++)
                gain += 1e-4 * s->pseudo[i] * (s->next_x[i] - s->x[i]);
        }
        if (isfinite(*value) && *value + penalty(d, s->next_x) <= from + gain) {
            *moved = 1;
            return ST_OK;
        }
    }
    return ST_OK;
}

static Status iterate(State *s, Err *err) {
    const Descent *d = s->descent;
    TRY(d->evaluate(d->context, s->x, &s->value, s->gradient, err));
    for (int64_t step = 1; step <= d->most_steps; step++) {
        double value, *swap;
        int moved;
        pseudo_gradient(s, s->pseudo);
        if (largest(s->pseudo, d->n) <= d->tolerance) return ST_OK;
        find_direction(s);
        TRY(search_line(s, &value, &moved, err));
        if (!moved && s->memory.n) { /* once more, straight down */
            s->memory = (Memory){.s = s->memory.s, .y = s->memory.y};
            continue;
        }
        if (!moved) return ST_OK;
        remember(s);
        s->value = value;
        swap = s->gradient, s->gradient = s->next_gradient, s->next_gradient = swap;
        memcpy(s->x, s->next_x, (size_t)d->n * sizeof *s->x);
        int stop = 0;
        if (d->note) TRY(d->note(d->context, step, value + penalty(d, s->x), &stop, err));
        if (stop) return ST_OK;
    }
    return ST_OK;
}

Status descent_lbfgs(const Descent *descent, double *x, Err *err) {
    size_t n = (size_t)descent->n;
    double *room = mem_array(n, (5 + 2 * PAIRS) * sizeof *room);
    if (!room) return fail_nomem(err, "the solver");
    State s = {.descent = descent,
        .x = x,
        .gradient = room,
        .direction = room + n,
        .next_x = room + 2 * n,
        .next_gradient = room + 3 * n,
        .pseudo = room + 4 * n,
        .memory = {.s = room + 5 * n, .y = room + (5 + PAIRS) * n}};
    Status status = iterate(&s, err);
    mem_free(room);
    return status;
}

Status descent_gradient(const Descent *descent, double *x, double step, Err *err) {
    double *gradient = mem_array((size_t)descent->n, sizeof *gradient), value;
    Status status = gradient ? ST_OK : fail_nomem(err, "the solver");
    int stop = 0;
    for (int64_t i = 1; i <= descent->most_steps && status == ST_OK; i++) {
        status = descent->evaluate(descent->context, x, &value, gradient, err);
        if (status == ST_OK && descent->note)
            status = descent->note(descent->context, i, value, &stop, err);
        if (status != ST_OK || stop || largest(gradient, descent->n) <= descent->tolerance) break;
        for (int64_t j = 0; j < descent->n; j++) x[j] -= step * gradient[j];
    }
    mem_free(gradient);
    return status;
}
