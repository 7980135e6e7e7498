/* Copies on GPUs, in the process's cache. */
#ifndef REC_DEVICE_COPY_H
#define REC_DEVICE_COPY_H

#include "../ann/gpu.h"
#include "../models/model.h"
#include "cache.h"

/* The copy under this key, made of the index where there is none; what nobody uses makes room for it. cache_release it. */
Status device_copy(const CacheKey *key, const AnnIndex *index, int device, Task *task, GpuCopy **out, Err *err);

/* Is so much work, in multiplications, for the device? auto asks a GPU from some 30 ms of one core on. */
int device_is_worth(DeviceChoice device, double multiplications);

/* A model's copy, to rank so many users' lists; *out is NULL where the CPU is to do it: device=cpu, or auto with little work, an algorithm
 * that does not score by vectors, or a GPU that cannot (which is remembered). With a GPU asked for, these are errors. */
Status device_model_copy(const Model *model, DeviceChoice device, int64_t users, Task *task, GpuCopy **out, Err *err);

#endif
