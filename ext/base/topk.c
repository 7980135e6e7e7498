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

void topk_sort(TopK *top) { scored_sort(top->item, top->len); }

static int larger(Scored a, Scored b) {
    double x = fabs(a.score), y = fabs(b.score);
    return x > y || (x == y && a.id < b.id);
}

static int compare_larger(const void *a, const void *b) {
    return larger(*(const Scored *)a, *(const Scored *)b) ? -1 : 1;
}

static Scored median_of(Scored a, Scored b, Scored c) {
    if (larger(a, b)) return larger(b, c) ? b : larger(a, c) ? c : a;
    return larger(a, c) ? a : larger(b, c) ? c : b;
}

/* Quickselect; where the pivots are bad, the rest is sorted. */
void scored_select(Scored *item, size_t n, size_t k) {
    for (int rounds = 0; k > 0 && k < n; rounds++) {
        if (n < 16 || rounds > 60) {
            qsort(item, n, sizeof *item, compare_larger);
            return;
        }
        Scored pivot = median_of(item[0], item[n / 2], item[n - 1]);
        size_t low = 0, high = n - 1;
        for (;;) {
            while (larger(item[low], pivot)) low++;
            while (larger(pivot, item[high])) high--;
            if (low >= high) break;
            Scored swap = item[low];
            item[low++] = item[high];
            item[high--] = swap;
        }
        size_t front = high + 1; /* entries 0 .. front-1 come no later than the rest */
        if (front <= k) {
            item += front;
            n -= front;
            k -= front;
        } else {
            n = front;
        }
    }
}

double scored_keep(Scored *item, size_t n, size_t k) {
    double least = INFINITY;
    scored_select(item, n, k);
    for (size_t i = 0; i < k; i++) least = fmin(least, fabs(item[i].score));
    return least;
}

size_t scored_best(Scored *item, size_t n, size_t k) {
    if (n > k) {
        scored_select(item, n, k);
        n = k;
    }
    scored_sort(item, n);
    return n;
}
