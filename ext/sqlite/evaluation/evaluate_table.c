/* rec_evaluate, rec_evaluate_users and rec_compare: how good models' lists were for what came
 * afterwards. */
#include <math.h>

#include "../../base/memory.h"
#include "../../metrics/special.h"
#include "../host/device_copy.h"
#include "../host/jobs.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "evaluate_load.h"

static const char *text_of(sqlite3_value *value) {
    return value && sqlite3_value_type(value) != SQLITE_NULL
        ? (const char *)sqlite3_value_text(value)
        : NULL;
}

static void segment_cell(RowSink *sink, const Loaded *loaded, int32_t segment) {
    if (segment >= 0) row_key(sink, keymap_key(loaded->segments, segment));
    else row_null(sink);
}

/* By the model, its lists scored on the device. A GPU that fails with device=auto is given up, and
 * the CPU begins again. */
static Status judge_model(Judged *out, const Loaded *loaded, const Aligned *aligned,
    DeviceChoice device, const EvaluateOptions *options, Task *task, Err *err) {
    GpuCopy *copy;
    *out = (Judged){0};
    TRY(device_model_copy(
        loaded->definition.db, loaded->model, device, aligned->holdout.n_users, &copy, err));
    Status status = judge(out, loaded->model, 0, copy, &aligned->holdout, options, task, err);
    cache_release(copy);
    if (!copy || !device_gave_up(device, status, err)) return status;
    judged_clear(out);
    return judge(out, loaded->model, 0, NULL, &aligned->holdout, options, task, err);
}

/* ---- rec_evaluate(model, holdout [, options]) ---- */

typedef struct Report {
    RowSink *sink;
    const Loaded *loaded;
    const Aligned *aligned;
    const EvaluateOptions *options;
    DeviceChoice device;
    const char *model;
    double *series; /* N_JUDGED x users */
} Report;

/* Intervals of N_JUDGED series of n values each; NaN is no value: count says how many there are.
 * Series without one share their resamples' draws. */
static Status intervals_of(Interval *out, int64_t *count, const double *series, int64_t n,
    const EvaluateOptions *options, Task *task, Err *err) {
    double *packed = mem_array((size_t)(n * N_JUDGED), sizeof *packed);
    Interval whole[N_JUDGED];
    int n_whole = 0, at = 0;
    if (!packed) return fail_nomem(err, "the evaluation");
    for (int m = 0; m < N_JUDGED; m++) {
        count[m] = 0;
        for (int64_t i = 0; i < n; i++) count[m] += !isnan(series[m * n + i]);
        n_whole += count[m] == n;
    }
    for (int m = 0; m < N_JUDGED; m++) {
        if (count[m] != n) continue;
        for (int64_t i = 0; i < n; i++) packed[i * n_whole + at] = series[m * n + i];
        at++;
    }
    Status status = bootstrap_means(
        whole, packed, n, n_whole, options->bootstrap, options->seed, task, err);
    at = 0;
    for (int m = 0; m < N_JUDGED && status == ST_OK; m++) {
        if (count[m] == n) {
            out[m] = whole[at++];
            continue;
        }
        int64_t kept = 0;
        for (int64_t i = 0; i < n; i++)
            if (!isnan(series[m * n + i])) packed[kept++] = series[m * n + i];
        status = bootstrap_means(
            &out[m], packed, kept, 1, options->bootstrap, options->seed, task, err);
    }
    mem_free(packed);
    return status;
}

static void emit(
    const Report *report, const char *metric, int k, Interval i, int64_t users, int32_t segment) {
    row_text(report->sink, report->model);
    row_text(report->sink, metric);
    row_integer(report->sink, report->options->k[k]);
    row_number(report->sink, i.mean);
    row_number(report->sink, report->options->bootstrap > 0 ? i.low : NAN);
    row_number(report->sink, report->options->bootstrap > 0 ? i.high : NAN);
    row_integer(report->sink, users);
    segment_cell(report->sink, report->loaded, segment);
}

/* The users of a segment, or all of them (-1). */
static Status emit_users(
    const Report *report, const Judged *judged, int32_t segment, Task *task, Err *err) {
    int64_t n = 0, count[N_JUDGED];
    Interval interval[N_JUDGED];
    for (int32_t u = 0; u < judged->n_users; u++)
        n += segment < 0 || report->aligned->segment[u] == segment;
    for (int k = 0; k < report->options->n_k; k++) {
        for (int m = 0; m < N_JUDGED; m++) {
            const double *value = judged_values(judged, m, k);
            double *to = report->series + m * n;
            for (int32_t u = 0; u < judged->n_users; u++)
                if (segment < 0 || report->aligned->segment[u] == segment) *to++ = value[u];
        }
        TRY(intervals_of(interval, count, report->series, n, report->options, task, err));
        for (int m = 0; m < N_JUDGED; m++)
            emit(report, judged_name(m), k, interval[m], count[m], segment);
    }
    return ST_OK;
}

