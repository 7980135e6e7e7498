/* What several lists make together, and how varied lists are (docs/reference/metrics.md): rec_rrf,
 * rec_coverage, rec_diversity, rec_personalization. */
#include <math.h>
#include <string.h>

#include "../../base/keymap.h"
#include "../../base/memory.h"
#include "../../base/queue.h"
#include "../../metrics/lists.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "function.h"

/* ---- rec_rrf(rank [, c]): sum of 1 / (c + rank), c = 60 (Cormack, Clarke and Buettcher 2009)
 * ---- */

typedef struct FusedRanks {
    double sum;
    sqlite3_int64 n;
} FusedRanks;

static void rrf_row(sqlite3_context *context, int argc, sqlite3_value **argv, int sign) {
    FusedRanks *state = sqlite3_aggregate_context(context, sizeof *state);
    double c = 60, rank;
    if (!state || sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    if (argc > 1 && !function_number(context, "rec_rrf", "the constant", NUMBER, argv[1], &c))
        return;
    if (!function_number(context, "rec_rrf", "rank", NUMBER, argv[0], &rank)) return;
    if (rank < 1 || c < 0) {
        function_error(context, "rec_rrf", "rank must be 1 or more, and the constant 0 or more");
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
    const FusedRanks *state = sqlite3_aggregate_context(context, 0);
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
        function_error(context, "rec_coverage", "the catalogue's size must be 1 or more");
        return NULL;
    }
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return NULL;
    if (!value_key(argv[0], AFFINITY_NONE, buffer, &key)) {
        function_error(context, "rec_coverage", "an item is an integer or a text");
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
    sqlite3_result_double(context, mean_unlikeness(square, state->unit, state->n));
}

static void diversity_final(sqlite3_context *context) {
    DiversityState *state = sqlite3_aggregate_context(context, 0);
    diversity_value(context);
    if (state) mem_free(state->sum);
}

/* ---- rec_personalization(user, item): 1 - mean over pairs of users of |A and B| / sqrt(|A| |B|)
 * ---- */

typedef struct PersonalState {
    KeyMap *users, *items;
    Queue entries; /* ListEntry */
} PersonalState;

/* 1: two keys; 0: it counts for nothing; -1: an error was returned. */
static int take_keys(sqlite3_context *context, sqlite3_value **argv, char buffer[2 * KEY_BUFFER],
    Key *user, Key *item) {
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL)
        return 0;
    if (value_key(argv[0], AFFINITY_NONE, buffer, user) &&
        value_key(argv[1], AFFINITY_NONE, buffer + KEY_BUFFER, item))
        return 1;
    function_error(context, "rec_personalization", "users and items are integers or texts");
    return -1;
}

static void personal_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    PersonalState *state = sqlite3_aggregate_context(context, sizeof *state);
    char buffer[2 * KEY_BUFFER];
    Key user, item;
    ListEntry entry;
    (void)argc;
    if (state && !state->users) state->users = keymap_new();
    if (state && !state->items) state->items = keymap_new();
    if (!state || !state->users || !state->items) sqlite3_result_error_nomem(context);
    else if (take_keys(context, argv, buffer, &user, &item) == 1 &&
        (keymap_add(state->users, user, &entry.user, NULL) != ST_OK ||
            keymap_add(state->items, item, &entry.item, NULL) != ST_OK ||
            !queue_push(&state->entries, &entry, sizeof entry)))
        sqlite3_result_error_nomem(context);
}

static void personal_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    PersonalState *state = sqlite3_aggregate_context(context, sizeof *state);
    char buffer[2 * KEY_BUFFER];
    Key user, item;
    (void)argc;
    if (state && take_keys(context, argv, buffer, &user, &item) == 1) queue_drop(&state->entries);
}

static void personal_value(sqlite3_context *context) {
    const PersonalState *state = sqlite3_aggregate_context(context, 0);
    if (!state || !state->entries.n) return;
    double *sum = mem_zeros((size_t)keymap_count(state->items), sizeof *sum);
    ListEntry *row = queue_copy(&state->entries, sizeof *row);
    double value = sum && row ? personalization(row, state->entries.n, sum) : NAN;
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
    queue_clear(&state->entries);
}

int register_list_aggregates(sqlite3 *db) {
    static const Window rrf = {rrf_step, rrf_inverse, rrf_value, rrf_value},
                        coverage = {coverage_step, coverage_inverse, coverage_value,
                            coverage_final},
                        diversity = {diversity_step, diversity_inverse, diversity_value,
                            diversity_final},
                        personal = {
                            personal_step, personal_inverse, personal_value, personal_final};
    int code = window_register(db, "rec_rrf", 1, NULL, &rrf);
    if (!code) code = window_register(db, "rec_rrf", 2, NULL, &rrf);
    if (!code) code = window_register(db, "rec_coverage", 2, NULL, &coverage);
    if (!code) code = window_register(db, "rec_diversity", 1, NULL, &diversity);
    if (!code) code = window_register(db, "rec_personalization", 2, NULL, &personal);
    return code;
}
