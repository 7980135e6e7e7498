/* A navigable graph (HNSW: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor
 * search using Hierarchical Navigable Small World graphs", 2018), built by FAISS, searched and
 * stored by this file.
 *
 * What FAISS's own search lacks: filters inside the walk, an end that says "scan instead", no
 * second copy of the rows, links that are kept without their empty places, and a form of storage
 * whose every link is checked when it is read.
 *
 * The graph is built over inner products for ip, over Euclidean distances for l2, and for cosine
 * over Euclidean distances of the rows divided by their norms: |x - y|^2 = 2 - 2 cos(x, y). (The
 * reduction of inner products to distances by one more element, Bachrach et al. 2014, was tried:
 * item factors of real data lost .03 to .1 of their recall by it.)
 *
 * A search walks by x . y, by cos(x, y), or by |x - y|^2, over 8-bit codes of the rows as they
 * are, a quarter of the memory that a walk would wait for.
 *
 * A node's links stand in one run: for each of its levels, from 0 up, a count and that many
 * positions. Of equal rows one is a node (graph_groups.h). */
#include "graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "ann.h"
#include "faiss_extra.h"

enum {
    MIN_LINKS = 2,
    MAX_LINKS = 512,
    MAX_LEVELS = 64,
    DEFAULT_EF = 64,
    FORMAT = 1,
    FORMAT_WITH_GROUPS = 2
};

/* "HNSW32" or "HNSW32,Flat": the links a node may have on each level (twice as many on level 0), or
 * -1. */
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
        return fail(
            err, ST_BADARG, "index='%.60s' (HNSW%d .. HNSW%d)", factory, MIN_LINKS, MAX_LINKS);
    return ST_OK;
}

int graph_is_factory(const char *factory) { return links_of(factory) >= 0; }

