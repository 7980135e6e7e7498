/* gpu_raw: FAISS's GPU indexes through their own API, beside rec_search (tests/bench/gpu.py).
 *
 *     gpu_raw ROWS QUERIES DIM K flat|FACTORY NPROBE BATCH ROUNDS     ROWS and QUERIES: files of
 *     float32, inner products of what is in them
 *
 * Copies the rows (an IVF is trained and filled on the device), then asks for BATCH queries at a
 * time, for a quarter of a second a round. Prints for each round the seconds a query, with queries
 * and answers in the host's memory, and with both on the device: the kernels alone. */
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
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
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
    long batch = atol(argv[7]), n = static_cast<long>(rows.size()) / dim,
         asked = static_cast<long>(queries.size()) / dim;
    faiss::gpu::StandardGpuResources resources;
    std::unique_ptr<faiss::Index> index;
    if (strcmp(argv[5], "flat") == 0) {
        index = std::make_unique<faiss::gpu::GpuIndexFlat>(
            &resources, dim, faiss::METRIC_INNER_PRODUCT);
    } else {
        std::unique_ptr<faiss::Index> cpu(
            faiss::index_factory(dim, argv[5], faiss::METRIC_INNER_PRODUCT));
        index.reset(faiss::gpu::index_cpu_to_gpu(&resources, 0, cpu.get()));
        index->train(n < 1048576 ? n : 1048576, rows.data());
        if (auto *lists = dynamic_cast<faiss::gpu::GpuIndexIVF *>(index.get()))
            lists->setNumProbes(nprobe);
    }
    for (long from = 0; from < n; from += 65536)
        index->add(n - from < 65536 ? n - from : 65536, rows.data() + from * dim);
    size_t found = static_cast<size_t>(batch * k);
    std::vector<float> distance(found);
    std::vector<faiss::Index::idx_t> label(found);
    float *there_query = nullptr, *there_distance = nullptr;
    faiss::Index::idx_t *there_label = nullptr;
    if (cudaMalloc(reinterpret_cast<void **>(&there_query), queries.size() * sizeof(float)) ||
        cudaMalloc(reinterpret_cast<void **>(&there_distance), found * sizeof(float)) ||
        cudaMalloc(reinterpret_cast<void **>(&there_label), found * sizeof *there_label) ||
        cudaMemcpy(
            there_query, queries.data(), queries.size() * sizeof(float), cudaMemcpyHostToDevice))
        return 4;
    auto seconds = [&](const float *query, float *distances, faiss::Index::idx_t *labels) {
        double started = now();
        long done = 0;
        for (; now() - started < .25; done += batch) {
            index->search(batch, query + (done % (asked - batch + 1)) * dim, k, distances, labels);
            cudaDeviceSynchronize();
        }
        return (now() - started) / static_cast<double>(done);
    };
    for (int round = -1; round < rounds; round++) { /* the first warms up */
        double host = seconds(queries.data(), distance.data(), label.data()),
               device = seconds(there_query, there_distance, there_label);
        if (round >= 0) printf("%.9f %.9f\n", host, device);
    }
    return 0;
}
