#include "../../base/memory.h"
#include "model_list.h"

void list_rows_empty(ListRows *rows) {
    for (size_t i = 0; i < rows->n; i++) mem_free(rows->row[i].because);
    rows->n = 0;
}

void list_rows_clear(ListRows *rows) {
    list_rows_empty(rows);
    mem_free(rows->row);
    *rows = (ListRows){0};
}

Status list_rows_reserve(ListRows *rows, size_t n, Err *err) {
    if (n <= rows->capacity) return ST_OK;
    ListRow *grown = mem_resize(rows->row, n, sizeof *grown);
    if (!grown) return fail_nomem(err, "the list");
    rows->row = grown;
    rows->capacity = n;
    return ST_OK;
}

void list_rows_add(
    ListRows *rows, const Model *model, const Ranked *ranked, int64_t rank, int32_t user) {
    rows->row[rows->n++] = (ListRow){.item = keymap_key(model->items, ranked->item),
        .id = ranked->item,
        .score = ranked->score,
        .rank = rank,
        .from_popular = ranked->from_popular,
        .user = user,
        .propensity = -1};
}
