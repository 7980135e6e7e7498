#include "values.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/memory.h"
#include "../../base/text.h"
#include "../../math/kernels.h"

static int contains(const char *text, const char *word) {
    size_t len = strlen(word);
    for (; *text; text++)
        if (sqlite3_strnicmp(text, word, (int)len) == 0) return 1;
    return 0;
}

Affinity affinity_of(const char *type) {
    if (!type || !*type) return AFFINITY_NONE;
    if (contains(type, "INT")) return AFFINITY_INTEGER;
    if (contains(type, "CHAR") || contains(type, "CLOB") || contains(type, "TEXT"))
        return AFFINITY_TEXT;
    if (contains(type, "BLOB")) return AFFINITY_NONE;
    if (contains(type, "REAL") || contains(type, "FLOA") || contains(type, "DOUB"))
        return AFFINITY_REAL;
    return AFFINITY_NUMERIC;
}

const char *affinity_type(Affinity affinity) {
    static const char *const names[] = {"", "TEXT", "INTEGER", "REAL", "NUMERIC"};
    return names[affinity];
}

/* Is the text a whole number, as an INTEGER column would store it (" 17 ", "17.0", "1e3")? */
static int text_is_integer(const char *text, size_t len, int64_t *out) {
    char copy[64], *end;
    while (len && ascii_is_space(*text)) text++, len--;
    while (len && ascii_is_space(text[len - 1])) len--;
    if (len == 0 || len >= sizeof copy) return 0;
    for (size_t i = 0; i < len; i++)
        if (!strchr("0123456789+-.eE", text[i])) return 0;
    memcpy(copy, text, len);
    copy[len] = 0;
    *out = strtoll(copy, &end, 10);
    if (*end == 0 && *out != INT64_MAX && *out != INT64_MIN) return 1;
    double value = text_to_double(copy, &end);
    if (*end || fabs(value) >= 9.0e15 || value != floor(value)) return 0;
    *out = (int64_t)value;
    return 1;
}

Key value_convert_key(Key key, Affinity affinity, char *buffer) {
    int64_t integer;
    if (key.text && affinity >= AFFINITY_INTEGER && text_is_integer(key.text, key.len, &integer))
        return (Key){.integer = integer};
    if (!key.text && affinity == AFFINITY_TEXT) {
        int len = text_format(buffer, KEY_BUFFER, "%lld", (long long)key.integer);
        return (Key){.text = buffer, .len = (size_t)len};
    }
    return key;
}

int value_key(sqlite3_value *value, Affinity affinity, char *buffer, Key *out) {
    *out = (Key){0};
    switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER: out->integer = sqlite3_value_int64(value); break;
    case SQLITE_FLOAT: {
        double real = sqlite3_value_double(value);
        if (real != floor(real) || fabs(real) >= 9.0e15) return 0;
        out->integer = (int64_t)real;
        break;
    }
    case SQLITE_TEXT:
        out->text = (const char *)sqlite3_value_text(value);
        out->len = (size_t)sqlite3_value_bytes(value);
        if (!out->text) return 0;
        break;
    default: return 0;
    }
    *out = value_convert_key(*out, affinity, buffer);
    return 1;
}

/* What Python binds for a NumPy scalar: its eight bytes. */
static const char *hint_of(sqlite3_value *value) {
    return sqlite3_value_type(value) == SQLITE_BLOB && sqlite3_value_bytes(value) == 8
        ? "; NumPy's numbers are bound like this: write int(...)"
        : "";
}

static void describe(sqlite3_value *value, char *out, size_t size) {
    if (sqlite3_value_type(value) == SQLITE_BLOB)
        text_format(out, size, " is a BLOB of %d bytes", sqlite3_value_bytes(value));
    else if (sqlite3_value_type(value) == SQLITE_NULL) text_format(out, size, " is NULL");
    else text_format(out, size, "=%.40s", (const char *)sqlite3_value_text(value));
}

