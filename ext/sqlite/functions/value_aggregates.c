/* Metrics whose rows are a few numbers (docs/reference/metrics.md): aggregates and window functions
 * over ext/metrics/sums.h and ext/metrics/samples.h. Rows with a NULL are left out; where there is
 * no answer the result is NULL. */
#include <math.h>
#include <string.h>

#include "../../base/queue.h"
#include "../../metrics/auc.h"
#include "../../metrics/bootstrap.h"
#include "../../metrics/samples.h"
#include "../../metrics/sums.h"
#include "../host/parts.h"
#include "curve_tables.h"
#include "function.h"

/* ---- sums: (y, p [, weight]), of f-beta (y, p, beta [, weight]) ---- */

typedef struct SumFunction {
    const char *name;
    SumMetric metric;
    NumberKind y, p;
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
    const char *first = f->y == LABEL ? "label" : "the actual value",
               *second = f->metric >= SUM_ACCURACY ? "the predicted label"
        : f->p == PROBABILITY                      ? "the probability"
                                                   : "the predicted value";
    if (!function_number(context, f->name, first, f->y, argv[0], &y) ||
        !function_number(context, f->name, second, f->p, argv[1], &p))
        return;
    if (f->takes_beta && !function_number(context, f->name, "beta", POSITIVE, argv[2], &beta))
        return;
    if (argc > weight_at &&
        !function_number(context, f->name, "weight", WEIGHT, argv[weight_at], &w))
        return;
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
    bytes_format(
        &json, "{\"tp\":%.17g,\"fp\":%.17g,\"fn\":%.17g,\"tn\":%.17g}", c[0], c[1], c[2], c[3]);
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

typedef enum Result {
    RESULT_NUMBER,
    RESULT_WELCH,
    RESULT_MANN_WHITNEY,
    RESULT_SCORED,
    RESULT_BOOTSTRAP
} Result;

typedef struct SampleFunction {
    const char *name;
    SampleMetric metric;
    Layout layout;
    NumberKind x, y;
    int takes_weight;
    double setting; /* the default of a last argument: bins, resamples; 0: there is none */
    int settings;   /* how many last arguments there are */
    Result result;
} SampleFunction;

typedef struct SampleRows {
    Queue rows; /* Sample */
    double setting, seed;
    int has_setting;
} SampleRows;

/* Arguments before settings. */
static int n_values(const SampleFunction *f) { return f->layout == ONE_COUNT ? 1 : 2; }

static int take_settings(sqlite3_context *context, const SampleFunction *f, SampleRows *rows,
    int argc, sqlite3_value **argv) {
    double *place[] = {&rows->setting, &rows->seed};
    if (rows->has_setting) return 1;
    rows->setting = f->setting;
    rows->seed = 1;
    for (int i = n_values(f); f->settings && i < argc; i++) {
        double value;
        const char *name = i > n_values(f)  ? "the seed"
            : f->result == RESULT_BOOTSTRAP ? "the number of resamples"
                                            : "the number of bins";
        if (!function_number(
                context, f->name, name, i > n_values(f) ? COUNT : POSITIVE, argv[i], &value))
            return 0;
        Err err = {0};
        if (value != floor(value) || value > 1e6) {
            fail(&err, ST_BADARG, "%s must be a whole number up to 1000000", name);
            sql_function_error(context, f->name, ST_BADARG, &err);
            return 0;
        }
        *place[i - n_values(f)] = value;
    }
    rows->has_setting = 1;
    return 1;
}

/* 1: *out is a row; 0: it counts for nothing; -1: an error was returned. */
static int take_row(sqlite3_context *context, const SampleFunction *f, int argc,
    sqlite3_value **argv, Sample *out) {
    double first, second = 0, weight = 1;
    int labelled = f->layout == LABEL_SCORE || f->layout == WHICH_VALUE;
    if (has_null(argc, argv)) return 0;
    if (!function_number(context, f->name,
            f->layout == LABEL_SCORE       ? "label"
                : f->layout == WHICH_VALUE ? "which"
                                           : "the count",
            labelled ? LABEL : f->x, argv[0], &first))
        return -1;
    if (n_values(f) > 1 &&
        !function_number(context, f->name,
            f->layout == LABEL_SCORE          ? "score"
                : labelled                    ? "the value"
                : f->metric == sample_novelty ? "the total"
                                              : "the second count",
            labelled ? f->x : f->y, argv[1], &second))
        return -1;
    if (f->takes_weight && argc > 2 &&
        !function_number(context, f->name, "weight", WEIGHT, argv[2], &weight))
        return -1;
    *out = labelled ? (Sample){second, first == 1 ? weight : -weight} : (Sample){first, second};
    return weight > 0;
}

static void sample_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const SampleFunction *f = sqlite3_user_data(context);
    SampleRows *rows = sqlite3_aggregate_context(context, sizeof *rows);
    Sample row;
    if (!rows) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (take_row(context, f, argc, argv, &row) != 1 || !take_settings(context, f, rows, argc, argv))
        return;
    if (!queue_push(&rows->rows, &row, sizeof row)) sqlite3_result_error_nomem(context);
}

