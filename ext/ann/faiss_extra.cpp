#include "faiss_extra.h"

#include <faiss/Index.h>
#include <faiss/Index2Layer.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFFastScan.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexLattice.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/IDSelector.h>

#include <cmath>
#include <cstdio>
#include <memory>

#include "faiss_guard.h"
#include "faiss_job.h"

/* Our kernels, chosen at run time, take the place of FAISS's own distance functions, which the
 * build leaves at the baseline instruction set (docs/decisions/0002-one-faiss-for-every-cpu.md):
 * the Makefile weakens FAISS's symbols. */
extern "C" {
float rec_faiss_dot(const float *a, const float *b, size_t n);
float rec_faiss_l2_squared(const float *a, const float *b, size_t n);
/* FAISS prints warnings and progress: the Makefile sends its printf, puts and the like here, where
 * nothing happens. */
int rec_silent_printf(const char *format, ...);
int rec_silent_fprintf(FILE *file, const char *format, ...);
int rec_silent_puts(const char *text);
int rec_silent_putchar(int character);
size_t rec_silent_fwrite(const void *data, size_t size, size_t n, FILE *file);
}

int rec_silent_printf(const char *, ...) { return 0; }
int rec_silent_fprintf(FILE *, const char *, ...) { return 0; }
int rec_silent_puts(const char *) { return 0; }
int rec_silent_putchar(int character) { return character; }
size_t rec_silent_fwrite(const void *, size_t, size_t n, FILE *) { return n; }

namespace faiss {
float fvec_inner_product(const float *a, const float *b, size_t n) {
    return rec_faiss_dot(a, b, n);
}
float fvec_L2sqr(const float *a, const float *b, size_t n) { return rec_faiss_l2_squared(a, b, n); }
/* How many rounds of so many operations FAISS does before it asks: here about 5 ms' worth, FAISS's
 * own is a second's. */
size_t InterruptCallback::get_period_hint(size_t flops) {
    size_t rounds = 5000000 / (flops + 1);
    return instance ? (rounds ? rounds : 1) : static_cast<size_t>(1) << 30;
}
} // namespace faiss

namespace {

/* The index below transforms, refinements and id maps; `lowers` when one of the transforms loses
 * dimensions. Rows go through the transforms into x when it is given. */
const faiss::Index *leaf_of(const faiss::Index *index, int64_t n, std::unique_ptr<const float[]> *x,
    const float **rows, bool *lowers) {
    for (;;) {
        if (auto *transform = dynamic_cast<const faiss::IndexPreTransform *>(index)) {
            for (auto *link : transform->chain) *lowers |= link->d_out < link->d_in;
            if (x) {
                const float *moved = transform->apply_chain(n, *rows);
                if (moved != *rows) x->reset(moved);
                *rows = moved;
            }
            index = transform->index;
        } else if (auto *refine = dynamic_cast<const faiss::IndexRefine *>(index)) {
            index = refine->base_index; /* the caller scores the candidates exactly */
        } else if (auto *map = dynamic_cast<const faiss::IndexIDMap *>(index)) {
            index = map->index;
        } else {
            return index;
        }
    }
}

struct AllowedRows : faiss::IDSelector {
    const uint64_t *bits;
    explicit AllowedRows(const uint64_t *bits_) : bits(bits_) {}
    bool is_member(idx_t id) const override { return bits[id >> 6] >> (id & 63) & 1; }
};

} // namespace

FaissExtraKind faiss_extra_kind(const void *index_pointer) {
    FaissExtraKind kind = {0, 0, 0, 0, 0, 2};
    bool lowers = false;
    const faiss::Index *leaf = leaf_of(
        static_cast<const faiss::Index *>(index_pointer), 0, nullptr, nullptr, &lowers);
    kind.transforms = dynamic_cast<const faiss::IndexPreTransform *>(
                          static_cast<const faiss::Index *>(index_pointer)) != nullptr;
    auto *ivf = dynamic_cast<const faiss::IndexIVF *>(leaf);
    if (ivf) {
        kind.n_lists = static_cast<int64_t>(ivf->nlist);
        kind.takes_nprobe = kind.takes_filter = !dynamic_cast<const faiss::IndexIVFFastScan *>(
            leaf);
    }
    kind.is_graph = dynamic_cast<const faiss::IndexHNSW *>(leaf) != nullptr;
    if (dynamic_cast<const faiss::IndexScalarQuantizer *>(leaf) ||
        dynamic_cast<const faiss::IndexIVFScalarQuantizer *>(leaf) ||
        dynamic_cast<const faiss::IndexHNSWSQ *>(leaf))
        kind.loss = 1;
    if (dynamic_cast<const faiss::IndexFlat *>(leaf) ||
        dynamic_cast<const faiss::IndexIVFFlat *>(leaf))
        kind.loss = 0;
    if (lowers) kind.loss = 2;
    return kind;
}

/* What makes no sense although the factory makes it. */
static void refuse_nonsense(const faiss::Index *index, const faiss::Index *leaf) {
    if (auto *transform = dynamic_cast<const faiss::IndexPreTransform *>(index))
        for (auto *link : transform->chain)
            if (dynamic_cast<const faiss::PCAMatrix *>(link) && link->d_out > link->d_in)
                throw Unfit("PCA to more dimensions than there are");
    if (dynamic_cast<const faiss::Index2Layer *>(leaf) ||
        dynamic_cast<const faiss::IndexLattice *>(leaf))
        throw Unfit("it only encodes and cannot be searched");
    if (dynamic_cast<const faiss::IndexHNSW2Level *>(leaf)) throw Unfit("its searches fail");
}

