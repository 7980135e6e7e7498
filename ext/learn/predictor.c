#include "predictor.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "sigmoid.h"

const OptSpec predictor_options[] = {
    {"task", OPT_CHOICE, offsetof(PredictorCommon, task), 0, 0, 0, "auto|" LEARN_TASKS,
        "what is predicted; auto: classes where the label is a text or only 0 and 1, or the "
        "algorithm knows no other, else a number"},
    {"validation", OPT_REAL, offsetof(PredictorCommon, validation), 0, .9, .2, NULL,
        "share of the examples that judges: the latest where there is time=, whole groups where "
        "there is group=, else by a hash; 0: none; where there is split= it decides"},
    {"refit", OPT_FLAG, offsetof(PredictorCommon, refit), 0, 0, 1, NULL,
        "once judged, train again on all examples"},
    {"balance", OPT_CHOICE, offsetof(PredictorCommon, balance), 0, 0, BALANCE_NONE, "none|classes",
        "classes: their examples weigh n / (classes * examples of the class)"},
    {"resample", OPT_CHOICE, offsetof(PredictorCommon, resample), 0, 0, RESAMPLE_NONE,
        "none|over|under|smote",
        "make classes equally frequent: rare ones repeated, frequent ones thinned, or points "
        "between neighbours of the rare class added"},
    {"calibrate", OPT_CHOICE, offsetof(PredictorCommon, calibrate), 0, 0, CALIBRATE_AUTO,
        "auto|none|platt|isotonic",
        "probabilities by the examples that judged; auto: platt where scores are none by "
        "themselves (svm, kernel_svm)"},
    {"select", OPT_INT, offsetof(PredictorCommon, select), 0, 1e6, 0, NULL,
        "keep so many features, the most important ones; 0: all"},
    {"crosses", OPT_TEXT, offsetof(PredictorCommon, crosses), 0, 256, 0, "",
        "pairs of columns whose values together are a category: 'country*weekday, a*b'"},
    {"features", OPT_TEXT, offsetof(PredictorCommon, features), 0, 2000, 0, "",
        "what is said of single features: {\"price\":{\"scale\":\"log\"},\"code\":\"category\"}"},
    FEATURE_OPTIONS(PredictorCommon, prepare.),
    {"threads", OPT_INT, offsetof(PredictorCommon, threads), 0, 64, 0, NULL,
        "0: those of the machine"},
    {"seed", OPT_INT, offsetof(PredictorCommon, seed), 0, 9007199254740991.0, 1, NULL,
        "of everything that is drawn"},
    {0},
};

void predictor_free(Predictor *predictor) {
    if (!predictor) return;
    for (int32_t i = 0; i < predictor->n_columns && predictor->column; i++)
        mem_free(predictor->column[i]);
    mem_free(predictor->column);
    if (predictor->calibration)
        for (int32_t i = 0; i < predictor_scores(predictor); i++)
            calibration_clear(&predictor->calibration[i]);
    mem_free(predictor->calibration);
    if (predictor->state) predictor->learner->free_state(predictor->state);
    feature_set_clear(&predictor->features);
    keymap_free(predictor->classes);
    mem_free(predictor->residual);
    mem_free(predictor->importance);
    mem_free(predictor->permuted);
    mem_free(predictor->background);
    mem_free(predictor->step);
    mem_free(predictor->trained_on);
    mem_free(predictor);
}

size_t predictor_memory(const Predictor *predictor) {
    size_t bytes = sizeof *predictor + predictor->learner->memory(predictor->state) +
        (size_t)predictor->n_residuals * sizeof *predictor->residual +
        (size_t)predictor->n_steps * sizeof *predictor->step;
    for (int32_t i = 0; i < predictor->features.n; i++)
        bytes += feature_memory(&predictor->features.feature[i]);
    return bytes;
}

int32_t predictor_scores(const Predictor *predictor) {
    return predictor->state ? predictor->learner->n_scores(predictor->state) : 0;
}

int32_t predictor_classes(const Predictor *predictor) {
    return predictor->classes ? keymap_count(predictor->classes) : 0;
}

void predictor_options_json(const Predictor *predictor, Bytes *out) {
    bytes_append(out, "{", 1);
    options_json(predictor->learner->options, &predictor->params, out);
    if (predictor->learner->options->name) bytes_append(out, ",", 1);
    options_json(predictor_options, &predictor->common, out);
    bytes_append(out, "}", 1);
}

