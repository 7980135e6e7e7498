/* graph: filters of the user-item graph that need no training beyond a singular value
 * decomposition.
 *
 *     X: users x items, 0/1 (pairs=binary) or scaled weights; D_u, D_i its row and column sums
 *     N = D_u^-1/2 X D_i^-1/2;   P = N'N (items x items);   D = D_i
 *     V: items x factors, the right singular vectors of N
 *
 *     gfcf      F = P + ideal_weight D^-1/2 V V' D^1/2  (Shen et al. 2021, "GF-CF")
 *     turbocf   N = D_u^-alpha X D_i^(alpha-1), P's entries to the power `power`;
 *               F = P | 2P - P^2 | P + .01 (-P^3 + 10 P^2 - 29 P)  by order = 1 | 2 | 3
 *               (Park et al. 2024, "Turbo-CF")
 *     bspm      Y = P + ideal_weight D^-1/2 V V' D^1/2, then sharpened from 0 to horizon by
 *               dY/dt = -Y P in one step h:
 *                   euler  Y - h Y P
 *                   rk4    Y - h YP + h^2/2 YP^2 - h^3/6 YP^3 + h^4/24 YP^4
 *               F = blur P + (1 - blur) of the result  (Choi et al. 2023, "BSPM")
 *     chebycf   F = D^-b [ sum_k c_k T_k(L) + ideal_weight V V' ] D^b,  L = Id - 2P, T_k Chebyshev
 *               polynomials up to `order`, b = degree_power, c_k the coefficients of the plateau
 *               1/2 - 1/2 sign(t) |t|^flatness  (Kim et al. 2025, "ChebyCF")
 *
 * score_ui = sum over the items j of u of F_ji x_uj: linear in the history, so that F can be taken
 * once for all. A version holds the `neighbours` largest |F_ji| of every row j (docs/benchmarks.md
 * says what the cut costs) and serves like item_knn; no user's row is in it. F is computed for
 * NEIGHBOUR_PIECE rows at a time, in float32.
 *
 * Cost: svd.h, then for each of the I items 2 nnz multiply-adds a product with P (1 for gfcf, order
 * for chebycf) and 2 I factors for the ideal part; memory 4 I factors and 12 NEIGHBOUR_PIECE (users
 * + 4 I) bytes a thread. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "../math/svd.h"
#include "algorithms.h"
#include "cost.h"
#include "neighbours.h"

typedef struct GraphParams {
    int64_t filter;
    int64_t factors;
    int64_t order;
    int64_t solver;
    int64_t neighbours;
    int64_t pairs;
    double alpha;
    double power;
    double ideal_weight;
    double horizon;
    double blur;
    double flatness;
    double degree_power;
} GraphParams;

enum { GFCF, TURBOCF, BSPM, CHEBYCF };
enum { EULER, RK4 };
enum { WIDTH = NEIGHBOUR_PIECE, MAX_ORDER = 64 };

static const OptSpec graph_options[] = {
    {"filter", OPT_CHOICE, offsetof(GraphParams, filter), 0, 0, CHEBYCF,
        "gfcf|turbocf|bspm|chebycf", "which filter of the graph"},
    {"factors", OPT_INT, offsetof(GraphParams, factors), -1, 4096, -1, NULL,
        "singular vectors of the ideal part; -1: gfcf 256, bspm 448, chebycf 512"},
    {"ideal_weight", OPT_REAL, offsetof(GraphParams, ideal_weight), -1, 1000, -1, NULL,
        "weight of the ideal part; 0: none; -1: gfcf .3, bspm .2, chebycf .2"},
    {"order", OPT_INT, offsetof(GraphParams, order), -1, MAX_ORDER, -1, NULL,
        "chebycf: degree of the polynomial; turbocf: 1, 2 or 3; -1: 8 and 1"},
    {"flatness", OPT_REAL, offsetof(GraphParams, flatness), 0.01, 1000, 1.5, NULL,
        "chebycf: how flat the plateau is"},
    {"degree_power", OPT_REAL, offsetof(GraphParams, degree_power), -4, 4, .4, NULL,
        "chebycf: how much popular items are favoured"},
    {"alpha", OPT_REAL, offsetof(GraphParams, alpha), -4, 4, .6, NULL,
        "turbocf: how much heavy users count less"},
    {"power", OPT_REAL, offsetof(GraphParams, power), 0.01, 10, .7, NULL,
        "turbocf: power of P's entries; order 2 and 3 need 1"},
    {"horizon", OPT_REAL, offsetof(GraphParams, horizon), 0, 100, 2.5, NULL,
        "bspm: how long it sharpens"},
    {"solver", OPT_CHOICE, offsetof(GraphParams, solver), 0, 0, RK4, "euler|rk4", "bspm: the step"},
    {"blur", OPT_REAL, offsetof(GraphParams, blur), 0, 1, 0, NULL,
        "bspm: share of the unsharpened P in the result"},
    {"neighbours", OPT_INT, offsetof(GraphParams, neighbours), 1, 100000, 500, NULL,
        "items kept an item"},
    {"pairs", OPT_CHOICE, offsetof(GraphParams, pairs), 0, 0, PAIRS_BINARY, "binary|weighted",
        "whether X holds that a user has an item, or its scaled weight"},
    {0},
};

typedef struct GraphWorker {
    float *block[5]; /* items x WIDTH */
    float *users;    /* users x WIDTH */
    float *ideal;    /* WIDTH x items */
    float *row;      /* items */
    Scored *list;    /* items */
} GraphWorker;

