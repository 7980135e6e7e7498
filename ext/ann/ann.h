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
#include "vectors.h"

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
