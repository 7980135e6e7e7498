/* rec_experiment and rec_experiment_users: what an experiment says. */
#include <math.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/options.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../versions/version_find.h"
#include "experiment_read.h"

typedef struct ReportOptions {
    ExperimentScope scope;
    char metric[ROUTE_NAME]; /* "": the experiment's own, and its guards */
    double alpha, power, effect, margin;
} ReportOptions;

static const OptSpec report_options[] = {
    {"metric", OPT_TEXT, offsetof(ReportOptions, metric), 0, ROUTE_NAME, 0, "",
        "this one alone; default: the experiment's metric and guards"},
    {"scenario", OPT_TEXT, offsetof(ReportOptions, scope.scenario), 0, ROUTE_NAME, 0, "",
        "lists of this scenario alone"},
    {"before", OPT_REAL, offsetof(ReportOptions, scope.before_days), 0, 3650, 28, NULL,
        "days before it began whose measure makes intervals narrower (CUPED); 0: none"},
    {"window", OPT_REAL, offsetof(ReportOptions, scope.window_days), 0, 3650, 0, NULL,
        "days after her first list whose outcomes count; 0: until the end"},
    {"alpha", OPT_REAL, offsetof(ReportOptions, alpha), 1e-6, .5, .05, NULL, "level"},
    {"margin", OPT_REAL, offsetof(ReportOptions, margin), 0, 1, .1, NULL,
        "what a guard may lose, as a share of the control's value"},
    {"power", OPT_REAL, offsetof(ReportOptions, power), .5, .999, .8, NULL,
        "for needed_users: how surely it is found"},
    {"effect", OPT_REAL, offsetof(ReportOptions, effect), 1e-4, 10, .05, NULL,
        "for needed_users: what is to be found, as a share of the control's value"},
    {0},
};

/* The experiment of the arguments (model, name, options). */
typedef struct Report {
    Versioned versioned;
    ExperimentRun run;
    ReportOptions options;
} Report;

static Status report_open(Report *report, sqlite3 *db, sqlite3_value **argv, Err *err) {
    OptTarget target = {report_options, &report->options};
    TRY(value_options(&target, 1, argv[2], err));
    TRY(version_find(&report->versioned, db, value_text(argv[0]), err));
    Status status = experiment_run_read(
        &report->versioned, argv[1] ? value_text(argv[1]) : NULL, &report->run, err);
    if (status != ST_OK) version_found_clear(&report->versioned);
    return status;
}

/* ---- rec_experiment ---- */

/* What is said about one metric. */
typedef struct MetricReport {
    const char *name;
    int is_guard;
    ArmTotals totals;
    Estimate estimate[ROUTE_MAX_ARMS];
    Comparison comparison[ROUTE_MAX_ARMS]; /* with the control */
    double p[ROUTE_MAX_ARMS];              /* corrected for several arms */
    double srm, srm_always;
} MetricReport;

static void compare_arms(MetricReport *out, const Report *report) {
    const Experiment *experiment = &report->run.experiment;
    int control = experiment_find_arm(experiment, experiment->control);
    double users[ROUTE_MAX_ARMS], share[ROUTE_MAX_ARMS];
    for (int i = 0; i < experiment->n; i++) {
        out->comparison[i] = compare_estimates(
            &out->estimate[control], &out->estimate[i], report->options.alpha, ALWAYS_TUNED);
        out->p[i] = i == control ? NAN : out->comparison[i].p;
        users[i] = out->totals.arm[i].n;
        share[i] = (double)experiment->arm[i].share;
    }
    int others = 0;
    for (int i = 0; i < experiment->n; i++) others += !isnan(out->p[i]);
    if (others > 1) holm_adjust(out->p, experiment->n);
    out->srm = report->run.shares_moved ? NAN : srm_p(users, share, experiment->n);
    out->srm_always = report->run.shares_moved ? NAN : srm_p_always(users, share, experiment->n);
}

enum { FEW_USERS = 100 };

/* Has the end come that was set when it began? Who stops where it looks good has no fixed
 * horizon. */
static int is_at_horizon(const ExperimentRun *run) {
    return run->until == run->experiment.end &&
        (!run->is_running || live_clock() >= run->experiment.end);
}

/* Is a guard's loss surely smaller than what is put up with? */
static int is_within_margin(
    const MetricReport *metric, const Report *report, int arm, int control) {
    const Comparison *comparison = &metric->comparison[arm];
    double most = -report->options.margin * fabs(metric->estimate[control].value);
    return comparison->low_always > most || (is_at_horizon(&report->run) && comparison->low > most);
}

/* Always-valid first; the other interval counts where the horizon was fixed. */
static const char *verdict(const MetricReport *metric, const Report *report, int arm, int control) {
    const Comparison *comparison = &metric->comparison[arm];
    double alpha = report->options.alpha, others = report->run.experiment.n - 1;
    if (arm == control) return "control";
    /* who came when shares were others is not alike in the arms */
    if (report->run.shares_moved) return "shares moved";
    if (metric->srm_always < .001 || (is_at_horizon(&report->run) && metric->srm < .001))
        return "sample ratio mismatch";
    if (metric->totals.arm[arm].n < FEW_USERS || metric->totals.arm[control].n < FEW_USERS)
        return "too few users";
    int is_last = is_at_horizon(&report->run),
        decided = comparison->p_always < alpha / others || (is_last && metric->p[arm] < alpha),
        is_loss = comparison->difference < 0;
    if (metric->is_guard && decided && is_loss) return "harmed";
    if (metric->is_guard && is_within_margin(metric, report, arm, control)) return "not harmed";
    if (metric->is_guard || !decided)
        return is_last || !report->run.is_running ? "no difference found" : "undecided";
    return is_loss ? "worse" : "better";
}

