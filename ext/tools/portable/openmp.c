/* What FAISS asks of OpenMP's run-time library (libgomp's ABI, version 4.5), on POSIX threads, for
 * an object that carries everything that it needs: gcc's own static libgomp cannot be part of a
 * shared object, and a shared one would offer its names to every other package of the process.
 *
 * A region's threads are made when it begins and joined when it ends: nothing runs between two
 * searches, so that a process may fork. Regions inside a region run on their one thread. Loops are
 * handed out in chunks by a counter; a team has at most LOOPS loops that some of its threads are
 * still in. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

enum { LOOPS = 16, MOST_THREADS = 256, SPINS = 64 };

typedef struct Loop {
    long number; /* which one of the team's, from 1; 0: nobody's yet */
    long at, end, step, chunk;
    int left; /* threads that are through with it */
} Loop;

typedef struct Team {
    int n;
    pthread_mutex_t mutex;
    pthread_cond_t moved; /* somebody came to the barrier, or left a loop */
    int waiting;
    unsigned long barriers; /* that everybody has passed */
    atomic_long singles;    /* handed out */
    Loop loop[LOOPS];
} Team;

/* What a thread is in. */
typedef struct Place {
    Team *team; /* NULL: no region */
    int id;
    long loops, singles; /* that it has come to */
} Place;

typedef struct Member {
    Team *team;
    void (*work)(void *);
    void *data;
    int id;
    pthread_t thread;
} Member;

static _Thread_local Place place;
static _Thread_local int wished; /* omp_set_num_threads; 0: as many as CPUs */

/* ---- how many ---- */

int omp_get_max_threads(void);
int omp_get_num_threads(void);
int omp_get_thread_num(void);
int omp_in_parallel(void);
void omp_set_num_threads(int n);
int omp_get_nested(void);
void omp_set_nested(int nested);
int omp_get_initial_device(void);
int omp_pause_resource(int kind, int device);

int omp_get_max_threads(void) {
    long cpus = wished ? wished : sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < 1 ? 1 : cpus > MOST_THREADS ? MOST_THREADS : (int)cpus;
}

void omp_set_num_threads(int n) { wished = n > 0 ? n : 1; }
int omp_get_num_threads(void) { return place.team ? place.team->n : 1; }
int omp_get_thread_num(void) { return place.id; }
int omp_in_parallel(void) { return place.team && place.team->n > 1; }
int omp_get_nested(void) { return 0; }
void omp_set_nested(int nested) { (void)nested; }
int omp_get_initial_device(void) { return 0; }
int omp_pause_resource(int kind, int device) { return (void)kind, (void)device, 0; }

/* ---- regions ---- */

void GOMP_parallel(void (*work)(void *), void *data, unsigned n, unsigned flags);
void GOMP_barrier(void);
bool GOMP_single_start(void);

static void enter(Team *team, int id, void (*work)(void *), void *data) {
    Place before = place;
    place = (Place){.team = team, .id = id};
    work(data);
    place = before;
}

/* A member waits until it is known how many there are. */
static void *run_member(void *argument) {
    Member *member = argument;
    pthread_mutex_lock(&member->team->mutex);
    pthread_mutex_unlock(&member->team->mutex);
    enter(member->team, member->id, member->work, member->data);
    return NULL;
}

void GOMP_parallel(void (*work)(void *), void *data, unsigned n, unsigned flags) {
    Member member[MOST_THREADS];
    Team team = {.n = 1};
    int wanted = n ? (int)n : omp_get_max_threads();
    if (wanted > MOST_THREADS) wanted = MOST_THREADS;
    if (omp_in_parallel()) wanted = 1;
    (void)flags;
    pthread_mutex_init(&team.mutex, NULL);
    pthread_cond_init(&team.moved, NULL);
    pthread_mutex_lock(&team.mutex);
    for (; team.n < wanted; team.n++) {
        Member *next = &member[team.n];
        *next = (Member){&team, work, data, team.n, 0};
        if (pthread_create(&next->thread, NULL, run_member, next)) break;
    }
    pthread_mutex_unlock(&team.mutex);
    enter(&team, 0, work, data);
    for (int i = 1; i < team.n; i++) pthread_join(member[i].thread, NULL);
    pthread_cond_destroy(&team.moved);
    pthread_mutex_destroy(&team.mutex);
}

