/* Nearest neighbours: one interface, several engines behind it.
 *
 * An engine is built over rows that the caller keeps (AnnVectors, immutable while an index uses
 * them) and answers "the k best rows for this query, among the allowed ones". Rows are named by
 * position 0 .. n-1; the caller keeps rows in id order, so that ties by position are ties by id.
 * Scores are exact float64 sums over the rows as they are stored, whatever the engine's own
 * structure has lost, and higher is better:
 *
 *     ip      x . y
 *     cosine  x . y / (|x| |y|), 0 where a norm is 0
 *     l2      -d^2, d = |x - y| rounded to float64        (SQL shows d)
 *
 * Adding an engine: one file with an AnnEngine, one line in engines.c. */
#ifndef REC_ANN_H
#define REC_ANN_H

#include <stddef.h>
#include <stdint.h>

#include "../base/bytes.h"
#include "../base/status.h"
#include "../base/task.h"
#include "../base/bits.h"
#include "../base/topk.h"

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

typedef struct AnnSearch {
    const float *query; /* dim */
    size_t k;
    double min_score;        /* only rows with score >= min_score; -INFINITY for all */
    const uint64_t *allowed; /* a bit per position, or NULL: all */
    int64_t n_allowed;       /* bits that are set, when allowed is given */
    int64_t ef;              /* graphs: candidates kept while searching; 0: the engine's default */
    int64_t nprobe;          /* IVF: lists visited; 0: the engine's default */
    /* lossy codes: rows that are scored exactly; 0: the engine's default */
    int64_t candidates;
} AnnSearch;

static inline int ann_allows(const uint64_t *allowed, int64_t position) {
    return !allowed || bits_have(allowed, position);
}

/* How many rows a search may find. */
static inline int64_t ann_n_allowed(const AnnVectors *vectors, const AnnSearch *search) {
    return search->allowed ? search->n_allowed : vectors->n;
}

typedef struct AnnIndex AnnIndex;

typedef struct AnnEngine {
    const char *name;
    /* Can this engine work with the factory string, dim and metric? A refusal writes the reason. */
    Status (*check)(const char *factory, int32_t dim, AnnMetric metric, Err *err);
    /* Build over vectors, which must outlive the index. */
    Status (*build)(AnnIndex *index, Task *task, Err *err);
    /* Take over `from`, an index over other rows, and add what is new: old_position[p] is where row
     * p of this index was there, or -1. The state stays NULL where building is better. NULL where
     * the engine can only build. */
    Status (*extend)(
        AnnIndex *index, const AnnIndex *from, const int64_t *old_position, Task *task, Err *err);
    /* Derived structure as bytes, and back; NULL where the engine has none worth storing. save
     * writes nothing where the structure must be built again. */
    Status (*save)(const AnnIndex *index, Bytes *out, Err *err);
    Status (*load)(AnnIndex *index, const void *data, size_t len, Err *err);
    /* For each of n searches the best rows into its top (k = search->k), exact scores, unsorted. */
    Status (*search)(const AnnIndex *index, const AnnSearch *searches, TopK *tops, int n, Err *err);
    /* Bytes beside the rows: of an index, and predicted for n rows. */
    size_t (*memory)(const AnnIndex *index);
    size_t (*predict)(const char *factory, int64_t n, int32_t dim);
    void (*free)(AnnIndex *index);
} AnnEngine;

struct AnnIndex {
    const AnnEngine *engine;
    const AnnVectors *vectors;
    const char *factory; /* borrowed */
    /* a graph's: candidates looked at for a new node; 0: FAISS's default, 40 */
    int build_ef;
    void *state; /* the engine's own */
};

/* The engine for a factory string: exact, HNSW<M>, or any other string of FAISS. */
const AnnEngine *ann_engine_for(const char *factory);

/* What index=auto stands for with so many rows: "exact" while a pass over the codes takes a few
 * milliseconds, else a graph. Another factory string is itself. */
const char *ann_resolve(const char *factory, int64_t n, int32_t dim);

/* Score every allowed row, no structure needed; O(n dim). Also what a filter with few matches
 * uses. */
Status ann_scan(const AnnVectors *vectors, const AnnSearch *search, TopK *top, Err *err);

extern const AnnEngine ann_exact_engine;
extern const AnnEngine ann_graph_engine;
extern const AnnEngine ann_faiss_engine;

/* "1.7.3": the FAISS that is linked. */
const char *ann_faiss_version(void);

#endif
