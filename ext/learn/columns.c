#include "columns.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"

Cell cell_of_number(double value) { return (Cell){.type = CELL_REAL, .number = value}; }

Cell cell_of_integer(int64_t value) {
    return (Cell){.type = CELL_INTEGER, .integer = value, .number = (double)value};
}

Cell cell_of_text(const char *text, size_t len) {
    return (Cell){.type = CELL_TEXT, .bytes = text, .len = len};
}

int cell_key(const Cell *cell, char *buffer, Key *out) {
    *out = (Key){0};
    switch (cell->type) {
    case CELL_INTEGER: out->integer = cell->integer; return 1;
    case CELL_REAL:
        if (fabs(cell->number) < 9007199254740992.0 && cell->number == floor(cell->number)) {
            out->integer = (int64_t)cell->number;
            return 1;
        }
        out->len = (size_t)text_format(buffer, CELL_BUFFER, "%.17g", cell->number);
        out->text = buffer;
        return 1;
    case CELL_TEXT:
        out->text = cell->bytes;
        out->len = cell->len;
        return 1;
    default: return 0;
    }
}

Status columns_init(Columns *out, int32_t n_columns, Err *err) {
    *out = (Columns){0};
    out->column = mem_zeros((size_t)n_columns, sizeof *out->column);
    out->asked = mem_array((size_t)n_columns, sizeof *out->asked);
    if (!out->column || !out->asked) return fail_nomem(err, "the examples");
    out->n_columns = n_columns;
    return ST_OK;
}

Status columns_name(
    Columns *columns, int32_t column, const char *name, const char *declared, Err *err) {
    Column *c = &columns->column[column];
    c->name = mem_text(name, strlen(name));
    c->declared = mem_text(declared, strlen(declared));
    return c->name && c->declared ? ST_OK : fail_nomem(err, "the examples");
}

static Status grow(Column *column, Err *err) {
    int64_t room = column->room ? column->room * 2 : 1024;
    void *type = mem_resize(column->type, (size_t)room, sizeof *column->type);
    if (type) column->type = type;
    if (type && column->number) {
        void *number = mem_resize(column->number, (size_t)room, sizeof *column->number);
        if (!number) return fail_nomem(err, "the examples");
        column->number = number;
    }
    if (type && column->bytes) {
        void *bytes = mem_resize(column->bytes, (size_t)room, sizeof *column->bytes);
        if (!bytes) return fail_nomem(err, "the examples");
        column->bytes = bytes;
    }
    if (!type) return fail_nomem(err, "the examples");
    column->room = room;
    return ST_OK;
}

static Status add_bytes(Column *column, const Cell *cell, Err *err) {
    if (!column->texts && !(column->texts = keymap_new())) return fail_nomem(err, "the examples");
    if (!column->bytes && !(column->bytes = mem_array((size_t)column->room, sizeof *column->bytes)))
        return fail_nomem(err, "the examples");
    Key key = {.text = cell->bytes ? cell->bytes : "", .len = cell->len};
    return keymap_add(column->texts, key, &column->bytes[column->n], err);
}

static Status add(Column *column, const Cell *cell, Err *err) {
    if (column->n == column->room) TRY(grow(column, err));
    if (cell_is_number(cell)) {
        if (!column->number &&
            !(column->number = mem_array((size_t)column->room, sizeof *column->number)))
            return fail_nomem(err, "the examples");
        if (cell->type == CELL_INTEGER) column->number[column->n].integer = cell->integer;
        else column->number[column->n].real = cell->number;
    }
    if (cell->type == CELL_TEXT || cell->type == CELL_BLOB) TRY(add_bytes(column, cell, err));
    column->type[column->n++] = (uint8_t)cell->type;
    return ST_OK;
}

Status columns_add(Columns *columns, const Cell *cells, Err *err) {
    for (int32_t i = 0; i < columns->n_columns; i++) TRY(add(&columns->column[i], &cells[i], err));
    columns->n_rows++;
    return ST_OK;
}

Cell column_cell(const Column *column, int64_t row) {
    CellType type = (CellType)column->type[row];
    if (type == CELL_INTEGER) return cell_of_integer(column->number[row].integer);
    if (type == CELL_REAL) return cell_of_number(column->number[row].real);
    if (type == CELL_NULL) return (Cell){0};
    Key key = keymap_key(column->texts, column->bytes[row]);
    Cell cell = cell_of_text(key.text, key.len);
    cell.type = type;
    return cell;
}

void columns_clear(Columns *columns) {
    for (int32_t i = 0; i < columns->n_columns && columns->column; i++) {
        Column *column = &columns->column[i];
        mem_free(column->name);
        mem_free(column->declared);
        mem_free(column->type);
        mem_free(column->number);
        mem_free(column->bytes);
        if (column->texts) keymap_free(column->texts);
    }
    mem_free(columns->column);
    mem_free(columns->asked);
    *columns = (Columns){0};
}
