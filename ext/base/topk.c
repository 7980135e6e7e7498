#include "topk.h"

#include <math.h>
#include <stdlib.h>

#include "memory.h"

Status topk_init(TopK *top, size_t k, Err *err) {
    if (k > top->capacity) {
        mem_free(top->item);
        *top = (TopK){0};
        top->item = mem_array(k, sizeof *top->item);
        if (!top->item) return fail_nomem(err, "the list of the best");
        top->capacity = k;
    }
    top->k = k;
    top->len = 0;
    return ST_OK;
}

void topk_clear(TopK *top) {
    mem_free(top->item);
    *top = (TopK){0};
}

double topk_floor(const TopK *top) {
    return top->len < top->k || top->k == 0 ? -INFINITY : top->item[0].score;
}

static void sift_up(Scored *heap, size_t at) {
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!scored_before(heap[parent], heap[at])) break;
        Scored swap = heap[parent];
        heap[parent] = heap[at];
        heap[at] = swap;
        at = parent;
    }
}

static void sift_down(Scored *heap, size_t len, size_t at) {
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < len; child++)
            if (scored_before(heap[worst], heap[child])) worst = child;
        if (worst == at) return;
        Scored swap = heap[worst];
        heap[worst] = heap[at];
        heap[at] = swap;
        at = worst;
    }
}

void topk_push(TopK *top, double score, int64_t id) {
    if (!topk_wants(top, score, id)) return;
    if (top->len < top->k) {
        top->item[top->len] = (Scored){score, id};
        sift_up(top->item, top->len++);
    } else {
        top->item[0] = (Scored){score, id};
        sift_down(top->item, top->len, 0);
    }
}

static int compare_scored(const void *a, const void *b) {
    return scored_before(*(const Scored *)a, *(const Scored *)b) ? -1 : 1;
}

void scored_sort(Scored *item, size_t n) {
    if (n > 1) qsort(item, n, sizeof *item, compare_scored);
}

void topk_sort(TopK *top) {
    scored_sort(top->item, top->len);
}
