/* The events of a tuning with their split, and the trial of one setting. */
#include <math.h>

#include "../../base/memory.h"
#include "../host/guard.h"
#include "model_items.h"
#include "model_setting.h"
#include "tune.h"

Status tuning_open(Tuning *tuning, EventsReader *reader, int64_t parts, Err *err) {
    if (tuning->call.split != SPLIT_RANDOM && !tuning->definition->time)
        return fail(err, ST_BADARG,
            "split=time and split=last need the model's time= column (or split=random)");
    TRY(guard_may_train(tuning->definition->id.db, err));
    int has_until = isfinite(tuning->call.until);
    if (has_until && !tuning->definition->time)
        return fail(err, ST_BADARG, "until needs the model's time= column");
    task_phase(&tuning->task, "reading events", "events", 0, 0);
    TRY(event_set_init(&tuning->events, err));
    reader->task = &tuning->task;
    Status status = events_read_set(reader, has_until, tuning->call.until, &tuning->events, err);
    reader->task = NULL;
    TRY(status);
    TRY(event_set_sort(&tuning->events, err));
    tuning->parts = parts;
    tuning->held = mem_array((size_t)tuning->events.n, (size_t)parts);
    tuning->part = mem_array((size_t)tuning->events.n, 1);
    return tuning->held && tuning->part ? ST_OK : fail_nomem(err, "the split");
}

void tuning_close(Tuning *tuning) {
    mem_free(tuning->held);
    mem_free(tuning->part);
    for (int i = 0; i < TUNING_KEPT; i++) trial_kept_clear(&tuning->kept[i]);
    event_set_clear(&tuning->events);
    tune_call_clear(&tuning->call);
}

static Status list_items(void *host, Dataset *data, Err *err) {
    return items_list(host, data, err);
}

static Status read_items(void *host, Dataset *data, Task *task, Err *err) {
    return items_read(host, data, task, err);
}

Status tuning_run_setting(Tuning *tuning, const char *options, const uint8_t *held, TrialKept *kept,
    TrialResult *out, TrialUsers *users, Err *err) {
    ModelDefinition definition = *tuning->definition; /* its texts stay the definition's */
    Setting setting;
    EvaluateOptions evaluate = {
        .k = {tuning->call.k}, .n_k = 1, .exclude_seen = (int)tuning->call.exclude_seen};
    TRY(train_setting(&definition, options, &setting, err));
    definition.algorithm = setting.algorithm;
    if (definition.session && algorithm_by_session(setting.algorithm, &setting.params))
        return fail(
            err, ST_BADARG, "%s on a model with session= cannot be tuned", setting.algorithm->name);
    Catalogue catalogue = {&definition, list_items, read_items};
    return trial_run(out, users, &tuning->events, held, &setting, &evaluate, &catalogue, kept,
        &tuning->task, err);
}

static Status judge_parts(Tuning *tuning, const char *options, double share, SettingResult *out,
    TrialUsers *users, Err *err) {
    for (int64_t p = 0; p < tuning->parts; p++) {
        const uint8_t *held = tuning->held + p * tuning->events.n;
        TrialResult result;
        if (share < 1) {
            TRY(sample_users(
                &tuning->events, share, (uint64_t)tuning->call.seed, held, tuning->part, err));
            held = tuning->part;
        }
        TrialKept *kept = p < TUNING_KEPT ? &tuning->kept[p] : NULL;
        TRY(tuning_run_setting(tuning, options, held, kept, &result, users, err));
        out->seconds += result.seconds;
    }
    return ST_OK;
}

Status tuning_judge(Tuning *tuning, const char *options, double share, SettingResult *out,
    double *per_user, Err *err) {
    size_t n = (size_t)keymap_count(tuning->events.users);
    double sum = 0;
    TrialUsers users = {(RankingMetric)tuning->call.metric, mem_zeros(n, sizeof *users.sum),
        mem_zeros(n, sizeof *users.count)};
    *out = (SettingResult){0};
    Status status = users.sum && users.count ? judge_parts(tuning, options, share, out, &users, err)
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
