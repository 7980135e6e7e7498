#include "glue.h"

#include "../../base/json.h"
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../base/memory.h"
#include "../../base/text.h"
#include "../../math/kernels.h"

int glue_code(Status status, const Err *err) {
    switch (status) {
    case ST_OK: return SQLITE_OK;
    case ST_NOMEM: return SQLITE_NOMEM;
    case ST_CORRUPT: return SQLITE_CORRUPT_VTAB;
    case ST_CANCELLED: return SQLITE_INTERRUPT;
    case ST_HOST: return err && err->host_code ? err->host_code : SQLITE_ERROR;
    default: return SQLITE_ERROR;
    }
}

Status glue_host(Err *err, sqlite3 *db, int code) {
    if ((code & 0xff) == SQLITE_NOMEM) return fail_nomem(err, "the database");
    if ((code & 0xff) == SQLITE_INTERRUPT) return fail(err, ST_CANCELLED, "interrupted");
    fail(err, ST_HOST, "%s", sqlite3_errmsg(db));
    if (err) err->host_code = code;
    return ST_HOST;
}

int glue_vtab_error(
    sqlite3_vtab *vtab, const char *module, const char *name, Status status, Err *err) {
    if (status == ST_OK) return SQLITE_OK;
    sqlite3_free(vtab->zErrMsg);
    vtab->zErrMsg = sqlite3_mprintf("%s %s: %s", module, name, err->text);
    return glue_code(status, err);
}

void glue_function_error(
    sqlite3_context *context, const char *function, Status status, const Err *err) {
    char *text = sqlite3_mprintf("%s: %s", function, err->text);
    if (!text || status == ST_NOMEM) {
        sqlite3_result_error_nomem(context);
    } else {
        sqlite3_result_error(context, text, -1);
        sqlite3_result_error_code(context, glue_code(status, err));
    }
    sqlite3_free(text);
}

static Status prepare(sqlite3 *db, sqlite3_stmt **out, Err *err, const char *format, va_list args) {
    char *sql = sqlite3_vmprintf(format, args);
    *out = NULL;
    if (!sql) return fail_nomem(err, "SQL");
    int code = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    sqlite3_free(sql);
    return code ? glue_host(err, db, code) : ST_OK;
}

Status glue_prepare(sqlite3 *db, sqlite3_stmt **out, Err *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    Status status = prepare(db, out, err, format, args);
    va_end(args);
    return status;
}

Status glue_step(sqlite3 *db, sqlite3_stmt *statement, int *has_row, Err *err) {
    int code = sqlite3_step(statement);
    *has_row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? ST_OK : glue_host(err, db, code);
}

Status glue_execute(sqlite3 *db, Err *err, const char *format, ...) {
    sqlite3_stmt *statement;
    va_list args;
    int has_row = 1;
    va_start(args, format);
    Status status = prepare(db, &statement, err, format, args);
    va_end(args);
    while (status == ST_OK && has_row) status = glue_step(db, statement, &has_row, err);
    sqlite3_finalize(statement);
    return status;
}

Status glue_integer(
    sqlite3 *db, sqlite3_int64 otherwise, sqlite3_int64 *out, Err *err, const char *format, ...) {
    sqlite3_stmt *statement;
    va_list args;
    int has_row = 0;
    *out = otherwise;
    va_start(args, format);
    Status status = prepare(db, &statement, err, format, args);
    va_end(args);
    if (status == ST_OK) status = glue_step(db, statement, &has_row, err);
    if (has_row && sqlite3_column_type(statement, 0) != SQLITE_NULL)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}

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

Key glue_convert_key(Key key, Affinity affinity, char *buffer) {
    int64_t integer;
    if (key.text && affinity >= AFFINITY_INTEGER && text_is_integer(key.text, key.len, &integer))
        return (Key){.integer = integer};
    if (!key.text && affinity == AFFINITY_TEXT) {
        int len = text_format(buffer, 32, "%lld", (long long)key.integer);
        return (Key){.text = buffer, .len = (size_t)len};
    }
    return key;
}

