#define _POSIX_C_SOURCE 200809L
#include "counters.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/memory.h"
#include "../base/text.h"

const char *const operation_names[N_OPERATIONS] = {
    "user", "similar", "basket", "everybody", "search"};

const double counter_bound[COUNTER_BUCKETS] = {1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3,
    5e-3, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

/* The numbers of a series, one after the other as CounterSeries has them. */
enum {
    REQUESTS,
    ERRORS,
    FALL_BACKS,
    ROWS,
    FILLED,
    CANDIDATES,
    NANOSECONDS,
    BUCKETS,
    N_NUMBERS = BUCKETS + COUNTER_BUCKETS + 1
};

/* One thread adds, others read. */
typedef struct Counted {
    char arm[ROUTE_NAME];
    int64_t version;
    Operation operation;
    _Atomic uint64_t number[N_NUMBERS];
} Counted;

enum { BLOCK_SERIES = 32, KEPT_SERIES = 256 };

struct CounterBlock {
    char database[ROUTE_NAME], table[ROUTE_NAME];
    _Atomic int n;
    int last; /* found last */
    Counted series[BLOCK_SERIES];
    CounterBlock *next;
};

/* Of closed blocks, and of series that a block has no room for any more. */
typedef struct Kept {
    char database[ROUTE_NAME], table[ROUTE_NAME], arm[ROUTE_NAME];
    int64_t version;
    Operation operation;
    uint64_t number[N_NUMBERS];
} Kept;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static CounterBlock *blocks;
static Kept kept[KEPT_SERIES];
static int n_kept;
static char process[48];
static int is_off; /* REC_COUNTERS=0 */

static void lock(void) { pthread_mutex_lock(&mutex); }

static void unlock(void) { pthread_mutex_unlock(&mutex); }

static void name_process(void) {
    text_format(process, sizeof process, "%lld-%lld", (long long)time(NULL), (long long)getpid());
}

/* A forked child has its parent's counts, and a name of its own. */
static void after_fork(void) {
    unlock();
    name_process();
}

static void initialise(void) {
    const char *wish = getenv("REC_COUNTERS");
    is_off = wish && strcmp(wish, "0") == 0;
    name_process();
    pthread_atfork(lock, unlock, after_fork);
}

static void enter(void) {
    pthread_once(&once, initialise);
    lock();
}

const char *counters_process(void) {
    pthread_once(&once, initialise);
    return process;
}

uint64_t counters_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void counters_name(char out[ROUTE_NAME], const char *name) {
    text_format(out, ROUTE_NAME, "%s", name);
    text_keep_utf8(out);
}

CounterBlock *counters_open(const char *database, const char *table) {
    pthread_once(&once, initialise);
    CounterBlock *block = is_off ? NULL : mem_zeros(1, sizeof *block);
    if (!block) return NULL;
    counters_name(block->database, database);
    counters_name(block->table, table);
    enter();
    block->next = blocks;
    blocks = block;
    unlock();
    return block;
}

/* Under the lock. Where there is no room, the last place takes all that comes, as COUNTER_OLDER. */
static void keep(const CounterBlock *block, const Counted *series) {
    Kept *to = NULL;
    for (int i = 0; i < n_kept && !to; i++)
        if (kept[i].version == series->version && kept[i].operation == series->operation &&
            strcmp(kept[i].arm, series->arm) == 0 && strcmp(kept[i].table, block->table) == 0 &&
            strcmp(kept[i].database, block->database) == 0)
            to = &kept[i];
    if (!to && n_kept == KEPT_SERIES) {
        to = &kept[KEPT_SERIES - 1];
        to->version = COUNTER_OLDER;
        *to->arm = 0;
    } else if (!to) {
        to = &kept[n_kept++];
        *to = (Kept){.version = series->version, .operation = series->operation};
        counters_name(to->database, block->database);
        counters_name(to->table, block->table);
        counters_name(to->arm, series->arm);
    }
    for (int i = 0; i < N_NUMBERS; i++)
        to->number[i] += atomic_load_explicit(&series->number[i], memory_order_relaxed);
}

void counters_close(CounterBlock *block) {
    if (!block) return;
    enter();
    for (int i = 0; i < block->n; i++) keep(block, &block->series[i]);
    CounterBlock **link = &blocks;
    while (*link != block) link = &(*link)->next;
    *link = block->next;
    unlock();
    mem_free(block);
}

static int has_labels(const Counted *series, const CounterLabels *labels) {
    return series->version == labels->version && series->operation == labels->operation &&
        strcmp(series->arm, labels->arm) == 0;
}

static void begin_series(Counted *series, const CounterLabels *labels) {
    for (int i = 0; i < N_NUMBERS; i++)
        atomic_store_explicit(&series->number[i], 0, memory_order_relaxed);
    series->version = labels->version;
    series->operation = labels->operation;
    counters_name(series->arm, labels->arm);
}

/* A new one; in a full block in the place of its oldest version's. */
static Counted *add_series(CounterBlock *block, const CounterLabels *labels) {
    int n = block->n, at = n;
    enter();
    if (n == BLOCK_SERIES) {
        at = 0;
        for (int i = 1; i < n; i++)
            if (block->series[i].version < block->series[at].version) at = i;
        keep(block, &block->series[at]);
    }
    begin_series(&block->series[at], labels);
    if (n < BLOCK_SERIES) block->n = n + 1;
    unlock();
    block->last = at;
    return &block->series[at];
}

static Counted *find_series(CounterBlock *block, const CounterLabels *labels) {
    if (block->n && has_labels(&block->series[block->last], labels))
        return &block->series[block->last];
    for (int i = 0; i < block->n; i++)
        if (has_labels(&block->series[i], labels)) {
            block->last = i;
            return &block->series[i];
        }
    return add_series(block, labels);
}

static void add(Counted *series, int number, uint64_t by) {
    uint64_t old = atomic_load_explicit(&series->number[number], memory_order_relaxed);
    atomic_store_explicit(&series->number[number], old + by, memory_order_relaxed);
}

void counters_add(CounterBlock *block, const CounterLabels *labels, const CounterEvent *event) {
    if (!block) return;
    Counted *series = find_series(block, labels);
    double seconds = (double)event->nanoseconds * 1e-9;
    int bucket = 0;
    while (bucket < COUNTER_BUCKETS && seconds > counter_bound[bucket]) bucket++;
    add(series, REQUESTS, 1);
    if (event->failed) add(series, ERRORS, 1);
    if (event->fell_back) add(series, FALL_BACKS, 1);
    add(series, ROWS, event->rows);
    if (event->filled) add(series, FILLED, event->filled);
    if (event->candidates) add(series, CANDIDATES, event->candidates);
    add(series, NANOSECONDS, event->nanoseconds);
    add(series, BUCKETS + bucket, 1);
}

/* ---- reading ---- */

static void add_numbers(CounterSeries *to, const uint64_t *number) {
    to->requests += number[REQUESTS];
    to->errors += number[ERRORS];
    to->fall_backs += number[FALL_BACKS];
    to->rows += number[ROWS];
    to->filled += number[FILLED];
    to->candidates += number[CANDIDATES];
    to->nanoseconds += number[NANOSECONDS];
    for (int i = 0; i <= COUNTER_BUCKETS; i++) to->bucket[i] += number[BUCKETS + i];
}

static CounterSeries *append(CounterSeries *out, size_t *n, const char *database, const char *table,
    const char *arm, int64_t version, Operation operation) {
    CounterSeries *to = &out[(*n)++];
    *to = (CounterSeries){.version = version, .operation = operation};
    counters_name(to->database, database);
    counters_name(to->table, table);
    counters_name(to->arm, arm);
    return to;
}

/* Under the lock; there is room. */
static void read_all(CounterSeries *out, size_t *n) {
    for (int i = 0; i < n_kept; i++)
        add_numbers(append(out, n, kept[i].database, kept[i].table, kept[i].arm, kept[i].version,
                        kept[i].operation),
            kept[i].number);
    for (CounterBlock *block = blocks; block; block = block->next)
        for (int i = 0; i < block->n; i++) {
            const Counted *series = &block->series[i];
            uint64_t number[N_NUMBERS];
            for (int j = 0; j < N_NUMBERS; j++)
                number[j] = atomic_load_explicit(&series->number[j], memory_order_relaxed);
            add_numbers(append(out, n, block->database, block->table, series->arm, series->version,
                            series->operation),
                number);
        }
}

static int compare_series(const void *left, const void *right) {
    const CounterSeries *a = left, *b = right;
    int order = strcmp(a->database, b->database);
    if (!order) order = strcmp(a->table, b->table);
    if (!order) order = (a->version > b->version) - (a->version < b->version);
    if (!order) order = strcmp(a->arm, b->arm);
    return order ? order : (int)a->operation - (int)b->operation;
}

/* Those of the same labels become one. */
static size_t merge(CounterSeries *series, size_t n) {
    size_t kept_n = 0;
    qsort(series, n, sizeof *series, compare_series);
    for (size_t i = 0; i < n; i++) {
        CounterSeries *last = kept_n ? &series[kept_n - 1] : NULL;
        if (!last || compare_series(last, &series[i]) != 0) {
            series[kept_n++] = series[i];
            continue;
        }
        last->requests += series[i].requests;
        last->errors += series[i].errors;
        last->fall_backs += series[i].fall_backs;
        last->rows += series[i].rows;
        last->filled += series[i].filled;
        last->candidates += series[i].candidates;
        last->nanoseconds += series[i].nanoseconds;
        for (int j = 0; j <= COUNTER_BUCKETS; j++) last->bucket[j] += series[i].bucket[j];
    }
    return kept_n;
}

Status counters_read(CounterSeries **out, size_t *n, Err *err) {
    *n = 0;
    enter();
    size_t room = (size_t)n_kept;
    for (CounterBlock *block = blocks; block; block = block->next) room += (size_t)block->n;
    *out = mem_array(room, sizeof **out);
    if (*out) read_all(*out, n);
    unlock();
    if (!*out) return fail_nomem(err, "the counters");
    *n = merge(*out, *n);
    return ST_OK;
}

double counters_quantile(const CounterSeries *series, double q) {
    double wanted = q * (double)series->requests, below = 0;
    if (!series->requests) return NAN;
    for (int i = 0; i < COUNTER_BUCKETS; i++) {
        double n = (double)series->bucket[i], low = i ? counter_bound[i - 1] : 0;
        if (n > 0 && below + n >= wanted)
            return low + (counter_bound[i] - low) * (wanted - below) / n;
        below += n;
    }
    return counter_bound[COUNTER_BUCKETS - 1];
}