typedef struct ItemGraph {
    GraphParams params;
    const Model *model;
    int32_t n_items, n_users;
    Csr by_user, by_item; /* N and its transpose */
    double *degree;       /* D_i: column sums of X */
    float *favour;        /* d_i^(1/2), of chebycf d_i^degree_power */
    float *v;             /* items x factors */
    double coefficient[MAX_ORDER + 1];
    GraphWorker *worker;
    NeighbourRows rows;
    _Atomic int failed;
} ItemGraph;

/* ---- the filters: block by block of WIDTH items j, with z_j = e_j; blocks are items x WIDTH
 * ---- */

static size_t block_floats(const ItemGraph *g) { return (size_t)g->n_items * WIDTH; }

/* out = P in. */
static void times_p(const ItemGraph *g, GraphWorker *w, const float *in, float *out) {
    for (int32_t u = 0; u < g->n_users; u++) {
        int64_t e = g->by_user.row_start[u];
        kernels()->sparse_row(g->by_user.col + e, g->by_user.val + e, csr_row_len(&g->by_user, u),
            in, WIDTH, WIDTH, w->users + (size_t)u * WIDTH);
    }
    for (int32_t i = 0; i < g->n_items; i++) {
        int64_t e = g->by_item.row_start[i];
        kernels()->sparse_row(g->by_item.col + e, g->by_item.val + e, csr_row_len(&g->by_item, i),
            w->users, WIDTH, WIDTH, out + (size_t)i * WIDTH);
    }
}

/* out += a x. */
static void add(float *out, double a, const float *x, size_t n) {
    float factor = (float)a;
    for (size_t i = 0; i < n; i++) out[i] += factor * x[i];
}

/* z = the unit vectors of the items from..to-1. */
static void unit_block(const ItemGraph *g, int32_t from, int32_t to, float *z) {
    memset(z, 0, block_floats(g) * sizeof *z);
    for (int32_t j = from; j < to; j++) z[(size_t)j * WIDTH + (size_t)(j - from)] = 1;
}

/* out_ij += ideal_weight (d_i / d_j)^power (V V')_ij. */
static void add_ideal(const ItemGraph *g, GraphWorker *w, int32_t from, int32_t to, float *out) {
    int32_t factors = (int32_t)g->params.factors;
    if (g->params.ideal_weight == 0 || factors == 0) return;
    dense_multiply(&(DenseProduct){.m = to - from,
        .n = g->n_items,
        .k = factors,
        .alpha = (float)g->params.ideal_weight,
        .c = w->ideal,
        .c_row = g->n_items,
        .a = g->v + (size_t)from * (size_t)factors,
        .a_row = factors,
        .b = g->v,
        .b_row = factors,
        .b_t = 1});
    for (int32_t i = 0; i < g->n_items; i++)
        for (int32_t j = from; j < to; j++)
            out[(size_t)i * WIDTH + (size_t)(j - from)] += g->favour[i] / g->favour[j] *
                w->ideal[(size_t)(j - from) * (size_t)g->n_items + (size_t)i];
}

static float *gfcf_block(const ItemGraph *g, GraphWorker *w, int32_t from, int32_t to) {
    times_p(g, w, w->block[0], w->block[1]);
    add_ideal(g, w, from, to, w->block[1]);
    return w->block[1];
}

