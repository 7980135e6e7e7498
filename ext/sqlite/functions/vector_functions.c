/* Scalar functions over vectors (docs/reference/vectors.md). NULL in, NULL out; different
 * dimensions, NaN and infinity are errors. Sums run in float64; a vector result is rounded to
 * float32 once. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../base/text.h"
#include "../../math/kernels.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "function.h"

typedef struct Vector {
    const float *data;
    int dim;
    float *owned;
} Vector;

static void vector_clear(Vector *vector) { mem_free(vector->owned); }

/* Read argument i; 0 when the function is done (NULL or an error was returned). */
static int vector_argument(sqlite3_context *context, sqlite3_value **argv, int i, Vector *out) {
    const char *function = sqlite3_user_data(context);
    Err err = {0};
    *out = (Vector){0};
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return 0;
    Status status = value_vector(argv[i], &out->data, &out->dim, &out->owned, &err);
    if (status == ST_OK) return 1;
    sql_function_error(context, function, status, &err);
    return 0;
}

static int two_arguments(sqlite3_context *context, sqlite3_value **argv, Vector *a, Vector *b) {
    const char *function = sqlite3_user_data(context);
    *b = (Vector){0};
    if (sqlite3_value_type(argv[1]) == SQLITE_NULL) {
        *a = (Vector){0};
        return 0;
    }
    if (!vector_argument(context, argv, 0, a)) return 0;
    if (!vector_argument(context, argv, 1, b)) return 0;
    if (a->dim == b->dim) return 1;
    Err err = {0};
    fail(&err, ST_BADARG, "vectors of %d and %d elements", a->dim, b->dim);
    sql_function_error(context, function, ST_BADARG, &err);
    return 0;
}

static void result_vector(sqlite3_context *context, const double *value, int dim) {
    const char *function = sqlite3_user_data(context);
    float *out = sqlite3_malloc64((sqlite3_uint64)dim * sizeof *out);
    if (!out) {
        sqlite3_result_error_nomem(context);
        return;
    }
    for (int i = 0; i < dim; i++) {
        out[i] = (float)value[i];
        if (isfinite(out[i])) continue;
        Err err = {0};
        fail(&err, ST_BADARG, "element %d of the result exceeds float32", i + 1);
        sql_function_error(context, function, ST_BADARG, &err);
        sqlite3_free(out);
        return;
    }
    sqlite3_result_blob64(context, out, (sqlite3_uint64)dim * sizeof *out, sqlite3_free);
}

static void vec(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Vector a;
    (void)argc;
    if (vector_argument(context, argv, 0, &a))
        sqlite3_result_blob64(
            context, a.data, (sqlite3_uint64)a.dim * sizeof(float), SQLITE_TRANSIENT);
    vector_clear(&a);
}

