#include "interrupt.h"

/* About 13 instructions a number. */
enum { PROBE_LENGTH = 1500 };

static const double POLL_SECONDS = 0.015; /* tasks poll every 20 ms */

Status interrupt_poll_init(InterruptPoll *poll, sqlite3 *db, Err *err) {
    *poll = (InterruptPoll){.db = db};
    return sql_prepare(db, &poll->probe, err,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT max(i) "
        "FROM n",
        PROBE_LENGTH);
}

void interrupt_poll_clear(InterruptPoll *poll) {
    sqlite3_finalize(poll->probe);
    poll->probe = NULL;
}

int interrupt_poll(void *argument) {
    InterruptPoll *poll = argument;
    double now = task_clock();
    if (now - poll->last < POLL_SECONDS) return 0;
    poll->last = now;
    int code = sqlite3_step(poll->probe);
    sqlite3_reset(poll->probe);
    return code == SQLITE_INTERRUPT;
}
