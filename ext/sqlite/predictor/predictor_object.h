/* The features of a row as one JSON object: {"pages": 3, "country": "UK"}. */
#ifndef REC_PREDICTOR_OBJECT_H
#define REC_PREDICTOR_OBJECT_H

#include <jansson.h>

#include "predictor_answer.h"

typedef struct FeatureObject {
    json_t *root; /* owns texts; NULL: none was given */
    char **text;  /* n, of members that are arrays: to be free'd */
    int32_t n;
} FeatureObject;

/* Of a text that is a JSON object; any other value leaves root NULL. */
Status feature_object_read(FeatureObject *out, sqlite3_value *value, Err *err);
/* The cells of the version's columns, which all must be there; what else is there may only be the
 * examples' id (row_id, or NULL). */
Status feature_object_cells(FeatureObject *object, HeldVersion *held, const char *row_id, Err *err);
/* The examples' id among the members, who the row is; 0: it is not there. buffer: CELL_BUFFER. */
int feature_object_unit(const FeatureObject *object, const char *row_id, char *buffer, Key *out);
void feature_object_clear(FeatureObject *object);

#endif
