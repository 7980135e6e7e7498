#include "candidates.h"

#include <stdlib.h>

#include "../base/bits.h"

static int compare(const void *x, const void *y) {
    const Candidate *a = x, *b = y;
    if ((a->item < 0) != (b->item < 0)) return a->item < 0 ? 1 : -1;
    if (a->item < 0) return a->given < b->given ? -1 : 1;
    if (a->from_popular != b->from_popular) return a->from_popular ? 1 : -1;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    if (a->from_popular && a->popularity != b->popularity)
        return a->popularity > b->popularity ? -1 : 1;
    return (a->item > b->item) - (a->item < b->item);
}

Candidate candidate_of(const ModelQuery *query, int32_t item, size_t given) {
    const Model *model = query->model;
    if (item < 0) return (Candidate){.item = -1, .from_popular = 1, .given = given};
    double score = model_query_score(query, item);
    int silent = !model_query_speaks(query) || (score == 0 && !model->algorithm->scores_all);
    return (Candidate){item, silent, score, (double)model->popularity[item], given};
}

void candidates_sort(Candidate *candidate, size_t n) {
    if (n) qsort(candidate, n, sizeof *candidate, compare);
}

int64_t candidate_rank(const ModelQuery *query, const uint64_t *allowed, int32_t item) {
    Candidate own = candidate_of(query, item, 0);
    int64_t better = 0;
    for (int32_t i = 0; i < query->model->n_items; i++) {
        if (i == item || !bits_have(allowed, i)) continue;
        Candidate other = candidate_of(query, i, 0);
        better += compare(&other, &own) < 0;
    }
    return better + 1;
}
