/* The registry of engines: the first that knows the factory string takes it, FAISS every other
 * one. */
#include <string.h>

#include "ann.h"
#include "graph.h"

/* Elements (rows x dim) up to which auto searches exactly: a pass over their 8-bit codes takes
 * about 4 ms on one core (docs/benchmarks.md), and needs no building. */
static const int64_t AUTO_EXACT = 32 << 20;

const char *ann_resolve(const char *factory, int64_t n, int32_t dim) {
    if (strcmp(factory, "auto") != 0) return factory;
    return n <= AUTO_EXACT / dim ? "exact" : "HNSW32";
}

const AnnEngine *ann_engine_for(const char *factory) {
    if (strcmp(factory, "exact") == 0 || strcmp(factory, "auto") == 0) return &ann_exact_engine;
    return graph_is_factory(factory) ? &ann_graph_engine : &ann_faiss_engine;
}
