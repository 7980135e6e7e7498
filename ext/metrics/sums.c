#include "sums.h"

#include <math.h>

static const double EPSILON = 2.220446049250313e-16; /* 2^-52 */

/* sum += high + low, both exact (Knuth's two-sum). */
static void add(DoubleDouble *sum, double high, double low) {
    double s = sum->high + high, part = s - sum->high;
    double error = (sum->high - (s - part)) + (high - part) + sum->low + low;
    sum->high = s + error;
    sum->low = error - (sum->high - s);
}

/* sum += w x y. */
static void add_product(DoubleDouble *sum, double w, double x, double y) {
    double product = x * y, rest = fma(x, y, -product);
    double high = w * product, low = fma(w, product, -high) + w * rest;
    add(sum, high, low);
}

static DoubleDouble normal(double high, double low) {
    double sum = high + low;
    return (DoubleDouble){sum, low - (sum - high)};
}

static DoubleDouble product_of(DoubleDouble a, DoubleDouble b) {
    double product = a.high * b.high;
    return normal(product, fma(a.high, b.high, -product) + a.high * b.low + a.low * b.high);
}

/* a - q b. */
static DoubleDouble rest_of(DoubleDouble a, double q, DoubleDouble b) {
    DoubleDouble taken = product_of((DoubleDouble){q, 0}, b);
    add(&a, -taken.high, -taken.low);
    return a;
}

/* Long division, a double of the quotient at a time. */
static DoubleDouble quotient_of(DoubleDouble a, DoubleDouble b) {
    double first = a.high / b.high;
    DoubleDouble rest = rest_of(a, first, b);
    double second = rest.high / b.high;
    rest = rest_of(rest, second, b);
    DoubleDouble q = normal(first, second);
    add(&q, rest.high / b.high, 0);
    return q;
}

static long double value_of(const DoubleDouble *sum) {
    return (long double)sum->high + (long double)sum->low;
}

void sums_add(Sums *sums, SumMetric metric, double y, double p, double w, double sign) {
    double error = y - p, signed_w = sign * w;
    sums->n += sign > 0 ? 1 : -1;
    if (metric >= SUM_ACCURACY) {
        add(&sums->sum[y == 1 ? (p == 1 ? 0 : 2) : (p == 1 ? 1 : 3)], signed_w, 0);
        return;
    }
    add(&sums->sum[0], signed_w, 0);
    switch (metric) {
    case SUM_RMSE:
    case SUM_BRIER: add_product(&sums->sum[1], signed_w, error, error); break;
    case SUM_MAE: add_product(&sums->sum[1], signed_w, fabs(error), 1); break;
    case SUM_MAPE:
        add_product(&sums->sum[1], signed_w, fabs(error) / fmax(fabs(y), EPSILON), 1);
        break;
    case SUM_R2:
        add_product(&sums->sum[1], signed_w, error, error);
        add_product(&sums->sum[2], signed_w, y, 1);
        add_product(&sums->sum[3], signed_w, y, y);
        sums->steps++;
        if (error != 0 && (sums->least_error == 0 || w * error * error < sums->least_error))
            sums->least_error = w * error * error;
        if (y != 0 && (sums->least_square == 0 || w * y * y < sums->least_square))
            sums->least_square = w * y * y;
        sums->errors = fmax(sums->errors, sums->sum[1].high);
        sums->squares = fmax(sums->squares, sums->sum[3].high);
        break;
    default: { /* SUM_LOGLOSS */
        double inside = fmin(fmax(p, EPSILON), 1 - EPSILON);
        add_product(&sums->sum[1], signed_w, -(y == 1 ? log(inside) : log1p(-inside)), 1);
    }
    }
}

static double quotient(long double a, long double b) { return b > 0 ? (double)(a / b) : NAN; }

/* The spread is the small difference of two large sums, which only their 32 digits can tell: of
 * times in unix seconds that are a second apart it is their 19th digit. */
static double r2(const Sums *sums) {
    /* of the sums' largest values, by rounding */
    const double lost = (double)sums->steps * 0x1p-100;
    DoubleDouble spread = sums->sum[3];
    if (sums->n < 2 || sums->sum[0].high <= 0) return NAN;
    DoubleDouble of_mean = quotient_of(product_of(sums->sum[2], sums->sum[2]), sums->sum[0]);
    add(&spread, -of_mean.high, -of_mean.low);
    /* Did what has left the window weigh so much more that nothing can be told of what stays? */
    int emptied = sums->steps > sums->n,
        no_square = emptied && lost * sums->squares >= sums->least_square && sums->least_square > 0;
    int no_error = emptied && lost * sums->errors >= sums->least_error && sums->least_error > 0;
    if (spread.high <= lost * sums->squares) { /* y is constant */
        if (sums->sum[1].high > lost * sums->errors) return no_square ? NAN : 0;
        return no_square || no_error ? NAN : 1;
    }
    if (no_error && spread.high <= lost * sums->errors) return NAN;
    return (double)(1 - value_of(&sums->sum[1]) / value_of(&spread));
}

void sums_confusion(const Sums *sums, double out[4]) {
    for (int i = 0; i < 4; i++) out[i] = (double)value_of(&sums->sum[i]);
}

static double class_value(const Sums *sums, SumMetric metric) {
    long double tp = value_of(&sums->sum[0]), fp = value_of(&sums->sum[1]),
                fn = value_of(&sums->sum[2]), tn = value_of(&sums->sum[3]);
    long double square = (long double)sums->beta * sums->beta,
                margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn);
    switch (metric) {
    case SUM_ACCURACY: return quotient(tp + tn, tp + fp + fn + tn);
    case SUM_PRECISION: return quotient(tp, tp + fp);
    case SUM_RECALL: return quotient(tp, tp + fn);
    case SUM_SPECIFICITY: return quotient(tn, tn + fp);
    case SUM_BALANCED: return (quotient(tp, tp + fn) + quotient(tn, tn + fp)) / 2;
    case SUM_F: return quotient((1 + square) * tp, (1 + square) * tp + square * fn + fp);
    case SUM_MCC: return margins > 0 ? (double)((tp * tn - fp * fn) / sqrtl(margins)) : 0;
    default: return NAN;
    }
}

double sums_value(const Sums *sums, SumMetric metric) {
    if (sums->n == 0) return NAN;
    if (metric >= SUM_ACCURACY) return class_value(sums, metric);
    if (metric == SUM_R2) return r2(sums);
    double mean = quotient(value_of(&sums->sum[1]), value_of(&sums->sum[0]));
    if (metric != SUM_RMSE || isnan(mean)) return mean;
    return mean > 0 ? sqrt(mean) : 0; /* below 0 by rounding, when a window has taken rows back */
}
