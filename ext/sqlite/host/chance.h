/* Random numbers that nobody can foretell, for noise that hides users. */
#ifndef REC_CHANCE_H
#define REC_CHANCE_H

#include <stddef.h>

#include "../../base/status.h"
#include "../../metrics/private_noise.h"

/* A page of libsodium's at a time: the system is asked for each one. */
typedef struct Chance {
    BitSource source; /* of this Chance, which must stay where it is */
    size_t left;
    uint64_t bits[512];
} Chance;

/* ST_HOST where the system has none. */
Status chance_begin(Chance *chance, Err *err);
/* Forgets what was not drawn. */
void chance_end(Chance *chance);

#endif
