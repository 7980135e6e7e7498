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

/* Events before until (if has_until). */
typedef struct TrainWindow {
    int is_private; /* of items of the catalogue alone */
    int has_until;
    double until;
    TrainLimits limits;
    int progress; /* as of the option */
} TrainWindow;
/* The definition as it stands. */
Status train_definition(const ModelDefinition *definition, EventsReader *reader,
    TrainWindow *window, Model **out, Err *err);

/* The data that a training by the definition reads, finished. profile: of its days, or NULL. */
struct Profile;
Status train_read(const ModelDefinition *definition, EventsReader *reader,
    const TrainWindow *window, struct Profile *profile, Dataset *data, Task *task, Err *err);

/* Sums over several shops (models/item_sums.h), a BLOB of rec_sums. */
struct ItemSums;
Status sums_of_value(sqlite3_value *value, struct ItemSums *out, Err *err);
/* A version of them, by the definition and a JSON of options, or NULL. */
Status train_on_sums(const ModelDefinition *definition, const char *options, sqlite3_value *value,
    Model **out, Err *err);

#endif
