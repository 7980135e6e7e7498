/* A navigable graph (HNSW: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
 * Hierarchical Navigable Small World graphs", 2018), built by FAISS, searched and stored by this file.
 *
 * What FAISS's own search lacks: filters inside the walk, an end that says "scan instead", no second copy of the rows,
 * links that are kept without their empty places, and a form of storage whose every link is checked when it is read.
 *
 * The graph is built over inner products for ip, over Euclidean distances for l2, and for cosine over Euclidean distances
 * of the rows divided by their norms: |x - y|^2 = 2 - 2 cos(x, y). (The reduction of inner products to distances by one
 * more element, Bachrach et al. 2014, was tried: item factors of real data lost .03 to .1 of their recall by it.)
 *
 * A search walks by x . y, by cos(x, y), or by |x - y|^2, over 8-bit codes of the rows as they
 * are, a quarter of the memory that a walk would wait for.
 *
 * A node's links stand in one run: for each of its levels, from 0 up, a count and that many positions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "ann.h"
#include "faiss_extra.h"
#include "graph.h"

enum { MIN_LINKS = 2, MAX_LINKS = 512, MAX_LEVELS = 64, DEFAULT_EF = 64, FORMAT = 1 };

/* "HNSW32" or "HNSW32,Flat": the links a node may have on each level (twice as many on level 0), or -1. */
static int links_of(const char *factory) {
    char *end;
    if (strncmp(factory, "HNSW", 4) != 0) return -1;
    if (factory[4] == 0 || strcmp(factory + 4, ",Flat") == 0) return 32; /* as FAISS reads it */
    if (factory[4] < '0' || factory[4] > '9') return -1;
    long links = strtol(factory + 4, &end, 10);
    if (*end != 0 && strcmp(end, ",Flat") != 0) return -1;
    return links > 100000 ? 100000 : (int)links;
}

/* FAISS crashes on HNSW0 and does not end on HNSW1. */
static Status graph_check(const char *factory, int32_t dim, AnnMetric metric, Err *err) {
    int links = links_of(factory);
    (void)dim, (void)metric;
    if (links < 0) return fail(err, ST_BADARG, "index='%.60s' is no graph", factory);
    if (links < MIN_LINKS || links > MAX_LINKS)
        return fail(err, ST_BADARG, "index='%.60s' (HNSW%d .. HNSW%d)", factory, MIN_LINKS, MAX_LINKS);
    return ST_OK;
}

int graph_is_factory(const char *factory) {
    return links_of(factory) >= 0;
}

static void graph_free(AnnIndex *index) {
    Graph *graph = index->state;
    if (!graph) return;
    mem_free(graph->start);
    mem_free(graph->run);
    mem_free(graph->levels);
    row_codes_clear(&graph->codes);
    mem_free(graph);
    index->state = NULL;
}

static Status graph_new(Graph **out, int64_t n, int64_t run_length, Err *err) {
    Graph *graph = mem_zeros(1, sizeof *graph);
    *out = graph;
    if (!graph) return fail_nomem(err, "the graph");
    graph->n = n;
    graph->run_length = run_length;
    graph->start = mem_array((size_t)n + 1, sizeof *graph->start);
    graph->run = mem_array((size_t)run_length, sizeof *graph->run);
    graph->levels = mem_array((size_t)n, 1);
    return graph->start && graph->run && graph->levels ? ST_OK : fail_nomem(err, "the graph");
}


/* ---- building ---- */

/* Row `position` as the graph is built over it. */
static void build_row(const AnnVectors *vectors, int64_t position, float *out) {
    size_t dim = (size_t)vectors->dim;
    double norm = vectors->norm[position];
    ann_decode(vectors->storage, ann_stored(vectors, position), vectors->dim, out);
    if (vectors->metric != ANN_COSINE) return;
    for (size_t j = 0; norm > 0 && j < dim; j++) out[j] = (float)((double)out[j] / norm);
}

/* The rows order[from .. from + n - 1] into the graph. order NULL: the positions themselves. */
static Status add_rows(void *built, const AnnVectors *vectors, const int64_t *order, int64_t from, int64_t n, Task *task, Err *err) {
    size_t dim = (size_t)vectors->dim;
    char text[400] = "";
    float *rows = mem_array((size_t)n, dim * sizeof *rows);
    if (!rows) return fail_nomem(err, "a batch of vectors");
    for (int64_t i = 0; i < n; i++) build_row(vectors, order ? order[from + i] : from + i, rows + (size_t)i * dim);
    int failed = faiss_extra_graph_add(built, n, rows, task ? task->threads : 1, task_poll_any, task, text, sizeof text);
    mem_free(rows);
    if (task && task_cancelled(task)) return fail(err, ST_CANCELLED, "interrupted");
    return failed ? fail(err, ST_NOMEM, "FAISS cannot build the graph: %.200s", text) : ST_OK;
}