int faiss_extra_prepare(void *index_pointer, char *text, size_t text_size) {
    return guarded(text, text_size, [&] {
        auto *index = static_cast<faiss::Index *>(index_pointer);
        bool lowers = false;
        auto *leaf = const_cast<faiss::Index *>(leaf_of(index, 0, nullptr, nullptr, &lowers));
        refuse_nonsense(index, leaf);
        if (auto *lists = dynamic_cast<faiss::IndexIVF *>(leaf))
            lists->nprobe = static_cast<size_t>(
                std::ceil(std::sqrt(static_cast<double>(lists->nlist))));
        /* polysemous codes cost minutes of training for a way of searching that is never asked for
         * here */
        if (auto *graph = dynamic_cast<faiss::IndexHNSW *>(leaf)) leaf = graph->storage;
        if (auto *pq = dynamic_cast<faiss::IndexPQ *>(leaf)) pq->do_polysemous_training = false;
        if (auto *lists = dynamic_cast<faiss::IndexIVFPQ *>(leaf))
            lists->do_polysemous_training = false;
    });
}

int faiss_extra_train(void *index, int64_t n, const float *rows, int threads, FaissExtraPoll poll,
    void *host, char *text, size_t text_size) {
    return guarded(text, text_size, [&] {
        Job job(threads, poll, host);
        static_cast<faiss::Index *>(index)->train(n, rows);
    });
}

int faiss_extra_add(void *index, int64_t n, const float *rows, int threads, FaissExtraPoll poll,
    void *host, char *text, size_t text_size) {
    return guarded(text, text_size, [&] {
        Job job(threads, poll, host);
        static_cast<faiss::Index *>(index)->add(n, rows);
    });
}

int faiss_extra_search(
    const void *index_pointer, const FaissExtraSearch *search, char *text, size_t text_size) {
    return guarded(text, text_size, [&] {
        Job job(1, nullptr, nullptr);
        std::unique_ptr<const float[]> moved;
        const float *query = search->query;
        bool lowers = false;
        const faiss::Index *leaf = leaf_of(
            static_cast<const faiss::Index *>(index_pointer), search->n, &moved, &query, &lowers);
        FaissExtraKind kind = faiss_extra_kind(leaf);
        AllowedRows allowed(search->allowed);
        faiss::SearchParametersHNSW hnsw;
        faiss::SearchParametersIVF ivf;
        const faiss::SearchParameters *parameters = nullptr;
        if (kind.is_graph && search->ef > 0) {
            hnsw.efSearch = static_cast<int>(search->ef);
            parameters = &hnsw;
        } else if (kind.takes_nprobe) {
            auto *lists = dynamic_cast<const faiss::IndexIVF *>(leaf);
            ivf.nprobe = search->nprobe > 0 ? static_cast<size_t>(search->nprobe) : lists->nprobe;
            if (ivf.nprobe > lists->nlist) ivf.nprobe = lists->nlist;
            if (search->allowed) ivf.sel = &allowed;
            parameters = &ivf;
        }
        leaf->search(search->n, query, search->k, search->distances, search->labels, parameters);
    });
}

/* ---- the graph ---- */

static faiss::IndexHNSWFlat *graph_of(void *graph) {
    return static_cast<faiss::IndexHNSWFlat *>(graph);
}

void *faiss_extra_graph_new(
    int dim, int links, int inner_product, int build_ef, char *text, size_t text_size) {
    void *graph = nullptr;
    guarded(text, text_size, [&] {
        auto *made = new faiss::IndexHNSWFlat(
            dim, links, inner_product ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2);
        if (build_ef > 0) made->hnsw.efConstruction = build_ef;
        graph = made;
    });
    return graph;
}

void faiss_extra_graph_free(void *graph) { delete graph_of(graph); }

int faiss_extra_graph_add(void *graph, int64_t n, const float *rows, int threads,
    FaissExtraPoll poll, void *host, char *text, size_t text_size) {
    return faiss_extra_add(static_cast<faiss::Index *>(graph_of(graph)), n, rows, threads, poll,
        host, text, text_size);
}

int faiss_extra_graph_node(
    void *graph, const float *row, int levels, char *text, size_t text_size) {
    return guarded(text, text_size, [&] {
        auto *index = graph_of(graph);
        auto &h = index->hnsw;
        if (levels < 1 || static_cast<size_t>(levels) >= h.cum_nneighbor_per_level.size())
            throw Malformed();
        index->storage->add(1, row);
        h.levels.push_back(levels);
        h.offsets.push_back(h.offsets.back() +
            static_cast<size_t>(h.cum_nneighbor_per_level[static_cast<size_t>(levels)]));
        h.neighbors.resize(h.offsets.back(), -1);
        if (levels - 1 > h.max_level || h.entry_point < 0) {
            h.max_level = levels - 1;
            h.entry_point = static_cast<int32_t>(index->ntotal);
        }
        index->ntotal++;
    });
}

void faiss_extra_graph_link(void *graph, int64_t node, int level, int32_t target) {
    auto &h = graph_of(graph)->hnsw;
    size_t begin, end;
    h.neighbor_range(node, level, &begin, &end);
    for (size_t at = begin; at < end; at++) {
        if (h.neighbors[at] == target) return;
        if (h.neighbors[at] >= 0) continue;
        h.neighbors[at] = target;
        return;
    }
}

FaissExtraGraph faiss_extra_graph_view(const void *graph) {
    const auto &h = static_cast<const faiss::IndexHNSWFlat *>(graph)->hnsw;
    return FaissExtraGraph{h.levels.data(), h.offsets.data(), h.neighbors.data(),
        h.cum_nneighbor_per_level.data(), h.entry_point, h.max_level};
}

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *faiss_extra_version(void) {
    return TEXT(FAISS_VERSION_MAJOR) "." TEXT(FAISS_VERSION_MINOR) "." TEXT(FAISS_VERSION_PATCH);
}
