#include "losses.h"

#include <math.h>

#include "../base/memory.h"

static double loss_number(double y, double *score) {
    double off = *score - y;
    *score = off;
    return off * off / 2;
}

static double loss_logistic2(int32_t y, double *score) {
    double s = y ? *score : -*score; /* ln(1 + exp(-s)) without overflow */
    double e = exp(-fabs(s)), loss = log1p(e) + (s < 0 ? -s : 0);
    double p = s > 0 ? e / (1 + e) : 1 / (1 + e); /* 1 - probability of the label */
    *score = y ? -p : p;
    return loss;
}

static double loss_softmax(int32_t y, double *score, int32_t k) {
    double most = score[0], sum = 0, own = score[y];
    for (int32_t i = 1; i < k; i++) most = fmax(most, score[i]);
    for (int32_t i = 0; i < k; i++) sum += score[i] = exp(score[i] - most);
    for (int32_t i = 0; i < k; i++) score[i] /= sum;
    score[y] -= 1;
    return log(sum) + most - own;
}

static double loss_hinge(int32_t y, double *score, int32_t k) {
    double loss = 0;
    for (int32_t i = 0; i < k; i++) {
        double sign = (k == 1 ? y : y == i) ? 1 : -1, gap = 1 - sign * score[i];
        loss += gap > 0 ? gap * gap : 0;
        score[i] = gap > 0 ? -2 * sign * gap : 0;
    }
    return loss;
}

double loss_of_row(LossKind kind, const Labels *labels, int64_t row, double *score, int32_t k) {
    if (kind == LOSS_SQUARED) return loss_number(labels->value[row], score);
    int32_t y = labels->class_of[row];
    if (kind == LOSS_SQUARED_HINGE) return loss_hinge(y, score, k);
    return k == 1 ? loss_logistic2(y, score) : loss_softmax(y, score, k);
}

Status labels_standardise_as(
    Standardised *out, const Standardised *as, const Labels *labels, int64_t n, Err *err) {
    *out = (Standardised){*labels, NULL, as->shift, as->scale};
    if (labels->task == LEARN_CLASSES) return ST_OK;
    if (!(out->value = mem_array((size_t)n, sizeof *out->value)))
        return fail_nomem(err, "the labels");
    for (int64_t i = 0; i < n; i++) out->value[i] = (labels->value[i] - as->shift) / as->scale;
    out->labels.value = out->value;
    return ST_OK;
}

Status labels_standardise(Standardised *out, const Labels *labels, int64_t n, Err *err) {
    Standardised as = {.scale = 1};
    double sum = 0, weight = 0, square = 0;
    if (labels->task != LEARN_CLASSES) {
        for (int64_t i = 0; i < n; i++) {
            weight += labels->weight[i];
            sum += labels->weight[i] * labels->value[i];
        }
        as.shift = sum / weight;
        for (int64_t i = 0; i < n; i++) {
            double off = labels->value[i] - as.shift;
            square += labels->weight[i] * off * off;
        }
        if (square > 0) as.scale = sqrt(square / weight);
    }
    return labels_standardise_as(out, &as, labels, n, err);
}

Status learning_labels(
    LearningLabels *out, const Learning *learning, const LabelScale *start, Err *err) {
    const Labels *own = &learning->labels, *held = &learning->held_labels;
    const int64_t n = learning->design->n, n_held = learning->held ? learning->held->n : 0;
    if (start) {
        Standardised as = {.shift = start->shift, .scale = start->scale};
        TRY(labels_standardise_as(&out->own, &as, own, n, err));
    } else {
        TRY(labels_standardise(&out->own, own, n, err));
    }
    if (learning->held) TRY(labels_standardise_as(&out->held, &out->own, held, n_held, err));
    for (int64_t i = 0; i < n; i++) out->weight += own->weight[i];
    for (int64_t i = 0; i < n_held; i++) out->held_weight += held->weight[i];
    return ST_OK;
}

void learning_labels_clear(LearningLabels *labels) {
    mem_free(labels->own.value);
    mem_free(labels->held.value);
    *labels = (LearningLabels){0};
}
