#include "row_table.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../../base/memory.h"
#include "guard.h"
#include "values.h"

typedef struct RowCell {
    int type; /* SQLITE_INTEGER, ... */
    sqlite3_int64 integer;
    double real;
    char *text; /* of a text or BLOB */
    size_t len;
} RowCell;

struct RowSink {
    RowCell *cell;
    size_t n;
    size_t capacity;
    int failed;
};

typedef struct Table {
    sqlite3_vtab base;
    sqlite3 *db;
    const RowTable *description;
} Table;

typedef struct Cursor {
    sqlite3_vtab_cursor base;
    RowSink sink;
    size_t row;    /* of those in the sink */
    size_t before; /* rows that were in it before */
    void *state;   /* of a table whose rows come by and by */
    int ended;
    sqlite3_value *argument[8]; /* echoed */
} Cursor;

static RowCell *append(RowSink *sink, int type) {
    if (sink->failed) return NULL;
    if (sink->n == sink->capacity) {
        size_t capacity = sink->capacity + sink->capacity / 2 + 64;
        RowCell *grown = mem_resize(sink->cell, capacity, sizeof *grown);
        if (!grown) {
            sink->failed = 1;
            return NULL;
        }
        sink->cell = grown;
        sink->capacity = capacity;
    }
    RowCell *cell = &sink->cell[sink->n++];
    *cell = (RowCell){.type = type};
    return cell;
}

void row_integer(RowSink *sink, sqlite3_int64 value) {
    RowCell *cell = append(sink, SQLITE_INTEGER);
    if (cell) cell->integer = value;
}

void row_real(RowSink *sink, double value) {
    RowCell *cell = append(sink, SQLITE_FLOAT);
    if (cell) cell->real = value;
}

void row_number(RowSink *sink, double value) {
    if (isnan(value)) row_null(sink);
    else row_real(sink, value);
}

void row_null(RowSink *sink) { append(sink, SQLITE_NULL); }

static void row_bytes(RowSink *sink, int type, const char *text, size_t len) {
    RowCell *cell = append(sink, type);
    if (!cell) return;
    cell->len = len;
    if (!(cell->text = mem_text(text, len))) sink->failed = 1;
}

void row_text(RowSink *sink, const char *text) {
    if (text) row_bytes(sink, SQLITE_TEXT, text, strlen(text));
    else row_null(sink);
}

void row_blob(RowSink *sink, const void *data, size_t len) {
    row_bytes(sink, SQLITE_BLOB, data, len);
}

void row_key(RowSink *sink, Key key) {
    if (key.text) row_bytes(sink, SQLITE_TEXT, key.text, key.len);
    else row_integer(sink, key.integer);
}

void row_value(RowSink *sink, sqlite3_value *value) {
    switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER: row_integer(sink, sqlite3_value_int64(value)); break;
    case SQLITE_FLOAT: row_real(sink, sqlite3_value_double(value)); break;
    case SQLITE_NULL: row_null(sink); break;
    case SQLITE_BLOB:
        row_bytes(sink, SQLITE_BLOB, sqlite3_value_blob(value), (size_t)sqlite3_value_bytes(value));
        break;
    default: {
        const char *text = value_text(value);
        row_bytes(
            sink, SQLITE_TEXT, text ? text : "", text ? (size_t)sqlite3_value_bytes(value) : 0);
    }
    }
}

static void row_buffer(RowSink *sink, Bytes *bytes) {
    if (bytes->failed) sink->failed = 1;
    else row_bytes(sink, SQLITE_TEXT, (const char *)bytes->data, bytes->len);
    bytes_clear(bytes);
}

void row_option_range(RowSink *sink, const OptSpec *spec) {
    Bytes range = {0};
    options_range(spec, &range);
    row_buffer(sink, &range);
}

void row_option_initial(RowSink *sink, const OptSpec *spec, const void *params) {
    Bytes initial = {0};
    if (spec->kind == OPT_TEXT) {
        row_text(sink, (const char *)params + spec->offset);
        return;
    }
    options_value_json(spec, params, &initial);
    if (spec->kind == OPT_CHOICE && !initial.failed) { /* "tpe" in quotes */
        memmove(initial.data, initial.data + 1, initial.len - 2);
        initial.len -= 2;
    }
    row_buffer(sink, &initial);
}