static Status emit_beyond(const Report *report, const Judged *judged, Err *err) {
    for (int k = 0; k < report->options->n_k; k++) {
        Beyond beyond;
        TRY(judged_beyond(&beyond, judged, report->loaded->model, k, err));
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
    Status status = ST_OK;
    for (int popular = 0; popular < 2 && status == ST_OK; popular++) {
        Judged judged;
        report->model = popular ? "popular" : report->loaded->definition.name;
        status = popular ? judge(&judged, report->loaded->model, 1, NULL, &report->aligned->holdout,
                               report->options, task, err)
                         : judge_model(&judged, report->loaded, report->aligned, report->device,
                               report->options, task, err);
        if (status == ST_OK) status = emit_users(report, &judged, -1, task, err);
        if (status == ST_OK) status = emit_beyond(report, &judged, err);
        for (int32_t s = 0; status == ST_OK && s < keymap_count(report->loaded->segments); s++)
            status = emit_users(report, &judged, s, task, err);
        judged_clear(&judged);
    }
    return status;
}

/* Read, align, and call report on it. */
static Status with_holdout(sqlite3 *db, sqlite3_value **argv, RowSink *sink,
    Status (*report)(Report *, Task *, Err *), Err *err) {
    EvaluateCall call;
    EvaluateOptions options = {0};
    Loaded loaded = {0};
    Aligned aligned = {0};
    Task task = {0};
    Job job;
    TRY(evaluate_parse(text_of(argv[2]), &call, &options, err));
    task.threads = call.threads ? (int)call.threads : task_default_threads();
    Status status = evaluate_load(&loaded, db, text_of(argv[0]), text_of(argv[1]), &call, err);
    options.bootstrap = call.bootstrap;
    options.seed = (uint64_t)call.seed;
    options.beyond = 1;
    options.exclude_seen = (int)call.exclude_seen;
    if (status == ST_OK) status = evaluate_align(&loaded, &call, &aligned, err);
    Report r = {.sink = sink,
        .loaded = &loaded,
        .aligned = &aligned,
        .options = &options,
        .device = call.choice,
        .series = mem_array((size_t)aligned.holdout.n_users * N_JUDGED, sizeof(double))};
    if (status == ST_OK && !r.series) status = fail_nomem(err, "the evaluation");
    if (status == ST_OK)
        status = progress_begin(
            &job, "evaluate", loaded.definition.name, &task, db, (int)call.progress, err);
    if (status == ST_OK) {
        status = report(&r, &task, err);
        progress_end(&job);
    }
    mem_free(r.series);
    aligned_clear(&aligned);
    loaded_clear(&loaded);
    return status;
}

static Status evaluate_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    return with_holdout(db, argv, sink, report_both, err);
}

/* ---- rec_evaluate_users(model, holdout [, options]): one row a user, metric and k ---- */

static Status report_users(Report *report, Task *task, Err *err) {
    Judged judged;
    Status status = judge_model(
        &judged, report->loaded, report->aligned, report->device, report->options, task, err);
    for (int32_t u = 0; status == ST_OK && u < judged.n_users; u++)
        for (int k = 0; k < report->options->n_k; k++)
            for (int m = 0; m < N_JUDGED; m++) {
                row_key(report->sink,
                    keymap_key(report->loaded->pairs.users, report->aligned->user[u]));
                row_text(report->sink, judged_name(m));
                row_integer(report->sink, report->options->k[k]);
                row_number(report->sink, judged_values(&judged, m, k)[u]);
                segment_cell(report->sink, report->loaded, report->aligned->segment[u]);
            }
    judged_clear(&judged);
    return status;
}

static Status users_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    return with_holdout(db, argv, sink, report_users, err);
}

/* ---- rec_compare(model_a, model_b, holdout [, options]): the same users, paired ---- */

typedef struct Side {
    Loaded loaded;
    Aligned aligned;
    Judged judged;
} Side;

static Status judge_side(Side *side, sqlite3 *db, const char *model, const char *holdout,
    const EvaluateCall *common, EvaluateOptions *options, Task *task, Err *err) {
    EvaluateCall call = *common; /* exclude_seen may be the algorithm's own */
    TRY(evaluate_load(&side->loaded, db, model, holdout, &call, err));
    TRY(evaluate_align(&side->loaded, &call, &side->aligned, err));
    options->exclude_seen = (int)call.exclude_seen;
    return judge_model(
        &side->judged, &side->loaded, &side->aligned, call.choice, options, task, err);
}

static void side_clear(Side *side) {
    judged_clear(&side->judged);
    aligned_clear(&side->aligned);
    loaded_clear(&side->loaded);
}

/* Two-sided p of a paired t test; NaN for fewer than 2 users, 1 where nobody differs. */
static double paired_p(const double *difference, int64_t n) {
    double mean = 0, square = 0;
    if (n < 2) return NAN;
    for (int64_t i = 0; i < n; i++) {
        double before = difference[i] - mean;
        mean += before / (double)(i + 1);
        square += before * (difference[i] - mean);
    }
    if (square <= 0) return mean == 0 ? 1 : 0;
    return student_two_sided(mean / sqrt(square / (double)(n - 1) / (double)n), (double)n - 1);
}

