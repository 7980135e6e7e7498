/* What gpu_plugin.cpp calls of the CUDA runtime, by the CPU: see device.h. */
#ifndef REC_TEST_CUDA_RUNTIME_H
#define REC_TEST_CUDA_RUNTIME_H

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorNoDevice = 100,
    cudaErrorIllegalAddress = 700
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum { cudaStreamNonBlocking = 1 };
typedef struct Stream *cudaStream_t;
struct cudaDeviceProp {
    char name[256];
};

namespace device {

inline long setting(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}
inline int count() { return static_cast<int>(setting("REC_TEST_DEVICES", 2)); }
inline size_t total() { return static_cast<size_t>(setting("REC_TEST_DEVICE_MB", 1024)) << 20; }

struct State {
    std::mutex mutex;
    std::map<int, size_t> used;                     /* bytes, by device */
    std::map<char *, std::pair<int, size_t>> block; /* what cudaMalloc has given */
    bool broken = false;                            /* an error that stays */
};
inline State &state() {
    static State *state = new State;
    return *state;
}
inline int &current() {
    static thread_local int device = 0;
    return device;
}
inline bool take(int number, size_t bytes) {
    std::lock_guard<std::mutex> lock(state().mutex);
    if (state().used[number] + bytes > total()) return false;
    state().used[number] += bytes;
    return true;
}
inline void give_back(int number, size_t bytes) {
    std::lock_guard<std::mutex> lock(state().mutex);
    state().used[number] -= bytes;
}
inline bool is_on_device(const void *pointer, size_t bytes) {
    std::lock_guard<std::mutex> lock(state().mutex);
    char *at = static_cast<char *>(const_cast<void *>(pointer));
    auto next = state().block.upper_bound(at);
    if (next == state().block.begin()) return false;
    --next;
    return at + bytes <= next->first + next->second.second;
}
inline cudaError_t now() { return state().broken ? cudaErrorIllegalAddress : cudaSuccess; }

} // namespace device

inline cudaError_t cudaGetDeviceCount(int *out) {
    *out = device::count();
    return *out ? cudaSuccess : cudaErrorNoDevice;
}
inline cudaError_t cudaDriverGetVersion(int *out) { return *out = 1, cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char *cudaGetErrorString(cudaError_t error) {
    return error == cudaErrorMemoryAllocation ? "out of memory"
        : error == cudaErrorIllegalAddress    ? "an illegal memory access was encountered"
        : error == cudaErrorNoDevice          ? "no CUDA-capable device is detected"
                                              : "invalid argument";
}
inline cudaError_t cudaGetDevice(int *out) { return *out = device::current(), cudaSuccess; }
inline cudaError_t cudaSetDevice(int number) {
    return number < device::count() ? (device::current() = number, device::now())
                                    : cudaErrorInvalidValue;
}
inline cudaError_t cudaDeviceSynchronize() { return device::now(); }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int) {
    return strcpy(out->name, "the tests' device"), device::now();
}
inline cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    std::lock_guard<std::mutex> lock(device::state().mutex);
    *total = device::total();
    *available = *total - device::state().used[device::current()];
    return device::now();
}
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, int) {
    return *out = reinterpret_cast<cudaStream_t>(1), device::now();
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return device::now(); }
inline cudaError_t cudaMallocHost(void **out, size_t bytes) {
    return (*out = malloc(bytes)) ? device::now() : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFreeHost(void *block) { return free(block), device::now(); }
inline cudaError_t cudaMalloc(void **out, size_t bytes) {
    if (!device::take(device::current(), bytes)) return cudaErrorMemoryAllocation;
    *out = malloc(bytes);
    std::lock_guard<std::mutex> lock(device::state().mutex);
    device::state().block[static_cast<char *>(*out)] = {device::current(), bytes};
    return device::now();
}
inline cudaError_t cudaFree(void *block) {
    std::pair<int, size_t> known;
    {
        std::lock_guard<std::mutex> lock(device::state().mutex);
        auto found = device::state().block.find(static_cast<char *>(block));
        if (found == device::state().block.end()) return cudaErrorInvalidValue;
        known = found->second;
        device::state().block.erase(found);
    }
    device::give_back(known.first, known.second);
    return free(block), device::now();
}
/* Both ends must be where the kind says. */
inline cudaError_t cudaMemcpyAsync(
    void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
    bool up = kind == cudaMemcpyHostToDevice;
    if (device::is_on_device(to, bytes) != up || device::is_on_device(from, bytes) == up)
        return cudaErrorInvalidValue;
    return memcpy(to, from, bytes), device::now();
}

#endif
