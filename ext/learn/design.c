#include "design.h"

#include <string.h>

#include "../base/memory.h"

void design_clear(Design *design) {
    mem_free(design->dense);
    csr_clear(&design->sparse);
    *design = (Design){0};
}

void feature_set_clear(FeatureSet *set) {
    for (int32_t i = 0; i < set->n && set->feature; i++) feature_clear(&set->feature[i]);
    mem_free(set->feature);
    mem_free(set->source);
    *set = (FeatureSet){0};
}

Status feature_set_lay_out(FeatureSet *set, Err *err) {
    int64_t at = 0;
    for (int sparse = 0; sparse < 2; sparse++) {
        for (int32_t i = 0; i < set->n; i++) {
            if (set->feature[i].is_sparse != sparse) continue;
            set->feature[i].first = (int32_t)at;
            at += set->feature[i].width;
            if (at > INT32_MAX) return fail(err, ST_BADARG, "the features have too many columns");
        }
        if (!sparse) set->n_dense = (int32_t)at;
    }
    set->dim = (int32_t)at;
    return ST_OK;
}

Status design_row_init(DesignRow *row, const FeatureSet *set, Err *err) {
    *row = (DesignRow){.n_dense = set->n_dense};
    row->dense = mem_zeros((size_t)set->n_dense, sizeof *row->dense);
    return row->dense ? ST_OK : fail_nomem(err, "a row");
}

static void append_cell(const Cell *cell, Bytes *out) {
    char text[CELL_BUFFER];
    Key key;
    if (!cell_key(cell, text, &key)) return;
    if (key.text) bytes_append(out, key.text, key.len);
    else bytes_format(out, "%lld", (long long)key.integer);
}

Cell feature_set_cell(const FeatureSet *set, int32_t feature, const Cell *cells, Bytes *buffer) {
    const int32_t *source = &set->source[2 * feature];
    if (source[1] < 0) return cells[source[0]];
    buffer->len = 0;
    append_cell(&cells[source[0]], buffer);
    bytes_append(buffer, " * ", 3);
    append_cell(&cells[source[1]], buffer);
    return cell_of_text(buffer->failed ? "" : (const char *)buffer->data, buffer->len);
}

Status feature_set_apply(
    const FeatureSet *set, const Cell *cells, int fold, DesignRow *row, Bytes *buffer, Err *err) {
    memset(row->dense, 0, (size_t)row->n_dense * sizeof *row->dense);
    row->n = 0;
    for (int32_t i = 0; i < set->n; i++) {
        if (set->feature[i].kind == FEATURE_IGNORE) continue;
        Cell cell = feature_set_cell(set, i, cells, buffer);
        TRY(feature_apply(&set->feature[i], &cell, fold, row, err));
    }
    return buffer->failed ? fail_nomem(err, "a row") : ST_OK;
}

/* ---- many rows ---- */

enum { PIECE_ROWS = 2048 };

typedef struct PieceRows {
    int32_t *col;
    float *val;
    int64_t n, room;
} PieceRows;

typedef struct Building {
    Design *design;
    const FeatureSet *set;
    const Columns *columns;
    const int64_t *row;
    const uint8_t *fold;
    int64_t n;
    PieceRows *piece;
    TaskFailure failure;
} Building;

static Status keep(PieceRows *piece, const DesignRow *row, Err *err) {
    if (piece->n + row->n > piece->room) {
        int64_t room = 2 * (piece->n + row->n);
        void *c = mem_resize(piece->col, (size_t)room, sizeof *piece->col);
        if (c) piece->col = c;
        void *v = c ? mem_resize(piece->val, (size_t)room, sizeof *piece->val) : NULL;
        if (!v) return fail_nomem(err, "the design");
        piece->val = v;
        piece->room = room;
    }
    if (!row->n) return ST_OK;
    memcpy(piece->col + piece->n, row->col, (size_t)row->n * sizeof *row->col);
    memcpy(piece->val + piece->n, row->val, (size_t)row->n * sizeof *row->val);
    piece->n += row->n;
    return ST_OK;
}

static Status build_piece(
    Building *building, int64_t index, DesignRow *row, Cell *cells, Bytes *buffer, Err *err) {
    Design *design = building->design;
    int64_t from = index * PIECE_ROWS,
            to = from + PIECE_ROWS < building->n ? from + PIECE_ROWS : building->n;
    float *own = row->dense;
    Status status = ST_OK;
    for (int64_t i = from; i < to && status == ST_OK; i++) {
        const Columns *columns = building->columns;
        for (int32_t c = 0; c < columns->n_asked; c++)
            cells[c] = column_cell(&columns->column[columns->asked[c]], building->row[i]);
        row->dense = design->dense + i * design->n_dense;
        status = feature_set_apply(
            building->set, cells, building->fold ? building->fold[i] : -1, row, buffer, err);
        if (status == ST_OK) status = keep(&building->piece[index], row, err);
        design->sparse.row_start[i + 1] = row->n; /* a length, as yet */
    }
    row->dense = own;
    return status;
}

