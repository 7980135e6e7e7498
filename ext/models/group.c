#include "group.h"

#include <math.h>
#include <string.h>

#include "../base/bits.h"
#include "../base/memory.h"

/* On the CPU a group's queries share what the cache holds; on a GPU many make a call worth
 * while. */
enum { CPU_GROUP = 16, GPU_GROUP = 1024, GROUP_BYTES = 1 << 24 };

int group_size(const Model *model, size_t k, int64_t lists, int threads, const GpuCopy *copy) {
    size_t each = bits_words(model->n_items) * sizeof(uint64_t) + k * sizeof(Ranked) + 1,
           room = GROUP_BYTES / each;
    if (!model->algorithm->index) return 1;
    int64_t most = copy ? GPU_GROUP : CPU_GROUP, share = lists / (2 * (int64_t)threads),
            size = share > most ? most : share;
    if ((size_t)size > room) size = (int64_t)room;
    return size > 1 ? (int)size : 1;
}

Status group_init(Group *group, const Model *model, int size, size_t k, Err *err) {
    size_t n = (size_t)size, words = bits_words(model->n_items);
    const AnnIndex *index = model->algorithm->index ? model->algorithm->index(model) : NULL;
    *group = (Group){.model = model, .size = size};
    group->list = mem_zeros(n, sizeof *group->list);
    group->bits = mem_array(n, words * sizeof *group->bits);
    group->ranked = mem_array(n, k * sizeof *group->ranked);
    int failed = !group->list || !group->bits || !group->ranked;
    if (index && !failed) {
        group->vector = mem_array(n, (size_t)index->vectors->dim * sizeof *group->vector);
        group->search = mem_zeros(n, sizeof *group->search);
        group->top = mem_zeros(n, sizeof *group->top);
        group->asker = mem_array(n, sizeof *group->asker);
        failed = !group->vector || !group->search || !group->top || !group->asker;
    }
    if (failed) return fail_nomem(err, "a group of lists");
    for (size_t i = 0; i < n; i++)
        group->list[i] = (GroupList){
            .allowed = group->bits + i * words, .ranked = group->ranked + i * k};
    return ST_OK;
}

void group_clear(Group *group) {
    for (int i = 0; i < group->size && group->top; i++) topk_clear(&group->top[i]);
    mem_free(group->list);
    mem_free(group->bits);
    mem_free(group->ranked);
    mem_free(group->vector);
    mem_free(group->search);
    mem_free(group->top);
    mem_free(group->asker);
    *group = (Group){0};
}

static size_t wanted(const GroupList *list, size_t k) {
    return (int64_t)k < list->n_allowed ? k : (size_t)list->n_allowed;
}

static Status rank_each(Group *group, ModelQuery *query, int n, size_t k, Err *err) {
    for (int i = 0; i < n; i++) {
        GroupList *list = &group->list[i];
        TRY(model_query_history(query, &list->history, err));
        TRY(model_query_rank(
            query, list->allowed, list->n_allowed, k, list->ranked, &list->n, err));
    }
    return ST_OK;
}

/* The vectors of those who have a history, as searches. */
static Status ask(Group *group, ModelQuery *query, int n, size_t k, size_t dim, int *n_searches,
    Task *task, Err *err) {
    const Algorithm *algorithm = group->model->algorithm;
    for (int i = 0; i < n; i++) {
        GroupList *list = &group->list[i];
        int at = *n_searches;
        float *vector = group->vector + (size_t)at * dim;
        if (list->history.n == 0) continue;
        if (task_cancelled(task)) return fail(err, ST_CANCELLED, "interrupted");
        TRY(model_query_history(query, &list->history, err));
        memcpy(vector, algorithm->asker(query), dim * sizeof *vector);
        group->search[at] = (AnnSearch){.query = vector,
            .k = wanted(list, k),
            .min_score = -INFINITY,
            .allowed = list->allowed,
            .n_allowed = list->n_allowed};
        group->asker[at] = i;
        ++*n_searches;
        TRY(topk_init(&group->top[at], group->search[at].k, err));
    }
    return ST_OK;
}

static Status make_lists(Group *group, int n, size_t k, int n_searches, Err *err) {
    int at = 0;
    for (int i = 0; i < n; i++) {
        GroupList *list = &group->list[i];
        TopK none = {0},
             *top = at < n_searches && group->asker[at] == i ? &group->top[at++] : &none;
        TRY(model_list(
            group->model, top, list->allowed, wanted(list, k), list->ranked, &list->n, err));
    }
    return ST_OK;
}

Status group_rank(
    Group *group, ModelQuery *query, int n, size_t k, GpuCopy *copy, Task *task, Err *err) {
    int n_searches = 0;
    if (!group->search || query->popular_only) return rank_each(group, query, n, k, err);
    const AnnIndex *index = group->model->algorithm->index(group->model);
    Status status = ask(group, query, n, k, (size_t)index->vectors->dim, &n_searches, task, err);
    if (status == ST_OK)
        status = copy
            ? gpu_copy_search(copy, index, group->search, group->top, n_searches, 0, task, err)
            : index->engine->search(index, group->search, group->top, n_searches, err);
    return status == ST_OK ? make_lists(group, n, k, n_searches, err) : status;
}
