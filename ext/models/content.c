/* content: items like the user's by what they are, not by who has them: so that an item that nobody
 * has yet is recommended too. The catalogue is the items= table; item_text= and item_vector= name
 * its columns.
 *
 *     score_ui = sum over the items j of u of x_uj s_ji
 *     s_ji = cos(t_j, t_i) + vector_weight cos(v_j, v_i)
 *
 *     t_i: the weights of the words of i's text (Sparck Jones 1972; Robertson et al. 1994):
 *          weighting=tfidf   tf idf
 *          weighting=bm25    tf (K1 + 1) / (tf + K1 (1 - B + B len / mean len)) idf, K1 1.2, B .75
 *          tf how often the word is in the text, idf = ln((1 + n) / (1 + df)) + 1, n items with a
 *          text, df those with the word
 *     v_i: the given vector; where there is none and factors > 0, t_i in the space of the largest
 *          `factors` singular vectors of the items x words matrix (latent semantic analysis,
 *          Deerwester et al. 1990), and then cos(t_j, t_i) is left out
 *
 * Words are runs of letters, digits and bytes past ASCII, in lower case (ASCII). Vectors are
 * normalised. Cost: training O(words), and svd.h for factors; a list: the items of each word of the
 * history's items, and I inner products of vectors. Memory 16 bytes a word of an item, 4 dim I. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/words.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "../math/svd.h"
#include "algorithms.h"
#include "cost.h"
#include "factors.h"
#include "scoreboard.h"

typedef struct ContentParams {
    int64_t weighting;
    int64_t factors;
    double vector_weight;
} ContentParams;

enum { WEIGHT_TFIDF, WEIGHT_BM25 };

static const OptSpec content_options[] = {
    {"weighting", OPT_CHOICE, offsetof(ContentParams, weighting), 0, 0, WEIGHT_TFIDF, "tfidf|bm25",
        "how the words of a text are weighed"},
    {"factors", OPT_INT, offsetof(ContentParams, factors), 0, 2048, 0, NULL,
        "length of the vectors made from the texts (latent semantic analysis); 0: none"},
    {"vector_weight", OPT_REAL, offsetof(ContentParams, vector_weight), 0, 1e6, 1, NULL,
        "weight of the given vectors beside the text"},
    {0},
};

typedef struct Content {
    Factors factors; /* v: items x dim, unit length or 0; dim may be 0 */
    ContentParams params;
    Csr text;    /* items x words: t, unit length */
    Csr by_word; /* its transpose */
} Content;

/* ---- words ---- */

typedef struct Word {
    int32_t id;
    int32_t count;
} Word;