static float *turbocf_block(const ItemGraph *g, GraphWorker *w) {
    /* of P^0 .. P^3 */
    static const double weight[4][4] = {{0}, {0, 1}, {0, 2, -1}, {0, 1 - .29, .1, -.01}};
    size_t n = block_floats(g);
    float *sum = w->block[2];
    memset(sum, 0, n * sizeof *sum);
    for (int64_t k = 1; k <= g->params.order; k++) {
        float *in = w->block[(k - 1) % 2], *out = w->block[k % 2];
        times_p(g, w, in, out);
        for (size_t i = 0; k == 1 && g->params.power != 1 && i < n; i++)
            out[i] = out[i] > 0 ? powf(out[i], (float)g->params.power) : 0;
        add(sum, weight[g->params.order][k], out, n);
    }
    return sum;
}

static float *bspm_block(const ItemGraph *g, GraphWorker *w, int32_t from, int32_t to) {
    size_t n = block_floats(g);
    double h = g->params.horizon, factor = 1;
    float *blurred = w->block[1], *y = w->block[2], *term = w->block[3], *sum = w->block[4];
    times_p(g, w, w->block[0], blurred);
    memcpy(y, blurred, n * sizeof *y);
    add_ideal(g, w, from, to, y);
    memcpy(sum, y, n * sizeof *sum);
    for (int step = 1; step <= (g->params.solver == EULER ? 1 : 4); step++) {
        times_p(g, w, y, term);
        factor *= -h / step;
        add(sum, factor, term, n);
        float *swap = y;
        y = term;
        term = swap;
    }
    for (size_t i = 0; i < n; i++)
        sum[i] = (float)((1 - g->params.blur) * (double)sum[i] +
            g->params.blur * (double)blurred[i]);
    return sum;
}

/* T_k = 2 (Id - 2 P) T_(k-1) - T_(k-2). */
static float *chebycf_block(const ItemGraph *g, GraphWorker *w, int32_t from, int32_t to) {
    size_t n = block_floats(g);
    float *before = w->block[0], *now = w->block[1], *term = w->block[2], *sum = w->block[3];
    for (size_t i = 0; i < n; i++) sum[i] = (float)g->coefficient[0] * before[i];
    for (int64_t k = 1; k <= g->params.order; k++) {
        times_p(g, w, k == 1 ? before : now, term);
        if (k == 1)
            for (size_t i = 0; i < n; i++) now[i] = before[i] - 2 * term[i];
        else
            for (size_t i = 0; i < n; i++) before[i] = 2 * (now[i] - 2 * term[i]) - before[i];
        if (k > 1) {
            float *swap = before;
            before = now;
            now = swap;
        }
        add(sum, g->coefficient[k], now, n);
    }
    for (int32_t i = 0; i < g->n_items; i++)
        for (int32_t j = from; j < to; j++)
            sum[(size_t)i * WIDTH + (size_t)(j - from)] *= g->favour[i] / g->favour[j];
    add_ideal(g, w, from, to, sum);
    return sum;
}

static void graph_piece(void *context, int64_t piece, int worker) {
    ItemGraph *g = context;
    GraphWorker *w = &g->worker[worker];
    int32_t from = neighbour_from(piece), to = neighbour_to(&g->rows, piece);
    unit_block(g, from, to, w->block[0]);
    const float *f = g->params.filter == GFCF ? gfcf_block(g, w, from, to)
        : g->params.filter == TURBOCF         ? turbocf_block(g, w)
        : g->params.filter == BSPM            ? bspm_block(g, w, from, to)
                                              : chebycf_block(g, w, from, to);
    for (int32_t j = from; j < to; j++) {
        for (int32_t i = 0; i < g->n_items; i++)
            w->row[i] = f[(size_t)i * WIDTH + (size_t)(j - from)];
        if (!neighbour_rows_keep_dense(
                &g->rows, j, w->row, NULL, g->n_items, w->list, (size_t)g->params.neighbours))
            g->failed = 1;
    }
}

/* ---- training ---- */

