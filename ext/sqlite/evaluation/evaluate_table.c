/* rec_evaluate and rec_evaluate_users: how good a model's lists were for what came afterwards. */
#include <math.h>

#include "../../base/memory.h"
#include "../../eval/intervals.h"
#include "../host/jobs.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "evaluate_load.h"

/* The segment of everybody. */
enum { ALL_SEGMENTS = -1 };

/* ---- rec_evaluate(model, holdout [, options]) ---- */

typedef struct Report {
    RowSink *sink;
    const JudgedModel *model;
    const Holdout *holdout;
    const JudgedUsers *users;
    const EvaluateOptions *options;
    DeviceChoice device;
    const char *name; /* of what is reported now: the model, or the popular list */
    double *series;   /* N_JUDGED x users */
} Report;

static void segment_cell(const Report *report, int32_t segment) {
    if (segment >= 0) row_key(report->sink, keymap_key(report->users->segments, segment));
    else row_null(report->sink);
}

static void emit(
    const Report *report, const char *metric, int k, Interval i, int64_t users, int32_t segment) {
    row_text(report->sink, report->name);
    row_text(report->sink, metric);
    row_integer(report->sink, report->options->k[k]);
    row_number(report->sink, i.mean);
    row_number(report->sink, report->options->bootstrap > 0 ? i.low : NAN);
    row_number(report->sink, report->options->bootstrap > 0 ? i.high : NAN);
    row_integer(report->sink, users);
    segment_cell(report, segment);
}

/* The users of a segment, or all of them. */
static Status emit_users(
    const Report *report, const Judgement *judged, int32_t segment, Task *task, Err *err) {
    int64_t n = 0, count[N_JUDGED];
    Interval interval[N_JUDGED];
    int metrics = judgement_metrics(report->options);
    for (int32_t u = 0; u < judged->n_users; u++)
        n += segment == ALL_SEGMENTS || report->users->segment[u] == segment;
    for (int k = 0; k < report->options->n_k; k++) {
        for (int m = 0; m < metrics; m++) {
            const double *value = judgement_values(judged, m, k);
            double *to = report->series + m * n;
            for (int32_t u = 0; u < judged->n_users; u++)
                if (segment == ALL_SEGMENTS || report->users->segment[u] == segment)
                    *to++ = value[u];
        }
        TRY(series_intervals(interval, count, report->series, n, report->options, task, err));
        for (int m = 0; m < metrics; m++)
            emit(report, judgement_name(m), k, interval[m], count[m], segment);
    }
    return ST_OK;
}

static Status emit_beyond(const Report *report, const Judgement *judged, Err *err) {
    for (int k = 0; k < report->options->n_k; k++) {
        BeyondAccuracy beyond;
        TRY(judgement_beyond(&beyond, judged, report->model->model, k, err));
        const double value[] = {judged->n_users ? beyond.coverage : NAN, beyond.gini,
            beyond.novelty, beyond.personalization};
        static const char *const name[] = {"coverage", "gini", "novelty", "personalization"};
        for (int i = 0; i < 4; i++)
            emit(report, name[i], k, (Interval){value[i], NAN, NAN}, judged->n_users, -1);
    }
    return ST_OK;
}

/* The model, then the popular list. */
static Status report_both(Report *report, Task *task, Err *err) {
    const Model *model = report->model->model;
    Status status = ST_OK;
    for (int popular = 0; popular < 2 && status == ST_OK; popular++) {
        Judgement judgement;
        report->name = popular ? "popular" : report->model->definition.id.name;
        status = popular
            ? judge(&judgement, model, 1, NULL, report->holdout, report->options, task, err)
            : evaluate_judge(&judgement, report->model, report->holdout, report->device,
                  report->options, task, err);
        if (status == ST_OK) status = emit_users(report, &judgement, ALL_SEGMENTS, task, err);
        if (status == ST_OK) status = emit_beyond(report, &judgement, err);
        for (int32_t s = 0; status == ST_OK && s < keymap_count(report->users->segments); s++)
            status = emit_users(report, &judgement, s, task, err);
        judgement_clear(&judgement);
    }
    return status;
}

/* Read, and call report on it. */
static Status with_holdout(sqlite3 *db, sqlite3_value **argv, RowSink *sink,
    Status (*report)(Report *, Task *, Err *), Err *err) {
    EvaluateCall call;
    EvaluateOptions options = {0};
    JudgedModel model = {0};
    Holdout holdout = {0};
    JudgedUsers users = {0};
    Task task = {0};
    Job job;
    TRY(evaluate_parse(value_text(argv[2]), &call, &options, err));
    task.threads = call.threads ? (int)call.threads : task_default_threads();
    Status status = evaluate_load(
        &model, &holdout, &users, db, value_text(argv[0]), value_text(argv[1]), &call, err);
    options.exclude_seen = (int)call.exclude_seen;
    Report all = {sink, &model, &holdout, &users, &options, call.choice, NULL,
        mem_array((size_t)holdout.n_users * N_JUDGED, sizeof(double))};
    if (status == ST_OK && !all.series) status = fail_nomem(err, "the evaluation");
    if (status == ST_OK)
        status = job_begin(
            &job, "evaluate", model.definition.id.name, &task, db, (int)call.progress, err);
    if (status == ST_OK) {
        status = report(&all, &task, err);
        job_end(&job);
    }
    mem_free(all.series);
    judged_users_clear(&users);
    holdout_clear(&holdout);
    judged_model_clear(&model);
    return status;
}

static Status evaluate_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    return with_holdout(db, argv, sink, report_both, err);
}

/* ---- rec_evaluate_users(model, holdout [, options]): one row a user, metric and k ---- */

static Status report_users(Report *report, Task *task, Err *err) {
    const JudgedUsers *users = report->users;
    Judgement judgement;
    Status status = evaluate_judge(
        &judgement, report->model, report->holdout, report->device, report->options, task, err);
    for (int32_t u = 0; status == ST_OK && u < judgement.n_users; u++)
        for (int k = 0; k < report->options->n_k; k++)
            for (int m = 0; m < judgement_metrics(report->options); m++) {
                row_key(report->sink, keymap_key(users->keys, users->user[u]));
                row_text(report->sink, judgement_name(m));
                row_integer(report->sink, report->options->k[k]);
                row_number(report->sink, judgement_values(&judgement, m, k)[u]);
                segment_cell(report, users->segment[u]);
            }
    judgement_clear(&judgement);
    return status;
}

static Status users_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    return with_holdout(db, argv, sink, report_users, err);
}

int register_evaluate(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_evaluate",
            .columns = "model TEXT, metric TEXT, k INTEGER, value REAL, ci_low REAL, ci_high REAL, "
                       "users INTEGER, segment",
            .n_columns = 8,
            .arguments = ", model_name HIDDEN, holdout HIDDEN, options HIDDEN",
            .n_arguments = 3,
            .n_required = 2,
            .fill = evaluate_fill},
        {.name = "rec_evaluate_users",
            .columns = "user, metric TEXT, k INTEGER, value REAL, segment",
            .n_columns = 5,
            .arguments = ", model_name HIDDEN, holdout HIDDEN, options HIDDEN",
            .n_arguments = 3,
            .n_required = 2,
            .fill = users_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
