#include "samples.h"

#include <math.h>

#include "special.h"

void samples_sort_descending(Sample *row, size_t n) {
    for (size_t i = 0; i < n; i++) row[i].x = -row[i].x;
    sort_samples(row, n);
    for (size_t i = 0; i < n; i++) row[i].x = -row[i].x;
}

/* ---- labels and scores ---- */

double sample_auc(Sample *row, size_t n, double unused) {
    double below = 0, area = 0, positives = 0;
    (void)unused;
    sort_samples(row, n);
    for (size_t from = 0, to; from < n; from = to) { /* rows of one score */
        double positive = 0, negative = 0;
        for (to = from; to < n && row[to].x == row[from].x; to++) {
            if (row[to].y > 0) positive += row[to].y;
            else negative -= row[to].y;
        }
        area += positive * (below + negative / 2);
        positives += positive;
        below += negative;
    }
    return positives > 0 && below > 0 ? area / (positives * below) : NAN;
}

double sample_pr_auc(Sample *row, size_t n, double unused) {
    double positives = 0, tp = 0, predicted = 0, area = 0;
    (void)unused;
    samples_sort_descending(row, n);
    for (size_t i = 0; i < n; i++) positives += row[i].y > 0 ? row[i].y : 0;
    for (size_t from = 0, to; from < n; from = to) {
        double before = tp;
        for (to = from; to < n && row[to].x == row[from].x; to++) {
            tp += row[to].y > 0 ? row[to].y : 0;
            predicted += fabs(row[to].y);
        }
        if (predicted > 0) area += (tp - before) * tp / predicted;
    }
    return positives > 0 ? area / positives : NAN;
}

double sample_ece(Sample *row, size_t n, double bins) {
    double error = 0;
    sort_samples(row, n);
    for (size_t from = 0, to; from < n; from = to) { /* the rows of a bin */
        double bin = fmin(bins - 1, floor(row[from].x * bins)), difference = 0;
        for (to = from; to < n && fmin(bins - 1, floor(row[to].x * bins)) == bin; to++)
            difference += (row[to].y > 0) - row[to].x;
        error += fabs(difference);
    }
    return n ? error / (double)n : NAN;
}

/* ---- counts ---- */

double sample_gini(Sample *row, size_t n, double unused) {
    double sum = 0, weighted = 0;
    (void)unused;
    sort_samples(row, n);
    for (size_t i = 0; i < n; i++) {
        sum += row[i].x;
        weighted += (2 * (double)(i + 1) - (double)n - 1) * row[i].x;
    }
    return sum > 0 && isfinite(sum) ? weighted / ((double)n * sum) : NAN;
}

double sample_entropy(Sample *row, size_t n, double unused) {
    double sum = 0, entropy = 0;
    (void)unused;
    for (size_t i = 0; i < n; i++) sum += row[i].x;
    for (size_t i = 0; i < n; i++)
        if (row[i].x > 0) entropy -= row[i].x / sum * log(row[i].x / sum);
    return sum > 0 ? entropy : NAN;
}

double sample_novelty(Sample *row, size_t n, double unused) {
    double sum = 0;
    (void)unused;
    for (size_t i = 0; i < n; i++) sum -= log2(row[i].x / row[i].y);
    return n ? sum / (double)n : NAN;
}

/* ---- two samples ---- */

static double size_of(const Sample *row, size_t n, int which) {
    double size = 0;
    for (size_t i = 0; i < n; i++) size += (row[i].y > 0) == which;
    return size;
}

/* Walks the values of sample 0 in sorted rows. */
typedef struct DistributionWalk {
    size_t at;
    double seen;
} DistributionWalk;

/* The q-quantile of sample 0, linear between order statistics; q ascends from call to call. */
static double reference_quantile(
    DistributionWalk *walk, const Sample *row, size_t n, double size, double q) {
    double place = q * (size - 1), low = floor(place);
    while (row[walk->at].y > 0 || walk->seen < low) walk->seen += row[walk->at++].y <= 0;
    size_t next = walk->at + 1;
    while (next < n && row[next].y > 0) next++;
    return next < n ? row[walk->at].x + (row[next].x - row[walk->at].x) * (place - low)
                    : row[walk->at].x;
}

static double shift(double expected, double actual) {
    double e = fmax(expected, 1e-4), a = fmax(actual, 1e-4);
    return (a - e) * log(a / e);
}

double sample_psi(Sample *row, size_t n, double bins) {
    double size[2] = {size_of(row, n, 0), size_of(row, n, 1)}, count[2] = {0, 0}, sum = 0;
    double before = -INFINITY;
    DistributionWalk walk = {0, 0};
    size_t at = 0;
    if (size[0] == 0 || size[1] == 0) return NAN;
    sort_samples(row, n);
    /* the bin below the edge; equal edges leave nothing in between */
    for (double b = 1; b < bins; b++) {
        double edge = reference_quantile(&walk, row, n, size[0], b / bins);
        if (edge == before) continue;
        before = edge;
        for (; at < n && row[at].x < edge; at++) count[row[at].y > 0]++;
        sum += shift(count[0] / size[0], count[1] / size[1]);
        count[0] = count[1] = 0;
    }
    for (; at < n; at++) count[row[at].y > 0]++;
    return sum + shift(count[0] / size[0], count[1] / size[1]);
}