/* What is -1 becomes the filter's own: the settings published for Gowalla. */
static Status complete(GraphParams *p, int32_t n_users, int32_t n_items, Err *err) {
    static const int64_t factors[] = {256, 0, 448, 512}, order[] = {1, 1, 1, 8};
    static const double ideal_weight[] = {.3, 0, .2, .2};
    int64_t rank = n_users < n_items ? n_users : n_items;
    if (p->factors < 0) p->factors = factors[p->filter];
    if (p->ideal_weight < 0) p->ideal_weight = ideal_weight[p->filter];
    if (p->order < 0) p->order = order[p->filter];
    if (p->factors > rank) p->factors = rank;
    if (p->filter == TURBOCF && (p->order < 1 || p->order > 3))
        return fail(err, ST_BADARG, "order=%lld (turbocf: 1, 2 or 3)", (long long)p->order);
    if (p->filter == TURBOCF && p->order > 1 && p->power != 1)
        return fail(err, ST_BADARG, "turbocf with order=%lld needs power=1", (long long)p->order);
    if (p->filter == TURBOCF || p->ideal_weight == 0) p->factors = 0;
    return ST_OK;
}

/* The coefficients of the plateau. As in the authors' code the plateau is taken at cos((K - j) pi /
 * K), the polynomials at the Chebyshev nodes cos((K + 1/2 - j) pi / (K + 1)); the published figures
 * are with that. */
static void set_coefficients(ItemGraph *g) {
    const double pi = 3.14159265358979323846;
    int64_t order = g->params.order;
    for (int64_t k = 0; k <= order; k++) {
        double sum = 0;
        for (int64_t j = 0; j <= order; j++) {
            double t = order ? cos((double)(order - j) * pi / (double)order) : 0;
            double node = ((double)(order - j) + .5) * pi / (double)(order + 1);
            double plateau = .5 - .5 * (t > 0 ? 1 : -1) * pow(fabs(t), g->params.flatness);
            sum += plateau * cos((double)k * node);
        }
        g->coefficient[k] = sum * (k ? 2 : 1) / (double)(order + 1);
    }
}

/* N, its transpose, and D_i. */
static Status normalise(ItemGraph *g, const Dataset *data, Err *err) {
    const Csr *x = &data->by_user;
    double of_user = g->params.filter == TURBOCF ? g->params.alpha : .5,
           of_item = g->params.filter == TURBOCF ? 1 - g->params.alpha : .5;
    TRY(csr_copy(&g->by_user, x, err));
    g->degree = mem_zeros((size_t)g->n_items, sizeof *g->degree);
    g->favour = mem_array((size_t)g->n_items, sizeof *g->favour);
    if (!g->degree || !g->favour) return fail_nomem(err, "the degrees");
    for (int64_t e = 0; e < csr_nnz(x); e++)
        g->degree[x->col[e]] += pair_value(g->model, g->params.pairs, x->val[e]);
    for (int32_t i = 0; i < g->n_items; i++)
        g->favour[i] = g->degree[i] > 0
            ? (float)pow(g->degree[i], g->params.filter == CHEBYCF ? g->params.degree_power : .5)
            : 1;
    for (int32_t u = 0; u < g->n_users; u++) {
        double sum = 0;
        for (int64_t e = x->row_start[u]; e < x->row_start[u + 1]; e++)
            sum += pair_value(g->model, g->params.pairs, x->val[e]);
        for (int64_t e = x->row_start[u]; e < x->row_start[u + 1]; e++) {
            g->by_user.val[e] = (float)(pair_value(g->model, g->params.pairs, x->val[e]) *
                pow(sum, -of_user) * pow(g->degree[x->col[e]], -of_item));
        }
    }
    return csr_transpose(&g->by_item, &g->by_user, err);
}

static Status allocate(ItemGraph *g, int threads, Err *err) {
    size_t items = (size_t)g->n_items;
    g->worker = mem_zeros((size_t)threads, sizeof *g->worker);
    if (!g->worker) return fail_nomem(err, "the filter");
    for (int t = 0; t < threads; t++) {
        GraphWorker *w = &g->worker[t];
        for (int b = 0; b < 5; b++)
            if (!(w->block[b] = mem_aligned(items, WIDTH * sizeof(float))))
                return fail_nomem(err, "the filter");
        w->users = mem_aligned((size_t)g->n_users, WIDTH * sizeof(float));
        w->ideal = mem_aligned(items, WIDTH * sizeof(float));
        w->row = mem_array(items, sizeof *w->row);
        w->list = mem_array(items, sizeof *w->list);
        if (!w->users || !w->ideal || !w->row || !w->list) return fail_nomem(err, "the filter");
    }
    return neighbour_rows_init(&g->rows, g->n_items, err);
}

