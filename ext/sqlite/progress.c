#include "progress.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static Job *jobs;
static sqlite3_int64 last_id;

static void lock(void) {
    pthread_mutex_lock(&mutex);
}

static void unlock(void) {
    pthread_mutex_unlock(&mutex);
}

static void initialise(void) {
    pthread_atfork(lock, unlock, unlock);
}

static void print_line(Job *job) {
    double seconds = task_clock() - job->started;
    int64_t done = atomic_load(&job->task->done), total = atomic_load(&job->task->total);
    const char *phase = atomic_load(&job->task->phase);
    if (seconds - job->last_printed < 0.5) return;
    job->last_printed = seconds;
    fprintf(stderr, "%s %s: %s %lld of %lld, %.1f s\n", job->kind, job->name, phase ? phase : "starting", (long long)done,
            (long long)total, seconds);
}

static int poll(void *argument) {
    Job *job = argument;
    if (job->to_stderr) print_line(job);
    return interrupt_poll(&job->poll);
}

Status progress_begin(Job *job, const char *kind, const char *name, Task *task, sqlite3 *db, int to_stderr, Err *err) {
    *job = (Job){.kind = kind, .task = task, .to_stderr = to_stderr, .started = task_clock()};
    snprintf(job->name, sizeof job->name, "%s", name);
    TRY(interrupt_poll_init(&job->poll, db, err));
    task->poll = poll;
    task->host = job;
    pthread_once(&once, initialise);
    lock();
    job->id = ++last_id;
    job->next = jobs;
    jobs = job;
    unlock();
    return ST_OK;
}

void progress_end(Job *job) {
    lock();
    for (Job **link = &jobs; *link; link = &(*link)->next)
        if (*link == job) {
            *link = job->next;
            break;
        }
    unlock();
    interrupt_poll_clear(&job->poll);
}

void progress_rows(RowSink *sink) {
    pthread_once(&once, initialise);
    lock();
    for (const Job *job = jobs; job; job = job->next) {
        double seconds = task_clock() - job->started;
        int64_t done = atomic_load(&job->task->done), total = atomic_load(&job->task->total);
        const char *phase = atomic_load(&job->task->phase);
        row_integer(sink, job->id);
        row_text(sink, job->name);
        row_text(sink, phase ? phase : "starting");
        row_integer(sink, done);
        row_integer(sink, total);
        row_real(sink, seconds);
        if (done > 0)
            row_real(sink, seconds * (double)(total - done) / (double)done);
        else
            row_null(sink);
    }
    unlock();
}
