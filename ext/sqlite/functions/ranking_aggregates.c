/* Metric aggregates (docs/reference/metrics.md). No row, or nothing relevant, gives NULL. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/queue.h"
#include "../../metrics/ranking.h"
#include "../host/parts.h"
#include "../host/values.h"

static void metric_error(sqlite3_context *context, const char *function, const char *text) {
    Err err = {0};
    fail(&err, ST_BADARG, "%s", text);
    sql_function_error(context, function, ST_BADARG, &err);
}

/* A number, not a text that only looks like none: 0 when the error was returned. */
static int metric_number(sqlite3_context *context, const char *function, const char *what,
    sqlite3_value *value, double *out) {
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
    metric_error(context, function, "k must be a whole number, 1 or more");
    return 0;
}

static int read_setting(sqlite3_context *context, const RankingFunction *function,
    RankingState *state, int argc, sqlite3_value **argv) {
    if (argc < 3) return 1; /* rec_r_precision */
    if (!take_k(context, function->name, argv[2], &state->k)) return 0;
    if (argc < 4) return 1;
    const char *word = (const char *)sqlite3_value_text(argv[3]);
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
    metric_error(context, function->name, text);
    return 0;
}

/* 1: a relevant row; 0: it counts for nothing; -1: an error was returned. */
static int take_ranked(
    sqlite3_context *context, const char *function, sqlite3_value **argv, Relevant *out) {
    int ranked = sqlite3_value_type(argv[0]) != SQLITE_NULL;
    *out = (Relevant){0, 0};
    if (sqlite3_value_type(argv[1]) != SQLITE_NULL &&
        !metric_number(context, function, "relevance", argv[1], &out->gain))
        return -1;
    if (out->gain < 0) {
        metric_error(context, function, "relevance must be 0 or more");
        return -1;
    }
    if (ranked &&
        (sqlite3_value_numeric_type(argv[0]) != SQLITE_INTEGER ||
            sqlite3_value_int64(argv[0]) < 1)) {
        metric_error(
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
    metric_error(context, function->name, text);
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
        metric_error(context, "rec_serendipity",
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

/* ---- rec_rrf(rank [, c]): sum of 1 / (c + rank), c = 60 (Cormack, Clarke and Buettcher 2009)
 * ---- */

typedef struct Fused {
    double sum;
    sqlite3_int64 n;
} Fused;

static void rrf_row(sqlite3_context *context, int argc, sqlite3_value **argv, int sign) {
    Fused *state = sqlite3_aggregate_context(context, sizeof *state);
    double c = 60, rank;
    if (!state || sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    if (argc > 1 && !metric_number(context, "rec_rrf", "the constant", argv[1], &c)) return;
    if (!metric_number(context, "rec_rrf", "rank", argv[0], &rank)) return;
    if (rank < 1 || c < 0) {
        metric_error(context, "rec_rrf", "rank must be 1 or more, and the constant 0 or more");
        return;
    }
    state->sum += sign / (c + rank);
    state->n += sign;
}

static void rrf_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    rrf_row(context, argc, argv, 1);
}

static void rrf_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    rrf_row(context, argc, argv, -1);
}

static void rrf_value(sqlite3_context *context) {
    const Fused *state = sqlite3_aggregate_context(context, 0);
    if (state && state->n) sqlite3_result_double(context, state->sum);
}

/* ---- rec_coverage(item, catalogue): distinct items / size of the catalogue ---- */

typedef struct CoverageState {
    KeyMap *items;
    Queue times; /* int64_t per item: its rows */
    double catalogue;
    sqlite3_int64 rows, distinct;
} CoverageState;

/* The item's number of rows, or NULL: none, or an error was returned. */
static int64_t *coverage_place(
    sqlite3_context *context, CoverageState *state, sqlite3_value **argv) {
    char buffer[KEY_BUFFER];
    Key key;
    int32_t id;
    int64_t none = 0;
    if (!state || (!state->items && !(state->items = keymap_new()))) {
        sqlite3_result_error_nomem(context);
        return NULL;
    }
    state->catalogue = sqlite3_value_double(argv[1]);
    if (!(state->catalogue >= 1) || !isfinite(state->catalogue)) {
        metric_error(context, "rec_coverage", "the catalogue's size must be 1 or more");
        return NULL;
    }
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return NULL;
    if (!value_key(argv[0], AFFINITY_NONE, buffer, &key)) {
        metric_error(context, "rec_coverage", "an item is an integer or a text");
        return NULL;
    }
    if (keymap_add(state->items, key, &id, NULL) == ST_OK &&
        ((size_t)id < state->times.n || queue_push(&state->times, &none, sizeof none)))
        return (int64_t *)queue_records(&state->times, sizeof none) + id;
    sqlite3_result_error_nomem(context);
    return NULL;
}

static void coverage_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    CoverageState *state = sqlite3_aggregate_context(context, sizeof *state);
    int64_t *times = coverage_place(context, state, argv);
    (void)argc;
    if (state) state->rows++;
    if (times) state->distinct += (*times)++ == 0;
}

static void coverage_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    CoverageState *state = sqlite3_aggregate_context(context, sizeof *state);
    int64_t *times = coverage_place(context, state, argv);
    (void)argc;
    if (state) state->rows--;
    if (times) state->distinct -= --*times == 0;
}

static void coverage_value(sqlite3_context *context) {
    const CoverageState *state = sqlite3_aggregate_context(context, 0);
    if (state && state->rows && state->catalogue >= 1)
        sqlite3_result_double(context, (double)state->distinct / state->catalogue);
}

static void coverage_final(sqlite3_context *context) {
    CoverageState *state = sqlite3_aggregate_context(context, 0);
    coverage_value(context);
    if (!state) return;
    keymap_free(state->items);
    queue_clear(&state->times);
}

/* ---- rec_diversity(vector): mean over pairs of 1 - cosine, from the sum of the unit vectors
 * ---- */

typedef struct DiversityState {
    double *sum;
    int dim;
    double n, unit; /* vectors; those that are not 0 */
} DiversityState;

static void diversity_row(sqlite3_context *context, sqlite3_value **argv, int sign) {
    DiversityState *state = sqlite3_aggregate_context(context, sizeof *state);
    const float *vector;
    float *owned = NULL;
    int dim;
    Err err = {0};
    if (!state) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    Status status = value_vector(argv[0], &vector, &dim, &owned, &err);
    if (status == ST_OK && !state->sum) {
        state->sum = mem_zeros((size_t)dim, sizeof *state->sum);
        state->dim = dim;
        if (!state->sum) status = fail_nomem(&err, "a vector");
    }
    if (status == ST_OK && dim != state->dim)
        status = fail(&err, ST_BADARG, "vectors of %d and %d elements", state->dim, dim);
    if (status == ST_OK) {
        double norm = 0;
        for (int i = 0; i < dim; i++) norm += (double)vector[i] * (double)vector[i];
        for (int i = 0; i < dim && norm > 0; i++)
            state->sum[i] += sign * (double)vector[i] / sqrt(norm);
        state->n += sign;
        state->unit += norm > 0 ? sign : 0;
    } else {
        sql_function_error(context, "rec_diversity", status, &err);
    }
    mem_free(owned);
}

static void diversity_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    diversity_row(context, argv, 1);
}

