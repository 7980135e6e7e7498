/* sequence: a small transformer that says what comes next (encoder.h has its layers).
 *
 *     h_t = encoder(e_1, .., e_t),    score_i = e_i . h_n
 *
 *     e_i: the vector of item i, the same where it is looked at and where it is offered
 *     h_n: what is known after the asker's last item, of her last `length`
 *
 * or, with sharpness > 0, sharpness times the cosine of e_i and h_n (sessions). Trained to the
 * softmax cross-entropy of every next item against the items of the batch and `sampled` drawn ones,
 * corrected for how likely each is to be there (sampled_softmax.h); items start from what is had
 * together (sequence_start.c).
 *
 * Cost: a pass 6 (sampled + targets of the batch) d flops an event, and 6 blocks 12 d^2; memory is
 * foretold and refused beyond `memory`. A version holds items and weights, no user. Lists: h from
 * the live history, then the exact engine. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "../nn/sampled_softmax.h"
#include "algorithms.h"
#include "cost.h"
#include "factors.h"
#include "sequence_pause.h"
#include "sequence_step.h"
#include "sequence_validation.h"

static const OptSpec sequence_options[] = {
    {"dim", OPT_INT, offsetof(SequenceParams, dim), 16, 512, 64, NULL,
        "length of an item's vector (d), a multiple of 16"},
    {"blocks", OPT_INT, offsetof(SequenceParams, blocks), 1, ENCODER_MAX_BLOCKS, 2, NULL,
        "blocks of attention, filter and inner layer, one after the other"},
    {"length", OPT_INT, offsetof(SequenceParams, length), 2, 1000, 50, NULL,
        "items of a history that are looked at: the last so many"},
    {"passes", OPT_INT, offsetof(SequenceParams, passes), 1, 10000, 12, NULL,
        "passes over all sequences"},
    {"batch", OPT_INT, offsetof(SequenceParams, batch), 1, 4096, 256, NULL, "sequences of a step"},
    {"sampled", OPT_INT, offsetof(SequenceParams, sampled), 0, 1e6, 1024, NULL,
        "items drawn a step that the next one is told from; 0: all items"},
    {"rate", OPT_REAL, offsetof(SequenceParams, rate), 1e-6, 1, 4e-3, NULL,
        "length of a step of Adam; rises over half a pass, and falls to 0"},
    {"dropout", OPT_REAL, offsetof(SequenceParams, dropout), 0, .9, .4, NULL,
        "share of the numbers that is dropped in training"},
    {"mix", OPT_REAL, offsetof(SequenceParams, mix), 0, 1, .7, NULL,
        "the filter's share of a block, beside attention's"},
    {"sharpness", OPT_REAL, offsetof(SequenceParams, sharpness), 0, 100, 0, NULL,
        "score by this times the cosine, 12 to 16 for sessions; 0: by the inner product"},
    {"memory", OPT_REAL, offsetof(SequenceParams, memory), 0.001, 1024, 4, NULL,
        "GiB that training may use; more is refused before it begins"},
    {"init_from", OPT_INT, offsetof(SequenceParams, init_from), 0, 1e12, 0, NULL,
        "start from this version of the model: its weights, and the vectors of the items that it "
        "knows; go on where it paused; 0: from what is had together"},
    {"validation", OPT_REAL, offsetof(SequenceParams, validation), 0, .5, 0, NULL,
        "share of the users, 2,000 at most, whose last item is not trained on: after each pass "
        "rec_training_log has where it stood in their lists"},
    {"metric", OPT_CHOICE, offsetof(SequenceParams, metric), 0, 0, METRIC_NDCG10, "ndcg|hit|rr",
        "validation: what is logged, of lists of ten"},
    {"patience", OPT_INT, offsetof(SequenceParams, patience), 0, 10000, 0, NULL,
        "validation: passes without a better one after which training ends with the best pass's "
        "weights; 0: all passes, and the last one's"},
    {"pause_after", OPT_INT, offsetof(SequenceParams, pause_after), 0, 10000, 0, NULL,
        "passes of one training, after which it pauses: init_from= that version goes on, to the "
        "bits of one that never paused; 0: all"},
    {0},
};

typedef struct SequenceState {
    Factors factors; /* e */
    SequenceParams params;
    float *weights; /* encoder_floats */
    Encoder encoder;
    SequencePause pause; /* with pause_after */
} SequenceState;

static size_t n_weights(const SequenceState *state) {
    EncoderShape shape = sequence_shape(&state->params);
    return encoder_floats(&shape);
}

