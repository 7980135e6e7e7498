#include "stats_flush.h"

#include <string.h>

#include "../../base/memory.h"
#include "../host/counting.h"
#include "../host/values.h"
#include "stats_read.h"

static Status insert(sqlite3 *db, sqlite3_stmt *statement, const CounterSeries *series, Err *err) {
    Bytes buckets = {0};
    const uint64_t number[] = {series->requests, series->errors, series->fall_backs, series->rows,
        series->filled, series->candidates};
    int has_row;
    stats_buckets_json(series, &buckets);
    if (buckets.failed) return fail_nomem(err, "the counters");
    sqlite3_bind_int64(statement, 3, series->version);
    sqlite3_bind_text(statement, 4, series->arm, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, operation_names[series->operation], -1, SQLITE_STATIC);
    for (int i = 0; i < 6; i++) sqlite3_bind_int64(statement, 6 + i, (sqlite3_int64)number[i]);
    sqlite3_bind_double(statement, 12, (double)series->nanoseconds * 1e-9);
    sqlite3_bind_text(statement, 13, (const char *)buckets.data, -1, SQLITE_STATIC);
    Status status = sql_step(db, statement, &has_row, err);
    sqlite3_reset(statement);
    bytes_clear(&buckets);
    return status;
}

static int is_of(const CounterSeries *series, const Versioned *versioned) {
    char buffer[ROUTE_NAME], database[ROUTE_NAME], table[ROUTE_NAME];
    counters_name(database, counting_database(versioned->db, versioned->schema, buffer));
    counters_name(table, versioned->name);
    return strcmp(series->database, database) == 0 && strcmp(series->table, table) == 0;
}

static Status insert_all(
    const Versioned *versioned, const CounterSeries *series, size_t n, Err *err) {
    sqlite3_stmt *statement;
    TRY(sql_prepare(versioned->db, &statement, err,
        "INSERT INTO \"%w\".\"%w_stats\"(at, process, version, arm, operation, requests, errors, "
        "fall_backs, rows, filled, candidates, seconds, buckets) VALUES(?1, ?2, ?3, ?4, ?5, ?6, "
        "?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        versioned->schema, versioned->name));
    sqlite3_bind_double(statement, 1, live_clock());
    sqlite3_bind_text(statement, 2, counters_process(), -1, SQLITE_STATIC);
    Status status = ST_OK;
    for (size_t i = 0; i < n && status == ST_OK; i++)
        if (is_of(&series[i], versioned))
            status = insert(versioned->db, statement, &series[i], err);
    sqlite3_finalize(statement);
    return status;
}

Status command_flush_stats(const CommandCall *call, Err *err) {
    const Versioned *versioned = ((const VersionedTable *)call->table)->id;
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    CounterSeries *series;
    size_t n;
    sqlite3_int64 last;
    TRY(shadow_ensure(&version_shadow, &owner, "stats", err));
    TRY(sql_integer(versioned->db, 0, &last, err, "SELECT max(id) FROM \"%w\".\"%w_stats\"",
        versioned->schema, versioned->name));
    TRY(counters_read(&series, &n, err));
    Status status = insert_all(versioned, series, n, err);
    mem_free(series);
    /* inside BEGIN an INSERT ... VALUES takes nothing back by itself */
    if (status != ST_OK && status != ST_CANCELLED)
        sql_execute(versioned->db, NULL, "DELETE FROM \"%w\".\"%w_stats\" WHERE id>%lld",
            versioned->schema, versioned->name, last);
    return status;
}
