/* ease: a linear model of all items from all items, in closed form (Steck 2019, "Embarrassingly
 * shallow autoencoders").
 *
 *     minimise |X - X B|^2 + reg |B|^2  with B_jj = 0:      P = (X'X + reg Id)^-1,   B_ij = -P_ij /
 *                                       P_jj  (i != j)
 *
 *     X: users x items, 1 where the user has the item (pairs=binary) or its scaled weight
 *     (pairs=weighted)
 *     B: items x items; score_uj = sum over the items i of u of B_ij x_ui
 *
 * With target=next or both source S and target T (examples.h) stand for the two X, and no B_jj is
 * bound: B = (S'S + reg Id)^-1 S'T. dropout adds r diag(S'S) to reg Id, r = dropout / (1 - dropout)
 * (Steck 2020); item_power makes B_ij (c_i / c_j)^item_power of B_ij, c the users of an item (DAN,
 * Park et al. 2025).
 *
 * The inverse is taken in float32 by sweeping one block of TILE items after the other (Gauss and
 * Jordan, no pivots: the matrix is positive definite) through a lower triangle of tiles. For the
 * block k, with D = A_kk:
 *
 *     A_ij -= A_ik D^-1 A_kj,   A_ik = A_ik D^-1,   A_kk = -D^-1            until A = -(X'X + reg
 *                               Id)^-1
 *
 * A tile is one matrix product on one thread, so threads do not change a bit and a cancel waits for
 * a few tiles. Of a row of B the `neighbours` largest by |B_ij| are kept. Only the `max_items` with
 * the most users take part: the others have no neighbours, score 0, and come after the model's own
 * from the popular list (a blend with item_knn serves them).
 *
 * Cost: I^3 / 2 multiply-adds for I items, memory 2 I^2 bytes, foretold and refused beyond
 * `memory`. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "algorithms.h"
#include "cost.h"
#include "examples.h"
#include "item_sums.h"
#include "neighbours.h"

typedef struct EaseParams {
    double reg;
    int64_t neighbours;
    int64_t max_items;
    double memory;
    ExampleParams examples;
    double dropout;
    double item_power;
    Recency recency;
} EaseParams;

enum { TILE = 512 };

static const OptSpec ease_options[] = {
    {"reg", OPT_REAL, offsetof(EaseParams, reg), 1e-3, 1e9, 200, NULL,
        "added to the diagonal of X'X: 50 to 1000, more where histories are short"},
    {"neighbours", OPT_INT, offsetof(EaseParams, neighbours), 1, 100000, 500, NULL,
        "items kept an item"},
    {"max_items", OPT_INT, offsetof(EaseParams, max_items), 0, 1e6, 0, NULL,
        "only so many items, those with the most users, take part; 0: all"},
    {"memory", OPT_REAL, offsetof(EaseParams, memory), 0.001, 1024, 4, NULL,
        "GiB that training may use; more is refused before it begins"},
    EXAMPLE_OPTIONS(EaseParams, examples),
    {"dropout", OPT_REAL, offsetof(EaseParams, dropout), 0, .95, 0, NULL,
        "the share of a source that may be missing: popular items are trusted less"},
    {"item_power", OPT_REAL, offsetof(EaseParams, item_power), 0, 2, 0, NULL,
        "how much popular items are discounted as targets and favoured as sources"},
    RECENCY_OPTIONS(EaseParams, "1, of target=next and both .6"),
    {0},
};

typedef struct Ease {
    EaseParams params;
    const Model *model;
    const ItemSums *sums; /* in the examples' place; or NULL */
    Examples examples;
    Csr said;       /* target=next, both: S'T by target, n x n */
    double ratio;   /* dropout / (1 - dropout) */
    int32_t n;      /* items that take part */
    int32_t tiles;  /* tiles a side */
    int32_t *item;  /* n: ascending ids of those that take part */
    int32_t *place; /* model items: where in item[], or -1 */
    /* lower triangle by rows, TILE x TILE each; item rows past n are those of the identity */
    float **tile;
    float *panel;    /* tiles x TILE x TILE: A_ik */
    float *swept;    /* the same: A_ik D^-1 */
    float *inverse;  /* TILE x TILE: D^-1 */
    int32_t pivot;   /* k */
    float *diagonal; /* n: P_jj */
    double **sum;    /* per worker: n */
    float **row;     /* per worker: NEIGHBOUR_PIECE x tiles x TILE */
    float **across;  /* per worker, where there is S'T: n x NEIGHBOUR_PIECE, rows of P */
    Scored **list;   /* per worker: n */
    NeighbourRows rows;
    _Atomic int failed;
} Ease;

