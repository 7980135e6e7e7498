#include "graph_groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/bits.h"
#include "../base/memory.h"

static const float STEPS_OF_ONE = 4194304; /* 2^22 */

void row_groups_clear(RowGroups *groups) {
    mem_free(groups->node);
    mem_free(groups->start);
    mem_free(groups->row);
    mem_free(groups->hash);
    mem_free(groups->has);
    *groups = (RowGroups){0};
}

size_t row_groups_memory(const RowGroups *groups, int64_t n) {
    if (!groups->n) return 0;
    return (size_t)groups->n * 20 + (size_t)groups->start[groups->n] * sizeof *groups->row +
        ((size_t)n + 7) / 8;
}

/* What makes rows equal: the vector without a sign of 0; of a direction its elements in steps of
 * 2^-22, since copies of other lengths differ by rounding. */
static void key_of(const AnnVectors *vectors, int64_t position, float *out) {
    ann_unit_row(vectors, position, out);
    for (int32_t i = 0; i < vectors->dim; i++)
        out[i] = (vectors->metric == ANN_COSINE ? roundf(out[i] * STEPS_OF_ONE) : out[i]) + 0.0f;
}

static uint64_t hash_of(const float *key, int32_t dim) {
    uint8_t digest[16];
    uint64_t hash;
    bytes_checksum(key, (size_t)dim * sizeof *key, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash;
}

/* ---- finding ---- */

typedef struct Finder {
    const AnnVectors *vectors;
    uint64_t *hash; /* n */
    int32_t *first; /* n: the first row with this vector */
    int32_t *slot;  /* open addressing: row + 1 */
    size_t n_slots;
    float *key, *other; /* dim */
} Finder;

/* The first row with the vector of `row`, which is itself where it is the first. */
static int32_t first_of(Finder *f, int32_t row) {
    size_t mask = f->n_slots - 1, at = (size_t)f->hash[row] & mask,
           bytes = (size_t)f->vectors->dim * sizeof *f->key;
    for (; f->slot[at]; at = (at + 1) & mask) {
        int32_t other = f->slot[at] - 1;
        if (f->hash[other] != f->hash[row]) continue;
        key_of(f->vectors, other, f->other);
        if (memcmp(f->key, f->other, bytes) == 0) return other;
    }
    f->slot[at] = row + 1;
    return row;
}

static Status find_firsts(Finder *f, Task *task, Err *err) {
    int64_t n = f->vectors->n;
    size_t dim = (size_t)f->vectors->dim;
    for (f->n_slots = 64; f->n_slots < (size_t)n * 2;) f->n_slots *= 2;
    f->hash = mem_array((size_t)n, sizeof *f->hash);
    f->first = mem_array((size_t)n, sizeof *f->first);
    f->slot = mem_zeros(f->n_slots, sizeof *f->slot);
    f->key = mem_array(dim, sizeof *f->key);
    f->other = mem_array(dim, sizeof *f->other);
    if (!f->hash || !f->first || !f->slot || !f->key || !f->other)
        return fail_nomem(err, "the graph");
    for (int32_t row = 0; row < n; row++) {
        f->first[row] = row;
        if (f->vectors->metric == ANN_COSINE && f->vectors->norm[row] == 0) continue;
        key_of(f->vectors, row, f->key);
        f->hash[row] = hash_of(f->key, f->vectors->dim);
        f->first[row] = first_of(f, row);
        if (row % 4096 == 0 && task && task_poll(task))
            return fail(err, ST_CANCELLED, "interrupted");
    }
    return ST_OK;
}

/* From each row's first: rows per first (counting), then the groups in the order of their
 * firsts. */
static Status lay_out(RowGroups *out, const Finder *f, Err *err) {
    int64_t n = f->vectors->n, rows = 0;
    int32_t *count = mem_zeros((size_t)n, sizeof *count), *group = NULL;
    if (!count) return fail_nomem(err, "the graph");
    for (int64_t i = 0; i < n; i++) count[f->first[i]]++;
    for (int64_t i = 0; i < n; i++)
        if (count[i] > 1) {
            out->n++;
            rows += count[i];
        }
    out->node = mem_array((size_t)out->n, sizeof *out->node);
    out->hash = mem_array((size_t)out->n, sizeof *out->hash);
    out->start = mem_zeros((size_t)out->n + 1, sizeof *out->start);
    out->row = mem_array((size_t)rows, sizeof *out->row);
    group = mem_array((size_t)n, sizeof *group);
    Status status = out->node && out->hash && out->start && out->row && group
        ? ST_OK
        : fail_nomem(err, "the graph");
    int32_t g = 0;
    for (int32_t i = 0; i < n && status == ST_OK; i++) {
        if (count[i] < 2) continue;
        out->node[g] = i;
        out->hash[g] = f->hash[i];
        out->start[g + 1] = out->start[g] + count[i];
        count[i] = 0; /* from here on: how many of its rows are there */
        group[i] = g++;
    }
    for (int32_t i = 0; i < n && status == ST_OK; i++) {
        int32_t first = f->first[i], own = group[first];
        if (count[first] == 1 && first == i) continue; /* alone */
        out->row[out->start[own] + count[first]++] = i;
    }
    mem_free(count);
    mem_free(group);
    return status;
}

static Status mark_nodes(RowGroups *groups, int64_t n, Err *err) {
    if (!groups->n) return ST_OK;
    groups->has = mem_zeros(bits_words(n), sizeof *groups->has);
    if (!groups->has) return fail_nomem(err, "the graph");
    for (int64_t g = 0; g < groups->n; g++) bits_add(groups->has, groups->node[g]);
    return ST_OK;
}

/* Groups by their nodes, which are not in order any more. */
typedef struct GroupNode {
    int32_t node;
    int64_t group;
} GroupNode;

static int compare_renamed(const void *a, const void *b) {
    const GroupNode *x = a, *y = b;
    return (x->node > y->node) - (x->node < y->node);
}

/* Give the groups these nodes (n), and put them in the order of them. */
static Status rename_nodes(RowGroups *groups, const int32_t *node, Err *err) {
    size_t n = (size_t)groups->n;
    GroupNode *order = mem_array(n, sizeof *order);
    RowGroups now = {.n = groups->n,
        .node = mem_array(n, sizeof *now.node),
        .start = mem_zeros(n + 1, sizeof *now.start),
        .hash = mem_array(n, sizeof *now.hash),
        .row = mem_array((size_t)groups->start[n], sizeof *now.row)};
    Status status = order && now.node && now.start && now.hash && now.row
        ? ST_OK
        : fail_nomem(err, "the graph");
    for (size_t g = 0; g < n && status == ST_OK; g++) order[g] = (GroupNode){node[g], (int64_t)g};
    if (status == ST_OK) qsort(order, n, sizeof *order, compare_renamed);
    for (size_t g = 0; g < n && status == ST_OK; g++) {
        int64_t from = groups->start[order[g].group],
                rows = groups->start[order[g].group + 1] - from;
        now.node[g] = order[g].node;
        now.hash[g] = groups->hash[order[g].group];
        now.start[g + 1] = now.start[g] + rows;
        memcpy(now.row + now.start[g], groups->row + from, (size_t)rows * sizeof *now.row);
    }
    mem_free(order);
    if (status != ST_OK) {
        row_groups_clear(&now);
        return status;
    }
    row_groups_clear(groups);
    *groups = now;
    return ST_OK;
}

static Status prefer(RowGroups *groups, const uint8_t *preferred, Err *err) {
    int32_t *node = mem_array((size_t)groups->n, sizeof *node);
    if (!node) return fail_nomem(err, "the graph");
    for (int64_t g = 0; g < groups->n; g++) {
        node[g] = groups->node[g];
        for (int64_t i = groups->start[g]; i < groups->start[g + 1]; i++)
            if (preferred[groups->row[i]]) {
                node[g] = groups->row[i];
                break;
            }
    }
    Status status = rename_nodes(groups, node, err);
    mem_free(node);
    return status;
}

Status row_groups_find(
    RowGroups *out, const AnnVectors *vectors, const uint8_t *preferred, Task *task, Err *err) {
    Finder finder = {.vectors = vectors};
    *out = (RowGroups){0};
    Status status = find_firsts(&finder, task, err);
    if (status == ST_OK) status = lay_out(out, &finder, err);
    if (status == ST_OK && preferred && out->n) status = prefer(out, preferred, err);
    if (status == ST_OK) status = mark_nodes(out, vectors->n, err);
    mem_free(finder.hash);
    mem_free(finder.first);
    mem_free(finder.slot);
    mem_free(finder.key);
    mem_free(finder.other);
    if (status != ST_OK) row_groups_clear(out);
    return status;
}

/* ---- using ---- */

int64_t row_groups_of(const RowGroups *groups, int32_t node, const int32_t **out) {
    *out = NULL;
    if (!groups->has || !bits_have(groups->has, node)) return 1;
    int64_t low = 0, high = groups->n - 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (groups->node[middle] < node) low = middle + 1;
        else high = middle;
    }
    *out = groups->row + groups->start[low];
    return groups->start[low + 1] - groups->start[low];
}

