/* Metrics whose rows are a few numbers (docs/reference/metrics.md): aggregates and window functions over ext/metrics/sums.h and
 * ext/metrics/samples.h. Rows with a NULL are left out; where there is no answer the result is NULL. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../metrics/bootstrap.h"
#include "../metrics/samples.h"
#include "../metrics/sums.h"
#include "modules.h"
#include "scored.h"

/* What an argument may be. */
typedef enum Kind { NUMBER, LABEL, PROBABILITY, COUNT, POSITIVE, WEIGHT } Kind;

static const char *wrong(Kind kind, double value) {
    if (kind == LABEL && value != 0 && value != 1) return "must be 0 or 1";
    if (kind == PROBABILITY && !(value >= 0 && value <= 1)) return "must be between 0 and 1";
    if ((kind == COUNT || kind == WEIGHT) && value < 0) return "must be 0 or more";
    if (kind == POSITIVE && value <= 0) return "must be above 0";
    return NULL;
}

/* A number, not a text that only looks like none: 0 when an error was returned. */
static int take(sqlite3_context *context, const char *function, const char *name, Kind kind, sqlite3_value *value, double *out) {
    int type = sqlite3_value_numeric_type(value);
    Err err = {0};
    *out = sqlite3_value_double(value);
    const char *problem = (type != SQLITE_INTEGER && type != SQLITE_FLOAT) || !isfinite(*out) ? "must be a finite number" : wrong(kind, *out);
    if (!problem) return 1;
    fail(&err, ST_BADARG, "%s %s", name, problem);
    glue_function_error(context, function, ST_BADARG, &err);
    return 0;
}

static int has_null(int argc, sqlite3_value **argv) {
    for (int i = 0; i < argc; i++)
        if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return 1;
    return 0;
}

static void result_number(sqlite3_context *context, double value) {
    if (isfinite(value)) sqlite3_result_double(context, value); /* what overflows has no answer either */
}

static void result_json(sqlite3_context *context, Bytes *json) {
    if (json->failed)
        sqlite3_result_error_nomem(context);
    else
        sqlite3_result_text(context, (const char *)json->data, (int)json->len, SQLITE_TRANSIENT);
    bytes_clear(json);
}

/* ---- sums: (y, p [, weight]), of f-beta (y, p, beta [, weight]) ---- */

typedef struct SumFunction {
    const char *name;
    SumMetric metric;
    Kind y, p;
    int takes_beta;
} SumFunction;

static void sums_row(sqlite3_context *context, int argc, sqlite3_value **argv, double sign) {
    const SumFunction *f = sqlite3_user_data(context);
    double y, p, w = 1, beta = 1;
    int weight_at = f->takes_beta ? 3 : 2;
    Sums *sums = sqlite3_aggregate_context(context, sizeof *sums);
    if (!sums) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (has_null(argc, argv)) return;
    const char *first = f->y == LABEL ? "label" : "the actual value", *second = f->metric >= SUM_ACCURACY ? "the predicted label" : f->p == PROBABILITY ? "the probability" : "the predicted value";
    if (!take(context, f->name, first, f->y, argv[0], &y) || !take(context, f->name, second, f->p, argv[1], &p)) return;
    if (f->takes_beta && !take(context, f->name, "beta", POSITIVE, argv[2], &beta)) return;
    if (argc > weight_at && !take(context, f->name, "weight", WEIGHT, argv[weight_at], &w)) return;
    sums->beta = beta;
    sums_add(sums, f->metric, y, p, w, sign);
}

static void sums_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    sums_row(context, argc, argv, 1);
}

static void sums_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    sums_row(context, argc, argv, -1);
}

static void sums_result(sqlite3_context *context) {
    const SumFunction *f = sqlite3_user_data(context);
    const Sums *sums = sqlite3_aggregate_context(context, 0);
    double c[4];
    if (!sums || sums->n == 0) return;
    if (f->metric != SUM_CONFUSION) {
        result_number(context, sums_value(sums, f->metric));
        return;
    }
    Bytes json = {0};
    sums_confusion(sums, c);
    bytes_format(&json, "{\"tp\":%.17g,\"fp\":%.17g,\"fn\":%.17g,\"tn\":%.17g}", c[0], c[1], c[2], c[3]);
    result_json(context, &json);
}

