/* rec_vec_sum(v [, weight]) and rec_vec_avg(v [, weight]): also window functions. Rows with a NULL
 * vector or weight are left out; no row gives NULL. Sums are kept in float64. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../../base/memory.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "function.h"

typedef struct Sum {
    double *value; /* dim */
    int dim;
    double weight;
    /* how far rounding may have moved weight: of every number taken in or out, and of every sum */
    double doubt;
    int64_t rows;
} Sum;

/* Add sign * weight * v. */
static void add(sqlite3_context *context, int argc, sqlite3_value **argv, double sign) {
    const char *function = sqlite3_user_data(context);
    const float *v;
    float *owned;
    int dim;
    Err err = {0};

    if (sqlite3_value_type(argv[0]) == SQLITE_NULL ||
        (argc > 1 && sqlite3_value_type(argv[1]) == SQLITE_NULL))
        return;
    Sum *sum = sqlite3_aggregate_context(context, sizeof *sum);
    if (!sum) {
        sqlite3_result_error_nomem(context);
        return;
    }
    double weight = argc > 1 ? sqlite3_value_double(argv[1]) : 1;
    Status status = value_vector(argv[0], &v, &dim, &owned, &err);
    if (status == ST_OK && !isfinite(weight))
        status = fail(&err, ST_BADARG, "weight is not finite");
    if (status == ST_OK && sum->value && sum->dim != dim)
        status = fail(&err, ST_BADARG, "vectors of %d and %d elements", sum->dim, dim);
    if (status == ST_OK && !sum->value) {
        sum->value = mem_zeros((size_t)dim, sizeof *sum->value);
        sum->dim = dim;
        if (!sum->value) status = fail_nomem(&err, "a sum of vectors");
    }
    if (status == ST_OK) {
        for (int i = 0; i < dim; i++) sum->value[i] += sign * weight * (double)v[i];
        sum->weight += sign * weight;
        sum->doubt += DBL_EPSILON * (fabs(weight) + fabs(sum->weight));
        sum->rows += sign > 0 ? 1 : -1;
    } else {
        sql_function_error(context, function, status, &err);
    }
    mem_free(owned);
}

static void sum_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    add(context, argc, argv, 1);
}

static void sum_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    add(context, argc, argv, -1);
}

static void result(sqlite3_context *context, const Sum *sum, double divisor) {
    if (!sum || !sum->value || sum->rows == 0 || divisor == 0) return; /* NULL */
    float *out = sqlite3_malloc64((sqlite3_uint64)sum->dim * sizeof *out);
    if (!out) {
        sqlite3_result_error_nomem(context);
        return;
    }
    for (int i = 0; i < sum->dim; i++) {
        out[i] = (float)(sum->value[i] / divisor);
        if (isfinite(out[i])) continue;
        Err err = {0};
        fail(&err, ST_BADARG, "element %d of the result exceeds float32", i + 1);
        sql_function_error(context, sqlite3_user_data(context), ST_BADARG, &err);
        sqlite3_free(out);
        return;
    }
    sqlite3_result_blob64(context, out, (sqlite3_uint64)sum->dim * sizeof *out, sqlite3_free);
}

static void sum_value(sqlite3_context *context) {
    result(context, sqlite3_aggregate_context(context, 0), 1);
}

static void average_value(sqlite3_context *context) {
    const Sum *sum = sqlite3_aggregate_context(context, 0);
    /* .1 + .2 - .3 leaves a rounding error, and no weight to divide by. */
    result(context, sum, sum && fabs(sum->weight) > sum->doubt ? sum->weight : 0);
}

static void release(sqlite3_context *context) {
    Sum *sum = sqlite3_aggregate_context(context, 0);
    if (sum) mem_free(sum->value);
    if (sum) sum->value = NULL;
}

static void sum_final(sqlite3_context *context) {
    sum_value(context);
    release(context);
}

static void average_final(sqlite3_context *context) {
    average_value(context);
    release(context);
}

int register_vector_aggregates(sqlite3 *db) {
    static const char sum_name[] = "rec_vec_sum", average_name[] = "rec_vec_avg";
    static const Window sum = {sum_step, sum_inverse, sum_value, sum_final},
                        average = {sum_step, sum_inverse, average_value, average_final};
    int code = SQLITE_OK;
    for (int arguments = 1; arguments <= 2 && !code; arguments++) {
        code = window_register(db, sum_name, arguments, sum_name, &sum);
        if (!code) code = window_register(db, average_name, arguments, average_name, &average);
    }
    return code;
}
