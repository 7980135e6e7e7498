#include "text_encoder.h"

#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"

static const char MAGIC[8] = {'R', 'E', 'C', 'T', 'E', 'X', 'T', 'S'};
enum { FORMAT = 1, N_NUMBERS = 9 };

void text_encoder_free(TextEncoder *encoder) {
    if (!encoder) return;
    wordpiece_clear(&encoder->pieces);
    mem_free(encoder->weights);
    mem_free(encoder);
}

size_t text_encoder_memory(const TextEncoder *encoder) {
    return sizeof *encoder + bert_bytes(&encoder->bert.shape) +
        keymap_memory(encoder->pieces.pieces);
}

/* ---- storage ---- */

Status text_encoder_write(Bytes *out, const BertShape *shape, int is_lower, const char *name,
    const char *vocabulary, size_t vocabulary_len, const void *weights, char sha256[SHA256_TEXT],
    Err *err) {
    const size_t number[N_NUMBERS] = {shape->dim, shape->layers, shape->heads, shape->inner,
        shape->words, shape->length, (size_t)shape->pooling, (size_t)shape->kind, (size_t)is_lower};
    size_t bytes = bert_bytes(shape);
    bytes_reserve(out, bytes + vocabulary_len + 1024);
    sealed_begin(out, MAGIC, FORMAT);
    for (size_t i = 0; i < N_NUMBERS; i++) bytes_u32(out, (uint32_t)number[i]);
    bytes_text(out, name);
    bytes_u64(out, vocabulary_len);
    bytes_append(out, vocabulary, vocabulary_len);
    bytes_u64(out, bytes);
    bytes_append(out, weights, bytes);
    sealed_end(out, sha256);
    return out->failed ? fail_nomem(err, "the encoder") : ST_OK;
}

static Status read_shape(Reader *in, BertShape *out, int *is_lower, Err *err) {
    uint32_t number[N_NUMBERS];
    for (size_t i = 0; i < N_NUMBERS; i++) number[i] = read_u32(in);
    *out = (BertShape){number[0], number[1], number[2], number[3], number[4], number[5],
        (BertPooling)number[6], (PackedKind)number[7]};
    *is_lower = number[8] != 0;
    if (in->failed || number[6] > POOL_FIRST || number[7] > PACKED_INT8)
        return fail(err, ST_CORRUPT, "the stored encoder is truncated");
    return bert_check_shape(out, err) == ST_OK ? ST_OK : ST_CORRUPT;
}

static Status read_name(Reader *in, char **out, Err *err) {
    size_t len;
    const char *name = read_text(in, &len);
    *out = name ? mem_text(name, len) : NULL;
    if (!name) return fail(err, ST_CORRUPT, "the stored encoder is truncated");
    return *out ? ST_OK : fail_nomem(err, "the encoder");
}

Status text_encoder_describe(
    const void *data, size_t len, BertShape *shape, char **name, Err *err) {
    Reader in = reader_of(data, len);
    int is_lower;
    TRY(sealed_open(&in, MAGIC, FORMAT, "encoder", err));
    TRY(read_shape(&in, shape, &is_lower, err));
    return read_name(&in, name, err);
}

static Status read_pieces(
    Reader *in, TextEncoder *out, const BertShape *shape, int is_lower, Err *err) {
    uint64_t bytes = read_u64(in);
    const char *vocabulary = read_block(in, bytes, 1);
    if (!vocabulary) return fail(err, ST_CORRUPT, "the stored encoder is truncated");
    Status status = wordpiece_init(&out->pieces, vocabulary, (size_t)bytes, is_lower, err);
    if (status != ST_OK) return status == ST_NOMEM ? status : ST_CORRUPT;
    return (size_t)keymap_count(out->pieces.pieces) <= shape->words
        ? ST_OK
        : fail(err, ST_CORRUPT, "the stored encoder has more pieces than vectors");
}

