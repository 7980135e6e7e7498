/* Metrics of one ranked list (docs/reference/metrics.md): aggregates over its rows. No row, or
 * nothing relevant, gives NULL. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/queue.h"
#include "../../metrics/ranking.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "function.h"

/* ---- ranking: (rank, relevance, k [, variant]) ---- */

typedef struct RankingFunction {
    const char *name;
    RankingMetric metric;
    /* the words allowed as a fourth argument: variants 1 and 2; NULL: none */
    const char *variant[2];
} RankingFunction;

typedef struct RankingState {
    Queue items; /* Relevant: the relevant rows */
    sqlite3_int64 k;
    int variant;
    int failed;
} RankingState;

static int take_k(
    sqlite3_context *context, const char *function, sqlite3_value *value, sqlite3_int64 *out) {
    *out = sqlite3_value_int64(value);
    if (sqlite3_value_numeric_type(value) == SQLITE_INTEGER && *out >= 1) return 1;
    function_error(context, function, "k must be a whole number, 1 or more");
    return 0;
}

static int read_setting(sqlite3_context *context, const RankingFunction *function,
    RankingState *state, int argc, sqlite3_value **argv) {
    if (argc < 3) return 1; /* rec_r_precision */
    if (!take_k(context, function->name, argv[2], &state->k)) return 0;
    if (argc < 4) return 1;
    const char *word = value_text(argv[3]);
    for (int v = 0; v < 2; v++)
        if (word && function->variant[v] && strcmp(word, function->variant[v]) == 0) {
            state->variant = v + 1;
            return 1;
        }
    char text[100];
    sqlite3_snprintf(sizeof text, text,
        function->variant[1] ? "the fourth argument may be '%s' or '%s'"
                             : "the fourth argument may be '%s'",
        function->variant[0], function->variant[1]);
    function_error(context, function->name, text);
    return 0;
}

/* 1: a relevant row; 0: it counts for nothing; -1: an error was returned. */
static int take_ranked(
    sqlite3_context *context, const char *function, sqlite3_value **argv, Relevant *out) {
    int ranked = sqlite3_value_type(argv[0]) != SQLITE_NULL;
    *out = (Relevant){0, 0};
    if (sqlite3_value_type(argv[1]) != SQLITE_NULL &&
        !function_number(context, function, "relevance", NUMBER, argv[1], &out->gain))
        return -1;
    if (out->gain < 0) {
        function_error(context, function, "relevance must be 0 or more");
        return -1;
    }
    if (ranked &&
        (sqlite3_value_numeric_type(argv[0]) != SQLITE_INTEGER ||
            sqlite3_value_int64(argv[0]) < 1)) {
        function_error(
            context, function, "rank must be a whole number, 1 or more, or NULL for a missed item");
        return -1;
    }
    out->rank = ranked ? sqlite3_value_int64(argv[0]) : 0;
    return out->gain > 0;
}

static void ranking_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const RankingFunction *function = sqlite3_user_data(context);
    RankingState *state = sqlite3_aggregate_context(context, sizeof *state);
    Relevant item;
    if (!state) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (state->failed) return;
    state->failed = 1; /* until this row is through */
    if (!read_setting(context, function, state, argc, argv)) return;
    int relevant = take_ranked(context, function->name, argv, &item);
    if (relevant == 1 && !queue_push(&state->items, &item, sizeof item)) {
        sqlite3_result_error_nomem(context);
        return;
    }
    state->failed = relevant < 0;
}

static void ranking_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    const RankingFunction *function = sqlite3_user_data(context);
    RankingState *state = sqlite3_aggregate_context(context, sizeof *state);
    Relevant item;
    (void)argc;
    if (state && take_ranked(context, function->name, argv, &item) == 1) queue_drop(&state->items);
}

/* Hands the value of the items over, in whatever order they are left. */
static void ranking_result(sqlite3_context *context, const RankingFunction *function,
    const RankingState *state, Relevant *item) {
    int64_t twin = ranking_twin(item, state->items.n);
    char text[120];
    if (!twin) {
        sqlite3_result_double(context,
            ranking_metric(function->metric, item, state->items.n, state->k, state->variant));
        return;
    }
    sqlite3_snprintf(sizeof text, text,
        "two relevant rows have rank %lld: give the rows of one list (GROUP BY user)", twin);
    function_error(context, function->name, text);
}

