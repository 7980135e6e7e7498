/* Training: read the events, compute, hand over a model. */
#ifndef REC_MODEL_TRAIN_H
#define REC_MODEL_TRAIN_H

#include "../versions/version_store.h"
#include "model_events.h"

/* Train by the definition and a JSON of options (or NULL); *wish gets what the options say of
 * it. */
Status train_model(const ModelDefinition *definition, EventsReader *reader, const char *options,
    Model **out, PutWish *wish, Err *err);

/* Events before until (if has_until). */
typedef struct TrainWindow {
    int has_until;
    double until;
} TrainWindow;
/* The definition as it stands. progress: as of the option. */
Status train_definition(const ModelDefinition *definition, EventsReader *reader,
    const TrainWindow *window, int progress, Model **out, Err *err);

/* A training that would activate its version is refused while an experiment runs, before it begins
 * (version_live.h). options: as above. */
Status train_may_activate(const ModelDefinition *definition, const char *options, Err *err);

#endif
