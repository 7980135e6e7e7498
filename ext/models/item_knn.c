/* item_knn: "who has this also has that". For every item j the K most similar items i are kept with s_ji, and
 *
 *     score_ui = sum over the items j of u of s_ji x_uj
 *
 * x_uj: the summed weight in the user's history, scaled (option scale). In the similarities x is 1 (pairs=binary) or the
 * scaled weight (pairs=weighted); d_i users of item i, d_u items of user u, I items, U
 * users. c_ji = sum_u w_uj w_ui is computed from rows w that depend on the similarity, h = shrink:
 *
 *     cosine      w = x          c / (|w_j| |w_i| + h)
 *     asymmetric  w = x          c / (|w_j|^(2 alpha) |w_i|^(2 (1 - alpha)) + h)          (Aiolli 2013; alpha .5)
 *     tfidf       w = sqrt(x) (ln I - ln(1 + d_u))                 c / (|w_j| |w_i| + h)
 *     bm25        w = x (K1 + 1) / (K1 (1 - B + B len_i / mean len) + x) (ln I - ln(1 + d_u)),   c
 *                 len_i = sum_u x_ui, K1 = alpha (1.2), B = beta (.5)                     (Robertson 1994)
 *     jaccard     w = 1          c / (d_i + d_j - c + h)
 *     dice        w = 1          2 c / (d_i + d_j + h)
 *     tversky     w = 1          c / (c + alpha (d_j - c) + beta (d_i - c) + h)           (alpha .5, beta .5)
 *     llr         w = 1          log-likelihood ratio of the 2 x 2 table, 0 where c is below chance (Dunning 1993)
 *     p3alpha     w_uj = (x_uj / sum_u x_uj)^a, then (x_ui / sum_i x_ui)^a: a three-step walk (Cooper 2014; a = alpha 1)
 *     rp3beta     p3alpha / d_i^beta                                (Paudel 2017; alpha .7, beta .4)
 *
 * alpha and beta below 0 mean the values named above. The K kept are those with the highest s (ties by id) per source j
 * (per=source) or per target i (per=target, the form of several published tables); normalize=l1 divides each kept list
 * by its sum. An item's similarity to itself is kept apart: it counts for what the user has (exclude_seen=false),
 * and never as a neighbour.
 *
 * Cost: sum_u d_u^2 multiply-adds; memory K * I * 8 bytes. Rows are independent, so threads do not change a bit. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"

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

enum { COSINE, ASYMMETRIC, TFIDF, BM25, JACCARD, DICE, TVERSKY, LLR, P3ALPHA, RP3BETA };
enum { PER_SOURCE, PER_TARGET };
enum { PAIRS_BINARY, PAIRS_WEIGHTED };
enum { ROWS_A_PIECE = 32 };

static const OptSpec knn_options[] = {
    {"similarity", OPT_CHOICE, offsetof(KnnParams, similarity), 0, 0, BM25,
     "cosine|asymmetric|tfidf|bm25|jaccard|dice|tversky|llr|p3alpha|rp3beta", "how alike two items' buyers are"},
    {"alpha", OPT_REAL, offsetof(KnnParams, alpha), -1, 1000, -1, NULL,
     "asymmetric, tversky, p3alpha, rp3beta: exponent or weight; bm25: K1; -1: the similarity's own"},
    {"beta", OPT_REAL, offsetof(KnnParams, beta), -1, 1000, -1, NULL,
     "tversky: weight; rp3beta: exponent; bm25: B; -1: the similarity's own"},
    {"shrink", OPT_REAL, offsetof(KnnParams, shrink), 0, 1e9, 0, NULL, "added to the denominator: distrust rare pairs"},
    {"neighbours", OPT_INT, offsetof(KnnParams, neighbours), 1, 100000, 50, NULL, "items kept an item"},
    {"normalize", OPT_CHOICE, offsetof(KnnParams, normalize), 0, 0, 0, "none|l1", "divide a kept list by its sum"},
    {"per", OPT_CHOICE, offsetof(KnnParams, per), 0, 0, PER_SOURCE, "source|target",
     "whether the neighbours kept are those of the item recommended from, or of the item recommended"},
    {"pairs", OPT_CHOICE, offsetof(KnnParams, pairs), 0, 0, PAIRS_BINARY, "binary|weighted",
     "whether a similarity sees that a user has an item, or its scaled weight"},
    {0},
};

typedef struct KnnState {
    Csr neighbour; /* items x items, row j: the i with s_ji; no diagonal */
    float *self;   /* s_jj */
} KnnState;