static const size_t TILE_FLOATS = (size_t)TILE * TILE;

static float *tile_at(const Ease *e, int32_t row, int32_t col) {
    return e->tile[(size_t)row * ((size_t)row + 1) / 2 + (size_t)col];
}

static int64_t n_tiles(const Ease *e) { return (int64_t)e->tiles * (e->tiles + 1) / 2; }

/* ---- S'S + reg Id ---- */

/* Row of S'S, or of T'S, for an item and those that take part, into sum. */
static void products_row(const Ease *e, const Csr *by_item, int32_t item, double *sum) {
    const Csr *source = &e->examples.source;
    memset(sum, 0, (size_t)e->n * sizeof *sum);
    for (int64_t a = by_item->row_start[item]; a < by_item->row_start[item + 1]; a++) {
        int32_t row = by_item->col[a];
        double x = (double)by_item->val[a];
        for (int64_t b = source->row_start[row]; b < source->row_start[row + 1]; b++) {
            int32_t place = e->place[source->col[b]];
            if (place >= 0) sum[place] += x * (double)source->val[b];
        }
    }
}

static void gram_row(const Ease *e, int32_t row, double *sum) {
    products_row(e, &e->examples.source_by_item, e->item[row], sum);
    sum[row] += e->params.reg + e->ratio * sum[row];
    for (int32_t col = 0; col < e->n && col / TILE <= row / TILE; col++)
        tile_at(e, row / TILE,
            col / TILE)[(size_t)(row % TILE) * TILE + (size_t)(col % TILE)] = (float)sum[col];
}

/* The columns of A from sums: of the pairs with the items of a block, each where it belongs below
 * the diagonal, and in the block's own tile above it too. */
static void gram_column(const Ease *e, int32_t place) {
    const ItemSums *sums = e->sums;
    int32_t item = e->item[place];
    size_t c = (size_t)(place % TILE);
    for (int64_t a = sums->row_start[item]; a < sums->row_start[item + 1]; a++) {
        int32_t other = e->place[sums->col[a]];
        double count = sums->count[a];
        if (other < 0) continue;
        if (other == place) count += e->params.reg + e->ratio * count;
        size_t r = (size_t)(other % TILE);
        tile_at(e, other / TILE, place / TILE)[r * TILE + c] = (float)count;
        if (other / TILE == place / TILE)
            tile_at(e, place / TILE, place / TILE)[c * TILE + r] = (float)count;
    }
}

static void gram_piece(void *context, int64_t piece, int worker) {
    const Ease *e = context;
    int32_t from = (int32_t)piece * TILE, to = from + TILE;
    for (int32_t row = from; row < to; row++) {
        if (row < e->n && e->sums) gram_column(e, row);
        else if (row < e->n) gram_row(e, row, e->sum[worker]);
        else tile_at(e, row / TILE, row / TILE)[(size_t)(row % TILE) * (TILE + 1)] = 1;
    }
}

/* ---- the inverse ---- */

static void transpose(float *out, const float *in) {
    for (size_t i = 0; i < TILE; i++)
        for (size_t j = 0; j < TILE; j++) out[j * TILE + i] = in[i * TILE + j];
}

/* A_ik D^-1 for one i. */
static void panel_piece(void *context, int64_t piece, int worker) {
    const Ease *e = context;
    int32_t i = (int32_t)piece;
    float *panel = e->panel + (size_t)i * TILE_FLOATS;
    (void)worker;
    if (i == e->pivot) return;
    if (i > e->pivot) memcpy(panel, tile_at(e, i, e->pivot), TILE_FLOATS * sizeof *panel);
    else transpose(panel, tile_at(e, e->pivot, i));
    dense_multiply(&(DenseProduct){.m = TILE,
        .n = TILE,
        .k = TILE,
        .alpha = 1,
        .c = e->swept + (size_t)i * TILE_FLOATS,
        .c_row = TILE,
        .a = panel,
        .a_row = TILE,
        .b = e->inverse,
        .b_row = TILE});
}

