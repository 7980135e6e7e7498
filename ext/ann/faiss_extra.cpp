#include "faiss_extra.h"

#include <faiss/Index.h>
#include <faiss/IndexFlat.h>
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

static bool flat_is_sound(const faiss::Index *index, int64_t n, int64_t dim) {
    auto *flat = dynamic_cast<const faiss::IndexFlat *>(index);
    return flat && flat->ntotal == n && flat->d == dim && flat->code_size == static_cast<size_t>(dim) * sizeof(float) &&
           flat->codes.size() == static_cast<size_t>(n) * flat->code_size;
}

/* Row i's links of level l stand at offsets[i] + cum[l] .. offsets[i] + cum[l + 1]; levels[i] counts its levels. */
static bool links_are_sound(const faiss::HNSW &h, int64_t n, int64_t i) {
    const auto &cum = h.cum_nneighbor_per_level;
    for (int l = 0; l < h.levels[static_cast<size_t>(i)]; l++)
        for (int at = cum[static_cast<size_t>(l)]; at < cum[static_cast<size_t>(l) + 1]; at++) {
            int64_t link = h.neighbors[h.offsets[static_cast<size_t>(i)] + static_cast<size_t>(at)];
            if (link < -1 || link >= n) return false;
            if (link >= 0 && h.levels[static_cast<size_t>(link)] <= l) return false;
        }
    return true;
}

static bool hnsw_is_sound(const faiss::HNSW &h, int64_t n) {
    const auto &cum = h.cum_nneighbor_per_level;
    size_t rows = static_cast<size_t>(n);
    if (h.levels.size() != rows || h.offsets.size() != rows + 1 || h.offsets[0] != 0 || cum.empty() || cum[0] != 0) return false;
    for (size_t l = 1; l < cum.size(); l++)
        if (cum[l] < cum[l - 1] || cum[l] > 1 << 20) return false;
    for (size_t i = 0; i < rows; i++) {
        if (h.levels[i] < 1 || static_cast<size_t>(h.levels[i]) >= cum.size()) return false;
        if (h.offsets[i + 1] < h.offsets[i] || h.offsets[i + 1] - h.offsets[i] != static_cast<size_t>(cum[static_cast<size_t>(h.levels[i])])) return false;
    }
    if (h.offsets[rows] != h.neighbors.size()) return false;
    if (n == 0) return h.entry_point == -1;
    if (h.entry_point < 0 || h.entry_point >= n || h.max_level < 0 || h.max_level >= h.levels[static_cast<size_t>(h.entry_point)]) return false;
    for (int64_t i = 0; i < n; i++)
        if (!links_are_sound(h, n, i)) return false;
    return true;
}

int faiss_extra_check(const void *index_pointer, int64_t n, int64_t dim, char *text, size_t text_size) {
    auto *index = static_cast<const faiss::Index *>(index_pointer);
    if (index->ntotal != n || index->d != dim) return describe(text, text_size, "it does not fit its rows");
    if (flat_is_sound(index, n, dim)) return 0;
    auto *graph = dynamic_cast<const faiss::IndexHNSW *>(index);
    if (!graph) return describe(text, text_size, "it is of a kind that cannot be checked");
    if (flat_is_sound(graph->storage, n, dim) && hnsw_is_sound(graph->hnsw, n)) return 0;
    return describe(text, text_size, "its links are malformed");
}

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *faiss_extra_version(void) {
    return TEXT(FAISS_VERSION_MAJOR) "." TEXT(FAISS_VERSION_MINOR) "." TEXT(FAISS_VERSION_PATCH);
}
