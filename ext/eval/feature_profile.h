/* What a predictor's features and predictions looked like, in a few counts each: kept with a
 * version, so that later rows can be compared with what it was trained on.
 *
 *     numbers, booleans   by the deciles of the training; texts by those of their length in bytes
 *     categories          the PROFILE_KEYS most frequent ones, and one for all others
 *     predictions         by the deciles of those for the examples that judged
 *
 * and of each how often it is missing. Dates and vectors are not looked at: dates move by
 * themselves. */
#ifndef REC_FEATURE_PROFILE_H
#define REC_FEATURE_PROFILE_H

#include "../learn/predictor.h"

enum { PROFILE_EDGES = PREDICTION_EDGES, PROFILE_KEYS = 20, PROFILE_COUNTS = PROFILE_KEYS + 2 };

typedef struct FeatureCounts {
    int is_looked_at, by_key;
    KeyMap *keys;               /* of categories; NULL: none */
    double edge[PROFILE_EDGES]; /* ascending; value <= edge[i] is in bin i */
    int n;                      /* bins, of them the last one for what is missing */
    double count[PROFILE_COUNTS];
} FeatureCounts;

typedef struct FeatureProfile {
    FeatureCounts *counts; /* n; the last: predictions */
    int32_t n;
} FeatureProfile;
void feature_profile_clear(FeatureProfile *profile);

/* Of all rows; what predictions looked like is the predictor's. */
Status feature_profile_of(
    FeatureProfile *out, const Predictor *predictor, const Columns *columns, Err *err);
/* The same bins, all counts 0. */
Status feature_profile_empty(FeatureProfile *out, const FeatureProfile *like, Err *err);
/* Count a row: cells as the predictor is asked with them, and what it said. */
Status feature_profile_add(FeatureProfile *profile, const Predictor *predictor, const Cell *cells,
    const Prediction *prediction, Bytes *buffer, Err *err);

void feature_profile_json(const FeatureProfile *profile, Bytes *out);
/* Checked: the text is a database's. ST_CORRUPT for what is none, or not the predictor's. */
Status feature_profile_parse(
    const char *json, const Predictor *predictor, FeatureProfile *out, Err *err);

/* Two counts of the same bins: the population stability index, sum (q - p) ln(q / p) with half a
 * count added to each bin, and the p of Pearson's test that both are draws of one distribution,
 * 1 where a side is empty. */
typedef struct FeatureDrift {
    double psi, p;
} FeatureDrift;
FeatureDrift feature_drift(const FeatureCounts *then, const FeatureCounts *now);
/* sum (q - p) ln(q / p) over n bins of counts, half a count added to each. */
double stability_index(const double *p, const double *q, int n);

#endif
