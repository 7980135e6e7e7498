#include "predictor_train.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../metrics/sort.h"
#include "judge.h"
#include "permute.h"

/* One training: what is learnt from, and what judges it. */
typedef struct Round {
    const PredictorSetting *setting;
    const Columns *columns;
    const ExampleRoles *roles;
    const Predictor *start;
    int64_t sweeps; /* of the training that was judged; 0: none */
    Task *task;
    Labelled part, held;
    Design design, held_design;
    LearnLog log;
    int serves; /* the predictor is kept: what is said of it besides its judgement is worked out */
} Round;

static void round_clear(Round *round) {
    labelled_clear(&round->part);
    labelled_clear(&round->held);
    design_clear(&round->design);
    design_clear(&round->held_design);
    learn_log_clear(&round->log);
}

/* ---- what is learnt from ---- */

static Status take_part(Round *round, const Labelled *all, int held, Err *err) {
    const PredictorCommon *common = &round->setting->common;
    Labelled chosen = {.is_part = 1};
    int resampled;
    TRY(labelled_part(&round->part, all, held, err));
    if (round->part.task != LEARN_CLASSES) {
        if (common->resample || common->balance)
            return fail(err, ST_BADARG, "resample and balance are for task=classes");
        return ST_OK;
    }
    Status status = resample_part(
        &chosen, &round->part, common->resample, (uint64_t)common->seed, &resampled, err);
    if (status != ST_OK) {
        labelled_clear(&chosen);
        return status;
    }
    if (resampled) {
        labelled_clear(&round->part);
        round->part = chosen;
    }
    return common->balance == BALANCE_CLASSES ? labelled_balance(&round->part, err) : ST_OK;
}

/* Target means were fitted on examples that may come again, and would tell them their labels. */
static Status check_start(const Predictor *start, const Learner *learner, Err *err) {
    if (start->learner->likes_numbers != learner->likes_numbers)
        return fail(err, ST_BADARG, "init_from: %s prepares features otherwise than %s",
            start->learner->name, learner->name);
    for (int32_t i = 0; i < start->features.n; i++) {
        const Feature *feature = &start->features.feature[i];
        if (feature->kind == FEATURE_CATEGORY && feature->options.encode == ENCODE_TARGET)
            return fail(err, ST_BADARG,
                "init_from: feature '%.60s' is a mean of labels (encode=onehot)", feature->name);
    }
    return ST_OK;
}

/* The start's features, so that its weights fit. */
static Status copy_features(FeatureSet *out, const Predictor *start, Err *err) {
    Bytes bytes = {0};
    int32_t n = start->features.n;
    *out = (FeatureSet){0};
    out->feature = mem_zeros((size_t)n, sizeof *out->feature);
    out->source = mem_array((size_t)n, 2 * sizeof *out->source);
    Status status = out->feature && out->source ? ST_OK : fail_nomem(err, "the features");
    if (status == ST_OK)
        memcpy(out->source, start->features.source, (size_t)n * 2 * sizeof *out->source);
    out->n = status == ST_OK ? n : 0;
    for (int32_t i = 0; i < out->n && status == ST_OK; i++) {
        bytes.len = 0;
        feature_write(&start->features.feature[i], &bytes);
        Reader in = reader_of(bytes.data, bytes.len);
        status = bytes.failed ? fail_nomem(err, "the features")
                              : feature_read(&out->feature[i], &in, err);
    }
    bytes_clear(&bytes);
    return status == ST_OK ? feature_set_lay_out(out, err) : status;
}

static Status make_features(Round *round, FeatureSet *out, Err *err) {
    if (round->start) {
        TRY(check_start(round->start, round->setting->learner, err));
        return copy_features(out, round->start, err);
    }
    return predictor_fit_features(
        out, round->setting, round->columns, round->roles, &round->part, round->task, err);
}

static Status make_designs(Round *round, const FeatureSet *set, Err *err) {
    const PredictorCommon *common = &round->setting->common;
    Labelled *part = &round->part;
    TRY(design_build(
        &round->design, set, round->columns, part->row, part->fold, part->n, round->task, err));
    if (common->resample == RESAMPLE_SMOTE) {
        if (round->setting->learner->likes_numbers)
            for (int64_t i = 0; i < round->design.n * round->design.n_dense; i++)
                if (isnan(round->design.dense[i]))
                    return fail(err, ST_BADARG,
                        "resample=smote draws lines between numbers: missing=impute for NULLs");
        TRY(resample_smote(&round->design, part, (uint64_t)common->seed, round->task, err));
    }
    if (!round->held.n) return ST_OK;
    return design_build(&round->held_design, set, round->columns, round->held.row, NULL,
        round->held.n, round->task, err);
}

