/* rec_stats: what this process has counted; rec_stats_history(model): what flush-stats has kept;
 * rec_prometheus(): the former, and what the connection's databases say of models and indexes, as
 * Prometheus reads it. */
#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../base/text.h"
#include "../../serve/prometheus.h"
#include "../host/cache.h"
#include "../host/counting.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "../versions/version_find.h"
#include "stats_read.h"

/* ---- rec_stats ---- */

static void version_cell(RowSink *sink, int64_t version) {
    if (version > 0) row_integer(sink, version);
    else row_null(sink);
}

static Status stats_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    CounterSeries *series;
    size_t n;
    (void)db, (void)argv;
    TRY(counters_read(&series, &n, err));
    for (size_t i = 0; i < n; i++) {
        row_text(sink, series[i].database);
        row_text(sink, series[i].table);
        version_cell(sink, series[i].version);
        row_text(sink, *series[i].arm ? series[i].arm : NULL);
        row_text(sink, operation_names[series[i].operation]);
        stats_row(sink, &series[i]);
    }
    mem_free(series);
    return ST_OK;
}

/* ---- rec_stats_history ---- */

/* A row of m_stats less the one before it of the same process, version, arm and operation. */
static Status history_row(sqlite3_stmt *row, CounterSeries *last, RowSink *sink, Err *err) {
    CounterSeries now = {.requests = (uint64_t)sqlite3_column_int64(row, 5),
        .errors = (uint64_t)sqlite3_column_int64(row, 6),
        .fall_backs = (uint64_t)sqlite3_column_int64(row, 7),
        .rows = (uint64_t)sqlite3_column_int64(row, 8),
        .filled = (uint64_t)sqlite3_column_int64(row, 9),
        .candidates = (uint64_t)sqlite3_column_int64(row, 10),
        .nanoseconds = (uint64_t)llround(fmin(sqlite3_column_double(row, 11), 1e9) * 1e9)};
    if (!sqlite3_column_int(row, 13)) *last = (CounterSeries){0};
    TRY(stats_buckets_parse((const char *)sqlite3_column_text(row, 12), &now, err));
    CounterSeries since = {.requests = now.requests - last->requests,
        .errors = now.errors - last->errors,
        .fall_backs = now.fall_backs - last->fall_backs,
        .rows = now.rows - last->rows,
        .filled = now.filled - last->filled,
        .candidates = now.candidates - last->candidates,
        .nanoseconds = now.nanoseconds - last->nanoseconds};
    for (int i = 0; i <= COUNTER_BUCKETS; i++) since.bucket[i] = now.bucket[i] - last->bucket[i];
    *last = now;
    row_column(sink, row, 0);
    row_column(sink, row, 1);
    version_cell(sink, sqlite3_column_int64(row, 2));
    row_column(sink, row, 3);
    row_column(sink, row, 4);
    stats_row(sink, &since);
    return ST_OK;
}

static Status history_rows(const Versioned *versioned, RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    CounterSeries last = {0};
    TRY(sql_prepare(versioned->db, &rows, err,
        "SELECT at, process, version, nullif(arm, ''), operation, requests, errors, fall_backs, "
        "rows, filled, candidates, seconds, buckets, row_number() OVER (PARTITION BY process, "
        "version, arm, operation ORDER BY id)>1 FROM \"%w\".\"%w_stats\" ORDER BY process, "
        "version, arm, operation, id",
        versioned->schema, versioned->name));
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err))
        status = history_row(rows, &last, sink, err);
    sqlite3_finalize(rows);
    return status;
}

static Status history_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Versioned versioned;
    int found;
    TRY(version_find(&versioned, db, value_text(argv[0]), err));
    ShadowOwner owner = {db, versioned.schema, versioned.name, &versioned};
    Status status = shadow_has(&version_shadow, &owner, "stats", &found, err);
    if (status == ST_OK && found) status = history_rows(&versioned, sink, err);
    version_found_clear(&versioned);
    return status;
}

/* ---- rec_prometheus ---- */

/* A gauge of every row of SQL: schema, labels named as its columns, and last the value. */
typedef struct Gauge {
    const char *name, *help, *sql;
} Gauge;