/* Days more at the pace of new users so far; 0: there are enough, NaN: nobody knows. */
static double days_for(const ArmTotals *totals, int arm, double needed) {
    double days = (totals->last - totals->first) / 86400, users = totals->arm[arm].n;
    if (isnan(needed) || !(days > 0) || !(users > 0)) return NAN;
    return fmax(0, (needed - users) / (users / days));
}

static void row_of_arm(
    RowSink *sink, const MetricReport *metric, const Report *report, int arm, int control) {
    const Experiment *experiment = &report->run.experiment;
    const Comparison *c = &metric->comparison[arm];
    const Estimate *own = &metric->estimate[arm], *base = &metric->estimate[control];
    const ReportOptions *options = &report->options;
    int is_control = arm == control;
    double effect = options->effect * fabs(base->value);
    row_text(sink, experiment->arm[arm].name);
    row_integer(sink, experiment->version[arm]);
    row_real(sink, (double)experiment->arm[arm].share / ROUTE_WHOLE);
    row_integer(sink, (sqlite3_int64)metric->totals.arm[arm].n);
    row_integer(sink, (sqlite3_int64)metric->totals.lists[arm]);
    row_text(sink, metric->name);
    row_number(sink, own->value);
    row_number(sink, is_control ? NAN : c->difference);
    row_number(sink, is_control ? NAN : c->low);
    row_number(sink, is_control ? NAN : c->high);
    row_number(sink, is_control || base->value == 0 ? NAN : c->difference / base->value);
    row_number(sink, metric->p[arm]);
    row_number(sink, is_control ? NAN : c->low_always);
    row_number(sink, is_control ? NAN : c->high_always);
    row_number(sink, is_control ? NAN : c->p_always);
    row_number(sink, metric->srm);
    row_number(sink, metric->srm_always);
    row_integer(sink, (sqlite3_int64)metric->totals.several);
    double needed = is_control || !(effect > 0)
        ? NAN
        : users_needed(own->variance * own->n, base->variance * base->n, effect, options->alpha,
              options->power);
    row_number(sink, needed);
    row_number(sink, days_for(&metric->totals, arm, needed));
    row_text(sink, verdict(metric, report, arm, control));
}

static Status report_metric(
    RowSink *sink, const Report *report, const char *name, int is_guard, Err *err) {
    const Experiment *experiment = &report->run.experiment;
    int control = experiment_find_arm(experiment, experiment->control);
    MetricReport metric = {.name = name, .is_guard = is_guard};
    Measure measure;
    if (control < 0) return fail(err, ST_CORRUPT, "the experiment has no arm that is its control");
    TRY(measure_parse(name, &measure, err));
    TRY(experiment_totals(
        &report->versioned, &report->run, &measure, &report->options.scope, &metric.totals, err));
    experiment_estimates(&metric.totals, experiment->n, &measure, metric.estimate);
    compare_arms(&metric, report);
    for (int i = 0; i < experiment->n; i++) row_of_arm(sink, &metric, report, i, control);
    return ST_OK;
}

static Status report_guards(RowSink *sink, const Report *report, Err *err) {
    json_error_t json_error;
    json_t *guards = json_loads(report->run.experiment.guards, 0, &json_error), *guard;
    size_t i;
    Status status = ST_OK;
    json_array_foreach(guards, i, guard) if (status == ST_OK && json_is_string(guard))
        status = report_metric(sink, report, json_string_value(guard), 1, err);
    json_decref(guards);
    return status;
}

static Status experiment_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Report report = {0};
    TRY(report_open(&report, db, argv, err));
    const char *asked = report.options.metric;
    Status status = report_metric(
        sink, &report, *asked ? asked : report.run.experiment.metric, 0, err);
    if (status == ST_OK && !*asked) status = report_guards(sink, &report, err);
    version_found_clear(&report.versioned);
    return status;
}

/* ---- rec_experiment_users ---- */

static Status users_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Report report = {0};
    Measure measure;
    sqlite3_stmt *rows = NULL;
    TRY(report_open(&report, db, argv, err));
    const char *asked = report.options.metric;
    Status status = measure_parse(*asked ? asked : report.run.experiment.metric, &measure, err);
    if (status == ST_OK)
        status = experiment_users(
            &report.versioned, &report.run, &measure, &report.options.scope, &rows, err);
    while (rows && sql_next(db, rows, &status, err))
        for (int i = 0; i < 7; i++) row_column(sink, rows, i);
    sqlite3_finalize(rows);
    version_found_clear(&report.versioned);
    return status;
}

int register_experiment_tables(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_experiment",
            .columns =
                "arm TEXT, version INTEGER, share REAL, users INTEGER, lists INTEGER, metric "
                "TEXT, value REAL, difference REAL, low REAL, high REAL, lift REAL, p REAL, "
                "low_always REAL, high_always REAL, p_always REAL, srm_p REAL, srm_p_always "
                "REAL, several INTEGER, needed_users REAL, needed_days REAL, verdict TEXT",
            .n_columns = 21,
            .arguments = ", model HIDDEN, name HIDDEN, options HIDDEN",
            .n_arguments = 3,
            .n_required = 1,
            .fill = experiment_fill},
        {.name = "rec_experiment_users",
            .columns =
                "user, arm TEXT, lists INTEGER, first REAL, value REAL, before REAL, several "
                "INTEGER",
            .n_columns = 7,
            .arguments = ", model HIDDEN, name HIDDEN, options HIDDEN",
            .n_arguments = 3,
            .n_required = 1,
            .fill = users_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
