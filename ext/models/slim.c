/* slim: a sparse linear model of every item from its likeliest neighbours (Ning and Karypis 2011;
 * candidates by cosine as in fsSLIM). For every item j
 *
 *     minimise  1/2 |x_j - sum_k w_k x_k|^2 + l2 / 2 |w|^2 + l1 |w|_1,   w >= 0, w_j = 0
 *
 *     x_j: column j of X (users x items, 1 or the scaled weight by `pairs`); k: the `neighbours`
 *     items with the highest cosine
 *
 * by coordinate descent: with r = x_j - sum_k w_k x_k,   w_k = max(0, x_k . r + w_k |x_k|^2 - l1) /
 * (|x_k|^2 + l2),
 * until no weight moves by more than a thousandth, at most PASSES times. score_uj = sum over the
 * items k of u of w_kj x_uk.
 *
 * Cost: for every item the users of its candidates, a pass; memory (users + 3 items) doubles a
 * thread. Items are independent, so threads do not change a bit. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"
#include "neighbours.h"

typedef struct SlimParams {
    double l1;
    double l2;
    int64_t neighbours;
    int64_t pairs;
} SlimParams;

enum { PASSES = 30 };

static const OptSpec slim_options[] = {
    {"l1", OPT_REAL, offsetof(SlimParams, l1), 0, 1e6, 0.1, NULL, "draws weights to exactly 0"},
    {"l2", OPT_REAL, offsetof(SlimParams, l2), 0, 1e9, 100, NULL,
        "keeps weights small: 50 to 1000"},
    {"neighbours", OPT_INT, offsetof(SlimParams, neighbours), 1, 100000, 100, NULL,
        "candidates an item: those with the highest cosine"},
    {"pairs", OPT_CHOICE, offsetof(SlimParams, pairs), 0, 0, PAIRS_BINARY, "binary|weighted",
        "whether X holds that a user has an item, or its scaled weight"},
    {0},
};

typedef struct SlimWorker {
    double *dot;      /* items: x_j . x_i, zero between items */
    int32_t *touched; /* items */
    Scored *list;     /* items */
    double *residual; /* users, zero between items */
    double *w;        /* neighbours */
} SlimWorker;

typedef struct Slim {
    SlimParams params;
    const Model *model;
    const Dataset *data;
    float *x_user, *x_item; /* X in by_user and by_item order */
    double *square;         /* items: |x_i|^2 */
    SlimWorker *worker;
    NeighbourRows rows;
    _Atomic int failed;
} Slim;

/* The candidates of item j into w->list; returns how many. */
static size_t candidates(const Slim *s, SlimWorker *w, int32_t j) {
    const Csr *by_user = &s->data->by_user, *by_item = &s->data->by_item;
    int32_t n = 0;
    size_t found = 0;
    for (int64_t e = by_item->row_start[j]; e < by_item->row_start[j + 1]; e++) {
        int32_t u = by_item->col[e];
        for (int64_t f = by_user->row_start[u]; f < by_user->row_start[u + 1]; f++) {
            int32_t i = by_user->col[f];
            if (w->dot[i] == 0) w->touched[n++] = i;
            w->dot[i] += (double)s->x_item[e] * (double)s->x_user[f];
        }
    }
    for (int32_t t = 0; t < n; t++) {
        int32_t i = w->touched[t];
        if (i != j) w->list[found++] = (Scored){w->dot[i] / sqrt(s->square[i]), i};
        w->dot[i] = 0;
    }
    return scored_best(w->list, found, (size_t)s->params.neighbours);
}

/* One pass over the weights; returns the largest move. */
static double descend(const Slim *s, SlimWorker *w, size_t n) {
    const Csr *by_item = &s->data->by_item;
    double largest = 0;
    for (size_t c = 0; c < n; c++) {
        int32_t k = (int32_t)w->list[c].id;
        int64_t from = by_item->row_start[k], to = by_item->row_start[k + 1];
        double gradient = w->w[c] * s->square[k] - s->params.l1;
        for (int64_t e = from; e < to; e++)
            gradient += (double)s->x_item[e] * w->residual[by_item->col[e]];
        double value = gradient > 0 ? gradient / (s->square[k] + s->params.l2) : 0,
               move = value - w->w[c];
        if (move == 0) continue;
        for (int64_t e = from; e < to; e++)
            w->residual[by_item->col[e]] -= move * (double)s->x_item[e];
        w->w[c] = value;
        largest = fmax(largest, fabs(move));
    }
    return largest;
}

