/* recommend_gpu.so: FAISS's GPU indexes behind gpu_api.h. The CUDA runtime is asked for devices
 * first, since FAISS aborts where there is no driver. After an error that a device does not recover
 * from, its indexes are given up (their destructors would call it). */
#include <cuda_runtime.h>
#include <faiss/Index.h>
#include <faiss/IndexIVFPQ.h>
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
#include <vector>

#include "faiss_extra.h"
#include "faiss_job.h"
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

using faiss::gpu::StandardGpuResources;

/* Scratch memory of a device: enough for tiles of queries x rows; FAISS would take 1.5 GB. */
constexpr size_t SCRATCH = 256u << 20;

struct Text : std::exception {
    std::string text;
    explicit Text(std::string text_) : text(std::move(text_)) {}
    const char *what() const noexcept override { return text.c_str(); }
};

void check(cudaError_t error) {
    if (error == cudaSuccess) return;
    cudaGetLastError(); /* what can be recovered from is forgotten */
    throw Text(cudaGetErrorString(error));
}

std::unique_ptr<StandardGpuResources> new_resources() {
    auto resources = std::make_unique<StandardGpuResources>();
    resources->setTempMemory(SCRATCH);
    return resources;
}

/* What FAISS throws begins with a function's signature and a file's path: keep what follows
 * "failed: ". */
std::string short_text(const std::string &what) {
    size_t at = what.rfind("failed: ");
    return at == std::string::npos ? what : what.substr(at + 8);
}

/* Run it; an exception becomes its code and its text. */
template <class Body> int attempt(char *text, size_t size, Body body) {
    std::string what = "unknown exception";
    bool no_memory = false;
    try {
        body();
        return 0;
    } catch (const std::bad_alloc &) {
        what = "no memory of the host";
        no_memory = true;
    } catch (const std::exception &e) {
        what = e.what();
        no_memory = what.find("out of memory") != std::string::npos ||
            what.find("alloc fail") != std::string::npos;
    } catch (...) {}
    snprintf(text, size, "%s", short_text(what).c_str());
    return no_memory ? REC_GPU_NO_MEMORY : REC_GPU_FAILED;
}

/* Where one search's queries and answers are, on the device and in pinned memory of the host, with
 * a stream of its own: its copies run beside the kernels of another search. Never freed: CUDA may
 * be gone at exit. */
struct Buffers {
    cudaStream_t stream = nullptr;
    char *device = nullptr, *host = nullptr;
    size_t capacity = 0;

    void reserve(size_t bytes) {
        if (!stream) check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
        if (bytes <= capacity) return;
        bytes = bytes < 2 * capacity ? 2 * capacity : bytes;
        if (device) check(cudaFree(device));
        if (host) check(cudaFreeHost(host));
        device = host = nullptr;
        capacity = 0;
        check(cudaMalloc(reinterpret_cast<void **>(&device), bytes));
        check(cudaMallocHost(reinterpret_cast<void **>(&host), bytes));
        capacity = bytes;
    }
    void copy(size_t at, size_t bytes, cudaMemcpyKind kind) {
        bool up = kind == cudaMemcpyHostToDevice;
        check(cudaMemcpyAsync(
            (up ? device : host) + at, (up ? host : device) + at, bytes, kind, stream));
        check(cudaStreamSynchronize(stream));
    }
};

struct Device {
    std::mutex mutex; /* FAISS's resources serve one thread at a time */
    std::unique_ptr<StandardGpuResources> resources;
    std::mutex buffers_mutex;
    std::vector<Buffers *> unused;
    size_t n_buffers = 0;
    std::atomic<bool> lost{false};
};

/* A search's buffers, until the end of the scope. */
class Borrowed {
    Device &device;

  public:
    Buffers *buffers = nullptr;
    explicit Borrowed(Device &device_) : device(device_) {
        std::lock_guard<std::mutex> lock(device.buffers_mutex);
        if (device.unused.empty()) {
            device.unused.reserve(device.n_buffers + 1); /* giving them back never fails */
            device.unused.push_back(new Buffers);
            device.n_buffers++;
        }
        buffers = device.unused.back();
        device.unused.pop_back();
    }
    ~Borrowed() {
        /* nothing still writes into them */
        if (std::uncaught_exceptions()) cudaDeviceSynchronize();
        std::lock_guard<std::mutex> lock(device.buffers_mutex);
        device.unused.push_back(buffers);
    }
};

struct Index {
    int device;
    int dim;
    /* of an index that is built here: nobody waits for it */
    std::unique_ptr<StandardGpuResources> own;
    std::unique_ptr<faiss::Index> empty; /* the same, before it is trained */
    std::unique_ptr<faiss::Index> index;
    faiss::gpu::GpuIndexIVF *lists = nullptr; /* of it, where it has some */
};

