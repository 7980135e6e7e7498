#include "sequence_validation.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../math/kernels.h"

/* ---- who ---- */

static void draw_users(SequenceValidation *out, uint64_t seed) {
    Random random;
    random_init(&random, seed, UINT64_MAX / 2);
    for (int32_t u = 0; u < out->data.by_user.n_rows; u++) {
        int is_drawn = random_uniform(&random) < out->params->validation;
        if (is_drawn && out->data.visit_start[u + 1] - out->data.visit_start[u] >= 3)
            out->user[out->n++] = u;
    }
    for (int64_t k = 0; k < VALIDATION_USERS && out->n > VALIDATION_USERS; k++) {
        int64_t other = k + (int64_t)random_below(&random, (uint64_t)(out->n - k));
        int32_t swap = out->user[k];
        out->user[k] = out->user[other];
        out->user[other] = swap;
    }
    if (out->n > VALIDATION_USERS) out->n = VALIDATION_USERS;
}

/* The visits without the last one of each drawn user, which moves to item. */
static Status hold_out(SequenceValidation *out, Err *err) {
    int32_t n_users = out->data.by_user.n_rows;
    const int64_t *start = out->data.visit_start;
    const Visit *visit = out->data.visit;
    Visit *kept = mem_array((size_t)start[n_users], sizeof *kept);
    int64_t *kept_start = mem_zeros((size_t)n_users + 1, sizeof *kept_start);
    uint8_t *is_held = mem_zeros((size_t)n_users, 1);
    Status status = kept && kept_start && is_held ? ST_OK : fail_nomem(err, "the validation part");
    for (int64_t k = 0; status == ST_OK && k < out->n; k++) {
        is_held[out->user[k]] = 1;
        out->item[k] = visit[start[out->user[k] + 1] - 1].item;
    }
    for (int32_t u = 0; status == ST_OK && u < n_users; u++) {
        int64_t n = start[u + 1] - start[u] - is_held[u];
        memcpy(kept + kept_start[u], visit + start[u], (size_t)n * sizeof *kept);
        kept_start[u + 1] = kept_start[u] + n;
    }
    mem_free(is_held);
    out->data.visit = kept;
    out->data.visit_start = kept_start;
    return status;
}

Status validation_init(SequenceValidation *out, const Dataset *data, const SequenceParams *params,
    uint64_t seed, Err *err) {
    *out = (SequenceValidation){.params = params, .data = *data};
    if (params->validation <= 0 || !data->visit) return ST_OK;
    out->user = mem_array((size_t)data->by_user.n_rows, sizeof *out->user);
    out->item = mem_array((size_t)data->by_user.n_rows, sizeof *out->item);
    if (!out->user || !out->item) return fail_nomem(err, "the validation part");
    draw_users(out, seed);
    return out->n ? hold_out(out, err) : ST_OK;
}

void validation_clear(SequenceValidation *validation) {
    if (validation->n) {
        mem_free(validation->data.visit);
        mem_free(validation->data.visit_start);
    }
    mem_free(validation->user);
    mem_free(validation->item);
    *validation = (SequenceValidation){0};
}

/* ---- how well ---- */

typedef struct Judging {
    const SequenceValidation *validation;
    const float *items;
    float *norm; /* items: |e_i|, or 1 */
    Encoder encoder;
    double *value; /* users */
    TaskFailure failure;
} Judging;

/* What a user of them takes. */
typedef struct Reading {
    EncoderBatch batch;
    EncoderScratch scratch;
    uint8_t *had; /* items */
    int32_t start, length;
} Reading;

static void reading_clear(Reading *reading) {
    encoder_batch_clear(&reading->batch);
    encoder_scratch_clear(&reading->scratch);
    mem_free(reading->had);
}

static Status reading_init(Reading *out, const Judging *judging, Err *err) {
    const EncoderShape *shape = &judging->encoder.shape;
    TRY(encoder_batch_init(&out->batch, shape, shape->length, err));
    TRY(encoder_scratch_init(&out->scratch, shape, shape->length, err));
    out->had = mem_zeros((size_t)judging->validation->sequences->n_items, 1);
    out->batch.start = &out->start;
    out->batch.length = &out->length;
    return out->had ? ST_OK : fail_nomem(err, "the validation part");
}

