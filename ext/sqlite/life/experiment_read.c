#include "experiment_read.h"

#include <math.h>
#include <string.h>

#include "../../base/json.h"
#include "log_scope.h"

/* ---- its terms ---- */

/* The experiment in a row of the audit, {"experiment": detail}. */
static Status parse_detail(const char *detail, Experiment *out, Err *err) {
    Live live;
    char *text = detail ? sqlite3_mprintf("{\"experiment\":%s}", detail) : NULL;
    if (!text) return fail_nomem(err, "the experiment");
    Status status = live_parse(text, &live, err);
    sqlite3_free(text);
    if (status == ST_OK) *out = live.experiment;
    return status;
}

/* The last row that says what it is, and how many say so of the same run. */
static Status read_terms(const Versioned *versioned, const char *name, ExperimentRun *out,
    sqlite3_int64 *row_id, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT id, detail, (SELECT count(DISTINCT json_extract(o.detail, '$.arms')) FROM "
        "\"%w\".\"%w_audit\" o WHERE json_valid(o.detail) AND json_extract(o.detail, '$.name')=?1 "
        "AND "
        "json_extract(o.detail, '$.since')=json_extract(a.detail, '$.since')) FROM "
        "\"%w\".\"%w_audit\" a WHERE command IN ('experiment', 'canary', 'shares', 'bandit') AND "
        "json_valid(detail) AND json_extract(detail, '$.name')=?1 ORDER BY id DESC LIMIT 1",
        versioned->schema, versioned->name, versioned->schema, versioned->name));
    sqlite3_bind_text(row, 1, name, -1, SQLITE_STATIC);
    Status status = sql_step(versioned->db, row, &has_row, err);
    if (status == ST_OK && !has_row)
        status = fail(err, ST_BADARG, "there was no experiment '%.60s'", name);
    if (status == ST_OK) {
        *row_id = sqlite3_column_int64(row, 0);
        out->shares_moved = sqlite3_column_int(row, 2) > 1;
        status = parse_detail((const char *)sqlite3_column_text(row, 1), &out->experiment, err);
    }
    sqlite3_finalize(row);
    return status;
}

/* When it was stopped, by whichever command. */
static Status read_end(const Versioned *versioned, const char *name, sqlite3_int64 after,
    ExperimentRun *out, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT at FROM \"%w\".\"%w_audit\" WHERE id>?1 AND json_valid(detail) AND "
        "json_extract(detail, "
        "'$.stopped.name')=?2 ORDER BY id LIMIT 1",
        versioned->schema, versioned->name));
    sqlite3_bind_int64(row, 1, after);
    sqlite3_bind_text(row, 2, name, -1, SQLITE_STATIC);
    Status status = sql_step(versioned->db, row, &has_row, err);
    out->is_running = !has_row;
    if (status == ST_OK && has_row) out->until = sqlite3_column_double(row, 0);
    sqlite3_finalize(row);
    return status;
}

Status experiment_run_read(
    const Versioned *versioned, const char *name, ExperimentRun *out, Err *err) {
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    Live live;
    sqlite3_int64 row = 0;
    int found;
    *out = (ExperimentRun){.until = INFINITY};
    TRY(live_read(versioned, &live, err));
    if (!name) name = live.experiment.name;
    if (!*name) return fail(err, ST_BADARG, "no experiment runs: name one");
    TRY(shadow_has(&version_shadow, &owner, "audit", &found, err));
    if (!found) return fail(err, ST_BADARG, "there was no experiment '%.60s'", name);
    TRY(read_terms(versioned, name, out, &row, err));
    TRY(read_end(versioned, name, row, out, err));
    out->from = out->experiment.since;
    if (out->experiment.start > out->from) out->from = out->experiment.start;
    if (out->experiment.end < out->until) out->until = out->experiment.end;
    return ST_OK;
}

/* ---- what is measured ---- */

Status measure_parse(const char *text, Measure *out, Err *err) {
    static const struct {
        const char *name, *means;
    } short_names[] = {{"conversion", "any:purchase"}, {"revenue", "sum:purchase"},
        {"purchases", "count:purchase"}, {"clicks", "count:click"}, {"ctr", "list:click"},
        {"carts", "count:cart"}};
    static const char *const by[] = {"any:", "count:", "sum:", "list:"};
    for (size_t i = 0; i < sizeof short_names / sizeof *short_names; i++)
        if (strcmp(text, short_names[i].name) == 0) text = short_names[i].means;
    for (int i = 0; i < 4; i++) {
        size_t len = strlen(by[i]);
        if (strncmp(text, by[i], len) != 0 || strlen(text + len) >= sizeof out->kind) continue;
        out->by = (MeasureKind)i;
        memcpy(out->kind, text + len, strlen(text + len) + 1);
        return live_check_name("metric", out->kind, err);
    }
    return fail(err, ST_BADARG,
        "metric '%.60s' (conversion, revenue, purchases, clicks, ctr, carts, or any:KIND, "
        "count:KIND, sum:KIND, list:KIND)",
        text);
}

/* What an outcome adds, where it counts. */
static const char *aggregate_of(const Measure *measure) {
    switch (measure->by) {
    case MEASURE_ANY: return "max";
    case MEASURE_SUM: return "total";
    default: return "sum";
    }
}

