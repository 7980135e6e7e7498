/* Training: read the events, compute, hand over a model. */
#ifndef REC_MODEL_TRAIN_H
#define REC_MODEL_TRAIN_H

#include "../../base/memory.h"
#include "../versions/version_store.h"
#include "model_events.h"
#include "model_setting.h"

/* Train by the definition and a JSON of options (or NULL); *wish gets what the options say of
 * it. */
Status train_model(const ModelDefinition *definition, EventsReader *reader, const char *options,
    Model **out, PutWish *wish, Err *err);

/* What a training may take: 0 is no limit. */
typedef struct TrainLimits {
    int64_t max_rows;
    size_t max_bytes; /* that the training thread holds; a BLAS has its own besides */
    double max_seconds;
    MemBudget budget, *outer; /* while it runs */
} TrainLimits;
TrainLimits train_limits(const TrainOptions *train);
/* Around what they limit; status: how it ended. A limit that was met is an error of its own. */
void limits_begin(TrainLimits *limits, EventsReader *reader, Task *task);
Status limits_end(
    TrainLimits *limits, EventsReader *reader, const Task *task, Status status, Err *err);

/* Events before until (if has_until). */
typedef struct TrainWindow {
    int has_until;
    double until;
    TrainLimits limits;
    int progress; /* as of the option */
} TrainWindow;
/* The definition as it stands. */
Status train_definition(const ModelDefinition *definition, EventsReader *reader,
    TrainWindow *window, Model **out, Err *err);

/* A training that would activate its version is refused while an experiment runs, before it begins
 * (version_live.h). options: as above. */
Status train_may_activate(const ModelDefinition *definition, const char *options, Err *err);

#endif