Status row_as_json(RowSink *sink, sqlite3_stmt *statement, Err *err) {
    Bytes json = {0};
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        const char *name = sqlite3_column_name(statement, i);
        bytes_append(&json, i ? "," : "{", 1);
        bytes_json_string(&json, name ? name : "", name ? strlen(name) : 0);
        bytes_append(&json, ":", 1);
        value_json_whole(&json, sqlite3_column_value(statement, i));
    }
    bytes_append(&json, "}", 2);
    if (!json.failed) row_text(sink, (const char *)json.data);
    Status status = json.failed ? fail_nomem(err, "a row") : ST_OK;
    bytes_clear(&json);
    return status;
}

void row_column(RowSink *sink, sqlite3_stmt *statement, int column) {
    row_value(sink, sqlite3_column_value(statement, column));
}

static void sink_clear(RowSink *sink) {
    for (size_t i = 0; i < sink->n; i++) mem_free(sink->cell[i].text);
    mem_free(sink->cell);
    *sink = (RowSink){0};
}

static int connect(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    const RowTable *description = aux;
    (void)argc, (void)argv, (void)error;
    char *sql = sqlite3_mprintf(
        "CREATE TABLE x(%s%s)", description->columns, description->arguments);
    if (!sql) return SQLITE_NOMEM;
    int code = sqlite3_declare_vtab(db, sql);
    sqlite3_free(sql);
    if (code) return code;
    if (description->flags) sqlite3_vtab_config(db, description->flags);
    Table *table = mem_zeros(1, sizeof *table);
    if (!table) return SQLITE_NOMEM;
    table->db = db;
    table->description = description;
    *out = &table->base;
    return SQLITE_OK;
}

static int disconnect(sqlite3_vtab *vtab) {
    mem_free(vtab);
    return SQLITE_OK;
}

