#include "jobs.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../../base/text.h"
#include "interrupt.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static Job *jobs;
static sqlite3_int64 last_id;

static void lock(void) { pthread_mutex_lock(&mutex); }

static void unlock(void) { pthread_mutex_unlock(&mutex); }

static void initialise(void) { pthread_atfork(lock, unlock, unlock); }

void job_print(const Job *job, const char *format, ...) {
    va_list arguments;
    char text[400];
    if (!job->to_stderr) return;
    va_start(arguments, format);
    text_vformat(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s %s: %s\n", job->kind, job->name, text);
}

/* "trial 3 of 30, factors", or the phase alone. */
static void describe(const Job *job, const TaskProgress *progress, char *out, size_t size) {
    int64_t trial = atomic_load(&job->trial);
    const char *phase = *progress->phase ? progress->phase : "starting";
    if (trial)
        text_format(out, size, "trial %lld of %lld, %s", (long long)trial,
            (long long)atomic_load(&job->trials), phase);
    else text_format(out, size, "%s", phase);
}

/* "train recs: factors, 3 of 15 sweeps, 1.2 sweeps/s, 10 s left (2.5 s)". */
static void print_line(Job *job) {
    double seconds = task_clock() - job->started;
    TaskProgress now = task_progress(job->task);
    char phase[100], count[80] = "", pace[80] = "", left[40] = "";
    if (seconds - job->last_printed < 0.5) return;
    job->last_printed = seconds;
    describe(job, &now, phase, sizeof phase);
    if (now.total)
        text_format(count, sizeof count, ", %lld of %lld %s", (long long)now.done,
            (long long)now.total, now.unit);
    if (!now.total && now.done)
        text_format(count, sizeof count, ", %lld %s", (long long)now.done, now.unit);
    if (now.rate > 0) text_format(pace, sizeof pace, ", %.3g %s/s", now.rate, now.unit);
    if (now.seconds_left >= 0) text_format(left, sizeof left, ", %.0f s left", now.seconds_left);
    job_print(job, "%s%s%s%s (%.1f s)", phase, count, pace, left, seconds);
}

static int poll(void *argument) {
    Job *job = argument;
    if (job->to_stderr) print_line(job);
    return interrupt_poll(&job->poll);
}

Status job_begin(Job *job, const char *kind, const char *name, Task *task, sqlite3 *db,
    int to_stderr, Err *err) {
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

void job_end(Job *job) {
    lock();
    for (Job **link = &jobs; *link; link = &(*link)->next)
        if (*link == job) {
            *link = job->next;
            break;
        }
    unlock();
    interrupt_poll_clear(&job->poll);
}

void jobs_rows(RowSink *sink) {
    pthread_once(&once, initialise);
    lock();
    for (const Job *job = jobs; job; job = job->next) {
        TaskProgress now = task_progress(job->task);
        char phase[100];
        describe(job, &now, phase, sizeof phase);
        row_integer(sink, job->id);
        row_text(sink, job->name);
        row_text(sink, phase);
        row_integer(sink, now.done);
        row_integer(sink, now.total);
        row_real(sink, task_clock() - job->started);
        row_number(sink, now.seconds_left < 0 ? NAN : now.seconds_left);
        row_text(sink, now.unit);
        row_number(sink, now.rate > 0 ? now.rate : NAN);
    }
    unlock();
}
