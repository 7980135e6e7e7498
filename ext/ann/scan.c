/* Row after row: what every engine falls back on. */
#include <math.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "ann.h"

Status ann_scan(const AnnVectors *vectors, const AnnSearch *search, TopK *top, Err *err) {
    double norm = sqrt(kernels()->dot(search->query, search->query, (size_t)vectors->dim));
    float *scratch = vectors->storage == ANN_F32 ? NULL
                                                 : mem_array((size_t)vectors->dim, sizeof *scratch);
    if (vectors->storage != ANN_F32 && !scratch) return fail_nomem(err, "a vector");
    for (int64_t word = 0; word * 64 < vectors->n; word++) {
        uint64_t bits = search->allowed ? search->allowed[word] : ~(uint64_t)0;
        for (; bits; bits &= bits - 1) {
            int64_t at = word * 64 + __builtin_ctzll(bits);
            if (at >= vectors->n) break;
            double score = ann_score(vectors->metric, search->query, norm,
                ann_vector(vectors, at, scratch), vectors->norm[at], vectors->dim);
            if (score >= search->min_score) topk_push(top, score, at);
        }
    }
    mem_free(scratch);
    return ST_OK;
}