/* ---- learning ---- */

static int has_classes(const Predictor *start, const Labelled *part) {
    int32_t n = predictor_classes(start);
    if (start->task != part->task || n != (part->classes ? keymap_count(part->classes) : 0))
        return 0;
    for (int32_t i = 0; i < n; i++)
        if (key_compare(keymap_key(start->classes, i), keymap_key(part->classes, i)) != 0) return 0;
    return 1;
}

static Status learn(Round *round, Predictor *predictor, Err *err) {
    const Predictor *start = round->start;
    Learning learning = {.features = &predictor->features,
        .design = &round->design,
        .labels = labelled_labels(&round->part),
        .held = round->held.n ? &round->held_design : NULL,
        .held_labels = labelled_labels(&round->held),
        .params = &round->setting->params,
        .seed = (uint64_t)round->setting->common.seed,
        .start = start && round->setting->learner->can_start &&
                start->learner == round->setting->learner && has_classes(start, &round->part)
            ? start->state
            : NULL,
        .sweeps = round->sweeps,
        .task = round->task,
        .log = &round->log};
    TRY(round->setting->learner->train(&learning, &predictor->state, err));
    return task_poll(round->task) ? fail(err, ST_CANCELLED, "interrupted") : ST_OK;
}

/* Of every feature: what its columns gave, as a share. */
static Status weigh_features(Predictor *predictor, Err *err) {
    const FeatureSet *set = &predictor->features;
    double *gain = mem_zeros((size_t)set->dim, sizeof *gain), sum = 0;
    mem_free(predictor->importance);
    predictor->importance = mem_zeros((size_t)set->n, sizeof *predictor->importance);
    if (!gain || !predictor->importance) {
        mem_free(gain);
        return fail_nomem(err, "the importance");
    }
    if (predictor->learner->importance) predictor->learner->importance(predictor->state, gain);
    for (int32_t i = 0; i < set->n; i++) {
        const Feature *feature = &set->feature[i];
        for (int32_t c = 0; c < feature->width; c++)
            predictor->importance[i] += gain[feature->first + c];
        sum += predictor->importance[i];
    }
    for (int32_t i = 0; i < set->n && sum > 0; i++) predictor->importance[i] /= sum;
    mem_free(gain);
    return ST_OK;
}

static Status look_around(Round *round, Predictor *predictor, Err *err) {
    const Design *design = &round->design;
    size_t features = (size_t)predictor->features.n, dense = (size_t)design->n_dense;
    predictor->permuted = mem_array(features, sizeof *predictor->permuted);
    predictor->background = mem_zeros(dense, sizeof *predictor->background);
    if (!predictor->permuted || !predictor->background) return fail_nomem(err, "the importance");
    for (size_t i = 0; i < features; i++) predictor->permuted[i] = NAN;
    for (size_t c = 0; c < dense; c++) {
        double sum = 0, n = 0;
        for (int64_t i = 0; i < design->n; i++) {
            float x = design->dense[(size_t)i * dense + c];
            if (isnan(x)) continue;
            sum += x;
            n++;
        }
        predictor->background[c] = n > 0 ? (float)(sum / n) : NAN;
    }
    return ST_OK;
}

/* All but the most important features are left out. */
static void select_features(Predictor *predictor, int64_t keep) {
    FeatureSet *set = &predictor->features;
    for (int32_t i = 0; i < set->n; i++) {
        int64_t better = 0;
        for (int32_t j = 0; j < set->n; j++)
            better += predictor->importance[j] > predictor->importance[i] ||
                (predictor->importance[j] == predictor->importance[i] && j < i);
        if (better < keep || set->feature[i].kind == FEATURE_IGNORE) continue;
        set->feature[i].kind = FEATURE_IGNORE;
        set->feature[i].width = set->feature[i].has_indicator = 0;
        memcpy(set->feature[i].note, "not selected", sizeof "not selected");
    }
}

