#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "json.h"
#include "text.h"

static void set_integer(const OptSpec *spec, void *params, int64_t value) {
    memcpy((char *)params + spec->offset, &value, sizeof value);
}

static void set_real(const OptSpec *spec, void *params, double value) {
    memcpy((char *)params + spec->offset, &value, sizeof value);
}

/* The rest of the field becomes 0, so that equal texts are equal bytes. */
static void set_text(const OptSpec *spec, void *params, const char *text) {
    strncpy((char *)params + spec->offset, text, (size_t)spec->max);
}

void options_default(const OptSpec *specs, void *params) {
    for (const OptSpec *spec = specs; spec->name; spec++) {
        if (spec->kind == OPT_REAL || spec->kind == OPT_TIME) set_real(spec, params, spec->initial);
        else if (spec->kind == OPT_TEXT) set_text(spec, params, spec->choices);
        else set_integer(spec, params, (int64_t)spec->initial);
    }
}

const OptSpec *options_find(const OptSpec *specs, const char *name) {
    for (const OptSpec *spec = specs; spec->name; spec++)
        if (strcmp(spec->name, name) == 0) return spec;
    return NULL;
}

static const char *const OF_TRAINING[] = {"init_from", "pause_after"};
enum { N_OF_TRAINING = sizeof OF_TRAINING / sizeof *OF_TRAINING };

int option_of_training(const char *name) {
    for (size_t i = 0; i < N_OF_TRAINING; i++)
        if (strcmp(name, OF_TRAINING[i]) == 0) return 1;
    return 0;
}

const char *options_of_training(const OptSpec *specs, const void *params) {
    for (size_t i = 0; i < N_OF_TRAINING; i++) {
        const OptSpec *spec = options_find(specs, OF_TRAINING[i]);
        int64_t value = 0;
        if (spec) memcpy(&value, (const char *)params + spec->offset, sizeof value);
        if (value) return OF_TRAINING[i];
    }
    return NULL;
}

void options_forget_training(const OptSpec *specs, void *params) {
    for (size_t i = 0; i < N_OF_TRAINING; i++) {
        const OptSpec *spec = options_find(specs, OF_TRAINING[i]);
        if (spec) set_integer(spec, params, 0);
    }
}

const char *options_choice(const char *choices, int64_t index, size_t *len) {
    const char *word = choices;
    for (; index > 0 && word; index--) {
        word = strchr(word, '|');
        if (word) word++;
    }
    *len = word ? strcspn(word, "|") : 0;
    return word;
}

void options_range(const OptSpec *spec, Bytes *out) {
    if (spec->kind == OPT_CHOICE) bytes_format(out, "%s", spec->choices);
    else if (spec->kind == OPT_FLAG) bytes_format(out, "true|false");
    else if (spec->kind == OPT_TEXT) bytes_format(out, "up to %d bytes", (int)spec->max - 1);
    else if (spec->kind == OPT_TIME)
        bytes_format(out, "unix seconds, or a date such as '2011-11-09' or '2011-11-09 12:30:00'");
    else if (spec->kind == OPT_INT)
        bytes_format(out, "%lld..%lld", (long long)spec->min, (long long)spec->max);
    else bytes_format(out, "%.15g..%.15g", spec->min, spec->max);
}

static Status out_of_range(const OptSpec *spec, const char *text, Err *err) {
    Bytes range = {0};
    options_range(spec, &range);
    Status status = fail(err, ST_BADARG, "%s=%.60s (%.*s)", spec->name, text,
        range.failed ? 0 : (int)range.len, range.data ? (const char *)range.data : "");
    bytes_clear(&range);
    return status;
}

static int parse_flag(const char *text, int64_t *out) {
    int yes = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    int no = strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
    *out = yes;
    return yes || no;
}

static int same_word(const char *word, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (ascii_lower(word[i]) != ascii_lower(text[i])) return 0;
    return 1;
}

