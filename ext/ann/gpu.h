/* Copies of an index on a GPU, through the plug-in recommend_gpu.so (gpu_api.h). A copy finds candidates; every one is scored again,
 * exactly, from the rows in memory, and a query whose answer the float32 arithmetic of the device cannot settle is answered by the CPU:
 * ids, scores and ties are those of the exact engine (of the same IVF on the CPU up to what float32 sees in another order). */
#ifndef REC_GPU_H
#define REC_GPU_H

#include "ann.h"

typedef enum DeviceKind { DEVICE_CPU, DEVICE_GPU, DEVICE_AUTO } DeviceKind;
typedef struct DeviceChoice {
    DeviceKind kind;
    int number; /* of the GPU */
} DeviceChoice;

/* "cpu", "gpu" (0), "gpu:N", "auto" (GPU 0 where that works). */
Status device_parse(const char *text, DeviceChoice *out, Err *err);

/* When the library is loaded: where the plug-in would be. */
void gpu_remember_place(void);

/* GPUs that can be used; 0 with the reason: no plug-in, another version, no driver, no device, a forked process. Opens the plug-in. */
int gpu_count(char *reason, size_t size);

typedef struct GpuInfo {
    char name[256];
    uint64_t memory_total, memory_free;
} GpuInfo;
Status gpu_info(int device, GpuInfo *out, Err *err);

/* Remember why device=auto stayed on the CPU, for rec_devices; "" where nothing was remembered. */
void gpu_note(const char *reason);
void gpu_noted(char *out, size_t size);

typedef struct GpuCopy GpuCopy;

/* Bytes that a copy of the index takes on the device, scratch included. */
uint64_t gpu_copy_bytes(const AnnIndex *index);
/* Copy it: IVF as it is, everything else as rows. Fails where memory is short; task is polled. */
Status gpu_copy_new(GpuCopy **out, const AnnIndex *index, int device, Task *task, Err *err);
void gpu_copy_free(void *copy);
/* n searches that differ in their queries alone, without a bound on the score; *done 0: k is too large, or the filter leaves out too
 * many rows: ask the CPU. */
Status gpu_copy_search(GpuCopy *copy, const AnnIndex *index, const AnnSearch *searches, TopK *tops, int64_t n, int *done, Err *err);

#endif