static void sample_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    SampleRows *rows = sqlite3_aggregate_context(context, sizeof *rows);
    Sample row;
    if (rows && take_row(context, sqlite3_user_data(context), argc, argv, &row) == 1)
        queue_drop(&rows->rows);
}

static void bootstrap_result(sqlite3_context *context, const SampleRows *rows, const Sample *row) {
    Interval interval;
    Err err = {0};
    Bytes json = {0};
    size_t n = rows->rows.n;
    double *value = mem_array(n, sizeof *value);
    for (size_t i = 0; value && i < n; i++) value[i] = row[i].x;
    Status status = value ? bootstrap_means(&interval, value, (int64_t)n, 1, (int64_t)rows->setting,
                                (uint64_t)rows->seed, NULL, &err)
                          : ST_NOMEM;
    mem_free(value);
    if (status != ST_OK) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (!isfinite(interval.mean) || !isfinite(interval.low) || !isfinite(interval.high)) return;
    bytes_format(&json, "{\"mean\":%.17g,\"low\":%.17g,\"high\":%.17g,\"n\":%lld}", interval.mean,
        interval.low, interval.high, (long long)n);
    result_json(context, &json);
}

static void compute(
    sqlite3_context *context, const SampleFunction *f, const SampleRows *rows, Sample *row) {
    Bytes json = {0};
    Welch welch;
    size_t n = rows->rows.n;
    double u, p;
    switch (f->result) {
    case RESULT_NUMBER: result_number(context, f->metric(row, n, rows->setting)); break;
    case RESULT_BOOTSTRAP: bootstrap_result(context, rows, row); break;
    case RESULT_SCORED: scored_result(context, row, n); break;
    case RESULT_WELCH:
        if (!sample_welch(row, n, &welch)) break;
        bytes_format(&json, "{\"t\":%.17g,\"df\":%.17g,\"p\":%.17g,\"difference\":%.17g}", welch.t,
            welch.df, welch.p, welch.difference);
        result_json(context, &json);
        break;
    case RESULT_MANN_WHITNEY:
        if (!sample_mann_whitney(row, n, &u, &p)) break;
        bytes_format(&json, "{\"u\":%.17g,\"p\":%.17g}", u, p);
        result_json(context, &json);
        break;
    }
}

/* The rows of a window are wanted again: a copy is sorted. */
static void sample_value(sqlite3_context *context) {
    const SampleRows *rows = sqlite3_aggregate_context(context, 0);
    if (!rows || rows->rows.n == 0) return;
    Sample *copy = queue_copy(&rows->rows, sizeof *copy);
    if (copy) compute(context, sqlite3_user_data(context), rows, copy);
    else sqlite3_result_error_nomem(context);
    mem_free(copy);
}