double sample_ks(Sample *row, size_t n, double unused) {
    double size[2] = {size_of(row, n, 0), size_of(row, n, 1)}, seen[2] = {0, 0}, largest = 0;
    (void)unused;
    if (size[0] == 0 || size[1] == 0) return NAN;
    sort_samples(row, n);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && row[to].x == row[from].x; to++) seen[row[to].y > 0]++;
        largest = fmax(largest, fabs(seen[1] / size[1] - seen[0] / size[0]));
    }
    return largest;
}

double sample_ks_p(Sample *row, size_t n, double unused) {
    double d = sample_ks(row, n, unused), n0 = size_of(row, n, 0), n1 = size_of(row, n, 1);
    return isnan(d) ? NAN : fmin(1, kolmogorov_upper(sqrt(n0 * n1 / (n0 + n1)) * d));
}

double sample_wasserstein(Sample *row, size_t n, double unused) {
    double size[2] = {size_of(row, n, 0), size_of(row, n, 1)}, seen[2] = {0, 0}, area = 0;
    (void)unused;
    if (size[0] == 0 || size[1] == 0) return NAN;
    sort_samples(row, n);
    for (size_t i = 0; i + 1 < n; i++) {
        seen[row[i].y > 0]++;
        area += fabs(seen[1] / size[1] - seen[0] / size[0]) * (row[i + 1].x - row[i].x);
    }
    return area;
}

int sample_welch(const Sample *row, size_t n, Welch *out) {
    double size[2] = {0, 0}, mean[2] = {0, 0}, square[2] = {0, 0};
    for (size_t i = 0; i < n; i++) { /* Welford's running mean and squares */
        int which = row[i].y > 0;
        double difference = row[i].x - mean[which];
        mean[which] += difference / ++size[which];
        square[which] += difference * (row[i].x - mean[which]);
    }
    if (size[0] < 2 || size[1] < 2) return 0;
    double a = square[1] / (size[1] - 1) / size[1], b = square[0] / (size[0] - 1) / size[0];
    if (a + b <= 0) return 0;
    out->difference = mean[1] - mean[0];
    out->t = out->difference / sqrt(a + b);
    out->df = (a + b) * (a + b) / (a * a / (size[1] - 1) + b * b / (size[0] - 1));
    if (!isfinite(out->t) || !isfinite(out->df)) return 0;
    out->p = student_two_sided(out->t, out->df);
    return 1;
}

int sample_mann_whitney(Sample *row, size_t n, double *u, double *p) {
    double n0 = size_of(row, n, 0), n1 = size_of(row, n, 1), all = n0 + n1, ranks = 0, ties = 0;
    if (n0 == 0 || n1 == 0) return 0;
    sort_samples(row, n);
    for (size_t from = 0, to; from < n; from = to) {
        double own = 0;
        for (to = from; to < n && row[to].x == row[from].x; to++) own += row[to].y > 0;
        double tied = (double)(to - from);
        ranks += own * ((double)(from + to + 1) / 2);
        ties += tied * tied * tied - tied;
    }
    *u = ranks - n1 * (n1 + 1) / 2;
    double larger = fmax(*u, n0 * n1 - *u),
           spread = sqrt(n0 * n1 / 12 * (all + 1 - ties / (all * (all - 1))));
    *p = spread > 0 ? fmin(1, 2 * normal_upper((larger - n0 * n1 / 2 - .5) / spread)) : 1;
    return 1;
}

/* ---- categories ---- */

static void totals(const Sample *row, size_t n, double *x, double *y) {
    *x = *y = 0;
    for (size_t i = 0; i < n; i++) {
        *x += row[i].x;
        *y += row[i].y;
    }
}

double sample_js(Sample *row, size_t n, double unused) {
    double x, y, sum = 0;
    (void)unused;
    totals(row, n, &x, &y);
    if (x <= 0 || y <= 0) return NAN;
    for (size_t i = 0; i < n; i++) {
        double p = row[i].x / x, q = row[i].y / y, middle = (p + q) / 2;
        if (p > 0) sum += p * log(p / middle);
        if (q > 0) sum += q * log(q / middle);
    }
    return sqrt(fmax(0, sum / 2));
}

double sample_chi2(Sample *row, size_t n, double unused) {
    double x, y, sum = 0;
    (void)unused;
    totals(row, n, &x, &y);
    if (n < 1 || x <= 0) return NAN;
    for (size_t i = 0; i < n; i++) {
        double expected = row[i].y * x / y;
        sum += (row[i].x - expected) * (row[i].x - expected) / expected;
    }
    return sum;
}

double sample_chi2_p(Sample *row, size_t n, double unused) {
    double statistic = sample_chi2(row, n, unused);
    return isnan(statistic) || n < 2 ? NAN : chi_square_upper(statistic, (double)n - 1);
}
