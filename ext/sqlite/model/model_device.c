#include "model_device.h"

#include <string.h>

#include "../host/device_copy.h"

/* The factors are the content that the checksum names. */
static CacheKey copy_key(const Model *model, int device) {
    CacheKey key = {{'g'}};
    memcpy(key.bytes + 1, model->sha256, 56); /* of its 64 digits: 224 bits */
    memcpy(key.bytes + 57, &device, sizeof device);
    return key;
}

/* "ials, bpr, mf and sequence", by the algorithms' own flag. */
static void name_those_by_vectors(Bytes *out) {
    const Algorithm *named = NULL; /* the one before, which is not the last */
    for (size_t i = 0; algorithm_registry[i]; i++) {
        if (!algorithm_registry[i]->index) continue;
        if (named) bytes_format(out, "%s%s", out->len ? ", " : "", named->name);
        named = algorithm_registry[i];
    }
    if (named) bytes_format(out, "%s%s", out->len ? " and " : "", named->name);
}

static Status not_by_vectors(const Algorithm *algorithm, Err *err) {
    Bytes names = {0};
    name_those_by_vectors(&names);
    Status status = names.failed
        ? fail_nomem(err, "the algorithms")
        : fail(err, ST_BADARG,
              "device: algorithm %s is not scored on a GPU (%.*s are, which score by vectors)",
              algorithm->name, (int)names.len, (const char *)names.data);
    bytes_clear(&names);
    return status;
}

Status model_device_copy(
    sqlite3 *db, const Model *model, DeviceChoice device, int64_t users, GpuCopy **out, Err *err) {
    *out = NULL;
    if (device.kind == DEVICE_CPU) return ST_OK;
    if (!model->algorithm->index) {
        if (device.kind == DEVICE_AUTO) return ST_OK;
        return not_by_vectors(model->algorithm, err);
    }
    const AnnIndex *index = model->algorithm->index(model);
    CacheKey key = copy_key(model, device.number);
    if (!device_is_worth(
            device, (double)users * (double)index->vectors->n * (double)index->vectors->dim))
        return ST_OK;
    return device_copy(db, &key, index, device, out, err);
}
