/* What FAISS 1.7.3's C API lacks, in its style: 0 on success, else -1 with the text in a buffer of
 * the caller's. */
#ifndef REC_FAISS_EXTRA_H
#define REC_FAISS_EXTRA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Asked now and then on the calling thread, while FAISS works: 1 to give up. */
typedef int (*FaissExtraPoll)(void *host);

/* ---- any index (a FaissIndex*) ---- */

/* What an index is below its transforms, refinements and id maps. */
typedef struct FaissExtraKind {
    int64_t n_lists;  /* IVF: inverted lists; else 0 */
    int takes_nprobe; /* per search */
    int takes_filter; /* IVF with a filter inside */
    int is_graph;     /* takes ef */
    int transforms;   /* vectors are multiplied by matrices first */
    /* 0: float32 rows; 1: scalar codes; 2: product codes, fewer dimensions and the like */
    int loss;
} FaissExtraKind;
FaissExtraKind faiss_extra_kind(const void *index);
/* Defaults of ours for a new index; an error for one that cannot be searched. IVF visits the square
 * root of its lists. */
int faiss_extra_prepare(void *index, char *text, size_t text_size);

/* Train over n rows and add n rows, on so many threads, asking poll. */
int faiss_extra_train(void *index, int64_t n, const float *rows, int threads, FaissExtraPoll poll,
    void *host, char *text, size_t text_size);
int faiss_extra_add(void *index, int64_t n, const float *rows, int threads, FaissExtraPoll poll,
    void *host, char *text, size_t text_size);

typedef struct FaissExtraSearch {
    int64_t n; /* queries */
    const float *query;
    int64_t k;
    int64_t ef, nprobe;      /* 0: the index's own */
    const uint64_t *allowed; /* a bit a row, for kinds that take a filter; or NULL */
    float *distances;        /* n x k */
    int64_t *labels;         /* n x k; -1 where there are fewer */
} FaissExtraSearch;
int faiss_extra_search(
    const void *index, const FaissExtraSearch *search, char *text, size_t text_size);

/* What an index has learnt and holds, written piece by piece. *stored is 0 for a kind that this
 * cannot write. */
typedef void (*FaissExtraWrite)(void *out, const void *data, size_t len);
int faiss_extra_save(
    const void *index, FaissExtraWrite write, void *out, int *stored, char *text, size_t text_size);
/* The same back into an empty index of the same factory string: every length must be what this
 * index needs, every row number less than n and there once. */
int faiss_extra_load(
    void *index, int64_t n, const void *data, size_t len, char *text, size_t text_size);
/* Of an IVF keep the rows from .. to - 1 alone, under the numbers that they have. */
int faiss_extra_keep(void *index, int64_t from, int64_t to, char *text, size_t text_size);

/* ---- a graph: HNSW over float32 rows, by Euclidean distances or inner products ---- */

void *faiss_extra_graph_new(
    int dim, int links, int inner_product, int build_ef, char *text, size_t text_size);
void faiss_extra_graph_free(void *graph);
int faiss_extra_graph_add(void *graph, int64_t n, const float *rows, int threads,
    FaissExtraPoll poll, void *host, char *text, size_t text_size);
/* Append a node with its row and so many levels, without links; then its links. */
int faiss_extra_graph_node(void *graph, const float *row, int levels, char *text, size_t text_size);
void faiss_extra_graph_link(void *graph, int64_t node, int level, int32_t target);

/* The arrays of a graph, while it lives and nothing is added: node i has level[i] levels; its links
 * of level l stand at neighbour[offset[i] + cumulative[l]] .. neighbour[offset[i] + cumulative[l +
 * 1] - 1], -1 after the last. */
typedef struct FaissExtraGraph {
    const int *level;
    const size_t *offset;
    const int32_t *neighbour;
    const int *cumulative;
    int32_t entry;
    int top_level;
} FaissExtraGraph;
FaissExtraGraph faiss_extra_graph_view(const void *graph);

const char *faiss_extra_version(void);

#ifdef __cplusplus
}
#endif

#endif
