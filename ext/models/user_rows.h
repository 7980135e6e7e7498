/* Users' rows that a model keeps without their keys (docs/decisions/0009-rows-without-keys.md), and
 * what asking the users like the asker takes: shared by user_knn and repeat. */
#ifndef REC_USER_ROWS_H
#define REC_USER_ROWS_H

#include "model.h"
#include "scoreboard.h"

/* Stored: number of users, then the rows (csr_write). Reading checks that there is no weight of 0
 * or less. */
void user_rows_write(const Csr *by_user, Bytes *out);
Status user_rows_read(Csr *by_user, int32_t n_items, Reader *in, Err *err);

/* The row with the items of the history; of several the one whose values are closest to the
 * history's weights, each as scale makes it (NULL: as it is). -1: none. O(rows + what they have in
 * common). */
int32_t user_rows_find(const Csr *by_user, const History *history,
    double (*scale)(const Model *model, float weight), const Model *model);

/* The scratch of the algorithm. */
typedef struct UserQuery {
    Scoreboard items;
    Scoreboard users; /* what the asker and they have in common */
    Scored *list;     /* users */
} UserQuery;

Status user_query_new(ModelQuery *query, int32_t n_users, Err *err);

/* Parts of an Algorithm whose scratch this is. */
void user_query_free(ModelQuery *query);
const Scoreboard *user_query_board(const ModelQuery *query);

#endif