void GOMP_barrier(void) {
    Team *team = place.team;
    if (!team || team->n == 1) return;
    pthread_mutex_lock(&team->mutex);
    unsigned long passed = team->barriers;
    if (++team->waiting == team->n) {
        team->waiting = 0;
        team->barriers++;
        pthread_cond_broadcast(&team->moved);
    }
    while (team->barriers == passed) pthread_cond_wait(&team->moved, &team->mutex);
    pthread_mutex_unlock(&team->mutex);
}

/* True for the first thread that comes to it. */
bool GOMP_single_start(void) {
    long own = place.singles++;
    return !place.team || atomic_compare_exchange_strong(&place.team->singles, &own, own + 1);
}

/* ---- loops ---- */

bool GOMP_loop_nonmonotonic_dynamic_start(
    long from, long end, long step, long chunk, long *first, long *last);
bool GOMP_loop_nonmonotonic_dynamic_next(long *first, long *last);
void GOMP_loop_end_nowait(void);
void GOMP_loop_end(void);

/* The next chunk; the team's mutex is held. */
static bool take_chunk(Loop *loop, long *first, long *last) {
    if (loop->step > 0 ? loop->at >= loop->end : loop->at <= loop->end) return false;
    long left = (loop->end - loop->at) / loop->step +
        ((loop->end - loop->at) % loop->step != 0); /* rounds */
    long rounds = loop->chunk < left ? loop->chunk : left;
    *first = loop->at;
    loop->at = rounds == left ? loop->end : loop->at + rounds * loop->step;
    *last = loop->at;
    return true;
}

bool GOMP_loop_nonmonotonic_dynamic_start(
    long from, long end, long step, long chunk, long *first, long *last) {
    Team *team = place.team;
    if (!team) { /* a loop outside of any region */
        *first = from;
        *last = end;
        return step > 0 ? from < end : from > end;
    }
    Loop *loop = &team->loop[++place.loops % LOOPS];
    pthread_mutex_lock(&team->mutex);
    while (loop->number < place.loops && loop->number && loop->left < team->n)
        pthread_cond_wait(&team->moved, &team->mutex);
    if (loop->number != place.loops)
        *loop = (Loop){place.loops, from, end, step, chunk < 1 ? 1 : chunk, 0};
    bool found = take_chunk(loop, first, last);
    pthread_mutex_unlock(&team->mutex);
    return found;
}

bool GOMP_loop_nonmonotonic_dynamic_next(long *first, long *last) {
    Team *team = place.team;
    if (!team) return false;
    pthread_mutex_lock(&team->mutex);
    bool found = take_chunk(&team->loop[place.loops % LOOPS], first, last);
    pthread_mutex_unlock(&team->mutex);
    return found;
}

void GOMP_loop_end_nowait(void) {
    Team *team = place.team;
    if (!team) return;
    pthread_mutex_lock(&team->mutex);
    team->loop[place.loops % LOOPS].left++;
    pthread_cond_broadcast(&team->moved);
    pthread_mutex_unlock(&team->mutex);
}

void GOMP_loop_end(void) {
    GOMP_loop_end_nowait();
    GOMP_barrier();
}

/* ---- one at a time ---- */

void GOMP_critical_start(void);
void GOMP_critical_end(void);
void GOMP_atomic_start(void);
void GOMP_atomic_end(void);

static pthread_mutex_t critical = PTHREAD_MUTEX_INITIALIZER, atomically = PTHREAD_MUTEX_INITIALIZER;

void GOMP_critical_start(void) { pthread_mutex_lock(&critical); }
void GOMP_critical_end(void) { pthread_mutex_unlock(&critical); }
void GOMP_atomic_start(void) { pthread_mutex_lock(&atomically); }
void GOMP_atomic_end(void) { pthread_mutex_unlock(&atomically); }

/* omp_lock_t has four bytes. FAISS holds one while it changes a vector's list of neighbours, for
 * microseconds. */
typedef atomic_int Lock;
void omp_init_lock(Lock *lock);
void omp_destroy_lock(Lock *lock);
void omp_set_lock(Lock *lock);
void omp_unset_lock(Lock *lock);

void omp_init_lock(Lock *lock) { atomic_init(lock, 0); }
void omp_destroy_lock(Lock *lock) { (void)lock; }

void omp_set_lock(Lock *lock) {
    for (int spins = 1; atomic_exchange_explicit(lock, 1, memory_order_acquire); spins++)
        if (spins % SPINS == 0) sched_yield();
}

void omp_unset_lock(Lock *lock) { atomic_store_explicit(lock, 0, memory_order_release); }
