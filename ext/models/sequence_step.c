#include "sequence_step.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../math/product.h"
#include "../nn/sampled_softmax.h"
#include "sequence_pause.h"

/* The logits of a step take at most so much, and a batch has at most so many tokens. */
static const double LOGIT_BYTES = 96e6;
enum { MAX_TOKENS = 4096 };

/* ---- memory ---- */

static int takes_all(const SequenceParams *params, int32_t n_items) {
    return params->sampled == 0 || params->sampled >= n_items;
}

static size_t tokens_of(const SequenceParams *params, int32_t n_items) {
    double most = LOGIT_BYTES / 4 /
        (takes_all(params, n_items) ? (double)n_items : (double)params->sampled + MAX_TOKENS / 2);
    size_t tokens = (size_t)(params->batch * params->length);
    if (tokens > MAX_TOKENS) tokens = MAX_TOKENS;
    if ((double)tokens > most) tokens = (size_t)most;
    return tokens < (size_t)params->length ? (size_t)params->length : tokens;
}

static size_t candidates_of(const SequenceParams *params, int32_t n_items, size_t tokens) {
    size_t all = (size_t)n_items, some = (size_t)params->sampled + tokens;
    return takes_all(params, n_items) || some > all ? all : some;
}

/* The most that a part has: the sequence that fills it may go beyond. */
static size_t part_tokens(const SequenceStep *s) {
    size_t even = s->max_tokens / STEP_PARTS + 1;
    return (even > PART_TOKENS ? even : PART_TOKENS) + s->shape.length;
}

double step_bytes(const SequenceParams *params, int32_t n_items, int threads) {
    EncoderShape shape = sequence_shape(params);
    double d = (double)params->dim, items = (double)n_items;
    size_t tokens = tokens_of(params, n_items);
    double candidates = (double)candidates_of(params, n_items, tokens);
    double copies = params->patience ? 4 : 3; /* Adam's two, and the best pass's */
    double paused = params->pause_after ? (double)pause_numbers(params, n_items) : 0;
    return 4 * (copies * items * d + items * 3 + copies * (double)encoder_floats(&shape) + paused) +
        4 * candidates * ((double)tokens + 16 * STEP_PARTS + d + 4) + 4 * (double)tokens * (d + 6) +
        (double)encoder_batch_bytes(&shape, tokens) +
        threads * 4 * 12 * d * ((double)tokens / STEP_PARTS + PART_TOKENS + (double)params->length);
}

static Status init_workers(SequenceStep *s, Err *err) {
    size_t t = (size_t)s->threads, d = s->shape.dim;
    s->scratch = mem_zeros(t, sizeof *s->scratch);
    s->part_scratch = mem_zeros(t, sizeof *s->part_scratch);
    s->gradient = mem_zeros(t, sizeof *s->gradient);
    if (!s->scratch || !s->part_scratch || !s->gradient) return fail_nomem(err, "the training");
    for (size_t w = 0; w < t; w++) {
        TRY(encoder_scratch_init(&s->scratch[w], &s->shape, part_tokens(s), err));
        s->part_scratch[w] = mem_array(
            sampled_softmax_scratch(d, part_tokens(s)), sizeof **s->part_scratch);
        s->gradient[w] = mem_array(STEP_ROWS * 4 * d, sizeof **s->gradient);
        if (!s->part_scratch[w] || !s->gradient[w]) return fail_nomem(err, "the training");
    }
    return ST_OK;
}

static Status init_batch(SequenceStep *s, Err *err) {
    size_t tokens = s->max_tokens, c = s->max_candidates, d = s->shape.dim;
    size_t sequences = (size_t)s->params->batch, items = (size_t)s->n_items;
    TRY(encoder_batch_init(&s->batch, &s->shape, tokens, err));
    s->start = mem_array(sequences, sizeof *s->start);
    s->length = mem_array(sequences, sizeof *s->length);
    s->item = mem_array(tokens, sizeof *s->item);
    s->target = mem_array(tokens, sizeof *s->target);
    s->use = mem_array(tokens, sizeof *s->use);
    s->h = mem_array(tokens, d * sizeof *s->h);
    s->row_of = mem_array(items, sizeof *s->row_of);
    s->row_item = mem_array(c + tokens, sizeof *s->row_item);
    s->use_start = mem_array(c + tokens + 2, sizeof *s->use_start);
    s->e = mem_array(c, d * sizeof *s->e);
    s->e_scale = mem_array(c, sizeof *s->e_scale);
    s->bias = mem_zeros(c, sizeof *s->bias);
    s->p = mem_aligned(c, (up16(tokens) + 16 * STEP_PARTS) * sizeof *s->p);
    if (!s->start || !s->length || !s->item || !s->target || !s->use || !s->h || !s->row_of ||
        !s->row_item || !s->use_start || !s->e || !s->e_scale || !s->bias || !s->p)
        return fail_nomem(err, "a batch of sequences");
    for (size_t i = 0; i < items; i++) s->row_of[i] = -1;
    s->batch.start = s->start;
    s->batch.length = s->length;
    return ST_OK;
}

