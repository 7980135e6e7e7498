/* Copies on GPUs, in the process's cache, and what device=auto makes of their failures. */
#ifndef REC_DEVICE_COPY_H
#define REC_DEVICE_COPY_H

#include "../../ann/gpu.h"
#include "cache.h"
#include "sql.h"

/* Is so much work, in multiplications, for the device? auto asks a GPU from some 30 ms of one core
 * on. */
int device_is_worth(DeviceChoice device, double multiplications);

/* With device=auto a GPU that is not there, or cannot, is a reason to go on on the CPU, which
 * rec_devices shows: 1. err: the failure's. */
int device_gave_up(DeviceChoice device, Status status, const Err *err);

/* The copy under this key, made of the index where there is none, stopped by an interrupt; copies
 * that nobody uses make room for it. cache_release it. *out is NULL where device=auto gives up:
 * then this content is not tried again before device_forget, and neither is one whose answers the
 * device could mostly not settle. */
Status device_copy(sqlite3 *db, const CacheKey *key, const AnnIndex *index, DeviceChoice device,
    GpuCopy **out, Err *err);

/* Forget what auto gave up. */
void device_forget(void);

#endif