static Status sequence_check(const AlgorithmParams *params, Err *err) {
    SequenceParams p;
    memcpy(&p, params, sizeof p);
    if (p.patience && p.validation <= 0)
        return fail(err, ST_BADARG, "patience needs validation= above 0");
    return p.dim % 16 == 0 ? ST_OK
                           : fail(err, ST_BADARG, "dim=%d must be a multiple of 16", (int)p.dim);
}

static int sequence_wants_order(const AlgorithmParams *params) {
    (void)params;
    return 1;
}

static Status new_state(Model *model, Err *err) {
    SequenceState *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (!state) return fail_nomem(err, "the sequences");
    memcpy(&state->params, &model->params, sizeof state->params);
    state->weights = mem_array(n_weights(state), sizeof *state->weights);
    if (!state->weights) return fail_nomem(err, "the weights");
    return factors_init(&state->factors, model->n_items, (int32_t)state->params.dim,
        (int32_t)state->params.dim, err);
}

static Status finish_state(SequenceState *state, Err *err) {
    EncoderShape shape = sequence_shape(&state->params);
    TRY(encoder_init(&state->encoder, &shape, state->weights, 0, err));
    return factors_finish(&state->factors, err);
}

/* ---- training ---- */

static Status check_memory(const SequenceState *state, int32_t n_items, int threads, Err *err) {
    double gib = step_bytes(&state->params, n_items, threads) / (1 << 30);
    if (gib <= state->params.memory) return ST_OK;
    return fail(err, ST_BADARG,
        "training on %d items needs %.2g GiB (memory=%g; allow more, or less of dim= and "
        "sampled=)",
        n_items, gib, state->params.memory);
}

/* The training that the version to start from has paused, or NULL. */
static const SequencePause *paused_start(const Model *model) {
    const Model *start = model->start;
    const SequenceState *known = start ? start->state : NULL;
    return known && start->algorithm == &sequence_algorithm && known->pause.pass ? &known->pause
                                                                                 : NULL;
}

/* A paused training goes on with its own data and options; its log begins this one's. */
static Status go_on(Model *model, const SequenceValidation *validation, Err *err) {
    SequenceState *state = model->state;
    const Model *start = model->start;
    const SequenceState *known = start->state;
    int is_same = pause_same_params(&known->params, &state->params) &&
        start->common.seed == model->common.seed && start->n_items == model->n_items &&
        known->pause.data == pause_fingerprint(validation);
    for (int32_t i = 0; is_same && i < model->n_items; i++)
        is_same = keymap_find(start->items, keymap_key(model->items, i)) == i;
    if (!is_same)
        return fail(err, ST_BADARG,
            "init_from: the version has paused after %lld of %lld passes, and goes on with the "
            "events, options and seed that it began with only",
            (long long)known->pause.pass, (long long)known->params.passes);
    for (int64_t i = 0; i < start->n_steps; i++) {
        const TrainingStep *step = &start->step[i];
        TRY(model_log_step(model, step->sweep, step->objective, step->seconds, err));
        model->step[i].validation = step->validation;
    }
    return ST_OK;
}

/* The weights of the version to start from, and its vectors of the items that it knows. */
static Status start_from(Model *model, const SequenceValidation *validation, Err *err) {
    SequenceState *state = model->state;
    const Model *start = model->start;
    const SequenceState *known = start->state;
    if (start->algorithm != &sequence_algorithm || known->params.dim != state->params.dim ||
        known->params.blocks != state->params.blocks ||
        known->params.length != state->params.length)
        return fail(err, ST_BADARG,
            "init_from needs a version of sequence of the same dim, blocks and length");
    size_t d = (size_t)state->params.dim;
    memcpy(state->weights, known->weights, n_weights(state) * sizeof *state->weights);
    for (int32_t i = 0; i < model->n_items; i++) {
        int32_t old = keymap_find(start->items, keymap_key(model->items, i));
        if (old >= 0)
            memcpy(state->factors.items.row + (size_t)i * d, ann_row(&known->factors.items, old),
                d * sizeof(float));
    }
    return paused_start(model) ? go_on(model, validation, err) : ST_OK;
}

static Status fit(Model *model, const SequenceValidation *validation, Task *task, Err *err) {
    SequenceState *state = model->state;
    float *items = state->factors.items.row;
    if (model->n_items == 0) return ST_OK;
    if (!paused_start(model))
        TRY(sequence_start(
            model, validation->sequences, (int32_t)state->params.dim, items, task, err));
    if (model->start) TRY(start_from(model, validation, err));
    return sequence_fit(
        model, validation, items, state->weights, paused_start(model), &state->pause, task, err);
}

