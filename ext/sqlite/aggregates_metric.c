/* Metric aggregates (docs/reference/metrics.md). No row, or nothing relevant, gives NULL. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../metrics/classification.h"
#include "../metrics/ranking.h"
#include "modules.h"

static void metric_error(sqlite3_context *context, const char *function, const char *text) {
    Err err = {0};
    fail(&err, ST_BADARG, "%s", text);
    glue_function_error(context, function, ST_BADARG, &err);
}

/* A number, not a text that only looks like none: 0 when the error was returned. */
static int metric_number(sqlite3_context *context, const char *function, const char *what, sqlite3_value *value, double *out) {
    int kind = sqlite3_value_numeric_type(value);
    *out = sqlite3_value_double(value);
    if ((kind == SQLITE_INTEGER || kind == SQLITE_FLOAT) && isfinite(*out)) return 1;
    char text[100];
    sqlite3_snprintf(sizeof text, text, "%s must be a finite number", what);
    metric_error(context, function, text);
    return 0;
}

/* ---- ranking: (rank, relevance, k [, variant]) ---- */

typedef struct RankingFunction {
    const char *name;
    RankingMetric metric;
    const char *variant; /* the word allowed as a fourth argument, or NULL */
} RankingFunction;

typedef struct RankingState {
    Relevant *item;
    size_t n;
    size_t capacity;
    sqlite3_int64 k;
    int variant;
    int failed;
} RankingState;

static int read_setting(sqlite3_context *context, const RankingFunction *function, RankingState *state, int argc, sqlite3_value **argv) {
    if (sqlite3_value_numeric_type(argv[2]) != SQLITE_INTEGER || sqlite3_value_int64(argv[2]) < 1) {
        metric_error(context, function->name, "k must be a whole number, 1 or more");
        return 0;
    }
    state->k = sqlite3_value_int64(argv[2]);
    if (argc < 4) return 1;
    const char *word = (const char *)sqlite3_value_text(argv[3]);
    if (word && function->variant && strcmp(word, function->variant) == 0) {
        state->variant = 1;
        return 1;
    }
    char text[100];
    sqlite3_snprintf(sizeof text, text, "the fourth argument may be '%s'", function->variant ? function->variant : "");
    metric_error(context, function->name, text);
    return 0;
}

static void ranking_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const RankingFunction *function = sqlite3_user_data(context);
    RankingState *state = sqlite3_aggregate_context(context, sizeof *state);
    if (!state) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (state->failed) return;
    state->failed = 1; /* until this row is through */
    if (!read_setting(context, function, state, argc, argv)) return;
    double gain = 0;
    int ranked = sqlite3_value_type(argv[0]) != SQLITE_NULL;
    if (sqlite3_value_type(argv[1]) != SQLITE_NULL && !metric_number(context, function->name, "relevance", argv[1], &gain)) return;
    if (gain < 0) {
        metric_error(context, function->name, "relevance must be 0 or more");
        return;
    }
    if (ranked && (sqlite3_value_numeric_type(argv[0]) != SQLITE_INTEGER || sqlite3_value_int64(argv[0]) < 1)) {
        metric_error(context, function->name, "rank must be a whole number, 1 or more, or NULL for a missed item");
        return;
    }
    if (gain > 0) {
        if (state->n == state->capacity) {
            size_t capacity = state->capacity * 2 + 32;
            Relevant *grown = mem_resize(state->item, capacity, sizeof *grown);
            if (!grown) {
                sqlite3_result_error_nomem(context);
                return;
            }
            state->item = grown;
            state->capacity = capacity;
        }
        state->item[state->n++] = (Relevant){ranked ? sqlite3_value_int64(argv[0]) : 0, gain};
    }
    state->failed = 0;
}

static void ranking_final(sqlite3_context *context) {
    const RankingFunction *function = sqlite3_user_data(context);
    RankingState *state = sqlite3_aggregate_context(context, 0);
    if (!state) return;
    if (!state->failed && state->n) sqlite3_result_double(context, ranking_metric(function->metric, state->item, state->n, state->k, state->variant));
    mem_free(state->item);
}

/* ---- rec_rrf(rank [, c]): sum of 1 / (c + rank), c = 60 (Cormack, Clarke and Buettcher 2009) ---- */

typedef struct Sum {
    double sum;
    double extra;
    sqlite3_int64 n;
    int failed;
} Sum;

static void rrf_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Sum *state = sqlite3_aggregate_context(context, sizeof *state);
    double c = 60, rank;
    if (!state || sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    if (argc > 1 && !metric_number(context, "rec_rrf", "the constant", argv[1], &c)) return;
    if (!metric_number(context, "rec_rrf", "rank", argv[0], &rank)) return;
    if (rank < 1 || c < 0) {
        metric_error(context, "rec_rrf", "rank must be 1 or more, and the constant 0 or more");
        return;
    }
    state->sum += 1 / (c + rank);
    state->n++;
}

static void rrf_final(sqlite3_context *context) {
    const Sum *state = sqlite3_aggregate_context(context, 0);
    if (state && state->n) sqlite3_result_double(context, state->sum);
}

/* ---- rec_rmse(actual, predicted) ---- */

