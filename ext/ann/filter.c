#include "filter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"

/* ---- values ---- */

static int compare_numbers(const Cell *a, const Cell *b) {
    if (a->kind == CELL_INTEGER && b->kind == CELL_INTEGER)
        return (a->integer > b->integer) - (a->integer < b->integer);
    /* long double holds every 64-bit integer and every double */
    long double x = a->kind == CELL_INTEGER ? (long double)a->integer : (long double)a->real;
    long double y = b->kind == CELL_INTEGER ? (long double)b->integer : (long double)b->real;
    return (x > y) - (x < y);
}

int cell_compare(const Cell *a, const Cell *b) {
    static const int order[] = {
        [CELL_NULL] = 0, [CELL_INTEGER] = 1, [CELL_REAL] = 1, [CELL_TEXT] = 2, [CELL_BLOB] = 3};
    if (order[a->kind] != order[b->kind]) return order[a->kind] - order[b->kind];
    if (order[a->kind] == 0) return 0;
    if (order[a->kind] == 1) return compare_numbers(a, b);
    size_t shorter = a->len < b->len ? a->len : b->len;
    int difference = shorter ? memcmp(a->bytes, b->bytes, shorter) : 0;
    return difference ? difference : (a->len > b->len) - (a->len < b->len);
}

Status cell_copy(Cell *out, const Cell *from, Err *err) {
    *out = *from;
    if (from->kind != CELL_TEXT && from->kind != CELL_BLOB) return ST_OK;
    char *copy = mem_text(from->len ? from->bytes : "", from->len);
    out->bytes = copy;
    if (copy) return ST_OK;
    out->kind = CELL_NULL;
    return fail_nomem(err, "a value");
}

void cell_free(Cell *cell) {
    if (cell->kind == CELL_TEXT || cell->kind == CELL_BLOB)
        mem_free((void *)(uintptr_t)cell->bytes);
    cell->kind = CELL_NULL;
}

/* Equal values hash alike: a whole real as its integer. */
static uint64_t cell_hash(const Cell *cell) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    uint64_t number;
    const unsigned char *bytes = cell->bytes;
    if (cell->kind == CELL_TEXT || cell->kind == CELL_BLOB) {
        /* FNV-1a */
        for (size_t i = 0; i < cell->len; i++) hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
        number = hash;
    } else if (cell->kind == CELL_REAL &&
        (floor(cell->real) != cell->real || fabs(cell->real) >= 0x1p63)) {
        memcpy(&number, &cell->real, sizeof number);
    } else {
        number = (uint64_t)(cell->kind == CELL_REAL ? (int64_t)cell->real : cell->integer);
    }
    number *= 0x9e3779b97f4a7c15ULL;
    return number ^ number >> 32;
}

/* ---- columns ---- */

Status filter_column_init(FilterColumn *column, int64_t n, Err *err) {
    *column = (FilterColumn){.n = n, .n_slots = 64};
    column->rank = mem_zeros((size_t)n, sizeof *column->rank);
    column->slot = mem_zeros(column->n_slots, sizeof *column->slot);
    return column->rank && column->slot ? ST_OK : fail_nomem(err, "a column of metadata");
}

void filter_column_clear(FilterColumn *column) {
    for (int64_t i = 0; i < column->n_values; i++) cell_free(&column->value[i]);
    mem_free(column->rank);
    mem_free(column->value);
    mem_free(column->slot);
    *column = (FilterColumn){0};
}

size_t filter_column_memory(const FilterColumn *column) {
    return (size_t)column->n * sizeof *column->rank +
        (size_t)column->n_values * sizeof *column->value + column->bytes;
}

/* The slot of an equal value, or the empty one where it belongs. */
static size_t find_slot(const FilterColumn *column, const Cell *cell) {
    size_t at = cell_hash(cell) & (column->n_slots - 1);
    while (column->slot[at] && cell_compare(&column->value[column->slot[at] - 1], cell) != 0)
        at = (at + 1) & (column->n_slots - 1);
    return at;
}

