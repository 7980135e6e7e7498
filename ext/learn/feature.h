/* Features: what a column of the examples is, and how its values become numbers.
 *
 * A Feature is fitted once, on the examples that are trained on, and stored with the version: the
 * same cell becomes the same numbers in training, in rec_predict and in rec_transform. Its numbers
 * are columns of the design (design.h): `width` of them from `first` on, dense or sparse.
 *
 *     kind        becomes
 *     number      one column, clipped, scaled; or `bins` indicators of quantile bins
 *     boolean     one column, 0 or 1
 *     timestamp   days since 1970 and the indicators of month, weekday and hour; for trees the
 *                 numbers themselves
 *     category    an indicator a category (one-hot), `buckets` more for rare and unseen ones by
 *                 their hash; or the mean of the label in it (target), a column a class
 *     text        tf-idf of its terms, of unit length (Salton and Buckley 1988, with scikit-learn's
 *                 smoothed idf = ln((1 + n) / (1 + df)) + 1)
 *     vector      its elements
 *
 * A number that is missing is its column's mean, median, mode or 0, with an indicator where any was
 * missing in training; learners that know what to do with a missing one get NaN. Target means are
 *     (sum y + smoothing * mean) / (n + smoothing)
 * and in training those of the other FOLDS - 1 parts of the examples (Micci-Barreca 2001; Pargent
 * et al. 2022), so that no example's label reaches its own features. */
#ifndef REC_FEATURE_H
#define REC_FEATURE_H

#include "../base/bytes.h"
#include "../base/options.h"
#include "columns.h"

typedef enum FeatureKind {
    FEATURE_AUTO,
    FEATURE_NUMBER,
    FEATURE_CATEGORY,
    FEATURE_TEXT,
    FEATURE_VECTOR,
    FEATURE_TIMESTAMP,
    FEATURE_BOOLEAN,
    FEATURE_IGNORE
} FeatureKind;
#define FEATURE_KINDS "auto|number|category|text|vector|timestamp|boolean|ignore"

enum { MISSING_AUTO, MISSING_INDICATOR, MISSING_IMPUTE, MISSING_NATIVE, MISSING_ERROR };
enum { IMPUTE_MEAN, IMPUTE_MEDIAN, IMPUTE_MODE, IMPUTE_ZERO };
enum { SCALE_AUTO, SCALE_STANDARD, SCALE_MINMAX, SCALE_LOG, SCALE_BINS, SCALE_NONE };
enum { ENCODE_AUTO, ENCODE_ONEHOT, ENCODE_TARGET };
enum { ANALYZER_WORD, ANALYZER_CHAR };

/* How a feature is prepared: options of the predictor, which a feature may have of its own. */
typedef struct FeatureOptions {
    int64_t kind, missing, impute, scale, bins;
    double clip; /* quantile, at both ends */
    int64_t encode, max_categories, min_count, buckets;
    double smoothing;
    int64_t analyzer, ngram, max_terms, min_documents, sublinear;
} FeatureOptions;
/* The rows of a table of options, but for kind: of a struct OWNER whose member they are. */
#define FEATURE_OPTIONS(OWNER, MEMBER) \
    {"missing", OPT_CHOICE, offsetof(OWNER, MEMBER missing), 0, 0, MISSING_AUTO, \
        "auto|indicator|impute|native|error", \
        "a NULL number: filled, and said by an indicator; filled; left to a learner of trees; " \
        "refused; auto: native for trees, else indicator"}, \
        {"impute", OPT_CHOICE, offsetof(OWNER, MEMBER impute), 0, 0, IMPUTE_MEAN, \
            "mean|median|mode|zero", "what a NULL number is filled with"}, \
        {"scale", OPT_CHOICE, offsetof(OWNER, MEMBER scale), 0, 0, SCALE_AUTO, \
            "auto|standard|minmax|log|bins|none", \
            "numbers: to mean 0 and deviation 1; to 0..1; sign(x) ln(1 + |x|), then standard; " \
            "indicators of quantile bins; as they are; auto: none for trees, else standard"}, \
        {"bins", OPT_INT, offsetof(OWNER, MEMBER bins), 2, 1000, 10, NULL, "of scale=bins"}, \
        {"clip", OPT_REAL, offsetof(OWNER, MEMBER clip), 0, .49, 0, NULL, \
            "numbers below this quantile or above 1 - it become it"}, \
        {"encode", OPT_CHOICE, offsetof(OWNER, MEMBER encode), 0, 0, ENCODE_AUTO, \
            "auto|onehot|target", \
            "categories: an indicator each, or the mean of the label, cross-fitted; auto: target " \
            "for " \
            "trees beyond 8 of them, else onehot"}, \
        {"max_categories", OPT_INT, offsetof(OWNER, MEMBER max_categories), 1, 1e6, 1000, NULL, \
            "of onehot: the most frequent ones have an indicator of their own"}, \
        {"min_count", OPT_INT, offsetof(OWNER, MEMBER min_count), 1, 1e6, 1, NULL, \
            "of onehot: with fewer examples a category is rare"}, \
        {"buckets", OPT_INT, offsetof(OWNER, MEMBER buckets), 0, 1e6, 1, NULL, \
            "of onehot: indicators that rare and unseen categories share by their hash"}, \
        {"smoothing", OPT_REAL, offsetof(OWNER, MEMBER smoothing), 0, 1e9, 10, NULL, \
            "of target: examples of the overall mean that each category gets"}, \
        {"analyzer", OPT_CHOICE, offsetof(OWNER, MEMBER analyzer), 0, 0, ANALYZER_WORD, \
            "word|char", "terms of a text: words, or runs of characters within them"}, \
        {"ngram", OPT_INT, offsetof(OWNER, MEMBER ngram), 1, 8, 1, NULL, \
            "terms of up to so many words; of characters: 2 up to so many"}, \
        {"max_terms", OPT_INT, offsetof(OWNER, MEMBER max_terms), 1, 1e7, 20000, NULL, \
            "terms of a text column: those of the most texts; of trees at most 500"}, \
        {"min_documents", OPT_INT, offsetof(OWNER, MEMBER min_documents), 1, 1e9, 2, NULL, \
            "texts that a term must be in"}, \
    { \
        "sublinear", OPT_FLAG, offsetof(OWNER, MEMBER sublinear), 0, 0, 0, NULL, \
            "count a term 1 + ln(count) times" \
    }