/* idxNum: bit i says that argument i is among argv, in order of i. */
static int best_index(sqlite3_vtab *vtab, sqlite3_index_info *info) {
    const RowTable *description = ((Table *)vtab)->description;
    int at[8];
    for (int i = 0; i < 8; i++) at[i] = -1;
    for (int i = 0; i < info->nConstraint; i++) {
        int argument = info->aConstraint[i].iColumn - description->n_columns;
        if (argument < 0 || info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
        if (!info->aConstraint[i].usable) return SQLITE_CONSTRAINT;
        at[argument] = i;
    }
    int n = 0;
    for (int i = 0; i < description->n_arguments; i++) {
        if (at[i] < 0) continue;
        info->idxNum |= 1 << i;
        info->aConstraintUsage[at[i]].argvIndex = ++n;
        info->aConstraintUsage[at[i]].omit = 1;
    }
    info->estimatedCost = 1000;
    info->estimatedRows = 100;
    return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    Cursor *cursor = mem_zeros(1, sizeof *cursor);
    (void)vtab;
    if (!cursor) return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

static void cursor_clear(Cursor *cursor) {
    const RowTable *description = ((Table *)cursor->base.pVtab)->description;
    if (description->end && cursor->state) description->end(cursor->state);
    cursor->state = NULL;
    cursor->row = cursor->before = 0;
    sink_clear(&cursor->sink);
    for (int i = 0; i < 8; i++) {
        sqlite3_value_free(cursor->argument[i]);
        cursor->argument[i] = NULL;
    }
}

static int close_cursor(sqlite3_vtab_cursor *base) {
    cursor_clear((Cursor *)base);
    mem_free(base);
    return SQLITE_OK;
}

static int vtab_fail(sqlite3_vtab *vtab, const char *name, Status status, const Err *err) {
    sqlite3_free(vtab->zErrMsg);
    vtab->zErrMsg = sqlite3_mprintf("%s: %s", name, err->text);
    return sql_code(status, err);
}

static size_t rows_there(const Cursor *cursor) {
    return cursor->sink.n / (size_t)((const Table *)cursor->base.pVtab)->description->n_columns;
}

/* Of a table whose rows come by and by, the next ones, if the present ones are over. */
static Status refill(Cursor *cursor, Err *err) {
    const RowTable *description = ((Table *)cursor->base.pVtab)->description;
    Status status = ST_OK;
    while (status == ST_OK && description->more && !cursor->ended &&
        cursor->row >= rows_there(cursor)) {
        cursor->before += rows_there(cursor);
        cursor->row = 0;
        sink_clear(&cursor->sink);
        status = description->more(cursor->state, &cursor->sink, &cursor->ended, err);
    }
    return status == ST_OK && cursor->sink.failed ? fail_nomem(err, "the rows") : status;
}

static Status begin_or_fill(
    Cursor *cursor, const RowTable *description, sqlite3 *db, sqlite3_value **given, Err *err) {
    if (!description->begin) return description->fill(db, given, &cursor->sink, err);
    cursor->ended = 0;
    TRY(description->begin(db, given, &cursor->state, err));
    return refill(cursor, err);
}

static Status fill(
    Cursor *cursor, const RowTable *description, sqlite3 *db, sqlite3_value **given, Err *err) {
    TRY(guard_enter(err)); /* a view may read a table-valued function that reads the view */
    Status status = begin_or_fill(cursor, description, db, given, err);
    guard_leave();
    return status;
}

static int filter(
    sqlite3_vtab_cursor *base, int plan, const char *text, int argc, sqlite3_value **argv) {
    Cursor *cursor = (Cursor *)base;
    Table *table = (Table *)base->pVtab;
    const RowTable *description = table->description;
    sqlite3_value *given[8] = {0};
    Err err = {0};
    Status status = ST_OK;
    int n = 0;

    (void)text, (void)argc;
    cursor_clear(cursor);
    for (int i = 0; i < description->n_arguments; i++) {
        if (!(plan >> i & 1)) continue;
        given[i] = argv[n++];
        cursor->argument[i] = sqlite3_value_dup(given[i]);
        if (!cursor->argument[i]) return SQLITE_NOMEM;
    }
    for (int i = 0; i < description->n_required && status == ST_OK; i++)
        if (!given[i])
            status = fail(&err, ST_BADARG, "%d argument%s needed", description->n_required,
                description->n_required > 1 ? "s are" : " is");
    if (status == ST_OK) status = fill(cursor, description, table->db, given, &err);
    if (status == ST_OK && cursor->sink.failed) status = fail_nomem(&err, "the rows");
    return status == ST_OK ? SQLITE_OK : vtab_fail(base->pVtab, description->name, status, &err);
}

static int next(sqlite3_vtab_cursor *base) {
    Cursor *cursor = (Cursor *)base;
    const RowTable *description = ((Table *)base->pVtab)->description;
    Err err = {0};
    cursor->row++;
    if (!description->more) return SQLITE_OK;
    Status status = refill(cursor, &err);
    return status == ST_OK ? SQLITE_OK : vtab_fail(base->pVtab, description->name, status, &err);
}

static int eof(sqlite3_vtab_cursor *base) {
    const Cursor *cursor = (const Cursor *)base;
    return cursor->row >= rows_there(cursor);
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *context, int i) {
    const Cursor *cursor = (const Cursor *)base;
    int n_columns = ((Table *)base->pVtab)->description->n_columns;
    if (i >= n_columns) {
        if (cursor->argument[i - n_columns])
            sqlite3_result_value(context, cursor->argument[i - n_columns]);
        return SQLITE_OK;
    }
    const RowCell *cell = &cursor->sink.cell[cursor->row * (size_t)n_columns + (size_t)i];
    if (cell->type == SQLITE_INTEGER) sqlite3_result_int64(context, cell->integer);
    if (cell->type == SQLITE_FLOAT) sqlite3_result_double(context, cell->real);
    if (cell->type == SQLITE_TEXT)
        sqlite3_result_text64(context, cell->text, cell->len, SQLITE_TRANSIENT, SQLITE_UTF8);
    if (cell->type == SQLITE_BLOB)
        sqlite3_result_blob64(context, cell->text, cell->len, SQLITE_TRANSIENT);
    return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    *out = (sqlite3_int64)(((Cursor *)base)->before + ((Cursor *)base)->row) + 1;
    return SQLITE_OK;
}

int row_table_register(sqlite3 *db, const RowTable *table) {
    static const sqlite3_module module = {
        .iVersion = 0,
        .xConnect = connect,
        .xBestIndex = best_index,
        .xDisconnect = disconnect,
        .xOpen = open_cursor,
        .xClose = close_cursor,
        .xFilter = filter,
        .xNext = next,
        .xEof = eof,
        .xColumn = column,
        .xRowid = rowid,
    };
    return sqlite3_create_module_v2(db, table->name, &module, (void *)(uintptr_t)table, NULL);
}

int row_tables_register(sqlite3 *db, const RowTable *table, size_t n) {
    int code = SQLITE_OK;
    for (size_t i = 0; i < n && !code; i++) code = row_table_register(db, &table[i]);
    return code;
}
