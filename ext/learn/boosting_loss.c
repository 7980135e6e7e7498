#include "boosting_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "judge.h"
#include "sigmoid.h"

static const double LEAST_HESSIAN = 1e-16;

/* ---- where scores begin ---- */

typedef struct Weighed {
    double value, weight;
} Weighed;

static int by_value(const void *a, const void *b) {
    const Weighed *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* The least value up to which there is the share q of the weight. */
static double weighed_quantile(Weighed *row, int64_t n, double q) {
    double all = 0, so_far = 0;
    qsort(row, (size_t)n, sizeof *row, by_value);
    for (int64_t i = 0; i < n; i++) all += row[i].weight;
    for (int64_t i = 0; i < n; i++) {
        so_far += row[i].weight;
        if (so_far >= q * all) return row[i].value;
    }
    return n ? row[n - 1].value : 0;
}

double loss_quantile(
    const double *value, const double *weight, const int32_t *row, int64_t n, double q) {
    Weighed *own = mem_array((size_t)n, sizeof *own);
    if (!own) return NAN;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = row ? row[i] : i;
        own[i] = (Weighed){value[at], weight[at]};
    }
    double found = weighed_quantile(own, n, q);
    mem_free(own);
    return found;
}

void loss_base(const LossCall *call, double *out) {
    const Labels *labels = call->labels;
    double weight = 0, sum = 0;
    for (int32_t k = 0; k < call->n_scores; k++) out[k] = 0;
    for (int64_t i = 0; i < call->n; i++) {
        double w = labels->weight[i];
        weight += w;
        if (call->loss == BOOST_SQUARED) sum += w * labels->value[i];
        else if (call->loss == BOOST_LOGISTIC && call->n_scores == 1)
            sum += w * (labels->class_of[i] == 1);
        else if (call->loss == BOOST_LOGISTIC) out[labels->class_of[i]] += w;
    }
    if (call->loss == BOOST_SQUARED) *out = sum / weight;
    else if (call->loss == BOOST_QUANTILE)
        *out = loss_quantile(labels->value, labels->weight, NULL, call->n, call->quantile);
    else if (call->loss == BOOST_LOGISTIC && call->n_scores == 1) {
        double p = fmin(fmax(sum / weight, 1e-15), 1 - 1e-15);
        *out = log(p / (1 - p));
    } else if (call->loss == BOOST_LOGISTIC) {
        for (int32_t k = 0; k < call->n_scores; k++) out[k] = log(fmax(out[k] / weight, 1e-15));
    }
}

/* ---- derivatives of single examples ---- */

static void softmax_row(const LossCall *call, const double *score, int64_t i, double *p) {
    int32_t k_all = call->n_scores;
    double most = score[i], sum = 0;
    for (int32_t k = 1; k < k_all; k++) most = fmax(most, score[k * call->n + i]);
    for (int32_t k = 0; k < k_all; k++) sum += p[k] = exp(score[k * call->n + i] - most);
    for (int32_t k = 0; k < k_all; k++) p[k] /= sum;
}

static void derive_row(const LossCall *call, const double *score, int64_t i, double *p,
    double *gradient, double *hessian) {
    const Labels *labels = call->labels;
    double w = labels->weight[i];
    if (call->loss == BOOST_SQUARED) {
        gradient[i] = w * (score[i] - labels->value[i]);
        hessian[i] = w;
    } else if (call->loss == BOOST_QUANTILE) {
        gradient[i] = w * (score[i] >= labels->value[i] ? 1 - call->quantile : -call->quantile);
        hessian[i] = w;
    } else if (call->n_scores == 1) {
        double own = sigmoid(score[i]);
        gradient[i] = w * (own - (labels->class_of[i] == 1));
        hessian[i] = fmax(w * own * (1 - own), LEAST_HESSIAN);
    } else {
        double factor = call->n_scores / (call->n_scores - 1.0); /* Friedman 2001 */
        softmax_row(call, score, i, p);
        for (int32_t k = 0; k < call->n_scores; k++) {
            gradient[k * call->n + i] = w * (p[k] - (labels->class_of[i] == k));
            hessian[k * call->n + i] = fmax(w * factor * p[k] * (1 - p[k]), LEAST_HESSIAN);
        }
    }
}

/* ---- pairs of lists ---- */

typedef struct Ranked {
    double score, grade;
    int64_t row;
} Ranked;