static void diversity_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    diversity_row(context, argv, -1);
}

static void diversity_value(sqlite3_context *context) {
    const DiversityState *state = sqlite3_aggregate_context(context, 0);
    double square = 0;
    if (!state || state->n < 2) return;
    for (int i = 0; i < state->dim; i++) square += state->sum[i] * state->sum[i];
    sqlite3_result_double(context, 1 - (square - state->unit) / (state->n * (state->n - 1)));
}

static void diversity_final(sqlite3_context *context) {
    DiversityState *state = sqlite3_aggregate_context(context, 0);
    diversity_value(context);
    if (state) mem_free(state->sum);
}

/* ---- rec_personalization(user, item): 1 - mean over pairs of users of |A and B| / sqrt(|A| |B|)
 * ---- */

typedef struct Listed {
    int32_t user, item;
} Listed;

typedef struct PersonalState {
    KeyMap *users, *items;
    Queue listed; /* Listed */
} PersonalState;

/* 1: two keys; 0: it counts for nothing; -1: an error was returned. */
static int take_keys(
    sqlite3_context *context, sqlite3_value **argv, char buffer[64], Key *user, Key *item) {
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL)
        return 0;
    if (value_key(argv[0], AFFINITY_NONE, buffer, user) &&
        value_key(argv[1], AFFINITY_NONE, buffer + KEY_BUFFER, item))
        return 1;
    metric_error(context, "rec_personalization", "users and items are integers or texts");
    return -1;
}

static void personal_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    PersonalState *state = sqlite3_aggregate_context(context, sizeof *state);
    char buffer[2 * KEY_BUFFER];
    Key user, item;
    Listed listed;
    (void)argc;
    if (state && !state->users) state->users = keymap_new();
    if (state && !state->items) state->items = keymap_new();
    if (!state || !state->users || !state->items) sqlite3_result_error_nomem(context);
    else if (take_keys(context, argv, buffer, &user, &item) == 1 &&
        (keymap_add(state->users, user, &listed.user, NULL) != ST_OK ||
            keymap_add(state->items, item, &listed.item, NULL) != ST_OK ||
            !queue_push(&state->listed, &listed, sizeof listed)))
        sqlite3_result_error_nomem(context);
}

