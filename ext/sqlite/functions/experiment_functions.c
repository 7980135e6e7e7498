/* Experiments and splits: rec_ab_test, rec_sequential_p, rec_sample_size, rec_bucket
 * (docs/reference/metrics.md). */
#include <math.h>
#include <string.h>

#include "../../metrics/special.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "function.h"

static void error(sqlite3_context *context, const char *text) {
    function_error(context, sqlite3_user_data(context), text);
}

/* Numbers without NULL; 0: the result is NULL or an error. */
static int take_numbers(sqlite3_context *context, int argc, sqlite3_value **argv, double *out) {
    for (int i = 0; i < argc; i++) {
        int type = sqlite3_value_numeric_type(argv[i]);
        if (type == SQLITE_NULL) return 0;
        out[i] = sqlite3_value_double(argv[i]);
        if ((type == SQLITE_INTEGER || type == SQLITE_FLOAT) && isfinite(out[i])) continue;
        error(context, "the arguments must be finite numbers");
        return 0;
    }
    return 1;
}

/* (successes_a, n_a, successes_b, n_b) */
static int take_groups(sqlite3_context *context, int argc, sqlite3_value **argv, double *out) {
    if (!take_numbers(context, argc, argv, out)) return 0;
    for (int group = 0; group < 2; group++)
        if (out[2 * group + 1] <= 0 || out[2 * group] < 0 || out[2 * group] > out[2 * group + 1]) {
            error(context, "a group has n above 0 and 0 to n successes");
            return 0;
        }
    return 1;
}

/* Pooled two-proportion z test, two-sided; 95 % Wald interval of the difference. */
static void ab_test(sqlite3_context *context, int argc, sqlite3_value **argv) {
    double x[4];
    if (!take_groups(context, argc, argv, x)) return;
    double a = x[0] / x[1], b = x[2] / x[3], pooled = (x[0] + x[2]) / (x[1] + x[3]);
    double spread = sqrt(pooled * (1 - pooled) * (1 / x[1] + 1 / x[3])),
           wald = sqrt(a * (1 - a) / x[1] + b * (1 - b) / x[3]);
    if (spread <= 0) return; /* nobody or everybody succeeded: no test */
    double z = (b - a) / spread, half = normal_quantile(.975) * wald;
    char *json = sqlite3_mprintf(
        "{\"difference\":%!.17g,\"z\":%!.17g,\"p\":%!.17g,\"low\":%!.17g,\"high\":%!.17g}", b - a,
        z, 2 * normal_upper(fabs(z)), b - a - half, b - a + half);
    if (json) sqlite3_result_text(context, json, -1, sqlite3_free);
    else sqlite3_result_error_nomem(context);
}

/* Always-valid p-value of the mixture sequential probability ratio test (Johari, Pekelis and Walsh
 * 2017): look as often as you like. tau: the spread of the differences that are expected. */
static void sequential_p(sqlite3_context *context, int argc, sqlite3_value **argv) {
    double x[5] = {0, 0, 0, 0, .02};
    if (!take_numbers(context, argc, argv, x) || !take_groups(context, 4, argv, x)) return;
    if (x[4] <= 0) {
        error(context, "tau must be above 0");
        return;
    }
    double difference = x[2] / x[3] - x[0] / x[1], pooled = (x[0] + x[2]) / (x[1] + x[3]);
    double variance = pooled * (1 - pooled) * (1 / x[1] + 1 / x[3]), square = x[4] * x[4];
    if (variance <= 0) {
        sqlite3_result_double(context, 1);
        return;
    }
    double log_ratio = .5 * log(variance / (variance + square)) +
        square * difference * difference / (2 * variance * (variance + square));
    sqlite3_result_double(context, fmin(1, exp(-log_ratio)));
}

/* Rows per group of a two-sided test of two proportions (Fleiss, Levin and Paik 2003). */
static void sample_size(sqlite3_context *context, int argc, sqlite3_value **argv) {
    double x[4] = {0, 0, .05, .8};
    if (!take_numbers(context, argc, argv, x)) return;
    double first = x[0], second = x[0] + x[1], middle = (first + second) / 2;
    if (!(first > 0 && first < 1 && second > 0 && second < 1 && x[1] != 0 && x[2] > 0 && x[2] < 1 &&
            x[3] > 0 && x[3] < 1)) {
        error(context,
            "rate and rate + difference must be between 0 and 1, the difference not 0, alpha and "
            "power between 0 and 1");
        return;
    }
    double root = normal_quantile(1 - x[2] / 2) * sqrt(2 * middle * (1 - middle)) +
        normal_quantile(x[3]) * sqrt(first * (1 - first) + second * (1 - second));
    double rows = ceil(root * root / (x[1] * x[1]));
    if (rows < 9e15) sqlite3_result_int64(context, (sqlite3_int64)rows);
}

static void bucket(sqlite3_context *context, int argc, sqlite3_value **argv) {
    uint64_t hash;
    char buffer[KEY_BUFFER];
    Key key;
    (void)argc;
    for (int i = 0; i < 3; i++)
        if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return;
    if (!value_key(argv[0], AFFINITY_NONE, buffer, &key)) {
        error(context, "the key must be an integer or a text");
        return;
    }
    if (sqlite3_value_numeric_type(argv[1]) != SQLITE_INTEGER ||
        sqlite3_value_numeric_type(argv[2]) != SQLITE_INTEGER || sqlite3_value_int64(argv[2]) < 1) {
        error(context, "seed and n must be whole numbers, n 1 or more");
        return;
    }
    if (key_bucket_hash(key, (uint64_t)sqlite3_value_int64(argv[1]), &hash))
        sqlite3_result_int64(
            context, (sqlite3_int64)(hash % (uint64_t)sqlite3_value_int64(argv[2])));
    else sqlite3_result_error_nomem(context);
}

int register_experiment_functions(sqlite3 *db) {
    static const ScalarFunction functions[] = {{"rec_ab_test", 4, 4, ab_test},
        {"rec_sequential_p", 4, 5, sequential_p}, {"rec_sample_size", 2, 4, sample_size},
        {"rec_bucket", 3, 3, bucket}};
    return scalars_register(db, functions, sizeof functions / sizeof *functions);
}
