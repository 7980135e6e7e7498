/* What CREATE said of a rec_predictor: kept in NAME_config. */
#ifndef REC_PREDICTOR_DEFINITION_H
#define REC_PREDICTOR_DEFINITION_H

#include "../../learn/predictor_train.h"
#include "../host/values.h"
#include "../versions/version_config.h"

typedef struct PredictorDefinition {
    Versioned id;   /* where it is: the first member */
    char *examples; /* a table or view of the same schema */
    /* its columns that are no features; NULL: none */
    char *label, *row_id, *weight, *split, *group, *time;
    char *id_type; /* the declared type of row_id; "" where there is none */
    Affinity id_affinity;
    int is_automatic;         /* algorithm=auto */
    PredictorSetting setting; /* of algorithm=auto the learner is NULL, its params unused */
} PredictorDefinition;

void predictor_definition_clear(PredictorDefinition *definition);
/* CREATE: read the arguments, look at the columns that they name, make the shadow tables. */
Status predictor_definition_create(
    PredictorDefinition *out, sqlite3 *db, int argc, const char *const *argv, Err *err);
/* May it have this name, which is also a column's? */
Status predictor_check_name(const char *name, Err *err);
ShadowOwner predictor_owner(const PredictorDefinition *definition);
Status predictor_definition_load(
    PredictorDefinition *out, sqlite3 *db, const char *schema, const char *name, Err *err);
/* By a user's spelling: 'buy' or 'aux.buy'. */
Status predictor_definition_find(PredictorDefinition *out, sqlite3 *db, const char *name, Err *err);

/* "linear|ridge|...|auto"; *out is to be cleared. */
Status predictor_algorithms(Bytes *out, Err *err);
/* Make the setting one of the learner, with its defaults; learner NULL: auto. */
void predictor_set_learner(PredictorSetting *setting, const Learner *learner);

#endif
