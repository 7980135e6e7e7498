/* Ascending lists of 64-bit ids. */
#ifndef REC_IDS_H
#define REC_IDS_H

#include <stddef.h>
#include <stdint.h>

/* Put n ids in ascending order. */
void ids_sort(int64_t *id, size_t n);

/* The position of id in an ascending list, or -1. */
int64_t ids_find(const int64_t *sorted, int64_t n, int64_t id);

#endif
