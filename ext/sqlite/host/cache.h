/* The process-wide registry of what is loaded: models and index bases, shared by all connections.
 *
 * An entry is immutable and reference-counted. Its key is the file's identity and a stamp that no
 * other content has (a content hash, or 16 random bytes stored in the transaction that made the
 * content), so an entry can never be stale: who has another stamp asks for another entry. Entries
 * that nobody uses stay, least recently used going first, within the budget: REC_CACHE_MB in the
 * environment, a quarter of the machine's memory by default; 0 keeps nothing.
 *
 * The library is never unloaded, and a forked child finds the lock free. */
#ifndef REC_CACHE_H
#define REC_CACHE_H

#include <stddef.h>

typedef struct CacheKey {
    unsigned char bytes[96]; /* zero-padded */
} CacheKey;

/* The entry's object with one reference more, or NULL. */
void *cache_get(const CacheKey *key);

/* Hand an object over and get a reference; when another thread was faster, its object comes back
 * and ours is freed. NULL, with the object freed, when there is no memory. */
void *cache_put(const CacheKey *key, void *object, size_t bytes, void (*free_object)(void *));

/* One reference more to an object that the caller holds already. */
void cache_retain(void *object);

/* Give a reference back. */
void cache_release(void *object);

/* Forget the entry, now or when its last reference is given back: nobody gets it any more. */
void cache_forget(const CacheKey *key);

/* Forget everything that nobody uses; what this function frees alone, where it is given. */
void cache_drop_unused(void (*free_object)(void *));

/* Entries and bytes now; how often an entry was asked for and there, or not, so far. */
typedef struct CacheUsage {
    size_t entries, bytes;
    unsigned long long hits, misses;
} CacheUsage;
CacheUsage cache_usage(void);

#endif
