/* Classes made equally frequent. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../math/kernels.h"
#include "predictor_train.h"

/* Examples a class; *most, *least: of those there are. */
static int64_t *count_classes(const Labelled *part, int64_t *most, int64_t *least) {
    int32_t k = keymap_count(part->classes);
    int64_t *count = mem_zeros((size_t)k, sizeof *count);
    *most = 0;
    *least = INT64_MAX;
    for (int64_t i = 0; i < part->n && count; i++) count[part->class_of[i]]++;
    for (int32_t c = 0; c < k && count; c++) {
        if (count[c] > *most) *most = count[c];
        if (count[c] && count[c] < *least) *least = count[c];
    }
    return count;
}

typedef struct Drawn {
    uint64_t key;
    int64_t place;
} Drawn;

static int by_key(const void *a, const void *b) {
    const Drawn *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

static int by_place(const void *a, const void *b) {
    const Drawn *x = a, *y = b;
    return (x->place > y->place) - (x->place < y->place);
}

/* A class's places in a drawn order, over and over until there are `wanted`. */
static int64_t draw_class(
    const Labelled *part, int32_t class_of, int64_t wanted, uint64_t seed, Drawn *own, Drawn *out) {
    int64_t n = 0;
    for (int64_t i = 0; i < part->n; i++) {
        Random random;
        if (part->class_of[i] != class_of) continue;
        random_init(&random, seed, (uint64_t)i);
        own[n++] = (Drawn){random_u64(&random), i};
    }
    if (!n) return 0;
    qsort(own, (size_t)n, sizeof *own, by_key);
    for (int64_t i = 0; i < wanted; i++) out[i] = own[i % n];
    return wanted;
}

Status resample_part(
    Labelled *out, const Labelled *part, int64_t resample, uint64_t seed, int *chosen, Err *err) {
    int64_t most, least, n = 0;
    *out = (Labelled){.is_part = 1};
    *chosen = resample == RESAMPLE_OVER || resample == RESAMPLE_UNDER;
    if (!*chosen) return ST_OK;
    int64_t *count = count_classes(part, &most, &least);
    int32_t k = keymap_count(part->classes);
    int64_t each = resample == RESAMPLE_OVER ? most : least;
    Drawn *own = mem_array((size_t)part->n, sizeof *own);
    Drawn *drawn = mem_array((size_t)(each * k), sizeof *drawn);
    int64_t *place = mem_array((size_t)(each * k), sizeof *place);
    Status status = count && own && drawn && place ? ST_OK : fail_nomem(err, "the examples");
    for (int32_t c = 0; c < k && status == ST_OK; c++)
        n += draw_class(part, c, each, seed, own, drawn + n);
    if (status == ST_OK) {
        qsort(drawn, (size_t)n, sizeof *drawn, by_place);
        for (int64_t i = 0; i < n; i++) place[i] = drawn[i].place;
        status = labelled_choose(out, part, place, n, err);
    }
    mem_free(count);
    mem_free(own);
    mem_free(drawn);
    mem_free(place);
    return status;
}

/* ---- SMOTE ---- */

enum { NEIGHBOURS = 5 };

typedef struct Smote {
    const Design *design;
    const int64_t *member; /* rows of the class */
    int64_t n;
    int64_t *neighbour; /* n x NEIGHBOURS, -1 for none */
    Task *task;
} Smote;

static void find_neighbours(void *context, int64_t i, int worker) {
    Smote *smote = context;
    const Design *design = smote->design;
    double distance[NEIGHBOURS];
    int64_t *own = smote->neighbour + i * NEIGHBOURS;
    int kept = 0;
    (void)worker;
    for (int64_t j = 0; j < smote->n; j++) {
        if (j == i) continue;
        if (j % 4096 == 0 && task_cancelled(smote->task)) break;
        double d = kernels()->l2_squared(design->dense + smote->member[i] * design->n_dense,
            design->dense + smote->member[j] * design->n_dense, (size_t)design->n_dense);
        int at = kept < NEIGHBOURS ? kept : NEIGHBOURS;
        while (at > 0 && d < distance[at - 1]) at--;
        if (at == NEIGHBOURS) continue;
        int last = kept < NEIGHBOURS ? kept++ : NEIGHBOURS - 1;
        for (int m = last; m > at; m--) {
            distance[m] = distance[m - 1];
            own[m] = own[m - 1];
        }
        distance[at] = d;
        own[at] = j;
    }
    while (kept < NEIGHBOURS) own[kept++] = -1;
}

/* Room for `more` rows in design and labels. */
static Status grow(Design *design, Labelled *part, int64_t more, int64_t nnz, Err *err) {
    size_t n = (size_t)(design->n + more);
    Csr *sparse = &design->sparse;
#define GROW(block, count) \
    do { \
        void *grown = mem_resize(block, count, sizeof *(block)); \
        if (!grown) return fail_nomem(err, "the examples"); \
        (block) = grown; \
    } while (0)
    GROW(design->dense, n * (size_t)design->n_dense);
    GROW(sparse->row_start, n + 1);
    GROW(sparse->col, (size_t)(csr_nnz(sparse) + nnz));
    GROW(sparse->val, (size_t)(csr_nnz(sparse) + nnz));
    GROW(part->class_of, n);
    GROW(part->weight, n);
    GROW(part->row, n);
    GROW(part->held, n);
    GROW(part->fold, n);
#undef GROW
    return ST_OK;
}

/* A row between two: the dense part on the line, the sparse entries of the first. */
static void add_between(Design *design, Labelled *part, int64_t from, int64_t to, double place) {
    int64_t at = design->n++, start = design->sparse.row_start[from];
    int64_t entries = design->sparse.row_start[from + 1] - start;
    int64_t end = design->sparse.row_start[at];
    float *dense = design->dense;
    for (int32_t c = 0; c < design->n_dense; c++) {
        double a = dense[from * design->n_dense + c], b = dense[to * design->n_dense + c];
        dense[at * design->n_dense + c] = (float)(a + place * (b - a));
    }
    for (int64_t e = 0; e < entries; e++) {
        design->sparse.col[end + e] = design->sparse.col[start + e];
        design->sparse.val[end + e] = design->sparse.val[start + e];
    }
    design->sparse.row_start[at + 1] = end + entries;
    design->sparse.n_rows++;
    part->class_of[at] = part->class_of[from];
    part->weight[at] = part->weight[from];
    part->row[at] = part->row[from];
    part->held[at] = part->fold[at] = 0;
    part->n = design->n;
}

static Status smote_class(Design *design, Labelled *part, int32_t class_of, int64_t wanted,
    uint64_t seed, Task *task, Err *err) {
    int64_t n = 0, rows = part->n, nnz = 0;
    int64_t *member = mem_array((size_t)rows, sizeof *member);
    int64_t *neighbour = mem_array((size_t)rows, NEIGHBOURS * sizeof *neighbour);
    Status status = member && neighbour ? ST_OK : fail_nomem(err, "the examples");
    for (int64_t i = 0; i < rows && status == ST_OK; i++)
        if (part->class_of[i] == class_of) member[n++] = i;
    Smote smote = {design, member, n, neighbour, task};
    if (status == ST_OK && n > 1) status = task_run(task, n, find_neighbours, &smote, err);
    for (int64_t i = n; i < wanted && n > 1; i++)
        nnz += csr_row_len(&design->sparse, (int32_t)member[i % n]);
    if (status == ST_OK && n > 1) status = grow(design, part, wanted - n, nnz, err);
    for (int64_t i = n; i < wanted && n > 1 && status == ST_OK; i++) {
        Random random;
        random_init(&random, seed, (uint64_t)i);
        int64_t own = i % n, pick = -1;
        for (int tries = 0; pick < 0 && tries < 64; tries++)
            pick = neighbour[own * NEIGHBOURS + (int64_t)random_below(&random, NEIGHBOURS)];
        add_between(
            design, part, member[own], member[pick < 0 ? own : pick], random_uniform(&random));
    }
    mem_free(member);
    mem_free(neighbour);
    return status;
}

Status resample_smote(Design *design, Labelled *part, uint64_t seed, Task *task, Err *err) {
    int64_t most, least;
    int64_t *count = count_classes(part, &most, &least);
    Status status = count ? ST_OK : fail_nomem(err, "the examples");
    for (int32_t c = 0; c < keymap_count(part->classes) && status == ST_OK; c++)
        if (count[c] > 0 && count[c] < most)
            status = smote_class(design, part, c, most, seed, task, err);
    mem_free(count);
    return status;
}
