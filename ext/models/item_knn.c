/* item_knn: "who has this also has that". For every item j the K most similar items i are kept with
 * s_ji, and
 *
 *     score_ui = sum over the items j of u of s_ji x_uj
 *
 * x_uj: the summed weight in the user's history, scaled (option scale). similarity.h has the
 * measures, with items for things and users for others; in them x is 1 (pairs=binary) or the scaled
 * weight (pairs=weighted).
 *
 * The K kept are those with the highest s (ties by id) per source j (per=source) or per target i
 * (per=target, the form of several published tables); normalize=l1 divides each kept list by its
 * sum. An item's similarity to itself is kept apart: it counts for what the user has
 * (exclude_seen=false), and never as a neighbour (neighbours.h).
 *
 * pairs=ordered asks what comes next (similarity, alpha and beta play no part): with C of
 * sequences.h, r_j and c_i the sums of its row j and column i, h = shrink,
 *
 *     s_ji = C_ji / ((r_j + h)^source_power (c_i + h)^target_power)
 *
 * and the history fades with its places (recency).
 *
 * Cost: sum_u d_u^2 multiply-adds, ordered sum_u d_u window; memory K * I * 8 bytes. Rows are
 * independent, so threads do not change a bit. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"
#include "cost.h"
#include "neighbours.h"
#include "similarity.h"

typedef struct KnnParams {
    int64_t similarity;
    double alpha;
    double beta;
    double shrink;
    int64_t neighbours;
    int64_t normalize;
    int64_t per;
    int64_t pairs;
    double decay;
    double reverse;
    int64_t window;
    double source_power;
    double target_power;
    Recency recency;
} KnnParams;

/* Beside PAIRS_BINARY and PAIRS_WEIGHTED. */
enum { PAIRS_ORDERED = PAIRS_WEIGHTED + 1 };
enum { PER_SOURCE, PER_TARGET };
enum { NORMALIZE_NONE, NORMALIZE_L1 };

/* What -1 means of ordered pairs. */
static const double ORDERED_SHRINK = 8, ORDERED_RECENCY = .7;

static const OptSpec knn_options[] = {
    {"similarity", OPT_CHOICE, offsetof(KnnParams, similarity), 0, 0, BM25, SIMILARITY_CHOICES,
        "how alike two items' buyers are"},
    SIMILARITY_OPTIONS(KnnParams),
    {"neighbours", OPT_INT, offsetof(KnnParams, neighbours), 1, 100000, 50, NULL,
        "items kept an item"},
    {"normalize", OPT_CHOICE, offsetof(KnnParams, normalize), 0, 0, 0, "none|l1",
        "divide a kept list by its sum"},
    {"per", OPT_CHOICE, offsetof(KnnParams, per), 0, 0, PER_SOURCE, "source|target",
        "whether the neighbours kept are those of the item recommended from, or of the item "
        "recommended"},
    {"pairs", OPT_CHOICE, offsetof(KnnParams, pairs), 0, 0, PAIRS_BINARY, "binary|weighted|ordered",
        "whether a similarity sees that a user has an item, its scaled weight, or what came after "
        "what"},
    {"decay", OPT_REAL, offsetof(KnnParams, decay), 0, 1, .9, NULL,
        "ordered: what a pair counts beside one that is a place closer"},
    {"reverse", OPT_REAL, offsetof(KnnParams, reverse), 0, 1, .3, NULL,
        "ordered: what a pair counts for the way back"},
    {"window", OPT_INT, offsetof(KnnParams, window), 1, 100000, 50, NULL,
        "ordered: places that a pair may be apart"},
    {"source_power", OPT_REAL, offsetof(KnnParams, source_power), 0, 2, .4, NULL,
        "ordered: how much what comes after everything is discounted"},
    {"target_power", OPT_REAL, offsetof(KnnParams, target_power), 0, 2, .1, NULL,
        "ordered: how much popular items are discounted"},
    RECENCY_OPTIONS(KnnParams, "1, of ordered pairs .7"),
    {0},
};

/* ---- training ---- */

typedef struct Scratch {
    double *sum; /* n_items, zero between rows */
    int32_t *touched;
    Scored *list;
} Scratch;

