/* A device for the tests, where there is no GPU: what gpu_plugin.cpp uses of CUDA and of FAISS's
 * GPU part, computed by FAISS on the CPU. The plug-in itself, and all that is above it, run as they
 * are. It has a GPU's limits (k, nprobe, memory), sees to it that one thread at a time uses an
 * object that serves one, and can break.
 *
 *     REC_TEST_DEVICES     how many there are (2)
 *     REC_TEST_DEVICE_MB   memory of each (1024)
 *     REC_TEST_BREAKS      searches until all of them are lost for good; 0: never
 *     REC_TEST_NOISE       distances are off by up to so many millionths of themselves, and their
 *                          order follows; 0 */
#ifndef REC_TEST_DEVICE_H
#define REC_TEST_DEVICE_H

#include <cuda_runtime.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/clone_index.h>
#include <faiss/impl/FaissException.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

namespace faiss {
namespace gpu {

struct StandardGpuResources {
    std::atomic<int> users{0};
    void setTempMemory(size_t) {}
    cudaStream_t getDefaultStream(int) { return reinterpret_cast<cudaStream_t>(1); }
};

/* While a thread uses resources nobody else does; on one thread of the CPU. */
class Exclusive {
    StandardGpuResources *resources;
    int threads;

  public:
    explicit Exclusive(StandardGpuResources *resources_)
        : resources(resources_), threads(omp_get_max_threads()) {
        if (resources->users.fetch_add(1)) {
            resources->users--;
            throw FaissException("two threads use a device's resources at a time");
        }
        omp_set_num_threads(1);
    }
    ~Exclusive() {
        omp_set_num_threads(threads);
        resources->users--;
    }
};

/* An index of the CPU that counts as being on a device. */
class OnDevice : public Index {
  protected:
    StandardGpuResources *resources;
    int device;
    size_t held = 0;

    /* What grows is copied: for a moment both are there. FAISS's text is as long as this. */
    void count_memory(size_t now) {
        if (now > held && !::device::take(device, now))
            throw FaissException(
                "StandardGpuResources: alloc fail type FlatData dev 0 space Device stream 0x1 size "
                "1 bytes (cudaMalloc error out of memory [2])",
                "virtual void* faiss::gpu::StandardGpuResourcesImpl::allocMemory(const "
                "faiss::gpu::AllocRequest&)",
                (std::string(200, 'x') + "/StandardGpuResources.cpp").c_str(), 452);
        ::device::give_back(device, now > held ? held : held - now);
        held = now;
    }
    /* The k best by distances that a device might have summed in another order. */
    void disturbed_search(
        long noise, idx_t n, const float *x, idx_t k, float *distances, idx_t *labels) const {
        size_t more = static_cast<size_t>(std::min<idx_t>(ntotal, 4 * k + 64)),
               wanted = static_cast<size_t>(k);
        std::vector<float> distance(static_cast<size_t>(n) * more);
        std::vector<idx_t> label(distance.size());
        cpu->search(n, x, static_cast<idx_t>(more), distance.data(), label.data());
        for (size_t q = 0; q < static_cast<size_t>(n); q++) {
            std::vector<std::pair<float, idx_t>> found;
            for (size_t i = q * more; i < (q + 1) * more; i++)
                if (label[i] >= 0)
                    found.emplace_back(distance[i] *
                            (1 +
                                static_cast<float>(noise) * 1e-6F *
                                    (static_cast<float>(label[i] * 7919 % 2001) / 1000 - 1)),
                        label[i]);
            std::stable_sort(found.begin(), found.end(), [&](auto &a, auto &b) {
                return metric_type == METRIC_INNER_PRODUCT ? a.first > b.first : a.first < b.first;
            });
            for (size_t i = 0; i < wanted; i++) {
                distances[q * wanted + i] = i < found.size() ? found[i].first
                    : metric_type == METRIC_INNER_PRODUCT    ? -FLT_MAX
                                                             : FLT_MAX;
                labels[q * wanted + i] = i < found.size() ? found[i].second : -1;
            }
        }
    }
    static void check_search(idx_t k) {
        static std::atomic<long> searches{0};
        long breaks = ::device::setting("REC_TEST_BREAKS", 0);
        if (breaks && ++searches >= breaks) ::device::state().broken = true;
        if (::device::state().broken)
            throw FaissException("CUDA error 700 an illegal memory access was encountered");
        if (k > 2048) throw FaissException("k must be at most 2048");
    }

