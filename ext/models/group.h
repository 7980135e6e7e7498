/* The lists of a group of askers in one call. Where a model scores by vectors, they share the
 * passes over the items' vectors, or a GPU makes them; elsewhere they are made one after the other.
 * Lists are the same as model_query_rank's.
 *
 *     for each of n askers: group->list[i] gets history, n_allowed and the bits of allowed
 *     group_rank(group, query, n, k, copy, &err);
 *     for each of n askers: group->list[i].ranked holds n entries */
#ifndef REC_GROUP_H
#define REC_GROUP_H

#include "../ann/gpu.h"
#include "model.h"

typedef struct GroupList {
    History history;   /* borrowed from the caller */
    uint64_t *allowed; /* a bit per item */
    int64_t n_allowed;
    Ranked *ranked;
    size_t n;
} GroupList;

typedef struct Group {
    const Model *model;
    int size;
    GroupList *list;
    uint64_t *bits; /* of all lists */
    Ranked *ranked;
    float *vector; /* size x dim, of who has a history */
    struct AnnSearch *search;
    TopK *top;
    int *asker; /* whose search it is */
} Group;

/* How many lists of k items to make in one call, of so many on so many threads; copy: on a GPU. */
int group_size(const Model *model, size_t k, int64_t lists, int threads, const GpuCopy *copy);

/* group_clear also after an error. */
Status group_init(Group *group, const Model *model, int size, size_t k, Err *err);
void group_clear(Group *group);

/* The first k of n lists, by the caller's query; with a copy of the model's vectors, on its device.
 * Stopped with the task. */
Status group_rank(
    Group *group, ModelQuery *query, int n, size_t k, GpuCopy *copy, Task *task, Err *err);

#endif