static void graph_free(AnnIndex *index) {
    Graph *graph = index->state;
    if (!graph) return;
    mem_free(graph->start);
    mem_free(graph->run);
    mem_free(graph->levels);
    row_groups_clear(&graph->groups);
    mem_free(graph->aside);
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

/* The rows order[from .. from + n - 1] into the graph. order NULL: the positions themselves. */
static Status add_rows(void *built, const AnnVectors *vectors, const int64_t *order, int64_t from,
    int64_t n, Task *task, Err *err) {
    size_t dim = (size_t)vectors->dim;
    char text[400] = "";
    float *rows = mem_array((size_t)n, dim * sizeof *rows);
    if (!rows) return fail_nomem(err, "a batch of vectors");
    for (int64_t i = 0; i < n; i++)
        ann_unit_row(vectors, order ? order[from + i] : from + i, rows + (size_t)i * dim);
    int failed = faiss_extra_graph_add(
        built, n, rows, task ? task->threads : 1, task_poll_any, task, text, sizeof text);
    mem_free(rows);
    if (task && task_cancelled(task)) return fail(err, ST_CANCELLED, "interrupted");
    return failed ? fail(err, ST_NOMEM, "FAISS cannot build the graph: %.200s", text) : ST_OK;
}

/* The nodes from .. n_nodes - 1, in batches that grow with the graph, since each costs FAISS a pass
 * over all nodes. */
static Status add_all(void *built, const AnnVectors *vectors, const int64_t *order, int64_t from,
    int64_t n_nodes, Task *task, Err *err) {
    if (task) task_phase(task, "building the graph", "rows", n_nodes, n_nodes);
    while (from < n_nodes) {
        int64_t n = from / 8 > 16384 ? from / 8 : 16384;
        if (n > n_nodes - from) n = n_nodes - from;
        TRY(add_rows(built, vectors, order, from, n, task, err));
        from += n;
        if (task) atomic_store(&task->done, from);
    }
    return ST_OK;
}

/* FAISS gives every node places for all the links that it may have; -1 where there is none. */
static int64_t links_on(const FaissExtraGraph *from, int64_t node, int level, const int32_t **out) {
    size_t begin = from->offset[node] + (size_t)from->cumulative[level],
           end = from->offset[node] + (size_t)from->cumulative[level + 1];
    int64_t n = 0;
    while (begin + (size_t)n < end && from->neighbour[begin + (size_t)n] >= 0) n++;
    *out = from->neighbour + begin;
    return n;
}

/* Has the row no direction? Such rows are no nodes: their unit vector, 0, would be nearer to all
 * others than those are to each other, and prune every link. */
static int has_no_direction(const AnnVectors *vectors, int64_t row) {
    return vectors->metric == ANN_COSINE && vectors->norm[row] == 0;
}

/* The rows that are in no group and have no level. */
static Status collect_aside(Graph *graph, Err *err) {
    uint8_t *beside = mem_array((size_t)graph->n, 1);
    Status status = beside ? ST_OK : fail_nomem(err, "the graph");
    if (status == ST_OK) {
        if (graph->n) memset(beside, 1, (size_t)graph->n);
        row_groups_mark(&graph->groups, beside); /* 0: beside a node */
        for (int64_t i = 0; i < graph->n; i++) graph->n_aside += beside[i] && !graph->levels[i];
        graph->aside = mem_array((size_t)graph->n_aside, sizeof *graph->aside);
        if (!graph->aside) status = fail_nomem(err, "the graph");
    }
    for (int64_t i = 0, at = 0; status == ST_OK && i < graph->n; i++)
        if (beside[i] && !graph->levels[i]) graph->aside[at++] = (int32_t)i;
    mem_free(beside);
    return status;
}

/* Which rows are nodes. row_of[node] is the row of FAISS's node; node_of[row] the inverse, -1 for a
 * row beside a node. */
typedef struct Nodes {
    int64_t n;
    int64_t *row_of;  /* room for all rows */
    int64_t *node_of; /* rows */
    RowGroups groups; /* until the graph takes them over */
} Nodes;

static void nodes_clear(Nodes *nodes) {
    mem_free(nodes->row_of);
    mem_free(nodes->node_of);
    row_groups_clear(&nodes->groups);
}

/* The rows of the graph, first those for which first is set (NULL: all are alike), then the others,
 * each in order. */
static Status nodes_find(
    Nodes *nodes, const AnnVectors *vectors, const uint8_t *first, Task *task, Err *err) {
    size_t n = (size_t)vectors->n;
    nodes->row_of = mem_array(n, sizeof *nodes->row_of);
    nodes->node_of = mem_array(n, sizeof *nodes->node_of);
    uint8_t *stands = mem_array(n, 1); /* 1: a node */
    Status status = nodes->row_of && nodes->node_of && stands
        ? row_groups_find(&nodes->groups, vectors, first, task, err)
        : fail_nomem(err, "the graph");
    if (status == ST_OK) {
        if (n) memset(stands, 1, n);
        row_groups_mark(&nodes->groups, stands);
        for (size_t i = 0; i < n; i++)
            if (has_no_direction(vectors, (int64_t)i)) stands[i] = 0;
        for (int pass = 0; pass < 2; pass++)
            for (size_t i = 0; i < n; i++)
                if (stands[i] && (first && first[i]) == !pass)
                    nodes->row_of[nodes->n++] = (int64_t)i;
        for (size_t i = 0; i < n; i++) nodes->node_of[i] = -1;
        for (int64_t node = 0; node < nodes->n; node++) nodes->node_of[nodes->row_of[node]] = node;
    }
    mem_free(stands);
    return status;
}

/* FAISS's graph as ours. */
static Status take_over(AnnIndex *index, const FaissExtraGraph *from, Nodes *nodes, Err *err) {
    int64_t n = index->vectors->n, length = 0, at = 0;
    const int32_t *links;
    Graph *graph;
    for (int64_t node = 0; node < nodes->n; node++)
        for (int level = 0; level < from->level[node]; level++)
            length += 1 + links_on(from, node, level, &links);
    Status status = graph_new(&graph, n, length, err);
    index->state = graph;
    for (int64_t row = 0; row < n && status == ST_OK; row++) {
        int64_t node = nodes->node_of[row];
        graph->start[row] = at;
        graph->levels[row] = node < 0 ? 0 : (uint8_t)from->level[node];
        for (int level = 0; level < graph->levels[row]; level++) {
            int64_t count = links_on(from, node, level, &links);
            graph->run[at++] = (int32_t)count;
            for (int64_t l = 0; l < count; l++) graph->run[at++] = (int32_t)nodes->row_of[links[l]];
        }
    }
    if (status == ST_OK) {
        graph->start[n] = at;
        graph->links = links_of(index->factory);
        graph->entry = nodes->n ? (int32_t)nodes->row_of[from->entry] : -1;
        graph->top_level = nodes->n ? from->top_level : 0;
        graph->groups = nodes->groups;
        nodes->groups = (RowGroups){0};
        status = collect_aside(graph, err);
    }
    if (status == ST_OK) { status = graph_make_codes(graph, index->vectors, err); }
    if (status != ST_OK) graph_free(index);
    return status;
}

static Status graph_build(AnnIndex *index, Task *task, Err *err) {
    char text[400] = "";
    Nodes nodes = {0};
    if (index->vectors->n > INT32_MAX)
        return fail(err, ST_BADARG, "a graph of %lld rows (2147483647 at most)",
            (long long)index->vectors->n);
    void *built = faiss_extra_graph_new(index->vectors->dim, links_of(index->factory),
        index->vectors->metric == ANN_IP, index->build_ef, text, sizeof text);
    if (!built) return fail(err, ST_NOMEM, "FAISS cannot make the graph: %.200s", text);
    Status status = nodes_find(&nodes, index->vectors, NULL, task, err);
    if (status == ST_OK)
        status = add_all(built, index->vectors, nodes.row_of, 0, nodes.n, task, err);
    if (status == ST_OK) {
        FaissExtraGraph view = faiss_extra_graph_view(built);
        status = take_over(index, &view, &nodes, err);
    }
    faiss_extra_graph_free(built);
    nodes_clear(&nodes);
    return status;
}

/* An old graph that is being given to FAISS without the rows that have gone. */
typedef struct Restoring {
    void *built;
    const Graph *old;
    /* node -> row: those that stay in their order, then the new ones */
    const int64_t *row_of;
    const int64_t *old_position; /* row -> node of the old graph, or -1 */
    int32_t *node_of_old;        /* node of the old graph -> node, or -1: gone */
    int64_t kept;
} Restoring;

/* A link to a row that has gone becomes one to that row's first neighbour that stays, so that paths
 * through it are kept; -1 when there is none. */
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
            if (target >= 0 && target != node)
                faiss_extra_graph_link(r->built, node, level, target);
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
        ann_unit_row(vectors, r->row_of[node], row);
        if (faiss_extra_graph_node(r->built, row, r->old->levels[from], text, sizeof text))
            status = fail(err, ST_NOMEM, "FAISS cannot take the graph: %.200s", text);
    }
    for (int64_t node = 0; node < r->kept && status == ST_OK; node++) restore_links(r, node);
    mem_free(r->node_of_old);
    mem_free(row);
    return status;
}