Status step_init(SequenceStep *s, int threads, Err *err) {
    size_t n = (size_t)s->n_items * (size_t)s->params->dim;
    s->shape = sequence_shape(s->params);
    s->threads = threads;
    s->max_tokens = tokens_of(s->params, s->n_items);
    s->max_candidates = candidates_of(s->params, s->n_items, s->max_tokens);
    size_t floats = encoder_floats(&s->shape), vectors = encoder_vectors(&s->shape);
    encoder_matrices(&s->shape, s->matrix);
    TRY(encoder_init(&s->encoder, &s->shape, s->weights, 1, err));
    s->items_m = mem_zeros(n, sizeof *s->items_m);
    s->items_v = mem_zeros(n, sizeof *s->items_v);
    s->items_last = mem_zeros((size_t)s->n_items, sizeof *s->items_last);
    s->weights_m = mem_zeros(floats, sizeof *s->weights_m);
    s->weights_v = mem_zeros(floats, sizeof *s->weights_v);
    if (!s->items_m || !s->items_v || !s->items_last || !s->weights_m || !s->weights_v)
        return fail_nomem(err, "the training");
    for (int part = 0; part < STEP_PARTS; part++)
        if (!(s->vectors[part] = mem_array(vectors, sizeof **s->vectors)))
            return fail_nomem(err, "the training");
    TRY(init_batch(s, err));
    return init_workers(s, err);
}

void step_clear(SequenceStep *s) {
    encoder_clear(&s->encoder);
    encoder_batch_clear(&s->batch);
    for (int w = 0; w < s->threads; w++) {
        if (s->scratch) encoder_scratch_clear(&s->scratch[w]);
        if (s->part_scratch) mem_free(s->part_scratch[w]);
        if (s->gradient) mem_free(s->gradient[w]);
    }
    for (int part = 0; part < STEP_PARTS; part++) mem_free(s->vectors[part]);
    void *owned[] = {s->scratch, s->part_scratch, s->gradient, s->items_m, s->items_v,
        s->items_last, s->weights_m, s->weights_v, s->start, s->length, s->item, s->target, s->use,
        s->h, s->row_of, s->row_item, s->use_start, s->e, s->e_scale, s->bias, s->p};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    *s = (SequenceStep){0};
}

/* ---- what is in a step ---- */

int64_t step_take(SequenceStep *s, const Window *window, int64_t n) {
    size_t tokens = 0;
    for (s->n_sequences = 0;
         s->n_sequences < (size_t)s->params->batch && s->n_sequences < (size_t)n;
         s->n_sequences++) {
        const Window *w = &window[s->n_sequences];
        if (tokens + (size_t)w->length > s->max_tokens) break;
        s->start[s->n_sequences] = (int32_t)tokens;
        s->length[s->n_sequences] = w->length;
        for (int32_t i = 0; i < w->length; i++, tokens++) {
            s->item[tokens] = s->sequences->item[w->first + i];
            s->target[tokens] = s->sequences->item[w->first + i + 1];
        }
    }
    s->batch.tokens = tokens;
    return (int64_t)s->n_sequences;
}

/* Sequences in parts of about as many tokens each. */
static void share_out(SequenceStep *s) {
    size_t at = 0, column = 0, tokens = s->batch.tokens, parts = (tokens - 1) / PART_TOKENS + 1;
    s->n_parts = parts < STEP_PARTS ? parts : STEP_PARTS;
    for (size_t part = 0; part < s->n_parts; part++) {
        size_t own = 0, limit = (tokens - 1) / s->n_parts + 1;
        s->part_from[part] = at;
        s->part_column[part] = column;
        while (at < s->n_sequences && own < limit) own += (size_t)s->length[at++];
        column += up16(own);
    }
    s->part_from[s->n_parts] = s->n_sequences;
}

static int32_t row_for(SequenceStep *s, int32_t item) {
    if (s->row_of[item] < 0) {
        s->row_of[item] = (int32_t)s->n_rows;
        s->row_item[s->n_rows++] = item;
    }
    return s->row_of[item];
}

/* The chance that an item is a candidate: drawn, or what comes next somewhere in the batch.
 * never_drawn: the logarithm of the chance not to be drawn. */
