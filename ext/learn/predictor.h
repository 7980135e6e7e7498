/* A predictor: fitted features, a learner's state, and what turns its scores into answers.
 *
 * It is immutable and may be shared by threads; an Asker holds the scratch memory of one of them.
 *
 *     Asker *asker = asker_new(predictor, &err);
 *     asker_predict(asker, cells, &prediction, &err);       cells: predictor->n_columns of them
 *     asker_free(asker); */
#ifndef REC_PREDICTOR_H
#define REC_PREDICTOR_H

#include "../base/sealed.h"
#include "calibration.h"
#include "learner.h"

/* Options that every learner has, but for those of feature.h. */
typedef struct PredictorCommon {
    int64_t task;      /* 0: auto; else LearnTask + 1 */
    double validation; /* share of the examples that judges */
    int64_t refit;
    int64_t balance;  /* BALANCE_* */
    int64_t resample; /* RESAMPLE_* */
    int64_t calibrate;
    int64_t select; /* features that stay; 0: all */
    char crosses[256];
    char features[2000]; /* JSON: what is said of single features */
    int64_t threads;     /* 0: the CPU's */
    int64_t seed;
    FeatureOptions prepare;
} PredictorCommon;
enum { BALANCE_NONE, BALANCE_CLASSES };
enum { RESAMPLE_NONE, RESAMPLE_OVER, RESAMPLE_UNDER, RESAMPLE_SMOTE };
enum { CALIBRATE_AUTO, CALIBRATE_NONE, CALIBRATE_PLATT, CALIBRATE_ISOTONIC };
extern const OptSpec predictor_options[];

typedef struct LearnerParams {
    _Alignas(16) unsigned char bytes[512];
} LearnerParams;

/* How good it was on examples that it had not learnt from. */
typedef struct Verdict {
    char name[24];
    double value;
} Verdict;
enum { MAX_VERDICTS = 12 };

enum { PREDICTION_EDGES = 9 };

typedef struct Predictor {
    const Learner *learner;
    PredictorCommon common;
    LearnerParams params;
    char **column; /* n_columns: what it is asked with, in this order */
    int32_t n_columns;
    FeatureSet features;
    LearnTask task;
    KeyMap *classes;         /* of LEARN_CLASSES: in key order; else NULL */
    int classes_are_numbers; /* a class that is a text is one, such as 0.5 */
    void *state;
    Calibration *calibration; /* a score; NULL: none */
    double *residual;         /* ascending |y - prediction| of held examples, thinned */
    int32_t n_residuals;
    int64_t held;       /* examples that judged and were thinned to those */
    double *importance; /* features.n: of all columns of a feature; sums to 1, or zeros */
    double *permuted;   /* features.n: permute.h; NaN: not measured */
    float *background;  /* features.n_dense: the examples' means; NaN where all are missing */
    Verdict judgement[MAX_VERDICTS];
    int32_t n_judgements;
    LearnStep *step;
    int64_t n_steps;
    int64_t n_examples, n_skipped; /* learnt from; without a label */
    double trained_seconds;
    char *trained_on; /* JSON (eval/feature_profile.h); NULL: not known */
    /* of a training: deciles of prediction_number over the examples that judged, and how many of
     * them lie between; not stored, trained_on has them */
    double decile[PREDICTION_EDGES], decile_count[PREDICTION_EDGES + 1];
    int n_deciles;
    char sha256[SHA256_TEXT];
} Predictor;

void predictor_free(Predictor *predictor);
size_t predictor_memory(const Predictor *predictor);
/* Scores a row has. */
int32_t predictor_scores(const Predictor *predictor);
/* Probabilities that a prediction has: classes, or 0. */
int32_t predictor_classes(const Predictor *predictor);
/* {"algorithm":..., option: value, ...} without the braces' name: as options_json. */
void predictor_options_json(const Predictor *predictor, Bytes *out);

/* ---- asking ---- */

typedef struct Prediction {
    int32_t best;              /* class or segment; -1: none */
    double value;              /* number, grade, anomaly; of segments the distance to the centre */
    const double *score;       /* predictor_scores: as the learner gives them */
    const double *probability; /* predictor_classes */
} Prediction;

typedef struct Asker {
    const Predictor *predictor;
    DesignRow row;
    Bytes buffer;
    double *score, *probability;
} Asker;
Asker *asker_new(const Predictor *predictor, Err *err);
void asker_free(Asker *asker);
/* A row of cells: one a column. The prediction's arrays are the asker's. */
Status asker_predict(Asker *asker, const Cell *cells, Prediction *out, Err *err);
/* Of a row of the design. */
void asker_predict_row(Asker *asker, const DesignRow *row, Prediction *out);
/* The number that says most of it: of two classes the probability of the second, of more that of
 * the predicted one, else the value. */
double prediction_number(const Predictor *predictor, const Prediction *prediction);
/* Half the width of an interval that holds the number with the probability `coverage` (split
 * conformal: Lei et al. 2018); INFINITY where too few examples judged. */
double predictor_half_width(const Predictor *predictor, double coverage);

/* ---- stored form ---- */

Status predictor_write(const Predictor *predictor, Bytes *out, char sha256[SHA256_TEXT], Err *err);
Status predictor_read(Predictor **out, const void *data, size_t len, Err *err);

#endif
