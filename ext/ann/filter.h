/* Metadata columns in memory, and conditions on them as bits over the rows.
 *
 * A column keeps its distinct values in SQLite's order (numbers, then texts by bytes, then BLOBs by
 * bytes) and one rank a row: rank r > 0 is value[r - 1], rank 0 is NULL. A comparison is then a
 * range of ranks, and a filter one pass over 4 bytes a row. */
#ifndef REC_FILTER_H
#define REC_FILTER_H

#include <stddef.h>
#include <stdint.h>

#include "../base/status.h"

typedef enum CellKind { CELL_NULL, CELL_INTEGER, CELL_REAL, CELL_TEXT, CELL_BLOB } CellKind;

typedef struct Cell {
    CellKind kind;
    int64_t integer;
    double real;
    const void *bytes; /* text or BLOB */
    size_t len;
} Cell;

/* < 0, 0, > 0 in SQLite's order under the BINARY collation; NULL is before everything and equal to
 * itself. */
int cell_compare(const Cell *a, const Cell *b);

/* A cell whose bytes are its own; cell_free releases them. */
Status cell_copy(Cell *out, const Cell *from, Err *err);
void cell_free(Cell *cell);

typedef struct FilterColumn {
    int64_t n;
    uint32_t *rank;
    Cell *value; /* distinct, ascending */
    int64_t n_values;
    int64_t capacity;
    uint32_t *slot; /* while filling: a hash table of value numbers + 1 */
    size_t n_slots;
    size_t bytes;
} FilterColumn;

/* n rows, all NULL; then set each row; then sort once. */
Status filter_column_init(FilterColumn *column, int64_t n, Err *err);
Status filter_column_set(FilterColumn *column, int64_t row, const Cell *cell, Err *err);
Status filter_column_finish(FilterColumn *column, Err *err);
void filter_column_clear(FilterColumn *column);
/* Bytes of memory. */
size_t filter_column_memory(const FilterColumn *column);

typedef enum ConditionKind {
    IS_EQUAL,
    IS_LESS,
    IS_LESS_EQUAL,
    IS_GREATER,
    IS_GREATER_EQUAL,
    IS_IN,
    IS_NULL,
    IS_NOT_NULL
} ConditionKind;

typedef struct Condition {
    int column;
    ConditionKind kind;
    Cell *cell; /* one, or for IS_IN a list, put in order by condition_sort */
    size_t n_cells;
} Condition;

/* Once the list of an IS_IN is complete: in order, without NULL, each value once. Bytes of what
 * goes are freed. */
void condition_sort(Condition *condition);

/* Does a value satisfy it? NULL satisfies IS NULL alone. */
int condition_holds(const Condition *condition, const Cell *cell);

/* Clear the bits of the rows that do not satisfy the condition. */
Status condition_apply(
    const Condition *condition, const FilterColumn *column, uint64_t *bits, Err *err);

#endif