static double own_or(double value, double own) {
    return value < 0 ? own : value;
}

/* ---- training ---- */

typedef struct Training {
    KnnParams params;
    const Dataset *data;
    int32_t n_items;
    double *left;   /* by_item order: w_uj as seen from the row's item */
    double *right;  /* by_user order: w_ui */
    double *norm;   /* per item: sum_u w^2, or d_i, as the similarity needs */
    double *degree; /* d_i */
    double **sum;   /* per worker: n_items, zero between rows */
    int32_t **touched;
    Bytes *piece_rows; /* per piece: what its rows keep */
    _Atomic int failed;
} Training;

static double llr(double c, double di, double dj, double users) {
    double k[2][2] = {{c, dj - c}, {di - c, users - di - dj + c}};
    double sum = 0;
    if (c * users <= di * dj) return 0; /* not above chance */
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            double row = a ? users - dj : dj, column = b ? users - di : di;
            /* k[0][*]: has j; k[*][0]: has i. Cells in the order (j i), (j not i), (i not j), neither. */
            double cell = a == 0 ? k[0][b] : k[1][b];
            if (cell > 0) sum += cell * log(cell * users / (row * column));
        }
    return 2 * sum;
}

/* s_ji from c = c_ji. */
static double similarity(const Training *t, int32_t j, int32_t i, double c) {
    const KnnParams *p = &t->params;
    double h = p->shrink, di = t->degree[i], dj = t->degree[j];
    double alpha = own_or(p->alpha, .5), denominator = 1;

    switch (p->similarity) {
    case COSINE:
    case TFIDF: denominator = sqrt(t->norm[j] * t->norm[i]) + h; break;
    case ASYMMETRIC: denominator = pow(t->norm[j], alpha) * pow(t->norm[i], 1 - alpha) + h; break;
    case JACCARD: denominator = di + dj - c + h; break;
    case DICE: denominator = (di + dj + h) / 2; break;
    case TVERSKY: denominator = c + alpha * (dj - c) + own_or(p->beta, .5) * (di - c) + h; break;
    case LLR: return llr(c, di, dj, (double)t->data->by_user.n_rows);
    case RP3BETA: denominator = pow(di, own_or(p->beta, .4)); break;
    default: break;
    }
    return denominator > 0 ? c / denominator : 0;
}

/* What each entry x_ui weighs, for the similarities with one weight for both sides. len: row sums of by_item. */
static double entry_weight(const Training *t, double x, double user_items, double len, double mean_len) {
    double idf = log((double)t->n_items) - log1p(user_items);
    if (fabs(idf) < 1e-12) idf = 0; /* a user with all but one item tells nothing; rounding must not say otherwise */
    double k1 = own_or(t->params.alpha, 1.2), b = own_or(t->params.beta, .5);

    switch (t->params.similarity) {
    case COSINE:
    case ASYMMETRIC: return x;
    case TFIDF: return sqrt(x) * idf;
    case BM25: return x * (k1 + 1) / (k1 * (1 - b + b * len / mean_len) + x) * idf;
    default: return 1;
    }
}

/* What an entry is worth to a similarity. */
static double pair_value(const Training *t, const Model *model, float weight) {
    return t->params.pairs == PAIRS_BINARY ? 1 : model_scaled(model, weight);
}

static int is_walk(const Training *t) {
    return t->params.similarity == P3ALPHA || t->params.similarity == RP3BETA;
}