/* All of them, in batches that grow with the graph, since each costs FAISS a pass over all nodes. */
static Status add_all(void *built, const AnnVectors *vectors, const int64_t *order, int64_t from, Task *task, Err *err) {
    if (task) task_phase(task, "building the graph", vectors->n);
    while (from < vectors->n) {
        int64_t n = from / 8 > 16384 ? from / 8 : 16384;
        if (n > vectors->n - from) n = vectors->n - from;
        TRY(add_rows(built, vectors, order, from, n, task, err));
        from += n;
        if (task) atomic_store(&task->done, from);
    }
    return ST_OK;
}

/* FAISS gives every node places for all the links that it may have; -1 where there is none. */
static int64_t links_on(const FaissExtraGraph *from, int64_t node, int level, const int32_t **out) {
    size_t begin = from->offset[node] + (size_t)from->cumulative[level], end = from->offset[node] + (size_t)from->cumulative[level + 1];
    int64_t n = 0;
    while (begin + (size_t)n < end && from->neighbour[begin + (size_t)n] >= 0) n++;
    *out = from->neighbour + begin;
    return n;
}

/* FAISS's graph as ours. Its node node_of[row] is our row, row_of[node] the inverse; NULL where they are the same. */
static Status take_over(AnnIndex *index, const FaissExtraGraph *from, const int64_t *node_of, const int64_t *row_of, Err *err) {
    int64_t n = index->vectors->n, length = 0, at = 0;
    const int32_t *links;
    Graph *graph;
    for (int64_t node = 0; node < n; node++)
        for (int level = 0; level < from->level[node]; level++) length += 1 + links_on(from, node, level, &links);
    Status status = graph_new(&graph, n, length, err);
    index->state = graph;
    for (int64_t row = 0; row < n && status == ST_OK; row++) {
        int64_t node = node_of ? node_of[row] : row;
        graph->start[row] = at;
        graph->levels[row] = (uint8_t)from->level[node];
        for (int level = 0; level < from->level[node]; level++) {
            int64_t count = links_on(from, node, level, &links);
            graph->run[at++] = (int32_t)count;
            for (int64_t l = 0; l < count; l++) graph->run[at++] = (int32_t)(row_of ? row_of[links[l]] : links[l]);
        }
    }
    if (status == ST_OK) {
        graph->start[n] = at;
        graph->links = links_of(index->factory);
        graph->entry = n ? (int32_t)(row_of ? row_of[from->entry] : from->entry) : -1;
        graph->top_level = n ? from->top_level : 0;
        status = graph_make_codes(graph, index->vectors, err);
    }
    if (status != ST_OK) graph_free(index);
    return status;
}

static Status graph_build(AnnIndex *index, Task *task, Err *err) {
    char text[400] = "";
    if (index->vectors->n > INT32_MAX) return fail(err, ST_BADARG, "a graph of %lld rows (2147483647 at most)", (long long)index->vectors->n);
    void *built = faiss_extra_graph_new(index->vectors->dim, links_of(index->factory), index->vectors->metric == ANN_IP, index->build_ef, text, sizeof text);
    if (!built) return fail(err, ST_NOMEM, "FAISS cannot make the graph: %.200s", text);
    Status status = add_all(built, index->vectors, NULL, 0, task, err);
    if (status == ST_OK) {
        FaissExtraGraph view = faiss_extra_graph_view(built);
        status = take_over(index, &view, NULL, NULL, err);
    }
    faiss_extra_graph_free(built);
    return status;
}

/* An old graph that is being given to FAISS without the rows that have gone. */
typedef struct Restoring {
    void *built;
    const Graph *old;
    const int64_t *row_of;       /* node -> row: those that stay in their order, then the new ones */
    const int64_t *old_position; /* row -> node of the old graph, or -1 */
    int32_t *node_of_old;        /* node of the old graph -> node, or -1: gone */
    int64_t kept;
} Restoring;

