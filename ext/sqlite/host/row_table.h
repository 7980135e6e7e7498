/* Table-valued functions whose rows are made at once: rec_info, rec_versions, rec_evaluate, ...
 *
 * A RowTable describes the columns and the arguments (hidden columns, bound in order by the
 * function form); fill appends the rows. The module does the rest. */
#ifndef REC_ROW_TABLE_H
#define REC_ROW_TABLE_H

#include "../../base/options.h"
#include "sql.h"

typedef struct RowSink RowSink;

typedef struct RowTable {
    const char *name;
    const char *columns; /* "key TEXT, value TEXT": the visible ones */
    int n_columns;
    const char *arguments; /* ", x HIDDEN, y HIDDEN", or "" */
    int n_arguments;
    int n_required; /* the first n must be given */
    int flags;      /* SQLITE_VTAB_INNOCUOUS or SQLITE_VTAB_DIRECTONLY */
    /* All rows at once. argv has n_arguments values, NULL where one is absent. */
    Status (*fill)(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err);
    /* Or, where there may be too many, by and by: begin makes the state, more appends some rows
     * (*ended: no further ones), end frees it, also after an error. */
    Status (*begin)(sqlite3 *db, sqlite3_value **argv, void **state, Err *err);
    Status (*more)(void *state, RowSink *sink, int *ended, Err *err);
    void (*end)(void *state);
} RowTable;

int row_table_register(sqlite3 *db, const RowTable *table);
int row_tables_register(sqlite3 *db, const RowTable *table, size_t n);

/* Append cells from left to right; a row is complete after n_columns of them. Failures are sticky
 * and reported when fill returns. */
void row_integer(RowSink *sink, sqlite3_int64 value);
void row_real(RowSink *sink, double value);
void row_number(RowSink *sink, double value);   /* NaN: SQL NULL */
void row_text(RowSink *sink, const char *text); /* NULL: SQL NULL */
void row_blob(RowSink *sink, const void *data, size_t len);
void row_key(RowSink *sink, Key key);
void row_null(RowSink *sink);
void row_value(RowSink *sink, sqlite3_value *value);
/* What an option may be, and what it is where params (as options_default leaves them) have it:
 * texts, without the quotes of JSON. */
void row_option_range(RowSink *sink, const OptSpec *spec);
void row_option_initial(RowSink *sink, const OptSpec *spec, const void *params);
/* A row of a statement as one cell: {"column": value, ...}. */
Status row_as_json(RowSink *sink, sqlite3_stmt *statement, Err *err);
/* The value of a column of a statement. */
void row_column(RowSink *sink, sqlite3_stmt *statement, int column);

#endif
