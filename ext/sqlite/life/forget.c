#include "forget.h"

#include <math.h>
#include <string.h>

#include "../../base/date.h"
#include "../../base/json.h"
#include "../host/values.h"
#include "log_scope.h"

static Status delete_user(
    const Versioned *versioned, const char *sql, Key user, sqlite3_int64 *rows, Err *err) {
    sqlite3_stmt *statement;
    const char *schema = versioned->schema, *name = versioned->name;
    TRY(sql_prepare(versioned->db, &statement, err, sql, schema, name, schema, name));
    value_bind_key(statement, 1, user);
    TRY(sql_finish(versioned->db, statement, err));
    *rows += sqlite3_changes64(versioned->db);
    return ST_OK;
}

Status log_forget(const Versioned *versioned, Key user, sqlite3_int64 *rows, Err *err) {
    int found;
    TRY(log_is_there(versioned, &found, err));
    if (!found) return ST_OK;
    TRY(delete_user(versioned,
        "DELETE FROM \"%w\".\"%w_outcomes\" WHERE user=?1 OR list IN (SELECT id FROM "
        "\"%w\".\"%w_lists\" WHERE user=?1)",
        user, rows, err));
    TRY(delete_user(versioned,
        "DELETE FROM \"%w\".\"%w_shown\" WHERE list IN (SELECT id FROM \"%w\".\"%w_lists\" WHERE "
        "user=?1)",
        user, rows, err));
    return delete_user(versioned, "DELETE FROM \"%w\".\"%w_lists\" WHERE user=?1", user, rows, err);
}

static Status count_user(
    const Versioned *versioned, const char *suffix, Key user, sqlite3_int64 *out, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    TRY(sql_prepare(versioned->db, &row, err, "SELECT count(*) FROM \"%w\".\"%w_%s\" WHERE user=?1",
        versioned->schema, versioned->name, suffix));
    value_bind_key(row, 1, user);
    Status status = sql_step(versioned->db, row, &has_row, err);
    if (status == ST_OK) *out = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return status;
}

Status log_count(const Versioned *versioned, Key user, LogCounts *out, Err *err) {
    int found;
    *out = (LogCounts){0};
    TRY(log_is_there(versioned, &found, err));
    if (!found) return ST_OK;
    TRY(count_user(versioned, "lists", user, &out->lists, err));
    return count_user(versioned, "outcomes", user, &out->outcomes, err);
}

static Status export_rows(const Versioned *versioned, const char *source, const char *sql, Key user,
    RowSink *sink, Err *err) {
    sqlite3_stmt *rows;
    const char *schema = versioned->schema, *name = versioned->name;
    TRY(sql_prepare(versioned->db, &rows, err, sql, schema, name, schema, name));
    value_bind_key(rows, 1, user);
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err)) {
        row_text(sink, source);
        status = row_as_json(sink, rows, err);
    }
    sqlite3_finalize(rows);
    return status;
}

Status log_export(const Versioned *versioned, Key user, RowSink *sink, Err *err) {
    int found;
    TRY(log_is_there(versioned, &found, err));
    if (!found) return ST_OK;
    TRY(export_rows(versioned, "shown",
        "SELECT l.list, l.at, l.scenario, l.experiment, l.arm, l.version, s.item, s.rank FROM "
        "\"%w\".\"%w_lists\" l LEFT JOIN \"%w\".\"%w_shown\" s ON s.list=l.id WHERE l.user=?1 "
        "ORDER BY l.id, s.rank",
        user, sink, err));
    return export_rows(versioned, "outcome",
        "SELECT o.at, l.list, o.item, o.kind, o.value FROM \"%w\".\"%w_outcomes\" o LEFT JOIN "
        "\"%w\".\"%w_lists\" l ON l.id=o.list WHERE o.user=?1 ORDER BY o.id",
        user, sink, err);
}

/* ---- retain ---- */

typedef struct RetainOptions {
    double days, before;
} RetainOptions;

static const OptSpec retain_options[] = {
    {"days", OPT_REAL, offsetof(RetainOptions, days), 0, 36500, NAN, NULL,
        "what is older than so many days goes"},
    {"before", OPT_TIME, offsetof(RetainOptions, before), DATE_FIRST, DATE_LAST, NAN, NULL,
        "what is from before this time goes"},
    {0},
};

static Status delete_before(const Versioned *versioned, const char *suffix, const char *column,
    double before, sqlite3_int64 *rows, Err *err) {
    sqlite3_stmt *statement;
    TRY(sql_prepare(versioned->db, &statement, err, "DELETE FROM \"%w\".\"%w_%s\" WHERE %s",
        versioned->schema, versioned->name, suffix, column));
    sqlite3_bind_double(statement, 1, before);
    TRY(sql_finish(versioned->db, statement, err));
    *rows += sqlite3_changes64(versioned->db);
    return ST_OK;
}

/* Items of a list go with it; outcomes of it that came later stay with their own time. */
static Status retain_log(const Versioned *versioned, double before, sqlite3_int64 *rows, Err *err) {
    char *old = sqlite3_mprintf("list IN (SELECT id FROM \"%w\".\"%w_lists\" WHERE at<?1)",
        versioned->schema, versioned->name);
    if (!old) return fail_nomem(err, "SQL");
    Status status = delete_before(versioned, "shown", old, before, rows, err);
    sqlite3_free(old);
    if (status == ST_OK) status = delete_before(versioned, "lists", "at<?1", before, rows, err);
    return status == ST_OK ? delete_before(versioned, "outcomes", "at<?1", before, rows, err)
                           : status;
}

Status command_retain(const CommandCall *call, Err *err) {
    VersionedTable *table = call->table;
    const Versioned *versioned = table->id;
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    RetainOptions options;
    OptTarget target = {retain_options, &options};
    sqlite3_int64 rows = 0;
    int has_log, has_stats;
    TRY(value_options(&target, 1, call->arg, err));
    if (isnan(options.days) == isnan(options.before))
        return fail(err, ST_BADARG, "retain: give one of days and before");
    double now = isfinite(table->note.at) ? table->note.at : live_clock();
    double before = isnan(options.days) ? options.before : now - options.days * 86400;
    TRY(log_is_there(versioned, &has_log, err));
    TRY(shadow_has(&version_shadow, &owner, "stats", &has_stats, err));
    if (has_log) TRY(retain_log(versioned, before, &rows, err));
    if (has_stats) TRY(delete_before(versioned, "stats", "at<?1", before, &rows, err));
    bytes_format(&table->detail, "{\"before\":%.3f,\"rows\":%lld}", before, (long long)rows);
    return ST_OK;
}
