/* What CREATE said of a rec_model: kept in m_config. */
#ifndef REC_MODEL_DEFINITION_H
#define REC_MODEL_DEFINITION_H

#include "../../base/date.h"
#include "../../models/model.h"
#include "../host/values.h"
#include "../versions/versioned.h"

/* What CREATE said. */
typedef struct ModelDefinition {
    Versioned id;                                         /* where it is: the first member */
    char *events, *user, *item, *weight, *time, *session; /* the last three may be NULL */
    /* the catalogue; may be NULL */
    char *items, *item_key, *item_text, *item_vector, *item_category;
    char *encoder; /* a rec_encoder of this schema, which makes vectors of the texts */
    char *user_type, *item_type; /* declared types, "" where there is none */
    Affinity user_affinity, item_affinity;
    const Algorithm *algorithm; /* of algorithm=auto, before a search: the default one */
    char *automatic;            /* algorithm=auto: its options of tuning as JSON; else NULL */
    CommonParams common;
    AlgorithmParams params;
    TimeUnit time_unit;
} ModelDefinition;

void definition_clear(ModelDefinition *definition);
/* CREATE: read the arguments, look at the tables they name, make the shadow tables. */
Status definition_create(
    ModelDefinition *out, sqlite3 *db, int argc, const char *const *argv, Err *err);
/* May a model have this name, which is also a column's? */
Status definition_check_name(const char *name, Err *err);
/* For host/shadow.h. */
ShadowOwner definition_owner(const ModelDefinition *definition);
/* Read it from m_config; schema and name are copied. */
Status definition_load(
    ModelDefinition *out, sqlite3 *db, const char *schema, const char *name, Err *err);
/* By a user's spelling: 'recs' or 'aux.recs'. */
Status definition_find(ModelDefinition *out, sqlite3 *db, const char *name, Err *err);

#endif
