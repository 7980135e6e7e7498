/* Options as data: one table per option set feeds the parser, the error texts, rec_options() and
 * the reference pages.
 *
 *     typedef struct Params { int64_t factors; double reg; } Params;
 *     static const OptSpec specs[] = {
 *         {"factors", OPT_INT, offsetof(Params, factors), 1, 4096, 64, NULL, "length of a vector"},
 *         {"reg", OPT_REAL, offsetof(Params, reg), 0, 1e6, 0.01, NULL, "regularisation"},
 *         {0},
 *     };
 *
 * Names match exactly; unknown, repeated and out-of-range options are errors that name what is
 * allowed. */
#ifndef REC_OPTIONS_H
#define REC_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "date.h"
#include "status.h"

typedef enum OptKind {
    OPT_INT,    /* int64_t field */
    OPT_REAL,   /* double field */
    OPT_FLAG,   /* int64_t field, 0 or 1: true, false, 1, 0 */
    OPT_CHOICE, /* int64_t field: the index of the word in choices */
    OPT_TIME,   /* double field: unix seconds, or a date text (date.h) */
    /* char field of max bytes, NUL included; the default is choices; a JSON array or object is
     * taken as its text */
    OPT_TEXT
} OptKind;

typedef struct OptSpec {
    const char *name;
    OptKind kind;
    size_t offset;
    double min;
    double max;
    double initial;      /* default; for OPT_CHOICE the index */
    const char *choices; /* "cosine|jaccard|..." for OPT_CHOICE; the default of OPT_TEXT */
    const char *help;
} OptSpec;

/* Write every default into params. */
void options_default(const OptSpec *specs, void *params);

/* The spec called name, or NULL. */
const OptSpec *options_find(const OptSpec *specs, const char *name);

/* Parse text into the field of spec. */
Status options_set(const OptSpec *spec, void *params, const char *text, Err *err);

/* Options that belong to one training, where it starts and where it pauses, 0 for neither: they say
 * nothing about a setting. */
int option_of_training(const char *name);
/* The first of them that is set, or NULL. */
const char *options_of_training(const OptSpec *specs, const void *params);
void options_forget_training(const OptSpec *specs, void *params);

/* Fail with "unknown option 'name' (allowed: ...)"; specs is a NULL-terminated list of tables. */
Status options_unknown(const OptSpec *const *tables, const char *name, Err *err);

/* Parse a JSON object; every key must be in one of the tables (8 at most), each with the params
 * that it sets. */
typedef struct OptTarget {
    const OptSpec *specs;
    void *params;
} OptTarget;
Status options_set_json(const OptTarget *targets, size_t n_targets, const char *json, Err *err);

/* Append the value of the field as JSON. */
void options_value_json(const OptSpec *spec, const void *params, Bytes *out);

/* Append "name":value pairs, comma-separated, in table order, without braces. */
void options_json(const OptSpec *specs, const void *params, Bytes *out);

/* Stored form: their number, then each as its name and its value, a number or a text; and back,
 * from untrusted bytes, over the defaults. A name that specs does not have is ST_CORRUPT. */
void options_write(const OptSpec *specs, const void *params, Bytes *out);
Status options_read(const OptSpec *specs, void *params, Reader *in, Err *err);

/* Append the allowed range ("1..4096", "cosine|jaccard", "true|false"). */
void options_range(const OptSpec *spec, Bytes *out);

/* The word with the index in a choices string; *len gets its length. NULL beyond the end. */
const char *options_choice(const char *choices, int64_t index, size_t *len);

#endif
