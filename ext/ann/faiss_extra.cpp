#include "faiss_extra.h"

#include <faiss/Index.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>

#include <cstdio>
#include <exception>

/* Our kernels, chosen at run time, take the place of FAISS's own distance functions, which the build leaves at the
 * baseline instruction set (docs/decisions/0002-one-faiss-for-every-cpu.md): the Makefile weakens FAISS's symbols. */
extern "C" {
float rec_faiss_dot(const float *a, const float *b, size_t n);
float rec_faiss_l2_squared(const float *a, const float *b, size_t n);
}

namespace faiss {
float fvec_inner_product(const float *a, const float *b, size_t n) {
    return rec_faiss_dot(a, b, n);
}
float fvec_L2sqr(const float *a, const float *b, size_t n) {
    return rec_faiss_l2_squared(a, b, n);
}
} // namespace faiss

static int describe(char *text, size_t size, const char *what) {
    snprintf(text, size, "%s", what);
    return -1;
}

int faiss_extra_search(const void *index_pointer, const float *query, int64_t k, int64_t ef, int64_t nprobe,
                       float *distances, int64_t *labels, char *text, size_t text_size) {
    try {
        auto *index = static_cast<const faiss::Index *>(index_pointer);
        faiss::SearchParametersHNSW hnsw;
        faiss::SearchParametersIVF ivf;
        const faiss::SearchParameters *parameters = nullptr;
        if (ef > 0 && dynamic_cast<const faiss::IndexHNSW *>(index)) {
            hnsw.efSearch = static_cast<int>(ef);
            parameters = &hnsw;
        } else if (nprobe > 0 && dynamic_cast<const faiss::IndexIVF *>(index)) {
            ivf.nprobe = static_cast<size_t>(nprobe);
            parameters = &ivf;
        }
        index->search(1, query, k, distances, labels, parameters);
        return 0;
    } catch (const std::exception &e) {
        return describe(text, text_size, e.what());
    } catch (...) {
        return describe(text, text_size, "unknown exception");
    }
}

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *faiss_extra_version(void) {
    return TEXT(FAISS_VERSION_MAJOR) "." TEXT(FAISS_VERSION_MINOR) "." TEXT(FAISS_VERSION_PATCH);
}
