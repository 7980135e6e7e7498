#include "codes.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"

static float round_up(double value) { return nextafterf((float)value, INFINITY); }

/* The norm of an error from the kernel's float32 sum of squares: its rounding, and that of each
 * difference. */
static float error_norm(float squares, double norm) {
    return round_up(sqrt((double)squares) * (1 + 1e-4) + norm * 3e-7);
}

CodeBound code_row(const float *row, double norm, int32_t dim, int8_t *out) {
    CodeBound bound;
    float squares = kernels()->quantize(row, (size_t)dim, CODE_MAX, out, &bound.scale);
    bound.norm = norm > 0 && !code_is_usual(norm) ? INFINITY : round_up(norm);
    bound.error = error_norm(squares, norm);
    return bound;
}

CodedQuery code_query(const float *query, int32_t dim, int limit, int8_t *out) {
    CodedQuery coded = {.norm = sqrt(kernels()->dot(query, query, (size_t)dim))};
    double squares = 0;
    float error = kernels()->quantize(query, (size_t)dim, limit, out, &coded.scale);
    for (int32_t i = 0; i < dim; i++) {
        coded.sum += out[i];
        squares += (double)out[i] * (double)out[i];
    }
    coded.error = error_norm(error, coded.norm);
    coded.coded_norm = round_up((double)coded.scale * sqrt(squares));
    return coded;
}

/* The least x . y with which a row of norm y could enter, given the least score that enters. */
static double needed_dot(AnnMetric metric, double floor, double x_norm, double y_norm) {
    if (metric == ANN_IP) return floor;
    if (metric == ANN_COSINE) return floor * x_norm * y_norm;
    return (x_norm * x_norm + y_norm * y_norm + floor) / 2; /* -|x|^2 - |y|^2 + 2 x . y >= floor */
}

/* The rounding of needed_dot and of the float64 score itself, generously: relative to the numbers
 * that enter. */
static double needed_slack(AnnMetric metric, double x_norm, double y_norm) {
    double scale = metric == ANN_L2 ? x_norm * x_norm + y_norm * y_norm : x_norm * y_norm;
    return scale * 1e-12;
}

int code_is_out(AnnMetric metric, float upper, double floor, double x_norm, double y_norm) {
    return (double)upper <
        needed_dot(metric, floor, x_norm, y_norm) - needed_slack(metric, x_norm, y_norm);
}

/* needed_dot as a polynomial of y_norm, lowered by a margin of each number that enters: the
 * roundings of the polynomial in float32, of the norm, and needed_slack are less. */
void code_look_above(CodeLook *look, AnnMetric metric, double x, double floor) {
    const double margin = 1e-6;
    look->base = look->linear = look->square = 0;
    if (metric == ANN_IP) {
        look->base = (float)(floor - margin * fabs(floor));
        look->linear = (float)(-margin * x);
    } else if (metric == ANN_COSINE) {
        look->linear = (float)(floor * x - margin * (fabs(floor) + 1) * x);
    } else {
        look->base = (float)((x * x + floor) / 2 - margin * (x * x + fabs(floor)));
        look->square = (float)(.5 - margin);
    }
}

/* ---- codes of all rows ---- */

static size_t padded_dim(int32_t dim) { return ((size_t)dim + 15) / 16 * 16; }

size_t row_codes_memory(int64_t n, int32_t dim) {
    return (size_t)n * (sizeof(CodeBound) + padded_dim(dim));
}

Status row_codes_build(RowCodes *codes, const AnnVectors *vectors, Err *err) {
    *codes = (RowCodes){.padded = padded_dim(vectors->dim)};
    codes->stride = sizeof(CodeBound) + codes->padded;
    for (int64_t i = 0; i < vectors->n; i++)
        if (vectors->norm[i] > 0 && !code_is_usual(vectors->norm[i]))
            return ST_OK; /* no codes: the rows themselves are walked */
    codes->data = mem_aligned((size_t)vectors->n, codes->stride);
    float *scratch = mem_array((size_t)vectors->dim, sizeof *scratch);
    Status status = codes->data && scratch ? ST_OK : fail_nomem(err, "the codes");
    for (int64_t i = 0; i < vectors->n && status == ST_OK; i++) {
        char *at = codes->data + (size_t)i * codes->stride;
        int8_t *code = (int8_t *)(at + sizeof(CodeBound));
        CodeBound bound = code_row(
            ann_vector(vectors, i, scratch), vectors->norm[i], vectors->dim, code);
        memcpy(at, &bound, sizeof bound);
        memset(code + vectors->dim, 0, codes->padded - (size_t)vectors->dim);
    }
    mem_free(scratch);
    if (status != ST_OK) row_codes_clear(codes);
    return status;
}

void row_codes_clear(RowCodes *codes) {
    mem_free(codes->data);
    *codes = (RowCodes){0};
}

Status row_codes_scan(const RowCodes *codes, const CodedQuery *query, const int16_t *wide,
    const AnnVectors *vectors, const AnnSearch *search, TopK *top, Err *err) {
    float *scratch = mem_array((size_t)vectors->dim, sizeof *scratch);
    if (!scratch) return fail_nomem(err, "a vector");
    for (int64_t word = 0; word * 64 < vectors->n; word++) {
        uint64_t bits = search->allowed ? search->allowed[word] : ~(uint64_t)0;
        for (; bits; bits &= bits - 1) {
            int64_t at = word * 64 + __builtin_ctzll(bits);
            if (at >= vectors->n) break;
            double floor = fmax(topk_floor(top), search->min_score), norm = vectors->norm[at];
            if (floor > -INFINITY) {
                float upper = code_upper(query, row_code_bound(codes, at),
                    kernels()->code_dot(row_code(codes, at), wide, codes->padded));
                if (code_is_out(vectors->metric, upper, floor, query->norm, norm)) continue;
            }
            double score = ann_score(vectors->metric, search->query, query->norm,
                ann_vector(vectors, at, scratch), norm, vectors->dim);
            if (score >= search->min_score) topk_push(top, score, at);
        }
    }
    mem_free(scratch);
    return ST_OK;
}
