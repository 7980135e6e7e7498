#include "adam.h"

#include <math.h>

#include "../math/kernels.h"

static const float FIRST = .9F, SECOND = .999F;

AdamStep adam_step(int64_t step, double done, double warm, double rate) {
    double now = done < warm ? rate * (done / warm) : rate * (1 - done) / (1 - warm);
    double t = (double)step;
    return (AdamStep){step, (float)(now / (1 - pow(.9, t))), (float)(1 / sqrt(1 - pow(.999, t)))};
}

/* x^n by squaring: the same bits wherever it runs. */
static double whole_power(double x, int64_t n) {
    double power = 1;
    for (; n > 0; n /= 2) {
        if (n % 2) power *= x;
        x *= x;
    }
    return power;
}

void adam_update(const AdamStep *step, float *x, float *m, float *v, const float *g, size_t n) {
    RowAdam row = {FIRST, SECOND, step->rate, step->shrink, 1e-8f};
    kernels()->adam(&row, x, m, v, g, n);
}

/* The k-th missed step moves x by rate .9^k m / sqrt(.999^k v): a geometric series. */
void adam_catch_up(const AdamStep *step, int32_t *last, float *x, float *m, float *v, size_t n) {
    int64_t missed = *last ? step->step - 1 - *last : 0;
    *last = (int32_t)(step->step - 1);
    if (missed <= 0) return;
    double ratio = .9 / sqrt(.999);
    double moves = ratio * (1 - whole_power(ratio, missed)) / (1 - ratio);
    RowAdam row = {(float)whole_power(.9, missed), (float)whole_power(.999, missed),
        (float)((double)step->rate * moves), step->shrink, 1e-8f};
    kernels()->adam_rest(&row, x, m, v, n);
}
