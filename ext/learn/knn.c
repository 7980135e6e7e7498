/* knn: the nearest examples answer (Cover and Hart 1967): the share of each class among them, or
 * the mean of their numbers; by distance each weighs its inverse, and where one is at the same
 * place it and its like alone. O(examples * columns) a row. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../base/memory.h"
#include "centres.h"
#include "learners.h"

typedef struct KnnParams {
    int64_t neighbours, by_distance;
} KnnParams;
enum { MOST_NEIGHBOURS = 1000 };

static const OptSpec knn_options[] = {
    {"neighbours", OPT_INT, offsetof(KnnParams, neighbours), 1, MOST_NEIGHBOURS, 5, NULL,
        "that answer"},
    {"by_distance", OPT_FLAG, offsetof(KnnParams, by_distance), 0, 0, 0, NULL,
        "near ones count more"},
    {0},
};

typedef struct Knn {
    KnnParams params;
    Points points;
    int32_t n_scores, n_classes; /* n_classes 0: numbers */
    double *label;               /* a class's number, or the number */
    double *weight;
} Knn;

static void knn_free(void *state) {
    Knn *knn = state;
    if (!knn) return;
    points_clear(&knn->points);
    mem_free(knn->label);
    mem_free(knn->weight);
    mem_free(knn);
}

static Status knn_train(const Learning *learning, void **out, Err *err) {
    const Labels *labels = &learning->labels;
    size_t n = (size_t)learning->design->n;
    float *x = NULL;
    Knn *knn = *out = mem_zeros(1, sizeof *knn);
    if (!knn) return fail_nomem(err, "the neighbours");
    knn->params = *(const KnnParams *)learning->params;
    knn->n_classes = labels->n_classes;
    knn->n_scores = labels_scores(labels);
    if (knn->params.neighbours > (int64_t)n) knn->params.neighbours = (int64_t)n;
    knn->label = mem_array(n, sizeof *knn->label);
    knn->weight = mem_array(n, sizeof *knn->weight);
    if (!knn->label || !knn->weight) return fail_nomem(err, "the neighbours");
    for (size_t i = 0; i < n; i++) {
        knn->label[i] = labels->task == LEARN_CLASSES ? labels->class_of[i] : labels->value[i];
        knn->weight[i] = labels->weight[i];
    }
    TRY(design_matrix(learning->design, &x, err));
    Status status = points_init(
        &knn->points, x, (int32_t)learning->design->n, learning->design->dim, err);
    mem_free(x);
    return status;
}

typedef struct Near {
    double distance;
    int32_t id;
} Near;

/* The nearest ones, ties by id: they come in its order. */
static int64_t find(const Knn *knn, const DesignRow *row, Near *near) {
    int64_t n = 0, most = knn->params.neighbours;
    double norm = design_row_norm(row);
    for (int32_t i = 0; i < knn->points.n; i++) {
        double d = points_distance(&knn->points, i, row, norm);
        if (n == most && !(d < near[n - 1].distance)) continue;
        int64_t at = n < most ? n++ : n - 1;
        for (; at > 0 && d < near[at - 1].distance; at--) near[at] = near[at - 1];
        near[at] = (Near){d, i};
    }
    return n;
}

static void knn_score(const void *state, const DesignRow *row, double *out) {
    const Knn *knn = state;
    Near near[MOST_NEIGHBOURS];
    int64_t n = find(knn, row, near);
    int here = knn->params.by_distance && n && near[0].distance == 0;
    double all = 0;
    for (int32_t s = 0; s < knn->n_scores; s++) out[s] = 0;
    for (int64_t i = 0; i < n; i++) {
        double w = knn->weight[near[i].id], y = knn->label[near[i].id];
        if (here) w *= near[i].distance == 0;
        else if (knn->params.by_distance) w /= sqrt(near[i].distance);
        all += w;
        if (!knn->n_classes || knn->n_classes == 2) *out += w * y;
        else out[(int32_t)y] += w;
    }
    for (int32_t s = 0; s < knn->n_scores && all > 0; s++) out[s] /= all;
}

static int32_t knn_scores(const void *state) { return ((const Knn *)state)->n_scores; }

static void knn_write(const void *state, Bytes *out) {
    const Knn *knn = state;
    options_write(knn_options, &knn->params, out);
    bytes_u32(out, (uint32_t)knn->n_classes);
    points_write(&knn->points, out);
    for (int32_t i = 0; i < knn->points.n; i++) bytes_f64(out, knn->label[i]);
    for (int32_t i = 0; i < knn->points.n; i++) bytes_f64(out, knn->weight[i]);
}

static Status knn_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err) {
    Knn *knn = *state = mem_zeros(1, sizeof *knn);
    (void)n_dense;
    if (!knn) return fail_nomem(err, "the neighbours");
    TRY(options_read(knn_options, &knn->params, in, err));
    uint32_t classes = read_u32(in);
    if (in->failed || classes > 10000) return fail(err, ST_CORRUPT, "the neighbours are damaged");
    knn->n_classes = (int32_t)classes;
    knn->n_scores = classes > 2 ? (int32_t)classes : 1;
    TRY(points_read(&knn->points, dim, in, err));
    size_t n = (size_t)knn->points.n;
    const void *numbers = read_block(in, n, 2 * sizeof(double));
    if (!numbers) return fail(err, ST_CORRUPT, "the neighbours are cut short");
    knn->label = mem_array(n, sizeof *knn->label);
    knn->weight = mem_array(n, sizeof *knn->weight);
    if (!knn->label || !knn->weight) return fail_nomem(err, "the neighbours");
    memcpy(knn->label, numbers, n * sizeof *knn->label);
    memcpy(knn->weight, (const char *)numbers + n * sizeof(double), n * sizeof *knn->weight);
    for (size_t i = 0; i < n && classes; i++)
        if (!(knn->label[i] >= 0 && knn->label[i] < classes))
            return fail(err, ST_CORRUPT, "the neighbours are damaged");
    return ST_OK;
}

static size_t knn_memory(const void *state) {
    const Knn *knn = state;
    return points_memory(&knn->points) + (size_t)knn->points.n * 2 * sizeof(double);
}

const Learner knn_learner = {
    .name = "knn",
    .summary = "the nearest examples answer",
    .tasks = 1u << LEARN_NUMBER | 1u << LEARN_CLASSES,
    .gives_probabilities = 1,
    .options = knn_options,
    .params_size = sizeof(KnnParams),
    .space = "{\"neighbours\":{\"min\":1,\"max\":100,\"log\":true},\"by_distance\":[true,false]}",
    .train = knn_train,
    .score = knn_score,
    .n_scores = knn_scores,
    .write = knn_write,
    .read = knn_read,
    .free_state = knn_free,
    .memory = knn_memory,
};