static void personal_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    PersonalState *state = sqlite3_aggregate_context(context, sizeof *state);
    char buffer[2 * KEY_BUFFER];
    Key user, item;
    (void)argc;
    if (state && take_keys(context, argv, buffer, &user, &item) == 1) queue_drop(&state->listed);
}

static int by_user_and_item(const void *a, const void *b) {
    const Listed *x = a, *y = b;
    if (x->user != y->user) return x->user < y->user ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

/* With u's unit vector 1 / sqrt|A| at its items, the square of the sum of all is the users and
 * twice the pairs' overlaps. NaN for fewer than two users. */
static double personalization(Listed *row, size_t n, double *sum) {
    double square = 0, users = 0;
    size_t kept = 0;
    qsort(row, n, sizeof *row, by_user_and_item);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || by_user_and_item(&row[i], &row[kept - 1]) != 0) row[kept++] = row[i];
    for (size_t from = 0, to; from < kept; from = to, users++) {
        for (to = from; to < kept && row[to].user == row[from].user; to++) {}
        for (size_t i = from; i < to; i++) sum[row[i].item] += 1 / sqrt((double)(to - from));
    }
    for (size_t i = 0; i < kept; i++) { /* each item once */
        square += sum[row[i].item] * sum[row[i].item];
        sum[row[i].item] = 0;
    }
    return users < 2 ? NAN : 1 - (square - users) / (users * (users - 1));
}

static void personal_value(sqlite3_context *context) {
    const PersonalState *state = sqlite3_aggregate_context(context, 0);
    if (!state || !state->listed.n) return;
    double *sum = mem_zeros((size_t)keymap_count(state->items), sizeof *sum);
    Listed *row = queue_copy(&state->listed, sizeof *row);
    double value = sum && row ? personalization(row, state->listed.n, sum) : NAN;
    if (!sum || !row) sqlite3_result_error_nomem(context);
    else if (!isnan(value)) sqlite3_result_double(context, value);
    mem_free(sum);
    mem_free(row);
}

static void personal_final(sqlite3_context *context) {
    PersonalState *state = sqlite3_aggregate_context(context, 0);
    personal_value(context);
    if (!state) return;
    keymap_free(state->users);
    keymap_free(state->items);
    queue_clear(&state->listed);
}

/* The step and its inverse, the result and the end, which also frees. */
typedef struct Window {
    void (*step)(sqlite3_context *, int, sqlite3_value **);
    void (*inverse)(sqlite3_context *, int, sqlite3_value **);
    void (*value)(sqlite3_context *);
    void (*final)(sqlite3_context *);
} Window;

static int aggregate(
    sqlite3 *db, const char *name, int arguments, const void *data, const Window *w) {
    return sqlite3_create_window_function(db, name, arguments, FUNCTION_PURE,
        (void *)(uintptr_t)data, w->step, w->final, w->value, w->inverse, NULL);
}

int register_metric_aggregates(sqlite3 *db) {
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
                        rrf = {rrf_step, rrf_inverse, rrf_value, rrf_value},
                        coverage = {coverage_step, coverage_inverse, coverage_value,
                            coverage_final},
                        diversity = {diversity_step, diversity_inverse, diversity_value,
                            diversity_final},
                        personal = {personal_step, personal_inverse, personal_value,
                            personal_final},
                        surprise = {
                            surprise_step, surprise_inverse, surprise_value, surprise_value};
    int code = aggregate(db, r_precision.name, 2, &r_precision, &ranks);
    for (size_t i = 0; i < sizeof ranking / sizeof *ranking && !code; i++) {
        code = aggregate(db, ranking[i].name, 3, &ranking[i], &ranks);
        if (!code && ranking[i].variant[0])
            code = aggregate(db, ranking[i].name, 4, &ranking[i], &ranks);
    }
    if (!code) code = aggregate(db, "rec_serendipity", 4, NULL, &surprise);
    if (!code) code = aggregate(db, "rec_rrf", 1, NULL, &rrf);
    if (!code) code = aggregate(db, "rec_rrf", 2, NULL, &rrf);
    if (!code) code = aggregate(db, "rec_coverage", 2, NULL, &coverage);
    if (!code) code = aggregate(db, "rec_diversity", 1, NULL, &diversity);
    if (!code) code = aggregate(db, "rec_personalization", 2, NULL, &personal);
    return code;
}