Status value_options(const OptTarget *targets, size_t n, sqlite3_value *value, Err *err) {
    for (size_t i = 0; i < n; i++) options_default(targets[i].specs, targets[i].params);
    if (!value || sqlite3_value_type(value) == SQLITE_NULL) return ST_OK;
    const char *text = value_text(value);
    return text ? options_set_json(targets, n, text, err) : fail_nomem(err, "the options");
}

Status value_no_key(const char *what, sqlite3_value *value, Err *err) {
    char given[80];
    describe(value, given, sizeof given);
    return fail(err, ST_BADARG, "%s%s (an INTEGER or a TEXT, as in the table%s)", what, given,
        hint_of(value));
}

Status value_whole(const char *what, sqlite3_value *value, int64_t *out, Err *err) {
    char given[80], buffer[KEY_BUFFER];
    Key key;
    if (value_key(value, AFFINITY_INTEGER, buffer, &key) && !key.text) {
        *out = key.integer;
        return ST_OK;
    }
    describe(value, given, sizeof given);
    return fail(err, ST_BADARG, "%s%s (a whole number%s)", what, given, hint_of(value));
}

static void number_json(Bytes *out, sqlite3_value *value) {
    if (sqlite3_value_type(value) == SQLITE_INTEGER)
        bytes_format(out, "%lld", sqlite3_value_int64(value));
    else if (isfinite(sqlite3_value_double(value)))
        bytes_format(out, "%.17g", sqlite3_value_double(value));
    else bytes_append(out, "\"infinite\"", 10);
}

static void text_json(Bytes *out, sqlite3_value *value, int most) {
    const char *text = value_text(value);
    int len = sqlite3_value_bytes(value), shown = len < most ? len : most;
    /* no half of a character */
    while (shown > 0 && shown < len && text && ((unsigned char)text[shown] & 0xC0) == 0x80) shown--;
    bytes_json_string(out, text ? text : "", text ? (size_t)shown : 0);
}

void value_json(Bytes *out, sqlite3_value *value) {
    switch (sqlite3_value_type(value)) {
    case SQLITE_NULL: bytes_append(out, "null", 4); break;
    case SQLITE_TEXT: text_json(out, value, 80); break;
    case SQLITE_BLOB:
        bytes_format(out, "\"a BLOB of %d bytes\"", sqlite3_value_bytes(value));
        break;
    default: number_json(out, value);
    }
}

void value_json_whole(Bytes *out, sqlite3_value *value) {
    const unsigned char *data = sqlite3_value_type(value) == SQLITE_BLOB ? sqlite3_value_blob(value)
                                                                         : NULL;
    switch (sqlite3_value_type(value)) {
    case SQLITE_NULL: bytes_append(out, "null", 4); break;
    case SQLITE_TEXT: text_json(out, value, INT_MAX); break;
    case SQLITE_BLOB:
        bytes_append(out, "\"", 1);
        for (int i = 0; data && i < sqlite3_value_bytes(value); i++)
            bytes_format(out, "%02X", data[i]);
        bytes_append(out, "\"", 1);
        break;
    default: number_json(out, value);
    }
}