static int fit_item(Slim *s, SlimWorker *w, int32_t j) {
    const Csr *by_item = &s->data->by_item;
    size_t n = candidates(s, w, j), kept = 0;
    memset(w->w, 0, n * sizeof *w->w);
    for (int64_t e = by_item->row_start[j]; e < by_item->row_start[j + 1]; e++)
        w->residual[by_item->col[e]] = (double)s->x_item[e];
    for (int pass = 0; pass < PASSES && descend(s, w, n) > 1e-3; pass++) {}
    memset(w->residual, 0, (size_t)s->data->by_user.n_rows * sizeof *w->residual);
    for (size_t c = 0; c < n; c++)
        if (w->w[c] > 0) w->list[kept++] = (Scored){w->w[c], w->list[c].id};
    return neighbour_rows_keep(&s->rows, j, 0, w->list, kept, kept, 0);
}

static void slim_piece(void *context, int64_t piece, int worker) {
    Slim *s = context;
    for (int32_t j = neighbour_from(piece); j < neighbour_to(&s->rows, piece) && !s->failed; j++)
        if (!fit_item(s, &s->worker[worker], j)) s->failed = 1;
}

static Status allocate(Slim *s, int threads, Err *err) {
    size_t items = (size_t)s->model->n_items, users = (size_t)s->data->by_user.n_rows,
           nnz = (size_t)csr_nnz(&s->data->by_user);
    s->x_user = mem_array(nnz, sizeof *s->x_user);
    s->x_item = mem_array(nnz, sizeof *s->x_item);
    s->square = mem_zeros(items, sizeof *s->square);
    s->worker = mem_zeros((size_t)threads, sizeof *s->worker);
    if (!s->x_user || !s->x_item || !s->square || !s->worker) return fail_nomem(err, "the weights");
    for (int t = 0; t < threads; t++) {
        SlimWorker *w = &s->worker[t];
        w->dot = mem_zeros(items, sizeof *w->dot);
        w->touched = mem_array(items, sizeof *w->touched);
        w->list = mem_array(items, sizeof *w->list);
        w->residual = mem_zeros(users, sizeof *w->residual);
        w->w = mem_array(items, sizeof *w->w);
        if (!w->dot || !w->touched || !w->list || !w->residual || !w->w)
            return fail_nomem(err, "the weights");
    }
    return neighbour_rows_init(&s->rows, s->model->n_items, err);
}

static void clear(Slim *s, int threads) {
    for (int t = 0; s->worker && t < threads; t++) {
        mem_free(s->worker[t].dot);
        mem_free(s->worker[t].touched);
        mem_free(s->worker[t].list);
        mem_free(s->worker[t].residual);
        mem_free(s->worker[t].w);
    }
    mem_free(s->worker);
    mem_free(s->x_user);
    mem_free(s->x_item);
    mem_free(s->square);
    neighbour_rows_clear(&s->rows);
}

static Status slim_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Slim s = {.model = model, .data = data};
    memcpy(&s.params, &model->params, sizeof s.params);
    Status status = allocate(&s, task->threads, err);
    if (status == ST_OK) {
        for (int64_t e = 0; e < csr_nnz(&data->by_user); e++) {
            s.x_user[e] = (float)pair_value(model, s.params.pairs, data->by_user.val[e]);
            s.x_item[e] = (float)pair_value(model, s.params.pairs, data->by_item.val[e]);
            s.square[data->by_user.col[e]] += (double)s.x_user[e] * (double)s.x_user[e];
        }
        task_phase(task, "weights", "items", model->n_items, s.rows.n_pieces);
        status = task_run(task, s.rows.n_pieces, slim_piece, &s, err);
    }
    if (status == ST_OK && s.failed) status = fail_nomem(err, "the neighbours");
    if (status == ST_OK) status = neighbours_finish(model, &s.rows, 1, err);
    clear(&s, task->threads);
    return status;
}

const Algorithm slim_algorithm = {
    .name = "slim",
    .least_events = 5000,
    .summary = "a sparse linear model of every item from its likeliest neighbours",
    .in_auto = 1,
    .options = slim_options,
    .tune_space = "{\"l1\":{\"min\":0.05,\"max\":2,\"log\":true},\"l2\":{\"min\":1,\"max\":300,"
                  "\"log\":true},\"neighbours\":[100,200]}",
    .params_size = sizeof(SlimParams),
    .train = slim_train,
    NEIGHBOURS_SERVE(neighbours_read),
};