/* A link to a row that has gone becomes one to that row's first neighbour that stays, so that paths through it are
 * kept; -1 when there is none. */
static int32_t link_target(const Restoring *r, int32_t old_target, int level) {
    if (r->node_of_old[old_target] >= 0) return r->node_of_old[old_target];
    const int32_t *through = graph_links(r->old, old_target, level);
    int32_t n = *through++;
    for (int32_t i = 0; i < n; i++)
        if (r->node_of_old[through[i]] >= 0) return r->node_of_old[through[i]];
    return -1;
}

static void restore_links(const Restoring *r, int64_t node) {
    int64_t from = r->old_position[r->row_of[node]];
    const int32_t *link = r->old->run + r->old->start[from];
    for (int level = 0; level < r->old->levels[from]; level++) {
        int32_t count = *link++;
        for (int32_t i = 0; i < count; i++, link++) {
            int32_t target = link_target(r, *link, level);
            if (target >= 0 && target != node) faiss_extra_graph_link(r->built, node, level, target);
        }
    }
}

static Status restore(Restoring *r, const AnnVectors *vectors, Err *err) {
    char text[400] = "";
    float *row = mem_array((size_t)vectors->dim, sizeof *row);
    r->node_of_old = mem_array((size_t)r->old->n, sizeof *r->node_of_old);
    Status status = r->node_of_old && row ? ST_OK : fail_nomem(err, "the graph");
    for (int64_t i = 0; i < r->old->n && status == ST_OK; i++) r->node_of_old[i] = -1;
    for (int64_t node = 0; node < r->kept && status == ST_OK; node++) {
        int64_t from = r->old_position[r->row_of[node]];
        r->node_of_old[from] = (int32_t)node;
        build_row(vectors, r->row_of[node], row);
        if (faiss_extra_graph_node(r->built, row, r->old->levels[from], text, sizeof text))
            status = fail(err, ST_NOMEM, "FAISS cannot take the graph: %.200s", text);
    }
    for (int64_t node = 0; node < r->kept && status == ST_OK; node++) restore_links(r, node);
    mem_free(r->node_of_old);
    mem_free(row);
    return status;
}

static Status extend_into(AnnIndex *index, Restoring *r, int64_t *node_of, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    TRY(restore(r, vectors, err));
    TRY(add_all(r->built, vectors, r->row_of, r->kept, task, err));
    FaissExtraGraph view = faiss_extra_graph_view(r->built);
    for (int64_t node = 0; node < vectors->n; node++) node_of[r->row_of[node]] = node;
    return take_over(index, &view, node_of, r->row_of, err);
}

/* Those rows that stay, then the new ones; returns how many stay. */
static int64_t extension_order(const AnnIndex *index, const int64_t *old_position, int64_t *row_of) {
    int64_t kept = 0, at;
    for (int64_t i = 0; i < index->vectors->n; i++)
        if (old_position[i] >= 0) row_of[kept++] = i;
    at = kept;
    for (int64_t i = 0; i < index->vectors->n; i++)
        if (old_position[i] < 0) row_of[at++] = i;
    return kept;
}

/* Few new rows are added to the old graph. Many new or gone ones: the state stays empty, and the caller builds. */
static Status graph_extend(AnnIndex *index, const AnnIndex *from, const int64_t *old_position, Task *task, Err *err) {
    const Graph *old = from->state;
    const AnnVectors *vectors = index->vectors;
    char text[400] = "";
    int64_t n = vectors->n;
    if (strcmp(index->factory, from->factory) != 0 || n > INT32_MAX) return ST_OK;
    int64_t *row_of = mem_array((size_t)n, sizeof *row_of), *node_of = mem_array((size_t)n, sizeof *node_of);
    Status status = row_of && node_of ? ST_OK : fail_nomem(err, "the graph");
    if (status == ST_OK) {
        Restoring r = {.old = old, .row_of = row_of, .old_position = old_position};
        r.kept = extension_order(index, old_position, row_of);
        if (r.kept > 0 && r.kept >= n - n / 4 && r.kept >= old->n - old->n / 10) {
            r.built = faiss_extra_graph_new(vectors->dim, links_of(index->factory), index->vectors->metric == ANN_IP, index->build_ef, text, sizeof text);
            status = r.built ? extend_into(index, &r, node_of, task, err) : fail(err, ST_NOMEM, "FAISS cannot make the graph: %.200s", text);
            faiss_extra_graph_free(r.built);
        }
    }
    mem_free(row_of);
    mem_free(node_of);
    return status;
}

