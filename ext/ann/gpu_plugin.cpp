/* recommend_gpu.so: FAISS's GPU indexes behind gpu_api.h. The CUDA runtime is asked for devices first, since FAISS aborts where
 * there is no driver. After an error that a device does not recover from, its indexes are given up (their destructors would call it). */
#include <cuda_runtime.h>
#include <faiss/Index.h>
#include <faiss/gpu/GpuCloner.h>
#include <faiss/gpu/GpuIndexFlat.h>
#include <faiss/gpu/GpuIndexIVF.h>
#include <faiss/gpu/StandardGpuResources.h>
#include <faiss/index_factory.h>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "faiss_extra.h"
#include "faiss_guard.h"
#include "gpu_api.h"

/* FAISS's printing comes here (the Makefile renames it): nothing is printed. */
extern "C" {
int rec_silent_printf(const char *, ...) { return 0; }
int rec_silent_fprintf(FILE *, const char *, ...) { return 0; }
int rec_silent_puts(const char *) { return 0; }
int rec_silent_putchar(int c) { return c; }
size_t rec_silent_fwrite(const void *, size_t, size_t n, FILE *) { return n; }
}

namespace {

/* Scratch memory of a device: enough for tiles of queries x rows; FAISS would take 1.5 GB. */
constexpr size_t SCRATCH = 256u << 20;

struct Device {
    std::mutex mutex; /* FAISS's resources of a device serve one thread at a time */
    std::unique_ptr<faiss::gpu::StandardGpuResources> resources;
    std::atomic<bool> lost{false};
};

struct Index {
    int device;
    std::unique_ptr<faiss::Index> index;
    faiss::gpu::GpuIndexIVF *lists = nullptr; /* of it, where it has some */
};

struct Text : std::exception {
    std::string text;
    explicit Text(std::string text_) : text(std::move(text_)) {}
    const char *what() const noexcept override { return text.c_str(); }
};

std::mutex devices_mutex;

Device &device_of(int number) {
    static std::map<int, Device> *devices = new std::map<int, Device>; /* never destroyed: CUDA may be gone at exit */
    std::lock_guard<std::mutex> lock(devices_mutex);
    return (*devices)[number];
}

void check(cudaError_t error) {
    if (error == cudaSuccess) return;
    cudaGetLastError(); /* what can be recovered from is forgotten */
    throw Text(cudaGetErrorString(error));
}

/* Body on the device, its lock held. An error that stays marks the device as lost. */
template <class Body> int on_device(int number, char *text, size_t size, Body body) {
    Device &device = device_of(number);
    std::lock_guard<std::mutex> lock(device.mutex);
    if (device.lost) {
        snprintf(text, size, "device %d was lost to an earlier error: start the process again", number);
        return -1;
    }
    int failed = guarded(text, size, [&] {
        check(cudaSetDevice(number));
        if (!device.resources) {
            auto resources = std::make_unique<faiss::gpu::StandardGpuResources>();
            resources->setTempMemory(SCRATCH);
            device.resources = std::move(resources);
        }
        body(*device.resources);
    });
    if (failed && cudaDeviceSynchronize() != cudaSuccess) device.lost = true;
    cudaGetLastError();
    return failed;
}

int count(int *out, char *text, size_t size) {
    *out = 0;
    cudaError_t error = cudaGetDeviceCount(out);
    if (error == cudaSuccess && *out > 0) return 0;
    int driver = 0;
    cudaGetLastError();
    cudaDriverGetVersion(&driver); /* 0: there is none */
    snprintf(text, size, "%s", error == cudaSuccess ? "no CUDA device" : driver == 0 ? "no CUDA driver" : cudaGetErrorString(error));
    *out = 0;
    return -1;
}

int device_info(int number, RecGpuDevice *out, char *text, size_t size) {
    return on_device(number, text, size, [&](faiss::gpu::StandardGpuResources &) {
        cudaDeviceProp properties;
        size_t available, total;
        check(cudaGetDeviceProperties(&properties, number));
        check(cudaMemGetInfo(&available, &total));
        snprintf(out->name, sizeof out->name, "%s", properties.name);
        out->memory_total = total;
        out->memory_free = available;
    });
}

std::unique_ptr<faiss::Index> flat(const RecGpuSpec &spec, faiss::gpu::StandardGpuResources &resources) {
    faiss::gpu::GpuIndexFlatConfig config;
    config.device = spec.device;
    config.useFloat16 = spec.half != 0;
    return std::make_unique<faiss::gpu::GpuIndexFlat>(&resources, spec.dim, spec.inner_product ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2, config);
}

std::unique_ptr<faiss::Index> copy_of(const RecGpuSpec &spec, faiss::gpu::StandardGpuResources &resources) {
    std::unique_ptr<faiss::Index> cpu(faiss::index_factory(spec.dim, spec.factory, spec.inner_product ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2));
    char text[200] = "";
    if (faiss_extra_load(cpu.get(), spec.n, spec.structure, spec.structure_len, text, sizeof text)) throw Text(text);
    faiss::gpu::GpuClonerOptions options;
    return std::unique_ptr<faiss::Index>(faiss::gpu::index_cpu_to_gpu(&resources, spec.device, cpu.get(), &options));
}

int create(void **out, const RecGpuSpec *spec, char *text, size_t size) {
    *out = nullptr;
    return on_device(spec->device, text, size, [&](faiss::gpu::StandardGpuResources &resources) {
        auto made = std::make_unique<Index>();
        made->device = spec->device;
        made->index = spec->factory ? copy_of(*spec, resources) : flat(*spec, resources);
        made->lists = dynamic_cast<faiss::gpu::GpuIndexIVF *>(made->index.get());
        if (spec->factory && !made->lists) throw Text("only IVF structures are searched on a GPU");
        *out = made.release();
    });
}

int add(void *index, int64_t n, const float *rows, char *text, size_t size) {
    auto *own = static_cast<Index *>(index);
    return on_device(own->device, text, size, [&](faiss::gpu::StandardGpuResources &) { own->index->add(n, rows); });
}

int search(void *index, int64_t n, const float *queries, int64_t k, int64_t nprobe, float *distances, int64_t *labels, char *text, size_t size) {
    auto *own = static_cast<Index *>(index);
    return on_device(own->device, text, size, [&](faiss::gpu::StandardGpuResources &) {
        if (k < 1 || k > REC_GPU_MAX_K) throw Text("k is too large for a GPU");
        if (own->lists) own->lists->setNumProbes(static_cast<int>(nprobe));
        own->index->search(n, queries, k, distances, labels);
    });
}

void destroy(void *index) {
    auto *own = static_cast<Index *>(index);
    char text[200];
    if (!own) return;
    if (device_of(own->device).lost || on_device(own->device, text, sizeof text, [&](faiss::gpu::StandardGpuResources &) { own->index.reset(); }) != 0)
        own->index.release(); /* its memory went with the device */
    delete own;
}

} // namespace

extern "C" __attribute__((visibility("default"))) const RecGpuApi *recommend_gpu(void) {
    static const RecGpuApi api = {REC_GPU_VERSION, count, device_info, create, add, search, destroy};
    return &api;
}
