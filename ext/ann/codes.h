/* 8-bit codes of rows, with a proven bound on what they lose: what exact.c (in blocks) and the
 * graph (one row after the other) walk instead of the rows themselves.
 *
 * Row y is coded as y = s c + e with integer c in [-127, 127], s = max|y_i| / 127; a query as x = t
 * q + f. Then
 *
 *     x . y = t s (q . c) + f . y + t q . e,   so   |x . y - t s (q . c)| <= |f| |y| + |t q| |e|
 *     (Cauchy-Schwarz)
 *
 * with the norms |y| and |e| kept for each row, rounded up. */
#ifndef REC_CODES_H
#define REC_CODES_H

#include "../math/kernels.h"
#include "ann.h"

enum { CODE_MAX = 127 };

/* What is kept beside a row's codes. */
typedef struct CodeBound {
    float scale; /* s */
    float norm;  /* |y|, rounded up; infinity for a tiny row, which no bound may leave out */
    float error; /* |e|, rounded up */
} CodeBound;

/* Far from float32's limits: no product of two such norms or their parts overflows or loses its
 * digits. */
static inline int code_is_usual(double norm) { return norm >= 1e-15 && norm <= 1e15; }

/* Code a row of this norm into dim bytes. */
CodeBound code_row(const float *row, double norm, int32_t dim, int8_t *out);

/* A coded query: |q_i| <= limit. Writes dim bytes. */
typedef struct CodedQuery {
    double norm;      /* |x| */
    float scale;      /* t */
    float error;      /* |f|, rounded up */
    float coded_norm; /* |t q|, rounded up */
    int32_t sum;      /* of q */
} CodedQuery;
CodedQuery code_query(const float *query, int32_t dim, int limit, int8_t *out);

/* What |f| counts for in the bound: with the rounding of the bound's own arithmetic, relative to
 * |x| |y|, a dozen roundings of 2^-24 each. */
static inline float code_query_error(const CodedQuery *query) {
    return query->error + (float)query->norm * 4e-6F;
}

/* An upper bound of x . y from q . c. */
static inline float code_upper(const CodedQuery *query, const CodeBound *bound, int32_t dot) {
    return query->scale * bound->scale * (float)dot + code_query_error(query) * bound->norm +
        query->coded_norm * bound->error;
}

/* Can a row with this upper bound of x . y be left out, given the least score that enters? */
int code_is_out(AnnMetric metric, float upper, double floor, double x_norm, double y_norm);

/* The floor of a first look at 8 rows (code_look8), which leaves out what code_is_out would, but
 * for a margin; s, n and e are those of a CodeBound. With an infinite norm nothing is out. */
void code_look_above(CodeLook *look, AnnMetric metric, double x_norm, double floor);

/* Codes of all rows, one after the other: a CodeBound and the codes, padded with zeros to a
 * multiple of 16. */
typedef struct RowCodes {
    size_t stride;
    size_t padded; /* codes of a row */
    char *data;    /* NULL: some norm is too large or too small for bounds */
} RowCodes;
Status row_codes_build(RowCodes *codes, const AnnVectors *vectors, Err *err);
void row_codes_clear(RowCodes *codes);
size_t row_codes_memory(int64_t n, int32_t dim);

static inline const CodeBound *row_code_bound(const RowCodes *codes, int64_t position) {
    return (const CodeBound *)(const void *)(codes->data + (size_t)position * codes->stride);
}
static inline const int8_t *row_code(const RowCodes *codes, int64_t position) {
    return (const int8_t *)(row_code_bound(codes, position) + 1);
}

/* ann_scan, leaving out what cannot win by its codes. wide: the query's codes as 16-bit numbers,
 * padded. */
Status row_codes_scan(const RowCodes *codes, const CodedQuery *query, const int16_t *wide,
    const AnnVectors *vectors, const AnnSearch *search, TopK *top, Err *err);

#endif