static Status set_weights(Training *t, const Model *model, Err *err) {
    const Csr *by_user = &t->data->by_user, *by_item = &t->data->by_item;
    size_t nnz = (size_t)csr_nnz(by_user), n = (size_t)t->n_items;
    double *len = mem_zeros(n, sizeof *len), total = 0;
    int64_t *cursor = mem_array(n, sizeof *cursor);
    double a = own_or(t->params.alpha, t->params.similarity == RP3BETA ? .7 : 1);

    t->left = mem_array(nnz, sizeof *t->left);
    t->right = mem_array(nnz, sizeof *t->right);
    t->norm = mem_zeros(n, sizeof *t->norm);
    t->degree = mem_array(n, sizeof *t->degree);
    if (!len || !cursor || !t->left || !t->right || !t->norm || !t->degree) {
        mem_free(len);
        mem_free(cursor);
        return fail_nomem(err, "the similarities' weights");
    }
    for (int32_t i = 0; i < t->n_items; i++) {
        cursor[i] = by_item->row_start[i];
        t->degree[i] = (double)csr_row_len(by_item, i);
        for (int64_t e = by_item->row_start[i]; e < by_item->row_start[i + 1]; e++)
            len[i] += pair_value(t, model, by_item->val[e]);
        total += len[i];
    }
    /* Walking by_user in order visits each item's users in order: cursor[i] is the same entry in by_item. */
    for (int32_t u = 0; u < by_user->n_rows; u++) {
        double user_sum = 0;
        for (int64_t e = by_user->row_start[u]; e < by_user->row_start[u + 1]; e++)
            user_sum += pair_value(t, model, by_user->val[e]);
        for (int64_t e = by_user->row_start[u]; e < by_user->row_start[u + 1]; e++) {
            int32_t i = by_user->col[e];
            double x = pair_value(t, model, by_user->val[e]);
            if (is_walk(t)) { /* item to user, then user to item; seen from the target it runs backwards */
                double to_user = pow(x / len[i], a), to_item = pow(x / user_sum, a);
                t->left[cursor[i]++] = t->params.per == PER_SOURCE ? to_user : to_item;
                t->right[e] = t->params.per == PER_SOURCE ? to_item : to_user;
            } else {
                double w = entry_weight(t, x, (double)csr_row_len(by_user, u), len[i], total / (double)t->n_items);
                t->left[cursor[i]++] = t->right[e] = w;
                t->norm[i] += w * w;
            }
        }
    }
    mem_free(len);
    mem_free(cursor);
    return ST_OK;
}

/* c for one row's item and all others into sum; returns how many were touched. */
static int32_t accumulate(const Training *t, int32_t row, double *sum, int32_t *touched) {
    const Csr *by_user = &t->data->by_user, *by_item = &t->data->by_item;
    int32_t n = 0;
    for (int64_t e = by_item->row_start[row]; e < by_item->row_start[row + 1]; e++) {
        int32_t u = by_item->col[e];
        for (int64_t f = by_user->row_start[u]; f < by_user->row_start[u + 1]; f++) {
            int32_t other = by_user->col[f];
            double product = t->left[e] * t->right[f]; /* >= 0: both carry the user's sign */
            if (product == 0) continue;
            if (sum[other] == 0) touched[n++] = other;
            sum[other] += product;
        }
    }
    return n;
}

typedef struct Kept {
    int32_t item;
    float value;
} Kept;

static void normalise_l1(Scored *item, size_t n) {
    double sum = 0;
    for (size_t k = 0; k < n; k++) sum += fabs(item[k].score);
    for (size_t k = 0; k < n && sum > 0; k++) item[k].score /= sum;
}

static Status keep_row(const Training *t, int32_t row, double *sum, const int32_t *touched, int32_t n, TopK *top,
                       Bytes *out, Err *err) {
    double self = 0;
    TRY(topk_init(top, (size_t)t->params.neighbours, err));
    for (int32_t k = 0; k < n; k++) {
        int32_t other = touched[k];
        double s = t->params.per == PER_SOURCE ? similarity(t, row, other, sum[other]) : similarity(t, other, row, sum[other]);
        if (other == row)
            self = s;
        else if (s > 0)
            topk_push(top, s, other);
        sum[other] = 0;
    }
    topk_sort(top);
    if (t->params.normalize) normalise_l1(top->item, top->len);
    bytes_u32(out, (uint32_t)top->len);
    bytes_append(out, &(Kept){row, (float)self}, sizeof(Kept));
    for (size_t k = 0; k < top->len; k++)
        bytes_append(out, &(Kept){(int32_t)top->item[k].id, (float)top->item[k].score}, sizeof(Kept));
    return out->failed ? fail_nomem(err, "the neighbours") : ST_OK;
}

