#include "calibration.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../metrics/sort.h"
#include "sigmoid.h"

void calibration_clear(Calibration *calibration) {
    mem_free(calibration->x);
    mem_free(calibration->y);
    *calibration = (Calibration){0};
}

double calibration_apply(const Calibration *c, double score) {
    if (c->kind == CALIBRATION_PLATT) return sigmoid(c->a * score + c->b);
    int32_t low = 0, high = c->n; /* places not above the score */
    while (low < high) {
        int32_t middle = (low + high) / 2;
        if (c->x[middle] <= score) low = middle + 1;
        else high = middle;
    }
    if (!low) return c->y[0];
    if (low == c->n) return c->y[c->n - 1];
    double part = (score - c->x[low - 1]) / (c->x[low] - c->x[low - 1]);
    return c->y[low - 1] + part * (c->y[low] - c->y[low - 1]);
}

/* Newton's method on two numbers, with steps halved. */
static double platt_loss(
    double a, double b, const double *score, const double *target, const double *w, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double s = a * score[i] + b, e = log1p(exp(-fabs(s)));
        sum += w[i] * ((s > 0 ? 0 : -s) + e + (1 - target[i]) * s);
    }
    return sum;
}

static void platt_newton(
    Calibration *c, const double *score, const double *target, const double *w, int64_t n) {
    double value = platt_loss(c->a, c->b, score, target, w, n);
    for (int step = 0; step < 100; step++) {
        double ga = 0, gb = 0, haa = 1e-12, hab = 0, hbb = 1e-12;
        for (int64_t i = 0; i < n; i++) {
            double p = sigmoid(c->a * score[i] + c->b), d = w[i] * (p - target[i]);
            double h = w[i] * p * (1 - p);
            ga += d * score[i], gb += d;
            haa += h * score[i] * score[i], hab += h * score[i], hbb += h;
        }
        double det = haa * hbb - hab * hab;
        if ((fabs(ga) < 1e-9 && fabs(gb) < 1e-9) || !(det > 0)) return;
        double da = -(hbb * ga - hab * gb) / det, db = -(haa * gb - hab * ga) / det, scale = 1;
        for (; scale > 1e-10; scale /= 2) {
            double next = platt_loss(c->a + scale * da, c->b + scale * db, score, target, w, n);
            if (next >= value + 1e-4 * scale * (ga * da + gb * db)) continue;
            c->a += scale * da;
            c->b += scale * db;
            value = next;
            break;
        }
        if (scale <= 1e-10) return;
    }
}

static Status fit_platt(Calibration *c, const double *score, const uint8_t *label,
    const double *weight, int64_t n, Err *err) {
    double *target = mem_array((size_t)n, sizeof *target), n1 = 0, n0 = 0;
    if (!target) return fail_nomem(err, "the calibration");
    for (int64_t i = 0; i < n; i++) *(label[i] ? &n1 : &n0) += weight[i];
    for (int64_t i = 0; i < n; i++) target[i] = label[i] ? (n1 + 1) / (n1 + 2) : 1 / (n0 + 2);
    c->a = 0;
    c->b = log((n1 + 1) / (n0 + 1));
    platt_newton(c, score, target, weight, n);
    mem_free(target);
    return ST_OK;
}

typedef struct Block {
    double from, to; /* scores */
    double sum, weight;
} Block;

/* Blocks of one score, pooled while they fall. */
static int64_t pool(Block *block, const Sample *row, const double *weight, int64_t n) {
    int64_t blocks = 0;
    for (int64_t i = 0; i < n;) {
        Block own = {row[i].x, row[i].x, 0, 0};
        for (; i < n && row[i].x == own.from; i++) {
            int64_t at = (int64_t)fabs(row[i].y) - 1;
            own.sum += row[i].y > 0 ? weight[at] : 0;
            own.weight += weight[at];
        }
        while (blocks && block[blocks - 1].sum * own.weight >= own.sum * block[blocks - 1].weight) {
            own.from = block[--blocks].from;
            own.sum += block[blocks].sum;
            own.weight += block[blocks].weight;
        }
        block[blocks++] = own;
    }
    return blocks;
}

/* A block is two places, its ends, where they differ. */
static Status fit_isotonic(Calibration *c, const double *score, const uint8_t *label,
    const double *weight, int64_t n, Err *err) {
    Sample *row = mem_array((size_t)n, sizeof *row);
    Block *block = mem_array((size_t)n, sizeof *block);
    int64_t blocks = 0;
    if (row && block) {
        for (int64_t i = 0; i < n; i++)
            row[i] = (Sample){score[i], label[i] ? (double)(i + 1) : -(double)(i + 1)};
        sort_samples(row, (size_t)n);
        blocks = pool(block, row, weight, n);
        c->x = mem_array((size_t)(2 * blocks), sizeof *c->x);
        c->y = mem_array((size_t)(2 * blocks), sizeof *c->y);
    }
    int has_room = c->x && c->y;
    for (int64_t i = 0; i < blocks && has_room; i++) {
        double y = block[i].sum / block[i].weight;
        c->x[c->n] = block[i].from;
        c->y[c->n++] = y;
        if (block[i].to > block[i].from) {
            c->x[c->n] = block[i].to;
            c->y[c->n++] = y;
        }
    }
    mem_free(row);
    mem_free(block);
    return has_room ? ST_OK : fail_nomem(err, "the calibration");
}

Status calibration_fit(Calibration *out, CalibrationKind kind, const double *score,
    const uint8_t *label, const double *weight, int64_t n, Err *err) {
    *out = (Calibration){.kind = kind};
    return kind == CALIBRATION_PLATT ? fit_platt(out, score, label, weight, n, err)
                                     : fit_isotonic(out, score, label, weight, n, err);
}

void calibration_write(const Calibration *c, Bytes *out) {
    bytes_u32(out, (uint32_t)c->kind);
    bytes_f64(out, c->a);
    bytes_f64(out, c->b);
    bytes_u32(out, (uint32_t)c->n);
    for (int32_t i = 0; i < c->n; i++) bytes_f64(out, c->x[i]);
    for (int32_t i = 0; i < c->n; i++) bytes_f64(out, c->y[i]);
}

Status calibration_read(Calibration *out, Reader *in, Err *err) {
    *out = (Calibration){.kind = (CalibrationKind)read_u32(in)};
    out->a = read_f64(in);
    out->b = read_f64(in);
    uint32_t n = read_u32(in);
    int isotonic = out->kind == CALIBRATION_ISOTONIC;
    const void *places = in->failed ? NULL : read_block(in, 2 * (uint64_t)n, sizeof(double));
    if (!places || (n > 0) != isotonic || n > INT32_MAX / 2 ||
        (!isotonic && out->kind != CALIBRATION_PLATT))
        return fail(err, ST_CORRUPT, "the calibration is damaged");
    out->x = mem_array(n, sizeof *out->x);
    out->y = mem_array(n, sizeof *out->y);
    if (!out->x || !out->y) return fail_nomem(err, "the calibration");
    out->n = (int32_t)n;
    memcpy(out->x, places, n * sizeof(double));
    memcpy(out->y, (const char *)places + n * sizeof(double), n * sizeof(double));
    return ST_OK;
}
