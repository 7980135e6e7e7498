/* Copies of models on GPUs. */
#ifndef REC_MODEL_DEVICE_H
#define REC_MODEL_DEVICE_H

#include "../../ann/gpu.h"
#include "../../models/model.h"
#include "../host/sql.h"

/* A model's copy, to rank so many users' lists; *out is NULL where the CPU is to do it: device=cpu,
 * or auto with little work, an algorithm that does not score by vectors, or a GPU that cannot. With
 * a GPU asked for, these are errors. */
Status model_device_copy(
    sqlite3 *db, const Model *model, DeviceChoice device, int64_t users, GpuCopy **out, Err *err);

#endif