/* One tile of the lower triangle: an update, or what the sweep puts in the pivot's row and
 * column. */
static void update_piece(void *context, int64_t piece, int worker) {
    const Ease *e = context;
    int32_t i = (int32_t)((sqrt(8 * (double)piece + 1) - 1) / 2);
    (void)worker;
    while ((int64_t)i * (i + 1) / 2 > piece) i--; /* the root may be rounded */
    while ((int64_t)(i + 1) * (i + 2) / 2 <= piece) i++;
    int32_t j = (int32_t)(piece - (int64_t)i * (i + 1) / 2);
    float *tile = tile_at(e, i, j);
    if (i == e->pivot && j == e->pivot)
        for (size_t c = 0; c < TILE_FLOATS; c++) tile[c] = -e->inverse[c];
    else if (j == e->pivot)
        memcpy(tile, e->swept + (size_t)i * TILE_FLOATS, TILE_FLOATS * sizeof *tile);
    else if (i == e->pivot) transpose(tile, e->swept + (size_t)j * TILE_FLOATS);
    else
        dense_multiply(&(DenseProduct){.m = TILE,
            .n = TILE,
            .k = TILE,
            .alpha = -1,
            .beta = 1,
            .c = tile,
            .c_row = TILE,
            .a = e->swept + (size_t)i * TILE_FLOATS,
            .a_row = TILE,
            .b = e->panel + (size_t)j * TILE_FLOATS,
            .b_row = TILE,
            .b_t = 1});
}

static Status too_small(const Ease *e, Err *err) {
    return fail(
        err, ST_BADARG, "reg=%g is too small: X'X + reg has no inverse in float32", e->params.reg);
}

static Status sweep_all(Ease *e, Task *task, Err *err) {
    for (e->pivot = 0; e->pivot < e->tiles; e->pivot++) {
        memcpy(e->inverse, tile_at(e, e->pivot, e->pivot), TILE_FLOATS * sizeof *e->inverse);
        for (size_t i = 0; i < TILE; i++) /* rounding has made the halves differ a little */
            for (size_t j = 0; j < i; j++) e->inverse[j * TILE + i] = e->inverse[i * TILE + j];
        if (dense_invert_spd(e->inverse, TILE)) return too_small(e, err);
        TRY(task_run(task, e->tiles, panel_piece, e, err));
        TRY(task_run(task, n_tiles(e), update_piece, e, err));
    }
    return ST_OK;
}

/* ---- rows of B ---- */

/* Rows [from, to) of A in full, out of its lower triangle. */
static void full_rows(const Ease *e, int32_t from, int32_t to, float *out) {
    size_t width = (size_t)e->tiles * TILE;
    for (int32_t r = from; r < to; r++)
        for (int32_t j = 0; j <= r / TILE; j++)
            memcpy(out + (size_t)(r - from) * width + (size_t)j * TILE,
                tile_at(e, r / TILE, j) + (size_t)(r % TILE) * TILE, TILE * sizeof *out);
    for (int32_t j = from / TILE + 1; j < e->tiles; j++)
        for (size_t c = 0; c < TILE; c++)
            for (int32_t r = from; r < to; r++)
                if (j > r / TILE)
                    out[(size_t)(r - from) * width + (size_t)j * TILE + c] = tile_at(
                        e, j, r / TILE)[c * TILE + (size_t)(r % TILE)];
}

/* Rows of B out of rows of A = -P, in place: n numbers each, a row `width` long in memory. */
static void divide_rows(const Ease *e, int32_t first, int32_t count, size_t width, float *row) {
    for (int32_t r = 0; r < count; r++)
        for (int32_t j = 0; j < e->n; j++)
            row[(size_t)r * width + (size_t)j] = j == first + r
                ? 0
                : row[(size_t)r * width + (size_t)j] / e->diagonal[j];
}

/* The same for B = P S'T: a column of B from the sparse column of S'T and the rows of P, whose
 * numbers for an item stand together. */
