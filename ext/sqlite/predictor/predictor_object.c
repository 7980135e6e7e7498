#include "predictor_object.h"

#include <stdlib.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/memory.h"
#include "../../base/text.h"
#include "../host/values.h"

void feature_object_clear(FeatureObject *object) {
    for (int32_t i = 0; object->text && i < object->n; i++) free(object->text[i]);
    mem_free(object->text);
    json_decref(object->root);
    *object = (FeatureObject){0};
}

Status feature_object_read(FeatureObject *out, sqlite3_value *value, Err *err) {
    json_error_t json_error;
    *out = (FeatureObject){0};
    if (sqlite3_value_type(value) != SQLITE_TEXT) return ST_OK;
    const char *text = value_text(value);
    while (text && ascii_is_space(*text)) text++;
    if (!text || *text != '{') return ST_OK;
    out->root = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    if (json_lacks_memory(out->root, &json_error)) return fail_nomem(err, "the features");
    return out->root ? ST_OK : fail(err, ST_BADARG, "features: %s", json_error.text);
}

static Status cell_of_json(FeatureObject *object, int32_t i, json_t *value, Cell *cell, Err *err) {
    switch (json_typeof(value)) {
    case JSON_NULL: *cell = (Cell){0}; return ST_OK;
    case JSON_TRUE:
    case JSON_FALSE: *cell = cell_of_integer(json_is_true(value)); return ST_OK;
    case JSON_INTEGER: *cell = cell_of_integer(json_integer_value(value)); return ST_OK;
    case JSON_REAL: *cell = cell_of_number(json_real_value(value)); return ST_OK;
    case JSON_STRING:
        *cell = cell_of_text(json_string_value(value), json_string_length(value));
        return ST_OK;
    default:
        if (!(object->text[i] = json_dumps(value, JSON_COMPACT)))
            return fail_nomem(err, "the features");
        *cell = cell_of_text(object->text[i], strlen(object->text[i]));
        return ST_OK;
    }
}

/* A member that is no feature. */
static Status check_members(
    const FeatureObject *object, const Predictor *predictor, const char *row_id, Err *err) {
    const char *name;
    json_t *value;
    json_object_foreach(object->root, name, value) {
        int known = row_id && sqlite3_stricmp(name, row_id) == 0;
        for (int32_t i = 0; i < predictor->n_columns && !known; i++)
            known = strcmp(predictor->column[i], name) == 0;
        if (!known) return fail(err, ST_BADARG, "'%.60s' is no feature", name);
    }
    return ST_OK;
}

Status feature_object_cells(
    FeatureObject *object, HeldVersion *held, const char *row_id, Err *err) {
    const Predictor *predictor = held->predictor;
    object->n = predictor->n_columns;
    object->text = mem_zeros((size_t)object->n, sizeof *object->text);
    if (!object->text) return fail_nomem(err, "the features");
    for (int32_t i = 0; i < object->n; i++) {
        json_t *value = json_object_get(object->root, predictor->column[i]);
        if (!value)
            return fail(err, ST_BADARG, "there is no '%.60s' among the features that are given",
                predictor->column[i]);
        TRY(cell_of_json(object, i, value, &held->cell[i], err));
    }
    return (size_t)object->n == json_object_size(object->root)
        ? ST_OK
        : check_members(object, predictor, row_id, err);
}

int feature_object_unit(const FeatureObject *object, const char *row_id, char *buffer, Key *out) {
    json_t *value = row_id ? json_object_get(object->root, row_id) : NULL;
    Cell cell = {0};
    if (json_is_integer(value)) cell = cell_of_integer(json_integer_value(value));
    else if (json_is_string(value))
        cell = cell_of_text(json_string_value(value), json_string_length(value));
    return cell_key(&cell, buffer, out);
}
