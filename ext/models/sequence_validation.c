#include "sequence_validation.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../math/kernels.h"

/* ---- who ---- */

Status validation_init(SequenceValidation *out, const Sequences *sequences,
    const SequenceParams *params, uint64_t seed, Err *err) {
    Random random;
    *out = (SequenceValidation){.sequences = sequences, .params = params};
    if (params->validation <= 0) return ST_OK;
    out->last = mem_array((size_t)sequences->n_users, sizeof *out->last);
    out->user = mem_array((size_t)sequences->n_users, sizeof *out->user);
    if (!out->last || !out->user) return fail_nomem(err, "the validation part");
    random_init(&random, seed, UINT64_MAX / 2);
    for (int32_t u = 0; u < sequences->n_users; u++) {
        int64_t from = sequences->row_start[u], to = sequences->row_start[u + 1];
        int is_drawn = random_uniform(&random) < params->validation;
        out->last[u] = is_drawn && to - from >= 3 ? to - 1 : -1;
        if (out->last[u] >= 0) out->user[out->n++] = u;
    }
    for (int64_t k = 0; k < out->n && out->n > VALIDATION_USERS; k++) {
        int64_t other = k + (int64_t)random_below(&random, (uint64_t)(out->n - k));
        int32_t swap = out->user[k];
        out->user[k] = out->user[other];
        out->user[other] = swap;
    }
    for (; out->n > VALIDATION_USERS; out->n--) out->last[out->user[out->n - 1]] = -1;
    return ST_OK;
}

void validation_clear(SequenceValidation *validation) {
    mem_free(validation->last);
    mem_free(validation->user);
    *validation = (SequenceValidation){0};
}

int64_t validation_end(const SequenceValidation *validation, int32_t user) {
    int is_held = validation->last && validation->last[user] >= 0;
    return is_held ? validation->last[user] : validation->sequences->row_start[user + 1];
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

static double judge_user(const Judging *judging, Reading *reading, int32_t user) {
    const SequenceValidation *v = judging->validation;
    const int32_t *item = v->sequences->item;
    size_t d = judging->encoder.shape.dim;
    int64_t from = v->sequences->row_start[user], to = v->last[user],
            first = to - from > v->params->length ? to - v->params->length : from;
    reading->length = (int32_t)(to - first);
    for (int64_t i = first; i < to; i++)
        memcpy(reading->batch.input + (size_t)(i - first) * d, judging->items + (size_t)item[i] * d,
            d * sizeof(float));
    encoder_last(&judging->encoder, &reading->batch, &reading->scratch);
    for (int64_t i = from; i < to; i++) reading->had[item[i]] = 1;
    reading->had[item[to]] = 0; /* what came again is looked for all the same */
    int64_t rank = rank_of(
        judging, reading->had, reading->batch.output + (size_t)(reading->length - 1) * d, item[to]);
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
        judging->value[i] = judge_user(judging, &reading, judging->validation->user[i]);
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
