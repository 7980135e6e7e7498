/* The loaded copy of a rec_index: a base shared through the cache, immutable and named by the stamp
 * of the change that it was loaded at, and this connection's overlay of what changed since.
 *
 * Before each search the last change's stamp is read inside the caller's transaction. Equal:
 * nothing to do. If the overlay's own change is still in the log, its content is an ancestor: the
 * ids changed since are read again. If only the base's is (a rollback), the overlay starts anew.
 * Otherwise the table is loaded. So a transaction sees its own rows, a rollback takes them back,
 * and another process's commit is picked up. */
#include <string.h>

#include "../../base/ids.h"
#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/device_copy.h"
#include "../host/schema.h"
#include "index.h"

/* Multiplications an element of a row that is built into an IVF: it meets some thousand
 * centroids. */
enum { BUILD_WORK = 1024 };

static void overlay_clear(IndexOverlay *overlay, int n_meta) {
    for (int64_t i = 0; i < (int64_t)overlay->capacity * n_meta && overlay->cell; i++)
        cell_free(&overlay->cell[i]);
    keymap_free(overlay->slot);
    mem_free(overlay->row);
    mem_free(overlay->cell);
    mem_free(overlay->kind);
    mem_free(overlay->live);
    *overlay = (IndexOverlay){0};
}

void index_view_clear(IndexTable *table) {
    overlay_clear(&table->overlay, table->n_meta);
    cache_release(table->loaded);
    table->loaded = NULL;
}

static size_t live_words(const IndexBase *base) { return ((size_t)base->vectors.n + 63) / 64; }

static void mark_all(uint64_t *bits, int64_t n) {
    for (int64_t word = 0; word * 64 < n; word++)
        bits[word] = n - word * 64 >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (n - word * 64)) - 1;
}

/* Room for one slot more. The capacity grows only when all arrays have grown, so that each holds at
 * least that many. */
static Status overlay_grow(IndexTable *table, Err *err) {
    IndexOverlay *overlay = &table->overlay;
    int32_t capacity = overlay->capacity + overlay->capacity / 2 + 16;
    size_t old_cells = (size_t)overlay->capacity * (size_t)table->n_meta,
           cells = (size_t)capacity * (size_t)table->n_meta;
    float *row = mem_resize(overlay->row, (size_t)capacity, (size_t)table->dim * sizeof *row);
    if (row) overlay->row = row;
    uint8_t *kind = row ? mem_resize(overlay->kind, (size_t)capacity, 1) : NULL;
    if (kind) overlay->kind = kind;
    Cell *cell = kind ? mem_resize(overlay->cell, cells, sizeof *cell) : NULL;
    if (!cell) return fail_nomem(err, "the changes");
    overlay->cell = cell;
    for (size_t i = old_cells; i < cells; i++) cell[i] = (Cell){.kind = CELL_NULL};
    overlay->capacity = capacity;
    return ST_OK;
}

/* The row of the base does not count any more. */
static void hide_base_row(IndexTable *table, int64_t position) {
    IndexOverlay *overlay = &table->overlay;
    if (position < 0 || !ann_allows(overlay->live, position)) return;
    overlay->live[position >> 6] &= ~((uint64_t)1 << (position & 63));
    overlay->n_live--;
}

/* Bring the overlay's copy of a row up to date. New metadata of a row that counts in the base leave
 * its vector there, where the engine finds it. */
static Status overlay_put(IndexTable *table, IndexChange change, Err *err) {
    IndexOverlay *overlay = &table->overlay;
    int32_t slot;
    int found;
    int64_t position = index_base_position(table->loaded, change.id);

    /* room first: a slot without a row must never exist */
    if (keymap_count(overlay->slot) >= overlay->capacity) TRY(overlay_grow(table, err));
    int32_t before = keymap_count(overlay->slot);
    TRY(keymap_add(overlay->slot, (Key){.integer = change.id}, &slot, err));
    if (slot < before && overlay->kind[slot] == SLOT_META) overlay->n_meta_only--;
    overlay->kind[slot] = SLOT_GONE;
    Cell *cell = overlay->cell + (size_t)slot * (size_t)table->n_meta;
    for (int i = 0; i < table->n_meta; i++) cell_free(&cell[i]);
    TRY(index_read_row(
        table, change.id, overlay->row + (size_t)slot * (size_t)table->dim, cell, &found, err));
    if (found && change.only_meta && position >= 0 && ann_allows(overlay->live, position)) {
        overlay->kind[slot] = SLOT_META;
        overlay->n_meta_only++;
        return ST_OK;
    }
    overlay->kind[slot] = found ? SLOT_ROW : SLOT_GONE;
    hide_base_row(table, position);
    return ST_OK;
}

