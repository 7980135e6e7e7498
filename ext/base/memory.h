/* Every allocation of the extension: overflow-checked, counted, and able to fail on demand in
 * tests.
 *
 * Not sqlite3_malloc, which stops at 2 GiB. A block of zero entries is a valid pointer, so NULL
 * means no memory. */
#ifndef REC_MEMORY_H
#define REC_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* count * size bytes, uninitialised; NULL when there is no room or the product overflows. Free with
 * mem_free. */
void *mem_array(size_t count, size_t size);

/* The same, zeroed. */
void *mem_zeros(size_t count, size_t size);

/* The same, aligned to 64 bytes (a cache line; the widest vector register). */
void *mem_aligned(size_t count, size_t size);

/* Grow or shrink a block of mem_array or mem_zeros; NULL leaves the old block as it was. */
void *mem_resize(void *block, size_t count, size_t size);

/* A NUL-terminated copy of len bytes. */
char *mem_text(const char *text, size_t len);

void mem_free(void *block);

/* What this thread may allocate: beyond it there is no memory for it, and exceeded is set. Other
 * threads' blocks do not count. */
typedef struct MemBudget {
    size_t limit, used; /* bytes */
    int exceeded;
} MemBudget;
/* NULL: none. Returns the one before, which is to be set again. */
MemBudget *mem_budget_set(MemBudget *budget);

/* Blocks that are allocated now: tests require that a case ends where it began. */
int64_t mem_live(void);

/* Tests: let the n-th allocation from now fail, and (if sticky) every later one; n = 0 switches
 * that off. */
void mem_fail_at(int64_t n, int sticky);

#endif
