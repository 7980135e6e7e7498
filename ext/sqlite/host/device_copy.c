#include "device_copy.h"

#include <pthread.h>
#include <string.h>

#include "interrupt.h"

static const double AUTO_WORK = 1 << 28;

int device_is_worth(DeviceChoice device, double multiplications) {
    return device.kind == DEVICE_GPU ||
        (device.kind == DEVICE_AUTO && multiplications >= AUTO_WORK);
}

/* ---- what auto has given up: the last few contents ---- */

enum { REFUSALS = 16 };

static pthread_mutex_t refusals_mutex = PTHREAD_MUTEX_INITIALIZER;

static CacheKey refused[REFUSALS];

static unsigned n_refused;

static int is_refused(const CacheKey *key) {
    int found = 0;
    pthread_mutex_lock(&refusals_mutex);
    for (unsigned i = 0; i < n_refused && i < REFUSALS; i++)
        found |= memcmp(&refused[i], key, sizeof *key) == 0;
    pthread_mutex_unlock(&refusals_mutex);
    return found;
}

static void refuse(const CacheKey *key) {
    pthread_mutex_lock(&refusals_mutex);
    refused[n_refused++ % REFUSALS] = *key;
    pthread_mutex_unlock(&refusals_mutex);
}

void device_forget(void) {
    pthread_mutex_lock(&refusals_mutex);
    n_refused = 0;
    pthread_mutex_unlock(&refusals_mutex);
}

int device_gave_up(DeviceChoice device, Status status, const Err *err) {
    int gave_up = device.kind == DEVICE_AUTO && (status == ST_DEVICE || status == ST_NOROOM);
    if (gave_up) gpu_note(err->text);
    if (device.kind == DEVICE_AUTO && status == ST_OK) gpu_note("");
    return gave_up;
}

/* ---- copies ---- */

/* One copy is made at a time: who wants the same one finds it made, and there is no moment with
 * two. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static Status wait_to_make(Task *task, Err *err) {
    while (pthread_mutex_trylock(&making)) {
        if (task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
        sqlite3_sleep(5);
    }
    return ST_OK;
}

static Status make_copy(
    const CacheKey *key, const AnnIndex *index, int device, Task *task, GpuCopy **out, Err *err) {
    *out = cache_get(key);
    if (*out) return ST_OK;
    Status status = gpu_copy_new(out, index, device, task, err);
    if (status == ST_NOROOM) {
        cache_drop_unused(gpu_copy_free);
        status = gpu_copy_new(out, index, device, task, err);
    }
    if (status != ST_OK) return status;
    *out = cache_put(key, *out, 64, gpu_copy_free);
    return *out ? ST_OK : fail_nomem(err, "the copy");
}

/* gpu_check comes first: a forked child may find the mutex taken for ever, but it has no device. */
static Status find_or_make_copy(
    sqlite3 *db, const CacheKey *key, const AnnIndex *index, int device, GpuCopy **out, Err *err) {
    InterruptPoll poll;
    Task task = {.threads = 1, .poll = interrupt_poll, .host = &poll};
    *out = cache_get(key);
    if (*out) return ST_OK;
    TRY(gpu_check(device == DEVICE_ALL ? 0 : device, err));
    TRY(interrupt_poll_init(&poll, db, err));
    Status status = wait_to_make(&task, err);
    if (status == ST_OK) {
        status = make_copy(key, index, device, &task, out, err);
        pthread_mutex_unlock(&making);
    }
    interrupt_poll_clear(&poll);
    return status;
}

Status device_copy(sqlite3 *db, const CacheKey *key, const AnnIndex *index, DeviceChoice device,
    GpuCopy **out, Err *err) {
    Err own = {0};
    *out = NULL;
    if (device.kind == DEVICE_AUTO && is_refused(key)) return ST_OK;
    Status status = find_or_make_copy(db, key, index, device.number, out, &own);
    if (device.kind == DEVICE_AUTO && status == ST_OK && !gpu_copy_pays(*out)) {
        cache_release(*out);
        *out = NULL;
        status = fail(&own, ST_DEVICE, "float32 sums settle few answers over these vectors");
    }
    if (device_gave_up(device, status, &own)) {
        refuse(key);
        return ST_OK;
    }
    if (status != ST_OK && err) *err = own;
    return status;
}