static Status extend_into(AnnIndex *index, Restoring *r, Nodes *nodes, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    TRY(restore(r, vectors, err));
    TRY(add_all(r->built, vectors, nodes->row_of, r->kept, nodes->n, task, err));
    FaissExtraGraph view = faiss_extra_graph_view(r->built);
    return take_over(index, &view, nodes, err);
}

/* Few new rows are added to the old graph. Many new or gone ones: the state stays empty, and the
 * caller builds. */
static Status graph_extend(
    AnnIndex *index, const AnnIndex *from, const int64_t *old_position, Task *task, Err *err) {
    const Graph *old = from->state;
    const AnnVectors *vectors = index->vectors;
    char text[400] = "";
    int64_t n = vectors->n;
    Nodes nodes = {0};
    if (strcmp(index->factory, from->factory) != 0 || n > INT32_MAX) return ST_OK;
    uint8_t *was_node = mem_array((size_t)n, 1);
    if (!was_node) return fail_nomem(err, "the graph");
    for (int64_t i = 0; i < n; i++)
        was_node[i] = old_position[i] >= 0 && old->levels[old_position[i]] > 0;
    Status status = nodes_find(&nodes, vectors, was_node, task, err);
    if (status == ST_OK) {
        Restoring r = {.old = old, .row_of = nodes.row_of, .old_position = old_position};
        int64_t old_nodes = 0;
        for (int64_t i = 0; i < old->n; i++) old_nodes += old->levels[i] > 0;
        while (r.kept < nodes.n && was_node[nodes.row_of[r.kept]]) r.kept++;
        if (r.kept > 0 && r.kept >= nodes.n - nodes.n / 4 && r.kept >= old_nodes - old_nodes / 10) {
            r.built = faiss_extra_graph_new(vectors->dim, links_of(index->factory),
                index->vectors->metric == ANN_IP, index->build_ef, text, sizeof text);
            status = r.built ? extend_into(index, &r, &nodes, task, err)
                             : fail(err, ST_NOMEM, "FAISS cannot make the graph: %.200s", text);
            faiss_extra_graph_free(r.built);
        }
    }
    mem_free(was_node);
    nodes_clear(&nodes);
    return status;
}

