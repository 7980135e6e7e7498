/* Examples as they are read: columns of cells of any of SQLite's types. */
#ifndef REC_COLUMNS_H
#define REC_COLUMNS_H

#include "../base/keymap.h"
#include "../base/status.h"

typedef enum CellType { CELL_NULL, CELL_INTEGER, CELL_REAL, CELL_TEXT, CELL_BLOB } CellType;

/* One value. Its bytes are borrowed. */
typedef struct Cell {
    CellType type;
    int64_t integer;   /* of CELL_INTEGER */
    double number;     /* of CELL_INTEGER and CELL_REAL */
    const char *bytes; /* of CELL_TEXT (UTF-8, not NUL-terminated) and CELL_BLOB */
    size_t len;
} Cell;

static inline int cell_is_number(const Cell *cell) {
    return cell->type == CELL_INTEGER || cell->type == CELL_REAL;
}
Cell cell_of_number(double value);
Cell cell_of_integer(int64_t value);
Cell cell_of_text(const char *text, size_t len);

/* A cell as a key: a whole number is an integer, whatever its type; another number is its text, put
 * into buffer (CELL_BUFFER bytes). Returns 0 for NULL and a BLOB. */
enum { CELL_BUFFER = 40 };
int cell_key(const Cell *cell, char *buffer, Key *out);

typedef struct Column {
    char *name;
    char *declared; /* the column's declared type; "" where there is none */
    uint8_t *type;  /* n: CellType */
    union {
        int64_t integer;
        double real;
    } * number;      /* n; NULL until a number came */
    int32_t *bytes;  /* n: ids in `distinct`; NULL until a text or BLOB came */
    KeyMap *texts;   /* texts and BLOBs */
    int64_t n, room; /* rows */
} Column;

typedef struct Columns {
    Column *column;
    int32_t n_columns;
    int64_t n_rows;
    int32_t *asked; /* n_asked of the columns: those that features are made of, in their order */
    int32_t n_asked;
} Columns;

Status columns_init(Columns *out, int32_t n_columns, Err *err);
/* Both texts are copied. */
Status columns_name(
    Columns *columns, int32_t column, const char *name, const char *declared, Err *err);
/* Append a row of n_columns cells, whose bytes are copied. */
Status columns_add(Columns *columns, const Cell *cells, Err *err);
Cell column_cell(const Column *column, int64_t row);
void columns_clear(Columns *columns);

#endif