/* ---- samples ---- */

/* How a row's arguments become (x, y). */
typedef enum Layout {
    LABEL_SCORE, /* (label, x [, weight] ): y = the weight, below 0 for label 0 */
    WHICH_VALUE, /* (which, x): y = 1 or -1 */
    ONE_COUNT,   /* (x) */
    TWO_COUNTS   /* (x, y) */
} Layout;

typedef enum Result { RESULT_NUMBER, RESULT_WELCH, RESULT_MANN_WHITNEY, RESULT_SCORED, RESULT_BOOTSTRAP } Result;

typedef struct SampleFunction {
    const char *name;
    SampleMetric metric;
    Layout layout;
    Kind x, y;
    int takes_weight;
    double setting; /* the default of a last argument: bins, resamples; 0: there is none */
    int settings;   /* how many last arguments there are */
    Result result;
} SampleFunction;

/* Rows in the order in which they came; a window takes them back from the front. */
typedef struct Rows {
    Sample *row;
    size_t first, n, capacity;
    double setting, seed;
    int has_setting;
} Rows;

static int rows_push(Rows *rows, Sample row) {
    if (rows->first + rows->n == rows->capacity) {
        if (rows->first > rows->n) { /* make use of what was taken back */
            memmove(rows->row, rows->row + rows->first, rows->n * sizeof *rows->row);
            rows->first = 0;
        } else {
            size_t capacity = rows->capacity * 2 + 64;
            Sample *grown = mem_resize(rows->row, capacity, sizeof *grown);
            if (!grown) return 0;
            rows->row = grown;
            rows->capacity = capacity;
        }
    }
    rows->row[rows->first + rows->n++] = row;
    return 1;
}

/* Arguments before settings. */
static int n_values(const SampleFunction *f) {
    return f->layout == ONE_COUNT ? 1 : 2;
}

static int take_settings(sqlite3_context *context, const SampleFunction *f, Rows *rows, int argc, sqlite3_value **argv) {
    double *place[] = {&rows->setting, &rows->seed};
    if (rows->has_setting) return 1;
    rows->setting = f->setting;
    rows->seed = 1;
    for (int i = n_values(f); f->settings && i < argc; i++) {
        double value;
        const char *name = i > n_values(f) ? "the seed" : f->result == RESULT_BOOTSTRAP ? "the number of resamples" : "the number of bins";
        if (!take(context, f->name, name, i > n_values(f) ? COUNT : POSITIVE, argv[i], &value)) return 0;
        Err err = {0};
        if (value != floor(value) || value > 1e6) {
            fail(&err, ST_BADARG, "%s must be a whole number up to 1000000", name);
            glue_function_error(context, f->name, ST_BADARG, &err);
            return 0;
        }
        *place[i - n_values(f)] = value;
    }
    rows->has_setting = 1;
    return 1;
}

/* 1: *out is a row; 0: it counts for nothing; -1: an error was returned. */
static int take_row(sqlite3_context *context, const SampleFunction *f, int argc, sqlite3_value **argv, Sample *out) {
    double first, second = 0, weight = 1;
    int labelled = f->layout == LABEL_SCORE || f->layout == WHICH_VALUE;
    if (has_null(argc, argv)) return 0;
    if (!take(context, f->name, f->layout == LABEL_SCORE ? "label" : f->layout == WHICH_VALUE ? "which" : "the count", labelled ? LABEL : f->x, argv[0], &first)) return -1;
    if (n_values(f) > 1 && !take(context, f->name, f->layout == LABEL_SCORE ? "score" : labelled ? "the value" : f->metric == sample_novelty ? "the total" : "the second count", labelled ? f->x : f->y, argv[1], &second)) return -1;
    if (f->takes_weight && argc > 2 && !take(context, f->name, "weight", WEIGHT, argv[2], &weight)) return -1;
    *out = labelled ? (Sample){second, first == 1 ? weight : -weight} : (Sample){first, second};
    return weight > 0;
}