static Status sequence_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Sequences sequences = {0};
    SequenceValidation validation;
    TRY(new_state(model, err));
    SequenceState *state = model->state;
    EncoderShape shape = sequence_shape(&state->params);
    TRY(check_memory(state, model->n_items, task->threads, err));
    uint64_t seed = (uint64_t)model->common.seed;
    Status status = validation_init(&validation, data, &state->params, seed, err);
    if (status == ST_OK) status = sequences_init(&sequences, &validation.data, "sequence", err);
    encoder_start(&shape, state->weights, seed);
    validation.sequences = &sequences;
    if (status == ST_OK) status = fit(model, &validation, task, err);
    sequences_clear(&sequences);
    validation_clear(&validation);
    /* the input is normalised anyway */
    for (int32_t i = 0; i < model->n_items && state->params.sharpness > 0; i++)
        normalise_row(state->factors.items.row + (size_t)i * shape.dim, shape.dim, 1);
    return status == ST_OK ? finish_state(state, err) : status;
}

/* ---- storage: the items' vectors, the weights; with pause_after where it paused ---- */

static void sequence_write(const Model *model, Bytes *out) {
    const SequenceState *state = model->state;
    factors_write(&state->factors, out);
    bytes_append(out, state->weights, n_weights(state) * sizeof *state->weights);
    if (state->params.pause_after) pause_write(&state->pause, out);
}

static Status sequence_read(Model *model, Reader *in, Err *err) {
    TRY(sequence_check(&model->params, err));
    TRY(new_state(model, err));
    SequenceState *state = model->state;
    TRY(factors_read(&state->factors, in, err));
    const void *stored = read_block(in, n_weights(state), sizeof(float));
    if (!stored) return fail(err, ST_CORRUPT, "weights are truncated");
    memcpy(state->weights, stored, n_weights(state) * sizeof *state->weights);
    if (vector_first_bad(state->weights, n_weights(state)) >= 0)
        return fail(err, ST_CORRUPT, "weights hold no numbers");
    if (state->params.pause_after)
        TRY(pause_read(&state->pause, &state->params, model->n_items, in, err));
    return finish_state(state, err);
}

static void sequence_free(Model *model) {
    SequenceState *state = model->state;
    if (!state) return;
    encoder_clear(&state->encoder);
    pause_clear(&state->pause);
    factors_clear(&state->factors);
    mem_free(state->weights);
    mem_free(state);
    model->state = NULL;
}

static size_t sequence_memory(const Model *model) {
    const SequenceState *state = model->state;
    return factors_memory(&state->factors) + (n_weights(state) + state->pause.n) * sizeof(float);
}

/* ---- queries ---- */

typedef struct SequenceQuery {
    FactorQuery factors; /* x: h_n */
    EncoderBatch batch;  /* one sequence */
    EncoderScratch scratch;
    int32_t start, length;
    Scored *order;
    int64_t capacity;
} SequenceQuery;

static void sequence_query_free(ModelQuery *query) {
    SequenceQuery *q = query->scratch;
    if (!q) return;
    factor_query_clear(&q->factors);
    encoder_batch_clear(&q->batch);
    encoder_scratch_clear(&q->scratch);
    mem_free(q->order);
    mem_free(q);
    query->scratch = NULL;
}

static Status sequence_query_new(ModelQuery *query, Err *err) {
    const SequenceState *state = query->model->state;
    const EncoderShape *shape = &state->encoder.shape;
    SequenceQuery *q = mem_zeros(1, sizeof *q);
    query->scratch = q;
    if (!q) return fail_nomem(err, "a query");
    Status status = factor_query_init(&q->factors, &state->factors, err);
    if (status == ST_OK) status = encoder_batch_init(&q->batch, shape, shape->length, err);
    if (status == ST_OK) status = encoder_scratch_init(&q->scratch, shape, shape->length, err);
    q->batch.start = &q->start;
    q->batch.length = &q->length;
    if (status != ST_OK) sequence_query_free(query);
    return status;
}

static void take_item(const SequenceState *state, SequenceQuery *q, int64_t place, int32_t item) {
    size_t d = (size_t)state->params.dim;
    memcpy(q->batch.input + (size_t)place * d, ann_row(&state->factors.items, item),
        d * sizeof(float));
}