static void sample_final(sqlite3_context *context) {
    SampleRows *rows = sqlite3_aggregate_context(context, 0);
    if (!rows) return;
    if (rows->rows.n)
        compute(
            context, sqlite3_user_data(context), rows, queue_records(&rows->rows, sizeof(Sample)));
    queue_clear(&rows->rows);
}

/* ---- (label, score) without weights: the scores of each label ---- */

typedef struct ScoreFunction {
    const char *name;
    double (*metric)(double *positive, size_t n_positive, double *negative, size_t n_negative);
} ScoreFunction;

/* 1: a label and a score; 0: it counts for nothing; -1: an error was returned. */
static int take_scored(sqlite3_context *context, const char *function, sqlite3_value **argv,
    int *label, double *score) {
    double number;
    if (has_null(2, argv)) return 0;
    if (!function_number(context, function, "label", LABEL, argv[0], &number) ||
        !function_number(context, function, "score", NUMBER, argv[1], score))
        return -1;
    *label = number == 1;
    return 1;
}

/* State: a queue of the negatives' scores, and one of the positives'. */
static void scores_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const ScoreFunction *f = sqlite3_user_data(context);
    Queue *scores = sqlite3_aggregate_context(context, 2 * sizeof *scores);
    int label;
    double score;
    (void)argc;
    if (!scores) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (take_scored(context, f->name, argv, &label, &score) == 1 &&
        !queue_push(&scores[label], &score, sizeof score))
        sqlite3_result_error_nomem(context);
}

static void scores_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const ScoreFunction *f = sqlite3_user_data(context);
    Queue *scores = sqlite3_aggregate_context(context, 2 * sizeof *scores);
    int label;
    double score;
    (void)argc;
    if (scores && take_scored(context, f->name, argv, &label, &score) == 1)
        queue_drop(&scores[label]);
}

static void scores_value(sqlite3_context *context) {
    const ScoreFunction *f = sqlite3_user_data(context);
    const Queue *scores = sqlite3_aggregate_context(context, 0);
    if (!scores || scores[0].n + scores[1].n == 0) return;
    double *negative = queue_copy(&scores[0], sizeof *negative),
           *positive = queue_copy(&scores[1], sizeof *positive);
    if (negative && positive)
        result_number(context, f->metric(positive, scores[1].n, negative, scores[0].n));
    else sqlite3_result_error_nomem(context);
    mem_free(negative);
    mem_free(positive);
}

static void scores_final(sqlite3_context *context) {
    const ScoreFunction *f = sqlite3_user_data(context);
    Queue *scores = sqlite3_aggregate_context(context, 0);
    if (!scores) return;
    result_number(context,
        f->metric(queue_records(&scores[1], sizeof(double)), scores[1].n,
            queue_records(&scores[0], sizeof(double)), scores[0].n));
    queue_clear(&scores[0]);
    queue_clear(&scores[1]);
}

/* ---- of parts: (scored), what rec_scored made of each part ---- */

static void parts_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const SampleFunction *f = sqlite3_user_data(context);
    SampleRows *rows = sqlite3_aggregate_context(context, sizeof *rows);
    Sample *part = NULL;
    size_t n = 0;
    Err err = {0};
    (void)argc;
    if (!rows) {
        sqlite3_result_error_nomem(context);
        return;
    }
    Status status = scored_read(argv[0], &part, &n, &err);
    for (size_t i = 0; i < n && status == ST_OK; i++)
        if (!queue_push(&rows->rows, &part[i], sizeof part[i]))
            status = fail_nomem(&err, "the scores");
    if (status != ST_OK) sql_function_error(context, f->name, status, &err);
    mem_free(part);
}

/* ---- rec_auc_approx(label, score) ---- */

static void ladder_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    /* two: negatives, positives */
    Ladder **ladder = sqlite3_aggregate_context(context, sizeof *ladder);
    int label;
    double score;
    (void)argc;
    if (ladder && !*ladder) *ladder = mem_zeros(2, sizeof **ladder);
    if (!ladder || !*ladder) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (take_scored(context, "rec_auc_approx", argv, &label, &score) == 1 &&
        !ladder_add(&(*ladder)[label], score))
        sqlite3_result_error_nomem(context);
}