static Status read_weights(Reader *in, TextEncoder *out, const BertShape *shape, Err *err) {
    uint64_t bytes = read_u64(in);
    if (in->failed || bytes != bert_bytes(shape))
        return fail(err, ST_CORRUPT, "the stored encoder has weights of another shape");
    const void *stored = read_block(in, bytes, 1);
    if (!stored) return fail(err, ST_CORRUPT, "the stored encoder is truncated");
    out->weights = mem_aligned((size_t)bytes, 1);
    if (!out->weights) return fail_nomem(err, "the encoder");
    memcpy(out->weights, stored, (size_t)bytes);
    bert_init(&out->bert, shape, out->weights);
    return ST_OK;
}

static Status read_all(Reader *in, TextEncoder *out, Err *err) {
    BertShape shape;
    int is_lower;
    size_t len; /* of its name */
    TRY(sealed_open(in, MAGIC, FORMAT, "encoder", err));
    TRY(read_shape(in, &shape, &is_lower, err));
    if (!read_text(in, &len)) return fail(err, ST_CORRUPT, "the stored encoder is truncated");
    TRY(read_pieces(in, out, &shape, is_lower, err));
    TRY(read_weights(in, out, &shape, err));
    TRY(sealed_check(in, "encoder", out->sha256, err));
    return in->pos == in->len ? ST_OK : fail(err, ST_CORRUPT, "the stored encoder does not end");
}

Status text_encoder_read(TextEncoder **out, const void *data, size_t len, Err *err) {
    Reader in = reader_of(data, len);
    TextEncoder *encoder = mem_zeros(1, sizeof *encoder);
    *out = NULL;
    if (!encoder) return fail_nomem(err, "the encoder");
    Status status = read_all(&in, encoder, err);
    if (status == ST_OK) *out = encoder;
    else text_encoder_free(encoder);
    return status;
}

/* ---- a batch ---- */

/* So many tokens at once: their rows and the weights' panels share the cache. */
enum { TOGETHER = 128 };

typedef struct Batch {
    const TextEncoder *encoder;
    const EncodedText *text;
    float *out;
    int32_t *token;
    int64_t *start; /* of text i in token; n + 1 */
    int64_t *order; /* the texts by their length, the longest first */
    int64_t *piece; /* pieces + 1: places in order */
    int64_t n, n_pieces;
    TaskFailure failure;
} Batch;

static int64_t tokens_of(const Batch *batch, int64_t text) {
    return batch->start[text + 1] - batch->start[text];
}

/* A token takes a byte at least; two are the marks. */
static size_t room_of(const EncodedText *text, size_t most) {
    return text->len + 2 < most ? text->len + 2 : most;
}

static Status make_tokens(Batch *batch, Err *err) {
    size_t most = batch->encoder->bert.shape.length, room = 0;
    for (int64_t i = 0; i < batch->n; i++) room += room_of(&batch->text[i], most);
    batch->token = mem_array(room, sizeof *batch->token);
    if (!batch->token) return fail_nomem(err, "the texts");
    batch->start[0] = 0;
    for (int64_t i = 0; i < batch->n; i++)
        batch->start[i + 1] = batch->start[i] +
            (int64_t)wordpiece_tokens(&batch->encoder->pieces, batch->text[i].text,
                batch->text[i].len, batch->token + batch->start[i], room_of(&batch->text[i], most));
    return ST_OK;
}

/* Counted into place: lengths are few. */
static Status order_by_length(Batch *batch, Err *err) {
    size_t most = batch->encoder->bert.shape.length;
    int64_t *at = mem_zeros(most + 2, sizeof *at);
    if (!at) return fail_nomem(err, "the texts");
    for (int64_t i = 0; i < batch->n; i++) at[most - (size_t)tokens_of(batch, i) + 1]++;
    for (size_t l = 0; l <= most; l++) at[l + 1] += at[l];
    for (int64_t i = 0; i < batch->n; i++)
        batch->order[at[most - (size_t)tokens_of(batch, i)]++] = i;
    mem_free(at);
    return ST_OK;
}

