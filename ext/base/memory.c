#include "memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int64_t live_blocks;
static _Atomic int64_t fail_countdown; /* 0: never */
static _Atomic int fail_sticky;

static int must_fail(void) {
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0) return 0;
    int64_t left = atomic_fetch_sub(&fail_countdown, 1) - 1;
    if (left > 0) return 0;
    atomic_store(&fail_countdown, atomic_load(&fail_sticky) ? 1 : 0);
    return 1;
}

/* ---- budgets ---- */

/* Under a key of its own (guard.c says why no _Thread_local). */
static pthread_key_t budget_key;
static pthread_once_t budget_once = PTHREAD_ONCE_INIT;
static int has_budget_key;
static _Atomic int n_budgets; /* threads that have one: 0 costs nothing */

static void make_budget_key(void) { has_budget_key = pthread_key_create(&budget_key, NULL) == 0; }

MemBudget *mem_budget_set(MemBudget *budget) {
    pthread_once(&budget_once, make_budget_key);
    if (!has_budget_key) return NULL; /* no limit then */
    MemBudget *old = pthread_getspecific(budget_key);
    if (pthread_setspecific(budget_key, budget) == 0)
        atomic_fetch_add(&n_budgets, (budget != NULL) - (old != NULL));
    return old;
}

static MemBudget *own_budget(void) {
    return atomic_load_explicit(&n_budgets, memory_order_relaxed) ? pthread_getspecific(budget_key)
                                                                  : NULL;
}

/* Is there room for so many bytes more, beside `old` that go? */
static int is_within_budget(size_t bytes, size_t old) {
    MemBudget *budget = own_budget();
    if (!budget || bytes <= old ||
        (budget->used <= budget->limit && bytes - old <= budget->limit - budget->used))
        return 1;
    budget->exceeded = 1;
    return 0;
}

static void *paid(void *block) {
    MemBudget *budget = own_budget();
    if (!budget || !block) return block;
    budget->used += malloc_usable_size(block);
    return block;
}

/* What is freed may be from before the budget. */
static void pay_back(size_t bytes) {
    MemBudget *budget = own_budget();
    if (budget) budget->used -= bytes < budget->used ? bytes : budget->used;
}

static void *counted(void *block) {
    if (block) atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    return paid(block);
}

void *mem_array(size_t count, size_t size) {
    size_t bytes;
    if (must_fail() || __builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX)
        return NULL;
    if (!is_within_budget(bytes, 0)) return NULL;
    return counted(malloc(bytes ? bytes : 1));
}

void *mem_zeros(size_t count, size_t size) {
    size_t bytes;
    if (must_fail() || __builtin_mul_overflow(count, size, &bytes) || !is_within_budget(bytes, 0))
        return NULL;
    return counted(calloc(count ? count : 1, size ? size : 1));
}

void *mem_aligned(size_t count, size_t size) {
    size_t bytes;
    void *block = NULL;
    if (must_fail() || __builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - 64)
        return NULL;
    if (!is_within_budget(bytes, 0)) return NULL;
    if (posix_memalign(&block, 64, bytes ? bytes : 64)) return NULL;
    return counted(block);
}

void *mem_resize(void *block, size_t count, size_t size) {
    size_t bytes;
    if (!block) return mem_array(count, size);
    if (must_fail() || __builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX)
        return NULL;
    size_t old = own_budget() ? malloc_usable_size(block) : 0;
    if (!is_within_budget(bytes, old)) return NULL;
    void *grown = realloc(block, bytes ? bytes : 1);
    if (grown) pay_back(old);
    return grown ? paid(grown) : NULL;
}

char *mem_text(const char *text, size_t len) {
    char *copy = mem_array(len + 1, 1);
    if (!copy) return NULL;
    if (len) memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

void mem_free(void *block) {
    if (!block) return;
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    if (own_budget()) pay_back(malloc_usable_size(block));
    free(block);
}

int64_t mem_live(void) { return atomic_load(&live_blocks); }

void mem_fail_at(int64_t n, int sticky) {
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_countdown, n);
}
