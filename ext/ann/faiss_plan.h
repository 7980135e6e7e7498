/* What the FAISS engine does, for who has the same structure elsewhere, or builds it there. */
#ifndef REC_FAISS_PLAN_H
#define REC_FAISS_PLAN_H

#include "ann.h"

/* A stored structure: u32 format, then the bytes of faiss_extra_save. */
enum { ANN_FAISS_FORMAT = 1 };

/* Of an index with a structure: candidates that are scored exactly, and lists that are visited. 0:
 * it scans all rows instead. */
int ann_faiss_plan(
    const AnnIndex *index, const AnnSearch *search, int64_t *candidates, int64_t *nprobe);

/* The factory string that FAISS gets. Rows have numbers of their own here: a final ",IDMap" or
 * ",IDMap2", which other extensions need, says nothing. */
void ann_faiss_plain_factory(const char *factory, char out[64]);

/* FAISS computes in float32: past 1e15 a square overflows, and its k-means writes where it should
 * not. */
Status ann_faiss_check_norms(const AnnVectors *vectors, Err *err);

/* Rows to train so many lists on (0: what has none), normalised for cosine: n x dim, to be
 * mem_free'd. */
Status ann_faiss_sample(
    const AnnVectors *vectors, int64_t n_lists, float **rows, int64_t *n, Err *err);

#endif
