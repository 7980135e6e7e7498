/* rec_compare(model_a, model_b, holdout [, options]): the same users' lists by two models,
 * paired. */
#include <math.h>

#include "../../base/memory.h"
#include "../../eval/intervals.h"
#include "../host/jobs.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "evaluate_load.h"

/* One of the two models. */
typedef struct Side {
    JudgedModel model;
    Holdout holdout;
    JudgedUsers users;
    Judgement judgement;
    int exclude_seen;
} Side;

static Status judge_side(Side *side, sqlite3 *db, const char *model, const char *holdout,
    const EvaluateCall *common, EvaluateOptions *options, Task *task, Err *err) {
    EvaluateCall call = *common; /* exclude_seen may be the algorithm's own */
    TRY(evaluate_load(&side->model, &side->holdout, &side->users, db, model, holdout, &call, err));
    side->exclude_seen = options->exclude_seen = (int)call.exclude_seen;
    return evaluate_judge(
        &side->judgement, &side->model, &side->holdout, call.choice, options, task, err);
}

static void side_clear(Side *side) {
    judgement_clear(&side->judgement);
    judged_users_clear(&side->users);
    holdout_clear(&side->holdout);
    judged_model_clear(&side->model);
}

/* The key of a side's u-th judged user. */
static Key user_of(const Side *side, int32_t u) {
    return keymap_key(side->users.keys, side->users.user[u]);
}

/* The users of both sides. */
typedef struct SharedUsers {
    int32_t *of_a, *of_b; /* their places in the sides */
    int64_t n;
    double *series; /* N_JUDGED x n: b - a */
} SharedUsers;

static void pairs_clear(SharedUsers *pairs) {
    mem_free(pairs->of_a);
    mem_free(pairs->of_b);
    mem_free(pairs->series);
}

static Status pair_users(SharedUsers *pairs, const Side *a, const Side *b, Err *err) {
    size_t most = (size_t)a->judgement.n_users;
    pairs->of_a = mem_array(most, sizeof *pairs->of_a);
    pairs->of_b = mem_array(most, sizeof *pairs->of_b);
    pairs->series = mem_array(most * N_JUDGED, sizeof *pairs->series);
    if (!pairs->of_a || !pairs->of_b || !pairs->series) return fail_nomem(err, "the evaluation");
    /* both in the order of the users' keys */
    for (int32_t u = 0, v = 0; u < a->judgement.n_users; u++) {
        while (v < b->judgement.n_users && key_compare(user_of(b, v), user_of(a, u)) < 0) v++;
        if (v == b->judgement.n_users || key_compare(user_of(b, v), user_of(a, u)) != 0) continue;
        pairs->of_a[pairs->n] = u;
        pairs->of_b[pairs->n++] = v;
    }
    return ST_OK;
}

/* Means over the users who have a value on both sides. */
static void emit_metric(RowSink *sink, const SharedUsers *pairs, const double *of_a,
    const double *of_b, double *difference, Interval interval, int64_t count) {
    double sum_a = 0, sum_b = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < pairs->n; i++) {
        if (isnan(difference[i])) continue;
        sum_a += of_a[pairs->of_a[i]];
        sum_b += of_b[pairs->of_b[i]];
        difference[n++] = difference[i];
    }
    row_number(sink, count ? sum_a / (double)count : NAN);
    row_number(sink, count ? sum_b / (double)count : NAN);
    row_number(sink, interval.mean);
    row_number(sink, interval.low);
    row_number(sink, interval.high);
    row_number(sink, paired_two_sided(difference, count));
    row_integer(sink, count);
}

static Status emit_pairs(RowSink *sink, SharedUsers *pairs, const Side *a, const Side *b,
    const EvaluateOptions *options, int k, Task *task, Err *err) {
    Interval interval[N_JUDGED];
    int64_t count[N_JUDGED];
    int metrics = judgement_metrics(options);
    for (int m = 0; m < metrics; m++)
        for (int64_t i = 0; i < pairs->n; i++)
            pairs->series[m * pairs->n + i] = judgement_values(
                                                  &b->judgement, m, k)[pairs->of_b[i]] -
                judgement_values(&a->judgement, m, k)[pairs->of_a[i]];
    TRY(series_intervals(interval, count, pairs->series, pairs->n, options, task, err));
    for (int m = 0; m < metrics; m++) {
        if (options->bootstrap == 0) interval[m].low = interval[m].high = NAN;
        row_text(sink, judgement_name(m));
        row_integer(sink, options->k[k]);
        emit_metric(sink, pairs, judgement_values(&a->judgement, m, k),
            judgement_values(&b->judgement, m, k), pairs->series + m * pairs->n, interval[m],
            count[m]);
    }
    return ST_OK;
}

static Status compare_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    EvaluateCall call;
    EvaluateOptions options = {0};
    Side a = {0}, b = {0};
    SharedUsers pairs = {0};
    Task task = {0};
    Job job;
    TRY(evaluate_parse(value_text(argv[3]), &call, &options, err));
    task.threads = call.threads ? (int)call.threads : task_default_threads();
    TRY(job_begin(&job, "evaluate", value_text(argv[0]) ? value_text(argv[0]) : "", &task, db,
        (int)call.progress, err));
    Status status = judge_side(
        &a, db, value_text(argv[0]), value_text(argv[2]), &call, &options, &task, err);
    call.version = call.version_b;
    if (status == ST_OK)
        status = judge_side(
            &b, db, value_text(argv[1]), value_text(argv[2]), &call, &options, &task, err);
    options.exclude_seen = a.exclude_seen && b.exclude_seen; /* of what is shown from here on */
    if (status == ST_OK) status = pair_users(&pairs, &a, &b, err);
    for (int k = 0; k < options.n_k && status == ST_OK; k++)
        status = emit_pairs(sink, &pairs, &a, &b, &options, k, &task, err);
    pairs_clear(&pairs);
    side_clear(&a);
    side_clear(&b);
    job_end(&job);
    return status;
}

int register_compare(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_compare",
        .columns = "metric TEXT, k INTEGER, a REAL, b REAL, difference REAL, ci_low REAL, "
                   "ci_high REAL, p REAL, users INTEGER",
        .n_columns = 9,
        .arguments = ", model_a HIDDEN, model_b HIDDEN, holdout HIDDEN, options HIDDEN",
        .n_arguments = 4,
        .n_required = 3,
        .fill = compare_fill,
    };
    return row_table_register(db, &table);
}
