#include "special.h"

#include <math.h>

static const double PI = 3.14159265358979323846;
enum { MAX_TERMS = 100000 };

double normal_upper(double z) { return erfc(z / sqrt(2)) / 2; }

double normal_quantile(double p) {
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,
        -2.759285104469687e+02, 1.383577518672690e+02, -3.066479806614716e+01,
        2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,
        -1.556989798598866e+02, 6.680131188771972e+01, -1.328068155288572e+01};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01,
        -2.400758277161838e+00, -2.549732539343734e+00, 4.374664141464968e+00,
        2.938163982698783e+00};
    static const double d[] = {
        7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00};
    double tail = p < .5 ? p : 1 - p, x;
    if (tail < .02425) {
        double q = sqrt(-2 * log(tail));
        x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
            ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    } else {
        double q = tail - .5, r = q * q;
        x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
            (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
    }
    for (int step = 0; step < 2; step++) { /* x is the quantile of the tail, below 0 */
        double error = normal_upper(-x) - tail, u = error * sqrt(2 * PI) * exp(x * x / 2);
        x -= u / (1 + x * u / 2);
    }
    return p < .5 ? x : -x;
}

/* The continued fraction of the incomplete beta function, by Lentz's method. */
static double beta_fraction(double a, double b, double x) {
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double result = d;
    for (int m = 1; m < MAX_TERMS; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
               odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double terms[] = {even, odd}, step = 1;
        for (int i = 0; i < 2; i++) {
            d = 1 + terms[i] * d;
            c = 1 + terms[i] / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            step = c * d;
            result *= step;
        }
        if (fabs(step - 1) < 1e-16) break;
    }
    return result;
}

/* I_x(a, b) with y = 1 - x. */
static double beta_regularised(double a, double b, double x, double y) {
    if (x <= 0) return 0;
    if (y <= 0) return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                     : 1 - front * beta_fraction(b, a, y) / b;
}

double student_two_sided(double t, double df) {
    double square = t * t;
    if (isinf(square)) return 0;
    return beta_regularised(df / 2, .5, df / (df + square), square / (df + square));
}

double chi_square_upper(double x, double df) {
    double a = df / 2, front;
    x /= 2;
    if (x <= 0) return 1;
    front = exp(a * log(x) - x - lgamma(a));
    if (x < a + 1) { /* the series of the lower tail */
        double term = 1 / a, sum = term;
        for (int n = 1; n < MAX_TERMS && term > sum * 1e-17; n++) {
            term *= x / (a + n);
            sum += term;
        }
        return 1 - front * sum;
    }
    double b = x + 1 - a, c = 1e300, d = 1 / b, fraction = d;
    for (int n = 1; n < MAX_TERMS; n++) {
        double term = -n * (n - a);
        b += 2;
        d = 1 / (term * d + b);
        c = b + term / c;
        fraction *= c * d;
        if (fabs(c * d - 1) < 1e-16) break;
    }
    return front * fraction;
}

double kolmogorov_upper(double x) {
    double sum = 0;
    if (x <= 0) return 1;
    if (x < 1) { /* the other form converges where this one does not */
        for (int j = 1; j < 100; j++)
            sum += exp(-(2 * j - 1) * (2 * j - 1) * PI * PI / (8 * x * x));
        return 1 - sqrt(2 * PI) / x * sum;
    }
    for (int j = 1; j < 100; j++) sum += (j % 2 ? 1 : -1) * exp(-2.0 * j * j * x * x);
    return 2 * sum;
}
