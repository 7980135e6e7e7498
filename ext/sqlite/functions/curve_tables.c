/* rec_roc_curve, rec_pr_curve, rec_calibration_curve: what the aggregate rec_scored(label, score [,
 * weight]) collected, as rows that a notebook plots in one line.
 *
 * The BLOB of rec_scored: "RECSCOR1", then for every row the score and the weight, below 0 for
 * label 0, as little-endian float64; scores descend. */
#include "curve_tables.h"

#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../metrics/curves.h"
#include "../host/parts.h"
#include "../host/row_table.h"

static const char MAGIC[] = "RECSCOR1";

enum { MAGIC_LEN = 8 };

void scored_result(sqlite3_context *context, Sample *row, size_t n) {
    Bytes out = {0};
    samples_sort_descending(row, n);
    bytes_append(&out, MAGIC, MAGIC_LEN);
    for (size_t i = 0; i < n; i++) {
        bytes_f64(&out, row[i].x);
        bytes_f64(&out, row[i].y);
    }
    if (out.failed) sqlite3_result_error_nomem(context);
    else sqlite3_result_blob64(context, out.data, out.len, SQLITE_TRANSIENT);
    bytes_clear(&out);
}

Status scored_read(sqlite3_value *value, Sample **out, size_t *n, Err *err) {
    *n = 0;
    *out = NULL;
    if (!value || sqlite3_value_type(value) == SQLITE_NULL) return ST_OK;
    const void *blob = sqlite3_value_blob(value);
    size_t len = (size_t)sqlite3_value_bytes(value);
    if (sqlite3_value_type(value) != SQLITE_BLOB || len < MAGIC_LEN ||
        memcmp(blob, MAGIC, MAGIC_LEN) != 0 || (len - MAGIC_LEN) % 16)
        return fail(err, ST_BADARG, "the argument must come from rec_scored(label, score)");
    Reader in = reader_of((const char *)blob + MAGIC_LEN, len - MAGIC_LEN);
    *n = (len - MAGIC_LEN) / 16;
    *out = mem_array(*n, sizeof **out);
    if (!*out) return fail_nomem(err, "the curve");
    for (size_t i = 0; i < *n; i++) {
        (*out)[i].x = read_f64(&in);
        (*out)[i].y = read_f64(&in);
        if (isfinite((*out)[i].x) && isfinite((*out)[i].y) &&
            (i == 0 || (*out)[i].x <= (*out)[i - 1].x))
            continue;
        mem_free(*out);
        *out = NULL;
        return fail(err, ST_BADARG, "the argument must come from rec_scored(label, score)");
    }
    return ST_OK;
}

static void number_or_null(RowSink *sink, double a, double b) {
    if (b > 0) row_real(sink, a / b);
    else row_null(sink);
}

/* Threshold by threshold: what is predicted 1 when scores from there on are. */
static Status walk(sqlite3_value **argv, RowSink *sink, int roc, Err *err) {
    Sample *row;
    size_t n;
    TRY(scored_read(argv[0], &row, &n, err));
    LabelWeights all = label_weights(row, n), above = {0, 0};
    if (roc && n) {
        row_null(sink);
        number_or_null(sink, 0, all.negative);
        number_or_null(sink, 0, all.positive);
    }
    for (size_t at = 0; at < n;) {
        row_real(sink, row[at].x);
        at = curve_step(row, n, at, &above);
        if (roc) number_or_null(sink, above.negative, all.negative);
        else number_or_null(sink, above.positive, above.positive + above.negative);
        number_or_null(sink, above.positive, all.positive);
    }
    mem_free(row);
    return ST_OK;
}

static Status roc_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)db;
    return walk(argv, sink, 1, err);
}

static Status pr_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)db;
    return walk(argv, sink, 0, err);
}

static void emit_bin(RowSink *sink, const Sample *row, size_t n, int64_t bin, int64_t bins) {
    CalibrationBin found = calibration_bin(row, n, bin, bins);
    if (found.rows == 0) return;
    row_integer(sink, bin);
    row_real(sink, (double)bin / (double)bins);
    row_real(sink, (double)(bin + 1) / (double)bins);
    row_integer(sink, found.rows);
    row_real(sink, found.mean_score);
    row_real(sink, found.mean_label);
}

static Status calibration_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Sample *row;
    size_t n;
    sqlite3_int64 bins = 10;
    (void)db;
    if (argv[1] && sqlite3_value_type(argv[1]) != SQLITE_NULL)
        bins = sqlite3_value_numeric_type(argv[1]) == SQLITE_INTEGER ? sqlite3_value_int64(argv[1])
                                                                     : 0;
    if (bins < 1 || bins > 10000)
        return fail(err, ST_BADARG, "bins must be a whole number (1..10000)");
    TRY(scored_read(argv[0], &row, &n, err));
    int outside = n && (row[0].x > 1 || row[n - 1].x < 0);
    for (int64_t bin = 0; bin < bins && !outside; bin++) emit_bin(sink, row, n, bin, bins);
    mem_free(row);
    return outside ? fail(err, ST_BADARG, "scores must be between 0 and 1") : ST_OK;
}

int register_curves(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_roc_curve",
            .columns = "threshold REAL, fpr REAL, tpr REAL",
            .n_columns = 3,
            .arguments = ", scored HIDDEN",
            .n_arguments = 1,
            .n_required = 1,
            .flags = SQLITE_VTAB_INNOCUOUS,
            .fill = roc_fill},
        {.name = "rec_pr_curve",
            .columns = "threshold REAL, precision REAL, recall REAL",
            .n_columns = 3,
            .arguments = ", scored HIDDEN",
            .n_arguments = 1,
            .n_required = 1,
            .flags = SQLITE_VTAB_INNOCUOUS,
            .fill = pr_fill},
        {.name = "rec_calibration_curve",
            .columns =
                "bin INTEGER, low REAL, high REAL, n INTEGER, mean_score REAL, mean_label REAL",
            .n_columns = 6,
            .arguments = ", scored HIDDEN, bins HIDDEN",
            .n_arguments = 2,
            .n_required = 1,
            .flags = SQLITE_VTAB_INNOCUOUS,
            .fill = calibration_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
