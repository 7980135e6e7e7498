/* Little-endian byte strings: a growing writer and a bounds-checked reader, for everything that is
 * stored.
 *
 * Both are sticky: after a failure every further call does nothing, so that a caller checks once,
 * at the end.
 *
 *     Bytes out = {0};
 *     bytes_u32(&out, 7);
 *     bytes_text(&out, "name");
 *     if (out.failed) ...                       no memory
 *
 *     Reader in = reader_of(data, len);
 *     uint32_t seven = read_u32(&in);
 *     if (in.failed) ...                        truncated or absurd */
#ifndef REC_BYTES_H
#define REC_BYTES_H

#include <stddef.h>
#include <stdint.h>

typedef struct Bytes {
    uint8_t *data;
    size_t len;
    size_t capacity;
    int failed;
} Bytes;

void bytes_clear(Bytes *bytes);
void bytes_append(Bytes *bytes, const void *data, size_t len);
void bytes_u32(Bytes *bytes, uint32_t value);
void bytes_u64(Bytes *bytes, uint64_t value);
void bytes_f64(Bytes *bytes, double value);
/* A length (u32) and that many bytes. */
void bytes_text(Bytes *bytes, const char *text);
/* printf form, without a length. */
void bytes_format(Bytes *bytes, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Append text as a JSON string, quotes included; len bytes of UTF-8. */
void bytes_json_string(Bytes *bytes, const char *text, size_t len);

typedef struct Reader {
    const uint8_t *data;
    size_t len;
    size_t pos;
    int failed;
} Reader;

Reader reader_of(const void *data, size_t len);
uint32_t read_u32(Reader *reader);
uint64_t read_u64(Reader *reader);
double read_f64(Reader *reader);
/* The next count * size bytes in place, or NULL with failed set. */
const void *read_block(Reader *reader, uint64_t count, size_t size);
/* A u32 length and that many bytes; *len gets the length. Not NUL-terminated. */
const char *read_text(Reader *reader, size_t *len);

/* SHA-256 (FIPS 180-4) of len bytes. */
void bytes_sha256(const void *data, size_t len, uint8_t digest[32]);
/* XXH3, 128 bits: finds damage, at the speed of memory; no protection against who would forge
 * it. */
void bytes_checksum(const void *data, size_t len, uint8_t digest[16]);
/* Make room for len bytes more. */
void bytes_reserve(Bytes *bytes, size_t len);
/* 2 * len hexadecimal digits and a NUL. */
void bytes_hex(const uint8_t *data, size_t len, char *out);

#endif