int glue_key(sqlite3_value *value, Affinity affinity, char *buffer, Key *out) {
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
    *out = glue_convert_key(*out, affinity, buffer);
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

Status glue_no_key(const char *what, sqlite3_value *value, Err *err) {
    char given[80];
    describe(value, given, sizeof given);
    return fail(err, ST_BADARG, "%s%s (an INTEGER or a TEXT, as in the table%s)", what, given,
        hint_of(value));
}

Status glue_whole(const char *what, sqlite3_value *value, int64_t *out, Err *err) {
    char given[80], buffer[KEY_BUFFER];
    Key key;
    if (glue_key(value, AFFINITY_INTEGER, buffer, &key) && !key.text) {
        *out = key.integer;
        return ST_OK;
    }
    describe(value, given, sizeof given);
    return fail(err, ST_BADARG, "%s%s (a whole number%s)", what, given, hint_of(value));
}

void glue_result_key(sqlite3_context *context, Key key) {
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
        out->key[out->n++] = glue_convert_key(key, affinity, out->buffer + i * KEY_BUFFER);
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

Status glue_vector(sqlite3_value *value, const float **out, int *out_dim, float **owned, Err *err) {
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

FileId glue_file_id(sqlite3 *db, const char *schema) {
    const char *path = sqlite3_db_filename(db, schema);
    struct stat info;
    int moved = 0;
    sqlite3_file_control(db, schema, SQLITE_FCNTL_HAS_MOVED, &moved);
    if (path && *path && !moved && stat(path, &info) == 0)
        return (FileId){{1, (sqlite3_uint64)info.st_dev, (sqlite3_uint64)info.st_ino}};
    sqlite3_uint64 hash = 1469598103934665603u;
    for (const char *c = schema; *c; c++)
        hash = (hash ^ (sqlite3_uint64)(unsigned char)*c) * 1099511628211u;
    return (FileId){{2, (sqlite3_uint64)(uintptr_t)db, hash}};
}

/* About 13 instructions a number. */
enum { PROBE_LENGTH = 1500 };
static const double POLL_SECONDS = 0.015; /* tasks poll every 20 ms */

Status interrupt_poll_init(InterruptPoll *poll, sqlite3 *db, Err *err) {
    *poll = (InterruptPoll){.db = db};
    return glue_prepare(db, &poll->probe, err,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT max(i) "
        "FROM n",
        PROBE_LENGTH);
}

void interrupt_poll_clear(InterruptPoll *poll) {
    sqlite3_finalize(poll->probe);
    poll->probe = NULL;
}

int interrupt_poll(void *argument) {
    InterruptPoll *poll = argument;
    double now = task_clock();
    if (now - poll->last < POLL_SECONDS) return 0;
    poll->last = now;
    int code = sqlite3_step(poll->probe);
    sqlite3_reset(poll->probe);
    return code == SQLITE_INTERRUPT;
}

/* The schemas in the order in which SQLite resolves names: temp, main, then the attached ones. With
 * a suffix the table is a virtual one that has its shadow table there: a table of that name in temp
 * is not the one that is meant. */
static Status find_schema(
    sqlite3 *db, const char *wanted, const char *table, const char *suffix, char **out, Err *err) {
    sqlite3_stmt *list;
    int has_row = 1;
    TRY(glue_prepare(
        db, &list, err, "SELECT name FROM pragma_database_list ORDER BY name<>'temp', seq"));
    Status status = ST_OK;
    while (status == ST_OK && !*out) {
        status = glue_step(db, list, &has_row, err);
        if (status != ST_OK || !has_row) break;
        const char *schema = (const char *)sqlite3_column_text(list, 0);
        sqlite3_int64 found = 0;
        if (wanted && sqlite3_stricmp(wanted, schema) != 0) continue;
        status = glue_integer(db, 0, &found, err,
            "SELECT 1 FROM \"%w\".sqlite_schema WHERE lower(name)=lower('%q%q') AND (type='table' "
            "OR type='view' AND %Q='')"
            " AND (%Q='' OR EXISTS (SELECT 1 FROM \"%w\".sqlite_schema WHERE type='table' AND "
            "rootpage=0 AND lower(name)=lower(%Q)))",
            schema, table, suffix, suffix, suffix, schema, table);
        if (status != ST_OK || !found) continue;
        *out = sqlite3_mprintf("%s", schema);
        if (!*out) status = fail_nomem(err, "a name");
    }
    sqlite3_finalize(list);
    return status;
}

Status glue_find_table(sqlite3 *db, const char *what, const char *name, const char *suffix,
    char **out_schema, char **out_name, Err *err) {
    *out_schema = *out_name = NULL;
    if (!name) return fail(err, ST_BADARG, "the name of a %s is NULL", what);
    const char *dot = strchr(name, '.');
    Status status = find_schema(db, NULL, name, suffix, out_schema, err);
    if (status == ST_OK && *out_schema) *out_name = sqlite3_mprintf("%s", name);
    if (status == ST_OK && !*out_schema && dot) {
        char *schema = sqlite3_mprintf("%.*s", (int)(dot - name), name);
        status = schema ? find_schema(db, schema, dot + 1, suffix, out_schema, err)
                        : fail_nomem(err, "a name");
        if (*out_schema) *out_name = sqlite3_mprintf("%s", dot + 1);
        sqlite3_free(schema);
    }
    if (status == ST_OK && !*out_schema)
        status = fail(err, ST_BADARG, "no %s named '%.60s'", what, name);
    if (status == ST_OK && !*out_name) status = fail_nomem(err, "a name");
    if (status != ST_OK) {
        sqlite3_free(*out_schema);
        sqlite3_free(*out_name);
        *out_schema = *out_name = NULL;
    }
    return status;
}

static Status each_table_of(sqlite3 *db, const char *schema, const char *module, const char *suffix,
    GlueVisit visit, void *context, Err *err) {
    sqlite3_stmt *tables;
    int has_table = 1;
    TRY(glue_prepare(db, &tables, err,
        "SELECT name FROM \"%w\".sqlite_schema v WHERE type='table' AND sql LIKE 'CREATE VIRTUAL "
        "TABLE%%%q%%' AND EXISTS (SELECT 1 FROM \"%w\".sqlite_schema s WHERE s.name = v.name || "
        "%Q) ORDER BY name",
        schema, module, schema, suffix));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = glue_step(db, tables, &has_table, err);
        if (status != ST_OK || !has_table) break;
        status = visit(context, schema, (const char *)sqlite3_column_text(tables, 0), err);
    }
    sqlite3_finalize(tables);
    return status;
}

Status glue_each_table(
    sqlite3 *db, const char *module, const char *suffix, GlueVisit visit, void *context, Err *err) {
    sqlite3_stmt *schemas;
    int has_schema = 1;
    TRY(glue_prepare(
        db, &schemas, err, "SELECT name FROM pragma_database_list ORDER BY name<>'temp', seq"));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = glue_step(db, schemas, &has_schema, err);
        if (status != ST_OK || !has_schema) break;
        status = each_table_of(
            db, (const char *)sqlite3_column_text(schemas, 0), module, suffix, visit, context, err);
    }
    sqlite3_finalize(schemas);
    return status;
}

char *glue_unquote(const char *text, int len) {
    while (len > 0 && ascii_is_space(*text)) text++, len--;
    while (len > 0 && ascii_is_space(text[len - 1])) len--;
    char quote = len >= 2 ? text[0] : 0;
    char close = quote == '[' ? ']' : quote;
    if (!quote || !strchr("'\"`[", quote) || text[len - 1] != close)
        return sqlite3_mprintf("%.*s", len, text);
    char *out = sqlite3_malloc(len);
    int n = 0;
    for (int i = 1; out && i < len - 1; i++) {
        out[n++] = text[i];
        if (text[i] == close && i + 1 < len - 1 && text[i + 1] == close) i++; /* a doubled quote */
    }
    if (out) out[n] = 0;
    return out;
}

int glue_split_argument(const char *argument, char **out_key, char **out_value) {
    const char *equals = strchr(argument, '=');
    *out_key = *out_value = NULL;
    if (!equals) return 0;
    *out_key = glue_unquote(argument, (int)(equals - argument));
    *out_value = glue_unquote(equals + 1, (int)strlen(equals + 1));
    return 1;
}

Status glue_has_column(
    sqlite3 *db, const char *schema, const char *table, const char *column, int *out, Err *err) {
    sqlite3_int64 found;
    TRY(glue_integer(db, 0, &found, err,
        "SELECT 1 FROM pragma_table_xinfo(%Q, %Q) WHERE lower(name)=lower(%Q)", table, schema,
        column));
    *out = found != 0;
    return ST_OK;
}