static void sample_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const SampleFunction *f = sqlite3_user_data(context);
    Rows *rows = sqlite3_aggregate_context(context, sizeof *rows);
    Sample row;
    if (!rows) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (take_row(context, f, argc, argv, &row) != 1 || !take_settings(context, f, rows, argc, argv)) return;
    if (!rows_push(rows, row)) sqlite3_result_error_nomem(context);
}

static void sample_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Rows *rows = sqlite3_aggregate_context(context, sizeof *rows);
    Sample row;
    if (!rows || rows->n == 0 || take_row(context, sqlite3_user_data(context), argc, argv, &row) != 1) return;
    rows->first++;
    rows->n--;
}

static void bootstrap_result(sqlite3_context *context, const Rows *rows, const Sample *row) {
    Interval interval;
    Err err = {0};
    Bytes json = {0};
    double *value = mem_array(rows->n, sizeof *value);
    for (size_t i = 0; value && i < rows->n; i++) value[i] = row[i].x;
    Status status = value ? bootstrap_mean(&interval, value, (int64_t)rows->n, (int64_t)rows->setting, (uint64_t)rows->seed, &err) : ST_NOMEM;
    mem_free(value);
    if (status != ST_OK) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (!isfinite(interval.mean) || !isfinite(interval.low) || !isfinite(interval.high)) return;
    bytes_format(&json, "{\"mean\":%.17g,\"low\":%.17g,\"high\":%.17g,\"n\":%lld}", interval.mean, interval.low, interval.high, (long long)rows->n);
    result_json(context, &json);
}

static void compute(sqlite3_context *context, const SampleFunction *f, const Rows *rows, Sample *row) {
    Bytes json = {0};
    Welch welch;
    double u, p;
    switch (f->result) {
    case RESULT_NUMBER: result_number(context, f->metric(row, rows->n, rows->setting)); break;
    case RESULT_BOOTSTRAP: bootstrap_result(context, rows, row); break;
    case RESULT_SCORED: scored_result(context, row, rows->n); break;
    case RESULT_WELCH:
        if (!sample_welch(row, rows->n, &welch)) break;
        bytes_format(&json, "{\"t\":%.17g,\"df\":%.17g,\"p\":%.17g,\"difference\":%.17g}", welch.t, welch.df, welch.p, welch.difference);
        result_json(context, &json);
        break;
    case RESULT_MANN_WHITNEY:
        if (!sample_mann_whitney(row, rows->n, &u, &p)) break;
        bytes_format(&json, "{\"u\":%.17g,\"p\":%.17g}", u, p);
        result_json(context, &json);
        break;
    }
}

/* The rows of a window are wanted again: a copy is sorted. */
static void sample_value(sqlite3_context *context) {
    const Rows *rows = sqlite3_aggregate_context(context, 0);
    if (!rows || rows->n == 0) return;
    Sample *copy = mem_array(rows->n, sizeof *copy);
    if (!copy) {
        sqlite3_result_error_nomem(context);
        return;
    }
    memcpy(copy, rows->row + rows->first, rows->n * sizeof *copy);
    compute(context, sqlite3_user_data(context), rows, copy);
    mem_free(copy);
}

static void sample_final(sqlite3_context *context) {
    Rows *rows = sqlite3_aggregate_context(context, 0);
    if (!rows) return;
    if (rows->n) compute(context, sqlite3_user_data(context), rows, rows->row + rows->first);
    mem_free(rows->row);
}

/* ---- registration ---- */

