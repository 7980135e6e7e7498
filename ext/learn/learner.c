#include "learner.h"

#include "../base/memory.h"

const char *learn_task_name(LearnTask task) {
    static const char *const names[] = {
        "number", "classes", "ranking", "segments", "components", "anomaly"};
    return names[task];
}

Status learn_log_add(LearnLog *log, double sweep, double objective, double validation, Err *err) {
    if (log->n == log->room) {
        int64_t room = log->room ? log->room * 2 : 64;
        void *step = mem_resize(log->step, (size_t)room, sizeof *log->step);
        if (!step) return fail_nomem(err, "the log");
        log->step = step;
        log->room = room;
    }
    log->step[log->n++] = (LearnStep){sweep, objective, task_clock() - log->began, validation};
    return ST_OK;
}

void learn_log_clear(LearnLog *log) {
    mem_free(log->step);
    *log = (LearnLog){0};
}

Status learn_run(
    Task *task, int is_little, int64_t pieces, TaskWork work, void *context, Err *err) {
    if (!is_little) return task_run(task, pieces, work, context, err);
    for (int64_t i = 0; i < pieces; i++) work(context, i, 0);
    return task_poll(task) ? fail(err, ST_CANCELLED, "interrupted") : ST_OK;
}

int64_t learn_slices(int64_t rows, int64_t doubles) {
    const int64_t room = 8 << 20; /* doubles: 64 MiB */
    int64_t slices = room / (doubles < 1 ? 1 : doubles);
    if (slices > 16) slices = 16;
    if (slices < 2) slices = 2;
    return slices < rows ? slices : rows < 1 ? 1 : rows;
}