/* ---- storing ---- */

/* u32 format, u32 links, i32 entry, u32 top level, u64 n, n bytes: levels of each node; u64 length,
 * that many i32; in format 2, of a graph where a row is no node, the groups (graph_groups.h). */
static Status graph_save(const AnnIndex *index, Bytes *out, Err *err) {
    const Graph *graph = index->state;
    int has_groups = graph->groups.n || graph->n_aside;
    bytes_u32(out, has_groups ? FORMAT_WITH_GROUPS : FORMAT);
    bytes_u32(out, (uint32_t)graph->links);
    bytes_u32(out, (uint32_t)graph->entry);
    bytes_u32(out, (uint32_t)graph->top_level);
    bytes_u64(out, (uint64_t)graph->n);
    bytes_append(out, graph->levels, (size_t)graph->n);
    bytes_u64(out, (uint64_t)graph->run_length);
    bytes_append(out, graph->run, (size_t)graph->run_length * sizeof *graph->run);
    if (has_groups) row_groups_write(&graph->groups, out);
    return out->failed ? fail_nomem(err, "the stored graph") : ST_OK;
}

/* Have the rows beside a node no level, and the others one, unless rows may be aside? scratch: n
 * bytes. */
static int levels_fit_groups(const Graph *graph, int may_be_aside, uint8_t *scratch) {
    if (graph->n) memset(scratch, 1, (size_t)graph->n);
    row_groups_mark(&graph->groups, scratch);
    for (int64_t i = 0; i < graph->n; i++)
        if (graph->levels[i] ? !scratch[i] : scratch[i] && !may_be_aside) return 0;
    return 1;
}

