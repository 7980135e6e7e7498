#include "memory.h"

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

static void *counted(void *block) {
    if (block) atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    return block;
}

void *mem_array(size_t count, size_t size) {
    size_t bytes;
    if (must_fail() || __builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX)
        return NULL;
    return counted(malloc(bytes ? bytes : 1));
}

void *mem_zeros(size_t count, size_t size) {
    if (must_fail()) return NULL;
    return counted(calloc(count ? count : 1, size ? size : 1));
}

void *mem_aligned(size_t count, size_t size) {
    size_t bytes;
    void *block = NULL;
    if (must_fail() || __builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - 64)
        return NULL;
    if (posix_memalign(&block, 64, bytes ? bytes : 64)) return NULL;
    return counted(block);
}

void *mem_resize(void *block, size_t count, size_t size) {
    size_t bytes;
    if (!block) return mem_array(count, size);
    if (must_fail() || __builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX)
        return NULL;
    return realloc(block, bytes ? bytes : 1);
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
    free(block);
}

int64_t mem_live(void) { return atomic_load(&live_blocks); }

void mem_fail_at(int64_t n, int sticky) {
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_countdown, n);
}