static void piece_work(void *context, int64_t index, int worker) {
    Building *building = context;
    DesignRow row = {0};
    Bytes buffer = {0};
    Err err = {0};
    (void)worker;
    Cell *cells = mem_array((size_t)building->columns->n_asked, sizeof *cells);
    Status status = cells ? design_row_init(&row, building->set, &err) : ST_NOMEM;
    if (status == ST_OK) status = build_piece(building, index, &row, cells, &buffer, &err);
    task_failure_note(&building->failure, status, &err);
    design_row_clear(&row);
    bytes_clear(&buffer);
    mem_free(cells);
}

/* The pieces' entries one behind the other. */
static Status join(Building *building, int64_t pieces, Err *err) {
    Csr *sparse = &building->design->sparse;
    int64_t total = 0;
    for (int64_t i = 0; i < building->n; i++) {
        int64_t len = sparse->row_start[i + 1];
        sparse->row_start[i + 1] = total += len;
    }
    sparse->col = mem_array((size_t)total, sizeof *sparse->col);
    sparse->val = mem_array((size_t)total, sizeof *sparse->val);
    if (!sparse->col || !sparse->val) return fail_nomem(err, "the design");
    for (int64_t p = 0, at = 0; p < pieces; p++) {
        const PieceRows *piece = &building->piece[p];
        if (!piece->n) continue;
        memcpy(sparse->col + at, piece->col, (size_t)piece->n * sizeof *sparse->col);
        memcpy(sparse->val + at, piece->val, (size_t)piece->n * sizeof *sparse->val);
        at += piece->n;
    }
    return ST_OK;
}

Status design_build(Design *out, const FeatureSet *set, const Columns *columns, const int64_t *row,
    const uint8_t *fold, int64_t n, Task *task, Err *err) {
    int64_t pieces = (n + PIECE_ROWS - 1) / PIECE_ROWS;
    *out = (Design){.n = n, .n_dense = set->n_dense, .dim = set->dim};
    if (n > INT32_MAX) return fail(err, ST_BADARG, "more than 2^31 examples");
    out->dense = mem_zeros((size_t)n * (size_t)set->n_dense, sizeof *out->dense);
    out->sparse = (Csr){.n_rows = (int32_t)n, .n_cols = set->dim};
    out->sparse.row_start = mem_zeros((size_t)n + 1, sizeof *out->sparse.row_start);
    Building building = {.design = out,
        .set = set,
        .columns = columns,
        .row = row,
        .fold = fold,
        .n = n,
        .piece = mem_zeros((size_t)pieces, sizeof *building.piece)};
    if (!out->dense || !out->sparse.row_start || !building.piece) {
        mem_free(building.piece);
        return fail_nomem(err, "the design");
    }
    task_phase(task, "preparing", "examples", n, pieces);
    Status status = task_failure(
        &building.failure, task_run(task, pieces, piece_work, &building, err), err);
    if (status == ST_OK) status = join(&building, pieces, err);
    for (int64_t p = 0; p < pieces; p++) {
        mem_free(building.piece[p].col);
        mem_free(building.piece[p].val);
    }
    mem_free(building.piece);
    return status;
}

int32_t feature_set_feature_of(const FeatureSet *set, int32_t column) {
    for (int32_t i = 0; i < set->n; i++) {
        const Feature *feature = &set->feature[i];
        if (column >= feature->first && column < feature->first + feature->width) return i;
    }
    return -1;
}

int64_t design_row_range(const DesignRow *row, int32_t first, int32_t width, int64_t *n) {
    int64_t low = 0, high = row->n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (row->col[middle] < first) low = middle + 1;
        else high = middle;
    }
    for (high = low; high < row->n && row->col[high] < first + width;) high++;
    *n = high - low;
    return low;
}

Status design_row_mix(DesignRow *out, const FeatureSet *set, const DesignRow *row,
    const DesignRow *other, const uint8_t *taken, Err *err) {
    int64_t most = row->n + other->n;
    if (out->room < most) {
        void *col = mem_resize(out->col, (size_t)most, sizeof *out->col);
        if (col) out->col = col;
        void *val = mem_resize(out->val, (size_t)most, sizeof *out->val);
        if (val) out->val = val;
        if (!col || !val) return fail_nomem(err, "a row");
        out->room = most;
    }
    out->n = 0;
    for (int32_t f = 0; f < set->n; f++) { /* sparse ones lie in this order */
        const Feature *feature = &set->feature[f];
        const DesignRow *from = taken[f] ? other : row;
        if (!feature->is_sparse && feature->width)
            memcpy(out->dense + feature->first, from->dense + feature->first,
                (size_t)feature->width * sizeof *out->dense);
        if (!feature->is_sparse) continue;
        int64_t n, at = design_row_range(from, feature->first, feature->width, &n);
        if (n) memcpy(out->col + out->n, from->col + at, (size_t)n * sizeof *out->col);
        if (n) memcpy(out->val + out->n, from->val + at, (size_t)n * sizeof *out->val);
        out->n += n;
    }
    return ST_OK;
}

void feature_set_column_name(const FeatureSet *set, int32_t column, Bytes *out) {
    int32_t i = feature_set_feature_of(set, column);
    if (i >= 0) feature_column_name(&set->feature[i], column - set->feature[i].first, out);
}
