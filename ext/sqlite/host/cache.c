#include "cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../base/memory.h"

typedef struct Entry {
    CacheKey key;
    void *object;
    size_t bytes;
    void (*free_object)(void *);
    int references;
    int is_forgotten;        /* has no key any more; goes with its last reference */
    unsigned long long used; /* tick of the last use */
    struct Entry *next;
} Entry;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static Entry *entries;
static unsigned long long tick, hits, misses;
static size_t budget;

static void lock(void) { pthread_mutex_lock(&mutex); }

static void unlock(void) { pthread_mutex_unlock(&mutex); }

static void initialise(void) {
    const char *megabytes = getenv("REC_CACHE_MB");
    char *end = NULL;
    unsigned long long value = megabytes ? strtoull(megabytes, &end, 10) : 0;
    int given = megabytes && *megabytes && !*end;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t quarter = pages > 0 && page > 0 ? (size_t)pages / 4 * (size_t)page : (size_t)256 << 20;
    budget = given ? (size_t)value << 20 : quarter;
    pthread_atfork(lock, unlock, unlock);
}

static void enter(void) {
    pthread_once(&once, initialise);
    lock();
}

/* Take unused entries out, oldest first, until the unused ones fit the limit; of one kind alone
 * where free_object is given. They are freed when the lock is given back: that may take a while. */
static Entry *trim(size_t limit, void (*free_object)(void *)) {
    Entry *out = NULL;
    for (;;) {
        size_t unused = 0;
        Entry **oldest = NULL;
        for (Entry **link = &entries; *link; link = &(*link)->next) {
            if ((*link)->references || (free_object && (*link)->free_object != free_object))
                continue;
            unused += (*link)->bytes;
            if (!oldest || (*link)->used < (*oldest)->used) oldest = link;
        }
        if (!oldest || unused <= limit) return out;
        Entry *entry = *oldest;
        *oldest = entry->next;
        entry->next = out;
        out = entry;
    }
}

/* Those that are forgotten and not in use, before `out`. */
static Entry *take_forgotten(Entry *out) {
    for (Entry **link = &entries; *link;) {
        Entry *entry = *link;
        if (!entry->is_forgotten || entry->references) {
            link = &entry->next;
            continue;
        }
        *link = entry->next;
        entry->next = out;
        out = entry;
    }
    return out;
}

static void free_entries(Entry *entry) {
    while (entry) {
        Entry *next = entry->next;
        entry->free_object(entry->object);
        mem_free(entry);
        entry = next;
    }
}

static Entry *find(const CacheKey *key) {
    for (Entry *entry = entries; entry; entry = entry->next)
        if (!entry->is_forgotten && memcmp(&entry->key, key, sizeof *key) == 0) return entry;
    return NULL;
}

void *cache_get(const CacheKey *key) {
    enter();
    Entry *entry = find(key);
    if (entry) {
        entry->references++;
        entry->used = ++tick;
        hits++;
    } else {
        misses++;
    }
    unlock();
    return entry ? entry->object : NULL;
}

void *cache_put(const CacheKey *key, void *object, size_t bytes, void (*free_object)(void *)) {
    enter();
    Entry *entry = find(key);
    if (!entry && (entry = mem_zeros(1, sizeof *entry)) != NULL) {
        *entry = (Entry){.key = *key,
            .object = object,
            .bytes = bytes,
            .free_object = free_object,
            .next = entries};
        entries = entry;
    }
    void *kept = entry ? entry->object : NULL;
    if (entry) {
        entry->references++;
        entry->used = ++tick;
    }
    unlock();
    if (kept != object) free_object(object);
    return kept;
}

void cache_retain(void *object) {
    enter();
    for (Entry *entry = entries; entry; entry = entry->next)
        if (entry->object == object) {
            entry->references++;
            break;
        }
    unlock();
}

void cache_release(void *object) {
    if (!object) return;
    enter();
    for (Entry *entry = entries; entry; entry = entry->next)
        if (entry->object == object) {
            entry->references--;
            break;
        }
    Entry *out = take_forgotten(trim(budget, NULL));
    unlock();
    free_entries(out);
}

void cache_forget(const CacheKey *key) {
    enter();
    Entry *entry = find(key);
    if (entry) entry->is_forgotten = 1;
    Entry *out = take_forgotten(NULL);
    unlock();
    free_entries(out);
}

void cache_drop_unused(void (*free_object)(void *)) {
    enter();
    Entry *out = trim(0, free_object);
    unlock();
    free_entries(out);
}

CacheUsage cache_usage(void) {
    enter();
    CacheUsage usage = {.hits = hits, .misses = misses};
    for (Entry *entry = entries; entry; entry = entry->next) {
        usage.entries++;
        usage.bytes += entry->bytes;
    }
    unlock();
    return usage;
}