std::mutex devices_mutex;

Device &device_of(int number) {
    /* never destroyed: CUDA may be gone at exit */
    static std::map<int, Device> *devices = new std::map<int, Device>;
    std::lock_guard<std::mutex> lock(devices_mutex);
    return (*devices)[number];
}

/* Body with the device, for this thread the present one meanwhile. An error that stays marks the
 * device as lost. */
template <class Body> int on_device(int number, char *text, size_t size, Body body) {
    Device &device = device_of(number);
    if (device.lost) {
        snprintf(
            text, size, "device %d was lost to an earlier error: start the process again", number);
        return REC_GPU_FAILED;
    }
    int before = number;
    cudaGetDevice(&before);
    int failed = attempt(text, size, [&] {
        check(cudaSetDevice(number));
        body(device);
    });
    if (failed && cudaDeviceSynchronize() != cudaSuccess) device.lost = true;
    cudaGetLastError();
    if (before != number) cudaSetDevice(before);
    return failed;
}

/* Body with the device's resources, alone. */
template <class Body> void alone(Device &device, Body body) {
    std::lock_guard<std::mutex> lock(device.mutex);
    if (!device.resources) device.resources = new_resources();
    body(*device.resources);
}

int count(int *out, char *text, size_t size) {
    *out = 0;
    cudaError_t error = cudaGetDeviceCount(out);
    if (error == cudaSuccess && *out > 0) return 0;
    int driver = 0;
    cudaGetLastError();
    cudaDriverGetVersion(&driver); /* 0: there is none */
    snprintf(text, size, "%s",
        error == cudaSuccess ? "no CUDA device"
            : driver == 0    ? "no CUDA driver"
                             : cudaGetErrorString(error));
    *out = 0;
    return REC_GPU_FAILED;
}

int device_info(int number, RecGpuDevice *out, char *text, size_t size) {
    return on_device(number, text, size, [&](Device &device) {
        alone(device, [&](StandardGpuResources &resources) {
            resources.getDefaultStream(number); /* takes its scratch memory, if it has not yet */
            cudaDeviceProp properties;
            size_t available, total;
            check(cudaGetDeviceProperties(&properties, number));
            check(cudaMemGetInfo(&available, &total));
            snprintf(out->name, sizeof out->name, "%s", properties.name);
            out->memory_total = total;
            out->memory_free = available;
        });
    });
}

/* ---- making an index ---- */

std::unique_ptr<faiss::Index> flat(
    int device, int dim, faiss::MetricType metric, bool half, StandardGpuResources &resources) {
    faiss::gpu::GpuIndexFlatConfig config;
    config.device = device;
    config.useFloat16 = half;
    return std::make_unique<faiss::gpu::GpuIndexFlat>(&resources, dim, metric, config);
}

std::unique_ptr<faiss::Index> to_device(
    int device, const faiss::Index *index, StandardGpuResources &resources) {
    faiss::gpu::GpuClonerOptions options;
    return std::unique_ptr<faiss::Index>(
        faiss::gpu::index_cpu_to_gpu(&resources, device, index, &options));
}

void load(faiss::Index *cpu, const RecGpuSpec &spec) {
    char text[200] = "";
    if (faiss_extra_load(cpu, spec.n, spec.structure, spec.structure_len, text, sizeof text))
        throw Text(text);
    if (spec.to - spec.from < spec.n &&
        faiss_extra_keep(cpu, spec.from, spec.to, text, sizeof text))
        throw Text(text);
}

int create(void **out, const RecGpuSpec *spec, char *text, size_t size) {
    *out = nullptr;
    return on_device(spec->device, text, size, [&](Device &device) {
        auto metric = spec->inner_product ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2;
        auto made = std::make_unique<Index>();
        made->device = spec->device;
        made->dim = spec->dim;
        std::unique_ptr<faiss::Index> cpu(
            spec->factory ? faiss::index_factory(spec->dim, spec->factory, metric) : nullptr);
        if (cpu && !spec->structure) {
            made->own = new_resources();
            /* minutes, for what is never asked */
            if (auto *codes = dynamic_cast<faiss::IndexIVFPQ *>(cpu.get()))
                codes->do_polysemous_training = false;
            made->empty = std::move(cpu);
        } else {
            if (cpu) load(cpu.get(), *spec);
            alone(device, [&](StandardGpuResources &resources) {
                made->index = cpu
                    ? to_device(spec->device, cpu.get(), resources)
                    : flat(spec->device, spec->dim, metric, spec->half != 0, resources);
                made->lists = dynamic_cast<faiss::gpu::GpuIndexIVF *>(made->index.get());
                if (cpu && !made->lists) {
                    made->index.reset();
                    throw Text("only IVF structures are searched on a GPU");
                }
            });
        }
        *out = made.release();
    });
}