static Status overlay_start(IndexTable *table, Err *err) {
    IndexOverlay *overlay = &table->overlay;
    overlay_clear(overlay, table->n_meta);
    overlay->slot = keymap_new();
    overlay->live = mem_zeros(live_words(table->loaded), sizeof *overlay->live);
    if (!overlay->slot || !overlay->live) return fail_nomem(err, "the changes");
    mark_all(overlay->live, table->loaded->vectors.n);
    overlay->n_live = table->loaded->vectors.n;
    overlay->seq = table->loaded->seq;
    memcpy(overlay->stamp, table->loaded->stamp, STAMP);
    for (int64_t i = 0; i < table->loaded->n_stale; i++)
        TRY(overlay_put(table, table->loaded->stale[i], err));
    return ST_OK;
}

/* Read again the rows that changed after the overlay's change, up to (seq, stamp). */
static Status overlay_catch_up(
    IndexTable *table, int64_t seq, const unsigned char stamp[STAMP], Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    if (seq == table->overlay.seq) return ST_OK;
    TRY(index_statement(table, CHANGES_SINCE, &statement, err));
    sqlite3_bind_int64(statement, 1, table->overlay.seq);
    Status status = ST_OK;
    while (status == ST_OK) {
        status = sql_step(table->db, statement, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = overlay_put(table, index_change(statement), err);
    }
    sqlite3_reset(statement);
    if (status != ST_OK) return status;
    table->overlay.seq = seq;
    memcpy(table->overlay.stamp, stamp, STAMP);
    return ST_OK;
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

static Status use_base(IndexTable *table, IndexBase *base, Err *err) {
    CacheKey key = cache_key(table, base->stamp);
    size_t bytes = base_bytes(base);
    index_view_clear(table);
    table->loaded = cache_put(&key, base, bytes, index_base_free);
    if (!table->loaded) return fail_nomem(err, "the index");
    return overlay_start(table, err);
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
    return overlay_start(table, err);
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
        if (base) return use_base(table, base, err);
    }
    TRY(index_load_rows(table, &base, err));
    base->seq = seq;
    memcpy(base->stamp, stamp, STAMP);
    Status status = index_build_base(table, base, "exact", err);
    if (status == ST_OK) return use_base(table, base, err);
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
            if (ancestor) TRY(overlay_start(table, err));
        }
        if (ancestor) TRY(overlay_catch_up(table, seq, stamp, err));
        if (ancestor && !overlay_is_large(table)) return ST_OK;
    }
    TRY(load(table, seq, stamp, err));
    return overlay_catch_up(table, seq, stamp, err); /* after a segment; nothing to do otherwise */
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
    int has_row = 1;
    int64_t at = 0;
    TRY(index_select_rows(table, &statement, "WHERE v.vector IS NOT NULL ORDER BY v.id", err));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = sql_step(table->db, statement, &has_row, err);
        if (status != ST_OK || !has_row) break;
        sqlite3_int64 id = sqlite3_column_int64(statement, ROW_ID);
        while (at < table->loaded->vectors.n && table->loaded->id[at] < id) at++;
        if (at < table->loaded->vectors.n && table->loaded->id[at] == id)
            there[at >> 6] |= (uint64_t)1 << (at & 63);
        int32_t slot = keymap_find(table->overlay.slot, (Key){.integer = id});
        if (slot >= 0) slot_there[slot] = 1;
    }
    sqlite3_finalize(statement);
    return status;
}

