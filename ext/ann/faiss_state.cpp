/* What a FAISS index has learnt and holds, as bytes and back.
 *
 * Not FAISS's own file format: its reader trusts what it reads. Here an index is made by its
 * factory string first, and only arrays are stored, each of which must have exactly the length that
 * this index needs. One function walks the index for both directions. Kinds that it does not know
 * are not stored: they are built again. */
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/VectorTransform.h>

#include <cstring>
#include <memory>
#include <typeinfo>
#include <vector>

#include "faiss_extra.h"
#include "faiss_guard.h"

namespace {

/* A kind of index that this file does not know. */
struct Unknown : std::exception {
    const char *what() const noexcept override { return "it is of a kind that is not stored"; }
};

/* One direction or the other. */
class Archive {
    FaissExtraWrite write = nullptr;
    void *out = nullptr;
    const char *data = nullptr;
    size_t left = 0;

  public:
    size_t n; /* rows */
    bool loading;

    Archive(FaissExtraWrite write_, void *out_, size_t n_)
        : write(write_), out(out_), n(n_), loading(false) {}
    Archive(const void *data_, size_t len, size_t n_)
        : data(static_cast<const char *>(data_)), left(len), n(n_), loading(true) {}

    void bytes(void *item, size_t len) {
        if (!loading) return write(out, item, len);
        if (len > left) throw Malformed();
        if (len) memcpy(item, data, len);
        data += len;
        left -= len;
    }
    uint64_t number(uint64_t value) {
        bytes(&value, sizeof value);
        return value;
    }
    /* An array of exactly so many items. */
    template <class T> void array(std::vector<T> &items, size_t length) {
        if (!loading && items.size() != length) throw Unknown();
        if (loading) {
            if (length > left / sizeof(T)) throw Malformed();
            items.resize(length);
        }
        bytes(items.data(), length * sizeof(T));
    }
    void end() const {
        if (loading && left) throw Malformed();
    }
};

template <class T> T *exactly(faiss::Index *index) {
    return typeid(*index) == typeid(T) ? static_cast<T *>(index) : nullptr;
}

void visit(Archive &a, faiss::ProductQuantizer &pq) { a.array(pq.centroids, pq.d * pq.ksub); }

void visit(Archive &a, faiss::ScalarQuantizer &sq) {
    size_t learnt = 0;
    switch (sq.qtype) {
    case faiss::ScalarQuantizer::QT_8bit:
    case faiss::ScalarQuantizer::QT_4bit:
    case faiss::ScalarQuantizer::QT_6bit: learnt = 2 * sq.d; break;
    case faiss::ScalarQuantizer::QT_fp16: break;
    default: throw Unknown();
    }
    a.array(sq.trained, learnt);
}

void visit(Archive &a, faiss::VectorTransform &transform) {
    if (auto *linear = dynamic_cast<faiss::LinearTransform *>(&transform)) {
        size_t in = static_cast<size_t>(linear->d_in), out = static_cast<size_t>(linear->d_out);
        a.array(linear->A, in * out);
        linear->have_bias = a.number(linear->have_bias) != 0;
        a.array(linear->b, linear->have_bias ? out : 0);
    } else if (!dynamic_cast<faiss::NormalizationTransform *>(&transform) &&
        !dynamic_cast<faiss::RemapDimensionsTransform *>(&transform)) {
        throw Unknown();
    }
    transform.is_trained = true;
}

/* The centroids of an IVF, which a fresh quantizer takes as its rows. */
void visit_quantizer(Archive &a, faiss::IndexIVF &ivf) {
    if (!exactly<faiss::IndexFlat>(ivf.quantizer) && !exactly<faiss::IndexFlatL2>(ivf.quantizer) &&
        !exactly<faiss::IndexFlatIP>(ivf.quantizer) &&
        !exactly<faiss::IndexHNSWFlat>(ivf.quantizer))
        throw Unknown();
    std::vector<float> centroids;
    if (!a.loading) {
        centroids.resize(ivf.nlist * static_cast<size_t>(ivf.d));
        ivf.quantizer->reconstruct_n(
            0, static_cast<faiss::Index::idx_t>(ivf.nlist), centroids.data());
    }
    a.array(centroids, ivf.nlist * static_cast<size_t>(ivf.d));
    if (!a.loading) return;
    ivf.quantizer->reset();
    ivf.quantizer->is_trained = true;
    ivf.quantizer->add(static_cast<faiss::Index::idx_t>(ivf.nlist), centroids.data());
}

void visit_lists(Archive &a, faiss::IndexIVF &ivf) {
    std::vector<bool> there(a.n, false);
    std::vector<faiss::Index::idx_t> ids;
    std::vector<uint8_t> codes;
    size_t total = 0;
    for (size_t list = 0; list < ivf.nlist; list++) {
        size_t size = a.number(a.loading ? 0 : ivf.invlists->list_size(list));
        if (size > a.n - total) throw Malformed();
        total += size;
        if (!a.loading) {
            faiss::InvertedLists::ScopedIds held(ivf.invlists, list);
            faiss::InvertedLists::ScopedCodes held_codes(ivf.invlists, list);
            ids.assign(held.get(), held.get() + size);
            codes.assign(held_codes.get(), held_codes.get() + size * ivf.code_size);
        }
        a.array(ids, size);
        a.array(codes, size * ivf.code_size);
        if (!a.loading) continue;
        for (auto id : ids) {
            if (id < 0 || static_cast<size_t>(id) >= a.n || there[static_cast<size_t>(id)])
                throw Malformed();
            there[static_cast<size_t>(id)] = true;
        }
        ivf.invlists->add_entries(list, size, ids.data(), codes.data());
    }
    if (total != a.n) throw Malformed();
}

void visit(Archive &a, faiss::Index *index) {
    if (auto *transform = exactly<faiss::IndexPreTransform>(index)) {
        for (auto *link : transform->chain) visit(a, *link);
        visit(a, transform->index);
    } else if (auto *refine = dynamic_cast<faiss::IndexRefine *>(index)) {
        visit(a, refine->base_index);
        visit(a, refine->refine_index);
    } else if (auto *flat = dynamic_cast<faiss::IndexFlat *>(index)) {
        a.array(flat->codes, a.n * flat->code_size);
    } else if (auto *pq = exactly<faiss::IndexPQ>(index)) {
        visit(a, pq->pq);
        a.array(pq->codes, a.n * pq->code_size);
    } else if (auto *sq = exactly<faiss::IndexScalarQuantizer>(index)) {
        visit(a, sq->sq);
        a.array(sq->codes, a.n * sq->code_size);
    } else if (auto *lists = dynamic_cast<faiss::IndexIVF *>(index)) {
        auto *with_pq = exactly<faiss::IndexIVFPQ>(index);
        auto *with_sq = exactly<faiss::IndexIVFScalarQuantizer>(index);
        if (!with_pq && !with_sq && !exactly<faiss::IndexIVFFlat>(index)) throw Unknown();
        visit_quantizer(a, *lists);
        if (with_pq) visit(a, with_pq->pq);
        if (with_sq) visit(a, with_sq->sq);
        visit_lists(a, *lists);
        if (with_pq && a.loading) with_pq->precompute_table();
    } else {
        throw Unknown();
    }
    index->is_trained = true;
    index->ntotal = static_cast<faiss::Index::idx_t>(a.n);
}

} // namespace

