/* Tuning: try settings on a part of the events, and train the best one. */
#ifndef REC_MODEL_TUNE_H
#define REC_MODEL_TUNE_H

#include "../versions/version_store.h"
#include "model_events.h"

/* The command `tune`: try settings, remember the trials, train and serve the best one as the
 * options say; *version 0: none was. */
Status tune_model(const ModelDefinition *definition, EventsReader *reader, const char *options,
    sqlite3_int64 *version, Err *err);

/* Does this training, of a model with algorithm=auto, begin with the search for a setting? */
int tune_before_train(const ModelDefinition *definition, const char *options);

/* That search and the training of what it chose; store: keep the trials. */
Status tune_and_train(const ModelDefinition *definition, EventsReader *reader, const char *options,
    int store, Model **out, PutWish *wish, Err *err);

/* SELECT rec_tune(...): the same in a statement that reads; *out is its result, as JSON. */
Status tune_outside(const ModelDefinition *definition, EventsReader *reader, const char *options,
    Bytes *out, Err *err);

#endif
