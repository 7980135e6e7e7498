#include "ids.h"

#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void ids_sort(int64_t *id, size_t n) {
    if (n) qsort(id, n, sizeof *id, ascending);
}

int64_t ids_find(const int64_t *sorted, int64_t n, int64_t id) {
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (sorted[mid] < id) low = mid + 1;
        else high = mid;
    }
    return low < n && sorted[low] == id ? low : -1;
}