static void train_piece(void *context, int64_t piece, int worker) {
    Training *t = context;
    TopK top = {0};
    int64_t from = piece * ROWS_A_PIECE;
    int64_t to = from + ROWS_A_PIECE < t->n_items ? from + ROWS_A_PIECE : t->n_items;

    for (int64_t row = from; row < to && !t->failed; row++) {
        int32_t n = accumulate(t, (int32_t)row, t->sum[worker], t->touched[worker]);
        if (keep_row(t, (int32_t)row, t->sum[worker], t->touched[worker], n, &top, &t->piece_rows[piece], NULL))
            t->failed = 1;
    }
    topk_clear(&top);
}

/* Rows of all pieces as a matrix; columns of a row ascend. */
static Status gather(const Training *t, int64_t n_pieces, KnnState *state, Err *err) {
    Csr rows;
    int64_t nnz = 0, at = 0;
    for (int64_t p = 0; p < n_pieces; p++)
        nnz += ((int64_t)t->piece_rows[p].len) / (int64_t)sizeof(Kept); /* an upper bound */
    TRY(csr_alloc(&rows, t->n_items, t->n_items, nnz, err));
    for (int64_t p = 0; p < n_pieces; p++) {
        Reader in = reader_of(t->piece_rows[p].data, t->piece_rows[p].len);
        while (in.pos < in.len) {
            uint32_t len = read_u32(&in);
            Kept kept;
            memcpy(&kept, read_block(&in, 1, sizeof kept), sizeof kept);
            state->self[kept.item] = kept.value;
            int32_t row = kept.item;
            for (uint32_t k = 0; k < len; k++, at++) {
                memcpy(&kept, read_block(&in, 1, sizeof kept), sizeof kept);
                rows.col[at] = kept.item;
                rows.val[at] = kept.value;
            }
            rows.row_start[row + 1] = at;
        }
    }
    /* Two transposes sort the columns; one does when rows are targets, since sources are wanted. */
    Status status = csr_transpose(&state->neighbour, &rows, err);
    csr_clear(&rows);
    if (status == ST_OK && t->params.per == PER_SOURCE) {
        Csr by_target = state->neighbour;
        status = csr_transpose(&state->neighbour, &by_target, err);
        csr_clear(&by_target);
    }
    return status;
}

static void training_clear(Training *t, int threads, int64_t n_pieces) {
    mem_free(t->left);
    mem_free(t->right);
    mem_free(t->norm);
    mem_free(t->degree);
    for (int w = 0; w < threads; w++) {
        if (t->sum) mem_free(t->sum[w]);
        if (t->touched) mem_free(t->touched[w]);
    }
    for (int64_t p = 0; t->piece_rows && p < n_pieces; p++) bytes_clear(&t->piece_rows[p]);
    mem_free(t->sum);
    mem_free(t->touched);
    mem_free(t->piece_rows);
}

static Status allocate(Training *t, int threads, int64_t n_pieces, Err *err) {
    t->sum = mem_zeros((size_t)threads, sizeof *t->sum);
    t->touched = mem_zeros((size_t)threads, sizeof *t->touched);
    t->piece_rows = mem_zeros((size_t)n_pieces, sizeof *t->piece_rows);
    if (!t->sum || !t->touched || !t->piece_rows) return fail_nomem(err, "the neighbours");
    for (int w = 0; w < threads; w++) {
        t->sum[w] = mem_zeros((size_t)t->n_items, sizeof **t->sum);
        t->touched[w] = mem_array((size_t)t->n_items, sizeof **t->touched);
        if (!t->sum[w] || !t->touched[w]) return fail_nomem(err, "the neighbours");
    }
    return ST_OK;
}

