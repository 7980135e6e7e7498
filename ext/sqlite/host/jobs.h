/* Jobs that run now, for rec_progress: process-wide, readable from any thread. */
#ifndef REC_JOBS_H
#define REC_JOBS_H

#include <stdatomic.h>

#include "row_table.h"
#include "interrupt.h"

typedef struct Job {
    sqlite3_int64 id;
    const char *kind; /* "train", "optimize": a string constant */
    char name[64];    /* of the table */
    Task *task;
    double started; /* monotonic seconds */
    int to_stderr;  /* print a line now and then */
    double last_printed;
    _Atomic int64_t trial, trials; /* of a tuning: which one of how many; 0: none */
    InterruptPoll poll;
    struct Job *next;
} Job;

/* Begin: fills task->poll (interrupts of db and, if asked for, lines on stderr) and lists the
 * job. */
Status job_begin(
    Job *job, const char *kind, const char *name, Task *task, sqlite3 *db, int to_stderr, Err *err);
void job_end(Job *job);

/* A line on stderr, where lines were asked for: "tune recs: ...". */
void job_print(const Job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The rows of rec_progress. */
void jobs_rows(RowSink *sink);

#endif