/* In any case: metric=L2. */
static int parse_choice(const char *choices, const char *text, int64_t *out) {
    size_t len;
    const char *word;
    for (int64_t i = 0; (word = options_choice(choices, i, &len)) != NULL; i++)
        if (strlen(text) == len && same_word(word, text, len)) {
            *out = i;
            return 1;
        }
    return 0;
}

static int parse_number(const char *text, double *out) {
    char *end;
    if (!*text) return 0;
    errno = 0;
    *out = text_to_double(text, &end);
    return *end == 0 && isfinite(*out);
}

Status options_set(const OptSpec *spec, void *params, const char *text, Err *err) {
    double number = 0;
    int64_t integer = 0;

    if (spec->kind == OPT_FLAG || spec->kind == OPT_CHOICE) {
        int known = spec->kind == OPT_FLAG ? parse_flag(text, &integer)
                                           : parse_choice(spec->choices, text, &integer);
        if (!known) return out_of_range(spec, text, err);
        set_integer(spec, params, integer);
        return ST_OK;
    }
    if (spec->kind == OPT_TEXT) {
        if (strlen(text) >= (size_t)spec->max) return out_of_range(spec, text, err);
        set_text(spec, params, text);
        return ST_OK;
    }
    if (spec->kind == OPT_TIME && date_parse(text, strlen(text), &number)) {
        set_real(spec, params, number);
        return ST_OK;
    }
    if (!parse_number(text, &number) || number < spec->min || number > spec->max)
        return out_of_range(spec, text, err);
    if (spec->kind == OPT_REAL || spec->kind == OPT_TIME) {
        set_real(spec, params, number);
        return ST_OK;
    }
    integer = (int64_t)number;
    if ((double)integer != number) return out_of_range(spec, text, err);
    set_integer(spec, params, integer);
    return ST_OK;
}

Status options_unknown(const OptSpec *const *tables, const char *name, Err *err) {
    Bytes names = {0};
    for (; *tables; tables++)
        for (const OptSpec *spec = *tables; spec->name; spec++)
            bytes_format(&names, "%s%s", names.len ? ", " : "", spec->name);
    Status status = fail(err, ST_BADARG, "unknown option '%.60s' (allowed: %.*s)", name,
        names.failed ? 0 : (int)names.len, names.data ? (const char *)names.data : "");
    bytes_clear(&names);
    return status;
}

static Status set_json_value(const OptSpec *spec, void *params, const json_t *value, Err *err) {
    char text[64];
    if (json_is_string(value)) return options_set(spec, params, json_string_value(value), err);
    if (spec->kind == OPT_TEXT && (json_is_array(value) || json_is_object(value))) {
        char *dumped = json_dumps(value, JSON_COMPACT);
        Status status = dumped ? options_set(spec, params, dumped, err)
                               : fail_nomem(err, "the options");
        free(dumped);
        return status;
    }
    if (json_is_integer(value))
        text_format(text, sizeof text, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value)) text_format(text, sizeof text, "%.17g", json_real_value(value));
    else if (json_is_boolean(value))
        text_format(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
    else
        return out_of_range(spec,
            json_is_null(value)        ? "null"
                : json_is_array(value) ? "[...]"
                                       : "{...}",
            err);
    return options_set(spec, params, text, err);
}

Status options_set_json(const OptTarget *targets, size_t n_targets, const char *json, Err *err) {
    json_error_t json_error;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &json_error);
    Status status = ST_OK;
    const char *name;
    json_t *value;

    if (json_lacks_memory(root, &json_error)) return fail_nomem(err, "the options");
    if (!root || !json_is_object(root)) {
        status = fail(err, ST_BADARG, "options: %s (a JSON object such as {\"name\": value})",
            root ? "not an object" : json_error.text);
        json_decref(root);
        return status;
    }
    json_object_foreach(root, name, value) {
        const OptSpec *spec = NULL;
        for (size_t i = 0; i < n_targets && !spec && status == ST_OK; i++) {
            spec = options_find(targets[i].specs, name);
            if (spec) status = set_json_value(spec, targets[i].params, value, err);
        }
        if (!spec && status == ST_OK) {
            const OptSpec *tables[9] = {0};
            for (size_t i = 0; i < n_targets && i < 8; i++) tables[i] = targets[i].specs;
            status = options_unknown(tables, name, err);
        }
        if (status != ST_OK) break;
    }
    json_decref(root);
    return status;
}

