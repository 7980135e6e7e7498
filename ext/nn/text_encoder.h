/* A text encoder: the tokens of a vocabulary and a BERT model that makes vectors of them. As it is
 * kept in a database, little-endian:
 *
 *     "RECTEXTS"          8 bytes
 *     u32  format         1
 *     u32  dim, layers, heads, inner, words, length, pooling, kind, is_lower
 *     u32  name: length, then the bytes: where it came from
 *     u64  vocabulary: length, then a piece a line
 *     u64  weights: length, then bert_bytes of them
 *     32   SHA-256        of all bytes above
 *
 * Everything is checked before it is used; weights that make no numbers of a text are found then.
 * Memory: the weights, and 40 bytes a word. */
#ifndef REC_TEXT_ENCODER_H
#define REC_TEXT_ENCODER_H

#include "../base/sealed.h"
#include "../base/task.h"
#include "bert.h"
#include "wordpiece.h"

typedef struct TextEncoder {
    Bert bert;
    WordPiece pieces;
    void *weights;
    char sha256[SHA256_TEXT];
} TextEncoder;

void text_encoder_free(TextEncoder *encoder);
size_t text_encoder_memory(const TextEncoder *encoder);

Status text_encoder_read(TextEncoder **out, const void *data, size_t len, Err *err);

/* What the beginning of a stored form says: its shape, and where it came from, to be mem_free'd. */
Status text_encoder_describe(const void *data, size_t len, BertShape *shape, char **name, Err *err);

/* The stored form of a new one, and its digest; weights: as bert_init takes them. */
Status text_encoder_write(Bytes *out, const BertShape *shape, int is_lower, const char *name,
    const char *vocabulary, size_t vocabulary_len, const void *weights, char sha256[SHA256_TEXT],
    Err *err);

typedef struct EncodedText {
    const char *text;
    size_t len;
} EncodedText;

/* out: n x dim, the texts' vectors of unit length. Works on the task's threads; cancellable. O(sum
 * of layers (tokens (12 dim^2) + tokens^2 dim)) for inner = 4 dim. */
Status text_encoder_run(const TextEncoder *encoder, const EncodedText *text, int64_t n, float *out,
    Task *task, Err *err);

#endif
