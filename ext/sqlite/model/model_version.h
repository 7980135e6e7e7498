/* A model as a kind of versioned object. */
#ifndef REC_MODEL_VERSION_H
#define REC_MODEL_VERSION_H

#include "../versions/version_store.h"
#include "model_definition.h"

extern const VersionKind model_kind;

/* The wanted version (0: the active one) as a reference into the cache: cache_release it. */
Status model_of_version(
    const ModelDefinition *definition, sqlite3_int64 wanted, Model **out, Err *err);

#endif
