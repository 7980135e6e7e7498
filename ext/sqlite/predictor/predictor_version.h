/* A predictor as a kind of versioned object. */
#ifndef REC_PREDICTOR_VERSION_H
#define REC_PREDICTOR_VERSION_H

#include "../../learn/predictor.h"
#include "../versions/version_store.h"

extern const VersionKind predictor_kind;

#endif
