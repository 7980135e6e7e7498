#include "cost.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "examples.h"

/* ---- this machine ---- */

enum { SIDE = 256, VECTOR = 64, PLACES = 1 << 16, STEPS = 1 << 18, ROUNDS = 7 };

typedef struct Probe {
    float *a, *b, *c; /* SIDE x SIDE */
    double *place;    /* PLACES: half a MiB, as the sums of a row of a catalogue */
    int32_t *at;      /* STEPS */
    double sum;       /* so that nothing is left out */
} Probe;

static void probe_product(Probe *p) {
    dense_multiply(&(DenseProduct){.m = SIDE,
        .n = SIDE,
        .k = SIDE,
        .alpha = 1,
        .c = p->c,
        .c_row = SIDE,
        .a = p->a,
        .a_row = SIDE,
        .b = p->b,
        .b_row = SIDE});
}

static void probe_vector(Probe *p) {
    for (size_t i = 0; i + VECTOR <= (size_t)SIDE * SIDE; i += VECTOR)
        p->sum += kernels()->dot(p->a + i, p->b + i, VECTOR);
}

static void probe_scatter(Probe *p) {
    for (size_t i = 0; i < STEPS; i++) p->place[p->at[i]] += 1;
}

/* The least of some rounds: what else runs here makes a round longer, never shorter. */
static double least_seconds(Probe *p, void (*work)(Probe *)) {
    double least = INFINITY;
    work(p); /* into the caches */
    for (int round = 0; round < ROUNDS; round++) {
        double began = task_clock();
        work(p);
        least = fmin(least, task_clock() - began);
    }
    return least;
}

static void probe_all(Probe *p, Pace *out) {
    uint32_t at = 1;
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++) p->a[i] = p->b[i] = 1;
    for (size_t i = 0; i < STEPS; i++) {
        at = at * 1664525 + 1013904223; /* Numerical Recipes' generator, for places */
        p->at[i] = (int32_t)(at >> 16 & (PLACES - 1));
    }
    out->product = least_seconds(p, probe_product) / ((double)SIDE * SIDE * SIDE);
    out->vector = least_seconds(p, probe_vector) / ((double)SIDE * SIDE);
    out->scatter = least_seconds(p, probe_scatter) / STEPS;
}

Status pace_measure(Pace *out, Err *err) {
    size_t square = (size_t)SIDE * SIDE;
    Probe p = {mem_aligned(square, sizeof(float)), mem_aligned(square, sizeof(float)),
        mem_aligned(square, sizeof(float)), mem_zeros(PLACES, sizeof(double)),
        mem_array(STEPS, sizeof(int32_t)), 0};
    Status status = p.a && p.b && p.c && p.place && p.at ? dense_begin(1, err)
                                                         : fail_nomem(err, "a measurement");
    if (status == ST_OK) {
        probe_all(&p, out);
        dense_end();
    }
    mem_free(p.a);
    mem_free(p.b);
    mem_free(p.c);
    mem_free(p.place);
    mem_free(p.at);
    return status;
}

/* ---- a training ---- */

static double n_pairs(const Dataset *data) { return (double)csr_nnz(&data->by_user); }

void cost_of(const CostAsk *ask, Cost *out) {
    double items = ask->data->by_user.n_cols, pairs = n_pairs(ask->data);
    out->alone += pairs + 20 * items; /* popularity and its order */
    out->bytes += 24 * items;
    out->stored += 14 * items + 2000; /* keys, popularity, what it was trained on */
    if (ask->algorithm->cost) ask->algorithm->cost(ask, out);
}

double cost_seconds(const Cost *cost, const Pace *pace, int threads) {
    double shared = cost->product * pace->product + cost->vector * pace->vector +
        cost->scatter * pace->scatter;
    int cores = task_default_threads(); /* more threads than these wait for one another */
    return shared / (threads < cores ? threads : cores) + cost->alone * pace->scatter;
}

/* An event is 32 bytes. They grow by a half at a time (a copy of both while they do), and are
 * sorted into a copy; then pairs are made of them, and the order, where it counts. */
double cost_reading_bytes(const Dataset *data, double events) {
    double keys = (double)(keymap_memory(data->users) +
        (data->items ? keymap_memory(data->items) : 0));
    return events * (data->visit ? 96 : 64) + 2 * keys;
}