static void rmse_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Sum *state = sqlite3_aggregate_context(context, sizeof *state);
    (void)argc;
    if (!state || sqlite3_value_type(argv[0]) == SQLITE_NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL) return;
    double actual, predicted;
    if (!metric_number(context, "rec_rmse", "the actual value", argv[0], &actual)) return;
    if (!metric_number(context, "rec_rmse", "the predicted value", argv[1], &predicted)) return;
    double error = actual - predicted;
    /* Kahan's compensation: long columns keep their last digits */
    double y = error * error - state->extra, t = state->sum + y;
    state->extra = (t - state->sum) - y;
    state->sum = t;
    state->n++;
}

static void rmse_final(sqlite3_context *context) {
    const Sum *state = sqlite3_aggregate_context(context, 0);
    if (state && state->n) sqlite3_result_double(context, sqrt(state->sum / (double)state->n));
}

/* ---- rec_auc(label, score) ---- */

typedef struct AucState {
    Labelled *item;
    size_t n;
    size_t capacity;
} AucState;

static void auc_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    AucState *state = sqlite3_aggregate_context(context, sizeof *state);
    (void)argc;
    if (!state) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL) return;
    double label, score;
    if (!metric_number(context, "rec_auc", "label", argv[0], &label)) return;
    if (!metric_number(context, "rec_auc", "score", argv[1], &score)) return;
    if (label != 0 && label != 1) {
        metric_error(context, "rec_auc", "label must be 0 or 1");
        return;
    }
    if (state->n == state->capacity) {
        size_t capacity = state->capacity * 2 + 64;
        Labelled *grown = mem_resize(state->item, capacity, sizeof *grown);
        if (!grown) {
            sqlite3_result_error_nomem(context);
            return;
        }
        state->item = grown;
        state->capacity = capacity;
    }
    state->item[state->n++] = (Labelled){score, label == 1};
}

static void auc_final(sqlite3_context *context) {
    AucState *state = sqlite3_aggregate_context(context, 0);
    if (!state) return;
    double value = auc(state->item, state->n);
    if (!isnan(value)) sqlite3_result_double(context, value);
    mem_free(state->item);
}

/* ---- rec_coverage(item, catalogue): distinct items / size of the catalogue ---- */

typedef struct CoverageState {
    KeyMap *items;
    double catalogue;
} CoverageState;

static void coverage_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    CoverageState *state = sqlite3_aggregate_context(context, sizeof *state);
    char buffer[32];
    Key key;
    int32_t id;
    (void)argc;
    if (!state || (!state->items && !(state->items = keymap_new()))) {
        sqlite3_result_error_nomem(context);
        return;
    }
    state->catalogue = sqlite3_value_double(argv[1]);
    if (!(state->catalogue >= 1) || !isfinite(state->catalogue)) {
        metric_error(context, "rec_coverage", "the catalogue's size must be 1 or more");
        return;
    }
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    if (!glue_key(argv[0], AFFINITY_NONE, buffer, &key))
        metric_error(context, "rec_coverage", "an item is an integer or a text");
    else if (keymap_add(state->items, key, &id, NULL) != ST_OK)
        sqlite3_result_error_nomem(context);
}

static void coverage_final(sqlite3_context *context) {
    CoverageState *state = sqlite3_aggregate_context(context, 0);
    if (!state || !state->items) return;
    if (state->catalogue >= 1) sqlite3_result_double(context, (double)keymap_count(state->items) / state->catalogue);
    keymap_free(state->items);
}

typedef void (*Step)(sqlite3_context *, int, sqlite3_value **);
typedef void (*Final)(sqlite3_context *);

static int aggregate(sqlite3 *db, const char *name, int arguments, const void *data, Step step, Final final) {
    return sqlite3_create_function_v2(db, name, arguments, FUNCTION_PURE, (void *)(uintptr_t)data, NULL, step, final, NULL);
}

int register_metric_aggregates(sqlite3 *db) {
    static const RankingFunction ranking[] = {
        {"rec_precision", METRIC_PRECISION, NULL}, {"rec_recall", METRIC_RECALL, NULL}, {"rec_hit", METRIC_HIT, NULL},
        {"rec_rr", METRIC_RR, NULL},               {"rec_ap", METRIC_AP, "trec"},       {"rec_ndcg", METRIC_NDCG, "exponential"},
    };
    int code = SQLITE_OK;
    for (size_t i = 0; i < sizeof ranking / sizeof *ranking && !code; i++) {
        code = aggregate(db, ranking[i].name, 3, &ranking[i], ranking_step, ranking_final);
        if (!code && ranking[i].variant) code = aggregate(db, ranking[i].name, 4, &ranking[i], ranking_step, ranking_final);
    }
    if (!code) code = aggregate(db, "rec_rrf", 1, NULL, rrf_step, rrf_final);
    if (!code) code = aggregate(db, "rec_rrf", 2, NULL, rrf_step, rrf_final);
    if (!code) code = aggregate(db, "rec_rmse", 2, NULL, rmse_step, rmse_final);
    if (!code) code = aggregate(db, "rec_auc", 2, NULL, auc_step, auc_final);
    if (!code) code = aggregate(db, "rec_coverage", 2, NULL, coverage_step, coverage_final);
    return code;
}
