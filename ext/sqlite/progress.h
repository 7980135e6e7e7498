/* Jobs that run now, for rec_progress: process-wide, readable from any thread. */
#ifndef REC_PROGRESS_H
#define REC_PROGRESS_H

#include "row_table.h"

typedef struct Job {
    sqlite3_int64 id;
    const char *kind; /* "train", "optimize": a string constant */
    char name[64];    /* of the table */
    Task *task;
    double started;      /* monotonic seconds */
    int to_stderr;       /* print a line now and then */
    double last_printed;
    InterruptPoll poll;
    struct Job *next;
} Job;

/* Begin: fills task->poll (interrupts of db and, if asked for, lines on stderr) and lists the job. */
Status progress_begin(Job *job, const char *kind, const char *name, Task *task, sqlite3 *db, int to_stderr, Err *err);
void progress_end(Job *job);

/* The rows of rec_progress. */
void progress_rows(RowSink *sink);

#endif