/* Every run lies inside, every link leads to a row that has that level. Fills start. */
static int is_sound(Graph *graph) {
    int64_t at = 0;
    for (int64_t i = 0; i < graph->n; i++) {
        graph->start[i] = at;
        if (graph->levels[i] > graph->top_level + 1) return 0;
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
    if (graph->run_length == 0) return graph->entry == -1; /* no node: each has a count at least */
    return graph->entry >= 0 && graph->entry < graph->n &&
        graph->levels[graph->entry] == graph->top_level + 1;
}

/* Row i takes the place that new_node[i], a row that changes places with it, had. */
static Status relabel(Graph *graph, const int32_t *new_node, Err *err) {
    Graph *to;
    int64_t at = 0;
    Status status = graph_new(&to, graph->n, graph->run_length, err);
    for (int64_t i = 0; i < graph->n && status == ST_OK; i++) {
        int32_t from = new_node[i];
        const int32_t *link = graph->run + graph->start[from];
        to->start[i] = at;
        to->levels[i] = graph->levels[from];
        for (int level = 0; level < to->levels[i]; level++) {
            int32_t count = to->run[at++] = *link++;
            for (int32_t l = 0; l < count; l++) to->run[at++] = new_node[*link++];
        }
    }
    if (status == ST_OK) {
        to->start[graph->n] = at;
        int64_t *start = graph->start;
        int32_t *run = graph->run;
        uint8_t *levels = graph->levels;
        graph->start = to->start;
        graph->run = to->run;
        graph->levels = to->levels;
        graph->entry = graph->entry >= 0 ? new_node[graph->entry] : -1;
        to->start = start;
        to->run = run;
        to->levels = levels;
    }
    graph_free(&(AnnIndex){.state = to});
    return status;
}

/* The rows are those of now: the node of a group may have another vector than when the graph was
 * built. */
static Status renew_groups(Graph *graph, const AnnVectors *vectors, Err *err) {
    int changed;
    if (!graph->groups.n) return ST_OK;
    int32_t *new_node = mem_array((size_t)graph->n, sizeof *new_node);
    Status status = new_node ? row_groups_renew(&graph->groups, vectors, new_node, &changed, err)
                             : fail_nomem(err, "the graph");
    if (status == ST_OK && changed) status = relabel(graph, new_node, err);
    mem_free(new_node);
    return status;
}

static Status read_graph(Graph *graph, AnnMetric metric, Reader *in, uint32_t format, Err *err) {
    uint8_t *scratch = mem_array((size_t)graph->n, 1);
    Status status = scratch ? ST_OK : fail_nomem(err, "the graph");
    if (status == ST_OK && format == FORMAT_WITH_GROUPS)
        status = row_groups_read(&graph->groups, in, graph->n, err);
    if (status == ST_OK &&
        (in->failed || in->pos != in->len ||
            !levels_fit_groups(
                graph, format == FORMAT_WITH_GROUPS && metric == ANN_COSINE, scratch) ||
            !is_sound(graph)))
        status = fail(
            err, ST_CORRUPT, "the links of the stored graph are malformed (rebuild mends it)");
    mem_free(scratch);
    return status;
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
    if (in.failed || (format != FORMAT && format != FORMAT_WITH_GROUPS) ||
        n != (uint64_t)index->vectors->n || n > INT32_MAX || top_level >= MAX_LEVELS ||
        links > MAX_LINKS)
        return fail(err, ST_CORRUPT, "the stored graph is malformed (rebuild mends it)");
    Status status = graph_new(&graph, (int64_t)n, (int64_t)length, err);
    index->state = graph;
    if (status == ST_OK) {
        graph->links = (int32_t)links;
        graph->entry = entry;
        graph->top_level = (int)top_level;
        if (n) memcpy(graph->levels, levels, n);
        if (length) memcpy(graph->run, run, length * sizeof(int32_t));
        status = read_graph(graph, index->vectors->metric, &in, format, err);
    }
    if (status == ST_OK) status = renew_groups(graph, index->vectors, err);
    if (status == ST_OK) status = collect_aside(graph, err);
    if (status == ST_OK) status = graph_make_codes(graph, index->vectors, err);
    if (status != ST_OK) graph_free(index);
    return status;
}

static size_t graph_memory(const AnnIndex *index) {
    const Graph *graph = index->state;
    return row_groups_memory(&graph->groups, graph->n) +
        (size_t)graph->n_aside * sizeof *graph->aside +
        (size_t)graph->run_length * sizeof(int32_t) + (size_t)graph->n * (sizeof(int64_t) + 1) +
        row_codes_memory(graph->codes.data ? graph->n : 0, index->vectors->dim);
}

/* Level 0 has 2 M places for links, of which FAISS fills about 70 %; upper levels add little. */
static size_t graph_predict(const char *factory, int64_t n, int32_t dim) {
    size_t links = (size_t)links_of(factory);
    return (size_t)n * (links * 2 * 7 / 10 * sizeof(int32_t) + 2 * sizeof(int64_t)) +
        row_codes_memory(n, dim);
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
