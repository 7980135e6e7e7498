#include "user_rows.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"

void user_rows_write(const Csr *by_user, Bytes *out) {
    bytes_u32(out, (uint32_t)by_user->n_rows);
    csr_write(by_user, out);
}

Status user_rows_read(Csr *by_user, int32_t n_items, Reader *in, Err *err) {
    uint32_t users = read_u32(in);
    if (in->failed || users > INT32_MAX) return fail(err, ST_CORRUPT, "the users are truncated");
    TRY(csr_read(by_user, (int32_t)users, n_items, in, err));
    for (int64_t e = 0; e < csr_nnz(by_user); e++)
        if (!(by_user->val[e] > 0)) return fail(err, ST_CORRUPT, "a user's weight is not above 0");
    return ST_OK;
}

int32_t user_rows_find(const Csr *by_user, const History *history,
    double (*scale)(const Model *model, float weight), const Model *model) {
    int32_t best = -1;
    double least = INFINITY;
    for (int32_t row = 0; row < by_user->n_rows; row++) {
        int64_t from = by_user->row_start[row];
        double distance = 0;
        if (csr_row_len(by_user, row) != history->n || !history->n ||
            memcmp(by_user->col + from, history->item,
                (size_t)history->n * sizeof *history->item) != 0)
            continue;
        for (int64_t i = 0; i < history->n; i++) {
            double weight = scale ? scale(model, history->weight[i]) : (double)history->weight[i];
            distance += fabs(weight - (double)by_user->val[from + i]);
        }
        if (distance >= least) continue;
        least = distance;
        best = row;
    }
    return best;
}

Status user_query_new(ModelQuery *query, int32_t n_users, Err *err) {
    UserQuery *q = mem_zeros(1, sizeof *q);
    query->scratch = q;
    if (!q) return fail_nomem(err, "a query");
    Status status = scoreboard_init(&q->items, query->model->n_items, err);
    if (status == ST_OK) status = scoreboard_init(&q->users, n_users, err);
    q->list = mem_array((size_t)n_users, sizeof *q->list);
    if (status == ST_OK && !q->list) status = fail_nomem(err, "a query");
    if (status != ST_OK) user_query_free(query);
    return status;
}

void user_query_free(ModelQuery *query) {
    UserQuery *q = query->scratch;
    if (!q) return;
    scoreboard_clear(&q->items);
    scoreboard_clear(&q->users);
    mem_free(q->list);
    mem_free(q);
    query->scratch = NULL;
}

const Scoreboard *user_query_board(const ModelQuery *query) {
    return &((const UserQuery *)query->scratch)->items;
}