static Status grow(FilterColumn *column, Err *err) {
    if (column->n_values == column->capacity) {
        int64_t capacity = column->capacity * 2 + 32;
        Cell *grown = mem_resize(column->value, (size_t)capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "a column of metadata");
        column->value = grown;
        column->capacity = capacity;
    }
    if ((size_t)column->n_values * 2 < column->n_slots) return ST_OK;
    uint32_t *wider = mem_zeros(column->n_slots * 4, sizeof *wider);
    if (!wider) return fail_nomem(err, "a column of metadata");
    mem_free(column->slot);
    column->slot = wider;
    column->n_slots *= 4;
    for (int64_t i = 0; i < column->n_values; i++)
        column->slot[find_slot(column, &column->value[i])] = (uint32_t)i + 1;
    return ST_OK;
}

Status filter_column_set(FilterColumn *column, int64_t row, const Cell *cell, Err *err) {
    if (cell->kind == CELL_NULL) return ST_OK;
    if (column->n_values >= UINT32_MAX - 1)
        return fail(err, ST_BADARG, "more than %u different values in a column of metadata",
            UINT32_MAX - 1);
    TRY(grow(column, err));
    size_t at = find_slot(column, cell);
    if (!column->slot[at]) {
        TRY(cell_copy(&column->value[column->n_values], cell, err));
        column->bytes += cell->kind == CELL_TEXT || cell->kind == CELL_BLOB ? cell->len + 1 : 0;
        column->slot[at] = (uint32_t)++column->n_values;
    }
    column->rank[row] = column->slot[at];
    return ST_OK;
}

typedef struct ValueRow {
    Cell cell;
    uint32_t number;
} ValueRow;

static int by_value(const void *a, const void *b) {
    return cell_compare(&((const ValueRow *)a)->cell, &((const ValueRow *)b)->cell);
}

Status filter_column_finish(FilterColumn *column, Err *err) {
    size_t n = (size_t)column->n_values;
    ValueRow *sorted = mem_array(n, sizeof *sorted);
    uint32_t *rank_of = mem_array(n + 1, sizeof *rank_of);
    Status status = sorted && rank_of ? ST_OK : fail_nomem(err, "a column of metadata");
    if (status == ST_OK) {
        for (size_t i = 0; i < n; i++) sorted[i] = (ValueRow){column->value[i], (uint32_t)i + 1};
        if (n) qsort(sorted, n, sizeof *sorted, by_value);
        rank_of[0] = 0;
        for (size_t i = 0; i < n; i++) {
            column->value[i] = sorted[i].cell;
            rank_of[sorted[i].number] = (uint32_t)i + 1;
        }
        for (int64_t i = 0; i < column->n; i++) column->rank[i] = rank_of[column->rank[i]];
        mem_free(column->slot);
        column->slot = NULL;
    }
    mem_free(sorted);
    mem_free(rank_of);
    return status;
}

/* ---- conditions ---- */

static int compare_cells(const void *a, const void *b) { return cell_compare(a, b); }

void condition_sort(Condition *condition) {
    size_t kept = 0;
    if (condition->n_cells > 1)
        qsort(condition->cell, condition->n_cells, sizeof *condition->cell, compare_cells);
    for (size_t i = 0; i < condition->n_cells; i++) {
        Cell *cell = &condition->cell[i];
        if (cell->kind == CELL_NULL ||
            (kept && cell_compare(&condition->cell[kept - 1], cell) == 0))
            cell_free(cell);
        else condition->cell[kept++] = *cell;
    }
    condition->n_cells = kept;
}

static int is_listed(const Condition *condition, const Cell *cell) {
    size_t low = 0, high = condition->n_cells;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = cell_compare(&condition->cell[middle], cell);
        if (order == 0) return 1;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return 0;
}

int condition_holds(const Condition *condition, const Cell *cell) {
    if (condition->kind == IS_NULL || condition->kind == IS_NOT_NULL)
        return (cell->kind == CELL_NULL) == (condition->kind == IS_NULL);
    if (cell->kind == CELL_NULL) return 0;
    if (condition->kind == IS_IN) return is_listed(condition, cell);
    if (condition->cell->kind == CELL_NULL) return 0;
    int order = cell_compare(cell, condition->cell);
    switch (condition->kind) {
    case IS_LESS: return order < 0;
    case IS_LESS_EQUAL: return order <= 0;
    case IS_GREATER: return order > 0;
    case IS_GREATER_EQUAL: return order >= 0;
    default: return order == 0;
    }
}

