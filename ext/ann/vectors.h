/* Rows of vectors, as they are kept in memory and in the file, and their exact scores. */
#ifndef REC_VECTORS_H
#define REC_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#include "../base/status.h"

typedef enum AnnMetric { ANN_IP, ANN_L2, ANN_COSINE } AnnMetric;

/* How a row is kept: float32; IEEE half precision; or one signed byte an element after a float32
 * scale, which is max|x| / 127: x_i = scale * code_i, a float32 product. */
typedef enum AnnStorage { ANN_F32, ANN_F16, ANN_SQ8 } AnnStorage;

typedef struct AnnVectors {
    int64_t n;
    int32_t dim;
    AnnMetric metric;
    AnnStorage storage;
    size_t stride; /* bytes from one row to the next */
    float *row;    /* n rows; floats in ANN_F32 only */
    double *norm;  /* n: Euclidean norms */
} AnnVectors;

Status ann_vectors_alloc(AnnVectors *out, int64_t n, int32_t dim, AnnMetric metric, Err *err);
Status ann_vectors_alloc_as(
    AnnVectors *out, int64_t n, int32_t dim, AnnMetric metric, AnnStorage storage, Err *err);
void ann_vectors_clear(AnnVectors *vectors);
/* Fill the norms, once the rows are written; of one row. */
void ann_vectors_finish(AnnVectors *vectors);
void ann_vectors_finish_row(AnnVectors *vectors, int64_t position);

/* Bytes of a stored row, in memory and in the file. */
size_t ann_row_bytes(AnnStorage storage, int32_t dim);
/* float32 to the stored form; the index of an element that is too large for it (f16: beyond 65504),
 * or -1. */
int64_t ann_encode(AnnStorage storage, const float *x, int32_t dim, void *out);
/* The stored form as float32. */
void ann_decode(AnnStorage storage, const void *stored, int32_t dim, float *out);

static inline void *ann_stored(const AnnVectors *vectors, int64_t position) {
    return (char *)vectors->row + (size_t)position * vectors->stride;
}

/* A row of ANN_F32. */
static inline const float *ann_row(const AnnVectors *vectors, int64_t position) {
    return vectors->row + (size_t)position * (size_t)vectors->dim;
}

/* A row as float32, in place or decoded into scratch (dim floats). */
static inline const float *ann_vector(const AnnVectors *vectors, int64_t position, float *scratch) {
    if (vectors->storage == ANN_F32) return ann_row(vectors, position);
    ann_decode(vectors->storage, ann_stored(vectors, position), vectors->dim, scratch);
    return scratch;
}

/* A row and a query as an engine of inner products or distances wants them: normalised for cosine.
 * norm: the query's. */
void ann_unit_row(const AnnVectors *vectors, int64_t position, float *out);
void ann_unit_query(const AnnVectors *vectors, const float *query, double norm, float *out);

/* The exact score of two vectors with these norms (used for cosine only). */
double ann_score(
    AnnMetric metric, const float *x, double x_norm, const float *y, double y_norm, int32_t dim);

/* The predicted memory of n rows with their norms, in bytes. */
size_t ann_vectors_memory(AnnStorage storage, int64_t n, int32_t dim);

#endif
