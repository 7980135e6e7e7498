#include "space.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/text.h"

static Status read_axis(Space *s, const char *name, json_t *value, Err *err) {
    const OptSpec *spec = options_find(s->tunable.options, name);
    if (!spec) spec = options_find(s->tunable.common, name);
    if (!spec) {
        const OptSpec *tables[] = {s->tunable.options, s->tunable.common, NULL};
        return options_unknown(tables, name, err);
    }
    if (option_of_training(name))
        return fail(err, ST_BADARG,
            "%s cannot be tuned: it says how one training starts or ends, and a version to start "
            "from has seen what is held out",
            name);
    if (s->n == SAMPLER_MAX_DIMENSIONS)
        return fail(err, ST_BADARG, "space: more than %d options", SAMPLER_MAX_DIMENSIONS);
    Axis *axis = &s->axis[s->n];
    *axis = (Axis){.name = name, .whole = spec->kind == OPT_INT};
    if (json_is_array(value) && json_array_size(value) > 0) {
        axis->choices = value;
        s->dimension[s->n++] = (Dimension){(int64_t)json_array_size(value)};
        return ST_OK;
    }
    json_t *min = json_object_get(value, "min"), *max = json_object_get(value, "max");
    axis->log = json_is_true(json_object_get(value, "log"));
    axis->min = json_number_value(min);
    axis->max = json_number_value(max);
    if ((spec->kind != OPT_INT && spec->kind != OPT_REAL) || !json_is_number(min) ||
        !json_is_number(max) || !(axis->min < axis->max) || (axis->log && axis->min <= 0))
        return fail(err, ST_BADARG,
            "space: %.40s must be a list of values, or {\"min\": a,\"max\": b} of a number, with "
            "\"log\": true where a is above 0",
            name);
    if (axis->min < spec->min || axis->max > spec->max)
        return fail(err, ST_BADARG, "space: %.40s may be %g to %g", name, spec->min, spec->max);
    s->dimension[s->n++] = (Dimension){0};
    return ST_OK;
}

Status space_init(Space *s, const Tunable *tunable, json_t *own, Err *err) {
    json_error_t json_error;
    const char *name;
    json_t *value;
    *s = (Space){.tunable = *tunable};
    if (!own && !tunable->space)
        return fail(
            err, ST_BADARG, "algorithm %s has no space of its own: give \"space\"", tunable->name);
    s->root = own ? json_incref(own) : json_loads(tunable->space, 0, &json_error);
    if (!s->root) return fail_nomem(err, "the space");
    if (!json_is_object(s->root) || json_object_size(s->root) == 0)
        return fail(
            err, ST_BADARG, "space must be an object such as {\"neighbours\": [20,50,100]}");
    json_object_foreach(s->root, name, value) TRY(read_axis(s, name, value, err));
    return ST_OK;
}

void space_clear(Space *s) {
    json_decref(s->root);
    *s = (Space){0};
}

/* Six digits, as long as that stays within the range. */
static double readable(const Axis *axis, double at) {
    char text[40];
    text_format(text, sizeof text, "%.6g", at);
    double rounded = text_to_double(text, NULL);
    return rounded >= axis->min && rounded <= axis->max ? rounded : at;
}

static json_t *axis_value(const Axis *axis, double place) {
    if (axis->choices) return json_incref(json_array_get(axis->choices, (size_t)place));
    double at = axis->log ? axis->min * pow(axis->max / axis->min, place)
                          : axis->min + (axis->max - axis->min) * place;
    return axis->whole ? json_integer((json_int_t)llround(at)) : json_real(readable(axis, at));
}

char *space_setting(const Space *s, const double *place) {
    json_t *root = json_object();
    int failed = json_object_set_new(root, "algorithm", json_string(s->tunable.name));
    for (int i = 0; place && i < s->n; i++)
        failed |= json_object_set_new(root, s->axis[i].name, axis_value(&s->axis[i], place[i]));
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(root);
    return text;
}