static int by_score(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_grade(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    return (x->grade < y->grade) - (x->grade > y->grade);
}

static double discount(int64_t place) { return 1 / log2((double)place + 2); }

static double gain_of(double grade) { return exp2(grade) - 1; }

/* The best dcg of the first `truncation`. */
static double best_dcg(Ranked *list, int64_t n, int64_t truncation) {
    double sum = 0;
    qsort(list, (size_t)n, sizeof *list, by_grade);
    for (int64_t i = 0; i < n && i < truncation; i++) sum += gain_of(list[i].grade) * discount(i);
    return sum;
}

typedef struct PairSums {
    double *gradient, *hessian; /* of all rows */
    const double *weight;       /* of all rows */
    double inverse_best, all;
    int differ; /* scores do, so that gaps are taken into account */
} PairSums;

/* Places i < j of the ranked list. */
static void derive_pair(const Ranked *list, int64_t i, int64_t j, PairSums *sums) {
    if (list[i].grade == list[j].grade) return;
    const Ranked *high = list[i].grade > list[j].grade ? &list[i] : &list[j];
    const Ranked *low = high == &list[i] ? &list[j] : &list[i];
    double gap = high->score - low->score;
    double delta = (gain_of(high->grade) - gain_of(low->grade)) * (discount(i) - discount(j)) *
        sums->inverse_best;
    if (sums->differ) delta /= .01 + fabs(gap);
    double p = sigmoid(-gap), lambda = p * delta, curve = p * (1 - p) * delta;
    sums->all += 2 * lambda;
    /* what was taken from a place that is looked at once in so many times stands for as many; what
     * was not taken says nothing of its place (Joachims, Swaminathan and Schnabel 2017) */
    lambda *= sums->weight[high->row];
    curve *= sums->weight[high->row];
    sums->gradient[low->row] += lambda;
    sums->gradient[high->row] -= lambda;
    sums->hessian[low->row] += curve;
    sums->hessian[high->row] += curve;
}

static void derive_list(const LossCall *call, const double *score, int64_t from, int64_t n,
    Ranked *list, double *gradient, double *hessian) {
    const Labels *labels = call->labels;
    PairSums sums = {.gradient = gradient, .hessian = hessian, .weight = labels->weight};
    for (int64_t i = 0; i < n; i++) {
        list[i] = (Ranked){score[from + i], labels->value[from + i], from + i};
        gradient[from + i] = hessian[from + i] = 0;
    }
    double best = best_dcg(list, n, call->truncation);
    if (best > 0) {
        qsort(list, (size_t)n, sizeof *list, by_score);
        sums.inverse_best = 1 / best;
        sums.differ = list[0].score != list[n - 1].score;
        for (int64_t i = 0; i + 1 < n && i < call->truncation; i++)
            for (int64_t j = i + 1; j < n; j++) derive_pair(list, i, j, &sums);
    }
    double factor = sums.all > 0 ? log2(1 + sums.all) / sums.all : 1;
    for (int64_t i = from; i < from + n; i++) {
        gradient[i] *= factor;
        hessian[i] = fmax(hessian[i] * factor, LEAST_HESSIAN);
    }
}

/* ---- all of them ---- */

enum { PIECE_ROWS = 8192, PIECE_LISTS = 64 };

typedef struct Deriving {
    const LossCall *call;
    const double *score;
    double *gradient, *hessian;
    TaskFailure failure;
} Deriving;

static void rows_work(void *context, int64_t piece, int worker) {
    Deriving *d = context;
    int64_t to = (piece + 1) * PIECE_ROWS < d->call->n ? (piece + 1) * PIECE_ROWS : d->call->n;
    double *p = mem_array((size_t)d->call->n_scores, sizeof *p);
    Err err = {0};
    (void)worker;
    if (!p) task_failure_note(&d->failure, fail_nomem(&err, "the gradients"), &err);
    for (int64_t i = piece * PIECE_ROWS; p && i < to; i++)
        derive_row(d->call, d->score, i, p, d->gradient, d->hessian);
    mem_free(p);
}

static void lists_work(void *context, int64_t piece, int worker) {
    Deriving *d = context;
    const Labels *labels = d->call->labels;
    int64_t from = piece * PIECE_LISTS,
            to = from + PIECE_LISTS < labels->n_groups ? from + PIECE_LISTS : labels->n_groups;
    int64_t rows = labels->group[to] - labels->group[from];
    Ranked *list = mem_array((size_t)rows, sizeof *list);
    Err err = {0};
    (void)worker;
    if (!list) task_failure_note(&d->failure, fail_nomem(&err, "the gradients"), &err);
    for (int64_t g = from; list && g < to && !task_cancelled(d->call->task); g++)
        derive_list(d->call, d->score, labels->group[g], labels->group[g + 1] - labels->group[g],
            list, d->gradient, d->hessian);
    mem_free(list);
}

Status loss_derivatives(
    const LossCall *call, const double *score, double *gradient, double *hessian, Err *err) {
    Deriving d = {.call = call, .score = score, .gradient = gradient, .hessian = hessian};
    int lists = call->loss == BOOST_LAMBDA;
    int64_t pieces = lists ? (call->labels->n_groups + PIECE_LISTS - 1) / PIECE_LISTS
                           : (call->n + PIECE_ROWS - 1) / PIECE_ROWS;
    return task_failure(&d.failure,
        learn_run(
            call->task, call->n < 2 * PIECE_ROWS, pieces, lists ? lists_work : rows_work, &d, err),
        err);
}

static double loss_of_row(const LossCall *call, const double *score, int64_t i, double *p) {
    const Labels *labels = call->labels;
    if (call->loss == BOOST_LOGISTIC && call->n_scores == 1) {
        double s = labels->class_of[i] == 1 ? score[i] : -score[i];
        return log1p(exp(-fabs(s))) + (s < 0 ? -s : 0);
    }
    if (call->loss == BOOST_LOGISTIC) {
        softmax_row(call, score, i, p);
        return -log(fmax(p[labels->class_of[i]], 1e-300));
    }
    double off = labels->value[i] - score[i];
    if (call->loss == BOOST_SQUARED) return off * off / 2;
    return off > 0 ? call->quantile * off : (call->quantile - 1) * off;
}

Status loss_mean(const LossCall *call, const double *score, double *out, Err *err) {
    double *p = mem_array((size_t)call->n_scores, sizeof *p), sum = 0, weight = 0;
    if (!p) return fail_nomem(err, "the loss");
    if (call->loss == BOOST_LAMBDA) {
        Predicted predicted = {call->labels, call->n, NULL, score};
        Verdict verdict[MAX_VERDICTS];
        int32_t n;
        Status status = judge_predictions(&predicted, verdict, &n, err);
        *out = status == ST_OK && n ? 1 - verdict->value : NAN;
        mem_free(p);
        return status;
    }
    for (int64_t i = 0; i < call->n; i++) {
        sum += call->labels->weight[i] * loss_of_row(call, score, i, p);
        weight += call->labels->weight[i];
    }
    *out = sum / weight;
    mem_free(p);
    return ST_OK;
}
