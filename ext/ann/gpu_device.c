/* Opening the plug-in, and asking it for devices. */
#define _GNU_SOURCE /* dladdr */

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/text.h"
#include "gpu_inside.h"

Status device_parse(const char *text, DeviceChoice *out, Err *err) {
    char *end;
    *out = (DeviceChoice){DEVICE_CPU, 0};
    if (strcmp(text, "cpu") == 0) return ST_OK;
    out->kind = strcmp(text, "auto") == 0 ? DEVICE_AUTO : DEVICE_GPU;
    if (strcmp(text, "gpu:all") == 0) out->number = DEVICE_ALL;
    if (out->kind == DEVICE_AUTO || strcmp(text, "gpu") == 0 || out->number == DEVICE_ALL)
        return ST_OK;
    long number = strncmp(text, "gpu:", 4) == 0 && ascii_is_digit(text[4])
        ? strtol(text + 4, &end, 10)
        : -1;
    if (number < 0 || number > 1023 || *end)
        return fail(err, ST_BADARG, "device=%.40s (cpu, gpu, gpu:N, gpu:all, auto)", text);
    out->number = (int)number;
    return ST_OK;
}

/* ---- the plug-in ---- */

static struct {
    pthread_once_t once;
    const RecGpuApi *api;
    pid_t process; /* CUDA does not live on in a forked child */
    char reason[200];
} plugin = {.once = PTHREAD_ONCE_INIT};

/* recommend_gpu.so beside the object that this code is in, as it was found when it was loaded: what
 * was then a relative name means another file once the process is in another folder. */
static pthread_once_t placed = PTHREAD_ONCE_INIT;
static char plugin_path[PATH_MAX];

static void find_place(void) {
    Dl_info info;
    char real[PATH_MAX];
    if (!dladdr(&plugin, &info) || !info.dli_fname || !strchr(info.dli_fname, '/') ||
        !realpath(info.dli_fname, real))
        return;
    char *slash = strrchr(real, '/');
    if (text_format(plugin_path, sizeof plugin_path, "%.*s/recommend_gpu.so", (int)(slash - real),
            real) >= (int)sizeof plugin_path)
        plugin_path[0] = 0;
}

void gpu_remember_place(void) { pthread_once(&placed, find_place); }

static void open_plugin(void) {
    plugin.process = getpid();
    gpu_remember_place();
    if (!plugin_path[0] || access(plugin_path, R_OK) != 0) {
        text_format(plugin.reason, sizeof plugin.reason,
            "recommend_gpu.so is not beside the extension (make gpu builds it)");
        return;
    }
    void *library = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);
    const RecGpuApi *(*entry)(void) = NULL;
    void *symbol = library ? dlsym(library, "recommend_gpu") : NULL;
    memcpy(&entry, &symbol, sizeof entry);
    if (!entry) {
        const char *text = dlerror();
        text_format(plugin.reason, sizeof plugin.reason,
            "recommend_gpu.so cannot be opened: %.140s", text ? text : "no reason given");
    } else if (entry()->version != REC_GPU_VERSION) {
        text_format(plugin.reason, sizeof plugin.reason,
            "recommend_gpu.so has version %u of the interface, this library %d: build them "
            "together",
            entry()->version, REC_GPU_VERSION);
    } else {
        plugin.api = entry();
    }
}

int gpu_count(char *reason, size_t size) {
    int n = 0;
    pthread_once(&plugin.once, open_plugin);
    if (!plugin.api) text_format(reason, size, "%s", plugin.reason);
    else if (plugin.process != getpid())
        text_format(reason, size, "a forked process cannot use the GPU that its parent has opened");
    else if (plugin.api->count(&n, reason, size) != 0) n = 0;
    return n;
}

int gpu_usable(void) { return plugin.api && plugin.process == getpid(); }

const RecGpuApi *gpu_api(void) { return plugin.api; }

Status gpu_fail(Err *err, int code, const char *what, const char *text) {
    if (code == REC_GPU_NO_MEMORY)
        return fail(err, ST_NOROOM, "GPU: no memory to %s: %.150s", what, text);
    return fail(err, ST_DEVICE, "GPU cannot %s: %.200s", what, text);
}

Status gpu_check(int device, Err *err) {
    char reason[300] = "";
    int n = gpu_count(reason, sizeof reason);
    if (n == 0) return fail(err, ST_DEVICE, "device=gpu: %s", reason);
    return device < n ? ST_OK : fail(err, ST_DEVICE, "device=gpu:%d: there are %d", device, n);
}

Status gpu_info(int device, GpuInfo *out, Err *err) {
    RecGpuDevice info;
    char text[300] = "";
    TRY(gpu_check(device, err));
    int code = plugin.api->device(device, &info, text, sizeof text);
    if (code) return gpu_fail(err, code, "be asked", text);
    memcpy(out->name, info.name, sizeof out->name);
    out->memory_total = info.memory_total;
    out->memory_free = info.memory_free;
    return ST_OK;
}

/* Why the last search with device=auto stayed on the CPU. */
static pthread_mutex_t note_mutex = PTHREAD_MUTEX_INITIALIZER;
static char note[300];

void gpu_note(const char *reason) {
    pthread_mutex_lock(&note_mutex);
    text_format(note, sizeof note, "%s", reason);
    pthread_mutex_unlock(&note_mutex);
}

void gpu_noted(char *out, size_t size) {
    pthread_mutex_lock(&note_mutex);
    text_format(out, size, "%s", note);
    pthread_mutex_unlock(&note_mutex);
}