double cost_data_bytes(const Dataset *data) {
    double visits = data->visit ? (double)data->visit_start[data->by_user.n_rows] : 0;
    return 24 * n_pairs(data) + 16 * visits + (double)keymap_memory(data->users) +
        8.0 * ((double)data->by_user.n_rows + data->by_user.n_cols) +
        4.0 * data->vector_dim * data->by_user.n_cols;
}

/* ---- for the algorithms ---- */

double cost_squares(const Csr *matrix) {
    double sum = 0;
    for (int32_t r = 0; r < matrix->n_rows; r++) {
        double n = (double)csr_row_len(matrix, r);
        sum += n * n;
    }
    return sum;
}

/* One user's: visits are in the order of time, those of one time share a place. */
static void add_places(PlacesCost *sum, const Visit *visit, int64_t n, int64_t window) {
    int64_t first = 0, last = 0; /* of the window before the place that begins at `at` */
    for (int64_t at = 0, to, place = 0; at < n; at = to, place++) {
        for (to = at; to < n && visit[to].time == visit[at].time; to++) {}
        if (place > window) { /* the earliest place of the window goes */
            double gone = visit[first].time;
            while (visit[first].time == gone) first++;
        }
        last = at;
        double here = (double)(to - at), seen = (double)(last - first);
        sum->places++;
        sum->seen += seen;
        sum->pairs += here * seen + here * (here - 1) / 2;
        sum->squares += seen * seen;
    }
}

PlacesCost cost_places(const Dataset *data, int64_t window) {
    PlacesCost sum = {0};
    for (int32_t u = 0; data->visit && u < data->by_user.n_rows; u++)
        add_places(&sum, data->visit + data->visit_start[u],
            data->visit_start[u + 1] - data->visit_start[u], window);
    return sum;
}

void cost_svd(Cost *out, double entries, double rows, double columns, double k) {
    double wide = k + 32, products = 13;
    out->vector += products * entries * wide;
    /* bases are made orthogonal between the products: a Gram matrix and a division each */
    out->product += products * (rows + columns) / 2 * wide * wide;
    out->bytes += 4 * (rows + 2 * columns) * (k + 48);
}

void cost_neighbours(Cost *out, const CostAsk *ask, double k, double additions) {
    const Csr *by_item = &ask->data->by_item;
    double items = by_item->n_rows, touched = 0, kept = 0;
    double all = cost_squares(&ask->data->by_user), share = all > 0 ? additions / all : 0;
    for (int32_t i = 0; i < by_item->n_rows; i++) {
        double met = 0;
        for (int64_t e = by_item->row_start[i]; e < by_item->row_start[i + 1]; e++)
            met += (double)csr_row_len(&ask->data->by_user, by_item->col[e]);
        /* that many draws of all items find so many different ones */
        double different = items * (1 - exp(-met * share / items));
        touched += different;
        kept += fmin(k, different);
    }
    out->scatter += 20 * touched; /* a score for each, and the best of them */
    out->bytes += 20 * kept + ask->threads * 32.0 * items;
    out->stored += 8 * kept;
}

ExamplesCost cost_examples(const CostAsk *ask, const ExampleParams *params) {
    const Csr *by_user = &ask->data->by_user;
    double squares = cost_squares(by_user);
    ExamplesCost self = {by_user->n_rows, n_pairs(ask->data), squares, squares};
    PlacesCost places = cost_places(ask->data, params->window);
    ExamplesCost next = {places.places, places.seen, places.squares, places.pairs};
    if (params->target == TARGET_NEXT) return next;
    if (params->target == TARGET_SELF) return self;
    return (ExamplesCost){self.rows + next.rows, self.entries + next.entries,
        self.squares + next.squares, self.products + next.products};
}

void cost_user_rows(Cost *out, const CostAsk *ask) {
    double pairs = n_pairs(ask->data);
    out->bytes += 24 * pairs;
    out->stored += 8 * pairs + 8.0 * ask->data->by_user.n_rows;
}

void cost_factors(Cost *out, const CostAsk *ask, double d) {
    double numbers = d * ask->data->by_user.n_cols;
    out->bytes += 6 * numbers; /* and codes of a byte for the exact index */
    out->stored += 4 * numbers;
}
