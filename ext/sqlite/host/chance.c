#include "chance.h"

#include <sodium.h>

static uint64_t draw(void *context) {
    Chance *chance = context;
    if (!chance->left) {
        randombytes_buf(chance->bits, sizeof chance->bits);
        chance->left = sizeof chance->bits / sizeof *chance->bits;
    }
    return chance->bits[--chance->left];
}

Status chance_begin(Chance *chance, Err *err) {
    chance->source = (BitSource){draw, chance};
    chance->left = 0;
    return sodium_init() < 0 ? fail(err, ST_HOST, "no source of random numbers") : ST_OK;
}

void chance_end(Chance *chance) { sodium_memzero(chance, sizeof *chance); }