void row_groups_mark(const RowGroups *groups, uint8_t *levels) {
    for (int64_t g = 0; g < groups->n; g++)
        for (int64_t i = groups->start[g]; i < groups->start[g + 1]; i++)
            if (groups->row[i] != groups->node[g]) levels[groups->row[i]] = 0;
}

/* The first row of a group that still has its vector; the node where none has. */
static int32_t present_node(
    const RowGroups *groups, int64_t g, const AnnVectors *vectors, float *key) {
    key_of(vectors, groups->node[g], key);
    if (hash_of(key, vectors->dim) == groups->hash[g]) return groups->node[g];
    for (int64_t i = groups->start[g]; i < groups->start[g + 1]; i++) {
        key_of(vectors, groups->row[i], key);
        if (hash_of(key, vectors->dim) == groups->hash[g]) return groups->row[i];
    }
    return groups->node[g];
}

Status row_groups_renew(
    RowGroups *groups, const AnnVectors *vectors, int32_t *new_node, int *changed, Err *err) {
    float *key = mem_array((size_t)vectors->dim, sizeof *key);
    int32_t *node = mem_array((size_t)groups->n, sizeof *node);
    Status status = key && node ? ST_OK : fail_nomem(err, "the graph");
    *changed = 0;
    for (int32_t i = 0; i < vectors->n; i++) new_node[i] = i;
    for (int64_t g = 0; g < groups->n && status == ST_OK; g++) {
        node[g] = present_node(groups, g, vectors, key);
        if (node[g] == groups->node[g]) continue;
        *changed = 1;
        new_node[groups->node[g]] = node[g];
        new_node[node[g]] = groups->node[g];
    }
    if (status == ST_OK && *changed) status = rename_nodes(groups, node, err);
    if (status == ST_OK && *changed) status = mark_nodes(groups, vectors->n, err);
    mem_free(key);
    mem_free(node);
    return status;
}

