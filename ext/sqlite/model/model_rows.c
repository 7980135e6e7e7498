/* The rows of a rec_model's cursor: room for them, and how many are wanted. */
#include "../../base/memory.h"
#include "model_cursor.h"

Status model_reserve_rows(ModelCursor *cursor, size_t n, Err *err) {
    if (n <= cursor->capacity) return ST_OK;
    Row *grown = mem_resize(cursor->row, n, sizeof *grown);
    if (!grown) return fail_nomem(err, "the list");
    cursor->row = grown;
    cursor->capacity = n;
    return ST_OK;
}

size_t model_pool_of(const Request *request, size_t k, int64_t available) {
    const RerankRules *rules = &request->call.rerank;
    size_t pool = rerank_is_on(rules) && (size_t)rules->pool > k ? (size_t)rules->pool : k;
    /* who comes in for those that are too many may be far down */
    if (rules->max_per_category > 0) pool = (size_t)available;
    return pool > (size_t)available ? (size_t)available : pool;
}

void model_clear_rows(ModelCursor *cursor) {
    for (size_t i = 0; i < cursor->n_rows; i++) mem_free(cursor->row[i].because);
    cursor->n_rows = 0;
    cursor->at = 0;
}