typedef struct Training {
    KnnParams params;
    Similarity similarity;
    const Dataset *data;
    int32_t n_items;
    double *left;           /* by_item order: w_uj as seen from the row's item */
    double *right;          /* by_user order: w_ui */
    SimilarityThing *thing; /* per item */
    double *bound;          /* per item: s_ji <= c_ji bound_j bound_i */
    Sequences sequences;    /* ordered pairs */
    OrderedPairs ordered;
    double *source_share; /* ordered: (r_j + h)^-source_power */
    double *target_share; /* (c_i + h)^-target_power */
    Scratch *scratch;     /* per worker */
    NeighbourRows rows;
    _Atomic int failed;
} Training;

/* Row sums of x in by_item, and what the similarity needs to know of each item; norms follow with
 * the weights. */
static double describe_items(Training *t, const Model *model, double *len) {
    const Csr *by_item = &t->data->by_item;
    double total = 0;
    for (int32_t i = 0; i < t->n_items; i++) {
        double degree = (double)csr_row_len(by_item, i);
        t->thing[i] = (SimilarityThing){
            .degree = degree, .divisor = pow(degree, t->similarity.beta)};
        for (int64_t e = by_item->row_start[i]; e < by_item->row_start[i + 1]; e++)
            len[i] += pair_value(model, t->params.pairs, by_item->val[e]);
        total += len[i];
    }
    return total / (double)t->n_items;
}

/* The weights of a user's entries: for a walk from item to user and from user to item; seen from
 * the target it runs backwards. cursor[i]: the same entry in by_item, since walking by_user in
 * order visits each item's users in order. */
static void weigh_user(Training *t, const Model *model, int32_t u, const double *len,
    const double *walk, double mean_len, int64_t *cursor) {
    const Csr *by_user = &t->data->by_user;
    int64_t from = by_user->row_start[u], to = by_user->row_start[u + 1];
    double sum = 0, a = t->similarity.alpha;
    for (int64_t e = from; e < to; e++) sum += pair_value(model, t->params.pairs, by_user->val[e]);
    double to_item = similarity_walks(&t->similarity) ? pow(sum, -a) : 0;
    for (int64_t e = from; e < to; e++) {
        int32_t i = by_user->col[e];
        double x = pair_value(model, t->params.pairs, by_user->val[e]);
        if (similarity_walks(&t->similarity)) {
            double power = x == 1 ? 1 : pow(x, a);
            t->left[cursor[i]++] = power * (t->params.per == PER_SOURCE ? walk[i] : to_item);
            t->right[e] = power * (t->params.per == PER_SOURCE ? to_item : walk[i]);
        } else {
            double w = similarity_weight(
                &t->similarity, x, t->n_items, (double)(to - from), len[i], mean_len);
            t->left[cursor[i]++] = t->right[e] = w;
            t->thing[i].norm += w * w;
        }
    }
}

static Status set_weights(Training *t, const Model *model, Err *err) {
    const Csr *by_user = &t->data->by_user;
    size_t nnz = (size_t)csr_nnz(by_user), n = (size_t)t->n_items;
    double *len = mem_zeros(n, sizeof *len), *walk = mem_array(n, sizeof *walk);
    int64_t *cursor = mem_array(n, sizeof *cursor);
    t->left = mem_array(nnz, sizeof *t->left);
    t->right = mem_array(nnz, sizeof *t->right);
    t->thing = mem_array(n, sizeof *t->thing);
    t->bound = mem_array(n, sizeof *t->bound);
    Status status = len && walk && cursor && t->left && t->right && t->thing && t->bound
        ? ST_OK
        : fail_nomem(err, "the similarities' weights");
    if (status == ST_OK) {
        double mean_len = describe_items(t, model, len);
        memcpy(cursor, t->data->by_item.row_start, n * sizeof *cursor);
        for (int32_t i = 0; i < t->n_items; i++) walk[i] = pow(len[i], -t->similarity.alpha);
        for (int32_t u = 0; u < by_user->n_rows; u++)
            weigh_user(t, model, u, len, walk, mean_len, cursor);
        int by_norm = t->similarity.kind == COSINE || t->similarity.kind == TFIDF;
        for (int32_t i = 0; i < t->n_items; i++)
            t->bound[i] = by_norm ? 1 / sqrt(t->thing[i].norm) : INFINITY;
    }
    mem_free(len);
    mem_free(walk);
    mem_free(cursor);
    return status;
}