int add(void *index, int64_t n, const float *rows, char *text, size_t size) {
    auto *own = static_cast<Index *>(index);
    return on_device(own->device, text, size, [&](Device &device) {
        if (!own->index) throw Text("it is not trained");
        if (own->own) own->index->add(n, rows);
        else alone(device, [&](StandardGpuResources &) { own->index->add(n, rows); });
    });
}

/* ---- building one ---- */

int train(void *index, int64_t n, const float *rows, int threads, RecGpuPoll poll, void *host,
    char *text, size_t size) {
    auto *own = static_cast<Index *>(index);
    return on_device(own->device, text, size, [&](Device &) {
        auto *lists = dynamic_cast<faiss::IndexIVF *>(own->empty.get());
        if (!lists) throw Text("only IVF structures are built on a GPU");
        Job job(threads, poll, host);
        auto centroids = flat(own->device, own->dim, lists->metric_type, false, *own->own);
        lists->clustering_index = centroids.get();
        try {
            lists->train(n, rows);
        } catch (...) {
            lists->clustering_index = nullptr;
            throw;
        }
        lists->clustering_index = nullptr;
        own->index = to_device(own->device, lists, *own->own);
        own->empty.reset();
    });
}

int save(void *index, RecGpuWrite write, void *out, char *text, size_t size) {
    auto *own = static_cast<Index *>(index);
    return on_device(own->device, text, size, [&](Device &) {
        char why[200] = "";
        int stored = 0;
        if (!own->own || !own->index) throw Text("it was not built here");
        std::unique_ptr<faiss::Index> cpu(faiss::gpu::index_gpu_to_cpu(own->index.get()));
        if (faiss_extra_save(cpu.get(), write, out, &stored, why, sizeof why)) throw Text(why);
        if (!stored) throw Text("an index of this kind cannot be stored");
    });
}

/* ---- searching ---- */

int search(void *index, int64_t n, const float *queries, int64_t k, int64_t nprobe,
    float *distances, int64_t *labels, char *text, size_t size) {
    auto *own = static_cast<Index *>(index);
    return on_device(own->device, text, size, [&](Device &device) {
        if (k < 1 || k > REC_GPU_MAX_K || n < 1 || !own->index || own->own)
            throw Text("it cannot be searched so");
        size_t found = static_cast<size_t>(n) * static_cast<size_t>(k),
               query_bytes = static_cast<size_t>(n) * static_cast<size_t>(own->dim) * sizeof(float);
        /* labels come first: 8 bytes each */
        size_t at_distance = found * sizeof *labels,
               at_query = at_distance + found * sizeof *distances;
        Borrowed borrowed(device);
        Buffers &b = *borrowed.buffers;
        b.reserve(at_query + query_bytes);
        memcpy(b.host + at_query, queries, query_bytes);
        b.copy(at_query, query_bytes, cudaMemcpyHostToDevice);
        alone(device, [&](StandardGpuResources &resources) {
            if (own->lists) own->lists->setNumProbes(static_cast<int>(nprobe));
            own->index->search(n, reinterpret_cast<float *>(b.device + at_query), k,
                reinterpret_cast<float *>(b.device + at_distance),
                reinterpret_cast<faiss::Index::idx_t *>(b.device));
            check(cudaStreamSynchronize(resources.getDefaultStream(own->device)));
        });
        b.copy(0, at_query, cudaMemcpyDeviceToHost);
        memcpy(labels, b.host, found * sizeof *labels);
        memcpy(distances, b.host + at_distance, found * sizeof *distances);
    });
}

void destroy(void *index) {
    auto *own = static_cast<Index *>(index);
    char text[200];
    if (!own) return;
    int failed = on_device(own->device, text, sizeof text, [&](Device &device) {
        /* an error that nobody has met yet must not be met by a destructor */
        check(cudaDeviceSynchronize());
        if (own->own) own->index.reset();
        else alone(device, [&](StandardGpuResources &) { own->index.reset(); });
    });
    if (failed) { /* its memory went with the device */
        static_cast<void>(own->index.release());
        static_cast<void>(own->own.release());
    }
    delete own;
}

} // namespace

extern "C" __attribute__((visibility("default"))) const RecGpuApi *recommend_gpu(void) {
    static const RecGpuApi api = {
        REC_GPU_VERSION, count, device_info, create, train, add, save, search, destroy};
    return &api;
}
