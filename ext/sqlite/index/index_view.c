/* The loaded copy of a rec_index: a base shared through the cache, immutable and named by the stamp
 * of the change that it was loaded at, and this connection's overlay of what changed since.
 *
 * Before each search the last change's stamp is read inside the caller's transaction. Equal:
 * nothing to do. If the overlay's own change is still in the log, its content is an ancestor: the
 * ids changed since are read again. If only the base's is (a rollback), the overlay starts anew.
 * Otherwise the table is loaded. So a transaction sees its own rows, a rollback takes them back,
 * and another process's commit is picked up. */
#include <string.h>

#include "../../base/bits.h"
#include "../../base/ids.h"
#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/device_copy.h"
#include "../host/schema.h"
#include "index.h"

void index_view_clear(IndexTable *table) {
    index_overlay_clear(&table->overlay, table->n_meta);
    cache_release(table->loaded);
    table->loaded = NULL;
}

/* The file, the change, and what the table says its rows are: stamps are drawn at random, but a
 * file from somebody else may repeat one under another definition. */
static CacheKey cache_key(IndexTable *table, const unsigned char stamp[STAMP]) {
    CacheKey key = {{'I'}};
    FileId file = schema_file_id(table->db, table->schema);
    memcpy(key.bytes + 1, &file, sizeof file);
    memcpy(key.bytes + 1 + sizeof file, stamp, STAMP);
    memcpy(key.bytes + 1 + sizeof file + STAMP, table->definition, sizeof table->definition);
    return key;
}

/* Copies of one stamp are of the same rows, but for those that an overlay replaces. */
Status index_view_copy(IndexTable *table, DeviceChoice device, GpuCopy **out, Err *err) {
    const IndexBase *base = table->loaded;
    CacheKey key = cache_key(table, base->stamp);
    uint64_t tail[2] = {(uint64_t)base->vectors.n, (uint64_t)(int64_t)device.number};
    key.bytes[0] = 'G';
    memcpy(key.bytes + sizeof key.bytes - sizeof tail, tail, sizeof tail);
    return device_copy(table->db, &key, &base->index, device, out, err);
}

static size_t base_bytes(const IndexBase *base) {
    size_t bytes = sizeof *base +
        ann_vectors_memory(base->vectors.storage, base->vectors.n, base->vectors.dim) +
        (size_t)base->vectors.n * sizeof(int64_t);
    for (int i = 0; i < base->n_meta; i++) bytes += filter_column_memory(&base->meta[i]);
    return bytes + base->index.engine->memory(&base->index);
}

Status index_use_base(IndexTable *table, IndexBase *base, Err *err) {
    CacheKey key = cache_key(table, base->stamp);
    size_t bytes = base_bytes(base);
    index_view_clear(table);
    table->loaded = cache_put(&key, base, bytes, index_base_free);
    if (!table->loaded) return fail_nomem(err, "the index");
    return index_overlay_start(table, err);
}

/* Use what this process has loaded already at that change; *found says whether it had. */
static Status use_cached(
    IndexTable *table, const unsigned char stamp[STAMP], int *found, Err *err) {
    CacheKey key = cache_key(table, stamp);
    IndexBase *base = cache_get(&key);
    *found = base != NULL;
    if (!base) return ST_OK;
    index_view_clear(table);
    table->loaded = base;
    return index_overlay_start(table, err);
}

static Status load(IndexTable *table, int64_t seq, const unsigned char stamp[STAMP], Err *err) {
    IndexBase *base = NULL;
    int found;
    TRY(use_cached(table, stamp, &found, err));
    if (found) return ST_OK;
    if (strcmp(table->factory, "exact") != 0) {
        int64_t segment_seq;
        unsigned char segment_stamp[STAMP];
        TRY(index_segment_stamp(table, &segment_seq, segment_stamp, &found, err));
        int stored = found;
        if (stored) TRY(use_cached(table, segment_stamp, &found, err));
        if (stored && found) return ST_OK;
        if (stored) TRY(index_load_segment(table, &base, err));
        if (base) return index_use_base(table, base, err);
    }
    TRY(index_load_rows(table, &base, err));
    base->seq = seq;
    memcpy(base->stamp, stamp, STAMP);
    Status status = index_build_base(table, base, "exact", err);
    if (status == ST_OK) return index_use_base(table, base, err);
    index_base_free(base);
    return status;
}

/* An overlay is scanned row by row: past this size an exact base is loaded again. */
static int overlay_is_large(const IndexTable *table) {
    int64_t n = keymap_count(table->overlay.slot) - table->overlay.n_meta_only,
            base = table->loaded->vectors.n;
    return table->loaded->index.engine == &ann_exact_engine && n > 256 && n > base / 8;
}

