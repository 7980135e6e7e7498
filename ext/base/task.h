/* A long job: cancel, progress, and work shared out to threads.
 *
 * The host gives a Task a poll function, which only the thread that started the job calls (SQLite's
 * handle belongs to it), at least every 20 ms. Workers read the cancel flag between two pieces of
 * work of a few milliseconds. */
#ifndef REC_TASK_H
#define REC_TASK_H

#include <stdatomic.h>
#include <stdint.h>

#include "status.h"

typedef struct Task {
    int (*poll)(void *host); /* returns 1 to cancel; NULL: never */
    void *host;
    double deadline; /* by task_clock; 0: none. What goes on longer is cancelled */
    _Atomic int is_late;
    _Atomic int cancelled;
    _Atomic int64_t done; /* pieces of the present phase */
    _Atomic int64_t total;
    _Atomic(const char *) phase; /* string constants: what is done now, and what it is counted in */
    _Atomic(const char *) unit;
    _Atomic int64_t units; /* the whole of it, in that unit; 0: unknown, and done counts units */
    _Atomic double began;  /* the phase, by task_clock */
    int threads;           /* 1 .. 64 */
} Task;

/* Start a phase of so many units ("items", "sweeps"), done in total pieces of equal work. Units 0:
 * nobody knows how many; done then counts units. */
void task_phase(Task *task, const char *phase, const char *unit, int64_t units, int64_t total);

/* Where a phase is, for people: any thread may ask. */
typedef struct TaskProgress {
    const char *phase, *unit; /* "" before the first phase */
    int64_t done, total;      /* in units; total 0: unknown */
    double rate;              /* units a second; 0 before the first is done */
    double seconds_left;      /* of the phase; -1: unknown */
} TaskProgress;
TaskProgress task_progress(Task *task);

/* From the starting thread, now and then: polls the host. From any thread: is the job cancelled? */
int task_poll(Task *task);
/* The same as a callback; NULL is a job that nobody cancels. */
int task_poll_any(void *task);
static inline int task_cancelled(Task *task) {
    return atomic_load_explicit(&task->cancelled, memory_order_relaxed);
}

/* A piece of work; worker is 0 .. threads-1 and names the scratch memory that is free for it. */
typedef void (*TaskWork)(void *context, int64_t piece, int worker);

/* Run work(context, 0 .. pieces-1) on task->threads threads and wait. Pieces are handed out in
 * order and must not depend on which worker runs them: results are the same on any number of
 * threads. ST_CANCELLED when the host said so; pieces not yet begun are left out. The starting
 * thread only polls, so that it answers an interrupt while the workers are busy. */
Status task_run(Task *task, int64_t pieces, TaskWork work, void *context, Err *err);

/* What the first piece to fail said. All zeros before. */
typedef struct TaskFailure {
    _Atomic int failed;
    Status status;
    Err err;
} TaskFailure;
/* From any worker, with its error; ST_OK notes nothing. */
void task_failure_note(TaskFailure *failure, Status status, const Err *err);
/* After task_run gave so_far: it, or the failure with its error. */
Status task_failure(const TaskFailure *failure, Status so_far, Err *err);

/* Seconds of a clock that never goes back; only differences mean something. */
double task_clock(void);

/* The CPU's threads that this process may use, 1 .. 64. */
int task_default_threads(void);

#endif
