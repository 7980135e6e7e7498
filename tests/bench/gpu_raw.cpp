/* gpu_raw: FAISS's GPU indexes through their own API, beside rec_search (tests/bench/gpu.py).
 *
 *     gpu_raw ROWS QUERIES DIM K flat|FACTORY NPROBE BATCH ROUNDS     ROWS and QUERIES: files of float32, inner products of what is in them
 *
 * Copies the rows (an IVF is trained and filled on the CPU first), then asks for BATCH queries at a time, the same as often as is needed
 * for a quarter of a second; prints "seconds a query" of each round. */
#include <cuda_runtime.h>
#include <faiss/gpu/GpuCloner.h>
#include <faiss/gpu/GpuIndexFlat.h>
#include <faiss/gpu/GpuIndexIVF.h>
#include <faiss/gpu/StandardGpuResources.h>
#include <faiss/index_factory.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

static std::vector<float> read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) exit(1);
    fseek(file, 0, SEEK_END);
    std::vector<float> out(static_cast<size_t>(ftell(file)) / sizeof(float));
    rewind(file);
    if (fread(out.data(), sizeof(float), out.size(), file) != out.size()) exit(1);
    fclose(file);
    return out;
}

static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int main(int argc, char **argv) {
    int devices = 0;
    if (argc != 9) return 2;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        fprintf(stderr, "no GPU\n");
        return 3;
    }
    auto rows = read_file(argv[1]), queries = read_file(argv[2]);
    int dim = atoi(argv[3]), k = atoi(argv[4]), nprobe = atoi(argv[6]), rounds = atoi(argv[8]);
    long batch = atol(argv[7]), n = static_cast<long>(rows.size()) / dim, asked = static_cast<long>(queries.size()) / dim;
    faiss::gpu::StandardGpuResources resources;
    std::unique_ptr<faiss::Index> index;
    if (strcmp(argv[5], "flat") == 0) {
        index = std::make_unique<faiss::gpu::GpuIndexFlat>(&resources, dim, faiss::METRIC_INNER_PRODUCT);
        index->add(n, rows.data());
    } else {
        std::unique_ptr<faiss::Index> cpu(faiss::index_factory(dim, argv[5], faiss::METRIC_INNER_PRODUCT));
        cpu->train(n, rows.data());
        cpu->add(n, rows.data());
        index.reset(faiss::gpu::index_cpu_to_gpu(&resources, 0, cpu.get()));
        if (auto *lists = dynamic_cast<faiss::gpu::GpuIndexIVF *>(index.get())) lists->setNumProbes(nprobe);
    }
    std::vector<float> distance(static_cast<size_t>(batch * k));
    std::vector<faiss::Index::idx_t> label(static_cast<size_t>(batch * k));
    for (int round = -1; round < rounds; round++) { /* the first warms up */
        double started = now();
        long done = 0;
        for (; now() - started < .25; done += batch) index->search(batch, queries.data() + (done % (asked - batch + 1)) * dim, k, distance.data(), label.data());
        if (round >= 0) printf("%.9f\n", (now() - started) / static_cast<double>(done));
    }
    return 0;
}
