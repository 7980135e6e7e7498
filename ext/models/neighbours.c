#include "neighbours.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "scoreboard.h"

/* ---- training ---- */

/* A piece: for each row its Kept for itself, whose item is the row, a count, and so many Kept. */
typedef struct NeighbourEntry {
    int32_t item;
    float value;
} NeighbourEntry;

Status neighbour_rows_init(NeighbourRows *rows, int32_t n_items, Err *err) {
    *rows = (NeighbourRows){
        .n_items = n_items, .n_pieces = ((int64_t)n_items + NEIGHBOUR_PIECE - 1) / NEIGHBOUR_PIECE};
    rows->piece = mem_zeros((size_t)rows->n_pieces, sizeof *rows->piece);
    return rows->piece ? ST_OK : fail_nomem(err, "the neighbours");
}

void neighbour_rows_clear(NeighbourRows *rows) {
    for (int64_t p = 0; rows->piece && p < rows->n_pieces; p++) bytes_clear(&rows->piece[p]);
    mem_free(rows->piece);
    *rows = (NeighbourRows){0};
}

int neighbour_rows_keep(
    NeighbourRows *rows, int32_t row, double self, Scored *list, size_t n, size_t k, int l1) {
    Bytes *out = &rows->piece[row / NEIGHBOUR_PIECE];
    double sum = 0;
    if (n > k) scored_select(list, n, k);
    if (n > k) n = k;
    for (size_t i = 0; i < n && l1; i++) sum += fabs(list[i].score);
    bytes_append(out, &(NeighbourEntry){row, (float)self}, sizeof(NeighbourEntry));
    bytes_u32(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        bytes_append(out,
            &(NeighbourEntry){
                (int32_t)list[i].id, (float)(sum > 0 ? list[i].score / sum : list[i].score)},
            sizeof(NeighbourEntry));
    return !out->failed;
}

/* Candidates gather until there are several times k; then only the k largest stay, and set the
 * floor for the rest. */
int neighbour_rows_keep_dense(NeighbourRows *rows, int32_t row, const float *value,
    const int32_t *item, int32_t n, Scored *list, size_t k) {
    size_t found = 0, room = 4 * k + 64;
    double self = 0, floor = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t id = item ? item[i] : i;
        double size = fabs((double)value[i]);
        if (id == row) {
            self = (double)value[i];
        } else if (size > floor) {
            list[found++] = (Scored){(double)value[i], id};
            if (found < room) continue;
            floor = scored_keep(list, found, k);
            found = k;
        }
    }
    return neighbour_rows_keep(rows, row, self, list, found, k, 0);
}

static NeighbourEntry read_kept(Reader *in) {
    NeighbourEntry kept;
    memcpy(&kept, read_block(in, 1, sizeof kept), sizeof kept);
    return kept;
}

/* All pieces as a matrix, each freed as soon as it is read; a row's columns are in the order they
 * were kept in. */
static Status join_pieces(NeighbourRows *rows, Csr *out, float *self, Err *err) {
    int64_t nnz = 0, at = 0;
    /* an upper bound */
    for (int64_t p = 0; p < rows->n_pieces; p++)
        nnz += (int64_t)(rows->piece[p].len / sizeof(NeighbourEntry));
    TRY(csr_alloc(out, rows->n_items, rows->n_items, nnz, err));
    for (int64_t p = 0; p < rows->n_pieces; p++) {
        Reader in = reader_of(rows->piece[p].data, rows->piece[p].len);
        while (in.pos < in.len) {
            NeighbourEntry own = read_kept(&in);
            uint32_t n = read_u32(&in);
            if (self) self[own.item] = own.value;
            for (uint32_t i = 0; i < n; i++, at++) {
                NeighbourEntry kept = read_kept(&in);
                out->col[at] = kept.item;
                out->val[at] = kept.value;
            }
            out->row_start[own.item + 1] = at;
        }
        bytes_clear(&rows->piece[p]);
    }
    return ST_OK;
}

/* Two transposes sort the columns. */
Status neighbour_rows_join(NeighbourRows *rows, Csr *out, float *self, Err *err) {
    Csr joined = {0}, turned = {0};
    Status status = join_pieces(rows, &joined, self, err);
    if (status == ST_OK) status = csr_transpose(&turned, &joined, err);
    csr_clear(&joined);
    if (status == ST_OK) status = csr_transpose(out, &turned, err);
    csr_clear(&turned);
    return status;
}

static Neighbours *new_state(Model *model, Err *err) {
    Neighbours *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (state)
        state->recency = model->algorithm->recency ? model->algorithm->recency(&model->params)
                                                   : (Recency){.factor = 1};
    if (state) state->self = mem_zeros((size_t)model->n_items, sizeof *state->self);
    if (state) state->largest = mem_zeros((size_t)model->n_items, sizeof *state->largest);
    if (state && state->self && state->largest) return state;
    fail_nomem(err, "the neighbours");
    return NULL;
}

static void describe_rows(Neighbours *state) {
    for (int32_t j = 0; j < state->row.n_rows; j++)
        for (int64_t e = state->row.row_start[j]; e < state->row.row_start[j + 1]; e++) {
            state->negative |= state->row.val[e] < 0;
            if (state->row.val[e] > state->largest[j]) state->largest[j] = state->row.val[e];
        }
}

