/* rec_shown(model) and rec_outcomes(model): the log as rows. */
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../versions/version_find.h"
#include "log_scope.h"
#include "shown_log.h"

/* Rows come by and by: a log may be long. */
typedef struct LogReading {
    Versioned versioned;
    sqlite3_stmt *rows; /* NULL: nothing was ever logged */
} LogReading;

static void reading_end(void *state) {
    LogReading *reading = state;
    sqlite3_finalize(reading->rows);
    version_found_clear(&reading->versioned);
    sqlite3_free(reading);
}

static Status reading_begin(
    sqlite3 *db, sqlite3_value *model, const char *sql, void **state, Err *err) {
    LogReading *reading = sqlite3_malloc(sizeof *reading);
    int found = 0;
    *state = reading;
    if (!reading) return fail_nomem(err, "the log");
    *reading = (LogReading){0};
    Versioned *versioned = &reading->versioned;
    TRY(version_find(versioned, db, value_text(model), err));
    TRY(log_is_there(versioned, &found, err));
    return found ? sql_prepare(db, &reading->rows, err, sql, versioned->schema, versioned->name,
                       versioned->schema, versioned->name)
                 : ST_OK;
}

static Status shown_begin(sqlite3 *db, sqlite3_value **argv, void **state, Err *err) {
    return reading_begin(db, argv[0],
        "SELECT l.list, l.user, l.at, l.scenario, l.experiment, l.arm, coalesce(s.version, "
        "l.version), s.item, s.rank, s.team, s.propensity FROM \"%w\".\"%w_lists\" l LEFT JOIN "
        "\"%w\".\"%w_shown\" s ON s.list=l.id ORDER BY l.id, s.rank",
        state, err);
}

static Status outcomes_begin(sqlite3 *db, sqlite3_value **argv, void **state, Err *err) {
    return reading_begin(db, argv[0],
        "SELECT o.at, l.list, o.user, o.item, o.kind, o.value FROM \"%w\".\"%w_outcomes\" o LEFT "
        "JOIN \"%w\".\"%w_lists\" l ON l.id=o.list ORDER BY o.id",
        state, err);
}

static Status reading_more(void *state, RowSink *sink, int *ended, Err *err) {
    enum { AT_ONCE = 256 };
    LogReading *reading = state;
    Status status = ST_OK;
    int n = 0;
    *ended = !reading->rows;
    while (!*ended && n++ < AT_ONCE) {
        *ended = !sql_next(reading->versioned.db, reading->rows, &status, err);
        if (*ended) break;
        for (int i = 0; i < sqlite3_column_count(reading->rows); i++)
            row_column(sink, reading->rows, i);
    }
    return status;
}

int register_log(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_shown",
            .columns = "list, user, at REAL, scenario TEXT, experiment TEXT, arm TEXT, version "
                       "INTEGER, item, rank INTEGER, team TEXT, propensity REAL",
            .n_columns = 11,
            .arguments = ", model HIDDEN",
            .n_arguments = 1,
            .n_required = 1,
            .begin = shown_begin,
            .more = reading_more,
            .end = reading_end},
        {.name = "rec_outcomes",
            .columns = "at REAL, list, user, item, kind TEXT, value REAL",
            .n_columns = 6,
            .arguments = ", model HIDDEN",
            .n_arguments = 1,
            .n_required = 1,
            .begin = outcomes_begin,
            .more = reading_more,
            .end = reading_end},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
