/* The options of a training, and the setting that they make of a definition. */
#ifndef REC_MODEL_SETTING_H
#define REC_MODEL_SETTING_H

#include "../../eval/trial.h"
#include "model_definition.h"

typedef struct TrainOptions {
    double until;
    int64_t activate;
    int64_t keep;
    int64_t progress;
    int64_t algorithm;            /* index in the registry */
    int64_t max_rows, max_memory; /* of events; MiB; 0: no limit */
    double max_seconds;           /* 0: no limit */
} TrainOptions;
enum { ACTIVATE_ALWAYS, ACTIVATE_NEVER, ACTIVATE_IF_BETTER };
extern const OptSpec train_options[];
/* A JSON of options into *train and, where they are the algorithm's, into the definition. */
Status train_read_options(
    ModelDefinition *definition, TrainOptions *train, const char *options, Err *err);

/* The setting that a JSON of options (or NULL) makes of the definition. */
Status train_setting(
    const ModelDefinition *definition, const char *options, Setting *out, Err *err);

#endif
