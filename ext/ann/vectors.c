#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "vectors.h"

size_t ann_row_bytes(AnnStorage storage, int32_t dim) {
    size_t n = (size_t)dim;
    return storage == ANN_F32 ? n * sizeof(float)
        : storage == ANN_F16  ? n * sizeof(uint16_t)
                              : sizeof(float) + n;
}

int64_t ann_encode(AnnStorage storage, const float *x, int32_t dim, void *out) {
    if (storage == ANN_F32) {
        memcpy(out, x, (size_t)dim * sizeof *x);
    } else if (storage == ANN_F16) {
        uint16_t *half = out;
        for (int32_t i = 0; i < dim; i++) {
            half[i] = half_of(x[i]);
            if ((half[i] & 0x7c00) == 0x7c00) return i;
        }
    } else {
        int8_t *code = (int8_t *)out + sizeof(float);
        float largest = 0;
        for (int32_t i = 0; i < dim; i++) largest = fmaxf(largest, fabsf(x[i]));
        float scale = largest / 127;
        if (isinf(scale * 127)) scale = nextafterf(scale, 0);
        memcpy(out, &scale, sizeof scale);
        for (int32_t i = 0; i < dim; i++) {
            double c = scale > 0 ? rint((double)x[i] / (double)scale) : 0;
            code[i] = (int8_t)fmin(fmax(c, -127), 127); /* a subnormal scale is rough */
        }
    }
    return -1;
}

void ann_decode(AnnStorage storage, const void *stored, int32_t dim, float *out) {
    float scale;
    if (storage == ANN_F32) {
        memcpy(out, stored, (size_t)dim * sizeof *out);
    } else if (storage == ANN_F16) {
        kernels()->from_half(stored, out, (size_t)dim);
    } else {
        memcpy(&scale, stored, sizeof scale);
        kernels()->from_code((const int8_t *)stored + sizeof scale, scale, out, (size_t)dim);
    }
}

/* Rows of sq8 stand at multiples of 4, so that their scales do. */
static size_t row_stride(AnnStorage storage, int32_t dim) {
    return (ann_row_bytes(storage, dim) + 3) / 4 * 4;
}

size_t ann_vectors_memory(AnnStorage storage, int64_t n, int32_t dim) {
    return (size_t)n * (row_stride(storage, dim) + sizeof(double));
}

Status ann_vectors_alloc_as(
    AnnVectors *out, int64_t n, int32_t dim, AnnMetric metric, AnnStorage storage, Err *err) {
    *out = (AnnVectors){.n = n,
        .dim = dim,
        .metric = metric,
        .storage = storage,
        .stride = storage == ANN_F32 ? (size_t)dim * sizeof(float) : row_stride(storage, dim)};
    out->row = mem_aligned((size_t)n, out->stride);
    out->norm = mem_array((size_t)n, sizeof *out->norm);
    if (!out->row || !out->norm) {
        ann_vectors_clear(out);
        return fail(
            err, ST_NOMEM, "no memory for %lld vectors of %d elements", (long long)n, (int)dim);
    }
    return ST_OK;
}

Status ann_vectors_alloc(AnnVectors *out, int64_t n, int32_t dim, AnnMetric metric, Err *err) {
    return ann_vectors_alloc_as(out, n, dim, metric, ANN_F32, err);
}

void ann_vectors_clear(AnnVectors *vectors) {
    mem_free(vectors->row);
    mem_free(vectors->norm);
    *vectors = (AnnVectors){0};
}

/* The square of a norm, summed over pieces that are decoded on the stack. */
void ann_vectors_finish_row(AnnVectors *vectors, int64_t position) {
    float piece[256];
    const char *stored = ann_stored(vectors, position);
    double sum = 0;
    if (vectors->storage == ANN_F32) {
        sum = kernels()->dot((const float *)(const void *)stored,
            (const float *)(const void *)stored, (size_t)vectors->dim);
    } else {
        float scale;
        memcpy(&scale, stored, sizeof scale);
        for (int32_t from = 0; from < vectors->dim; from += 256) {
            size_t n = (size_t)(vectors->dim - from < 256 ? vectors->dim - from : 256);
            if (vectors->storage == ANN_F16)
                kernels()->from_half((const uint16_t *)(const void *)stored + from, piece, n);
            else
                kernels()->from_code((const int8_t *)stored + sizeof scale + from, scale, piece, n);
            sum += kernels()->dot(piece, piece, n);
        }
    }
    vectors->norm[position] = sqrt(sum);
}

void ann_vectors_finish(AnnVectors *vectors) {
    for (int64_t i = 0; i < vectors->n; i++) ann_vectors_finish_row(vectors, i);
}

double ann_score(
    AnnMetric metric, const float *x, double x_norm, const float *y, double y_norm, int32_t dim) {
    /* the square of the rounded distance: what users see as equal is equal, and then the id
     * decides */
    if (metric == ANN_L2) {
        double distance = sqrt(kernels()->l2_squared(x, y, (size_t)dim));
        return -(distance * distance);
    }
    double dot = kernels()->dot(x, y, (size_t)dim);
    if (metric == ANN_IP) return dot;
    double norms = x_norm * y_norm;
    return norms > 0 ? dot / norms : 0;
}

void ann_unit_row(const AnnVectors *vectors, int64_t position, float *out) {
    double norm = vectors->norm[position];
    ann_decode(vectors->storage, ann_stored(vectors, position), vectors->dim, out);
    for (int32_t j = 0; vectors->metric == ANN_COSINE && norm > 0 && j < vectors->dim; j++)
        out[j] = (float)((double)out[j] / norm);
}

void ann_unit_query(const AnnVectors *vectors, const float *query, double norm, float *out) {
    for (int32_t i = 0; i < vectors->dim; i++)
        out[i] = vectors->metric == ANN_COSINE && norm > 0 ? (float)((double)query[i] / norm)
                                                           : query[i];
}
