/* The registry of engines: the first whose name matches wins, FAISS takes every other factory string. */
#include <string.h>

#include "ann.h"

const AnnEngine *ann_engine_for(const char *factory) {
    /* auto: exact search is fast up to hundreds of thousands of rows (docs/benchmarks.md) and needs no building */
    if (strcmp(factory, "exact") == 0 || strcmp(factory, "auto") == 0) return &ann_exact_engine;
    return &ann_faiss_engine;
}