int faiss_extra_save(const void *index_pointer, FaissExtraWrite write, void *out, int *stored,
    char *text, size_t text_size) {
    /* walking towards bytes changes nothing */
    auto *index = static_cast<faiss::Index *>(const_cast<void *>(index_pointer));
    *stored = 1;
    return guarded(text, text_size, [&] {
        try {
            Archive archive(write, out, static_cast<size_t>(index->ntotal));
            visit(archive, index);
        } catch (const Unknown &) { *stored = 0; }
    });
}

int faiss_extra_load(
    void *index, int64_t n, const void *data, size_t len, char *text, size_t text_size) {
    return guarded(text, text_size, [&] {
        Archive archive(data, len, static_cast<size_t>(n));
        visit(archive, static_cast<faiss::Index *>(index));
        archive.end();
    });
}

int faiss_extra_keep(void *index, int64_t from, int64_t to, char *text, size_t text_size) {
    return guarded(text, text_size, [&] {
        auto *ivf = dynamic_cast<faiss::IndexIVF *>(static_cast<faiss::Index *>(index));
        if (!ivf) throw Unfit("it has no lists");
        auto kept = std::make_unique<faiss::ArrayInvertedLists>(ivf->nlist, ivf->code_size);
        const faiss::InvertedLists *all = ivf->invlists;
        ivf->ntotal = 0;
        for (size_t list = 0; list < ivf->nlist; list++) {
            faiss::InvertedLists::ScopedIds ids(all, list);
            faiss::InvertedLists::ScopedCodes codes(all, list);
            for (size_t i = 0; i < all->list_size(list); i++) {
                if (ids[i] < from || ids[i] >= to) continue;
                kept->add_entry(list, ids[i], codes.get() + i * ivf->code_size);
                ivf->ntotal++;
            }
        }
        ivf->replace_invlists(kept.release(), true);
    });
}
