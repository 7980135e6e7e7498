/* slim: a sparse linear model of every item from its likeliest neighbours (Ning and Karypis 2011;
 * candidates by cosine as in fsSLIM). For every item j
 *
 *     minimise  1/2 |t_j - sum_k w_k s_k|^2 + sum_k (l2 + r |s_k|^2) / 2 w_k^2 + l1 |w|_1,
 *               w >= 0, and w_j = 0 of target=self
 *
 *     s_k, t_j: columns of source and target (examples.h; target=self: both are X, users x items)
 *     k: the `neighbours` items with the highest s_k . t_j / |s_k|
 *     r = dropout / (1 - dropout): what dropping items of the source comes to (Steck 2020)
 *
 * by coordinate descent: with the residual e = t_j - sum_k w_k s_k,
 *     w_k = max(0, s_k . e + w_k |s_k|^2 - l1) / ((1 + r) |s_k|^2 + l2)
 * until no weight moves by more than a thousandth, at most PASSES times. score_uj = sum over the
 * items k of u of w_kj x_uk, w_kj times (c_k / c_j)^item_power, c the users of an item (Park et al.
 * 2025).
 *
 * Cost: for every item the entries of its candidates, a pass; memory (rows + 3 items) doubles a
 * thread. Items are independent, so threads do not change a bit. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"
#include "cost.h"
#include "examples.h"
#include "neighbours.h"

typedef struct SlimParams {
    double l1;
    double l2;
    int64_t neighbours;
    ExampleParams examples;
    double dropout;
    double item_power;
    Recency recency;
} SlimParams;

enum { PASSES = 30 };

static const OptSpec slim_options[] = {
    {"l1", OPT_REAL, offsetof(SlimParams, l1), 0, 1e6, 0.1, NULL, "draws weights to exactly 0"},
    {"l2", OPT_REAL, offsetof(SlimParams, l2), 0, 1e9, 100, NULL,
        "keeps weights small: 50 to 1000"},
    {"neighbours", OPT_INT, offsetof(SlimParams, neighbours), 1, 100000, 100, NULL,
        "candidates an item: those with the highest cosine"},
    EXAMPLE_OPTIONS(SlimParams, examples),
    {"dropout", OPT_REAL, offsetof(SlimParams, dropout), 0, .95, 0, NULL,
        "the share of a source that may be missing: popular items are trusted less"},
    {"item_power", OPT_REAL, offsetof(SlimParams, item_power), 0, 2, 0, NULL,
        "how much popular items are discounted as targets and favoured as sources"},
    RECENCY_OPTIONS(SlimParams, "1, of target=next and both .6"),
    {0},
};

typedef struct SlimWorker {
    double *dot;      /* items: x_j . x_i, zero between items */
    int32_t *touched; /* items */
    Scored *list;     /* items */
    double *residual; /* rows, zero between items */
    double *w;        /* neighbours */
} SlimWorker;

typedef struct Slim {
    SlimParams params;
    const Model *model;
    const Dataset *data;
    Examples examples;
    double ratio;   /* dropout / (1 - dropout) */
    double *square; /* items: |s_i|^2 */
    SlimWorker *worker;
    NeighbourRows rows;
    _Atomic int failed;
} Slim;

/* The candidates of item j into w->list; returns how many. */
static size_t candidates(const Slim *s, SlimWorker *w, int32_t j) {
    const Csr *target = &s->examples.target_by_item, *source = &s->examples.source;
    int32_t n = 0;
    size_t found = 0;
    for (int64_t e = target->row_start[j]; e < target->row_start[j + 1]; e++) {
        int32_t row = target->col[e];
        for (int64_t f = source->row_start[row]; f < source->row_start[row + 1]; f++) {
            int32_t i = source->col[f];
            if (w->dot[i] == 0) w->touched[n++] = i;
            w->dot[i] += (double)target->val[e] * (double)source->val[f];
        }
    }
    for (int32_t t = 0; t < n; t++) {
        int32_t i = w->touched[t];
        /* what comes next may be the same again */
        if (i != j || !s->examples.shared)
            w->list[found++] = (Scored){w->dot[i] / sqrt(s->square[i]), i};
        w->dot[i] = 0;
    }
    return scored_best(w->list, found, (size_t)s->params.neighbours);
}

/* One pass over the weights; returns the largest move. */
static double descend(const Slim *s, SlimWorker *w, size_t n) {
    const Csr *source = &s->examples.source_by_item;
    double largest = 0;
    for (size_t c = 0; c < n; c++) {
        int32_t k = (int32_t)w->list[c].id;
        int64_t from = source->row_start[k], to = source->row_start[k + 1];
        double gradient = w->w[c] * s->square[k] - s->params.l1;
        for (int64_t e = from; e < to; e++)
            gradient += (double)source->val[e] * w->residual[source->col[e]];
        double size = s->square[k] + s->ratio * s->square[k] + s->params.l2;
        double value = gradient > 0 ? gradient / size : 0, move = value - w->w[c];
        if (move == 0) continue;
        for (int64_t e = from; e < to; e++)
            w->residual[source->col[e]] -= move * (double)source->val[e];
        w->w[c] = value;
        largest = fmax(largest, fabs(move));
    }
    return largest;
}

static void set_residual(const Csr *by_item, int32_t item, int zero, double *residual) {
    for (int64_t e = by_item->row_start[item]; e < by_item->row_start[item + 1]; e++)
        residual[by_item->col[e]] = zero ? 0 : (double)by_item->val[e];
}

