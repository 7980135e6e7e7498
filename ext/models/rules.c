#include "rules.h"

#include <math.h>

Rule rule_of(const Dataset *data, int32_t from, int32_t to, double users_of_both) {
    double users = data->by_user.n_rows, d_from = (double)csr_row_len(&data->by_item, from),
           d_to = (double)csr_row_len(&data->by_item, to);
    return (Rule){.support = users_of_both / users,
        .confidence = users_of_both / d_from,
        .lift = users_of_both * users / (d_from * d_to),
        .conviction = users_of_both < d_from ? (1 - d_to / users) / (1 - users_of_both / d_from)
                                             : NAN};
}

void users_in_common(const Dataset *data, int32_t from, int32_t *users) {
    const Csr *by_item = &data->by_item, *by_user = &data->by_user;
    for (int64_t e = by_item->row_start[from]; e < by_item->row_start[from + 1]; e++) {
        int32_t user = by_item->col[e];
        for (int64_t f = by_user->row_start[user]; f < by_user->row_start[user + 1]; f++)
            users[by_user->col[f]]++;
    }
}