void options_value_json(const OptSpec *spec, const void *params, Bytes *out) {
    int64_t integer;
    double real;
    const char *field = (const char *)params + spec->offset;

    memcpy(&integer, field, sizeof integer);
    memcpy(&real, field, sizeof real);
    if (spec->kind == OPT_REAL || spec->kind == OPT_TIME) bytes_format(out, "%.15g", real);
    else if (spec->kind == OPT_FLAG) bytes_format(out, integer ? "true" : "false");
    else if (spec->kind == OPT_TEXT) bytes_json_string(out, field, strlen(field));
    else if (spec->kind == OPT_INT) bytes_format(out, "%lld", (long long)integer);
    else {
        size_t len;
        const char *word = options_choice(spec->choices, integer, &len);
        bytes_json_string(out, word ? word : "", len);
    }
}

void options_json(const OptSpec *specs, const void *params, Bytes *out) {
    for (const OptSpec *spec = specs; spec->name; spec++) {
        bytes_format(out, "%s\"%s\":", spec == specs ? "" : ",", spec->name);
        options_value_json(spec, params, out);
    }
}

/* ---- stored form ---- */

void options_write(const OptSpec *specs, const void *params, Bytes *out) {
    uint32_t n = 0;
    for (const OptSpec *spec = specs; spec->name; spec++) n++;
    bytes_u32(out, n);
    for (const OptSpec *spec = specs; spec->name; spec++) {
        const char *field = (const char *)params + spec->offset;
        bytes_text(out, spec->name);
        if (spec->kind == OPT_TEXT) bytes_text(out, field);
        else if (spec->kind == OPT_REAL || spec->kind == OPT_TIME)
            bytes_f64(out, *(const double *)(const void *)field);
        else bytes_f64(out, (double)*(const int64_t *)(const void *)field);
    }
}

static const OptSpec *spec_of(const OptSpec *specs, Reader *in) {
    size_t len;
    const char *name = read_text(in, &len);
    for (const OptSpec *spec = specs; !in->failed && spec->name; spec++)
        if (strlen(spec->name) == len && memcmp(spec->name, name, len) == 0) return spec;
    return NULL;
}

/* Is it one that the spec allows? A time may be none at all. */
static int is_allowed(const OptSpec *spec, double value) {
    size_t len;
    if (spec->kind == OPT_TIME) return 1;
    if (spec->kind == OPT_FLAG) return value == 0 || value == 1 || value == spec->initial;
    if (spec->kind != OPT_CHOICE)
        return (value >= spec->min && value <= spec->max) || value == spec->initial;
    return value >= 0 && value < 1000 && options_choice(spec->choices, (int64_t)value, &len);
}

Status options_read(const OptSpec *specs, void *params, Reader *in, Err *err) {
    uint32_t n = read_u32(in);
    options_default(specs, params);
    for (uint32_t i = 0; i < n; i++) {
        const OptSpec *spec = spec_of(specs, in);
        if (!spec) return fail(err, ST_CORRUPT, "stored options are damaged");
        char *field = (char *)params + spec->offset;
        if (spec->kind == OPT_TEXT) {
            size_t len;
            const char *text = read_text(in, &len);
            if (in->failed || (double)len >= spec->max)
                return fail(err, ST_CORRUPT, "option '%s' is damaged", spec->name);
            memcpy(field, text, len);
            field[len] = 0;
            continue;
        }
        double value = read_f64(in);
        if (in->failed || !is_allowed(spec, value))
            return fail(err, ST_CORRUPT, "option '%s' is damaged", spec->name);
        if (spec->kind == OPT_REAL || spec->kind == OPT_TIME) *(double *)(void *)field = value;
        else *(int64_t *)(void *)field = (int64_t)value;
    }
    return ST_OK;
}
