/* The rows of a rec_model's cursor: room for them, and how many are wanted. */
#include "../../base/memory.h"
#include "model_cursor.h"

Status model_reserve_rows(ModelCursor *c, size_t n, Err *err) {
    if (n <= c->capacity) return ST_OK;
    Row *grown = mem_resize(c->row, n, sizeof *grown);
    if (!grown) return fail_nomem(err, "the list");
    c->row = grown;
    c->capacity = n;
    return ST_OK;
}

/* LIMIT asks for limit + offset rows; without k or LIMIT the list is whole. */
size_t model_rows_wanted(const Request *r, int64_t available) {
    int64_t k = available;
    if (r->has_k == 1) k = r->k;
    /* each is cut first: their sum must not overflow */
    if (r->has_k == 2 && r->limit >= 0 && r->limit < available) {
        int64_t offset = r->offset < 0 ? 0 : r->offset < available ? r->offset : available;
        k = r->limit + offset;
    }
    return (size_t)(k > available ? available : k);
}

size_t model_pool_of(const Request *r, size_t k, int64_t available) {
    const RerankRules *rules = &r->call.rerank;
    size_t pool = rerank_is_on(rules) && (size_t)rules->pool > k ? (size_t)rules->pool : k;
    /* who comes in for those that are too many may be far down */
    if (rules->max_per_category > 0) pool = (size_t)available;
    return pool > (size_t)available ? (size_t)available : pool;
}

void model_clear_rows(ModelCursor *c) {
    for (size_t i = 0; i < c->n_rows; i++) mem_free(c->row[i].because);
    c->n_rows = 0;
    c->at = 0;
}
