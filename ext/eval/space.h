/* A space of options, written as JSON:
 * {"neighbours":[20,50,100],"shrink":{"min":1,"max":100,"log":true}}. */
#ifndef REC_SPACE_H
#define REC_SPACE_H

#include <jansson.h>

#include "../base/status.h"
#include "../base/tunable.h"
#include "sampler.h"

typedef struct Axis {
    const char *name; /* of the JSON */
    json_t *choices;  /* array, or NULL */
    double min, max;
    int log, whole;
} Axis;

typedef struct Space {
    json_t *root;
    Tunable tunable;
    Axis axis[SAMPLER_MAX_DIMENSIONS];
    Dimension dimension[SAMPLER_MAX_DIMENSIONS];
    int n;
} Space;

/* space: a JSON object, or NULL for the tunable's own. */
Status space_init(Space *space, const Tunable *tunable, json_t *own, Err *err);
void space_clear(Space *space);

/* {"algorithm":..., option: value, ...} of a point (sampler.h), to be free'd; NULL: no memory.
 * place NULL: the algorithm as it is. */
char *space_setting(const Space *space, const double *place);

#endif