/* c for one row's item and all others into sum; returns how many were touched. */
static int32_t accumulate(const Training *t, int32_t row, double *sum, int32_t *touched) {
    const Csr *by_user = &t->data->by_user, *by_item = &t->data->by_item;
    int32_t n = 0;
    if (t->params.pairs == PAIRS_ORDERED)
        return ordered_pairs_row(&t->ordered, row, t->params.per == PER_TARGET, sum, touched);
    for (int64_t e = by_item->row_start[row]; e < by_item->row_start[row + 1]; e++) {
        int32_t u = by_item->col[e];
        for (int64_t f = by_user->row_start[u]; f < by_user->row_start[u + 1]; f++) {
            int32_t other = by_user->col[f];
            /* >= 0: both carry the user's sign */
            double before = sum[other], product = t->left[e] * t->right[f];
            /* kept where it is the first above 0: no branch, which nobody could predict */
            touched[n] = other;
            n += (before == 0) & (product != 0);
            sum[other] = before + product;
        }
    }
    return n;
}

/* s of a pair with c. */
static inline double value_of(const Training *t, int32_t from, int32_t to, double c) {
    if (t->params.pairs == PAIRS_ORDERED) return c * t->source_share[from] * t->target_share[to];
    return similarity_value(
        &t->similarity, &t->thing[from], &t->thing[to], c, t->data->by_user.n_rows);
}

/* The similarities of one row. Candidates gather until there are several times as many as are kept;
 * then only the best stay, and set the floor for the rest. An upper bound spares most of the rest a
 * root and a division. */
static int keep_row(const Training *t, int32_t row, Scratch *s, int32_t n, NeighbourRows *rows) {
    double self = 0, floor = 0, own = t->bound[row] * (1 + 1e-12);
    size_t found = 0, k = (size_t)t->params.neighbours, room = 4 * k + 64;
    for (int32_t at = 0; at < n; at++) {
        int32_t other = s->touched[at];
        double c = s->sum[other];
        s->sum[other] = 0;
        if (other != row && c * own * t->bound[other] < floor) continue;
        int32_t from = t->params.per == PER_SOURCE ? row : other,
                to = t->params.per == PER_SOURCE ? other : row;
        double value = value_of(t, from, to, c);
        if (other == row) self = value;
        if (other == row || value <= 0 || value < floor) continue;
        s->list[found++] = (Scored){value, other};
        if (found < room) continue;
        floor = scored_keep(s->list, found, k);
        found = k;
    }
    return neighbour_rows_keep(
        rows, row, self, s->list, found, k, t->params.normalize == NORMALIZE_L1);
}

static void train_piece(void *context, int64_t piece, int worker) {
    Training *t = context;
    Scratch *scratch = &t->scratch[worker];
    for (int32_t row = neighbour_from(piece); row < neighbour_to(&t->rows, piece) && !t->failed;
         row++) {
        int32_t n = accumulate(t, row, scratch->sum, scratch->touched);
        if (!keep_row(t, row, scratch, n, &t->rows)) t->failed = 1;
    }
}

/* The discounts of ordered pairs. */
static void share_piece(void *context, int64_t piece, int worker) {
    const Training *t = context;
    double shrink = t->params.shrink < 0 ? ORDERED_SHRINK : t->params.shrink;
    (void)worker;
    for (int32_t i = neighbour_from(piece); i < neighbour_to(&t->rows, piece); i++) {
        double row, column;
        ordered_pairs_sums(&t->ordered, i, &row, &column);
        t->source_share[i] = pow(row + shrink, -t->params.source_power);
        t->target_share[i] = pow(column + shrink, -t->params.target_power);
        t->bound[i] = INFINITY;
    }
}

static Status order_pairs(Training *t, Task *task, Err *err) {
    size_t n = (size_t)t->n_items;
    const KnnParams *p = &t->params;
    t->source_share = mem_array(n, sizeof *t->source_share);
    t->target_share = mem_array(n, sizeof *t->target_share);
    t->bound = mem_array(n, sizeof *t->bound);
    if (!t->source_share || !t->target_share || !t->bound) return fail_nomem(err, "the pairs");
    TRY(sequences_init(&t->sequences, t->data, "item_knn with pairs=ordered", err));
    TRY(ordered_pairs_init(&t->ordered, &t->sequences, p->decay, p->reverse, p->window, err));
    task_phase(task, "counting pairs", "items", t->n_items, t->rows.n_pieces);
    return task_run(task, t->rows.n_pieces, share_piece, t, err);
}

