#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "ann.h"

Status ann_vectors_alloc(AnnVectors *out, int64_t n, int32_t dim, AnnMetric metric, Err *err) {
    *out = (AnnVectors){.n = n, .dim = dim, .metric = metric};
    out->row = mem_aligned((size_t)n, (size_t)dim * sizeof *out->row);
    out->norm = mem_array((size_t)n, sizeof *out->norm);
    if (!out->row || !out->norm) {
        ann_vectors_clear(out);
        return fail(err, ST_NOMEM, "no memory for %lld vectors of %d floats", (long long)n, (int)dim);
    }
    return ST_OK;
}

void ann_vectors_clear(AnnVectors *vectors) {
    mem_free(vectors->row);
    mem_free(vectors->norm);
    *vectors = (AnnVectors){0};
}

void ann_vectors_finish(AnnVectors *vectors) {
    const Kernels *kernel = kernels();
    for (int64_t i = 0; i < vectors->n; i++) {
        const float *row = ann_row(vectors, i);
        vectors->norm[i] = sqrt(kernel->dot(row, row, (size_t)vectors->dim));
    }
}

double ann_score(AnnMetric metric, const float *x, double x_norm, const float *y, double y_norm, int32_t dim) {
    if (metric == ANN_L2) return -kernels()->l2_squared(x, y, (size_t)dim);
    double dot = kernels()->dot(x, y, (size_t)dim);
    if (metric == ANN_IP) return dot;
    double norms = x_norm * y_norm;
    return norms > 0 ? dot / norms : 0;
}

void ann_scan(const AnnVectors *vectors, const AnnSearch *search, TopK *top) {
    double norm = sqrt(kernels()->dot(search->query, search->query, (size_t)vectors->dim));
    for (int64_t word = 0; word * 64 < vectors->n; word++) {
        uint64_t bits = search->allowed ? search->allowed[word] : ~(uint64_t)0;
        for (; bits; bits &= bits - 1) {
            int64_t at = word * 64 + __builtin_ctzll(bits);
            if (at >= vectors->n) break;
            double score =
                ann_score(vectors->metric, search->query, norm, ann_row(vectors, at), vectors->norm[at], vectors->dim);
            if (score >= search->min_score) topk_push(top, score, at);
        }
    }
}
