/* How much was asked, how long it took and what came of it, in this process.
 *
 * A CounterBlock belongs to one table of one connection, which adds to it without a lock: SQLite
 * lets one thread at a time use a connection. Who reads takes a lock that only those take who open
 * and close blocks. What a closed block has counted stays.
 *
 *     block = counters_open("shop.db", "recs");           NULL: no memory, nothing is counted
 *     counters_add(block, &labels, &event);               some 30 ns
 *     counters_close(block);
 *
 * REC_COUNTERS=0 in the environment: nothing is counted. */
#ifndef REC_COUNTERS_H
#define REC_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "route.h"

typedef enum Operation {
    OPERATION_USER,
    OPERATION_SIMILAR,
    OPERATION_BASKET,
    OPERATION_EVERYBODY,
    OPERATION_SEARCH,
    N_OPERATIONS
} Operation;
extern const char *const operation_names[N_OPERATIONS];

/* Upper bounds of the histogram's buckets in seconds, ascending; beyond the last one is
 * infinity. */
enum { COUNTER_BUCKETS = 19 };
extern const double counter_bound[COUNTER_BUCKETS];

typedef struct CounterLabels {
    int64_t version; /* 0: none; COUNTER_OLDER: of several that are not told apart any more */
    const char *arm; /* "": none */
    Operation operation;
} CounterLabels;
enum { COUNTER_OLDER = -1 };

/* One request. */
typedef struct CounterEvent {
    int failed, fell_back;
    uint64_t rows, filled, candidates; /* filled: of the rows, those from the popular list */
    uint64_t nanoseconds;
} CounterEvent;

typedef struct CounterBlock CounterBlock;
/* Names are cut at 63 bytes, and are UTF-8. */
void counters_name(char out[ROUTE_NAME], const char *name);
CounterBlock *counters_open(const char *database, const char *table);
void counters_close(CounterBlock *block);
void counters_add(CounterBlock *block, const CounterLabels *labels, const CounterEvent *event);

/* Nanoseconds of a clock that never goes back. */
uint64_t counters_clock(void);

/* What all blocks have counted of a label. */
typedef struct CounterSeries {
    char database[ROUTE_NAME], table[ROUTE_NAME], arm[ROUTE_NAME];
    int64_t version;
    Operation operation;
    uint64_t requests, errors, fall_backs, rows, filled, candidates, nanoseconds;
    uint64_t bucket[COUNTER_BUCKETS + 1];
} CounterSeries;

/* Sorted by database, table, version, arm, operation; *out is mem_free'd. */
Status counters_read(CounterSeries **out, size_t *n, Err *err);

/* Seconds below which the share q of the requests lies, by linear interpolation in its bucket; NaN
 * without requests. */
double counters_quantile(const CounterSeries *series, double q);

/* This process among those that have a database: "unix seconds of its first call-process id". */
const char *counters_process(void);

#endif