/* Users by the arm of their first list, whatever they were shown later (a share that was moved, a
 * session that signed in): who has it is then a matter of the draw alone. */
#define USERS_OF \
    "WITH e AS MATERIALIZED (SELECT user, arm, min(at) AS first, count(*) AS lists, " \
    "count(DISTINCT " \
    "arm)>1 AS several FROM \"%w\".\"%w_lists\" WHERE experiment=?1 AND at>=?2 AND at<?3 AND " \
    "user " \
    "IS NOT NULL AND arm IS NOT NULL AND (?4='' OR scenario=?4) GROUP BY user) SELECT e.user, " \
    "e.arm, "

/* What she did from her first list on, and before the experiment. */
static Status prepare_by_user(
    const Versioned *versioned, const Measure *measure, sqlite3_stmt **out, Err *err) {
    const char *aggregate = aggregate_of(measure),
               *adds = measure->by == MEASURE_SUM ? "o.value" : "1";
    return sql_prepare(versioned->db, out, err,
        USERS_OF
        "e.lists, e.first, coalesce(%s(CASE WHEN o.at>=e.first AND o.at<min(?3, e.first+?7) THEN "
        "%s ELSE 0 END), 0), coalesce(%s(CASE WHEN o.at<?2 THEN %s ELSE 0 END), 0), e.several FROM "
        "e LEFT JOIN (SELECT user, at, value FROM \"%w\".\"%w_outcomes\" WHERE kind=?5 AND at>=?6 "
        "AND at<?3) o ON o.user=e.user GROUP BY e.user",
        versioned->schema, versioned->name, aggregate, adds, aggregate, adds, versioned->schema,
        versioned->name);
}

/* Outcomes of the lists that count, by what names them, and those lists. */
static Status prepare_by_list(const Versioned *versioned, sqlite3_stmt **out, Err *err) {
    return sql_prepare(versioned->db, out, err,
        USERS_OF
        "count(*), e.first, total(c.n), 0, e.several FROM e JOIN \"%w\".\"%w_lists\" l ON "
        "l.user=e.user AND l.experiment=?1 AND l.arm IS NOT NULL AND l.at>=?2 AND l.at<min(?3, "
        "e.first+?7) AND (?4='' OR l.scenario=?4) LEFT JOIN (SELECT list, count(*) AS n FROM "
        "\"%w\".\"%w_outcomes\" WHERE kind=?5 AND list IS NOT NULL AND ?6 IS NOT NULL GROUP BY "
        "list) c ON c.list=l.id GROUP BY e.user",
        versioned->schema, versioned->name, versioned->schema, versioned->name, versioned->schema,
        versioned->name);
}

Status experiment_users(const Versioned *versioned, const ExperimentRun *run,
    const Measure *measure, const ExperimentScope *scope, sqlite3_stmt **out, Err *err) {
    int found;
    *out = NULL;
    TRY(log_is_there(versioned, &found, err));
    if (!found) return ST_OK;
    TRY(measure->by == MEASURE_LIST ? prepare_by_list(versioned, out, err)
                                    : prepare_by_user(versioned, measure, out, err));
    sqlite3_bind_text(*out, 1, run->experiment.name, -1, SQLITE_TRANSIENT);
    sqlite3_bind_double(*out, 2, run->from);
    sqlite3_bind_double(*out, 3, run->until);
    sqlite3_bind_text(*out, 4, scope->scenario, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(*out, 5, measure->kind, -1, SQLITE_TRANSIENT);
    sqlite3_bind_double(*out, 6, run->from - scope->before_days * 86400);
    sqlite3_bind_double(*out, 7, scope->window_days > 0 ? scope->window_days * 86400 : INFINITY);
    return ST_OK;
}

static void add_user(
    sqlite3_stmt *row, const Experiment *experiment, const Measure *measure, ArmTotals *out) {
    const char *name = (const char *)sqlite3_column_text(row, 1);
    int arm = name ? experiment_find_arm(experiment, name) : -1;
    double lists = sqlite3_column_double(row, 2), first = sqlite3_column_double(row, 3);
    out->several += sqlite3_column_int(row, 6);
    if (arm < 0) return; /* of an arm that a later run of the name has not */
    out->lists[arm] += lists;
    out->first = fmin(out->first, first);
    out->last = fmax(out->last, first);
    arm_add(&out->arm[arm], sqlite3_column_double(row, 4),
        measure->by == MEASURE_LIST ? lists : sqlite3_column_double(row, 5));
}

Status experiment_totals(const Versioned *versioned, const ExperimentRun *run,
    const Measure *measure, const ExperimentScope *scope, ArmTotals *out, Err *err) {
    sqlite3_stmt *rows;
    *out = (ArmTotals){.first = INFINITY, .last = -INFINITY};
    TRY(experiment_users(versioned, run, measure, scope, &rows, err));
    if (!rows) return ST_OK;
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err))
        add_user(rows, &run->experiment, measure, out);
    sqlite3_finalize(rows);
    return status;
}

void experiment_estimates(const ArmTotals *totals, int n, const Measure *measure, Estimate *out) {
    Cuped cuped = cuped_of(totals->arm, n);
    for (int i = 0; i < n; i++)
        out[i] = measure->by == MEASURE_LIST ? estimate_ratio(&totals->arm[i])
                                             : estimate_cuped(&totals->arm[i], &cuped);
}
