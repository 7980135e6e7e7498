/* Items in the order of a list, one by one: for who gives the items (candidates), or wants to know
 * where one of them stands. The order is model_query_rank's: by (score descending, id), then what
 * the popular list places by (popularity descending, id); items that the model does not know come
 * last, as they were given. */
#ifndef REC_CANDIDATES_H
#define REC_CANDIDATES_H

#include "model.h"

typedef struct Candidate {
    int32_t item;     /* of the model, -1 for unknown */
    int from_popular; /* the model has nothing to say: the popular list places it */
    double score;
    double popularity;
    size_t given; /* its place among the given ones */
} Candidate;

/* After model_query_history or _similar. */
Candidate candidate_of(const ModelQuery *query, int32_t item, size_t given);

/* O(n log n). */
void candidates_sort(Candidate *candidate, size_t n);

/* The rank from 1 that an item has in the list of all that are allowed, itself among them. O(items
 * of the model). */
int64_t candidate_rank(const ModelQuery *query, const uint64_t *allowed, int32_t item);

#endif
