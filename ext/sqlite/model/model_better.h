/* train with {"activate": "if-better"}: is a setting better than the active version's? */
#ifndef REC_MODEL_BETTER_H
#define REC_MODEL_BETTER_H

#include "model_events.h"

typedef struct Better {
    int is_better;            /* it is to be activated */
    int was_judged;           /* 0: there is no active version, or it has the same setting */
    double active, candidate; /* mean NDCG@10 on held-out pairs of the same users */
    double p;
    int64_t users;
} Better;

/* Both settings are trained on the same events but a part, and judged on that, each user under
 * both: better is better by more than chance (eval/choice.h). The same setting with other events is
 * better without being judged: its events are newer. options: of train. */
Status better_than_active(const ModelDefinition *definition, EventsReader *reader,
    const char *options, Better *out, Err *err);

#endif