static Status knn_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Training t = {.data = data, .n_items = model->n_items};
    int64_t n_pieces = ((int64_t)model->n_items + ROWS_A_PIECE - 1) / ROWS_A_PIECE;
    KnnState *state = mem_zeros(1, sizeof *state);

    model->state = state;
    if (!state || !(state->self = mem_zeros((size_t)model->n_items, sizeof *state->self)))
        return fail_nomem(err, "the neighbours");
    memcpy(&t.params, &model->params, sizeof t.params);
    task_phase(task, "similarities", n_pieces);
    Status status = set_weights(&t, model, err);
    if (status == ST_OK) status = allocate(&t, task->threads, n_pieces, err);
    if (status == ST_OK) status = task_run(task, n_pieces, train_piece, &t, err);
    if (status == ST_OK && t.failed) status = fail_nomem(err, "the neighbours");
    if (status == ST_OK) status = gather(&t, n_pieces, state, err);
    training_clear(&t, task->threads, n_pieces);
    return status;
}

/* ---- storage: self, row lengths, then columns and values ---- */

static void knn_write(const Model *model, Bytes *out) {
    const KnnState *state = model->state;
    size_t nnz = (size_t)csr_nnz(&state->neighbour);
    bytes_append(out, state->self, (size_t)model->n_items * sizeof *state->self);
    for (int32_t j = 0; j < model->n_items; j++) bytes_u32(out, (uint32_t)csr_row_len(&state->neighbour, j));
    bytes_append(out, state->neighbour.col, nnz * sizeof *state->neighbour.col);
    bytes_append(out, state->neighbour.val, nnz * sizeof *state->neighbour.val);
}

static int knn_is_sane(const KnnState *state, int32_t n) {
    for (int32_t j = 0; j < n; j++) {
        int32_t before = -1;
        if (!isfinite(state->self[j])) return 0;
        for (int64_t e = state->neighbour.row_start[j]; e < state->neighbour.row_start[j + 1]; e++) {
            if (state->neighbour.col[e] <= before || state->neighbour.col[e] >= n) return 0;
            if (!isfinite(state->neighbour.val[e])) return 0;
            before = state->neighbour.col[e];
        }
    }
    return 1;
}

static Status knn_read(Model *model, Reader *in, Err *err) {
    size_t n = (size_t)model->n_items;
    int64_t nnz = 0;
    KnnState *state = mem_zeros(1, sizeof *state);
    model->state = state;
    const void *self = read_block(in, n, sizeof(float));
    const void *lens = read_block(in, n, sizeof(uint32_t));
    if (!state || !(state->self = mem_array(n, sizeof *state->self))) return fail_nomem(err, "the neighbours");
    if (in->failed) return fail(err, ST_CORRUPT, "neighbours are truncated");
    memcpy(state->self, self, n * sizeof *state->self);
    Reader len = reader_of(lens, n * sizeof(uint32_t));
    for (size_t j = 0; j < n; j++) nnz += read_u32(&len);
    const void *col = read_block(in, (uint64_t)nnz, sizeof(int32_t));
    const void *val = read_block(in, (uint64_t)nnz, sizeof(float));
    if (in->failed) return fail(err, ST_CORRUPT, "neighbours are truncated");
    TRY(csr_alloc(&state->neighbour, model->n_items, model->n_items, nnz, err));
    len = reader_of(lens, n * sizeof(uint32_t));
    for (size_t j = 0; j < n; j++) state->neighbour.row_start[j + 1] = state->neighbour.row_start[j] + read_u32(&len);
    if (nnz) {
        memcpy(state->neighbour.col, col, (size_t)nnz * sizeof(int32_t));
        memcpy(state->neighbour.val, val, (size_t)nnz * sizeof(float));
    }
    return knn_is_sane(state, model->n_items) ? ST_OK : fail(err, ST_CORRUPT, "neighbours are malformed");
}

static void knn_free(Model *model) {
    KnnState *state = model->state;
    if (!state) return;
    csr_clear(&state->neighbour);
    mem_free(state->self);
    mem_free(state);
    model->state = NULL;
}

static size_t knn_memory(const Model *model) {
    const KnnState *state = model->state;
    return (size_t)csr_nnz(&state->neighbour) * 8 + (size_t)model->n_items * 12;
}

/* ---- queries ---- */

