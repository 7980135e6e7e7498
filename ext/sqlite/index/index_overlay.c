/* What changed since the base of a rec_index: this connection's own, row by row. */
#include <string.h>

#include "../../base/bits.h"
#include "../../base/memory.h"
#include "index.h"

void index_overlay_clear(IndexOverlay *overlay, int n_meta) {
    for (int64_t i = 0; i < (int64_t)overlay->capacity * n_meta && overlay->cell; i++)
        cell_free(&overlay->cell[i]);
    keymap_free(overlay->slot);
    mem_free(overlay->row);
    mem_free(overlay->cell);
    mem_free(overlay->kind);
    mem_free(overlay->live);
    *overlay = (IndexOverlay){0};
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
    bits_remove(overlay->live, position);
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

Status index_overlay_start(IndexTable *table, Err *err) {
    IndexOverlay *overlay = &table->overlay;
    index_overlay_clear(overlay, table->n_meta);
    overlay->slot = keymap_new();
    overlay->live = mem_zeros(bits_words(table->loaded->vectors.n), sizeof *overlay->live);
    if (!overlay->slot || !overlay->live) return fail_nomem(err, "the changes");
    bits_fill(overlay->live, table->loaded->vectors.n);
    overlay->n_live = table->loaded->vectors.n;
    overlay->seq = table->loaded->seq;
    memcpy(overlay->stamp, table->loaded->stamp, STAMP);
    for (int64_t i = 0; i < table->loaded->n_stale; i++)
        TRY(overlay_put(table, table->loaded->stale[i], err));
    return ST_OK;
}

/* Read again the rows that changed after the overlay's change, up to (seq, stamp). */
Status index_overlay_catch_up(
    IndexTable *table, int64_t seq, const unsigned char stamp[STAMP], Err *err) {
    sqlite3_stmt *statement;
    if (seq == table->overlay.seq) return ST_OK;
    TRY(index_statement(table, CHANGES_SINCE, &statement, err));
    sqlite3_bind_int64(statement, 1, table->overlay.seq);
    Status status = ST_OK;
    while (sql_next(table->db, statement, &status, err)) {
        status = overlay_put(table, index_change(statement), err);
    }
    sqlite3_reset(statement);
    if (status != ST_OK) return status;
    table->overlay.seq = seq;
    memcpy(table->overlay.stamp, stamp, STAMP);
    return ST_OK;
}