static Status learn_selected(Round *round, Predictor *predictor, Err *err) {
    int64_t keep = round->setting->common.select;
    if (!keep || keep >= predictor->features.n) return ST_OK;
    if (!predictor->learner->importance)
        return fail(err, ST_BADARG, "select: %s does not say what its features give",
            predictor->learner->name);
    select_features(predictor, keep);
    TRY(feature_set_lay_out(&predictor->features, err));
    predictor->learner->free_state(predictor->state);
    predictor->state = NULL;
    design_clear(&round->design);
    design_clear(&round->held_design);
    TRY(make_designs(round, &predictor->features, err));
    TRY(learn(round, predictor, err));
    return weigh_features(predictor, err);
}

static Status name_columns(Round *round, Predictor *predictor, Err *err) {
    const Columns *columns = round->columns;
    predictor->column = mem_zeros((size_t)columns->n_asked, sizeof *predictor->column);
    if (!predictor->column) return fail_nomem(err, "the columns");
    for (int32_t i = 0; i < columns->n_asked; i++) {
        const char *name = columns->column[columns->asked[i]].name;
        char **to = &predictor->column[predictor->n_columns++];
        if (!(*to = mem_text(name, strlen(name)))) return fail_nomem(err, "the columns");
    }
    return ST_OK;
}

static Status copy_classes(Predictor *predictor, const Labelled *part, Err *err) {
    if (part->task != LEARN_CLASSES) return ST_OK;
    predictor->classes_are_numbers = part->classes_are_numbers;
    if (!(predictor->classes = keymap_new())) return fail_nomem(err, "the classes");
    for (int32_t i = 0; i < keymap_count(part->classes); i++) {
        int32_t id;
        TRY(keymap_add(predictor->classes, keymap_key(part->classes, i), &id, err));
    }
    return ST_OK;
}

/* A predictor of the round's part. */
static Status train_round(Round *round, Predictor **out, Err *err) {
    Predictor *predictor = *out = mem_zeros(1, sizeof *predictor);
    if (!predictor) return fail_nomem(err, "the predictor");
    predictor->learner = round->setting->learner;
    predictor->common = round->setting->common;
    predictor->params = round->setting->params;
    predictor->task = round->part.task;
    predictor->n_examples = round->part.n;
    TRY(name_columns(round, predictor, err));
    TRY(copy_classes(predictor, &round->part, err));
    TRY(make_features(round, &predictor->features, err));
    TRY(make_designs(round, &predictor->features, err));
    round->log.began = task_clock();
    TRY(learn(round, predictor, err));
    TRY(weigh_features(predictor, err));
    TRY(learn_selected(round, predictor, err));
    predictor->trained_seconds = task_clock() - round->log.began;
    TRY(look_around(round, predictor, err));
    if (predictor->task == LEARN_SEGMENTS)
        TRY(judge_segments(predictor, &round->design, round->part.weight, err));
    predictor->step = round->log.step;
    predictor->n_steps = round->log.n;
    round->log = (LearnLog){0};
    return ST_OK;
}

/* ---- judging ---- */

typedef struct Judging {
    double *score;       /* n x scores */
    double *probability; /* n x classes */
    double *value;       /* n */
    double *number;      /* n: prediction_number */
} Judging;

static void judging_clear(Judging *judging) {
    mem_free(judging->score);
    mem_free(judging->probability);
    mem_free(judging->value);
    mem_free(judging->number);
}

static Status predict_held(Round *round, const Predictor *predictor, Judging *out, Err *err) {
    const Design *design = &round->held_design;
    size_t n = (size_t)design->n, scores = (size_t)predictor_scores(predictor),
           classes = (size_t)predictor_classes(predictor);
    out->score = mem_array(n, scores * sizeof *out->score);
    out->probability = mem_array(n, (classes + 1) * sizeof *out->probability);
    out->value = mem_array(n, sizeof *out->value);
    out->number = mem_array(n, sizeof *out->number);
    if (!out->score || !out->probability || !out->value || !out->number)
        return fail_nomem(err, "the judgement");
    Asker *asker = asker_new(predictor, err);
    int finite = 1;
    if (!asker) return ST_NOMEM;
    for (int64_t i = 0; i < design->n && !task_cancelled(round->task); i++) {
        Prediction prediction;
        DesignRow row = design_row(design, i);
        asker_predict_row(asker, &row, &prediction);
        memcpy(out->score + (size_t)i * scores, prediction.score, scores * sizeof *out->score);
        memcpy(out->probability + (size_t)i * classes, prediction.probability,
            classes * sizeof *out->probability);
        out->value[i] = prediction.value;
        out->number[i] = prediction_number(predictor, &prediction);
        for (size_t c = 0; c < classes; c++) finite &= isfinite(prediction.probability[c]) != 0;
        finite &= isfinite(prediction.value) != 0;
        if (i % 4096 == 0) task_poll(round->task);
    }
    asker_free(asker);
    if (task_poll(round->task)) return fail(err, ST_CANCELLED, "interrupted");
    return finite ? ST_OK
                  : fail(err, ST_BADARG, "what %s has learnt predicts no numbers (scale, clip)",
                        predictor->learner->name);
}

