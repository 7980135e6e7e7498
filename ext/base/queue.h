/* Records in the order in which they came, taken back from the front: what a window function's
 * frame holds. */
#ifndef REC_QUEUE_H
#define REC_QUEUE_H

#include <stddef.h>
#include <string.h>

#include "memory.h"

typedef struct Queue {
    char *data;
    size_t first, n, capacity; /* records of one size, which every call names */
} Queue;

/* Room for one more; 0: no memory. */
static inline int queue_reserve(Queue *q, size_t size) {
    if (q->first + q->n < q->capacity) return 1;
    if (q->first > q->n) { /* make use of what was taken back */
        memmove(q->data, q->data + q->first * size, q->n * size);
        q->first = 0;
        return 1;
    }
    size_t capacity = q->capacity + q->capacity / 2 + 32;
    char *grown = mem_resize(q->data, capacity, size);
    if (!grown) return 0;
    q->data = grown;
    q->capacity = capacity;
    return 1;
}

static inline int queue_push(Queue *q, const void *record, size_t size) {
    if (!queue_reserve(q, size)) return 0;
    memcpy(q->data + (q->first + q->n++) * size, record, size);
    return 1;
}

static inline void queue_drop(Queue *q) {
    if (!q->n) return;
    q->first++;
    q->n--;
}

/* The records; NULL where there is none. */
static inline void *queue_records(const Queue *q, size_t size) {
    return q->n ? q->data + q->first * size : NULL;
}

/* A copy of them, to be mem_free'd; NULL: no memory. */
static inline void *queue_copy(const Queue *q, size_t size) {
    char *copy = mem_array(q->n, size);
    if (copy && q->n) memcpy(copy, q->data + q->first * size, q->n * size);
    return copy;
}

static inline void queue_clear(Queue *q) {
    mem_free(q->data);
    *q = (Queue){0};
}

#endif