/* ---- asking ---- */

Asker *asker_new(const Predictor *predictor, Err *err) {
    Asker *asker = mem_zeros(1, sizeof *asker);
    size_t scores = (size_t)predictor_scores(predictor) + 1,
           classes = (size_t)predictor_classes(predictor) + 1;
    if (asker) {
        asker->predictor = predictor;
        asker->score = mem_zeros(scores, sizeof *asker->score);
        asker->probability = mem_zeros(classes, sizeof *asker->probability);
    }
    if (asker && asker->score && asker->probability &&
        design_row_init(&asker->row, &predictor->features, err) == ST_OK)
        return asker;
    asker_free(asker);
    fail_nomem(err, "the prediction");
    return NULL;
}

void asker_free(Asker *asker) {
    if (!asker) return;
    design_row_clear(&asker->row);
    bytes_clear(&asker->buffer);
    mem_free(asker->score);
    mem_free(asker->probability);
    mem_free(asker);
}

static void softmax(const double *score, double *out, int32_t n) {
    double most = score[0], sum = 0;
    for (int32_t i = 1; i < n; i++) most = fmax(most, score[i]);
    for (int32_t i = 0; i < n; i++) sum += out[i] = exp(score[i] - most);
    for (int32_t i = 0; i < n; i++) out[i] /= sum;
}

/* Each calibrated against the rest; they must sum to 1. */
static void calibrated(const Predictor *predictor, const double *score, double *out, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += out[i] = calibration_apply(&predictor->calibration[i], score[i]);
    for (int32_t i = 0; i < n; i++) out[i] = sum > 0 ? out[i] / sum : 1.0 / n;
}

static void probabilities(const Predictor *predictor, const double *score, double *out) {
    int32_t n = predictor_classes(predictor);
    int natural = predictor->learner->gives_probabilities;
    if (n == 2) {
        double s = *score;
        if (predictor->calibration) out[1] = calibration_apply(predictor->calibration, s);
        else if (natural) out[1] = fmin(fmax(s, 0), 1);
        else out[1] = sigmoid(s);
        out[0] = 1 - out[1];
    } else if (predictor->calibration) {
        calibrated(predictor, score, out, n);
    } else if (natural) {
        memcpy(out, score, (size_t)n * sizeof *out);
    } else {
        softmax(score, out, n);
    }
}

void asker_predict_row(Asker *asker, const DesignRow *row, Prediction *out) {
    const Predictor *predictor = asker->predictor;
    int32_t n = predictor_scores(predictor), classes = predictor_classes(predictor);
    predictor->learner->score(predictor->state, row, asker->score);
    *out = (Prediction){.best = -1,
        .value = asker->score[0],
        .score = asker->score,
        .probability = asker->probability};
    if (classes) {
        probabilities(predictor, asker->score, asker->probability);
        out->best = 0;
        for (int32_t i = 1; i < classes; i++)
            if (asker->probability[i] > asker->probability[out->best]) out->best = i;
        out->value = asker->probability[out->best];
    } else if (predictor->task == LEARN_SEGMENTS) {
        out->best = 0;
        for (int32_t i = 1; i < n; i++)
            if (asker->score[i] < asker->score[out->best]) out->best = i;
        out->value = sqrt(fmax(asker->score[out->best], 0));
    }
}

double prediction_number(const Predictor *predictor, const Prediction *prediction) {
    return predictor_classes(predictor) == 2 ? prediction->probability[1] : prediction->value;
}

Status asker_predict(Asker *asker, const Cell *cells, Prediction *out, Err *err) {
    TRY(feature_set_apply(
        &asker->predictor->features, cells, -1, &asker->row, &asker->buffer, err));
    asker_predict_row(asker, &asker->row, out);
    return ST_OK;
}

/* The ceil((n + 1) coverage)-th smallest of n distances; of thinned ones the next larger that was
 * kept. */
double predictor_half_width(const Predictor *predictor, double coverage) {
    double rank = ceil((double)(predictor->held + 1) * coverage);
    if (!predictor->n_residuals || rank > (double)predictor->held) return INFINITY;
    if (predictor->held == predictor->n_residuals)
        return predictor->residual[rank < 1 ? 0 : (int64_t)rank - 1];
    double at = ceil(rank / (double)predictor->held * predictor->n_residuals);
    return predictor->residual[at < 1 ? 0 : (int64_t)at - 1];
}
