/* Random numbers that nobody can foretell, for noise that hides users. */
#ifndef REC_CHANCE_H
#define REC_CHANCE_H

#include "../../base/status.h"
#include "../../metrics/private_noise.h"

/* libsodium's. ST_HOST where the system has none. */
Status chance_source(BitSource *out, Err *err);

#endif
