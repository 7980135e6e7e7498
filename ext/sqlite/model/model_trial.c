/* The events of a tuning with their split, and the trial of one setting. */
#include <math.h>

#include "../../base/memory.h"
#include "tune.h"

Status tuning_open(Tuning *t, EventsReader *reader, int64_t parts, Err *err) {
    if (t->call.split != SPLIT_RANDOM && !t->definition->time)
        return fail(err, ST_BADARG,
            "split=time and split=last need the model's time= column (or split=random)");
    int has_until = isfinite(t->call.until);
    if (has_until && !t->definition->time)
        return fail(err, ST_BADARG, "until needs the model's time= column");
    task_phase(&t->task, "reading events", "events", 0, 0);
    TRY(event_set_init(&t->events, err));
    reader->task = &t->task;
    Status status = events_read_set(reader, has_until, t->call.until, &t->events, err);
    reader->task = NULL;
    TRY(status);
    TRY(event_set_sort(&t->events, err));
    t->parts = parts;
    t->held = mem_array((size_t)t->events.n, (size_t)parts);
    t->part = mem_array((size_t)t->events.n, 1);
    return t->held && t->part ? ST_OK : fail_nomem(err, "the split");
}

void tuning_close(Tuning *t) {
    mem_free(t->held);
    mem_free(t->part);
    event_set_clear(&t->events);
    tune_call_clear(&t->call);
}

static Status list_items(void *host, Dataset *data, Err *err) {
    return items_list(host, data, err);
}

static Status read_items(void *host, Dataset *data, Err *err) {
    return items_read(host, data, err);
}

Status tuning_run_setting(Tuning *t, const char *options, const uint8_t *held, TrialResult *out,
    TrialUsers *users, Err *err) {
    ModelDefinition d = *t->definition; /* its texts stay the definition's */
    Setting setting;
    EvaluateOptions evaluate = {
        .k = {t->call.k}, .n_k = 1, .exclude_seen = (int)t->call.exclude_seen};
    TRY(train_setting(&d, options, &setting, err));
    d.algorithm = setting.algorithm;
    if (d.session && setting.algorithm->by_session)
        return fail(
            err, ST_BADARG, "%s on a model with session= cannot be tuned", setting.algorithm->name);
    Catalogue catalogue = {&d, list_items, read_items};
    return trial_run(out, users, &t->events, held, &setting, &evaluate, &catalogue, &t->task, err);
}

static Status judge_parts(
    Tuning *t, const char *options, double share, SettingResult *out, TrialUsers *users, Err *err) {
    for (int64_t p = 0; p < t->parts; p++) {
        const uint8_t *held = t->held + p * t->events.n;
        TrialResult result;
        if (share < 1) {
            TRY(sample_users(&t->events, share, (uint64_t)t->call.seed, held, t->part, err));
            held = t->part;
        }
        TRY(tuning_run_setting(t, options, held, &result, users, err));
        out->seconds += result.seconds;
    }
    return ST_OK;
}

Status tuning_judge(
    Tuning *t, const char *options, double share, SettingResult *out, double *per_user, Err *err) {
    size_t n = (size_t)keymap_count(t->events.users);
    double sum = 0;
    TrialUsers users = {(RankingMetric)t->call.metric, mem_zeros(n, sizeof *users.sum),
        mem_zeros(n, sizeof *users.count)};
    *out = (SettingResult){0};
    Status status = users.sum && users.count ? judge_parts(t, options, share, out, &users, err)
                                             : fail_nomem(err, "a trial");
    for (size_t u = 0; u < n && status == ST_OK; u++) {
        double own = users.count[u] ? users.sum[u] / users.count[u] : NAN;
        if (per_user) per_user[u] = own;
        if (!users.count[u]) continue;
        sum += own;
        out->users++;
    }
    out->value = out->users ? sum / out->users : NAN;
    mem_free(users.sum);
    mem_free(users.count);
    return status;
}