static int register_sums(sqlite3 *db) {
    static const SumFunction functions[] = {
        {"rec_rmse", SUM_RMSE, NUMBER, NUMBER, 0},
        {"rec_mae", SUM_MAE, NUMBER, NUMBER, 0},
        {"rec_mape", SUM_MAPE, NUMBER, NUMBER, 0},
        {"rec_r2", SUM_R2, NUMBER, NUMBER, 0},
        {"rec_logloss", SUM_LOGLOSS, LABEL, PROBABILITY, 0},
        {"rec_brier", SUM_BRIER, LABEL, PROBABILITY, 0},
        {"rec_accuracy", SUM_ACCURACY, LABEL, LABEL, 0},
        {"rec_class_precision", SUM_PRECISION, LABEL, LABEL, 0},
        {"rec_class_recall", SUM_RECALL, LABEL, LABEL, 0},
        {"rec_specificity", SUM_SPECIFICITY, LABEL, LABEL, 0},
        {"rec_balanced_accuracy", SUM_BALANCED, LABEL, LABEL, 0},
        {"rec_mcc", SUM_MCC, LABEL, LABEL, 0},
        {"rec_f1", SUM_F, LABEL, LABEL, 0},
        {"rec_fbeta", SUM_F, LABEL, LABEL, 1},
        {"rec_confusion", SUM_CONFUSION, LABEL, LABEL, 0},
    };
    int code = SQLITE_OK;
    for (size_t i = 0; i < sizeof functions / sizeof *functions && !code; i++)
        for (int weight = 0; weight < 2 && !code; weight++)
            code = sqlite3_create_window_function(db, functions[i].name, 2 + functions[i].takes_beta + weight, FUNCTION_PURE, (void *)(uintptr_t)&functions[i], sums_step, sums_result, sums_result, sums_inverse, NULL);
    return code;
}

int register_pair_aggregates(sqlite3 *db) {
    static const SampleFunction functions[] = {
        {"rec_auc", sample_auc, LABEL_SCORE, NUMBER, NUMBER, 1, 0, 0, RESULT_NUMBER},
        {"rec_pr_auc", sample_pr_auc, LABEL_SCORE, NUMBER, NUMBER, 1, 0, 0, RESULT_NUMBER},
        {"rec_ece", sample_ece, LABEL_SCORE, PROBABILITY, NUMBER, 0, 10, 1, RESULT_NUMBER},
        {"rec_scored", NULL, LABEL_SCORE, NUMBER, NUMBER, 1, 0, 0, RESULT_SCORED},
        {"rec_gini", sample_gini, ONE_COUNT, COUNT, NUMBER, 0, 0, 0, RESULT_NUMBER},
        {"rec_entropy", sample_entropy, ONE_COUNT, COUNT, NUMBER, 0, 0, 0, RESULT_NUMBER},
        {"rec_novelty", sample_novelty, TWO_COUNTS, POSITIVE, POSITIVE, 0, 0, 0, RESULT_NUMBER},
        {"rec_psi", sample_psi, WHICH_VALUE, NUMBER, NUMBER, 0, 10, 1, RESULT_NUMBER},
        {"rec_ks", sample_ks, WHICH_VALUE, NUMBER, NUMBER, 0, 0, 0, RESULT_NUMBER},
        {"rec_ks_p", sample_ks_p, WHICH_VALUE, NUMBER, NUMBER, 0, 0, 0, RESULT_NUMBER},
        {"rec_wasserstein", sample_wasserstein, WHICH_VALUE, NUMBER, NUMBER, 0, 0, 0, RESULT_NUMBER},
        {"rec_welch_t", NULL, WHICH_VALUE, NUMBER, NUMBER, 0, 0, 0, RESULT_WELCH},
        {"rec_mann_whitney", NULL, WHICH_VALUE, NUMBER, NUMBER, 0, 0, 0, RESULT_MANN_WHITNEY},
        {"rec_js", sample_js, TWO_COUNTS, COUNT, COUNT, 0, 0, 0, RESULT_NUMBER},
        {"rec_chi2", sample_chi2, TWO_COUNTS, COUNT, POSITIVE, 0, 0, 0, RESULT_NUMBER},
        {"rec_chi2_p", sample_chi2_p, TWO_COUNTS, COUNT, POSITIVE, 0, 0, 0, RESULT_NUMBER},
        {"rec_bootstrap", NULL, ONE_COUNT, NUMBER, NUMBER, 0, 1000, 2, RESULT_BOOTSTRAP},
    };
    int code = register_sums(db);
    for (size_t i = 0; i < sizeof functions / sizeof *functions && !code; i++)
        for (int more = 0; more <= functions[i].takes_weight + functions[i].settings && !code; more++)
            code = sqlite3_create_window_function(db, functions[i].name, n_values(&functions[i]) + more, FUNCTION_PURE, (void *)(uintptr_t)&functions[i], sample_step, sample_final, sample_value, sample_inverse, NULL);
    return code;
}
