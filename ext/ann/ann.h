/* Nearest neighbours: one interface, several engines behind it.
 *
 * An engine is built over rows that the caller keeps (AnnVectors, immutable while an index uses them) and answers
 * "the k best rows for this query, among the allowed ones". Rows are named by position 0 .. n-1; the caller keeps rows
 * in id order, so that ties by position are ties by id. Scores are exact float64 sums over the float32 rows, whatever
 * the engine's own structure has lost, and higher is better:
 *
 *     ip      x . y
 *     cosine  x . y / (|x| |y|), 0 where a norm is 0
 *     l2      -|x - y|^2        (the glue shows the Euclidean distance)
 *
 * Adding an engine: one file with an AnnEngine, one line in engines.c. */
#ifndef REC_ANN_H
#define REC_ANN_H

#include <stddef.h>
#include <stdint.h>

#include "../base/bytes.h"
#include "../base/status.h"
#include "../base/task.h"
#include "../base/topk.h"

typedef enum AnnMetric { ANN_IP, ANN_L2, ANN_COSINE } AnnMetric;

typedef struct AnnVectors {
    int64_t n;
    int32_t dim;
    AnnMetric metric;
    float *row;   /* n x dim */
    double *norm; /* n: Euclidean norms */
} AnnVectors;

Status ann_vectors_alloc(AnnVectors *out, int64_t n, int32_t dim, AnnMetric metric, Err *err);
void ann_vectors_clear(AnnVectors *vectors);
/* Fill the norms, once the rows are written. */
void ann_vectors_finish(AnnVectors *vectors);

static inline const float *ann_row(const AnnVectors *vectors, int64_t position) {
    return vectors->row + (size_t)position * (size_t)vectors->dim;
}

/* The exact score of two vectors with these norms (used for cosine only). */
double ann_score(AnnMetric metric, const float *x, double x_norm, const float *y, double y_norm, int32_t dim);

typedef struct AnnSearch {
    const float *query;      /* dim */
    size_t k;
    double min_score;        /* only rows with score >= min_score; -INFINITY for all */
    const uint64_t *allowed; /* a bit per position, or NULL: all */
    int64_t n_allowed;       /* bits that are set, when allowed is given */
    int64_t ef;              /* HNSW: candidates kept while searching; 0: the engine's default */
    int64_t nprobe;          /* IVF: lists visited; 0: the engine's default */
} AnnSearch;

static inline int ann_allows(const uint64_t *allowed, int64_t position) {
    return !allowed || (allowed[position >> 6] >> (position & 63) & 1);
}

typedef struct AnnIndex AnnIndex;

typedef struct AnnEngine {
    const char *name;
    /* Can this engine work with the factory string, dim and metric? A refusal writes the reason. */
    Status (*check)(const char *factory, int32_t dim, AnnMetric metric, Err *err);
    /* Build over vectors, which must outlive the index. */
    Status (*build)(AnnIndex *index, Task *task, Err *err);
    /* Derived structure as bytes, and back; NULL where the engine has none worth storing. */
    Status (*save)(const AnnIndex *index, Bytes *out, Err *err);
    Status (*load)(AnnIndex *index, const void *data, size_t len, Err *err);
    /* The best rows into top (k = search->k), exact scores, unsorted. */
    Status (*search)(const AnnIndex *index, const AnnSearch *search, TopK *top, Err *err);
    size_t (*memory)(const AnnIndex *index);
    void (*free)(AnnIndex *index);
} AnnEngine;

struct AnnIndex {
    const AnnEngine *engine;
    const AnnVectors *vectors;
    const char *factory; /* borrowed */
    void *state;         /* the engine's own */
};

/* The engine for an index= argument: exact, auto or a FAISS factory string. */
const AnnEngine *ann_engine_for(const char *factory);

/* Score every allowed row, no structure needed; O(n dim). Also what a filter with few matches uses. */
void ann_scan(const AnnVectors *vectors, const AnnSearch *search, TopK *top);

extern const AnnEngine ann_exact_engine;
extern const AnnEngine ann_faiss_engine;

/* "1.7.3": the FAISS that is linked. */
const char *ann_faiss_version(void);

#endif
