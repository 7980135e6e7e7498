#include "cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/memory.h"

typedef struct Entry {
    CacheKey key;
    void *object;
    size_t bytes;
    void (*free_object)(void *);
    int references;
    unsigned long long used; /* tick of the last use */
    struct Entry *next;
} Entry;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static Entry *entries;
static unsigned long long tick;
static size_t budget;

static void lock(void) {
    pthread_mutex_lock(&mutex);
}

static void unlock(void) {
    pthread_mutex_unlock(&mutex);
}

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

static void remove_entry(Entry **link) {
    Entry *entry = *link;
    *link = entry->next;
    entry->free_object(entry->object);
    mem_free(entry);
}

/* Remove unused entries, oldest first, until the unused ones fit the limit. */
static void trim(size_t limit) {
    for (;;) {
        size_t unused = 0;
        Entry **oldest = NULL;
        for (Entry **link = &entries; *link; link = &(*link)->next) {
            if ((*link)->references) continue;
            unused += (*link)->bytes;
            if (!oldest || (*link)->used < (*oldest)->used) oldest = link;
        }
        if (!oldest || unused <= limit) return;
        remove_entry(oldest);
    }
}

static Entry *find(const CacheKey *key) {
    for (Entry *entry = entries; entry; entry = entry->next)
        if (memcmp(&entry->key, key, sizeof *key) == 0) return entry;
    return NULL;
}

void *cache_get(const CacheKey *key) {
    enter();
    Entry *entry = find(key);
    if (entry) {
        entry->references++;
        entry->used = ++tick;
    }
    unlock();
    return entry ? entry->object : NULL;
}

void *cache_put(const CacheKey *key, void *object, size_t bytes, void (*free_object)(void *)) {
    enter();
    Entry *entry = find(key);
    if (entry) {
        free_object(object);
    } else if ((entry = mem_zeros(1, sizeof *entry)) != NULL) {
        *entry = (Entry){.key = *key, .object = object, .bytes = bytes, .free_object = free_object, .next = entries};
        entries = entry;
    } else {
        free_object(object);
    }
    if (entry) {
        entry->references++;
        entry->used = ++tick;
    }
    unlock();
    return entry ? entry->object : NULL;
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
    trim(budget);
    unlock();
}

void cache_drop_unused(void) {
    enter();
    trim(0);
    unlock();
}

void cache_usage(size_t *out_entries, size_t *out_bytes) {
    *out_entries = *out_bytes = 0;
    enter();
    for (Entry *entry = entries; entry; entry = entry->next) {
        ++*out_entries;
        *out_bytes += entry->bytes;
    }
    unlock();
}
