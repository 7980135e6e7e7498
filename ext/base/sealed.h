/* A stored form that knows its own: 8 bytes of magic and a u32 format in front, a SHA-256 of all
 * that and the content behind. What follows the seal (times, say) is not under it, so that the same
 * content has the same digest.
 *
 *     sealed_begin(&out, "RECMODEL", 1);
 *     ... content ...
 *     sealed_end(&out, sha256);
 *     ... times ...
 *
 *     sealed_open(&in, "RECMODEL", 1, "model", &err);
 *     ... content ...
 *     sealed_check(&in, "model", sha256, &err);
 */
#ifndef REC_SEALED_H
#define REC_SEALED_H

#include "bytes.h"
#include "status.h"

/* A digest as 64 hexadecimal digits and a 0. */
enum { SHA256_TEXT = 65 };

void sealed_begin(Bytes *out, const char magic[8], uint32_t format);
/* sha256 is "" where memory was short (out->failed). */
void sealed_end(Bytes *out, char sha256[SHA256_TEXT]);

/* what: "model": the errors are "not a stored model" and the like. */
Status sealed_open(Reader *in, const char magic[8], uint32_t format, const char *what, Err *err);
/* The same of what reads older formats, too; *found: which it is. */
Status sealed_open_since(Reader *in, const char magic[8], uint32_t oldest, uint32_t newest,
    const char *what, uint32_t *found, Err *err);
/* All content has been read: is the digest that follows its own? */
Status sealed_check(Reader *in, const char *what, char sha256[SHA256_TEXT], Err *err);

#endif