static Status view_sync(IndexTable *table, Err *err) {
    int64_t seq;
    unsigned char stamp[STAMP];
    int ancestor = 0;
    TRY(index_state(table, &seq, stamp, err));
    if (table->loaded && table->overlay.seq == seq &&
        memcmp(table->overlay.stamp, stamp, STAMP) == 0)
        return ST_OK;
    if (table->loaded) {
        TRY(index_is_ancestor(table, table->overlay.seq, table->overlay.stamp, &ancestor, err));
        if (!ancestor) {
            TRY(index_is_ancestor(table, table->loaded->seq, table->loaded->stamp, &ancestor, err));
            if (ancestor) TRY(index_overlay_start(table, err));
        }
        if (ancestor) TRY(index_overlay_catch_up(table, seq, stamp, err));
        if (ancestor && !overlay_is_large(table)) return ST_OK;
    }
    TRY(load(table, seq, stamp, err));
    return index_overlay_catch_up(
        table, seq, stamp, err); /* after a segment; nothing to do otherwise */
}

/* What failed half-way would hold rows of a change that it does not name: nothing is kept of it. */
Status index_view_sync(IndexTable *table, Err *err) {
    Status status = view_sync(table, err);
    if (status != ST_OK) index_view_clear(table);
    return status;
}

int64_t index_view_count(const IndexTable *table) {
    int64_t n = table->overlay.n_live;
    for (int32_t s = 0; s < keymap_count(table->overlay.slot); s++)
        n += table->overlay.kind[s] == SLOT_ROW;
    return n;
}

/* Mark which loaded rows the table has: those of the base in `there`, of the overlay by its
 * slots. */
static Status find_present(IndexTable *table, uint64_t *there, uint8_t *slot_there, Err *err) {
    sqlite3_stmt *statement;
    int64_t at = 0;
    TRY(index_select_rows(table, &statement, "WHERE v.vector IS NOT NULL ORDER BY v.id", err));
    Status status = ST_OK;
    while (sql_next(table->db, statement, &status, err)) {
        sqlite3_int64 id = sqlite3_column_int64(statement, ROW_ID);
        while (at < table->loaded->vectors.n && table->loaded->id[at] < id) at++;
        if (at < table->loaded->vectors.n && table->loaded->id[at] == id) bits_add(there, at);
        int32_t slot = keymap_find(table->overlay.slot, (Key){.integer = id});
        if (slot >= 0) slot_there[slot] = 1;
    }
    sqlite3_finalize(statement);
    return status;
}

Status index_view_gone(IndexTable *table, int64_t **out, size_t *n, Err *err) {
    const IndexOverlay *overlay = &table->overlay;
    int32_t slots = keymap_count(overlay->slot);
    uint64_t *there = mem_zeros(bits_words(table->loaded->vectors.n), sizeof *there);
    uint8_t *slot_there = mem_zeros((size_t)slots, 1);
    *out = mem_array((size_t)(overlay->n_live + slots), sizeof **out);
    *n = 0;
    Status status = there && slot_there && *out ? find_present(table, there, slot_there, err)
                                                : fail_nomem(err, "the rows that have gone");
    for (int64_t at = 0; at < table->loaded->vectors.n && status == ST_OK; at++)
        if (ann_allows(overlay->live, at) && !ann_allows(there, at))
            (*out)[(*n)++] = table->loaded->id[at];
    for (int32_t s = 0; s < slots && status == ST_OK; s++)
        if (overlay->kind[s] == SLOT_ROW && !slot_there[s])
            (*out)[(*n)++] = keymap_key(overlay->slot, s).integer;
    if (status == ST_OK) ids_sort(*out, *n);
    mem_free(there);
    mem_free(slot_there);
    return status;
}

size_t index_view_cached(IndexTable *table, Err *err) {
    unsigned char stamp[STAMP];
    int64_t seq;
    int found;
    size_t bytes = 0;
    IndexBase *base = NULL;
    if (index_state(table, &seq, stamp, err) == ST_OK) {
        CacheKey key = cache_key(table, stamp);
        base = cache_get(&key);
    }
    if (!base && index_segment_stamp(table, &seq, stamp, &found, err) == ST_OK && found) {
        CacheKey key = cache_key(table, stamp);
        base = cache_get(&key);
    }
    if (base) bytes = base_bytes(base);
    cache_release(base);
    return bytes;
}