static Status fit_calibration(
    Round *round, Predictor *predictor, const Judging *judging, Err *err) {
    const Labelled *held = &round->held;
    int64_t kind = predictor->common.calibrate;
    int32_t scores = predictor_scores(predictor);
    if (kind == CALIBRATE_AUTO)
        kind = predictor->learner->scores_are_margins ? CALIBRATE_PLATT : CALIBRATE_NONE;
    if (kind == CALIBRATE_NONE || predictor->task != LEARN_CLASSES || !held->n) return ST_OK;
    double *score = mem_array((size_t)held->n, sizeof *score);
    uint8_t *label = mem_array((size_t)held->n, 1);
    predictor->calibration = mem_zeros((size_t)scores, sizeof *predictor->calibration);
    Status status = score && label && predictor->calibration ? ST_OK
                                                             : fail_nomem(err, "the calibration");
    for (int32_t s = 0; s < scores && status == ST_OK; s++) {
        for (int64_t i = 0; i < held->n; i++) {
            score[i] = judging->score[i * scores + s];
            label[i] = held->class_of[i] == (scores == 1 ? 1 : s);
        }
        status = calibration_fit(&predictor->calibration[s],
            kind == CALIBRATE_PLATT ? CALIBRATION_PLATT : CALIBRATION_ISOTONIC, score, label,
            held->weight, held->n, err);
    }
    mem_free(score);
    mem_free(label);
    return status;
}

enum { MAX_RESIDUALS = 1000 };

/* Sorted distances; of many every so manieth, the largest of its stretch. */
static Status keep_residuals(Round *round, Predictor *predictor, const Judging *judging, Err *err) {
    int64_t n = round->held.n, kept = n < MAX_RESIDUALS ? n : MAX_RESIDUALS;
    predictor->residual = mem_array((size_t)n, sizeof *predictor->residual);
    if (!predictor->residual) return fail_nomem(err, "the intervals");
    if (predictor->task != LEARN_NUMBER) return ST_OK;
    for (int64_t i = 0; i < n; i++)
        predictor->residual[i] = fabs(round->held.value[i] - judging->value[i]);
    sort_doubles(predictor->residual, (size_t)n);
    for (int64_t i = 0; i < kept; i++)
        predictor->residual[i] = predictor->residual[(i + 1) * n / kept - 1];
    predictor->n_residuals = (int32_t)kept;
    return ST_OK;
}

/* Ties make fewer of them. number: n, sorted meanwhile. */
static void keep_deciles(Predictor *predictor, double *number, int64_t n) {
    sort_doubles(number, (size_t)n);
    for (int i = 1; i <= PREDICTION_EDGES; i++) {
        double edge = number[n * i / (PREDICTION_EDGES + 1)];
        double near = 1e-6 * fmax(fabs(number[0]), fabs(number[n - 1])); /* is no difference */
        if (edge >= number[n - 1] - near) break;
        if (predictor->n_deciles && edge <= predictor->decile[predictor->n_deciles - 1] + near)
            continue;
        predictor->decile[predictor->n_deciles++] = edge;
    }
    for (int64_t i = 0, bin = 0; i < n; i++) {
        while (bin < predictor->n_deciles && number[i] > predictor->decile[bin]) bin++;
        predictor->decile_count[bin]++;
    }
}

/* Calibration and judgement look at the same examples: probabilities that two numbers (or a rising
 * step function) make of scores are judged a little too well, the ranking they do not change. */