/* A copy, for the metric brings the items into another order. */
static void ranking_value(sqlite3_context *context) {
    const RankingFunction *function = sqlite3_user_data(context);
    const RankingState *state = sqlite3_aggregate_context(context, 0);
    if (!state || state->failed || !state->items.n) return;
    Relevant *item = queue_copy(&state->items, sizeof *item);
    if (item) ranking_result(context, function, state, item);
    else sqlite3_result_error_nomem(context);
    mem_free(item);
}

static void ranking_final(sqlite3_context *context) {
    const RankingFunction *function = sqlite3_user_data(context);
    RankingState *state = sqlite3_aggregate_context(context, 0);
    if (!state) return;
    if (!state->failed && state->items.n)
        ranking_result(context, function, state, queue_records(&state->items, sizeof(Relevant)));
    queue_clear(&state->items);
}

/* ---- rec_serendipity(rank, relevance, expected_rank, k): relevant items of the first k that are
 * not of the expected list's first k / k (Ge et al. 2010) ---- */

typedef struct SurpriseState {
    sqlite3_int64 surprises, relevant, k;
} SurpriseState;

static void surprise_row(sqlite3_context *context, sqlite3_value **argv, int sign) {
    SurpriseState *state = sqlite3_aggregate_context(context, sizeof *state);
    Relevant item;
    int has_expected = sqlite3_value_type(argv[2]) != SQLITE_NULL;
    if (!state) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (!take_k(context, "rec_serendipity", argv[3], &state->k) ||
        take_ranked(context, "rec_serendipity", argv, &item) != 1)
        return;
    if (has_expected &&
        (sqlite3_value_numeric_type(argv[2]) != SQLITE_INTEGER ||
            sqlite3_value_int64(argv[2]) < 1)) {
        function_error(context, "rec_serendipity",
            "the expected rank must be a whole number, 1 or more, or NULL where the expected list "
            "does not have the item");
        return;
    }
    state->relevant += sign;
    if (item.rank && item.rank <= state->k &&
        !(has_expected && sqlite3_value_int64(argv[2]) <= state->k))
        state->surprises += sign;
}

static void surprise_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    surprise_row(context, argv, 1);
}

static void surprise_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    surprise_row(context, argv, -1);
}

static void surprise_value(sqlite3_context *context) {
    const SurpriseState *state = sqlite3_aggregate_context(context, 0);
    if (state && state->relevant)
        sqlite3_result_double(context, (double)state->surprises / (double)state->k);
}

int register_ranking_aggregates(sqlite3 *db) {
    static const RankingFunction ranking[] = {
        {"rec_precision", METRIC_PRECISION, {NULL}},
        {"rec_recall", METRIC_RECALL, {"capped"}},
        {"rec_hit", METRIC_HIT, {NULL}},
        {"rec_rr", METRIC_RR, {NULL}},
        {"rec_ap", METRIC_AP, {"trec"}},
        {"rec_ndcg", METRIC_NDCG, {"exponential", "full"}},
    };
    static const RankingFunction r_precision = {"rec_r_precision", METRIC_R_PRECISION, {NULL}};
    static const Window ranks = {ranking_step, ranking_inverse, ranking_value, ranking_final},
                        surprise = {
                            surprise_step, surprise_inverse, surprise_value, surprise_value};
    int code = window_register(db, r_precision.name, 2, &r_precision, &ranks);
    for (size_t i = 0; i < sizeof ranking / sizeof *ranking && !code; i++) {
        code = window_register(db, ranking[i].name, 3, &ranking[i], &ranks);
        if (!code && ranking[i].variant[0])
            code = window_register(db, ranking[i].name, 4, &ranking[i], &ranks);
    }
    return code ? code : window_register(db, "rec_serendipity", 4, NULL, &surprise);
}
