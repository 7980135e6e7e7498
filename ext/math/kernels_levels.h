/* The CPU-specific tables that kernels.c chooses from; nobody else includes this. */
#ifndef REC_KERNELS_LEVELS_H
#define REC_KERNELS_LEVELS_H

#include "kernels.h"

#if defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#elif defined(__aarch64__)
extern const Kernels kernels_neon;
#endif

#endif
