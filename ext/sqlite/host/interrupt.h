/* Stopping what computes: sqlite3_interrupt() and progress handlers. */
#ifndef REC_INTERRUPT_H
#define REC_INTERRUPT_H

#include "sql.h"

/* A poll function for Task: has this connection been interrupted, by sqlite3_interrupt() or by a
 * progress handler that says no (the stop button of many hosts; Python hears Ctrl-C only while such
 * a handler runs)? The argument is an InterruptPoll.
 *
 * SQLite asks a progress handler every so many instructions of its own, and while we compute it
 * runs none. So the probe is a statement that does nothing, for about 20,000 instructions every 20
 * ms: a handler set for up to 100,000 instructions is asked every 100 ms, for 2 % of one thread's
 * time. */
typedef struct InterruptPoll {
    sqlite3 *db;
    sqlite3_stmt *probe; /* counts: steps to SQLITE_INTERRUPT */
    double last;         /* when it was last stepped */
} InterruptPoll;
Status interrupt_poll_init(InterruptPoll *poll, sqlite3 *db, Err *err);
void interrupt_poll_clear(InterruptPoll *poll);
int interrupt_poll(void *poll);

#endif