static void multiply_rows(const Ease *e, int32_t count, size_t width, float *row, float *across) {
    float out[NEIGHBOUR_PIECE];
    memset(across, 0, (size_t)e->n * NEIGHBOUR_PIECE * sizeof *across);
    for (int32_t r = 0; r < count; r++)
        for (int32_t k = 0; k < e->n; k++)
            across[(size_t)k * NEIGHBOUR_PIECE + (size_t)r] = -row[(size_t)r * width + (size_t)k];
    for (int32_t j = 0; j < e->n; j++) {
        int64_t from = e->said.row_start[j];
        kernels()->sparse_row(e->said.col + from, e->said.val + from, csr_row_len(&e->said, j),
            across, NEIGHBOUR_PIECE, NEIGHBOUR_PIECE, out);
        for (int32_t r = 0; r < count; r++) row[(size_t)r * width + (size_t)j] = out[r];
    }
}

static double users_of(const Ease *e, int32_t place) {
    return fmax(1, (double)e->model->popularity[e->item[place]]); /* noise may leave none */
}

static void discount_row(const Ease *e, int32_t place, float *row) {
    for (int32_t j = 0; j < e->n && e->params.item_power > 0; j++)
        row[j] *= (float)pow(users_of(e, place) / users_of(e, j), e->params.item_power);
}

static void rows_piece(void *context, int64_t piece, int worker) {
    Ease *e = context;
    int32_t first = -1, last = -1, to = neighbour_to(&e->rows, piece);
    size_t width = (size_t)e->tiles * TILE;
    float *rows = e->row[worker];
    for (int32_t i = neighbour_from(piece); i < to; i++) {
        if (e->place[i] < 0) continue;
        if (first < 0) first = e->place[i];
        last = e->place[i];
    }
    if (first >= 0) {
        full_rows(e, first, last + 1, rows);
        if (e->examples.shared) divide_rows(e, first, last + 1 - first, width, rows);
        else multiply_rows(e, last + 1 - first, width, rows, e->across[worker]);
    }
    for (int32_t i = neighbour_from(piece); i < to; i++) {
        float *row = e->place[i] < 0 ? NULL : rows + (size_t)(e->place[i] - first) * width;
        if (row) discount_row(e, e->place[i], row);
        if (!neighbour_rows_keep_dense(&e->rows, i, row, e->item, row ? e->n : 0, e->list[worker],
                (size_t)e->params.neighbours))
            e->failed = 1;
    }
}

/* ---- S'T ---- */

typedef struct Said {
    Ease *ease;
    NeighbourRows rows; /* by target place: all sources */
} Said;

static void said_piece(void *context, int64_t piece, int worker) {
    Said *s = context;
    Ease *e = s->ease;
    for (int32_t j = neighbour_from(piece); j < neighbour_to(&s->rows, piece); j++) {
        size_t n = 0;
        products_row(e, &e->examples.target_by_item, e->item[j], e->sum[worker]);
        for (int32_t i = 0; i < e->n; i++)
            if (e->sum[worker][i] != 0) e->list[worker][n++] = (Scored){e->sum[worker][i], i};
        if (!neighbour_rows_keep(&s->rows, j, 0, e->list[worker], n, n, 0)) e->failed = 1;
    }
}

static Status multiply_targets(Ease *e, Task *task, Err *err) {
    Said said = {.ease = e};
    if (e->examples.shared) return ST_OK;
    Status status = neighbour_rows_init(&said.rows, e->n, err);
    task_phase(task, "targets", "items", e->n, said.rows.n_pieces);
    if (status == ST_OK) status = task_run(task, said.rows.n_pieces, said_piece, &said, err);
    if (status == ST_OK && e->failed) status = fail_nomem(err, "the targets");
    if (status == ST_OK) status = neighbour_rows_join(&said.rows, &e->said, NULL, err);
    neighbour_rows_clear(&said.rows);
    return status;
}

/* ---- training ---- */

/* The items with the most users, in id order. */
static Status choose_items(Ease *e, Err *err) {
    int32_t n_items = e->model->n_items, at = 0;
    e->n = e->params.max_items && e->params.max_items < n_items ? (int32_t)e->params.max_items
                                                                : n_items;
    e->tiles = (e->n + TILE - 1) / TILE;
    e->item = mem_array((size_t)e->n, sizeof *e->item);
    e->place = mem_array((size_t)n_items, sizeof *e->place);
    if (!e->item || !e->place) return fail_nomem(err, "the items");
    for (int32_t i = 0; i < n_items; i++) e->place[i] = -1;
    for (int32_t i = 0; i < e->n; i++) e->place[e->model->popular[i]] = 0;
    for (int32_t i = 0; i < n_items; i++) {
        if (e->place[i] < 0) continue;
        e->place[i] = at;
        e->item[at++] = i;
    }
    return ST_OK;
}