/* ---- storing ---- */

/* u32 format, u32 links, i32 entry, u32 top level, u64 n, n bytes: levels of each node; u64 length, that many i32. */
static Status graph_save(const AnnIndex *index, Bytes *out, Err *err) {
    const Graph *graph = index->state;
    bytes_u32(out, FORMAT);
    bytes_u32(out, (uint32_t)graph->links);
    bytes_u32(out, (uint32_t)graph->entry);
    bytes_u32(out, (uint32_t)graph->top_level);
    bytes_u64(out, (uint64_t)graph->n);
    bytes_append(out, graph->levels, (size_t)graph->n);
    bytes_u64(out, (uint64_t)graph->run_length);
    bytes_append(out, graph->run, (size_t)graph->run_length * sizeof *graph->run);
    return out->failed ? fail_nomem(err, "the stored graph") : ST_OK;
}

/* Every run lies inside, every link leads to a row that has that level. Fills start. */
static int is_sound(Graph *graph) {
    int64_t at = 0;
    for (int64_t i = 0; i < graph->n; i++) {
        graph->start[i] = at;
        if (graph->levels[i] < 1 || graph->levels[i] > graph->top_level + 1) return 0;
        for (int level = 0; level < graph->levels[i]; level++) {
            if (at >= graph->run_length) return 0;
            int64_t count = graph->run[at++];
            if (count < 0 || count > 2 * graph->links || count > graph->run_length - at) return 0;
            for (int64_t end = at + count; at < end; at++) {
                int32_t link = graph->run[at];
                if (link < 0 || link >= graph->n || graph->levels[link] <= level) return 0;
            }
        }
    }
    graph->start[graph->n] = at;
    if (at != graph->run_length) return 0;
    if (graph->n == 0) return graph->entry == -1;
    return graph->entry >= 0 && graph->entry < graph->n && graph->levels[graph->entry] == graph->top_level + 1;
}

static Status graph_load(AnnIndex *index, const void *data, size_t len, Err *err) {
    Reader in = reader_of(data, len);
    uint32_t format = read_u32(&in), links = read_u32(&in);
    int32_t entry = (int32_t)read_u32(&in);
    uint32_t top_level = read_u32(&in);
    uint64_t n = read_u64(&in);
    const void *levels = read_block(&in, n, 1);
    uint64_t length = read_u64(&in);
    const void *run = read_block(&in, length, sizeof(int32_t));
    Graph *graph;
    if (in.failed || format != FORMAT || in.pos != in.len || n != (uint64_t)index->vectors->n || top_level >= MAX_LEVELS || links > MAX_LINKS)
        return fail(err, ST_CORRUPT, "the stored graph is malformed (rebuild mends it)");
    Status status = graph_new(&graph, (int64_t)n, (int64_t)length, err);
    index->state = graph;
    if (status == ST_OK) {
        graph->links = (int32_t)links;
        graph->entry = entry;
        graph->top_level = (int)top_level;
        memcpy(graph->levels, levels, n);
        memcpy(graph->run, run, length * sizeof(int32_t));
        if (!is_sound(graph)) status = fail(err, ST_CORRUPT, "the links of the stored graph are malformed (rebuild mends it)");
    }
    if (status == ST_OK) status = graph_make_codes(graph, index->vectors, err);
    if (status != ST_OK) graph_free(index);
    return status;
}

static size_t graph_memory(const AnnIndex *index) {
    const Graph *graph = index->state;
    return (size_t)graph->run_length * sizeof(int32_t) + (size_t)graph->n * (sizeof(int64_t) + 1) + row_codes_memory(graph->codes.data ? graph->n : 0, index->vectors->dim);
}

/* Level 0 has 2 M places for links, of which FAISS fills about 70 %; upper levels add little. */
static size_t graph_predict(const char *factory, int64_t n, int32_t dim) {
    size_t links = (size_t)links_of(factory);
    return (size_t)n * (links * 2 * 7 / 10 * sizeof(int32_t) + 2 * sizeof(int64_t)) + row_codes_memory(n, dim);
}

const AnnEngine ann_graph_engine = {
    .name = "graph",
    .check = graph_check,
    .build = graph_build,
    .extend = graph_extend,
    .save = graph_save,
    .load = graph_load,
    .search = graph_search,
    .memory = graph_memory,
    .predict = graph_predict,
    .free = graph_free,
};
