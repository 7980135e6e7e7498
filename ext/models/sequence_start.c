/* Where the items of `sequence` start: the largest singular vectors of
 *
 *     M_ij = log(1 + C_ij sqrt(N) / (r_i r_j)^.75)
 *
 * C: pairs within the window, both ways alike, .8^(g - 1) for g places (sequences.h); r: its row
 * sums; N: their sum. Of a row of M the KEPT largest. E = V sqrt(S), each row at length START_SIZE.
 * Items that start so need a third of the passes of random ones. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../math/svd.h"
#include "neighbours.h"
#include "sequence_train.h"

enum { KEPT = 300, WINDOW = 50 };
static const double DECAY = .8, POWER = -.75, START_SIZE = .32, SPREAD = .02;

typedef struct Start {
    OrderedPairs pairs;
    const Model *model;
    double *share; /* items: r^-.75, first r */
    double root;   /* sqrt(N) */
    double **sum;  /* per worker: items */
    int32_t **touched;
    Scored **list;
    NeighbourRows rows;
    _Atomic int failed;
} Start;

static void sums_piece(void *context, int64_t piece, int worker) {
    const Start *s = context;
    (void)worker;
    for (int32_t i = neighbour_from(piece); i < neighbour_to(&s->rows, piece); i++) {
        double column;
        ordered_pairs_sums(&s->pairs, i, &s->share[i], &column);
    }
}

static void rows_piece(void *context, int64_t piece, int worker) {
    Start *s = context;
    double *sum = s->sum[worker];
    int32_t *touched = s->touched[worker];
    Scored *list = s->list[worker];
    for (int32_t i = neighbour_from(piece); i < neighbour_to(&s->rows, piece); i++) {
        int32_t n = ordered_pairs_row(&s->pairs, i, 0, sum, touched);
        size_t kept = 0;
        for (int32_t k = 0; k < n; k++) {
            int32_t j = touched[k];
            /* having it again is not having it together */
            if (j != i)
                list[kept++] = (Scored){log1p(sum[j] * s->root * s->share[i] * s->share[j]), j};
            sum[j] = 0;
        }
        if (!neighbour_rows_keep(&s->rows, i, 0, list, kept, KEPT, 0)) s->failed = 1;
    }
}

static Status allocate(Start *s, int threads, Err *err) {
    size_t n = (size_t)s->model->n_items, t = (size_t)threads;
    s->share = mem_array(n, sizeof *s->share);
    s->sum = mem_zeros(t, sizeof *s->sum);
    s->touched = mem_zeros(t, sizeof *s->touched);
    s->list = mem_zeros(t, sizeof *s->list);
    if (!s->share || !s->sum || !s->touched || !s->list) return fail_nomem(err, "the start");
    for (size_t w = 0; w < t; w++) {
        s->sum[w] = mem_zeros(n, sizeof **s->sum);
        s->touched[w] = mem_array(n + 1, sizeof **s->touched);
        s->list[w] = mem_array(n, sizeof **s->list);
        if (!s->sum[w] || !s->touched[w] || !s->list[w]) return fail_nomem(err, "the start");
    }
    return neighbour_rows_init(&s->rows, s->model->n_items, err);
}

static void clear(Start *s, int threads) {
    for (int w = 0; w < threads; w++) {
        if (s->sum) mem_free(s->sum[w]);
        if (s->touched) mem_free(s->touched[w]);
        if (s->list) mem_free(s->list[w]);
    }
    mem_free(s->share);
    mem_free(s->sum);
    mem_free(s->touched);
    mem_free(s->list);
    ordered_pairs_clear(&s->pairs);
    neighbour_rows_clear(&s->rows);
}

static Status fill_matrix(Start *s, Csr *out, Task *task, Err *err) {
    double total = 0;
    task_phase(task, "items that go together", "items", s->model->n_items, 2 * s->rows.n_pieces);
    TRY(task_run(task, s->rows.n_pieces, sums_piece, s, err));
    for (int32_t i = 0; i < s->model->n_items; i++) {
        total += s->share[i];
        s->share[i] = s->share[i] > 0 ? pow(s->share[i], POWER) : 0;
    }
    s->root = sqrt(total);
    TRY(task_run(task, s->rows.n_pieces, rows_piece, s, err));
    if (s->failed) return fail_nomem(err, "the start");
    return neighbour_rows_join(&s->rows, out, NULL, err);
}

/* Column c of v times the root of |matrix v_c|, which is its singular value. */
static Status scale_columns(const Csr *matrix, int32_t d, float *v, Err *err) {
    double *square = mem_zeros((size_t)d, sizeof *square), *row = mem_array((size_t)d, sizeof *row);
    Status status = square && row ? ST_OK : fail_nomem(err, "the start");
    for (int32_t i = 0; i < matrix->n_rows && status == ST_OK; i++) {
        memset(row, 0, (size_t)d * sizeof *row);
        for (int64_t e = matrix->row_start[i]; e < matrix->row_start[i + 1]; e++)
            for (int32_t c = 0; c < d; c++)
                row[c] += (double)matrix->val[e] * (double)v[(int64_t)matrix->col[e] * d + c];
        for (int32_t c = 0; c < d; c++) square[c] += row[c] * row[c];
    }
    for (int64_t i = 0; i < (int64_t)matrix->n_rows * d && status == ST_OK; i++)
        v[i] = (float)((double)v[i] * sqrt(sqrt(square[i % d])));
    mem_free(square);
    mem_free(row);
    return status;
}

/* Each row at its length; what has none is drawn. */
static void scale_rows(float *v, int32_t n, int32_t d, uint64_t seed) {
    for (int32_t i = 0; i < n; i++) {
        float *row = v + (size_t)i * (size_t)d;
        Random random;
        double square = 0;
        for (int32_t c = 0; c < d; c++) square += (double)row[c] * (double)row[c];
        random_init(&random, seed, (uint64_t)i);
        for (int32_t c = 0; c < d; c++)
            row[c] = (float)(square > 1e-20 ? (double)row[c] * START_SIZE / sqrt(square)
                                            : SPREAD * random_normal(&random));
    }
}

Status sequence_start(const Model *model, const Sequences *sequences, int32_t dim, float *vectors,
    Task *task, Err *err) {
    Start s = {.model = model};
    Csr matrix = {0}, turned = {0};
    uint64_t seed = (uint64_t)model->common.seed;
    Status status = ordered_pairs_init(&s.pairs, sequences, DECAY, 1, WINDOW, err);
    if (status == ST_OK) status = allocate(&s, task->threads, err);
    if (status == ST_OK) status = fill_matrix(&s, &matrix, task, err);
    if (status == ST_OK) status = csr_transpose(&turned, &matrix, err);
    memset(vectors, 0, (size_t)model->n_items * (size_t)dim * sizeof *vectors);
    if (status == ST_OK) status = svd_right(&matrix, &turned, dim, 1, seed, task, vectors, err);
    if (status == ST_OK) status = scale_columns(&matrix, dim, vectors, err);
    if (status == ST_OK) scale_rows(vectors, model->n_items, dim, seed);
    csr_clear(&matrix);
    csr_clear(&turned);
    clear(&s, task->threads);
    return status;
}