static void training_clear(Training *t, int threads) {
    ordered_pairs_clear(&t->ordered);
    sequences_clear(&t->sequences);
    mem_free(t->source_share);
    mem_free(t->target_share);
    mem_free(t->left);
    mem_free(t->right);
    mem_free(t->thing);
    mem_free(t->bound);
    for (int w = 0; t->scratch && w < threads; w++) {
        mem_free(t->scratch[w].sum);
        mem_free(t->scratch[w].touched);
        mem_free(t->scratch[w].list);
    }
    mem_free(t->scratch);
    neighbour_rows_clear(&t->rows);
}

static Status allocate(Training *t, int threads, Err *err) {
    size_t n = (size_t)t->n_items;
    t->scratch = mem_zeros((size_t)threads, sizeof *t->scratch);
    if (!t->scratch) return fail_nomem(err, "the neighbours");
    for (int w = 0; w < threads; w++) {
        Scratch *s = &t->scratch[w];
        s->sum = mem_zeros(n, sizeof *s->sum);
        s->touched = mem_array(n + 1, sizeof *s->touched); /* one is written beyond the last */
        s->list = mem_array(n, sizeof *s->list);
        if (!s->sum || !s->touched || !s->list) return fail_nomem(err, "the neighbours");
    }
    return neighbour_rows_init(&t->rows, t->n_items, err);
}

static Recency knn_recency(const AlgorithmParams *params) {
    KnnParams p;
    memcpy(&p, params, sizeof p);
    if (p.recency.factor < 0) p.recency.factor = p.pairs == PAIRS_ORDERED ? ORDERED_RECENCY : 1;
    return p.recency;
}

static Status knn_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Training t = {.data = data, .n_items = model->n_items};
    memcpy(&t.params, &model->params, sizeof t.params);
    t.similarity = similarity_complete(
        t.params.similarity, t.params.alpha, t.params.beta, t.params.shrink);
    Status status = allocate(&t, task->threads, err);
    if (status == ST_OK)
        status = t.params.pairs == PAIRS_ORDERED ? order_pairs(&t, task, err)
                                                 : set_weights(&t, model, err);
    task_phase(task, "similarities", "items", model->n_items, t.rows.n_pieces);
    if (status == ST_OK) status = task_run(task, t.rows.n_pieces, train_piece, &t, err);
    if (status == ST_OK && t.failed) status = fail_nomem(err, "the neighbours");
    if (status == ST_OK)
        status = neighbours_finish(model, &t.rows, t.params.per == PER_TARGET, err);
    training_clear(&t, task->threads);
    return status;
}

static int knn_wants_order(const AlgorithmParams *params) {
    KnnParams p;
    memcpy(&p, params, sizeof p);
    return p.pairs == PAIRS_ORDERED;
}

static void item_knn_cost(const CostAsk *ask, Cost *out) {
    KnnParams p;
    memcpy(&p, ask->params, sizeof p);
    double pairs = (double)csr_nnz(&ask->data->by_user), additions;
    if (p.pairs == PAIRS_ORDERED) {
        /* both ways, for the sums of rows and columns and for the rows */
        additions = 2 * cost_places(ask->data, p.window).pairs;
        out->scatter += 8 * additions;
        out->bytes += 20 * pairs;
    } else {
        additions = cost_squares(&ask->data->by_user);
        out->scatter += additions;
        out->alone += 10 * pairs;
        out->bytes += 16 * pairs;
    }
    cost_neighbours(out, ask, (double)p.neighbours, additions);
}

const Algorithm item_knn_algorithm = {
    .name = "item_knn",
    .least_events = 1000,
    .summary = "what buyers of the user's items also have; trains in seconds",
    .in_auto = AUTO_ALWAYS,
    .options = knn_options,
    .tune_space =
        "{\"similarity\":[\"bm25\",\"cosine\",\"tfidf\",\"rp3beta\"],\"neighbours\":{\"min\":20,"
        "\"max\":1000,\"log\":true},\"shrink\":[0,10,100],\"normalize\":[\"none\",\"l1\"]}",
    .tune_space_timed =
        "{\"pairs\":[\"binary\",\"ordered\"],\"similarity\":[\"bm25\",\"cosine\",\"tfidf\","
        "\"rp3beta\"],\"neighbours\":{\"min\":20,\"max\":1000,\"log\":true},\"shrink\":[0,10,"
        "100],\"normalize\":[\"none\",\"l1\"]}",
    .params_size = sizeof(KnnParams),
    .by_session = knn_wants_order,
    .wants_order = knn_wants_order,
    .recency = knn_recency,
    .cost = item_knn_cost,
    .train = knn_train,
    NEIGHBOURS_SERVE,
};
