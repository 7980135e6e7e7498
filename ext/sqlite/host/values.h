/* SQL values as keys, numbers and vectors, and back. */
#ifndef REC_VALUES_H
#define REC_VALUES_H

#include "../../base/options.h"
#include "sql.h"

/* How a declared column type converts what is compared with it (SQLite's affinity rules, "Datatypes
 * in SQLite" 3.1). */
typedef enum Affinity {
    AFFINITY_NONE,
    AFFINITY_TEXT,
    AFFINITY_INTEGER,
    AFFINITY_REAL,
    AFFINITY_NUMERIC
} Affinity;
Affinity affinity_of(const char *declared_type);
/* A type name with that affinity. A declared type may be any text: this, and not the text, goes
 * into SQL. */
const char *affinity_type(Affinity affinity);

/* A value as a key under the affinity of its column. Returns 0 when it cannot be one: NULL, a BLOB,
 * a fraction. The text belongs to the value or, for a number that becomes text, to buffer (of
 * KEY_BUFFER bytes). */
enum { KEY_BUFFER = 32 };
int value_key(sqlite3_value *value, Affinity affinity, char *buffer, Key *out);
/* The same for a key that came from JSON. */
Key value_convert_key(Key key, Affinity affinity, char *buffer);

/* The error for a value that can be no key, with its type. */
Status value_no_key(const char *what, sqlite3_value *value, Err *err);

/* A whole number: an INTEGER, or a number or text that is one (5.0, '5'); else an error that says
 * what was given. */
Status value_whole(const char *what, sqlite3_value *value, int64_t *out, Err *err);

/* As JSON for people: a BLOB by its length, a text without what is past 80 bytes. */
void value_json(Bytes *out, sqlite3_value *value);
/* As JSON, whole; a BLOB as hexadecimal digits. */
void value_json_whole(Bytes *out, sqlite3_value *value);

/* Its text; NULL for NULL. */
const char *value_text(sqlite3_value *value);

/* Defaults of the tables of options, then what an argument says as a JSON object; NULL, or absent
 * (a NULL pointer): the defaults alone. */
Status value_options(const OptTarget *targets, size_t n, sqlite3_value *value, Err *err);

void result_key(sqlite3_context *context, Key key);
/* The text is copied. */
void value_bind_key(sqlite3_stmt *statement, int parameter, Key key);

/* A list of keys from a JSON array such as [17, "x"]. Texts live in the list. */
typedef struct KeyList {
    Key *key;
    size_t n;
    void *json; /* owns the texts */
    char *buffer;
} KeyList;
Status key_list_parse(
    KeyList *out, const char *what, const char *json, Affinity affinity, Err *err);
void key_list_clear(KeyList *list);

/* A vector argument: BLOB of little-endian float32, or a JSON array of numbers. *owned is to be
 * mem_free'd (or NULL). NaN, infinity, a length that is no multiple of 4, and no element at all are
 * errors. */
Status value_vector(sqlite3_value *value, const float **out, int *out_dim, float **owned, Err *err);

#endif
