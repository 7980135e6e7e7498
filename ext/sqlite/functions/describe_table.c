/* rec_describe(table): a row a column: what is in it, before a model is made of it. */
#include <math.h>
#include <string.h>

#include "../host/guard.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/schema.h"
#include "../host/values.h"

/* Columns of the answer, after the column's name and declared type: one statement a column, which
 * sorts its values once for the quantiles and once for the values. */
static const char SQL[] =
    "WITH x AS MATERIALIZED (SELECT e.\"%w\" AS v FROM \"%w\".\"%w\" AS e), n AS (SELECT v, "
    "row_number() OVER (ORDER BY v) AS place, count(*) OVER () AS n FROM x WHERE typeof(v) IN "
    "('integer', 'real')), c AS (SELECT v, count(*) AS times FROM x WHERE v IS NOT NULL GROUP BY "
    "v) SELECT (SELECT count(*) FROM x), (SELECT count(*) FROM x WHERE v IS NULL), (SELECT "
    "count(*) FROM c), (SELECT json_group_object(type, times) FROM (SELECT typeof(v) AS type, "
    "count(*) AS times FROM x GROUP BY 1 ORDER BY 1)), (SELECT min(v) FROM x), (SELECT max(v) FROM "
    "x), (SELECT avg(v) FROM n), (SELECT max(0, avg((v - m.mean) * (v - m.mean)) * count(*) / "
    "nullif(count(*) - 1, 0)) FROM n, (SELECT avg(v) AS mean FROM n) m), (SELECT v FROM n WHERE "
    "place=(n + 3) / 4), (SELECT v FROM n WHERE place=(n + 1) / 2), (SELECT v FROM n WHERE "
    "place=(3 * n + 3) / 4), (SELECT count(*) FROM x WHERE typeof(v) IN ('integer', 'real') AND "
    "v=0), (SELECT v FROM c ORDER BY times DESC, v LIMIT 1), (SELECT max(times) FROM c)";

enum { N_ANSWERS = 14, VARIANCE = 7 };

static Status describe_column(sqlite3 *db, const char *schema, const char *table,
    sqlite3_stmt *column, RowSink *sink, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    TRY(sql_prepare(db, &row, err, SQL, sqlite3_column_text(column, 0), schema, table));
    Status status = sql_step(db, row, &has_row, err);
    if (status == ST_OK && has_row) {
        row_column(sink, column, 0);
        row_column(sink, column, 1);
        for (int i = 0; i < N_ANSWERS; i++) {
            int type = sqlite3_column_type(row, i);
            if (type == SQLITE_BLOB) row_text(sink, "(BLOB)");
            /* an SQLite without mathematical functions has no sqrt() */
            else if (i == VARIANCE && type != SQLITE_NULL)
                row_real(sink, sqrt(sqlite3_column_double(row, i)));
            else row_column(sink, row, i);
        }
    }
    sqlite3_finalize(row);
    return status;
}

static Status describe(
    sqlite3 *db, const char *schema, const char *table, RowSink *sink, Err *err) {
    sqlite3_stmt *columns;
    TRY(guard_source(db, schema, table, 0, err));
    TRY(sql_prepare(
        db, &columns, err, "SELECT name, type FROM pragma_table_info(%Q, %Q)", table, schema));
    Status status = ST_OK;
    while (sql_next(db, columns, &status, err))
        status = describe_column(db, schema, table, columns, sink, err);
    sqlite3_finalize(columns);
    return status;
}

static Status describe_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    char *schema, *table;
    TRY(schema_find_table(db, "table", value_text(argv[0]), "", &schema, &table, err));
    Status status = describe(db, schema, table, sink, err);
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}

int register_describe(sqlite3 *db) {
    static const RowTable table = {.name = "rec_describe",
        .columns = "name TEXT, type TEXT, rows INTEGER, nulls INTEGER, different INTEGER, "
                   "kinds TEXT, least, most, mean REAL, deviation REAL, q1, median, q3, zeros "
                   "INTEGER, common, times INTEGER",
        .n_columns = 2 + N_ANSWERS,
        .arguments = ", \"table\" HIDDEN",
        .n_arguments = 1,
        .n_required = 1,
        .flags = SQLITE_VTAB_DIRECTONLY,
        .fill = describe_fill};
    return row_table_register(db, &table);
}