  public:
    std::unique_ptr<Index> cpu;
    OnDevice(StandardGpuResources *resources_, int device_, std::unique_ptr<Index> cpu_)
        : Index(cpu_->d, cpu_->metric_type), resources(resources_), device(device_),
          cpu(std::move(cpu_)) {
        ntotal = cpu->ntotal;
        is_trained = cpu->is_trained;
    }
    ~OnDevice() override { count_memory(0); }
    void add(idx_t n, const float *x) override {
        Exclusive exclusive(resources);
        count_memory(static_cast<size_t>(ntotal + n) * static_cast<size_t>(d) * sizeof(float));
        cpu->add(n, x);
        ntotal = cpu->ntotal;
    }
    void reset() override {
        cpu->reset();
        ntotal = 0;
        count_memory(0);
    }
    void search(idx_t n, const float *x, idx_t k, float *distances, idx_t *labels,
        const SearchParameters * = nullptr) const override {
        Exclusive exclusive(resources);
        check_search(k);
        long noise = ::device::setting("REC_TEST_NOISE", 0);
        if (noise) disturbed_search(noise, n, x, k, distances, labels);
        else cpu->search(n, x, k, distances, labels);
    }
};

struct GpuIndexFlatConfig {
    int device = 0;
    bool useFloat16 = false;
};

/* float16: rows and queries are rounded. */
class GpuIndexFlat : public OnDevice {
    bool half;
    static std::unique_ptr<Index> make(int dim, MetricType metric, bool half) {
        if (!half) return std::make_unique<IndexFlat>(dim, metric);
        auto made = std::make_unique<IndexScalarQuantizer>(dim, ScalarQuantizer::QT_fp16, metric);
        made->is_trained = true;
        return made;
    }

  public:
    GpuIndexFlat(
        StandardGpuResources *resources_, int dim, MetricType metric, GpuIndexFlatConfig config)
        : OnDevice(resources_, config.device, make(dim, metric, config.useFloat16)),
          half(config.useFloat16) {
        is_trained = true;
    }
    void search(idx_t n, const float *x, idx_t k, float *distances, idx_t *labels,
        const SearchParameters * = nullptr) const override {
        std::vector<float> rounded;
        if (half) {
            auto *sq = static_cast<IndexScalarQuantizer *>(cpu.get());
            std::vector<uint8_t> codes(static_cast<size_t>(n) * sq->code_size);
            rounded.resize(static_cast<size_t>(n) * static_cast<size_t>(d));
            sq->sq.compute_codes(x, codes.data(), static_cast<size_t>(n));
            sq->sq.decode(codes.data(), rounded.data(), static_cast<size_t>(n));
            x = rounded.data();
        }
        OnDevice::search(n, x, k, distances, labels);
    }
};

class GpuIndexIVF : public OnDevice {
  public:
    GpuIndexIVF(StandardGpuResources *resources_, int device_, std::unique_ptr<Index> cpu_)
        : OnDevice(resources_, device_, std::move(cpu_)) {
        auto *lists = static_cast<IndexIVF *>(cpu.get());
        count_memory(static_cast<size_t>(ntotal) * (lists->code_size + sizeof(idx_t)));
    }
    void setNumProbes(int n) {
        if (n < 1 || n > 2048) throw FaissException("nprobe must be 1 to 2048");
        static_cast<IndexIVF *>(cpu.get())->nprobe = static_cast<size_t>(n);
    }
};

struct GpuClonerOptions {};

inline Index *index_cpu_to_gpu(
    StandardGpuResources *resources, int device, const Index *index, GpuClonerOptions * = nullptr) {
    if (typeid(*index) != typeid(IndexIVFFlat) && typeid(*index) != typeid(IndexIVFPQ) &&
        typeid(*index) != typeid(IndexIVFScalarQuantizer))
        throw FaissException("Unimplemented: this type of index is not on GPUs");
    return new GpuIndexIVF(resources, device, std::unique_ptr<Index>(clone_index(index)));
}
inline Index *index_gpu_to_cpu(const Index *index) {
    return clone_index(static_cast<const OnDevice *>(index)->cpu.get());
}

} // namespace gpu
} // namespace faiss

#endif
