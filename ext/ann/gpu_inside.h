/* What the files gpu_*.c share. */
#ifndef REC_GPU_INSIDE_H
#define REC_GPU_INSIDE_H

#include "gpu.h"
#include "gpu_api.h"

enum { GPU_MAX_DEVICES = 64, HALF_MAX = 65504 };

/* Rows from .. from + n - 1 of an index on one device. */
typedef struct GpuPart {
    void *index; /* the plug-in's */
    int device;
    int64_t from, n;
} GpuPart;

/* Parts hold different rows (shards), or each of them all (replicas). */
struct GpuCopy {
    GpuPart part[GPU_MAX_DEVICES];
    int n_parts;
    int is_shards;
    int is_exact; /* rows, without a structure */
    int half;
    double longest;                   /* norm of a row */
    _Atomic unsigned turn;            /* counts calls, which go to the parts in turn */
    _Atomic int64_t asked, unsettled; /* queries, and those of them that the CPU had to answer */
};

/* gpu_device.c */
/* Is the plug-in open, and this process not a fork of the one that opened it? Then its functions
 * may be called. */
int gpu_usable(void);
const RecGpuApi *gpu_api(void);
/* A failure of the plug-in, by its code: ST_NOROOM for want of memory, else ST_DEVICE. */
Status gpu_fail(Err *err, int code, const char *what, const char *text);

/* gpu_copy.c */
/* Bytes that so many of the index's rows take on a device, scratch included. */
uint64_t gpu_bytes(const AnnIndex *index, int64_t n);
/* Fails with ST_NOROOM where the device has fewer free bytes. */
Status gpu_check_room(int device, uint64_t needed, Err *err);
/* All rows to a plug-in's index, normalised for cosine. */
Status gpu_add_rows(
    void *index, const AnnVectors *vectors, int64_t from, int64_t n, Task *task, Err *err);

#endif