/* The rank of the first value that is not less than the cell, and whether it is equal. */
static uint32_t lower_bound(const FilterColumn *column, const Cell *cell, int *equal) {
    int64_t low = 0, high = column->n_values;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (cell_compare(&column->value[middle], cell) < 0) low = middle + 1;
        else high = middle;
    }
    *equal = low < column->n_values && cell_compare(&column->value[low], cell) == 0;
    return (uint32_t)low + 1;
}

/* 64 bytes of 0 or 1 as 64 bits: the product gathers 8 of them in its top byte. */
static uint64_t pack(const uint8_t hit[64]) {
    uint64_t mask = 0, eight;
    for (int i = 0; i < 8; i++) {
        memcpy(&eight, hit + 8 * i, sizeof eight);
        mask |= (eight * 0x0102040810204080ULL >> 56) << (8 * i);
    }
    return mask;
}

/* Keep the rows whose rank is in from .. from + width - 1. The inner loop is one that compilers
 * turn into SIMD: the top bits are flipped since SSE2 compares signed numbers only. */
static void keep_range(const FilterColumn *column, uint32_t from, uint32_t width, uint64_t *bits) {
    uint8_t hit[64] = {0};
    const int32_t limit = (int32_t)(width ^ 0x80000000U);
    for (int64_t base = 0; base < column->n; base += 64) {
        const uint32_t *rank = column->rank + base;
        int64_t end = column->n - base < 64 ? column->n - base : 64;
        if (!bits[base >> 6]) continue;
        if (end == 64)
            for (int i = 0; i < 64; i++) hit[i] = (int32_t)((rank[i] - from) ^ 0x80000000U) < limit;
        else
            for (int64_t i = 0; i < 64; i++) hit[i] = i < end && rank[i] - from < width;
        bits[base >> 6] &= pack(hit);
    }
}

static Status keep_listed(
    const Condition *condition, const FilterColumn *column, uint64_t *bits, Err *err) {
    uint8_t *listed = mem_zeros((size_t)column->n_values + 1, 1);
    int equal;
    if (!listed) return fail_nomem(err, "the filter");
    for (size_t i = 0; i < condition->n_cells; i++) {
        uint32_t rank = lower_bound(column, &condition->cell[i], &equal);
        if (equal) listed[rank] = 1;
    }
    for (int64_t base = 0; base < column->n; base += 64) {
        int64_t end = column->n - base < 64 ? column->n - base : 64;
        uint64_t mask = 0;
        for (int64_t i = 0; i < end; i++) mask |= (uint64_t)listed[column->rank[base + i]] << i;
        bits[base >> 6] &= mask;
    }
    mem_free(listed);
    return ST_OK;
}

Status condition_apply(
    const Condition *condition, const FilterColumn *column, uint64_t *bits, Err *err) {
    uint32_t last = (uint32_t)column->n_values + 1; /* one past the greatest rank */
    if (condition->kind == IS_IN) return keep_listed(condition, column, bits, err);
    if (condition->kind == IS_NULL || condition->kind == IS_NOT_NULL) {
        keep_range(column, condition->kind == IS_NULL ? 0 : 1,
            condition->kind == IS_NULL ? 1 : last - 1, bits);
        return ST_OK;
    }
    int equal = 0;
    uint32_t from = 1, to = 1; /* nothing: a comparison with NULL */
    if (condition->cell->kind != CELL_NULL) {
        uint32_t at = lower_bound(column, condition->cell, &equal), after = at + (uint32_t)equal;
        switch (condition->kind) {
        case IS_LESS: to = at; break;
        case IS_LESS_EQUAL: to = after; break;
        case IS_GREATER: from = after, to = last; break;
        case IS_GREATER_EQUAL: from = at, to = last; break;
        default: from = at, to = after; break;
        }
    }
    keep_range(column, from, to - from, bits);
    return ST_OK;
}