static float correction(const SequenceStep *s, double never_drawn, int32_t item) {
    double never = never_drawn + (double)s->batch.tokens * log1p(-s->target_share[item]);
    return (float)-log(-expm1(never));
}

/* Targets become rows of candidates; the draws follow, or all items. */
static void choose_candidates(SequenceStep *s, Random *random) {
    s->n_rows = 0;
    for (size_t t = 0; t < s->batch.tokens; t++) s->target[t] = row_for(s, s->target[t]);
    if (takes_all(s->params, s->n_items)) {
        for (int32_t i = 0; i < s->n_items; i++) row_for(s, i);
        s->n_candidates = s->n_rows;
        return;
    }
    for (int64_t k = 0; k < s->params->sampled; k++)
        row_for(s, (int32_t)random_below(random, (uint64_t)s->n_items));
    s->n_candidates = s->n_rows;
    double never_drawn = (double)s->params->sampled * log1p(-1 / (double)s->n_items);
    for (size_t c = 0; c < s->n_candidates; c++)
        s->bias[c] = correction(s, never_drawn, s->row_item[c]);
}

/* Which tokens look at which row: a counting sort. */
static void list_uses(SequenceStep *s) {
    for (size_t t = 0; t < s->batch.tokens; t++) row_for(s, s->item[t]);
    memset(s->use_start, 0, (s->n_rows + 2) * sizeof *s->use_start);
    int32_t *next = s->use_start + 1; /* in the end next[r] is where r + 1 begins */
    for (size_t t = 0; t < s->batch.tokens; t++) next[s->row_of[s->item[t]] + 1]++;
    for (size_t r = 0; r < s->n_rows; r++) next[r + 1] += next[r];
    for (size_t t = 0; t < s->batch.tokens; t++) s->use[next[s->row_of[s->item[t]]]++] = (int32_t)t;
}

/* Rows of the batch make the moves that they have missed, and candidates stand together. */
static void gather_piece(void *context, int64_t piece, int worker) {
    SequenceStep *s = context;
    size_t d = s->shape.dim, from = (size_t)piece * STEP_ROWS,
           to = from + STEP_ROWS < s->n_rows ? from + STEP_ROWS : s->n_rows;
    int sharp = s->params->sharpness > 0;
    (void)worker;
    for (size_t r = from; r < to; r++) {
        size_t item = (size_t)s->row_item[r];
        float *x = s->items + item * d;
        adam_catch_up(
            &s->adam, &s->items_last[item], x, s->items_m + item * d, s->items_v + item * d, d);
        if (r >= s->n_candidates) continue;
        memcpy(s->e + r * d, x, d * sizeof *x);
        if (sharp) s->e_scale[r] = normalise_row(s->e + r * d, d, 1);
    }
}

/* ---- the gradients ---- */

/* How many tokens a part has, from *first on; 0: it has no sequence. */
static size_t part_range(const SequenceStep *s, size_t part, size_t *first) {
    size_t from = s->part_from[part], to = s->part_from[part + 1];
    *first = from < to ? (size_t)s->start[from] : 0;
    return from < to ? (size_t)(s->start[to - 1] + s->length[to - 1]) - *first : 0;
}

/* A part: its sequences forward, their losses, and back. */
static void part_piece(void *context, int64_t part, int worker) {
    SequenceStep *s = context;
    size_t from = s->part_from[part], to = s->part_from[part + 1], d = s->shape.dim;
    EncoderWeights vectors = encoder_weights(&s->shape, s->vectors[part]);
    memset(s->vectors[part], 0, encoder_vectors(&s->shape) * sizeof **s->vectors);
    s->loss[part] = 0;
    size_t first, tokens = part_range(s, (size_t)part, &first);
    if (!tokens) return;
    SampledSoftmax loss = {.dim = d,
        .candidates = s->n_candidates,
        .e = s->e,
        .bias = s->bias,
        .sharpness = (float)s->params->sharpness,
        .places = (float)s->batch.tokens,
        .p = s->p + s->part_column[part] * s->n_candidates,
        .p_row = up16(tokens)};
    for (size_t t = first; t < first + tokens; t++)
        memcpy(s->batch.input + t * d, s->items + (size_t)s->item[t] * d, d * sizeof *s->items);
    encoder_forward(&s->encoder, &s->batch, from, to, &s->scratch[worker]);
    memcpy(s->h + first * d, s->batch.output + first * d, tokens * d * sizeof *s->h);
    s->loss[part] = sampled_softmax(&loss, s->h + first * d, s->target + first, tokens,
        s->batch.output + first * d, s->part_scratch[worker]);
    encoder_backward(&s->encoder, &s->batch, from, to, &s->scratch[worker], &vectors);
}

