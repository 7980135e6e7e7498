#include "permute.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "judge.h"

typedef struct Permuting {
    const Predictor *predictor;
    const Design *design;
    Labels labels;    /* of the rows */
    int64_t *row;     /* n: of the design */
    int64_t *partner; /* n: whose value a row gets, a place in row */
    int64_t n;
    int32_t *class_of;
    double *value, *weight;
    double *loss; /* features + 1: the last without an exchange */
    Task *task;
    TaskFailure failure;
} Permuting;

/* ---- rows ---- */

static int64_t rows_of(const Labels *labels, int64_t n, int64_t *n_groups) {
    *n_groups = labels->n_groups;
    if (labels->task != LEARN_RANKING) return n < PERMUTE_ROWS ? n : PERMUTE_ROWS;
    int64_t groups = 0;
    while (groups < labels->n_groups && labels->group[groups] < PERMUTE_ROWS) groups++;
    *n_groups = groups;
    return labels->group[groups];
}

static Status choose_rows(Permuting *p, const Labels *all, Err *err) {
    p->labels = *all;
    int64_t n = p->n = rows_of(all, p->design->n, &p->labels.n_groups);
    p->row = mem_array((size_t)n, sizeof *p->row);
    p->partner = mem_array((size_t)n, sizeof *p->partner);
    p->class_of = mem_array((size_t)n, sizeof *p->class_of);
    p->value = mem_array((size_t)n, sizeof *p->value);
    p->weight = mem_array((size_t)n, sizeof *p->weight);
    p->loss = mem_array((size_t)p->predictor->features.n + 1, sizeof *p->loss);
    if (!p->row || !p->partner || !p->class_of || !p->value || !p->weight || !p->loss)
        return fail_nomem(err, "the importance");
    for (int64_t i = 0; i < n; i++) {
        int64_t row = all->task == LEARN_RANKING ? i : i * p->design->n / n;
        p->row[i] = row;
        if (all->class_of) p->class_of[i] = all->class_of[row];
        if (all->value) p->value[i] = all->value[row];
        p->weight[i] = all->weight[row];
        p->partner[i] = i;
    }
    if (all->class_of) p->labels.class_of = p->class_of;
    if (all->value) p->labels.value = p->value;
    p->labels.weight = p->weight;
    Random random;
    random_init(&random, (uint64_t)p->predictor->common.seed, 0x7065726D);
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)random_below(&random, (uint64_t)i + 1), swap = p->partner[i];
        p->partner[i] = p->partner[j];
        p->partner[j] = swap;
    }
    return ST_OK;
}

/* ---- one feature ---- */

/* Predictions of all rows; feature: the one that is exchanged, features.n for none. */
static Status predict(const Permuting *p, int64_t feature, double *probability, double *value,
    DesignRow *mixed, uint8_t *taken, Err *err) {
    size_t classes = (size_t)predictor_classes(p->predictor);
    Asker *asker = asker_new(p->predictor, err);
    Status status = asker ? ST_OK : ST_NOMEM;
    taken[feature] = 1;
    for (int64_t i = 0; i < p->n && status == ST_OK && !task_cancelled(p->task); i++) {
        Prediction prediction;
        DesignRow own = design_row(p->design, p->row[i]);
        DesignRow other = design_row(p->design, p->row[p->partner[i]]);
        status = design_row_mix(mixed, &p->predictor->features, &own, &other, taken, err);
        if (status != ST_OK) break;
        asker_predict_row(asker, mixed, &prediction);
        value[i] = prediction.value;
        if (classes)
            memcpy(probability + (size_t)i * classes, prediction.probability,
                classes * sizeof *probability);
    }
    asker_free(asker);
    return status == ST_OK && task_cancelled(p->task) ? fail(err, ST_CANCELLED, "interrupted")
                                                      : status;
}

static Status measure(Permuting *p, int64_t feature, Err *err) {
    const FeatureSet *set = &p->predictor->features;
    size_t n = (size_t)p->n, classes = (size_t)predictor_classes(p->predictor);
    double *probability = mem_array(n, (classes + 1) * sizeof *probability);
    double *value = mem_array(n, sizeof *value);
    uint8_t *taken = mem_zeros((size_t)set->n + 1, 1);
    DesignRow mixed = {0};
    Verdict verdict[MAX_VERDICTS];
    int32_t n_verdicts = 0;
    int higher;
    const char *main = judgement_main(p->predictor->task, &higher);
    Status status = probability && value && taken ? design_row_init(&mixed, set, err)
                                                  : fail_nomem(err, "the importance");
    if (status == ST_OK) status = predict(p, feature, probability, value, &mixed, taken, err);
    Predicted predicted = {&p->labels, p->n, probability, value};
    if (status == ST_OK) status = judge_predictions(&predicted, verdict, &n_verdicts, err);
    p->loss[feature] = NAN;
    for (int32_t i = 0; i < n_verdicts; i++)
        if (strcmp(verdict[i].name, main) == 0)
            p->loss[feature] = higher ? -verdict[i].value : verdict[i].value;
    mem_free(probability);
    mem_free(value);
    mem_free(taken);
    design_row_clear(&mixed);
    return status;
}

static void feature_work(void *context, int64_t feature, int worker) {
    Permuting *p = context;
    const FeatureSet *set = &p->predictor->features;
    Err err = {0};
    (void)worker;
    p->loss[feature] = NAN;
    if (feature < set->n && !set->feature[feature].width) return;
    task_failure_note(&p->failure, measure(p, feature, &err), &err);
}

Status permutation_importance(
    Predictor *predictor, const Design *design, const Labels *labels, Task *task, Err *err) {
    const int32_t n = predictor->features.n;
    Permuting p = {.predictor = predictor, .design = design, .task = task};
    Status status = choose_rows(&p, labels, err);
    if (status == ST_OK && p.n) {
        task_phase(task, "importance", "features", n, n + 1);
        status = task_failure(
            &p.failure, learn_run(task, p.n < 50, n + 1, feature_work, &p, err), err);
    }
    for (int32_t i = 0; i < n && status == ST_OK && p.n; i++)
        predictor->permuted[i] = predictor->features.feature[i].width ? p.loss[i] - p.loss[n] : 0;
    mem_free(p.row);
    mem_free(p.partner);
    mem_free(p.class_of);
    mem_free(p.value);
    mem_free(p.weight);
    mem_free(p.loss);
    return status;
}
