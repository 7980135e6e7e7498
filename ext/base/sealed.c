#include "sealed.h"

#include <string.h>

enum { MAGIC = 8, DIGEST = 32 };

void sealed_begin(Bytes *out, const char magic[8], uint32_t format) {
    bytes_append(out, magic, MAGIC);
    bytes_u32(out, format);
}

void sealed_end(Bytes *out, char sha256[SHA256_TEXT]) {
    uint8_t digest[DIGEST];
    sha256[0] = 0;
    if (out->failed) return;
    bytes_sha256(out->data, out->len, digest);
    bytes_hex(digest, DIGEST, sha256);
    bytes_append(out, digest, DIGEST);
}

Status sealed_open(Reader *in, const char magic[8], uint32_t format, const char *what, Err *err) {
    uint32_t found;
    return sealed_open_since(in, magic, format, format, what, &found, err);
}

Status sealed_open_since(Reader *in, const char magic[8], uint32_t oldest, uint32_t newest,
    const char *what, uint32_t *found, Err *err) {
    const char *own = read_block(in, MAGIC, 1);
    uint32_t stored = read_u32(in);
    if (in->failed || memcmp(own, magic, MAGIC) != 0)
        return fail(err, ST_CORRUPT, "not a stored %s", what);
    *found = stored;
    if (stored < oldest || stored > newest)
        return fail(err, ST_CORRUPT,
            "stored %s has format %u (this library reads %u: train it again, or use the version "
            "that wrote it)",
            what, stored, newest);
    return ST_OK;
}

Status sealed_check(Reader *in, const char *what, char sha256[SHA256_TEXT], Err *err) {
    uint8_t digest[DIGEST];
    size_t content = in->pos;
    const void *stored = read_block(in, DIGEST, 1);
    bytes_sha256(in->data, content, digest);
    bytes_hex(digest, DIGEST, sha256);
    return stored && memcmp(stored, digest, DIGEST) == 0
        ? ST_OK
        : fail(err, ST_CORRUPT, "stored %s has a wrong checksum", what);
}