Status index_view_gone(IndexTable *table, int64_t **out, size_t *n, Err *err) {
    const IndexOverlay *overlay = &table->overlay;
    int32_t slots = keymap_count(overlay->slot);
    uint64_t *there = mem_zeros(live_words(table->loaded), sizeof *there);
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

/* ---- building ---- */

static Status drop_segment(IndexTable *table, Err *err) {
    TRY(sql_execute(table->db, err, "DELETE FROM \"%w\".\"%w_config\" WHERE key='segment_seq'",
        table->schema, table->name));
    return sql_execute(
        table->db, err, "DELETE FROM \"%w\".\"%w_segment\"", table->schema, table->name);
}

/* The log begins anew: nobody's loaded copy fits it any more, so that everybody loads what is there
 * now. */
static Status restart_log(IndexTable *table, Err *err) {
    TRY(drop_segment(table, err));
    TRY(sql_execute(table->db, err, "DELETE FROM \"%w\".\"%w\"", table->schema, table->log));
    return sql_execute(table->db, err, "INSERT INTO \"%w\".\"%w\"(stamp) VALUES(randomblob(16))",
        table->schema, table->log);
}

/* From the loaded structure, if it has one of this kind: rows that did not change keep their place
 * in it. */
static Status extend(IndexTable *table, IndexBase *base, Task *task, Err *err) {
    const IndexBase *old = table->loaded;
    if (!base->index.engine->extend || old->index.engine != base->index.engine) return ST_OK;
    int64_t *position = mem_array((size_t)base->vectors.n, sizeof *position);
    if (!position) return fail_nomem(err, "the index");
    for (int64_t i = 0; i < base->vectors.n; i++) {
        int64_t at = index_base_position(old, base->id[i]);
        position[i] = at >= 0 && ann_allows(table->overlay.live, at) ? at : -1;
    }
    Status status = base->index.engine->extend(&base->index, &old->index, position, task, err);
    mem_free(position);
    return status;
}

/* On a GPU where that is asked for and the structure can be built there. */
static Status build_anew(AnnIndex *index, DeviceChoice device, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    Err own = {0};
    if (!gpu_is_ivf(index) ||
        !device_is_worth(device, (double)vectors->n * (double)vectors->dim * BUILD_WORK))
        return index->engine->build(index, task, err);
    Status status = gpu_build(index, device.number, task, &own);
    if (device_gave_up(device, status, &own)) return index->engine->build(index, task, err);
    if (status != ST_OK && err) *err = own;
    return status;
}

/* Too few rows to train on, or vectors too long for FAISS: the table goes on searching exactly.
 * `train` says so instead. */
static Status build_structure(IndexTable *table, IndexBase *base, const char *factory,
    BuildKind kind, DeviceChoice device, Task *task, Err *err) {
    index_use_engine(base, factory);
    base->index.build_ef = table->build_ef;
    if (kind == BUILD_OPTIMIZE) TRY(extend(table, base, task, err));
    if (base->index.state) return ST_OK;
    Status status = build_anew(&base->index, device, task, err);
    if (status != ST_BADARG || kind == BUILD_TRAIN) return status;
    return index_build_base(table, base, "exact", err);
}

Status index_view_build(
    IndexTable *table, BuildKind kind, DeviceChoice device, Task *task, Err *err) {
    IndexBase *base = NULL;
    int anew = kind != BUILD_OPTIMIZE;
    if (anew) index_view_clear(table);
    else TRY(index_view_sync(table, err));
    TRY(index_load_rows(table, &base, err));
    const char *factory = ann_resolve(table->factory, base->vectors.n, table->dim);
    Status status = strcmp(factory, "exact") != 0
        ? build_structure(table, base, factory, kind, device, task, err)
        : index_build_base(table, base, factory, err);
    int has_structure = base->index.engine != &ann_exact_engine;
    /* From here on it writes. The change that activates the new structure comes before it, so that
     * no loaded copy with the same stamp lacks it. */
    if (status == ST_OK && anew) status = restart_log(table, err);
    if (status == ST_OK && !anew)
        status = sql_execute(table->db, err,
            "INSERT INTO \"%w\".\"%w\"(stamp) VALUES(randomblob(16))", table->schema, table->log);
    if (status == ST_OK) status = index_state(table, &base->seq, base->stamp, err);
    if (status == ST_OK)
        status = has_structure ? index_segment_write(table, base, err) : drop_segment(table, err);
    if (status == ST_OK) return use_base(table, base, err);
    index_base_free(base);
    return status;
}