static Status check_memory(const Ease *e, int threads, Err *err) {
    double tiles = (double)n_tiles(e) + 2.0 * e->tiles + 1, n = e->n;
    double bytes = tiles * (double)TILE_FLOATS * 4 + threads * n * (24 + 8.0 * NEIGHBOUR_PIECE) +
        24.0 * n * (double)(e->params.neighbours < e->n ? e->params.neighbours : e->n);
    double gib = bytes / (1 << 30);
    if (gib <= e->params.memory) return ST_OK;
    return fail(err, ST_BADARG,
        "training on %d items needs %.2g GiB (memory=%g; allow more, or fewer items by max_items=)",
        e->n, gib, e->params.memory);
}

static Status allocate(Ease *e, int threads, Err *err) {
    size_t t = (size_t)threads, n = (size_t)e->n,
           panel = (size_t)e->tiles * TILE_FLOATS * sizeof(float);
    e->tile = mem_zeros((size_t)n_tiles(e), sizeof *e->tile);
    e->panel = mem_aligned(1, panel);
    e->swept = mem_aligned(1, panel);
    e->inverse = mem_aligned(1, TILE_FLOATS * sizeof(float));
    e->diagonal = mem_array(n, sizeof *e->diagonal);
    e->sum = mem_zeros(t, sizeof *e->sum);
    e->row = mem_zeros(t, sizeof *e->row);
    e->list = mem_zeros(t, sizeof *e->list);
    e->across = mem_zeros(t, sizeof *e->across);
    if (!e->across || !e->tile || !e->panel || !e->swept || !e->inverse || !e->diagonal ||
        !e->sum || !e->row || !e->list)
        return fail_nomem(err, "the inverse");
    for (int64_t i = 0; i < n_tiles(e); i++) {
        if (!(e->tile[i] = mem_aligned(1, TILE_FLOATS * sizeof(float))))
            return fail_nomem(err, "the inverse");
        memset(e->tile[i], 0, TILE_FLOATS * sizeof(float));
    }
    for (size_t w = 0; w < t; w++) {
        e->sum[w] = mem_array(n, sizeof **e->sum);
        e->row[w] = mem_array((size_t)NEIGHBOUR_PIECE * (size_t)e->tiles, TILE * sizeof **e->row);
        e->list[w] = mem_array(n, sizeof **e->list);
        if (!e->examples.shared)
            e->across[w] = mem_aligned(n, NEIGHBOUR_PIECE * sizeof **e->across);
        if (!e->sum[w] || !e->row[w] || !e->list[w] || (!e->across[w] && !e->examples.shared))
            return fail_nomem(err, "the inverse");
    }
    return neighbour_rows_init(&e->rows, e->model->n_items, err);
}

static void free_tiles(Ease *e) {
    for (int64_t i = 0; e->tile && i < n_tiles(e); i++) mem_free(e->tile[i]);
    mem_free(e->tile);
    e->tile = NULL;
}

static void clear(Ease *e, int threads) {
    free_tiles(e);
    for (int w = 0; w < threads; w++) {
        if (e->sum) mem_free(e->sum[w]);
        if (e->row) mem_free(e->row[w]);
        if (e->list) mem_free(e->list[w]);
        if (e->across) mem_free(e->across[w]);
    }
    mem_free(e->across);
    examples_clear(&e->examples);
    csr_clear(&e->said);
    mem_free(e->sum);
    mem_free(e->row);
    mem_free(e->list);
    mem_free(e->panel);
    mem_free(e->swept);
    mem_free(e->inverse);
    mem_free(e->diagonal);
    mem_free(e->item);
    mem_free(e->place);
    neighbour_rows_clear(&e->rows);
}

static float *diagonal_at(const Ease *e, int32_t j) {
    return tile_at(e, j / TILE, j / TILE) + (size_t)(j % TILE) * (TILE + 1);
}