static void clear(ItemGraph *g, int threads) {
    for (int t = 0; g->worker && t < threads; t++) {
        for (int b = 0; b < 5; b++) mem_free(g->worker[t].block[b]);
        mem_free(g->worker[t].users);
        mem_free(g->worker[t].ideal);
        mem_free(g->worker[t].row);
        mem_free(g->worker[t].list);
    }
    mem_free(g->worker);
    mem_free(g->degree);
    mem_free(g->favour);
    mem_free(g->v);
    csr_clear(&g->by_user);
    csr_clear(&g->by_item);
    neighbour_rows_clear(&g->rows);
}

static Status decompose(ItemGraph *g, Task *task, Err *err) {
    if (g->params.factors == 0) return ST_OK;
    task_phase(task, "singular vectors", "vectors", 0, 0);
    g->v = mem_aligned((size_t)g->n_items, (size_t)g->params.factors * sizeof *g->v);
    if (!g->v) return fail_nomem(err, "the singular vectors");
    return svd_right(&g->by_user, &g->by_item, (int32_t)g->params.factors, 0,
        (uint64_t)g->model->common.seed, task, g->v, err);
}

static Status graph_train(Model *model, const Dataset *data, Task *task, Err *err) {
    ItemGraph g = {.model = model, .n_items = model->n_items, .n_users = data->by_user.n_rows};
    memcpy(&g.params, &model->params, sizeof g.params);
    TRY(complete(&g.params, g.n_users, g.n_items, err));
    set_coefficients(&g);
    TRY(dense_begin(task->threads, err));
    Status status = normalise(&g, data, err);
    if (status == ST_OK) status = decompose(&g, task, err);
    if (status == ST_OK) status = allocate(&g, task->threads, err);
    task_phase(task, "filtering", "items", model->n_items, g.rows.n_pieces);
    if (status == ST_OK) status = task_run(task, g.rows.n_pieces, graph_piece, &g, err);
    dense_end();
    if (status == ST_OK && g.failed) status = fail_nomem(err, "the neighbours");
    if (status == ST_OK) status = neighbours_finish(model, &g.rows, 0, err);
    clear(&g, task->threads);
    return status;
}

static void graph_cost(const CostAsk *ask, Cost *out) {
    GraphParams p;
    memcpy(&p, ask->params, sizeof p);
    const Csr *by_user = &ask->data->by_user;
    double pairs = (double)csr_nnz(by_user), users = by_user->n_rows, items = by_user->n_cols;
    if (complete(&p, by_user->n_rows, by_user->n_cols, NULL) != ST_OK) return;
    double products = p.filter == GFCF ? 1
        : p.filter == BSPM             ? 1 + (p.solver == RK4 ? 4 : 1)
                                       : (double)p.order;
    out->vector += products * items * 1.3 * (2 * pairs + users);
    out->product += 2 * items * items * (double)p.factors;
    out->scatter += items * items;
    out->bytes += 16 * pairs + 4 * items * (double)p.factors +
        ask->threads * 12.0 * NEIGHBOUR_PIECE * (users + 4 * items);
    if (p.factors > 0) cost_svd(out, pairs, users, items, (double)p.factors);
    /* where nothing makes it dense, P has what is had together */
    if (p.factors > 0 || products > 1) {
        double kept = items * fmin((double)p.neighbours, items);
        out->bytes += 20 * kept;
        out->stored += 8 * kept;
    } else {
        cost_neighbours(out, ask, (double)p.neighbours, cost_squares(by_user));
    }
}

const Algorithm graph_algorithm = {
    .name = "graph",
    .least_events = 5000,
    .summary = "filters of the user-item graph (GF-CF, Turbo-CF, BSPM, ChebyCF): the best accuracy "
               "on sparse data, no training loop",
    .options = graph_options,
    .tune_space =
        "{\"filter\":[\"chebycf\"],\"flatness\":{\"min\":1,\"max\":10,\"log\":true},\"degree_"
        "power\":{\"min\":0,\"max\":0.5},\"ideal_weight\":[0.1,0.2,0.4],\"factors\":[128,256]}",
    .params_size = sizeof(GraphParams),
    .cost = graph_cost,
    .train = graph_train,
    NEIGHBOURS_SERVE,
};