static double users_of(const Slim *s, int32_t item) {
    return (double)csr_row_len(&s->data->by_item, item);
}

static int fit_item(Slim *s, SlimWorker *w, int32_t j) {
    size_t n = candidates(s, w, j), kept = 0;
    double self = 0;
    memset(w->w, 0, n * sizeof *w->w);
    set_residual(&s->examples.target_by_item, j, 0, w->residual);
    for (int pass = 0; pass < PASSES && descend(s, w, n) > 1e-3; pass++) {}
    set_residual(&s->examples.target_by_item, j, 1, w->residual);
    for (size_t c = 0; c < n; c++)
        set_residual(&s->examples.source_by_item, (int32_t)w->list[c].id, 1, w->residual);
    for (size_t c = 0; c < n; c++) {
        int32_t k = (int32_t)w->list[c].id;
        double share = s->params.item_power > 0
            ? pow(users_of(s, k) / users_of(s, j), s->params.item_power)
            : 1;
        if (k == j) self = w->w[c];
        else if (w->w[c] > 0) w->list[kept++] = (Scored){w->w[c] * share, k};
    }
    return neighbour_rows_keep(&s->rows, j, self, w->list, kept, kept, 0);
}

static void slim_piece(void *context, int64_t piece, int worker) {
    Slim *s = context;
    for (int32_t j = neighbour_from(piece); j < neighbour_to(&s->rows, piece) && !s->failed; j++)
        if (!fit_item(s, &s->worker[worker], j)) s->failed = 1;
}

static Status allocate(Slim *s, int threads, Err *err) {
    size_t items = (size_t)s->model->n_items, rows = (size_t)s->examples.source.n_rows;
    s->square = mem_zeros(items, sizeof *s->square);
    s->worker = mem_zeros((size_t)threads, sizeof *s->worker);
    if (!s->square || !s->worker) return fail_nomem(err, "the weights");
    for (int t = 0; t < threads; t++) {
        SlimWorker *w = &s->worker[t];
        w->dot = mem_zeros(items, sizeof *w->dot);
        w->touched = mem_array(items, sizeof *w->touched);
        w->list = mem_array(items, sizeof *w->list);
        w->residual = mem_zeros(rows, sizeof *w->residual);
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
    examples_clear(&s->examples);
    mem_free(s->square);
    neighbour_rows_clear(&s->rows);
}

static Recency slim_recency(const AlgorithmParams *params) {
    SlimParams p;
    memcpy(&p, params, sizeof p);
    return examples_recency(&p.examples, p.recency);
}

static Status slim_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Slim s = {.model = model, .data = data};
    memcpy(&s.params, &model->params, sizeof s.params);
    s.ratio = s.params.dropout / (1 - s.params.dropout);
    Status status = examples_init(&s.examples, model, data, &s.params.examples, "slim", task, err);
    if (status == ST_OK) status = allocate(&s, task->threads, err);
    if (status == ST_OK) {
        const Csr *source = &s.examples.source;
        for (int64_t e = 0; e < csr_nnz(source); e++)
            s.square[source->col[e]] += (double)source->val[e] * (double)source->val[e];
        task_phase(task, "weights", "items", model->n_items, s.rows.n_pieces);
        status = task_run(task, s.rows.n_pieces, slim_piece, &s, err);
    }
    if (status == ST_OK && s.failed) status = fail_nomem(err, "the neighbours");
    if (status == ST_OK) status = neighbours_finish(model, &s.rows, 1, err);
    clear(&s, task->threads);
    return status;
}

static int slim_wants_order(const AlgorithmParams *params) {
    SlimParams p;
    memcpy(&p, params, sizeof p);
    return p.examples.target != TARGET_SELF;
}

static void slim_cost(const CostAsk *ask, Cost *out) {
    SlimParams p;
    memcpy(&p, ask->params, sizeof p);
    ExamplesCost examples = cost_examples(ask, &p.examples);
    double items = ask->data->by_user.n_cols, k = fmin((double)p.neighbours, items);
    /* passes over the rows that hold an item's candidates, which are had about as often as it */
    double passes = p.examples.target == TARGET_SELF ? 25 : 10;
    out->scatter += examples.products + passes * k * examples.entries;
    out->bytes += 24 * examples.entries + ask->threads * (8 * examples.rows + 36 * items);
    cost_neighbours(out, ask, .8 * k, examples.products);
}

const Algorithm slim_algorithm = {
    .name = "slim",
    .least_events = 5000,
    .summary = "a sparse linear model of every item from its likeliest neighbours",
    .in_auto = AUTO_ALWAYS,
    .options = slim_options,
    .tune_space = "{\"l1\":{\"min\":0.05,\"max\":2,\"log\":true},\"l2\":{\"min\":1,\"max\":300,"
                  "\"log\":true},\"neighbours\":[100,200]}",
    .tune_space_timed =
        "{\"target\":[\"self\",\"both\"],\"l1\":{\"min\":0.05,\"max\":2,\"log\":true},\"l2\":{"
        "\"min\":1,\"max\":300,\"log\":true},\"neighbours\":[100,200]}",
    .params_size = sizeof(SlimParams),
    .by_session = slim_wants_order,
    .wants_order = slim_wants_order,
    .recency = slim_recency,
    .cost = slim_cost,
    .train = slim_train,
    NEIGHBOURS_SERVE,
};