extern const OptSpec feature_options[];

enum { FEATURE_FOLDS = 5 };

typedef struct Feature {
    char *name;
    FeatureOptions options; /* none of them auto */
    FeatureKind kind;
    int is_sparse;
    int32_t first, width; /* its columns of the design */
    int has_indicator;    /* the last of them says: missing */
    int64_t n, n_missing; /* examples it was fitted on */
    char note[100];       /* what its owner should know; "": nothing */
    /* numbers, booleans, timestamps' days: x becomes (f(clip(x)) - shift) / scale */
    double low, high, fill, shift, scale;
    double *edge; /* options.bins - 1 at most, ascending */
    int32_t n_edges;
    /* categories, terms: key order */
    KeyMap *keys;
    float *weight; /* terms: idf; target: width numbers a category, one set more for the unseen */
    /* of training alone: a set of target means a part of the examples */
    float *fold_weight;
    int32_t dim; /* of vectors */
} Feature;

void feature_clear(Feature *feature);
size_t feature_memory(const Feature *feature);
/* Append; back, from untrusted bytes. */
void feature_write(const Feature *feature, Bytes *out);
Status feature_read(Feature *out, Reader *in, Err *err);

/* The name of column `column` (0 .. width - 1): "price", "country=France", "description~lamp". */
void feature_column_name(const Feature *feature, int32_t column, Bytes *out);
/* What becomes of a cell, in words: "log, standardised; missing: mean and indicator". */
void feature_describe(const Feature *feature, Bytes *out);

/* A row of the design: dense columns 0 .. n_dense - 1, then sparse entries, columns ascending
 * within a feature. */
typedef struct DesignRow {
    float *dense;
    int32_t n_dense;
    int32_t *col;
    float *val;
    int64_t n, room; /* entries */
} DesignRow;
void design_row_clear(DesignRow *row);

/* Put a cell's numbers into the row. fold: of an example that was trained on, else -1. An error
 * where the cell is none that the feature can take: it names the feature. */
Status feature_apply(const Feature *feature, const Cell *cell, int fold, DesignRow *row, Err *err);

/* ---- what fitting needs and applying too ---- */

/* A cell as a number, NaN where it is missing; an error where it is none. */
Status feature_number(const Feature *feature, const Cell *cell, double *out, Err *err);
/* Call visit with every term of a text, in order. */
typedef Status (*TermVisit)(void *context, const char *term, size_t len, Err *err);
Status feature_terms(
    const FeatureOptions *options, const Cell *cell, TermVisit visit, void *context, Err *err);
/* The elements of a vector's cell: a BLOB of float32, or a JSON array. The caller frees *out. */
Status feature_vector(
    const Feature *feature, const Cell *cell, float **out, int32_t *dim, Err *err);

#endif
