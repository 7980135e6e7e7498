/* An item x item matrix as the state of a recommender: item_knn, ease, slim and graph train one and
 * serve by it.
 *
 *     score_ui = sum over the items j of u of s_ji x_uj
 *
 * x_uj: the scaled weight of item j in the history of u, times what its place in the order of the
 * history leaves of it (recency, sequences.h). An item's weight for itself, s_jj, is kept
 * apart: it counts for what the user has (exclude_seen=false) and never makes an item its own
 * neighbour. What scores 0 or less is not offered. */
#ifndef REC_NEIGHBOURS_H
#define REC_NEIGHBOURS_H

#include "model.h"
#include "sequences.h"

typedef struct Neighbours {
    Csr row;        /* items x items: row j holds s_ji, i ascending, no diagonal */
    float *self;    /* s_jj */
    float *largest; /* max over i of s_ji */
    int negative;   /* some s_ji < 0 */
    /* how a history fades, by the algorithm's own hook */
    Recency recency;
} Neighbours;

/* What an entry of the training matrix is worth, by the option pairs. */
enum { PAIRS_BINARY, PAIRS_WEIGHTED };
static inline double pair_value(const Model *model, int64_t pairs, float weight) {
    return pairs == PAIRS_BINARY ? 1 : model_scaled(model, weight);
}

/* Rows as they are trained, in pieces of so many rows that threads share out. */
enum { NEIGHBOUR_PIECE = 32 };
typedef struct NeighbourRows {
    int32_t n_items;
    int64_t n_pieces;
    Bytes *piece; /* written by whoever works on the piece */
} NeighbourRows;

Status neighbour_rows_init(NeighbourRows *rows, int32_t n_items, Err *err);
void neighbour_rows_clear(NeighbourRows *rows);

/* The rows of a piece: from, up to but not to. */
static inline int32_t neighbour_from(int64_t piece) { return (int32_t)(piece * NEIGHBOUR_PIECE); }
static inline int32_t neighbour_to(const NeighbourRows *rows, int64_t piece) {
    int64_t to = (piece + 1) * NEIGHBOUR_PIECE;
    return (int32_t)(to < rows->n_items ? to : rows->n_items);
}

/* Append a row to its piece: of the n entries, which are reordered, the k largest by (|score|
 * descending, id), divided by the sum of their absolute values when l1. Rows of a piece come in
 * order. Returns 0 when out of memory. */
int neighbour_rows_keep(
    NeighbourRows *rows, int32_t row, double self, Scored *list, size_t n, size_t k, int l1);

/* The same from n values in a dense row: value[i] is the item[i]'s (NULL: item i's). list: room for
 * n entries. */
int neighbour_rows_keep_dense(NeighbourRows *rows, int32_t row, const float *value,
    const int32_t *item, int32_t n, Scored *list, size_t k);

/* All rows as a matrix, columns in order; self: n_items, or NULL. The rows are cleared. */
Status neighbour_rows_join(NeighbourRows *rows, Csr *out, float *self, Err *err);

/* The state of a trained model. by_target: a row held s_ji of its target i, else of its source
 * j. */
Status neighbours_finish(Model *model, NeighbourRows *rows, int by_target, Err *err);

/* The parts of an Algorithm whose state this is. */
void neighbours_write(const Model *model, Bytes *out);
Status neighbours_read(Model *model, Reader *in, Err *err);
void neighbours_free(Model *model);
size_t neighbours_memory(const Model *model);
Status neighbours_query_new(ModelQuery *query, Err *err);
void neighbours_query_free(ModelQuery *query);
Status neighbours_prepare(ModelQuery *query, Err *err);
const struct Scoreboard *neighbours_board(const ModelQuery *query);
Status neighbours_contributions(const ModelQuery *query, int32_t item, double *part, Err *err);

/* The larger of s_ab and s_ba, each as a share of its row's largest. */
double neighbours_alike(const Model *model, int32_t a, int32_t b);

#define NEIGHBOURS_SERVE \
    .write = neighbours_write, .read = neighbours_read, .free_state = neighbours_free, \
    .memory = neighbours_memory, .query_new = neighbours_query_new, \
    .query_free = neighbours_query_free, .query_prepare = neighbours_prepare, \
    .board = neighbours_board, .contributions = neighbours_contributions, \
    .alike = neighbours_alike

#endif