static void cut_pieces(Batch *batch) {
    int64_t tokens = 0;
    batch->n_pieces = 0;
    for (int64_t i = 0; i < batch->n; i++) {
        int64_t own = tokens_of(batch, batch->order[i]);
        if (!batch->n_pieces || tokens + own > TOGETHER) {
            batch->piece[batch->n_pieces++] = i;
            tokens = 0;
        }
        tokens += own;
    }
    batch->piece[batch->n_pieces] = batch->n;
}

/* Texts [from, to) of the order, of so many tokens. */
static Status run_texts(Batch *batch, int64_t from, int64_t to, size_t tokens, Err *err) {
    const Bert *bert = &batch->encoder->bert;
    size_t d = bert->shape.dim, n = (size_t)(to - from), at = 0;
    BertScratch scratch = {0};
    int32_t *token = mem_array(tokens, sizeof *token), *length = mem_array(n, sizeof *length);
    float *out = mem_array(n, d * sizeof *out);
    Status status = token && length && out ? ST_OK : fail_nomem(err, "a batch of texts");
    for (size_t i = 0; status == ST_OK && i < n; i++) {
        int64_t text = batch->order[from + (int64_t)i];
        length[i] = (int32_t)tokens_of(batch, text);
        memcpy(token + at, batch->token + batch->start[text], (size_t)length[i] * sizeof *token);
        at += (size_t)length[i];
    }
    if (status == ST_OK)
        status = bert_scratch_init(&scratch, &bert->shape, tokens, (size_t)length[0], err);
    if (status == ST_OK) bert_run(bert, token, length, n, out, &scratch);
    if (status == ST_OK && vector_first_bad(out, n * d) >= 0)
        status = fail(err, ST_CORRUPT, "the encoder's weights make no number of a text");
    for (size_t i = 0; status == ST_OK && i < n; i++)
        memcpy(
            batch->out + (size_t)batch->order[from + (int64_t)i] * d, out + i * d, d * sizeof *out);
    bert_scratch_clear(&scratch);
    mem_free(out);
    mem_free(length);
    mem_free(token);
    return status;
}

static void run_piece(void *context, int64_t piece, int worker) {
    Batch *batch = context;
    Err err = {0};
    size_t tokens = 0;
    (void)worker;
    for (int64_t i = batch->piece[piece]; i < batch->piece[piece + 1]; i++)
        tokens += (size_t)tokens_of(batch, batch->order[i]);
    task_failure_note(&batch->failure,
        run_texts(batch, batch->piece[piece], batch->piece[piece + 1], tokens, &err), &err);
}

/* One text needs no thread. */
static Status run_pieces(Batch *batch, Task *task, Err *err) {
    Status status = ST_OK;
    if (batch->n_pieces == 1) run_piece(batch, 0, 0);
    else status = task_run(task, batch->n_pieces, run_piece, batch, err);
    return task_failure(&batch->failure, status, err);
}

Status text_encoder_run(const TextEncoder *encoder, const EncodedText *text, int64_t n, float *out,
    Task *task, Err *err) {
    Batch batch = {.encoder = encoder, .text = text, .out = out, .n = n};
    batch.start = mem_array((size_t)n + 1, sizeof *batch.start);
    batch.order = mem_array((size_t)n, sizeof *batch.order);
    batch.piece = mem_array((size_t)n + 1, sizeof *batch.piece);
    Status status = batch.start && batch.order && batch.piece ? ST_OK
                                                              : fail_nomem(err, "the texts");
    if (status == ST_OK) status = make_tokens(&batch, err);
    if (status == ST_OK) status = order_by_length(&batch, err);
    if (status == ST_OK && n) {
        cut_pieces(&batch);
        status = run_pieces(&batch, task, err);
    }
    mem_free(batch.token);
    mem_free(batch.start);
    mem_free(batch.order);
    mem_free(batch.piece);
    return status;
}
