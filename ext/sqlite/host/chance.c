#include "chance.h"

#include <sodium.h>

static uint64_t random_bits(void *context) {
    uint64_t bits;
    (void)context;
    randombytes_buf(&bits, sizeof bits);
    return bits;
}

Status chance_source(BitSource *out, Err *err) {
    *out = (BitSource){random_bits, NULL};
    return sodium_init() < 0 ? fail(err, ST_HOST, "no source of random numbers") : ST_OK;
}
