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
 * Cost: sum_u d_u^2 multiply-adds; memory K * I * 8 bytes. Rows are independent, so threads do not
 * change a bit. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"
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
} KnnParams;

enum { PER_SOURCE, PER_TARGET };
enum { NORMALIZE_NONE, NORMALIZE_L1 };

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
    {"pairs", OPT_CHOICE, offsetof(KnnParams, pairs), 0, 0, PAIRS_BINARY, "binary|weighted",
        "whether a similarity sees that a user has an item, or its scaled weight"},
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
    Scratch *scratch;       /* per worker */
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
        double value = similarity_value(
            &t->similarity, &t->thing[from], &t->thing[to], c, t->data->by_user.n_rows);
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

static void training_clear(Training *t, int threads) {
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

static Status knn_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Training t = {.data = data, .n_items = model->n_items};
    memcpy(&t.params, &model->params, sizeof t.params);
    t.similarity = similarity_complete(
        t.params.similarity, t.params.alpha, t.params.beta, t.params.shrink);
    Status status = set_weights(&t, model, err);
    if (status == ST_OK) status = allocate(&t, task->threads, err);
    task_phase(task, "similarities", "items", model->n_items, t.rows.n_pieces);
    if (status == ST_OK) status = task_run(task, t.rows.n_pieces, train_piece, &t, err);
    if (status == ST_OK && t.failed) status = fail_nomem(err, "the neighbours");
    if (status == ST_OK)
        status = neighbours_finish(model, &t.rows, t.params.per == PER_TARGET, err);
    training_clear(&t, task->threads);
    return status;
}

const Algorithm item_knn_algorithm = {
    .name = "item_knn",
    .least_events = 1000,
    .summary = "what buyers of the user's items also have; trains in seconds",
    .in_auto = 1,
    .options = knn_options,
    .tune_space =
        "{\"similarity\":[\"bm25\",\"cosine\",\"tfidf\",\"rp3beta\"],\"neighbours\":{\"min\":20,"
        "\"max\":1000,\"log\":true},\"shrink\":[0,10,100],\"normalize\":[\"none\",\"l1\"]}",
    .params_size = sizeof(KnnParams),
    .train = knn_train,
    NEIGHBOURS_SERVE,
};
