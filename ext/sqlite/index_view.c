/* The loaded copy of a rec_index: a base shared through the cache, immutable and named by the stamp of the change that
 * it was loaded at, and this connection's overlay of what changed since.
 *
 * Before each search the last change's stamp is read inside the caller's transaction. Equal: nothing to do. If the
 * overlay's own change is still in the log, its content is an ancestor: the ids changed since are read again. If only
 * the base's is (a rollback), the overlay starts anew. Otherwise the table is loaded. So a transaction sees its own
 * rows, a rollback takes them back, and another process's commit is picked up. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "cache.h"
#include "index_table.h"

static void base_free(void *object) {
    IndexBase *base = object;
    if (base->index.engine && base->index.state) base->index.engine->free(&base->index);
    ann_vectors_clear(&base->vectors);
    mem_free(base->id);
    mem_free(base->stale);
    mem_free(base);
}

static void overlay_clear(IndexOverlay *overlay) {
    keymap_free(overlay->slot);
    mem_free(overlay->row);
    mem_free(overlay->deleted);
    mem_free(overlay->live);
    *overlay = (IndexOverlay){0};
}

void index_view_clear(IndexTable *t) {
    overlay_clear(&t->overlay);
    cache_release(t->loaded);
    t->loaded = NULL;
}

static size_t live_words(const IndexBase *base) {
    return ((size_t)base->vectors.n + 63) / 64;
}

static void mark_all(uint64_t *bits, int64_t n) {
    for (int64_t word = 0; word * 64 < n; word++)
        bits[word] = n - word * 64 >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (n - word * 64)) - 1;
}

/* The position of id in the base, or -1. */
static int64_t base_position(const IndexBase *base, int64_t id) {
    int64_t low = 0, high = base->vectors.n;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (base->id[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < base->vectors.n && base->id[low] == id ? low : -1;
}

static Status overlay_put(IndexTable *t, int64_t id, Err *err) {
    IndexOverlay *overlay = &t->overlay;
    int32_t slot;
    int found;
    size_t dim = (size_t)t->dim;

    if (keymap_count(overlay->slot) >= overlay->capacity) { /* room first: a slot without a row must never exist */
        int32_t capacity = overlay->capacity + overlay->capacity / 2 + 16;
        float *row = mem_resize(overlay->row, (size_t)capacity, dim * sizeof *row);
        if (row) overlay->row = row;
        uint8_t *deleted = row ? mem_resize(overlay->deleted, (size_t)capacity, 1) : NULL;
        if (!deleted) return fail_nomem(err, "the changes");
        overlay->deleted = deleted;
        overlay->capacity = capacity;
    }
    TRY(keymap_add(overlay->slot, (Key){.integer = id}, &slot, err));
    overlay->deleted[slot] = 1;
    TRY(index_read_vector(t, id, overlay->row + (size_t)slot * dim, &found, err));
    overlay->deleted[slot] = !found;
    int64_t position = base_position(t->loaded, id);
    if (position >= 0 && ann_allows(overlay->live, position)) {
        overlay->live[position >> 6] &= ~((uint64_t)1 << (position & 63));
        overlay->n_live--;
    }
    return ST_OK;
}

static Status overlay_start(IndexTable *t, Err *err) {
    IndexOverlay *overlay = &t->overlay;
    overlay_clear(overlay);
    overlay->slot = keymap_new();
    overlay->live = mem_zeros(live_words(t->loaded), sizeof *overlay->live);
    if (!overlay->slot || !overlay->live) return fail_nomem(err, "the changes");
    mark_all(overlay->live, t->loaded->vectors.n);
    overlay->n_live = t->loaded->vectors.n;
    overlay->seq = t->loaded->seq;
    memcpy(overlay->stamp, t->loaded->stamp, STAMP);
    for (int64_t i = 0; i < t->loaded->n_stale; i++) TRY(overlay_put(t, t->loaded->stale[i], err));
    return ST_OK;
}

/* Is the change (seq, stamp) part of the present history? */
static Status is_ancestor(IndexTable *t, int64_t seq, const unsigned char stamp[STAMP], int *out, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    *out = 0;
    TRY(index_statement(t, CHANGE_AT, &statement, err));
    sqlite3_bind_int64(statement, 1, seq);
    Status status = glue_step(t->db, statement, &has_row, err);
    if (status == ST_OK && has_row && sqlite3_column_bytes(statement, 0) == STAMP)
        *out = memcmp(sqlite3_column_blob(statement, 0), stamp, STAMP) == 0;
    sqlite3_reset(statement);
    return status;
}

/* Read again every id changed after the overlay's change. */
static Status overlay_catch_up(IndexTable *t, int64_t seq, const unsigned char stamp[STAMP], Err *err) {
    sqlite3_stmt *statement;
    int has_row = 1;
    TRY(index_statement(t, CHANGES_SINCE, &statement, err));
    sqlite3_bind_int64(statement, 1, t->overlay.seq);
    Status status = ST_OK;
    while (status == ST_OK) {
        status = glue_step(t->db, statement, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = overlay_put(t, sqlite3_column_int64(statement, 0), err);
    }
    sqlite3_reset(statement);
    if (status != ST_OK) return status;
    t->overlay.seq = seq;
    memcpy(t->overlay.stamp, stamp, STAMP);
    return ST_OK;
}

static Status alloc_base(IndexBase **out, const IndexTable *t, int64_t n, Err *err) {
    IndexBase *base = mem_zeros(1, sizeof *base);
    *out = base;
    if (!base) return fail_nomem(err, "the index");
    base->id = mem_array((size_t)n, sizeof *base->id);
    if (!base->id) return fail_nomem(err, "the index");
    return ann_vectors_alloc(&base->vectors, n, t->dim, t->metric, err);
}

/* All rows as they are now. */
static Status read_rows(IndexTable *t, IndexBase **out, Err *err) {
    sqlite3_stmt *statement;
    sqlite3_int64 n;
    int has_row = 1;
    size_t bytes = (size_t)t->dim * sizeof(float);
    *out = NULL;
    TRY(glue_integer(t->db, 0, &n, err, "SELECT count(*) FROM \"%w\".\"%w_vectors\"", t->schema, t->name));
    TRY(glue_prepare(t->db, &statement, err, "SELECT id, vector FROM \"%w\".\"%w_vectors\" ORDER BY id", t->schema, t->name));
    Status status = alloc_base(out, t, n, err);
    sqlite3_int64 at = 0;
    while (status == ST_OK) {
        status = glue_step(t->db, statement, &has_row, err);
        if (status != ST_OK || !has_row) break;
        if (at == n || sqlite3_column_type(statement, 1) != SQLITE_BLOB || (size_t)sqlite3_column_bytes(statement, 1) != bytes) {
            status = fail(err, ST_CORRUPT, "the stored vector %lld has not %d elements", sqlite3_column_int64(statement, 0), t->dim);
            break;
        }
        (*out)->id[at] = sqlite3_column_int64(statement, 0);
        float *row = (*out)->vectors.row + (size_t)at * (size_t)t->dim;
        memcpy(row, sqlite3_column_blob(statement, 1), bytes);
        if (vector_first_bad(row, (size_t)t->dim) >= 0) {
            status = fail(err, ST_CORRUPT, "the stored vector %lld holds NaN or infinity", sqlite3_column_int64(statement, 0));
            break;
        }
        at++;
    }
    sqlite3_finalize(statement);
    if (status == ST_OK && at != n) status = fail(err, ST_CORRUPT, "the vectors changed while they were read");
    if (status == ST_OK) ann_vectors_finish(&(*out)->vectors);
    return status;
}

static void choose_engine(const IndexTable *t, IndexBase *base, int exact) {
    snprintf(base->factory, sizeof base->factory, "%s", exact ? "exact" : t->factory);
    base->index = (AnnIndex){.engine = ann_engine_for(base->factory), .vectors = &base->vectors, .factory = base->factory};
}

/* The ids changed since the base's change: its rows, read as they are now, are not those of its stamp. */
static Status note_stale(IndexTable *t, IndexBase *base, Err *err) {
    sqlite3_stmt *statement;
    int has_row = 1;
    int64_t capacity = 0;
    TRY(index_statement(t, CHANGES_SINCE, &statement, err));
    sqlite3_bind_int64(statement, 1, base->seq);
    Status status = ST_OK;
    while (status == ST_OK) {
        status = glue_step(t->db, statement, &has_row, err);
        if (status != ST_OK || !has_row) break;
        if (base->n_stale == capacity) {
            capacity = capacity * 2 + 64;
            int64_t *grown = mem_resize(base->stale, (size_t)capacity, sizeof *grown);
            if (!grown) {
                status = fail_nomem(err, "the changes");
                break;
            }
            base->stale = grown;
        }
        base->stale[base->n_stale++] = sqlite3_column_int64(statement, 0);
    }
    sqlite3_reset(statement);
    return status;
}

/* The base that `optimize` stored, if the log of changes still leads from it to now. Its rows are read as they are now;
 * those that changed since, perhaps in a transaction that will be rolled back, are noted as stale. */
static Status read_segment(IndexTable *t, IndexBase **out, Err *err) {
    Bytes stored = {0};
    int ancestor = 0, found;
    unsigned char stamp[STAMP];
    *out = NULL;
    Status status = index_segment_read(t, &stored, err);
    if (status != ST_OK || stored.len == 0) {
        bytes_clear(&stored);
        return status;
    }
    Reader in = reader_of(stored.data, stored.len);
    uint32_t format = read_u32(&in);
    int64_t seq = (int64_t)read_u64(&in);
    const void *stored_stamp = read_block(&in, STAMP, 1);
    uint64_t n = read_u64(&in);
    const void *ids = read_block(&in, n, sizeof(int64_t));
    uint64_t len = read_u64(&in);
    const void *structure = read_block(&in, len, 1);
    if (in.failed || format != 1) {
        status = fail(err, ST_CORRUPT, "the stored index is malformed (rebuild mends it)");
    } else {
        memcpy(stamp, stored_stamp, STAMP);
        status = is_ancestor(t, seq, stamp, &ancestor, err);
    }
    if (status == ST_OK && ancestor) {
        status = alloc_base(out, t, (int64_t)n, err);
        if (status == ST_OK) memcpy((*out)->id, ids, (size_t)n * sizeof(int64_t));
        for (uint64_t i = 0; i < n && status == ST_OK; i++) {
            float *row = (*out)->vectors.row + i * (uint64_t)t->dim;
            if (i && (*out)->id[i] <= (*out)->id[i - 1]) status = fail(err, ST_CORRUPT, "the stored index is malformed (rebuild mends it)");
            if (status == ST_OK) status = index_read_vector(t, (*out)->id[i], row, &found, err);
            if (status == ST_OK && !found) memset(row, 0, (size_t)t->dim * sizeof *row);
        }
        if (status == ST_OK) {
            ann_vectors_finish(&(*out)->vectors);
            (*out)->seq = seq;
            memcpy((*out)->stamp, stamp, STAMP);
            choose_engine(t, *out, 0);
            status = note_stale(t, *out, err);
        }
        if (status == ST_OK) status = (*out)->index.engine->load(&(*out)->index, structure, (size_t)len, err);
        if (status != ST_OK && *out) {
            base_free(*out);
            *out = NULL;
        }
    }
    bytes_clear(&stored);
    return status;
}

static CacheKey cache_key(IndexTable *t, const unsigned char stamp[STAMP]) {
    CacheKey key = {{'I'}};
    FileId file = glue_file_id(t->db, t->schema);
    memcpy(key.bytes + 1, &file, sizeof file);
    memcpy(key.bytes + 1 + sizeof file, stamp, STAMP);
    return key;
}

static size_t base_bytes(const IndexBase *base) {
    return (size_t)base->vectors.n * ((size_t)base->vectors.dim * sizeof(float) + 16) + base->index.engine->memory(&base->index);
}

static Status use_base(IndexTable *t, IndexBase *base, Err *err) {
    CacheKey key = cache_key(t, base->stamp);
    size_t bytes = base_bytes(base);
    index_view_clear(t);
    t->loaded = cache_put(&key, base, bytes, base_free);
    if (!t->loaded) return fail_nomem(err, "the index");
    return overlay_start(t, err);
}

/* Use what this process has loaded already at that change; *found says whether it had. */
static Status use_cached(IndexTable *t, const unsigned char stamp[STAMP], int *found, Err *err) {
    CacheKey key = cache_key(t, stamp);
    IndexBase *base = cache_get(&key);
    *found = base != NULL;
    if (!base) return ST_OK;
    index_view_clear(t);
    t->loaded = base;
    return overlay_start(t, err);
}

static Status load(IndexTable *t, int64_t seq, const unsigned char stamp[STAMP], Err *err) {
    IndexBase *base = NULL;
    int found;
    TRY(use_cached(t, stamp, &found, err));
    if (found) return ST_OK;
    if (ann_engine_for(t->factory)->load) {
        int64_t segment_seq;
        unsigned char segment_stamp[STAMP];
        TRY(index_segment_stamp(t, &segment_seq, segment_stamp, &found, err));
        if (found) TRY(use_cached(t, segment_stamp, &found, err));
        if (found) return ST_OK;
        TRY(read_segment(t, &base, err));
        if (base) return use_base(t, base, err);
    }
    Status status = read_rows(t, &base, err);
    if (status == ST_OK) {
        base->seq = seq;
        memcpy(base->stamp, stamp, STAMP);
        choose_engine(t, base, 1);
        status = base->index.engine->build(&base->index, NULL, err);
    }
    if (status == ST_OK) return use_base(t, base, err);
    if (base) base_free(base);
    return status;
}

/* An overlay is scanned row by row: past this size an exact base is loaded again. */
static int overlay_is_large(const IndexTable *t) {
    int64_t n = keymap_count(t->overlay.slot), base = t->loaded->vectors.n;
    return t->loaded->index.engine == &ann_exact_engine && n > 256 && n > base / 8;
}

static Status view_sync(IndexTable *t, Err *err) {
    int64_t seq;
    unsigned char stamp[STAMP];
    int ancestor = 0;
    TRY(index_state(t, &seq, stamp, err));
    if (t->loaded && t->overlay.seq == seq && memcmp(t->overlay.stamp, stamp, STAMP) == 0) return ST_OK;
    if (t->loaded) {
        TRY(is_ancestor(t, t->overlay.seq, t->overlay.stamp, &ancestor, err));
        if (!ancestor) {
            TRY(is_ancestor(t, t->loaded->seq, t->loaded->stamp, &ancestor, err));
            if (ancestor) TRY(overlay_start(t, err));
        }
        if (ancestor) TRY(overlay_catch_up(t, seq, stamp, err));
        if (ancestor && !overlay_is_large(t)) return ST_OK;
    }
    TRY(load(t, seq, stamp, err));
    return overlay_catch_up(t, seq, stamp, err); /* after a segment; nothing to do otherwise */
}

/* What failed half-way would hold rows of a change that it does not name: nothing is kept of it. */
Status index_view_sync(IndexTable *t, Err *err) {
    Status status = view_sync(t, err);
    if (status != ST_OK) index_view_clear(t);
    return status;
}

int64_t index_view_count(const IndexTable *t) {
    int64_t n = t->overlay.n_live;
    for (int32_t s = 0; s < keymap_count(t->overlay.slot); s++) n += !t->overlay.deleted[s];
    return n;
}

static int contains(const int64_t *sorted, size_t n, int64_t id) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (sorted[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && sorted[low] == id;
}

/* Base positions that the request allows, as bits; *out is NULL when all are. */
static Status allowed_positions(const IndexTable *t, const IndexRequest *request, uint64_t **out, int64_t *n, Err *err) {
    const IndexBase *base = t->loaded;
    const IndexOverlay *overlay = &t->overlay;
    size_t words = live_words(base);
    *out = NULL;
    *n = base->vectors.n;
    if (!request->only && !request->n_exclude && overlay->n_live == base->vectors.n) return ST_OK;
    uint64_t *bits = mem_zeros(words, sizeof *bits);
    if (!bits) return fail_nomem(err, "the filter");
    if (!request->only) memcpy(bits, overlay->live, words * sizeof *bits);
    for (size_t i = 0; request->only && i < request->n_only; i++) {
        int64_t at = base_position(base, request->only[i]);
        if (at >= 0 && ann_allows(overlay->live, at)) bits[at >> 6] |= (uint64_t)1 << (at & 63);
    }
    for (size_t i = 0; i < request->n_exclude; i++) {
        int64_t at = base_position(base, request->exclude[i]);
        if (at >= 0) bits[at >> 6] &= ~((uint64_t)1 << (at & 63));
    }
    *n = 0;
    for (size_t w = 0; w < words; w++) *n += __builtin_popcountll(bits[w]);
    *out = bits;
    return ST_OK;
}

static void search_overlay(const IndexTable *t, const IndexRequest *request, TopK *top) {
    AnnVectors one = {.n = 1, .dim = t->dim, .metric = t->metric};
    AnnSearch search = {.query = request->query, .k = request->k, .min_score = request->min_score};
    TopK single = {0};
    Scored best;
    double norm;
    for (int32_t s = 0; s < keymap_count(t->overlay.slot); s++) {
        int64_t id = keymap_key(t->overlay.slot, s).integer;
        int excluded = 0;
        if (t->overlay.deleted[s] || (request->only && !contains(request->only, request->n_only, id))) continue;
        for (size_t i = 0; i < request->n_exclude; i++) excluded |= request->exclude[i] == id;
        if (excluded) continue;
        one.row = t->overlay.row + (size_t)s * (size_t)t->dim;
        one.norm = &norm;
        ann_vectors_finish(&one);
        single = (TopK){.item = &best, .k = 1, .capacity = 1};
        ann_scan(&one, &search, &single);
        if (single.len) topk_push(top, best.score, id);
    }
}

Status index_view_search(IndexTable *t, const IndexRequest *request, TopK *top, Err *err) {
    const IndexBase *base = t->loaded;
    uint64_t *allowed;
    TopK found = {0};
    AnnSearch search = {.query = request->query, .k = request->k, .min_score = request->min_score, .ef = request->ef, .nprobe = request->nprobe};

    Status status = allowed_positions(t, request, &allowed, &search.n_allowed, err);
    if ((int64_t)search.k > search.n_allowed) search.k = (size_t)search.n_allowed;
    search.allowed = allowed;
    if (status == ST_OK) status = topk_init(&found, search.k, err);
    if (status == ST_OK) status = base->index.engine->search(&base->index, &search, &found, err);
    if (status == ST_OK) status = topk_init(top, found.len + (size_t)keymap_count(t->overlay.slot) < request->k ? found.len + (size_t)keymap_count(t->overlay.slot) : request->k, err);
    if (status == ST_OK) {
        for (size_t i = 0; i < found.len; i++) topk_push(top, found.item[i].score, base->id[found.item[i].id]);
        search_overlay(t, request, top);
        topk_sort(top);
    }
    topk_clear(&found);
    mem_free(allowed);
    return status;
}

Status index_view_optimize(IndexTable *t, int build_threads, Task *task, Err *err) {
    IndexBase *base = NULL;
    int64_t seq;
    unsigned char stamp[STAMP];
    Status status = index_state(t, &seq, stamp, err);
    if (status == ST_CORRUPT) { /* a damaged log begins anew: nobody's loaded copy fits it any more */
        TRY(glue_execute(t->db, err, "DELETE FROM \"%w\".\"%w_changes\"", t->schema, t->name));
        TRY(glue_execute(t->db, err, "INSERT INTO \"%w\".\"%w_changes\"(stamp) VALUES(randomblob(16))", t->schema, t->name));
        status = index_state(t, &seq, stamp, err);
    }
    if (status == ST_OK) status = read_rows(t, &base, err);
    if (status == ST_OK) {
        base->seq = seq;
        memcpy(base->stamp, stamp, STAMP);
        choose_engine(t, base, 0);
        task->threads = build_threads;
        status = base->index.engine->build(&base->index, task, err);
    }
    /* The change that activates the new structure, so that no loaded copy with the same stamp lacks it. */
    if (status == ST_OK) status = glue_execute(t->db, err, "INSERT INTO \"%w\".\"%w_changes\"(stamp) VALUES(randomblob(16))", t->schema, t->name);
    if (status == ST_OK) status = index_state(t, &base->seq, base->stamp, err);
    if (status == ST_OK && base->index.engine->save) status = index_segment_write(t, base, err);
    if (status == ST_OK) return use_base(t, base, err);
    if (base) base_free(base);
    return status;
}
