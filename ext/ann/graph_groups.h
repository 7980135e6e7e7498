/* Rows that a graph cannot tell apart. Copies of a vector never prune each other while a graph is
 * built, so that all the links of a copy lead to other copies, and what lies behind them is not
 * found (items without an embedding are all zero). So one row of each group is a node of the graph,
 * and the others stand beside it. */
#ifndef REC_GRAPH_GROUPS_H
#define REC_GRAPH_GROUPS_H

#include "ann.h"

typedef struct RowGroups {
    int64_t n;     /* groups of two rows or more */
    int32_t *node; /* n, ascending: the row that is in the graph */
    /* n + 1: group g's rows are row[start[g] .. start[g + 1] - 1], ascending, the node among
     * them */
    int64_t *start;
    int32_t *row;
    uint64_t *hash; /* n: of the vector that they have in common */
    uint64_t *has;  /* a bit a row: is it the node of a group? NULL without groups */
} RowGroups;

void row_groups_clear(RowGroups *groups);

/* The groups of equal rows; for cosine rows of one direction (to 2^-22 in each element of the unit
 * vector), and none of rows without a direction. The node is the lowest row, or the lowest for
 * which preferred (n bytes, or NULL) is set. Time: one pass over the rows. */
Status row_groups_find(
    RowGroups *out, const AnnVectors *vectors, const uint8_t *preferred, Task *task, Err *err);

/* The rows that a node stands for, itself among them, ascending. Returns how many; *out is NULL
 * where it stands for itself alone. */
int64_t row_groups_of(const RowGroups *groups, int32_t node, const int32_t **out);

/* Marks the rows that stand beside a node: 0 in levels (n). */
void row_groups_mark(const RowGroups *groups, uint8_t *levels);

/* Where the row that is a group's node has another vector by now, the first that still has the
 * group's takes its place: new_node[old] = new (n entries, filled here), and *changed says whether
 * there is one. */
Status row_groups_renew(
    RowGroups *groups, const AnnVectors *vectors, int32_t *new_node, int *changed, Err *err);

/* u64 groups; of each u64 hash, u32 node, u64 rows, the rows. */
void row_groups_write(const RowGroups *groups, Bytes *out);
/* Back; what cannot be groups of n rows is ST_CORRUPT. */
Status row_groups_read(RowGroups *out, Reader *in, int64_t n, Err *err);
size_t row_groups_memory(const RowGroups *groups, int64_t n);

#endif
