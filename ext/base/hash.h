/* FNV-1a (Fowler, Noll and Vo): a hash for telling things apart, not for secrets. */
#ifndef REC_HASH_H
#define REC_HASH_H

#include <stddef.h>
#include <stdint.h>

#define FNV_START 1469598103934665603u

static inline uint64_t fnv1a(uint64_t hash, const void *data, size_t len) {
    const unsigned char *byte = data;
    for (size_t i = 0; i < len; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

#endif