static Status invert(Ease *e, Task *task, Err *err) {
    task_phase(task, "inverse", "items", e->n, e->tiles + e->tiles * (e->tiles + n_tiles(e)));
    TRY(dense_begin(task->threads, err));
    Status status = task_run(task, e->tiles, gram_piece, e, err);
    for (int32_t j = 0; j < e->n; j++) e->diagonal[j] = *diagonal_at(e, j);
    if (status == ST_OK) status = sweep_all(e, task, err);
    dense_end();
    /* 1 / (P_jj G_jj) is the part of item j that the others do not explain: where it is of the size
     * of float32's rounding, the column is made of rounding errors, more or less by the CPU. */
    for (int32_t j = 0; j < e->n && status == ST_OK; j++) {
        float inverse = -*diagonal_at(e, j);
        if (!(inverse > 0 && inverse * e->diagonal[j] < 1 / (64 * FLT_EPSILON)))
            status = too_small(e, err);
        e->diagonal[j] = inverse;
    }
    return status;
}

static Recency ease_recency(const AlgorithmParams *params) {
    EaseParams p;
    memcpy(&p, params, sizeof p);
    return examples_recency(&p.examples, p.recency);
}

static Status train(Ease *e, Model *model, const Dataset *data, Task *task, Err *err) {
    memcpy(&e->params, &model->params, sizeof e->params);
    e->ratio = e->params.dropout / (1 - e->params.dropout);
    TRY(choose_items(e, err));
    TRY(check_memory(e, task->threads, err));
    if (data) TRY(examples_init(&e->examples, model, data, &e->params.examples, "ease", task, err));
    TRY(allocate(e, task->threads, err));
    if (data) TRY(multiply_targets(e, task, err));
    TRY(invert(e, task, err));
    task_phase(task, "neighbours", "items", e->n, e->rows.n_pieces);
    TRY(task_run(task, e->rows.n_pieces, rows_piece, e, err));
    if (e->failed) return fail_nomem(err, "the neighbours");
    free_tiles(e);
    return neighbours_finish(model, &e->rows, 0, err);
}

static Status ease_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Ease e = {.model = model};
    Status status = train(&e, model, data, task, err);
    clear(&e, task->threads);
    return status;
}

static Status ease_train_sums(Model *model, const ItemSums *sums, Task *task, Err *err) {
    Ease e = {.model = model, .sums = sums, .examples = {.shared = 1}};
    memcpy(&e.params, &model->params, sizeof e.params);
    const ExampleParams *p = &e.params.examples;
    if (p->target != TARGET_SELF || p->pairs != PAIRS_BINARY || p->user_power != 0)
        return fail(
            err, ST_BADARG, "sums have counts alone: target=self, pairs=binary, user_power=0");
    Status status = train(&e, model, NULL, task, err);
    clear(&e, task->threads);
    return status;
}

static int ease_wants_order(const AlgorithmParams *params) {
    EaseParams p;
    memcpy(&p, params, sizeof p);
    return p.examples.target != TARGET_SELF;
}

static void ease_cost(const CostAsk *ask, Cost *out) {
    EaseParams p;
    memcpy(&p, ask->params, sizeof p);
    double n = ask->data->by_user.n_cols, all = n;
    if (p.max_items > 0 && (double)p.max_items < n) n = (double)p.max_items;
    double side = ceil(n / TILE) * TILE, kept = fmin((double)p.neighbours, n);
    ExamplesCost examples = cost_examples(ask, &p.examples);
    out->product += side * side * (.6 * side + TILE);
    out->scatter += examples.squares + n * n;
    if (p.examples.target != TARGET_SELF) {
        out->scatter += examples.products;
        out->vector += n * fmin(n * n, examples.products) / 2;
    }
    out->bytes += 2 * side * side + 8 * side * TILE +
        ask->threads * n * (24 + 8.0 * NEIGHBOUR_PIECE) + 24 * n * kept + 12 * examples.entries +
        8 * all;
    out->stored += 8 * n * kept;
}

const Algorithm ease_algorithm = {
    .name = "ease",
    .least_events = 5000,
    .summary = "the best linear model of every item from all others, in closed form; for "
               "catalogues up to some ten thousand items",
    .options = ease_options,
    .tune_space = "{\"reg\":{\"min\":10,\"max\":2000,\"log\":true}}",
    .params_size = sizeof(EaseParams),
    .by_session = ease_wants_order,
    .wants_order = ease_wants_order,
    .recency = ease_recency,
    .cost = ease_cost,
    .train = ease_train,
    .train_sums = ease_train_sums,
    NEIGHBOURS_SERVE,
};