static double metric_at(int64_t metric, int64_t rank) {
    if (rank > VALIDATION_LIST) return 0;
    return metric == METRIC_HIT10 ? 1
        : metric == METRIC_RR10   ? 1 / (double)rank
                                  : 1 / log2((double)rank + 1);
}

/* The rank of the held item by what h says of every item; of equal ones the lower id. */
static int64_t rank_of(const Judging *judging, const uint8_t *had, const float *h, int32_t wanted) {
    size_t d = judging->encoder.shape.dim;
    int64_t rank = 1;
    double own = kernels()->dot(judging->items + (size_t)wanted * d, h, d) /
        (double)judging->norm[wanted];
    for (int32_t i = 0; i < judging->validation->sequences->n_items; i++) {
        if (had[i] || i == wanted) continue;
        double score = kernels()->dot(judging->items + (size_t)i * d, h, d) /
            (double)judging->norm[i];
        rank += score > own || (score == own && i < wanted);
    }
    return rank;
}

static double judge_user(const Judging *judging, Reading *reading, int64_t k) {
    const SequenceValidation *v = judging->validation;
    const int32_t *item = v->sequences->item, user = v->user[k], wanted = v->item[k];
    size_t d = judging->encoder.shape.dim;
    int64_t from = v->sequences->row_start[user], to = v->sequences->row_start[user + 1],
            first = to - from > v->params->length ? to - v->params->length : from;
    reading->length = (int32_t)(to - first);
    for (int64_t i = first; i < to; i++)
        memcpy(reading->batch.input + (size_t)(i - first) * d, judging->items + (size_t)item[i] * d,
            d * sizeof(float));
    encoder_last(&judging->encoder, &reading->batch, &reading->scratch);
    for (int64_t i = from; i < to; i++) reading->had[item[i]] = 1;
    reading->had[wanted] = 0; /* what came again is looked for all the same */
    int64_t rank = rank_of(
        judging, reading->had, reading->batch.output + (size_t)(reading->length - 1) * d, wanted);
    for (int64_t i = from; i < to; i++) reading->had[item[i]] = 0;
    return metric_at(v->params->metric, rank);
}

enum { USERS_OF_A_PIECE = 64 };

static void judge_piece(void *context, int64_t piece, int worker) {
    Judging *judging = context;
    Reading reading = {0};
    Err err = {0};
    (void)worker;
    int64_t from = piece * USERS_OF_A_PIECE, left = judging->validation->n - from,
            n = left < USERS_OF_A_PIECE ? left : USERS_OF_A_PIECE;
    Status status = reading_init(&reading, judging, &err);
    for (int64_t i = from; status == ST_OK && i < from + n; i++)
        judging->value[i] = judge_user(judging, &reading, i);
    reading_clear(&reading);
    task_failure_note(&judging->failure, status, &err);
}

static Status judge(Judging *judging, Task *task, Err *err) {
    const SequenceValidation *v = judging->validation;
    size_t n_items = (size_t)v->sequences->n_items, d = judging->encoder.shape.dim;
    judging->norm = mem_array(n_items, sizeof *judging->norm);
    judging->value = mem_array((size_t)v->n, sizeof *judging->value);
    if (!judging->norm || !judging->value) return fail_nomem(err, "the validation part");
    for (size_t i = 0; i < n_items; i++) {
        const float *e = judging->items + i * d;
        double norm = v->params->sharpness > 0 ? sqrt(kernels()->dot(e, e, d)) : 1;
        judging->norm[i] = norm > 0 ? (float)norm : 1;
    }
    int64_t pieces = (v->n + USERS_OF_A_PIECE - 1) / USERS_OF_A_PIECE;
    return task_failure(&judging->failure, task_run(task, pieces, judge_piece, judging, err), err);
}

Status validation_judge(const SequenceValidation *validation, const float *items, float *weights,
    double *out, Task *task, Err *err) {
    Judging judging = {.validation = validation, .items = items};
    EncoderShape shape = sequence_shape(validation->params);
    double sum = 0;
    *out = NAN;
    if (!validation->n) return ST_OK;
    Status status = encoder_init(&judging.encoder, &shape, weights, 0, err);
    if (status == ST_OK) status = judge(&judging, task, err);
    for (int64_t i = 0; status == ST_OK && i < validation->n; i++) sum += judging.value[i];
    if (status == ST_OK) *out = sum / (double)validation->n;
    encoder_clear(&judging.encoder);
    mem_free(judging.norm);
    mem_free(judging.value);
    return status;
}
