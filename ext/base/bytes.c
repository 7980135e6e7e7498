#include "bytes.h"

#include <sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "memory.h"
#include "text.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "stored numbers are little-endian; this file needs byte swaps on this machine"
#endif

void bytes_clear(Bytes *bytes) {
    mem_free(bytes->data);
    *bytes = (Bytes){0};
}

static int reserve(Bytes *bytes, size_t extra) {
    if (bytes->failed) return 0;
    if (extra <= bytes->capacity - bytes->len) return 1;
    size_t need = bytes->len + extra;
    size_t capacity = bytes->capacity + bytes->capacity / 2 + 64;
    if (capacity < need) capacity = need;
    uint8_t *grown = need < extra ? NULL : mem_resize(bytes->data, capacity, 1);
    if (!grown) {
        bytes->failed = 1;
        return 0;
    }
    bytes->data = grown;
    bytes->capacity = capacity;
    return 1;
}

void bytes_append(Bytes *bytes, const void *data, size_t len) {
    if (!reserve(bytes, len)) return;
    if (len) memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

void bytes_u32(Bytes *bytes, uint32_t value) { bytes_append(bytes, &value, sizeof value); }

void bytes_u64(Bytes *bytes, uint64_t value) { bytes_append(bytes, &value, sizeof value); }

void bytes_f64(Bytes *bytes, double value) { bytes_append(bytes, &value, sizeof value); }

void bytes_text(Bytes *bytes, const char *text) {
    size_t len = strlen(text);
    bytes_u32(bytes, (uint32_t)len);
    bytes_append(bytes, text, len);
}

void bytes_format(Bytes *bytes, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = text_vformat(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !reserve(bytes, (size_t)len + 1)) return;
    va_start(args, format);
    text_vformat((char *)bytes->data + bytes->len, (size_t)len + 1, format, args);
    va_end(args);
    bytes->len += (size_t)len;
}

void bytes_json_string(Bytes *bytes, const char *text, size_t len) {
    bytes_append(bytes, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') bytes_format(bytes, "\\%c", c);
        else if (c < 0x20) bytes_format(bytes, "\\u%04x", c);
        else bytes_append(bytes, &text[i], 1);
    }
    bytes_append(bytes, "\"", 1);
}

Reader reader_of(const void *data, size_t len) { return (Reader){.data = data, .len = len}; }

const void *read_block(Reader *reader, uint64_t count, size_t size) {
    size_t bytes;
    if (reader->failed || count > SIZE_MAX || __builtin_mul_overflow((size_t)count, size, &bytes) ||
        bytes > reader->len - reader->pos) {
        reader->failed = 1;
        return NULL;
    }
    const void *block = reader->data + reader->pos;
    reader->pos += bytes;
    return block;
}

uint32_t read_u32(Reader *reader) {
    uint32_t value = 0;
    const void *block = read_block(reader, 1, sizeof value);
    if (block) memcpy(&value, block, sizeof value);
    return value;
}

uint64_t read_u64(Reader *reader) {
    uint64_t value = 0;
    const void *block = read_block(reader, 1, sizeof value);
    if (block) memcpy(&value, block, sizeof value);
    return value;
}

double read_f64(Reader *reader) {
    double value = 0;
    const void *block = read_block(reader, 1, sizeof value);
    if (block) memcpy(&value, block, sizeof value);
    return value;
}

const char *read_text(Reader *reader, size_t *len) {
    *len = read_u32(reader);
    return read_block(reader, *len, 1);
}

void bytes_sha256(const void *data, size_t len, uint8_t digest[32]) {
    SHA2_CTX context;
    SHA256Init(&context);
    SHA256Update(&context, data, len);
    SHA256Final(digest, &context);
}

void bytes_hex(const uint8_t *data, size_t len, char *out) {
    for (size_t i = 0; i < len; i++) text_format(out + 2 * i, 3, "%02x", data[i]);
    out[2 * len] = 0;
}

void bytes_checksum(const void *data, size_t len, uint8_t digest[16]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, len));
    memcpy(digest, canonical.digest, 16);
}

void bytes_reserve(Bytes *bytes, size_t len) { reserve(bytes, len); }