static const Gauge gauges[] = {
    {"recommend_active_version", "Number of the version that answers.",
        "SELECT schema, model AS \"table\", version FROM rec_versions WHERE active"},
    {"recommend_version_bytes", "Size of the version that answers.",
        "SELECT schema, model AS \"table\", bytes FROM rec_versions WHERE active"},
    {"recommend_training_duration_seconds", "How long its training took.",
        "SELECT schema, model AS \"table\", trained_seconds FROM rec_versions WHERE active"},
    {"recommend_deployed_timestamp_seconds", "When the version that answers was made active.",
        "SELECT schema, model AS \"table\", at FROM rec_deployments d WHERE at IS NOT NULL AND "
        "deployment=(SELECT max(deployment) FROM rec_deployments l WHERE l.schema=d.schema AND "
        "l.model=d.model)"},
    {"recommend_trained_timestamp_seconds", "When the version that answers was made.",
        "SELECT schema, model AS \"table\", at FROM rec_versions WHERE active AND at IS NOT NULL"},
    {"recommend_version_tag", "Numbers among the tags of the version that answers.",
        "SELECT schema, model AS \"table\", key AS tag, value FROM rec_versions, json_each(tags) "
        "WHERE active AND json_each.type IN ('integer', 'real')"},
    {"recommend_index_rows", "Rows of an index.",
        "SELECT schema, name AS \"table\", rows FROM rec_indexes WHERE rows IS NOT NULL"},
    {"recommend_index_bytes", "Memory of an index that is loaded.",
        "SELECT schema, name AS \"table\", loaded FROM rec_indexes WHERE rows IS NOT NULL"},
};

/* Two files of one name, say: Prometheus takes no sample twice. Is what begins there one? */
static int has_before(Bytes *out, size_t begin) {
    bytes_append(out, "", 1);
    out->len--;
    if (out->failed) return 0;
    char *text = (char *)out->data, *value = strrchr(text + begin, '}'), kept = value[1];
    value[1] = 0;
    int found = begin > 0 && strstr(text, text + begin) != text + begin;
    value[1] = kept;
    return found;
}

static void gauge_row(sqlite3 *db, const Gauge *gauge, sqlite3_stmt *row, Bytes *out) {
    PrometheusLabel label[4];
    char database[ROUTE_NAME];
    size_t begin = out->len;
    int n = sqlite3_column_count(row) - 1;
    label[0] = (PrometheusLabel){
        "database", counting_database(db, (const char *)sqlite3_column_text(row, 0), database)};
    for (int i = 1; i < n; i++)
        label[i] = (PrometheusLabel){
            sqlite3_column_name(row, i), (const char *)sqlite3_column_text(row, i)};
    prometheus_sample(out, gauge->name, label, n, sqlite3_column_double(row, n));
    if (has_before(out, begin)) out->len = begin;
}

static Status append_gauge(sqlite3 *db, const Gauge *gauge, Bytes *out, Err *err) {
    sqlite3_stmt *rows;
    TRY(sql_prepare(db, &rows, err, "%s", gauge->sql));
    Status status = ST_OK;
    prometheus_family(out, gauge->name, "gauge", gauge->help);
    while (sql_next(db, rows, &status, err)) gauge_row(db, gauge, rows, out);
    sqlite3_finalize(rows);
    return status;
}

static void append_cache(Bytes *out) {
    CacheUsage usage = cache_usage();
    prometheus_family(out, "recommend_cache_hits_total", "counter",
        "Versions and indexes that were asked for and loaded already.");
    prometheus_sample(out, "recommend_cache_hits_total", NULL, 0, (double)usage.hits);
    prometheus_family(out, "recommend_cache_misses_total", "counter",
        "Versions and indexes that were read from a database.");
    prometheus_sample(out, "recommend_cache_misses_total", NULL, 0, (double)usage.misses);
    prometheus_family(out, "recommend_cache_bytes", "gauge", "Memory of all that is loaded.");
    prometheus_sample(out, "recommend_cache_bytes", NULL, 0, (double)usage.bytes);
}

static Status write_all(sqlite3 *db, Bytes *out, Err *err) {
    CounterSeries *series;
    size_t n;
    TRY(counters_read(&series, &n, err));
    prometheus_counters(out, series, n);
    mem_free(series);
    append_cache(out);
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
        TRY(append_gauge(db, &gauges[i], out, err));
    return out->failed ? fail_nomem(err, "the text") : ST_OK;
}

static void prometheus_function(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Bytes out = {0};
    Err err = {0};
    (void)argc, (void)argv;
    Status status = write_all(sqlite3_context_db_handle(context), &out, &err);
    if (status != ST_OK) sql_function_error(context, "rec_prometheus", status, &err);
    else
        sqlite3_result_text64(
            context, (const char *)out.data, out.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    bytes_clear(&out);
}

int register_stats(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_stats",
            .columns = "database TEXT, \"table\" TEXT, version INTEGER, arm TEXT, operation "
                       "TEXT, " STATS_COLUMNS,
            .n_columns = 5 + N_STATS_COLUMNS,
            .arguments = "",
            .fill = stats_fill},
        {.name = "rec_stats_history",
            .columns =
                "at REAL, process TEXT, version INTEGER, arm TEXT, operation TEXT, " STATS_COLUMNS,
            .n_columns = 5 + N_STATS_COLUMNS,
            .arguments = ", model HIDDEN",
            .n_arguments = 1,
            .n_required = 1,
            .fill = history_fill},
    };
    int code = row_tables_register(db, tables, sizeof tables / sizeof *tables);
    if (code) return code;
    return sqlite3_create_function_v2(
        db, "rec_prometheus", 0, SQLITE_UTF8, NULL, prometheus_function, NULL, NULL, NULL);
}