static Status judge_round(Round *round, Predictor *predictor, Err *err) {
    Judging judging = {0};
    Labels labels = labelled_labels(&round->held);
    if (!round->held.n || predictor->task > LEARN_RANKING) return ST_OK;
    Status status = predict_held(round, predictor, &judging, err);
    if (status == ST_OK) {
        Predicted predicted = {&labels, round->held.n, judging.probability, judging.value};
        predictor->held = round->held.n;
        status = fit_calibration(round, predictor, &judging, err);
        if (status == ST_OK && predictor->calibration) {
            judging_clear(&judging);
            judging = (Judging){0};
            status = predict_held(round, predictor, &judging, err);
            predicted.probability = judging.probability;
            predicted.value = judging.value;
        }
        if (status == ST_OK)
            status = judge_predictions(
                &predicted, predictor->judgement, &predictor->n_judgements, err);
    }
    if (status == ST_OK) status = keep_residuals(round, predictor, &judging, err);
    if (status == ST_OK) keep_deciles(predictor, judging.number, round->held.n);
    if (status == ST_OK && round->serves)
        status = permutation_importance(predictor, &round->held_design, &labels, round->task, err);
    judging_clear(&judging);
    return status;
}

/* ---- both ---- */

/* The judgement of the first training is that of the second: it learns from more of the same. */
static void hand_over(Predictor *from, Predictor *to) {
    to->calibration = from->calibration;
    from->calibration = NULL;
    to->residual = from->residual;
    from->residual = NULL;
    to->n_residuals = from->n_residuals;
    to->held = from->held;
    to->n_judgements = from->n_judgements;
    memcpy(to->judgement, from->judgement, sizeof to->judgement);
    for (int32_t i = 0; i < from->features.n && i < to->features.n; i++)
        to->permuted[i] = from->permuted[i];
    to->n_deciles = from->n_deciles;
    memcpy(to->decile, from->decile, sizeof to->decile);
    memcpy(to->decile_count, from->decile_count, sizeof to->decile_count);
    to->trained_seconds += from->trained_seconds;
}

static Status one_round(Round *round, const Labelled *all, int held, Predictor **out, Err *err) {
    Status status = take_part(round, all, held, err);
    if (status == ST_OK && held == 0) status = labelled_part(&round->held, all, 1, err);
    if (status == ST_OK && !round->part.n)
        status = fail(err, ST_BADARG,
            "every example would judge, and none would be learnt from (validation, split, and "
            "whole groups where there is group=)");
    if (status == ST_OK) status = train_round(round, out, err);
    if (status == ST_OK && held == 0) status = judge_round(round, *out, err);
    round_clear(round);
    return status;
}

static int64_t count_held(const Labelled *all) {
    int64_t n = 0;
    for (int64_t i = 0; i < all->n; i++) n += all->held[i];
    return n;
}

static Status train_all(Round *round, const Labelled *all, Predictor **out, Err *err) {
    Predictor *first = NULL;
    int64_t held = count_held(all);
    /* a version to start from has learnt from the examples that would judge */
    int judges = held && all->task <= LEARN_RANKING && !round->start;
    if (!judges) return one_round(round, all, -1, out, err);
    Status status = one_round(round, all, 0, &first, err);
    if (status != ST_OK || !round->setting->common.refit) {
        *out = first;
        return status;
    }
    const Learner *learner = first->learner;
    if (learner->sweeps && !round->start) round->sweeps = learner->sweeps(first->state);
    status = one_round(round, all, -1, out, err);
    if (status == ST_OK) hand_over(first, *out);
    predictor_free(first);
    return status;
}

Status predictor_train(Predictor **out, const PredictorSetting *setting, const Columns *columns,
    const ExampleRoles *roles, const Predictor *start, Task *task, Err *err) {
    Labelled all;
    Round round = {.setting = setting,
        .columns = columns,
        .roles = roles,
        .start = start,
        .task = task,
        .serves = 1};
    *out = NULL;
    Status status = labelled_init(&all, columns, roles, setting, err);
    if (status == ST_OK) status = train_all(&round, &all, out, err);
    if (status == ST_OK) (*out)->n_skipped = all.n_skipped;
    labelled_clear(&all);
    if (status == ST_OK) return ST_OK;
    predictor_free(*out);
    *out = NULL;
    return status;
}

Status predictor_try(const PredictorSetting *setting, const Columns *columns, const Labelled *all,
    const ExampleRoles *roles, Task *task, Verdict *judgement, int32_t *n_judgements, Err *err) {
    Predictor *predictor = NULL;
    Round round = {.setting = setting, .columns = columns, .roles = roles, .task = task};
    Status status = one_round(&round, all, 0, &predictor, err);
    *n_judgements = 0;
    if (status == ST_OK) {
        *n_judgements = predictor->n_judgements;
        memcpy(judgement, predictor->judgement, sizeof predictor->judgement);
    }
    predictor_free(predictor);
    return status;
}