static int compare_words(const void *a, const void *b) {
    const Word *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* All words of all texts, item after item; distinct and ascending in an item, with their counts. */
typedef struct Words {
    KeyMap *vocabulary;
    Bytes word;     /* Word */
    int64_t *start; /* items + 1 */
} Words;

static Status collect_words(const Dataset *data, int32_t n_items, Words *out, Err *err) {
    out->vocabulary = keymap_new();
    out->start = mem_zeros((size_t)n_items + 1, sizeof *out->start);
    if (!out->vocabulary || !out->start) return fail_nomem(err, "the words");
    for (int32_t i = 0; i < n_items; i++) {
        const char *text = data->item_text ? data->item_text[i] : NULL;
        const char *end = text ? text + strlen(text) : NULL;
        char word[64];
        size_t len, from = out->word.len;
        while (text && (len = word_next(&text, end, word, sizeof word)) > 0) {
            Word found = {.count = 1};
            TRY(keymap_add(out->vocabulary, (Key){.text = word, .len = len}, &found.id, err));
            bytes_append(&out->word, &found, sizeof found);
        }
        if (out->word.failed) return fail_nomem(err, "the words");
        Word *own = (Word *)(void *)(out->word.data + from);
        size_t n = (out->word.len - from) / sizeof *own, kept = 0;
        if (n > 1) qsort(own, n, sizeof *own, compare_words);
        for (size_t w = 0; w < n; w++) {
            if (kept && own[kept - 1].id == own[w].id) own[kept - 1].count++;
            else own[kept++] = own[w];
        }
        out->word.len = from + kept * sizeof *own;
        out->start[i + 1] = (int64_t)(out->word.len / sizeof *own);
    }
    return ST_OK;
}

/* Rows of weights, each of unit length. */
static Status weigh(Content *state, const Words *words, int32_t n_items, Err *err) {
    const double k1 = 1.2, b = .75;
    const Word *word = (const Word *)(const void *)words->word.data;
    int32_t n_words = keymap_count(words->vocabulary);
    double *idf = mem_zeros((size_t)n_words, sizeof *idf), texts = 0, total = 0;
    Status status = idf ? csr_alloc(&state->text, n_items, n_words, words->start[n_items], err)
                        : fail_nomem(err, "the words");
    for (int64_t e = 0; status == ST_OK && e < words->start[n_items]; e++) {
        idf[word[e].id]++;
        total += word[e].count;
    }
    for (int32_t i = 0; i < n_items; i++) texts += words->start[i + 1] > words->start[i];
    for (int32_t w = 0; status == ST_OK && w < n_words; w++)
        idf[w] = log((1 + texts) / (1 + idf[w])) + 1;
    for (int32_t i = 0; status == ST_OK && i < n_items; i++) {
        double square = 0, len = 0;
        for (int64_t e = words->start[i]; e < words->start[i + 1]; e++) len += word[e].count;
        for (int64_t e = words->start[i]; e < words->start[i + 1]; e++) {
            double tf = word[e].count, x = tf * idf[word[e].id];
            if (state->params.weighting == WEIGHT_BM25)
                x *= (k1 + 1) / (tf + k1 * (1 - b + b * len * texts / total));
            state->text.col[e] = word[e].id;
            state->text.val[e] = (float)x;
            square += x * x;
        }
        for (int64_t e = words->start[i]; e < words->start[i + 1]; e++)
            state->text.val[e] = (float)((double)state->text.val[e] / sqrt(square));
        state->text.row_start[i + 1] = words->start[i + 1];
    }
    mem_free(idf);
    return status;
}

/* ---- training ---- */

static void to_unit_length(float *row, size_t dim) {
    double norm = sqrt(kernels()->dot(row, row, dim));
    for (size_t f = 0; f < dim; f++) row[f] = norm > 0 ? (float)((double)row[f] / norm) : 0;
}

/* v = T W with W the words' singular vectors. */
static Status make_vectors(Content *state, const Model *model, Task *task, Err *err) {
    size_t dim = (size_t)state->factors.items.dim;
    int32_t rank = state->text.n_rows < state->text.n_cols ? state->text.n_rows
                                                           : state->text.n_cols,
            k = (int32_t)dim < rank ? (int32_t)dim : rank;
    float *w = mem_zeros((size_t)state->text.n_cols, (size_t)k * sizeof *w);
    Status status = w ? ST_OK : fail_nomem(err, "the singular vectors");
    if (status == ST_OK)
        status = svd_right(
            &state->text, &state->by_word, k, 0, (uint64_t)model->common.seed, task, w, err);
    for (int32_t i = 0; status == ST_OK && i < model->n_items; i++) {
        float *row = state->factors.items.row + (size_t)i * dim;
        memset(row, 0, dim * sizeof *row);
        for (int64_t e = state->text.row_start[i]; e < state->text.row_start[i + 1]; e++)
            for (int32_t f = 0; f < k; f++)
                row[f] += state->text.val[e] *
                    w[(size_t)state->text.col[e] * (size_t)k + (size_t)f];
    }
    mem_free(w);
    return status;
}

static Status new_state(Model *model, int32_t dim, Err *err) {
    Content *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (!state) return fail_nomem(err, "the texts");
    memcpy(&state->params, &model->params, sizeof state->params);
    return factors_init(&state->factors, model->n_items, dim, dim, err);
}

static Status train_state(Model *model, const Dataset *data, Words *words, Task *task, Err *err) {
    int32_t dim = data->vector_dim ? data->vector_dim
                                   : (int32_t)((ContentParams *)(void *)&model->params)->factors;
    TRY(new_state(model, dim, err));
    Content *state = model->state;
    task_phase(task, "texts", "items", 0, 0);
    TRY(collect_words(data, model->n_items, words, err));
    if (task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
    TRY(weigh(state, words, model->n_items, err));
    TRY(csr_transpose(&state->by_word, &state->text, err));
    if (data->vector_dim && model->n_items)
        memcpy(state->factors.items.row, data->item_vector,
            (size_t)model->n_items * (size_t)dim * sizeof(float));
    if (!data->vector_dim && dim) {
        task_phase(task, "singular vectors", "vectors", 0, 0);
        TRY(dense_begin(1, err));
        Status status = make_vectors(state, model, task, err);
        dense_end();
        if (status != ST_OK) return status;
        csr_clear(&state->text); /* the vectors stand for it */
        csr_clear(&state->by_word);
        TRY(csr_alloc(&state->text, model->n_items, 0, 0, err));
        TRY(csr_transpose(&state->by_word, &state->text, err));
    }
    for (int32_t i = 0; i < model->n_items; i++)
        to_unit_length(state->factors.items.row + (size_t)i * (size_t)dim, (size_t)dim);
    return factors_finish(&state->factors, err);
}

static Status content_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Words words = {0};
    Status status = !data->item_text && !data->vector_dim && model->n_items
        ? fail(err, ST_BADARG, "content needs items=, item_key= and item_text= or item_vector=")
        : train_state(model, data, &words, task, err);
    keymap_free(words.vocabulary);
    bytes_clear(&words.word);
    mem_free(words.start);
    return status;
}

/* ---- storage: words, rows of the texts, length of a vector, vectors ---- */

static void content_write(const Model *model, Bytes *out) {
    const Content *state = model->state;
    bytes_u32(out, (uint32_t)state->text.n_cols);
    csr_write(&state->text, out);
    bytes_u32(out, (uint32_t)state->factors.items.dim);
    factors_write(&state->factors, out);
}

static Status content_read(Model *model, Reader *in, Err *err) {
    Csr text = {0};
    uint32_t words = read_u32(in);
    if (in->failed || words > INT32_MAX) return fail(err, ST_CORRUPT, "the texts are truncated");
    Status status = csr_read(&text, model->n_items, (int32_t)words, in, err);
    /* each is somewhere */
    if (status == ST_OK && words > (uint64_t)csr_nnz(&text))
        status = fail(err, ST_CORRUPT, "%u words in %lld places", words, (long long)csr_nnz(&text));
    uint32_t dim = read_u32(in);
    uint64_t needed = (uint64_t)model->n_items * dim * sizeof(float);
    if (status == ST_OK && (in->failed || dim > DATASET_MAX_DIM || needed > in->len - in->pos))
        status = fail(err, ST_CORRUPT, "the vectors are truncated");
    if (status == ST_OK) status = new_state(model, (int32_t)dim, err);
    Content *state = model->state;
    if (!state) {
        csr_clear(&text);
        return status;
    }
    state->text = text;
    if (status == ST_OK) status = csr_transpose(&state->by_word, &state->text, err);
    if (status == ST_OK) status = factors_read(&state->factors, in, err);
    return status == ST_OK ? factors_finish(&state->factors, err) : status;
}

static void content_free(Model *model) {
    Content *state = model->state;
    if (!state) return;
    factors_clear(&state->factors);
    csr_clear(&state->text);
    csr_clear(&state->by_word);
    mem_free(state);
    model->state = NULL;
}

static size_t content_memory(const Model *model) {
    const Content *state = model->state;
    return factors_memory(&state->factors) + (size_t)csr_nnz(&state->text) * 16;
}

/* ---- queries: the asker is the sum of her items' texts and vectors ---- */

typedef struct ContentQuery {
    FactorQuery base;
    Scoreboard board; /* items */
    Scoreboard words;
} ContentQuery;

static void content_query_free(ModelQuery *query) {
    ContentQuery *q = query->scratch;
    if (!q) return;
    factor_query_clear(&q->base);
    scoreboard_clear(&q->board);
    scoreboard_clear(&q->words);
    mem_free(q);
    query->scratch = NULL;
}

static Status content_query_new(ModelQuery *query, Err *err) {
    const Content *state = query->model->state;
    ContentQuery *q = mem_zeros(1, sizeof *q);
    query->scratch = q;
    if (!q) return fail_nomem(err, "a query");
    Status status = factor_query_init(&q->base, &state->factors, err);
    if (status == ST_OK) status = scoreboard_init(&q->board, query->model->n_items, err);
    if (status == ST_OK) status = scoreboard_init(&q->words, state->text.n_cols, err);
    if (status != ST_OK) content_query_free(query);
    return status;
}

static void add_profile(const Content *state, ContentQuery *q, int32_t item, double x) {
    const float *v = state->factors.items.row + (size_t)item * (size_t)state->factors.items.dim;
    for (int64_t e = state->text.row_start[item]; e < state->text.row_start[item + 1]; e++)
        scoreboard_add(&q->words, state->text.col[e], x * (double)state->text.val[e]);
    for (int32_t f = 0; f < state->factors.items.dim; f++)
        q->base.x[f] += (float)(state->params.vector_weight * x) * v[f];
}

static Status content_prepare(ModelQuery *query, Err *err) {
    const Content *state = query->model->state;
    ContentQuery *q = query->scratch;
    int32_t dim = state->factors.items.dim;
    (void)err;
    scoreboard_reset(&q->words, 0);
    scoreboard_reset(&q->board, 1);
    memset(q->base.x, 0, (size_t)dim * sizeof *q->base.x);
    if (query->similar >= 0) add_profile(state, q, query->similar, 1);
    for (int64_t h = 0; h < query->history.n; h++)
        add_profile(
            state, q, query->history.item[h], model_scaled(query->model, query->history.weight[h]));
    for (int32_t t = 0; t < q->words.n_touched; t++) {
        int32_t word = q->words.touched[t];
        for (int64_t e = state->by_word.row_start[word]; e < state->by_word.row_start[word + 1];
             e++)
            q->board.score[state->by_word.col[e]] += q->words.score[word] *
                (double)state->by_word.val[e];
    }
    for (int32_t i = 0; dim && i < query->model->n_items; i++)
        q->board.score[i] += kernels()->dot(
            q->base.x, ann_row(&state->factors.items, i), (size_t)dim);
    if (query->similar >= 0) q->board.score[query->similar] = 0;
    return ST_OK;
}

static const Scoreboard *content_board(const ModelQuery *query) {
    return &((const ContentQuery *)query->scratch)->board;
}

static double cosine(const Content *state, int32_t a, int32_t b) {
    const Csr *text = &state->text;
    double sum = 0;
    for (int64_t x = text->row_start[a], y = text->row_start[b];
         x < text->row_start[a + 1] && y < text->row_start[b + 1];) {
        if (text->col[x] == text->col[y]) sum += (double)text->val[x] * (double)text->val[y];
        int32_t left = text->col[x], right = text->col[y];
        x += left <= right;
        y += right <= left;
    }
    return sum +
        state->params.vector_weight *
        kernels()->dot(ann_row(&state->factors.items, a), ann_row(&state->factors.items, b),
            (size_t)state->factors.items.dim);
}

static Status content_contributions(const ModelQuery *query, int32_t item, double *part, Err *err) {
    (void)err;
    for (int64_t h = 0; h < query->history.n; h++)
        part[h] = model_scaled(query->model, query->history.weight[h]) *
            cosine(query->model->state, query->history.item[h], item);
    return ST_OK;
}

static double content_alike(const Model *model, int32_t a, int32_t b) {
    const Content *state = model->state;
    double most = (state->text.n_cols > 0) +
        (state->factors.items.dim > 0 ? state->params.vector_weight : 0);
    return most > 0 ? fmax(0, cosine(state, a, b) / most) : 0;
}

static void content_cost(const CostAsk *ask, Cost *out) {
    ContentParams p;
    memcpy(&p, ask->params, sizeof p);
    const Dataset *data = ask->data;
    double items = data->by_user.n_cols, letters = 0, d = data->vector_dim;
    for (int32_t i = 0; data->item_text && i < data->by_user.n_cols; i++)
        letters += data->item_text[i] ? (double)strlen(data->item_text[i]) : 0;
    double words = letters / 6;
    out->alone += 2 * letters;
    out->bytes += 24 * words;
    out->stored += 8 * words;
    if (p.factors > 0 && !data->vector_dim) {
        d = (double)p.factors;
        cost_svd(out, words, items, fmin(words, 10 * items), d);
    }
    cost_factors(out, ask, d);
}

const Algorithm content_algorithm = {
    .name = "content",
    .summary = "items like the user's by their texts and vectors; knows items that nobody has yet",
    .wants_items = 1,
    .options = content_options,
    .params_size = sizeof(ContentParams),
    .cost = content_cost,
    .train = content_train,
    .write = content_write,
    .read = content_read,
    .free_state = content_free,
    .memory = content_memory,
    .query_new = content_query_new,
    .query_free = content_query_free,
    .query_prepare = content_prepare,
    .board = content_board,
    .contributions = content_contributions,
    .item_vector = factors_item_vector,
    .alike = content_alike,
};
