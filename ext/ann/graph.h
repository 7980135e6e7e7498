/* The graph as graph.c keeps it and graph_search.c walks it. */
#ifndef REC_GRAPH_H
#define REC_GRAPH_H

#include "codes.h"
#include "graph_groups.h"

typedef struct Graph {
    int64_t n;
    int32_t links; /* M: at most 2 M links on level 0, M above */
    int32_t entry; /* where a walk starts; -1 without a node */
    int top_level;
    /* n: the levels that a node has, 1 or more; 0: a row beside the node of its group, or aside */
    uint8_t *levels;
    int64_t *start; /* n + 1: a node's run is run[start[i] .. start[i + 1] - 1] */
    int64_t run_length;
    int32_t *run;     /* for each level of the node: a count and that many positions */
    RowGroups groups; /* of equal rows */
    /* rows without a direction, whose cosine is 0 for every query, ascending */
    int32_t *aside;
    int64_t n_aside;
    RowCodes codes; /* what a walk reads; without data it reads the rows */
    int unusual;    /* norms beyond what float32 distances hold: every search scans */
} Graph;

/* The count and, after it, the links of a node on a level that it has. */
static inline const int32_t *graph_links(const Graph *graph, int32_t node, int level) {
    const int32_t *at = graph->run + graph->start[node];
    for (; level > 0; level--) at += 1 + *at;
    return at;
}

/* Codes for the walk, unless they would mislead it; its scratch memory may fail. */
Status graph_make_codes(Graph *graph, const AnnVectors *vectors, Err *err);

/* Is the factory string a graph's, right or wrong in its number? */
int graph_is_factory(const char *factory);

Status graph_search(const AnnIndex *index, const AnnSearch *searches, TopK *tops, int n, Err *err);

#endif
