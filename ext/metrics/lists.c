#include "lists.h"

#include <math.h>
#include <stdlib.h>

static int by_user_and_item(const void *a, const void *b) {
    const ListEntry *x = a, *y = b;
    if (x->user != y->user) return x->user < y->user ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

double personalization(ListEntry *row, size_t n, double *sum) {
    double square = 0, users = 0;
    size_t kept = 0;
    qsort(row, n, sizeof *row, by_user_and_item);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || by_user_and_item(&row[i], &row[kept - 1]) != 0) row[kept++] = row[i];
    for (size_t from = 0, to; from < kept; from = to, users++) {
        for (to = from; to < kept && row[to].user == row[from].user; to++) {}
        for (size_t i = from; i < to; i++) sum[row[i].item] += 1 / sqrt((double)(to - from));
    }
    for (size_t i = 0; i < kept; i++) { /* each item once */
        square += sum[row[i].item] * sum[row[i].item];
        sum[row[i].item] = 0;
    }
    return users < 2 ? NAN : mean_unlikeness(square, users, users);
}