/* The gradient of rows [from, to) of the items: as candidates, part after part, and as what is
 * looked at, token after token. */
static void item_gradients(const SequenceStep *s, size_t from, size_t to, float *out) {
    size_t d = s->shape.dim, end = to < s->n_candidates ? to : s->n_candidates;
    memset(out, 0, (to - from) * d * sizeof *out);
    for (size_t part = 0; part < s->n_parts && from < end; part++) {
        size_t first, tokens = part_range(s, part, &first), width = up16(tokens);
        if (!tokens) continue;
        product_run(&(Product){.m = end - from,
            .n = d,
            .k = tokens,
            .a = s->p + s->part_column[part] * s->n_candidates + from * width,
            .a_row = width,
            .a_col = 1,
            .b = s->h + first * d,
            .b_row = d,
            .c = out,
            .c_row = d,
            .add = 1});
    }
    for (size_t c = from; c < end && s->params->sharpness > 0; c++)
        normalise_row_back(
            s->e + c * d, s->e_scale[c], 1, d, out + (c - from) * d, out + (c - from) * d);
    for (size_t r = from; r < to; r++)
        for (int32_t u = s->use_start[r]; u < s->use_start[r + 1]; u++)
            row_add(out + (r - from) * d, s->batch.input + (size_t)s->use[u] * d, d);
}

static void update_items(SequenceStep *s, size_t from, float *gradient) {
    size_t d = s->shape.dim, to = from + STEP_ROWS < s->n_rows ? from + STEP_ROWS : s->n_rows;
    item_gradients(s, from, to, gradient);
    for (size_t r = from; r < to; r++) {
        size_t item = (size_t)s->row_item[r];
        adam_update(&s->adam, s->items + item * d, s->items_m + item * d, s->items_v + item * d,
            gradient + (r - from) * d, d);
        s->items_last[item] = (int32_t)s->adam.step;
    }
}

static void update_vectors(SequenceStep *s) {
    size_t n = encoder_vectors(&s->shape);
    for (size_t part = 1; part < s->n_parts; part++) row_add(s->vectors[0], s->vectors[part], n);
    adam_update(&s->adam, s->weights, s->weights_m, s->weights_v, s->vectors[0], n);
}

static void update_matrix(SequenceStep *s, size_t m, float *gradient) {
    const EncoderMatrix *matrix = &s->matrix[m];
    for (size_t row = 0; row < matrix->rows; row += STEP_ROWS) {
        size_t rows = matrix->rows - row < STEP_ROWS ? matrix->rows - row : STEP_ROWS;
        size_t at = matrix->offset + row * matrix->columns;
        encoder_matrix_gradient(&s->encoder, &s->batch, m, row, rows, gradient);
        adam_update(&s->adam, s->weights + at, s->weights_m + at, s->weights_v + at, gradient,
            rows * matrix->columns);
    }
    encoder_transpose(&s->encoder, s->weights, m);
}

/* Matrices first, since they take longest; then the vectors; then the items. */
static void update_piece(void *context, int64_t piece, int worker) {
    SequenceStep *s = context;
    int64_t matrices = (int64_t)(s->shape.blocks * ENCODER_MATRICES);
    if (piece < matrices) update_matrix(s, (size_t)piece, s->gradient[worker]);
    else if (piece == matrices) update_vectors(s);
    else update_items(s, (size_t)(piece - matrices - 1) * STEP_ROWS, s->gradient[worker]);
}

Status step_run(
    SequenceStep *s, uint64_t stream, uint64_t seed, double *loss, Task *task, Err *err) {
    Random random;
    random_init(&random, seed, stream);
    s->encoder.dropout = (Dropout){random_u64(&random), (float)s->params->dropout};
    share_out(s);
    choose_candidates(s, &random);
    list_uses(s);
    int64_t pieces = (int64_t)((s->n_rows + STEP_ROWS - 1) / STEP_ROWS);
    TRY(task_run(task, pieces, gather_piece, s, err));
    TRY(task_run(task, (int64_t)s->n_parts, part_piece, s, err));
    TRY(task_run(
        task, (int64_t)(s->shape.blocks * ENCODER_MATRICES) + 1 + pieces, update_piece, s, err));
    for (size_t r = 0; r < s->n_rows; r++) s->row_of[s->row_item[r]] = -1;
    *loss = 0;
    for (size_t part = 0; part < s->n_parts; part++) *loss += s->loss[part];
    return ST_OK;
}