void value_bind_key(sqlite3_stmt *statement, int parameter, Key key) {
    if (key.text)
        sqlite3_bind_text64(statement, parameter, key.text, key.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    else sqlite3_bind_int64(statement, parameter, key.integer);
}

void result_key(sqlite3_context *context, Key key) {
    if (key.text) sqlite3_result_text64(context, key.text, key.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    else sqlite3_result_int64(context, key.integer);
}

Status key_list_parse(
    KeyList *out, const char *what, const char *text, Affinity affinity, Err *err) {
    json_error_t json_error;
    json_t *root = text ? json_loads(text, JSON_ALLOW_NUL, &json_error) : NULL;
    Status status = ST_OK;
    if (text && json_lacks_memory(root, &json_error)) return fail_nomem(err, what);

    *out = (KeyList){.json = root};
    if (!json_is_array(root)) {
        key_list_clear(out);
        return fail(
            err, ST_BADARG, "%s must be a JSON array of keys such as [17, \"85123A\"]", what);
    }
    size_t n = json_array_size(root);
    out->key = mem_array(n, sizeof *out->key);
    out->buffer = mem_array(n, KEY_BUFFER);
    if (!out->key || !out->buffer) status = fail_nomem(err, what);
    for (size_t i = 0; i < n && status == ST_OK; i++) {
        json_t *value = json_array_get(root, i);
        Key key = {0};
        if (json_is_integer(value)) key.integer = json_integer_value(value);
        else if (json_is_string(value))
            key = (Key){.text = json_string_value(value), .len = json_string_length(value)};
        else if (json_is_real(value) && json_real_value(value) == floor(json_real_value(value)) &&
            fabs(json_real_value(value)) < 9.0e15)
            key.integer = (int64_t)json_real_value(value);
        else
            status = fail(
                err, ST_BADARG, "%s: element %zu is neither an integer nor a string", what, i + 1);
        out->key[out->n++] = value_convert_key(key, affinity, out->buffer + i * KEY_BUFFER);
    }
    if (status != ST_OK) key_list_clear(out);
    return status;
}

void key_list_clear(KeyList *list) {
    json_decref(list->json);
    mem_free(list->key);
    mem_free(list->buffer);
    *list = (KeyList){0};
}

static Status vector_from_json(
    const char *text, const float **out, int *out_dim, float **owned, Err *err) {
    json_error_t json_error;
    json_t *root = json_loads(text, 0, &json_error);
    Status status = ST_OK;
    if (json_lacks_memory(root, &json_error)) return fail_nomem(err, "a vector");
    if (!json_is_array(root)) {
        json_decref(root);
        return fail(err, ST_BADARG,
            "a vector is a BLOB of float32 or a JSON array of numbers, not '%.40s'", text);
    }
    size_t n = json_array_size(root);
    *owned = mem_array(n, sizeof **owned);
    if (!*owned) status = fail_nomem(err, "a vector");
    for (size_t i = 0; i < n && status == ST_OK; i++) {
        json_t *value = json_array_get(root, i);
        if (!json_is_number(value))
            status = fail(err, ST_BADARG, "vector element %zu is not a number", i + 1);
        else (*owned)[i] = (float)json_number_value(value);
    }
    *out = *owned;
    *out_dim = (int)n;
    json_decref(root);
    return status;
}

Status value_vector(
    sqlite3_value *value, const float **out, int *out_dim, float **owned, Err *err) {
    Status status = ST_OK;
    *out = NULL;
    *owned = NULL;
    *out_dim = 0;
    if (sqlite3_value_type(value) == SQLITE_BLOB) {
        int bytes = sqlite3_value_bytes(value);
        const void *blob = sqlite3_value_blob(value);
        if (bytes % (int)sizeof(float))
            return fail(
                err, ST_BADARG, "a vector BLOB of %d bytes is no whole number of float32", bytes);
        *out_dim = bytes / (int)sizeof(float);
        *out = blob;
        if ((uintptr_t)blob % sizeof(float)) { /* a BLOB may start anywhere */
            *owned = mem_array((size_t)*out_dim, sizeof **owned);
            if (!*owned) return fail_nomem(err, "a vector");
            memcpy(*owned, blob, (size_t)bytes);
            *out = *owned;
        }
    } else if (sqlite3_value_type(value) == SQLITE_TEXT) {
        status = vector_from_json(
            (const char *)sqlite3_value_text(value), out, out_dim, owned, err);
    } else {
        return fail(err, ST_BADARG, "a vector is a BLOB of float32 or a JSON array of numbers");
    }
    if (status == ST_OK && *out_dim == 0)
        status = fail(err, ST_BADARG, "a vector has at least one element");
    if (status == ST_OK) {
        int64_t bad = vector_first_bad(*out, (size_t)*out_dim);
        if (bad >= 0)
            status = fail(
                err, ST_BADARG, "vector element %lld is NaN or infinite", (long long)bad + 1);
    }
    if (status != ST_OK) {
        mem_free(*owned);
        *owned = NULL;
    }
    return status;
}

const char *value_text(sqlite3_value *value) {
    return value && sqlite3_value_type(value) != SQLITE_NULL
        ? (const char *)sqlite3_value_text(value)
        : NULL;
}
