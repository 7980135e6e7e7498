/* GPUs, through the plug-in recommend_gpu.so (gpu_api.h): copies of an index that are searched
 * there, and IVFs that are built there. A copy finds candidates; every one is scored again,
 * exactly, from the rows in memory, and a query whose answer the float32 arithmetic of the device
 * cannot settle is answered by the CPU: ids, scores and ties are those of the exact engine (of the
 * same IVF on the CPU up to what float32 sees in another order). What a device cannot do is
 * ST_DEVICE, or ST_NOROOM where its memory is short. */
#ifndef REC_GPU_H
#define REC_GPU_H

#include "ann.h"

typedef enum DeviceKind { DEVICE_CPU, DEVICE_GPU, DEVICE_AUTO } DeviceKind;
enum { DEVICE_ALL = -1 };
typedef struct DeviceChoice {
    DeviceKind kind;
    int number; /* of the GPU, or DEVICE_ALL */
} DeviceChoice;

/* "cpu", "gpu" (0), "gpu:N", "gpu:all", "auto" (GPU 0 where that works). */
Status device_parse(const char *text, DeviceChoice *out, Err *err);
/* When the library is loaded: where the plug-in would be. */
void gpu_remember_place(void);

/* GPUs that can be used; 0 with the reason: no plug-in, another version, no driver, no device, a
 * forked process. Opens the plug-in. */
int gpu_count(char *reason, size_t size);

/* The device is there and ours to use. */
Status gpu_check(int device, Err *err);

typedef struct GpuInfo {
    char name[256];
    uint64_t memory_total, memory_free;
} GpuInfo;
Status gpu_info(int device, GpuInfo *out, Err *err);

/* Remember why device=auto stayed on the CPU, for rec_devices; "" where nothing was remembered. */
void gpu_note(const char *reason);
void gpu_noted(char *out, size_t size);

typedef struct GpuCopy GpuCopy;

/* Copy an index: IVF as it is, everything else as rows. On all devices: to each the whole index
 * where it fits, else to each its share of the rows. task is polled; NULL: nobody asks. */
Status gpu_copy_new(GpuCopy **out, const AnnIndex *index, int device, Task *task, Err *err);
void gpu_copy_free(void *copy);
/* Has it settled at least half of what it was asked? */
int gpu_copy_pays(const GpuCopy *copy);

/* An IVF: what goes to a device with its structure, and can be built there. */
int gpu_is_ivf(const AnnIndex *index);

/* Is the search one for a copy: no bound on the score, and k and what a filter leaves out within a
 * device's reach? */
int gpu_suits(const AnnIndex *index, const AnnSearch *search);
/* Answer n searches on so many of the task's threads, or on this one (threads 0); stopped with the
 * task, if there is one. Those that do not suit are answered by the CPU. */
Status gpu_copy_search(GpuCopy *copy, const AnnIndex *index, const AnnSearch *searches, TopK *tops,
    int64_t n, int threads, Task *task, Err *err);

/* What an IVF's engine's build does, with the centroids and the lists of rows found on the
 * device. */
Status gpu_build(AnnIndex *index, int device, Task *task, Err *err);

#endif