static void ladder_final(sqlite3_context *context) {
    Ladder **ladder = sqlite3_aggregate_context(context, 0);
    Err err = {0};
    double area;
    if (!ladder || !*ladder) return;
    if (auc_of_ladders(&(*ladder)[1], &(*ladder)[0], &area, &err) == ST_OK)
        result_number(context, area);
    else sqlite3_result_error_nomem(context);
    ladder_clear(&(*ladder)[0]);
    ladder_clear(&(*ladder)[1]);
    mem_free(*ladder);
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
    static const Window window = {sums_step, sums_inverse, sums_result, sums_result};
    int code = SQLITE_OK;
    for (size_t i = 0; i < sizeof functions / sizeof *functions && !code; i++)
        for (int weight = 0; weight < 2 && !code; weight++)
            code = window_register(db, functions[i].name, 2 + functions[i].takes_beta + weight,
                &functions[i], &window);
    return code;
}

static int register_scores(sqlite3 *db) {
    static const ScoreFunction functions[] = {
        {"rec_auc", auc_of_scores}, {"rec_pr_auc", average_precision_of_scores}};
    static const Window window = {scores_step, scores_inverse, scores_value, scores_final};
    int code = sqlite3_create_function_v2(
        db, "rec_auc_approx", 2, FUNCTION_PURE, NULL, NULL, ladder_step, ladder_final, NULL);
    for (size_t i = 0; i < sizeof functions / sizeof *functions && !code; i++)
        code = window_register(db, functions[i].name, 2, &functions[i], &window);
    return code;
}

/* Without weights rec_auc and rec_pr_auc are register_scores's, of half the bytes a row. No name is
 * registered twice: to replace a function is an error while a statement runs (SELECT
 * load_extension(...)). */
static int pair_is_of_scores(const SampleFunction *function) {
    return function->takes_weight && function->result == RESULT_NUMBER;
}

int register_value_aggregates(sqlite3 *db) {
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
        {"rec_wasserstein", sample_wasserstein, WHICH_VALUE, NUMBER, NUMBER, 0, 0, 0,
            RESULT_NUMBER},
        {"rec_welch_t", NULL, WHICH_VALUE, NUMBER, NUMBER, 0, 0, 0, RESULT_WELCH},
        {"rec_mann_whitney", NULL, WHICH_VALUE, NUMBER, NUMBER, 0, 0, 0, RESULT_MANN_WHITNEY},
        {"rec_js", sample_js, TWO_COUNTS, COUNT, COUNT, 0, 0, 0, RESULT_NUMBER},
        {"rec_chi2", sample_chi2, TWO_COUNTS, COUNT, POSITIVE, 0, 0, 0, RESULT_NUMBER},
        {"rec_chi2_p", sample_chi2_p, TWO_COUNTS, COUNT, POSITIVE, 0, 0, 0, RESULT_NUMBER},
        {"rec_bootstrap", NULL, ONE_COUNT, NUMBER, NUMBER, 0, 1000, 2, RESULT_BOOTSTRAP},
    };
    static const Window window = {sample_step, sample_inverse, sample_value, sample_final};
    int code = register_sums(db);
    for (size_t i = 0; i < sizeof functions / sizeof *functions && !code; i++)
        for (int more = pair_is_of_scores(&functions[i]);
             more <= functions[i].takes_weight + functions[i].settings && !code; more++)
            code = window_register(
                db, functions[i].name, n_values(&functions[i]) + more, &functions[i], &window);
    for (size_t i = 0; i < sizeof functions / sizeof *functions && !code; i++)
        if (functions[i].takes_weight)
            code = sqlite3_create_function_v2(db, functions[i].name, 1, FUNCTION_PURE,
                (void *)(uintptr_t)&functions[i], NULL, parts_step, sample_final, NULL);
    return code ? code : register_scores(db);
}
