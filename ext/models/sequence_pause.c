#include "sequence_pause.h"

#include <math.h>
#include <string.h>

#include "../base/hash.h"
#include "../base/memory.h"
#include "../math/kernels.h"
#include "sequence_validation.h"

/* items_last stands first, so that the rest are floats. */
size_t pause_numbers(const SequenceParams *params, int32_t n_items) {
    EncoderShape shape = sequence_shape(params);
    size_t items = (size_t)n_items * shape.dim, weights = encoder_floats(&shape);
    size_t copies = params->patience ? 3 : 2; /* two moments, and the best pass's */
    int is_sharp = params->sharpness > 0;     /* the version's items are normalised */
    return (size_t)n_items + copies * (items + weights) + (is_sharp ? items : 0);
}

Status pause_init(SequencePause *pause, const SequenceParams *params, int32_t n_items, Err *err) {
    pause->n = pause_numbers(params, n_items);
    pause->number = mem_array(pause->n, sizeof *pause->number);
    return pause->number ? ST_OK : fail_nomem(err, "the paused training");
}

void pause_clear(SequencePause *pause) {
    mem_free(pause->number);
    *pause = (SequencePause){0};
}

void pause_keep(SequencePause *pause, const PausePart *part, size_t n_parts) {
    float *to = pause->number;
    for (size_t i = 0; i < n_parts; to += part[i++].n)
        memcpy(to, part[i].at, part[i].n * sizeof *to);
}

void pause_restore(const SequencePause *pause, const PausePart *part, size_t n_parts) {
    const float *from = pause->number;
    for (size_t i = 0; i < n_parts; from += part[i++].n)
        memcpy(part[i].at, from, part[i].n * sizeof *from);
}

int pause_same_params(const SequenceParams *a, const SequenceParams *b) {
    SequenceParams left = *a, right = *b;
    left.memory = right.memory = 0;
    left.init_from = right.init_from = left.pause_after = right.pause_after = 0;
    return memcmp(&left, &right, sizeof left) == 0;
}

uint64_t pause_fingerprint(const SequenceValidation *validation) {
    const Sequences *s = validation->sequences;
    size_t users = (size_t)s->n_users, held = (size_t)validation->n;
    uint64_t hash = fnv1a(FNV_START, s->row_start, (users + 1) * sizeof *s->row_start);
    hash = fnv1a(hash, s->item, (size_t)s->row_start[users] * sizeof *s->item);
    hash = fnv1a(hash, validation->user, held * sizeof *validation->user);
    return fnv1a(hash, validation->item, held * sizeof *validation->item);
}

/* ---- storage ---- */

void pause_write(const SequencePause *pause, Bytes *out) {
    bytes_u64(out, (uint64_t)pause->pass);
    if (!pause->pass) return;
    bytes_u64(out, (uint64_t)pause->steps);
    bytes_f64(out, pause->best);
    bytes_u64(out, (uint64_t)pause->since);
    bytes_u64(out, pause->data);
    bytes_append(out, pause->number, pause->n * sizeof *pause->number);
}

static int is_sound(const SequencePause *pause, const SequenceParams *params, int32_t n_items) {
    const int32_t *last = (const int32_t *)(const void *)pause->number;
    if (pause->pass < 1 || pause->pass >= params->passes || pause->since < 0 ||
        pause->since > pause->pass || pause->steps < 1 || pause->steps > INT32_MAX ||
        !isfinite(pause->best))
        return 0;
    for (int32_t i = 0; i < n_items; i++)
        if (last[i] < 0 || last[i] > pause->steps) return 0;
    return vector_first_bad(pause->number + n_items, pause->n - (size_t)n_items) < 0;
}

Status pause_read(
    SequencePause *pause, const SequenceParams *params, int32_t n_items, Reader *in, Err *err) {
    uint64_t pass = read_u64(in);
    if (in->failed) return fail(err, ST_CORRUPT, "stored model is truncated");
    if (!pass) return ST_OK;
    TRY(pause_init(pause, params, n_items, err));
    pause->pass = (int64_t)pass;
    pause->steps = (int64_t)read_u64(in);
    pause->best = read_f64(in);
    pause->since = (int64_t)read_u64(in);
    pause->data = read_u64(in);
    const void *stored = read_block(in, pause->n, sizeof *pause->number);
    if (!stored) return fail(err, ST_CORRUPT, "the paused training is truncated");
    memcpy(pause->number, stored, pause->n * sizeof *pause->number);
    return is_sound(pause, params, n_items)
        ? ST_OK
        : fail(err, ST_CORRUPT, "the paused training holds no numbers");
}
