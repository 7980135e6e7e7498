#include "balance.h"

#include <stdlib.h>

#include "../base/memory.h"

typedef struct ClassPlace {
    BalanceRow row;
    int64_t at;
} ClassPlace;

static int by_class_and_hash(const void *a, const void *b) {
    const ClassPlace *x = a, *y = b;
    if (x->row.class_id != y->row.class_id) return x->row.class_id < y->row.class_id ? -1 : 1;
    if (x->row.hash != y->row.hash) return x->row.hash < y->row.hash ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* The rows of class c are placed[start[c]] .. placed[start[c + 1] - 1]. */
static void choose(const ClassPlace *placed, const int64_t *start, int32_t n_classes,
    int64_t wanted, int64_t *copies) {
    for (int32_t c = 0; c < n_classes; c++) {
        int64_t size = start[c + 1] - start[c];
        for (int64_t i = 0; i < size; i++)
            copies[placed[start[c] + i].at] = wanted / size + (i < wanted % size);
    }
}

Status balance(const BalanceRow *row, int64_t n, int32_t n_classes, BalanceMethod method,
    int64_t *copies, double *weight, Err *err) {
    int64_t *start = mem_zeros((size_t)n_classes + 1, sizeof *start), least = n, most = 0;
    ClassPlace *placed = mem_array((size_t)n, sizeof *placed);
    Status status = start && placed ? ST_OK : fail_nomem(err, "the classes");
    for (int64_t i = 0; status == ST_OK && i < n; i++) {
        placed[i] = (ClassPlace){row[i], i};
        start[row[i].class_id + 1]++;
    }
    for (int32_t c = 0; status == ST_OK && c < n_classes; c++) {
        int64_t size = start[c + 1];
        least = size < least ? size : least;
        most = size > most ? size : most;
        start[c + 1] += start[c];
    }
    if (status == ST_OK && method == BALANCE_OVER && n_classes * most > n + BALANCE_MOST_ROWS)
        status = fail(err, ST_BADARG,
            "over: %lld rows of %d classes would become %lld: is the label one?", (long long)n,
            (int)n_classes, (long long)(n_classes * most));
    for (int64_t i = 0; status == ST_OK && i < n; i++) {
        double size = (double)(start[row[i].class_id + 1] - start[row[i].class_id]);
        copies[i] = 1;
        weight[i] = method == BALANCE_WEIGHT ? (double)n / (n_classes * size) : 1;
    }
    if (status == ST_OK && method != BALANCE_WEIGHT && n > 0) {
        qsort(placed, (size_t)n, sizeof *placed, by_class_and_hash);
        choose(placed, start, n_classes, method == BALANCE_UNDER ? least : most, copies);
    }
    mem_free(start);
    mem_free(placed);
    return status;
}