/* The users of both sides. */
typedef struct Pairs {
    int32_t *of_a, *of_b; /* their places in the sides */
    int64_t n;
    double *series; /* N_JUDGED x n: b - a */
} Pairs;

static void pairs_clear(Pairs *pairs) {
    mem_free(pairs->of_a);
    mem_free(pairs->of_b);
    mem_free(pairs->series);
}

static Status pair_users(Pairs *pairs, const Side *a, const Side *b, Err *err) {
    size_t most = (size_t)a->judged.n_users;
    pairs->of_a = mem_array(most, sizeof *pairs->of_a);
    pairs->of_b = mem_array(most, sizeof *pairs->of_b);
    pairs->series = mem_array(most * N_JUDGED, sizeof *pairs->series);
    if (!pairs->of_a || !pairs->of_b || !pairs->series) return fail_nomem(err, "the evaluation");
    /* both in the order of the users' keys */
    for (int32_t u = 0, v = 0; u < a->judged.n_users; u++) {
        Key key = keymap_key(a->loaded.pairs.users, a->aligned.user[u]);
        while (v < b->judged.n_users &&
            key_compare(keymap_key(b->loaded.pairs.users, b->aligned.user[v]), key) < 0)
            v++;
        if (v == b->judged.n_users ||
            key_compare(keymap_key(b->loaded.pairs.users, b->aligned.user[v]), key) != 0)
            continue;
        pairs->of_a[pairs->n] = u;
        pairs->of_b[pairs->n++] = v;
    }
    return ST_OK;
}

/* Means over the users who have a value on both sides. */
static void emit_metric(RowSink *sink, const Pairs *pairs, const double *of_a, const double *of_b,
    double *difference, Interval interval, int64_t count) {
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
    row_number(sink, paired_p(difference, count));
    row_integer(sink, count);
}

static Status emit_pairs(RowSink *sink, Pairs *pairs, const Side *a, const Side *b,
    const EvaluateOptions *options, int k, Task *task, Err *err) {
    Interval interval[N_JUDGED];
    int64_t count[N_JUDGED];
    for (int m = 0; m < N_JUDGED; m++)
        for (int64_t i = 0; i < pairs->n; i++)
            pairs->series[m * pairs->n + i] = judged_values(&b->judged, m, k)[pairs->of_b[i]] -
                judged_values(&a->judged, m, k)[pairs->of_a[i]];
    TRY(intervals_of(interval, count, pairs->series, pairs->n, options, task, err));
    for (int m = 0; m < N_JUDGED; m++) {
        if (options->bootstrap == 0) interval[m].low = interval[m].high = NAN;
        row_text(sink, judged_name(m));
        row_integer(sink, options->k[k]);
        emit_metric(sink, pairs, judged_values(&a->judged, m, k), judged_values(&b->judged, m, k),
            pairs->series + m * pairs->n, interval[m], count[m]);
    }
    return ST_OK;
}

static Status compare_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    EvaluateCall call;
    EvaluateOptions options = {0};
    Side a = {0}, b = {0};
    Pairs pairs = {0};
    Task task = {0};
    Job job;
    TRY(evaluate_parse(text_of(argv[3]), &call, &options, err));
    task.threads = call.threads ? (int)call.threads : task_default_threads();
    options.bootstrap = call.bootstrap;
    options.seed = (uint64_t)call.seed;
    options.beyond = 1;
    TRY(progress_begin(&job, "evaluate", text_of(argv[0]) ? text_of(argv[0]) : "", &task, db,
        (int)call.progress, err));
    Status status = judge_side(
        &a, db, text_of(argv[0]), text_of(argv[2]), &call, &options, &task, err);
    call.version = call.version_b;
    if (status == ST_OK)
        status = judge_side(
            &b, db, text_of(argv[1]), text_of(argv[2]), &call, &options, &task, err);
    if (status == ST_OK) status = pair_users(&pairs, &a, &b, err);
    for (int k = 0; k < options.n_k && status == ST_OK; k++)
        status = emit_pairs(sink, &pairs, &a, &b, &options, k, &task, err);
    pairs_clear(&pairs);
    side_clear(&a);
    side_clear(&b);
    progress_end(&job);
    return status;
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
        {.name = "rec_compare",
            .columns = "metric TEXT, k INTEGER, a REAL, b REAL, difference REAL, ci_low REAL, "
                       "ci_high REAL, p REAL, users INTEGER",
            .n_columns = 9,
            .arguments = ", model_a HIDDEN, model_b HIDDEN, holdout HIDDEN, options HIDDEN",
            .n_arguments = 4,
            .n_required = 3,
            .fill = compare_fill},
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        int code = row_table_register(db, &tables[i]);
        if (code) return code;
    }
    return SQLITE_OK;
}
