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

const char *faiss_extra_version(void);

#ifdef __cplusplus
}
#endif

#endif