/* Her last visits into the batch, oldest first. */
static void take_visits(const ModelQuery *query, SequenceQuery *q) {
    const SequenceState *state = query->model->state;
    const History *history = &query->history;
    int64_t most = state->params.length, n = history->n_visits < most ? history->n_visits : most;
    for (int64_t i = 0; i < n; i++)
        take_item(state, q, i, history->visit[history->n_visits - n + i].item);
    q->length = (int32_t)n;
}

/* The same where only the last visit of each item is known. */
static Status take_items(const ModelQuery *query, SequenceQuery *q, Err *err) {
    const SequenceState *state = query->model->state;
    const History *history = &query->history;
    if (history->n > q->capacity) {
        Scored *grown = mem_resize(q->order, (size_t)history->n, sizeof *grown);
        if (!grown) return fail_nomem(err, "a query");
        q->order = grown;
        q->capacity = history->n;
    }
    history_in_order(history, q->order);
    int64_t n = history->n < state->params.length ? history->n : state->params.length;
    for (int64_t i = 0; i < n; i++)
        take_item(state, q, i, history->item[q->order[history->n - n + i].id]);
    q->length = (int32_t)n;
    return ST_OK;
}

static Status sequence_prepare(ModelQuery *query, Err *err) {
    const SequenceState *state = query->model->state;
    SequenceQuery *q = query->scratch;
    size_t d = (size_t)state->params.dim;
    if (query->similar >= 0) {
        factors_prepare_similar(query);
        return ST_OK;
    }
    if (query->history.n_visits) take_visits(query, q);
    else TRY(take_items(query, q, err));
    encoder_last(&state->encoder, &q->batch, &q->scratch);
    memcpy(q->factors.x, q->batch.output + (size_t)(q->length - 1) * d, d * sizeof(float));
    if (state->params.sharpness > 0) normalise_row(q->factors.x, d, (float)state->params.sharpness);
    return ST_OK;
}

/* A pass: forwards and backwards thrice the multiply-adds of the blocks, of the scores against the
 * items drawn and the batch's own, and of an attention over the length. */
static void sequence_cost(const CostAsk *ask, Cost *out) {
    SequenceParams p;
    memcpy(&p, ask->params, sizeof p);
    const Dataset *data = ask->data;
    double d = (double)p.dim, items = data->by_user.n_cols, tokens = 0, length = (double)p.length;
    for (int32_t u = 0; data->visit && u < data->by_user.n_rows; u++)
        tokens += fmax(0, (double)(data->visit_start[u + 1] - data->visit_start[u]) - 1);
    double mean = tokens / fmax(1, data->by_user.n_rows), batch = (double)p.batch * mean,
           against = p.sampled ? fmin(items, (double)p.sampled + batch) : items;
    double token = 1.8 * d * (12 * d * (double)p.blocks + against + 2 * fmin(mean, length));
    out->product += (double)p.passes * tokens * token;
    out->vector += (double)p.passes * tokens / fmax(1, batch) * 6 * d * items;
    out->bytes += step_bytes(&p, data->by_user.n_cols, ask->threads);
    double together = cost_places(data, 50).pairs;
    out->scatter += 4 * together;
    cost_svd(out, fmin(2 * together, 300 * items), items, items, d);
    EncoderShape shape = sequence_shape(&p);
    out->stored += 4 * (double)encoder_floats(&shape);
    cost_factors(out, ask, d);
}

const Algorithm sequence_algorithm = {
    .name = "sequence",
    .least_events = 20000,
    .summary =
        "a small transformer that learns what comes next; the best where the order of events "
        "says something",
    .scores_all = 1,
    .in_auto = AUTO_TIMED,
    .options = sequence_options,
    .tune_space =
        "{\"dim\":[64,96,128],\"dropout\":[0.3,0.4,0.5],\"mix\":[0.5,0.7],\"rate\":{\"min\":0.001,"
        "\"max\":0.004,\"log\":true}}",
    .params_size = sizeof(SequenceParams),
    .by_session = sequence_wants_order,
    .wants_order = sequence_wants_order,
    .check = sequence_check,
    .cost = sequence_cost,
    .train = sequence_train,
    .write = sequence_write,
    .read = sequence_read,
    .free_state = sequence_free,
    .memory = sequence_memory,
    .query_new = sequence_query_new,
    .query_free = sequence_query_free,
    .query_prepare = sequence_prepare,
    .score = factors_score,
    .logits = factors_logits,
    .rank = factors_rank,
    .item_vector = factors_item_vector,
    .alike = factors_alike,
    .index = factors_index,
    .asker = factors_asker,
};
