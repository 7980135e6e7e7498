#include "device_copy.h"

#include <stdlib.h>
#include <string.h>

static const double AUTO_WORK = 1 << 28;

Status device_copy(const CacheKey *key, const AnnIndex *index, int device, Task *task, GpuCopy **out, Err *err) {
    *out = cache_get(key);
    if (*out) return ST_OK;
    Status status = gpu_copy_new(out, index, device, task, err);
    if (status == ST_NOROOM) {
        cache_drop_unused();
        status = gpu_copy_new(out, index, device, task, err);
    }
    if (status != ST_OK) return status;
    *out = cache_put(key, *out, 64, gpu_copy_free);
    return *out ? ST_OK : fail_nomem(err, "the copy");
}

int device_is_worth(DeviceChoice device, double multiplications) {
    return device.kind == DEVICE_GPU || (device.kind == DEVICE_AUTO && multiplications >= AUTO_WORK);
}

/* The factors are the content that the checksum names. */
static CacheKey copy_key(const Model *model, int device) {
    CacheKey key = {{'g'}};
    memcpy(key.bytes + 1, model->sha256, 56); /* of its 64 digits: 224 bits */
    key.bytes[57] = (unsigned char)device;
    return key;
}

Status device_model_copy(const Model *model, DeviceChoice device, int64_t users, Task *task, GpuCopy **out, Err *err) {
    Err own = {0};
    *out = NULL;
    if (device.kind == DEVICE_CPU) return ST_OK;
    if (!model->algorithm->index) {
        if (device.kind == DEVICE_AUTO) return ST_OK;
        return fail(err, ST_BADARG, "device: algorithm %s is not scored on a GPU (ials, bpr and mf are, which score by vectors)", model->algorithm->name);
    }
    const AnnIndex *index = model->algorithm->index(model);
    if (!device_is_worth(device, (double)users * (double)index->vectors->n * (double)index->vectors->dim)) return ST_OK;
    CacheKey key = copy_key(model, device.number);
    Status status = device_copy(&key, index, device.number, task, out, &own);
    if (device_falls_back(device, status)) {
        gpu_note(own.text);
        return ST_OK;
    }
    if (status == ST_OK && device.kind == DEVICE_AUTO) gpu_note("");
    if (status != ST_OK && err) *err = own;
    return status;
}