Status neighbours_finish(Model *model, NeighbourRows *rows, int by_target, Err *err) {
    Csr joined = {0};
    Neighbours *state = new_state(model, err);
    if (!state) return ST_NOMEM;
    Status status = ST_OK;
    if (!by_target) status = neighbour_rows_join(rows, &state->row, state->self, err);
    else {
        /* one transpose does, since sources are wanted */
        status = join_pieces(rows, &joined, state->self, err);
        if (status == ST_OK) status = csr_transpose(&state->row, &joined, err);
        csr_clear(&joined);
    }
    if (status == ST_OK) describe_rows(state);
    return status;
}

/* ---- storage: self, then the rows ---- */

void neighbours_write(const Model *model, Bytes *out) {
    const Neighbours *state = model->state;
    bytes_append(out, state->self, (size_t)model->n_items * sizeof *state->self);
    csr_write(&state->row, out);
}

Status neighbours_read(Model *model, Reader *in, Err *err) {
    size_t n = (size_t)model->n_items;
    const void *self = read_block(in, n, sizeof(float));
    if (in->failed) return fail(err, ST_CORRUPT, "neighbours are truncated");
    Neighbours *state = new_state(model, err);
    if (!state) return ST_NOMEM;
    if (n) memcpy(state->self, self, n * sizeof *state->self);
    if (vector_first_bad(state->self, n) >= 0)
        return fail(err, ST_CORRUPT, "neighbours hold no numbers");
    TRY(csr_read(&state->row, model->n_items, model->n_items, in, err));
    describe_rows(state);
    return ST_OK;
}

void neighbours_free(Model *model) {
    Neighbours *state = model->state;
    if (!state) return;
    csr_clear(&state->row);
    mem_free(state->self);
    mem_free(state->largest);
    mem_free(state);
    model->state = NULL;
}

size_t neighbours_memory(const Model *model) {
    const Neighbours *state = model->state;
    return (size_t)csr_nnz(&state->row) * 8 + (size_t)model->n_items * 16;
}

/* ---- queries ---- */

typedef struct NeighbourQuery {
    Scoreboard board;
    double *x; /* per item of the history: x_uj */
    Scored *order;
    int64_t capacity;
} NeighbourQuery;

void neighbours_query_free(ModelQuery *query) {
    NeighbourQuery *q = query->scratch;
    if (!q) return;
    scoreboard_clear(&q->board);
    mem_free(q->x);
    mem_free(q->order);
    mem_free(q);
    query->scratch = NULL;
}

Status neighbours_query_new(ModelQuery *query, Err *err) {
    NeighbourQuery *q = mem_zeros(1, sizeof *q);
    query->scratch = q;
    if (!q) return fail_nomem(err, "a query");
    Status status = scoreboard_init(&q->board, query->model->n_items, err);
    if (status != ST_OK) neighbours_query_free(query);
    return status;
}

/* q->x of the history. */
static Status weigh_history(const ModelQuery *query, NeighbourQuery *q, Err *err) {
    const Neighbours *state = query->model->state;
    const History *history = &query->history;
    if (history->n > q->capacity) {
        double *x = mem_resize(q->x, (size_t)history->n, sizeof *x);
        if (x) q->x = x;
        Scored *order = mem_resize(q->order, (size_t)history->n, sizeof *order);
        if (order) q->order = order;
        if (!x || !order) return fail_nomem(err, "a query");
        q->capacity = history->n;
    }
    recency_weights(&state->recency, history, q->order, q->x);
    for (int64_t h = 0; h < history->n; h++)
        q->x[h] *= model_scaled(query->model, history->weight[h]);
    return ST_OK;
}

static void add_row(Scoreboard *board, const Neighbours *state, int32_t j, double x) {
    for (int64_t e = state->row.row_start[j]; e < state->row.row_start[j + 1]; e++)
        scoreboard_add(board, state->row.col[e], (double)state->row.val[e] * x);
}

Status neighbours_prepare(ModelQuery *query, Err *err) {
    NeighbourQuery *q = query->scratch;
    Scoreboard *board = &q->board;
    const Neighbours *state = query->model->state;
    const History *history = &query->history;
    int64_t work = 0;
    TRY(weigh_history(query, q, err));
    for (int64_t h = 0; h < history->n; h++) work += csr_row_len(&state->row, history->item[h]);
    scoreboard_reset(board, state->negative || work > query->model->n_items / 4);
    if (query->similar >= 0) add_row(board, state, query->similar, 1);
    for (int64_t h = 0; h < history->n; h++) {
        add_row(board, state, history->item[h], q->x[h]);
        scoreboard_add(board, history->item[h], (double)state->self[history->item[h]] * q->x[h]);
    }
    return ST_OK;
}

const Scoreboard *neighbours_board(const ModelQuery *query) {
    return &((const NeighbourQuery *)query->scratch)->board;
}

/* s_ji */
static double value_at(const Neighbours *state, int32_t j, int32_t i) {
    int64_t e = i == j ? -1 : csr_find(&state->row, j, i);
    return i == j ? (double)state->self[j] : e >= 0 ? (double)state->row.val[e] : 0;
}

double neighbours_alike(const Model *model, int32_t a, int32_t b) {
    const Neighbours *state = model->state;
    double there = state->largest[a] > 0 ? value_at(state, a, b) / (double)state->largest[a] : 0;
    double back = state->largest[b] > 0 ? value_at(state, b, a) / (double)state->largest[b] : 0;
    return a == b ? 1 : fmax(0, fmax(there, back));
}

Status neighbours_contributions(const ModelQuery *query, int32_t item, double *part, Err *err) {
    const NeighbourQuery *q = query->scratch;
    (void)err;
    for (int64_t h = 0; h < query->history.n; h++)
        part[h] = value_at(query->model->state, query->history.item[h], item) * q->x[h];
    return ST_OK;
}
