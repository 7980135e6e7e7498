/* What FAISS 1.7.3's C API lacks, in its style: 0 on success, else -1 with the text in a buffer of the caller's. */
#ifndef REC_FAISS_EXTRA_H
#define REC_FAISS_EXTRA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Search one query with per-call parameters: ef for HNSW, nprobe for IVF, 0 for the index's own. index is a FaissIndex*.
 * distances and labels: k each, label -1 where there are fewer. */
int faiss_extra_search(const void *index, const float *query, int64_t k, int64_t ef, int64_t nprobe, float *distances,
                       int64_t *labels, char *text, size_t text_size);

/* A structure that was read from untrusted bytes: does every count, offset and link stay inside n rows of dim floats?
 * Only kinds that can be checked pass: flat, and HNSW over flat. */
int faiss_extra_check(const void *index, int64_t n, int64_t dim, char *text, size_t text_size);

const char *faiss_extra_version(void);

#ifdef __cplusplus
}
#endif

#endif
