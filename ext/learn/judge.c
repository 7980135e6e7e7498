#include "judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"
#include "../metrics/auc.h"

static void say(Verdict *out, int32_t *n, const char *name, double value) {
    if (*n == MAX_VERDICTS) return;
    text_format(out[*n].name, sizeof out->name, "%s", name);
    out[(*n)++].value = value;
}

static void judge_number(const Predicted *p, Verdict *out, int32_t *n) {
    double w = 0, square = 0, off = 0, mean = 0, around = 0;
    for (int64_t i = 0; i < p->n; i++) {
        double e = p->labels->value[i] - p->value[i], own = p->labels->weight[i];
        w += own, square += own * e * e, off += own * fabs(e), mean += own * p->labels->value[i];
    }
    mean /= w;
    for (int64_t i = 0; i < p->n; i++) {
        double e = p->labels->value[i] - mean;
        around += p->labels->weight[i] * e * e;
    }
    say(out, n, "rmse", sqrt(square / w));
    say(out, n, "mae", off / w);
    say(out, n, "r2", around > 0 ? 1 - square / around : NAN);
}

static Status judge_binary(const Predicted *p, Verdict *out, int32_t *n, Err *err) {
    double *score = mem_array((size_t)p->n, 2 * sizeof *score);
    size_t ones = 0, zeros = 0;
    if (!score) return fail_nomem(err, "the judgement");
    double *zero = score + p->n;
    for (int64_t i = 0; i < p->n; i++) {
        if (p->labels->class_of[i] == 1) score[ones++] = p->probability[2 * i + 1];
        else zero[zeros++] = p->probability[2 * i + 1];
    }
    say(out, n, "auc", auc_of_scores(score, ones, zero, zeros));
    say(out, n, "average_precision", average_precision_of_scores(score, ones, zero, zeros));
    mem_free(score);
    return ST_OK;
}

/* The mean over classes of 2 tp / (2 tp + fp + fn); of classes that are neither there nor
 * predicted nothing is said. */
static Status macro_f1(const Predicted *p, const int32_t *best, double *out, Err *err) {
    int32_t k = p->labels->n_classes, judged = 0;
    double *count = mem_zeros((size_t)k, 3 * sizeof *count), sum = 0;
    if (!count) return fail_nomem(err, "the judgement");
    for (int64_t i = 0; i < p->n; i++) {
        double w = p->labels->weight[i];
        int32_t y = p->labels->class_of[i];
        if (best[i] == y) count[3 * y] += w;
        else count[3 * y + 1] += w, count[3 * best[i] + 2] += w;
    }
    for (int32_t c = 0; c < k; c++) {
        double all = 2 * count[3 * c] + count[3 * c + 1] + count[3 * c + 2];
        if (!(all > 0)) continue;
        sum += 2 * count[3 * c] / all;
        judged++;
    }
    *out = judged ? sum / judged : NAN;
    mem_free(count);
    return ST_OK;
}

static Status judge_classes(const Predicted *p, Verdict *out, int32_t *n, Err *err) {
    int32_t k = p->labels->n_classes;
    int32_t *best = mem_array((size_t)p->n, sizeof *best);
    double w = 0, loss = 0, right = 0, f1 = 0;
    if (!best) return fail_nomem(err, "the judgement");
    for (int64_t i = 0; i < p->n; i++) {
        const double *own = p->probability + i * k;
        int32_t y = p->labels->class_of[i];
        best[i] = 0;
        for (int32_t c = 1; c < k; c++)
            if (own[c] > own[best[i]]) best[i] = c;
        w += p->labels->weight[i];
        loss -= p->labels->weight[i] * log(fmin(fmax(own[y], 1e-15), 1 - 1e-15));
        right += best[i] == y ? p->labels->weight[i] : 0;
    }
    say(out, n, "log_loss", loss / w);
    say(out, n, "accuracy", right / w);
    Status status = k == 2 ? judge_binary(p, out, n, err) : macro_f1(p, best, &f1, err);
    if (k > 2 && status == ST_OK) say(out, n, "macro_f1", f1);
    mem_free(best);
    return status;
}

typedef struct Graded {
    double score, gain;
    int64_t row;
} Graded;

static int by_score(const void *a, const void *b) {
    const Graded *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_gain(const void *a, const void *b) {
    const Graded *x = a, *y = b;
    return (x->gain < y->gain) - (x->gain > y->gain);
}

static double dcg10(const Graded *graded, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n && i < 10; i++) sum += graded[i].gain / log2((double)i + 2);
    return sum;
}

static Status judge_ranking(const Predicted *p, Verdict *out, int32_t *n, Err *err) {
    Graded *graded = mem_array((size_t)p->n, sizeof *graded);
    double sum = 0;
    int64_t judged = 0;
    if (!graded) return fail_nomem(err, "the judgement");
    for (int64_t g = 0; g < p->labels->n_groups; g++) {
        int64_t from = p->labels->group[g], rows = p->labels->group[g + 1] - from;
        for (int64_t i = 0; i < rows; i++)
            graded[i] = (Graded){p->value[from + i],
                (exp2(p->labels->value[from + i]) - 1) * p->labels->weight[from + i], i};
        qsort(graded, (size_t)rows, sizeof *graded, by_score);
        double own = dcg10(graded, rows);
        qsort(graded, (size_t)rows, sizeof *graded, by_gain);
        double best = dcg10(graded, rows);
        if (!(best > 0)) continue;
        sum += own / best;
        judged++;
    }
    mem_free(graded);
    say(out, n, "ndcg@10", judged ? sum / (double)judged : NAN);
    return ST_OK;
}

Status judge_predictions(const Predicted *predicted, Verdict *out, int32_t *n_out, Err *err) {
    *n_out = 0;
    if (!predicted->n) return ST_OK;
    switch (predicted->labels->task) {
    case LEARN_NUMBER: judge_number(predicted, out, n_out); return ST_OK;
    case LEARN_CLASSES: return judge_classes(predicted, out, n_out, err);
    case LEARN_RANKING: return judge_ranking(predicted, out, n_out, err);
    default: return ST_OK;
    }
}

const char *judgement_main(LearnTask task, int *higher) {
    *higher = task == LEARN_RANKING || task == LEARN_SEGMENTS;
    switch (task) {
    case LEARN_NUMBER: return "rmse";
    case LEARN_CLASSES: return "log_loss";
    case LEARN_RANKING: return "ndcg@10";
    case LEARN_SEGMENTS: return "silhouette";
    default: return "";
    }
}