/* ---- storing ---- */

void row_groups_write(const RowGroups *groups, Bytes *out) {
    bytes_u64(out, (uint64_t)groups->n);
    for (int64_t g = 0; g < groups->n; g++) {
        int64_t from = groups->start[g], rows = groups->start[g + 1] - from;
        bytes_u64(out, groups->hash[g]);
        bytes_u32(out, (uint32_t)groups->node[g]);
        bytes_u64(out, (uint64_t)rows);
        bytes_append(out, groups->row + from, (size_t)rows * sizeof *groups->row);
    }
}

/* Rows ascending and within n, of no other group (taken: n bytes), the node among them. */
static int read_group(
    RowGroups *out, Reader *in, int64_t g, int64_t n, int64_t *used, uint8_t *taken) {
    out->hash[g] = read_u64(in);
    out->node[g] = (int32_t)read_u32(in);
    uint64_t rows = read_u64(in);
    const void *block = read_block(in, rows, sizeof(int32_t));
    int has_node = 0;
    if (!block || rows < 2 || rows > (uint64_t)(n - *used) ||
        (g && out->node[g] <= out->node[g - 1]))
        return 0;
    int32_t *row = out->row + *used;
    memcpy(row, block, rows * sizeof *row);
    for (uint64_t i = 0; i < rows; i++) {
        if (row[i] < 0 || row[i] >= n || (i && row[i] <= row[i - 1]) || taken[row[i]]) return 0;
        taken[row[i]] = 1;
        has_node |= row[i] == out->node[g];
    }
    *used += (int64_t)rows;
    out->start[g + 1] = *used;
    return has_node;
}

Status row_groups_read(RowGroups *out, Reader *in, int64_t n, Err *err) {
    uint64_t groups = read_u64(in);
    int64_t used = 0;
    *out = (RowGroups){0};
    if (in->failed || groups > (uint64_t)n / 2)
        return fail(
            err, ST_CORRUPT, "the groups of the stored graph are malformed (rebuild mends it)");
    uint8_t *taken = mem_zeros((size_t)n, 1);
    out->n = (int64_t)groups;
    out->node = mem_array(groups, sizeof *out->node);
    out->hash = mem_array(groups, sizeof *out->hash);
    out->start = mem_zeros(groups + 1, sizeof *out->start);
    out->row = mem_array((size_t)n, sizeof *out->row);
    Status status = taken && out->node && out->hash && out->start && out->row
        ? ST_OK
        : fail_nomem(err, "the graph");
    for (int64_t g = 0; g < out->n && status == ST_OK; g++)
        if (!read_group(out, in, g, n, &used, taken))
            status = fail(
                err, ST_CORRUPT, "the groups of the stored graph are malformed (rebuild mends it)");
    if (status == ST_OK) status = mark_nodes(out, n, err);
    mem_free(taken);
    if (status != ST_OK) row_groups_clear(out);
    return status;
}
