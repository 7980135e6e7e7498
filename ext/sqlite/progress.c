#include "progress.h"
#include "../base/text.h"

#include <pthread.h>
#include <stdarg.h>
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

void progress_print(const Job *job, const char *format, ...) {
    va_list arguments;
    char text[400];
    if (!job->to_stderr) return;
    va_start(arguments, format);
    text_vformat(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s %s: %s\n", job->kind, job->name, text);
}

/* "trial 3 of 30, sweeps", or the phase alone. */
static void describe(const Job *job, char *out, size_t size) {
    const char *phase = atomic_load(&job->task->phase);
    int64_t trial = atomic_load(&job->trial);
    if (!phase) phase = "starting";
    if (trial)
        text_format(out, size, "trial %lld of %lld, %s", (long long)trial, (long long)atomic_load(&job->trials), phase);
    else
        text_format(out, size, "%s", phase);
}

static void print_line(Job *job) {
    double seconds = task_clock() - job->started;
    int64_t done = atomic_load(&job->task->done), total = atomic_load(&job->task->total);
    char phase[100];
    if (seconds - job->last_printed < 0.5) return;
    job->last_printed = seconds;
    describe(job, phase, sizeof phase);
    progress_print(job, "%s %lld of %lld, %.1f s", phase, (long long)done, (long long)total, seconds);
}

static int poll(void *argument) {
    Job *job = argument;
    if (job->to_stderr) print_line(job);
    return interrupt_poll(&job->poll);
}

Status progress_begin(Job *job, const char *kind, const char *name, Task *task, sqlite3 *db, int to_stderr, Err *err) {
    *job = (Job){.kind = kind, .task = task, .to_stderr = to_stderr, .started = task_clock()};
    text_format(job->name, sizeof job->name, "%s", name);
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
        char phase[100];
        describe(job, phase, sizeof phase);
        row_integer(sink, job->id);
        row_text(sink, job->name);
        row_text(sink, phase);
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
