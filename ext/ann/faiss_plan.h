/* How the FAISS engine answers a search: for who has the same structure elsewhere. */
#ifndef REC_FAISS_PLAN_H
#define REC_FAISS_PLAN_H

#include "ann.h"

/* Of an index with a structure: candidates that are scored exactly, and lists that are visited. 0: it scans all rows instead. */
int ann_faiss_plan(const AnnIndex *index, const AnnSearch *search, int64_t *candidates, int64_t *nprobe);

#endif
