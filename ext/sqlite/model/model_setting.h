/* The options of a training, and the setting that they make of a definition. */
#ifndef REC_MODEL_SETTING_H
#define REC_MODEL_SETTING_H

#include "../../eval/trial.h"
#include "../versions/train_options.h"
#include "model_definition.h"

/* A JSON of options into *train and, where they are the algorithm's, into the definition. */
Status train_read_options(
    ModelDefinition *definition, TrainOptions *train, const char *options, Err *err);

/* The setting that a JSON of options (or NULL) makes of the definition. */
Status train_setting(
    const ModelDefinition *definition, const char *options, Setting *out, Err *err);

#endif