static void vec_json(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Vector a;
    Bytes out = {0};
    (void)argc;
    if (vector_argument(context, argv, 0, &a)) {
        for (int i = 0; i < a.dim; i++)
            bytes_format(&out, "%s%.9g", i ? "," : "[", (double)a.data[i]);
        bytes_append(&out, "]", 1);
        if (out.failed) sqlite3_result_error_nomem(context);
        else
            sqlite3_result_text64(
                context, (const char *)out.data, out.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    }
    bytes_clear(&out);
    vector_clear(&a);
}

static void vec_dim(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Vector a;
    (void)argc;
    if (vector_argument(context, argv, 0, &a)) sqlite3_result_int(context, a.dim);
    vector_clear(&a);
}

static void vec_norm(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Vector a;
    (void)argc;
    if (vector_argument(context, argv, 0, &a))
        sqlite3_result_double(context, sqrt(kernels()->dot(a.data, a.data, (size_t)a.dim)));
    vector_clear(&a);
}

typedef double (*Measure)(const Vector *a, const Vector *b);

static double measure_dot(const Vector *a, const Vector *b) {
    return kernels()->dot(a->data, b->data, (size_t)a->dim);
}

/* 0 where a norm is 0, as scikit-learn's cosine_similarity. */
static double measure_cosine(const Vector *a, const Vector *b) {
    double norms = sqrt(measure_dot(a, a)) * sqrt(measure_dot(b, b));
    return norms > 0 ? measure_dot(a, b) / norms : 0;
}

static double measure_l2(const Vector *a, const Vector *b) {
    return sqrt(kernels()->l2_squared(a->data, b->data, (size_t)a->dim));
}

static double measure_l1(const Vector *a, const Vector *b) {
    return kernels()->l1(a->data, b->data, (size_t)a->dim);
}

static void measure(sqlite3_context *context, sqlite3_value **argv, Measure of) {
    Vector a, b;
    if (two_arguments(context, argv, &a, &b)) sqlite3_result_double(context, of(&a, &b));
    vector_clear(&a);
    vector_clear(&b);
}

static void dot(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    measure(context, argv, measure_dot);
}

static void cosine(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    measure(context, argv, measure_cosine);
}

static void l2(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    measure(context, argv, measure_l2);
}

static void l1(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    measure(context, argv, measure_l1);
}

/* result_i = p a_i + q b_i; b may be NULL. */
static void combine(
    sqlite3_context *context, const Vector *a, double p, const Vector *b, double q) {
    double *value = mem_array((size_t)a->dim, sizeof *value);
    if (!value) {
        sqlite3_result_error_nomem(context);
        return;
    }
    for (int i = 0; i < a->dim; i++)
        value[i] = p * (double)a->data[i] + (b ? q * (double)b->data[i] : 0);
    result_vector(context, value, a->dim);
    mem_free(value);
}

static void vec_add(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Vector a, b;
    (void)argc;
    if (two_arguments(context, argv, &a, &b)) combine(context, &a, 1, &b, 1);
    vector_clear(&a);
    vector_clear(&b);
}

static void vec_sub(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Vector a, b;
    (void)argc;
    if (two_arguments(context, argv, &a, &b)) combine(context, &a, 1, &b, -1);
    vector_clear(&a);
    vector_clear(&b);
}

static void function_fail(sqlite3_context *context, const char *text) {
    Err err = {0};
    fail(&err, ST_BADARG, "%s", text);
    sql_function_error(context, sqlite3_user_data(context), ST_BADARG, &err);
}

static void vec_scale(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Vector a;
    (void)argc;
    if (sqlite3_value_type(argv[1]) == SQLITE_NULL) return;
    if (vector_argument(context, argv, 0, &a)) {
        int kind = sqlite3_value_numeric_type(argv[1]);
        double by = sqlite3_value_double(argv[1]);
        if ((kind != SQLITE_INTEGER && kind != SQLITE_FLOAT) || !isfinite(by))
            function_fail(context, "the factor must be a finite number");
        else combine(context, &a, by, NULL, 0);
    }
    vector_clear(&a);
}

static void vec_normalize(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Vector a;
    (void)argc;
    if (vector_argument(context, argv, 0, &a)) {
        double norm = sqrt(measure_dot(&a, &a));
        combine(context, &a, norm > 0 ? 1 / norm : 0, NULL, 0); /* the zero vector stays */
    }
    vector_clear(&a);
}

/* Elements from .. to - 1, counted from 0. */
static void vec_slice(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Vector a;
    (void)argc;
    if (sqlite3_value_type(argv[1]) == SQLITE_NULL || sqlite3_value_type(argv[2]) == SQLITE_NULL)
        return;
    if (vector_argument(context, argv, 0, &a)) {
        sqlite3_int64 from = sqlite3_value_int64(argv[1]), to = sqlite3_value_int64(argv[2]);
        if (sqlite3_value_numeric_type(argv[1]) != SQLITE_INTEGER ||
            sqlite3_value_numeric_type(argv[2]) != SQLITE_INTEGER || from < 0 || to <= from ||
            to > a.dim) {
            char text[120];
            text_format(text, sizeof text,
                "from %lld to %lld of %d elements (0 <= from < to <= %d)", (long long)from,
                (long long)to, a.dim, a.dim);
            function_fail(context, text);
        } else {
            sqlite3_result_blob64(context, a.data + from,
                (sqlite3_uint64)(to - from) * sizeof(float), SQLITE_TRANSIENT);
        }
    }
    vector_clear(&a);
}

static void version(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc, (void)argv;
    sqlite3_result_text(context, REC_VERSION, -1, SQLITE_STATIC);
}

int register_vector_functions(sqlite3 *db) {
    static const ScalarFunction functions[] = {
        {"rec_version", 0, 0, version},
        {"rec_vec", 1, 1, vec},
        {"rec_vec_json", 1, 1, vec_json},
        {"rec_vec_dim", 1, 1, vec_dim},
        {"rec_vec_norm", 1, 1, vec_norm},
        {"rec_dot", 2, 2, dot},
        {"rec_cosine", 2, 2, cosine},
        {"rec_l2", 2, 2, l2},
        {"rec_l1", 2, 2, l1},
        {"rec_vec_add", 2, 2, vec_add},
        {"rec_vec_sub", 2, 2, vec_sub},
        {"rec_vec_scale", 2, 2, vec_scale},
        {"rec_vec_slice", 3, 3, vec_slice},
        {"rec_vec_normalize", 1, 1, vec_normalize},
    };
    return scalars_register(db, functions, sizeof functions / sizeof *functions);
}
