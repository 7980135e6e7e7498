/* Between recommend.so and the plug-in recommend_gpu.so, which it opens with dlopen: C, and nothing
 * else shared. Functions return 0, or REC_GPU_FAILED or REC_GPU_NO_MEMORY with a text. The plug-in
 * answers for every exception of FAISS and every error of CUDA; nothing of it ends the process. */
#ifndef REC_GPU_API_H
#define REC_GPU_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Counts up with every change of this file: a plug-in of another version is refused. */
enum { REC_GPU_VERSION = 3, REC_GPU_MAX_K = 2048, REC_GPU_FAILED = -1, REC_GPU_NO_MEMORY = -2 };

typedef struct RecGpuDevice {
    char name[256];
    uint64_t memory_total, memory_free; /* bytes */
} RecGpuDevice;

/* What to hold: without a factory, rows as they are added, searched exactly. With one, FAISS's
 * index of that factory string: trained and filled on the CPU, from the bytes of faiss_extra_save;
 * or without bytes, to be trained and filled on the device. */
typedef struct RecGpuSpec {
    int device;
    int dim;
    int inner_product; /* else squared Euclidean distances */
    int half;          /* rows without a factory as float16 */
    const char *factory;
    const void *structure;
    size_t structure_len;
    int64_t n;        /* rows that the structure holds, */
    int64_t from, to; /* and those of them that are kept here: from .. to - 1 */
} RecGpuSpec;

/* Asked now and then on the calling thread: 1 to give up. */
typedef int (*RecGpuPoll)(void *host);
typedef void (*RecGpuWrite)(void *out, const void *data, size_t len);

typedef struct RecGpuApi {
    uint32_t version;
    /* Devices that can be used; the text says why there is none (no driver, no device, a driver too
     * old). */
    int (*count)(int *out, char *text, size_t text_size);
    int (*device)(int device, RecGpuDevice *out, char *text, size_t text_size);
    int (*create)(void **out, const RecGpuSpec *spec, char *text, size_t text_size);
    /* Of an index that is to be trained: centroids on the device, the rest on so many threads. */
    int (*train)(void *index, int64_t n, const float *rows, int threads, RecGpuPoll poll,
        void *host, char *text, size_t text_size);
    int (*add)(void *index, int64_t n, const float *rows, char *text, size_t text_size);
    /* Of an index that was trained here: the bytes of faiss_extra_save. */
    int (*save)(void *index, RecGpuWrite write, void *out, char *text, size_t text_size);
    /* n queries; k up to REC_GPU_MAX_K. distances and labels: n x k, best first, label -1 where
     * there is none. From any number of threads: one at a time computes on a device, while others'
     * queries and answers are copied. */
    int (*search)(void *index, int64_t n, const float *queries, int64_t k, int64_t nprobe,
        float *distances, int64_t *labels, char *text, size_t text_size);
    void (*destroy)(void *index);
} RecGpuApi;

/* The one symbol of the plug-in. */
const RecGpuApi *recommend_gpu(void);

#ifdef __cplusplus
}
#endif

#endif