typedef struct KnnQuery {
    double *score;    /* n_items, zero but for the touched */
    int32_t *touched;
    int32_t n_touched;
} KnnQuery;

static void knn_query_free(ModelQuery *query) {
    KnnQuery *knn = query->scratch;
    if (!knn) return;
    mem_free(knn->score);
    mem_free(knn->touched);
    mem_free(knn);
    query->scratch = NULL;
}

static Status knn_query_new(ModelQuery *query, Err *err) {
    KnnQuery *knn = mem_zeros(1, sizeof *knn);
    query->scratch = knn;
    if (!knn) return fail_nomem(err, "a query");
    knn->score = mem_zeros((size_t)query->model->n_items, sizeof *knn->score);
    knn->touched = mem_array((size_t)query->model->n_items, sizeof *knn->touched);
    if (knn->score && knn->touched) return ST_OK;
    knn_query_free(query);
    return fail_nomem(err, "a query");
}

/* Score 0 means untouched, so an amount of 0 must not touch: touched[] holds each item once. */
static void knn_add(KnnQuery *knn, int32_t item, double amount) {
    if (!(amount > 0)) return;
    if (knn->score[item] == 0) knn->touched[knn->n_touched++] = item;
    knn->score[item] += amount;
}

static void knn_add_row(KnnQuery *knn, const KnnState *state, int32_t j, double x) {
    for (int64_t e = state->neighbour.row_start[j]; e < state->neighbour.row_start[j + 1]; e++)
        knn_add(knn, state->neighbour.col[e], (double)state->neighbour.val[e] * x);
}

static Status knn_prepare(ModelQuery *query, Err *err) {
    KnnQuery *knn = query->scratch;
    const KnnState *state = query->model->state;
    (void)err;
    for (int32_t k = 0; k < knn->n_touched; k++) knn->score[knn->touched[k]] = 0;
    knn->n_touched = 0;
    if (query->similar >= 0) knn_add_row(knn, state, query->similar, 1);
    for (int64_t h = 0; h < query->history.n; h++) {
        int32_t j = query->history.item[h];
        double x = model_scaled(query->model, query->history.weight[h]);
        knn_add_row(knn, state, j, x);
        knn_add(knn, j, (double)state->self[j] * x);
    }
    return ST_OK;
}

static double knn_score(const ModelQuery *query, int32_t item) {
    return ((const KnnQuery *)query->scratch)->score[item];
}

static Status knn_rank(const ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, TopK *top, Err *err) {
    const KnnQuery *knn = query->scratch;
    (void)n_allowed, (void)err;
    for (int32_t k = 0; k < knn->n_touched; k++) {
        int32_t i = knn->touched[k];
        if (!allowed || (allowed[i >> 6] >> (i & 63) & 1)) topk_push(top, knn->score[i], i);
    }
    return ST_OK;
}

/* s_ji, found by bisection in row j. */
static double neighbour_value(const KnnState *state, int32_t j, int32_t i) {
    int64_t low = state->neighbour.row_start[j], high = state->neighbour.row_start[j + 1];
    if (i == j) return (double)state->self[j];
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (state->neighbour.col[mid] < i)
            low = mid + 1;
        else
            high = mid;
    }
    return low < state->neighbour.row_start[j + 1] && state->neighbour.col[low] == i ? (double)state->neighbour.val[low] : 0;
}

static Status knn_contributions(const ModelQuery *query, int32_t item, double *part, Err *err) {
    (void)err;
    for (int64_t h = 0; h < query->history.n; h++)
        part[h] = neighbour_value(query->model->state, query->history.item[h], item) *
                  model_scaled(query->model, query->history.weight[h]);
    return ST_OK;
}

const Algorithm item_knn_algorithm = {
    .name = "item_knn",
    .summary = "what buyers of the user's items also have; trains in seconds",
    .options = knn_options,
    .params_size = sizeof(KnnParams),
    .train = knn_train,
    .write = knn_write,
    .read = knn_read,
    .free_state = knn_free,
    .memory = knn_memory,
    .query_new = knn_query_new,
    .query_free = knn_query_free,
    .query_prepare = knn_prepare,
    .score = knn_score,
    .rank = knn_rank,
    .contributions = knn_contributions,
};
