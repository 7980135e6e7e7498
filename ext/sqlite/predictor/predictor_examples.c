#include "predictor_examples.h"

#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../host/guard.h"
#include "../host/schema.h"

void examples_read_clear(ExamplesRead *examples) { columns_clear(&examples->columns); }

int source_column(sqlite3_stmt *rows, const char *name) {
    int n = sqlite3_column_count(rows);
    for (int i = 0; i < n && name; i++)
        if (sqlite3_stricmp(sqlite3_column_name(rows, i), name) == 0) return i;
    return -1;
}

Cell source_cell(sqlite3_stmt *rows, int column) {
    Cell cell = {0};
    switch (sqlite3_column_type(rows, column)) {
    case SQLITE_INTEGER: return cell_of_integer(sqlite3_column_int64(rows, column));
    case SQLITE_FLOAT: return cell_of_number(sqlite3_column_double(rows, column));
    case SQLITE_TEXT:
        cell.bytes = (const char *)sqlite3_column_text(rows, column);
        cell.type = cell.bytes ? CELL_TEXT : CELL_NULL;
        break;
    case SQLITE_BLOB:
        cell.bytes = sqlite3_column_blob(rows, column);
        cell.type = CELL_BLOB;
        break;
    default: return cell;
    }
    cell.len = (size_t)sqlite3_column_bytes(rows, column);
    return cell;
}

/* "schema.table": a schema of the connection, or the definition's and a name with a dot. */
static Status find_source(const PredictorDefinition *definition, const char *source,
    char schema[128], const char **table, Err *err) {
    const char *dot = strchr(source, '.');
    sqlite3_int64 is_schema = 0;
    sqlite3_snprintf(128, schema, "%s", definition->id.schema);
    *table = source;
    if (!dot || dot - source >= 128) return ST_OK;
    TRY(sql_integer(definition->id.db, 0, &is_schema, err,
        "SELECT 1 FROM pragma_database_list WHERE lower(name)=lower(%.*Q)", (int)(dot - source),
        source));
    if (!is_schema) return ST_OK;
    sqlite3_snprintf(128, schema, "%.*s", (int)(dot - source), source);
    *table = dot + 1;
    return ST_OK;
}

Status source_open(const PredictorDefinition *definition, const char *source, int *has_id,
    sqlite3_stmt **out, Err *err) {
    char schema[128];
    const char *table = definition->examples;
    *out = NULL;
    if (source) TRY(find_source(definition, source, schema, &table, err));
    else sqlite3_snprintf(sizeof schema, schema, "%s", definition->id.schema);
    TRY(guard_source(definition->id.db, schema, table, 0, err));
    if (*has_id)
        TRY(schema_has_column(definition->id.db, schema, table, definition->row_id, has_id, err));
    if (*has_id)
        return sql_prepare(definition->id.db, out, err,
            "SELECT * FROM \"%w\".\"%w\" WHERE \"%w\"=?1", schema, table, definition->row_id);
    return sql_prepare(definition->id.db, out, err, "SELECT * FROM \"%w\".\"%w\"", schema, table);
}

/* ---- all examples ---- */

static Status name_columns(
    const PredictorDefinition *definition, sqlite3_stmt *rows, ExamplesRead *out, Err *err) {
    int n = sqlite3_column_count(rows);
    TRY(columns_init(&out->columns, n, err));
    for (int i = 0; i < n; i++) {
        const char *declared = sqlite3_column_decltype(rows, i);
        TRY(columns_name(
            &out->columns, i, sqlite3_column_name(rows, i), declared ? declared : "", err));
    }
    out->roles = (ExampleRoles){source_column(rows, definition->label),
        source_column(rows, definition->row_id), source_column(rows, definition->weight),
        source_column(rows, definition->split), source_column(rows, definition->group),
        source_column(rows, definition->time)};
    const struct {
        const char *name;
        int32_t at;
    } wanted[] = {{definition->label, out->roles.label}, {definition->row_id, out->roles.id},
        {definition->weight, out->roles.weight}, {definition->split, out->roles.split},
        {definition->group, out->roles.group}, {definition->time, out->roles.time}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (wanted[i].name && wanted[i].at < 0)
            return fail(
                err, ST_BADARG, "%s has no column '%.60s'", definition->examples, wanted[i].name);
    roles_ask(&out->roles, &out->columns);
    return ST_OK;
}

/* Is the row's time before until? */
static Status is_before(
    const ExamplesRead *examples, const Cell *cells, double until, int *out, Err *err) {
    const Cell *cell = &cells[examples->roles.time];
    double time;
    TRY(example_number("time", cell, &time, err));
    *out = time < until;
    return ST_OK;
}

static Status read_row(sqlite3_stmt *row, ExamplesRead *out, Cell *cells, double until, Err *err) {
    int wanted = 1;
    for (int32_t i = 0; i < out->columns.n_columns; i++) cells[i] = source_cell(row, i);
    if (isfinite(until)) TRY(is_before(out, cells, until, &wanted, err));
    return wanted ? columns_add(&out->columns, cells, err) : ST_OK;
}

static Status read_rows(const PredictorDefinition *definition, sqlite3_stmt *rows, double until,
    int64_t max_rows, Task *task, ExamplesRead *out, Err *err) {
    Cell *cells = mem_array((size_t)out->columns.n_columns, sizeof *cells);
    int64_t n = 0;
    Status status = cells ? ST_OK : fail_nomem(err, "the examples");
    while (sql_next(definition->id.db, rows, &status, err)) {
        if (max_rows && ++n > max_rows)
            status = fail(err, ST_BADARG, "%s has more than max_rows=%lld rows",
                definition->examples, (long long)max_rows);
        else status = read_row(rows, out, cells, until, err);
        if (status == ST_OK && out->columns.n_rows % 4096 == 0) {
            atomic_store(&task->done, out->columns.n_rows);
            if (task_poll(task)) status = fail(err, ST_CANCELLED, "interrupted");
        }
    }
    mem_free(cells);
    return status;
}

Status examples_read(const PredictorDefinition *definition, double until, int64_t max_rows,
    Task *task, ExamplesRead *out, Err *err) {
    sqlite3_stmt *rows;
    *out = (ExamplesRead){0};
    if (isfinite(until) && !definition->time)
        return fail(err, ST_BADARG, "until needs the predictor's time= column");
    int has_id = 0;
    TRY(source_open(definition, NULL, &has_id, &rows, err));
    task_phase(task, "reading examples", "rows", 0, 0);
    Status status = name_columns(definition, rows, out, err);
    if (status == ST_OK) status = read_rows(definition, rows, until, max_rows, task, out, err);
    sqlite3_finalize(rows);
    return status;
}
