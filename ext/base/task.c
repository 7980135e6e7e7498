#define _GNU_SOURCE
#include "task.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

enum { POLL_MS = 20, MAX_THREADS = 64 };

typedef struct TaskRun {
    Task *task;
    TaskWork work;
    void *context;
    int64_t pieces;
    _Atomic int64_t next;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    int running;
} TaskRun;

typedef struct TaskWorker {
    TaskRun *run;
    int index;
    pthread_t thread;
} TaskWorker;

void task_phase(Task *task, const char *phase, const char *unit, int64_t units, int64_t total) {
    atomic_store(&task->done, 0);
    atomic_store(&task->total, total);
    atomic_store(&task->units, units);
    atomic_store(&task->unit, unit);
    atomic_store(&task->began, task_clock());
    atomic_store(&task->phase, phase);
}

TaskProgress task_progress(Task *task) {
    const char *phase = atomic_load(&task->phase), *unit = atomic_load(&task->unit);
    int64_t pieces = atomic_load(&task->total), done = atomic_load(&task->done),
            units = atomic_load(&task->units);
    double seconds = task_clock() - atomic_load(&task->began),
           share = pieces > 0 ? fmin((double)done / (double)pieces, 1) : 0;
    TaskProgress out = {phase ? phase : "", unit ? unit : "",
        units ? (int64_t)(share * (double)units) : done, units, 0, -1};
    double exact = units ? share * (double)units : (double)done;
    if (exact > 0 && seconds > 0) out.rate = exact / seconds;
    if (units && share > 0) out.seconds_left = seconds * (1 - share) / share;
    return out;
}

int task_poll(Task *task) {
    if (task_cancelled(task) || !task->poll) return task_cancelled(task);
    if (task->deadline > 0 && task_clock() > task->deadline) {
        atomic_store(&task->is_late, 1);
        atomic_store(&task->cancelled, 1);
    }
    if (task->poll(task->host)) atomic_store(&task->cancelled, 1);
    return task_cancelled(task);
}

static void work_through(TaskRun *run, int worker) {
    while (!task_cancelled(run->task)) {
        int64_t piece = atomic_fetch_add(&run->next, 1);
        if (piece >= run->pieces) return;
        run->work(run->context, piece, worker);
        atomic_fetch_add_explicit(&run->task->done, 1, memory_order_relaxed);
    }
}

static void *worker_main(void *argument) {
    TaskWorker *worker = argument;
    TaskRun *run = worker->run;
    work_through(run, worker->index);
    pthread_mutex_lock(&run->mutex);
    run->running--;
    pthread_cond_signal(&run->ended);
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}

static void wait_and_poll(TaskRun *run) {
    pthread_mutex_lock(&run->mutex);
    while (run->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += POLL_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        if (pthread_cond_timedwait(&run->ended, &run->mutex, &until) == ETIMEDOUT) {
            pthread_mutex_unlock(&run->mutex);
            task_poll(run->task);
            pthread_mutex_lock(&run->mutex);
        }
    }
    pthread_mutex_unlock(&run->mutex);
}

Status task_run(Task *task, int64_t pieces, TaskWork work, void *context, Err *err) {
    TaskRun run = {.task = task, .work = work, .context = context, .pieces = pieces};
    TaskWorker worker[MAX_THREADS];
    int threads = task->threads < 1 ? 1 : task->threads > MAX_THREADS ? MAX_THREADS : task->threads;
    int started = 0;

    if (threads > pieces) threads = pieces < 1 ? 1 : (int)pieces;
    pthread_mutex_init(&run.mutex, NULL);
    pthread_cond_init(&run.ended, NULL);
    run.running = threads;
    for (; started < threads; started++) {
        worker[started] = (TaskWorker){.run = &run, .index = started};
        if (pthread_create(&worker[started].thread, NULL, worker_main, &worker[started])) break;
    }
    if (started < threads) { /* fewer threads than asked for: the work is the same */
        pthread_mutex_lock(&run.mutex);
        run.running -= threads - started;
        pthread_mutex_unlock(&run.mutex);
    }
    if (started == 0) work_through(&run, 0);
    wait_and_poll(&run);
    for (int i = 0; i < started; i++) pthread_join(worker[i].thread, NULL);
    pthread_cond_destroy(&run.ended);
    pthread_mutex_destroy(&run.mutex);
    return task_poll(task) ? fail(err, ST_CANCELLED, "interrupted") : ST_OK;
}

void task_failure_note(TaskFailure *failure, Status status, const Err *err) {
    if (status == ST_OK || atomic_exchange(&failure->failed, 1)) return;
    failure->status = status;
    failure->err = *err;
}

Status task_failure(const TaskFailure *failure, Status so_far, Err *err) {
    if (so_far != ST_OK || !failure->failed) return so_far;
    if (err) *err = failure->err;
    return failure->status;
}

double task_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int task_default_threads(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

int task_poll_any(void *task) { return task && task_poll(task); }
