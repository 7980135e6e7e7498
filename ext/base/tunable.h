/* Something with options that can be tuned: an algorithm, or another kind of trained object. */
#ifndef REC_TUNABLE_H
#define REC_TUNABLE_H

#include "options.h"

typedef struct Tunable {
    const char *name;
    const OptSpec *options; /* its own */
    const OptSpec *common;  /* and those of all of its kind */
    const char *space;      /* what is explored unless told otherwise, as JSON; NULL: nothing */
} Tunable;

#endif
