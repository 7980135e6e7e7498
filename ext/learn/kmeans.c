/* kmeans: segments around centres (Lloyd 1982), begun by k-means++ (Arthur and Vassilvitskii 2007),
 * the best of several beginnings. A row's score is its squared distance to each centre. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../math/kernels.h"
#include "../math/product.h"
#include "centres.h"
#include "learners.h"

typedef struct KmeansParams {
    int64_t clusters, restarts, sweeps;
    double tolerance;
} KmeansParams;

static const OptSpec kmeans_options[] = {
    {"clusters", OPT_INT, offsetof(KmeansParams, clusters), 1, 1e5, 8, NULL, "how many"},
    {"restarts", OPT_INT, offsetof(KmeansParams, restarts), 1, 1000, 3, NULL,
        "beginnings, of which the best one stays"},
    {"sweeps", OPT_INT, offsetof(KmeansParams, sweeps), 1, 1e6, 300, NULL, "at most so many"},
    {"tolerance", OPT_REAL, offsetof(KmeansParams, tolerance), 0, 1, 1e-4, NULL,
        "it ends where the centres move less, squared, beside the columns' mean variance"},
    {0},
};

enum { PIECE = 1024 };

typedef struct Kmeans {
    const Learning *learning;
    const KmeansParams *params;
    int64_t n;
    int32_t k;
    size_t row;                /* floats of a row */
    float *x;                  /* n x row */
    double *norm;              /* n */
    float *centre;             /* k x row */
    float *turned;             /* row x up16(k) */
    float *half_norm;          /* up16(k): |centre|^2 / 2, infinite behind them */
    int32_t *nearest, *before; /* n: before the sweep */
    double *distance;          /* n: to the nearest, squared */
    /* n each (Hamerly 2010): the distance to the nearest is at most upper, that to any other at
     * least lower, so that rows whose centres cannot have changed are not looked at */
    float *upper, *lower;
    double *step;      /* k: how far each centre has moved since; row k: the largest of them */
    float *half_apart; /* k: half the distance to the next centre */
    double *sum;       /* k x row */
    double *weight;    /* k */
    TaskFailure failure;
} Kmeans;

static void kmeans_clear(Kmeans *m) {
    mem_free(m->x);
    mem_free(m->norm);
    mem_free(m->centre);
    mem_free(m->turned);
    mem_free(m->half_norm);
    mem_free(m->nearest);
    mem_free(m->before);
    mem_free(m->upper);
    mem_free(m->lower);
    mem_free(m->step);
    mem_free(m->half_apart);
    mem_free(m->distance);
    mem_free(m->sum);
    mem_free(m->weight);
}

/* ---- the nearest centre of every row ---- */

/* The largest of n numbers, a multiple of 16: lane by lane, so that it is a few instructions. */
static float largest(const float *x, size_t n) {
    float lane[16];
    for (int l = 0; l < 16; l++) lane[l] = x[l];
    for (size_t c = 16; c < n; c += 16)
        for (int l = 0; l < 16; l++)
            lane[l] = x[c + (size_t)l] > lane[l] ? x[c + (size_t)l] : lane[l];
    for (int half = 8; half; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
    return lane[0];
}

/* The two largest of dot - half_norm, which falls with the distance; ties by number. dot: room. */
static int32_t two_largest(float *dot, const float *half_norm, size_t k16, float two[2]) {
    int32_t at = 0;
    for (size_t c = 0; c < k16; c++) dot[c] -= half_norm[c];
    two[0] = largest(dot, k16);
    while (dot[at] != two[0] && (size_t)at + 1 < k16) at++;
    dot[at] = -INFINITY;
    two[1] = largest(dot, k16);
    return at;
}

/* sqrt(|x|^2 - 2 half) with what float32 may have lost on the way; beyond: upwards, else down. */
static float bound_of(double norm, double half, int beyond) {
    double slack = 1e-5 * (norm + fabs(half)) + 1e-12;
    double square = norm - 2 * half + (beyond ? slack : -slack);
    return (float)(sqrt(square > 0 ? square : 0) * (beyond ? 1.000001 : .999999));
}

/* Which rows of a piece may have another centre than before the last move. */
static int64_t choose_rows(Kmeans *m, int64_t from, int64_t rows, int32_t *chosen) {
    int64_t n = 0;
    for (int64_t i = from; i < from + rows; i++) {
        int32_t own = m->nearest[i];
        m->before[i] = own;
        if (own >= 0) {
            m->upper[i] = (float)((m->upper[i] + m->step[own]) * 1.000001);
            m->lower[i] = (float)((m->lower[i] - m->step[m->k]) * .999999);
            float other = m->lower[i] > m->half_apart[own] ? m->lower[i] : m->half_apart[own];
            if (m->upper[i] < other) continue;
        }
        chosen[n++] = (int32_t)(i - from);
    }
    return n;
}

/* The products of rows with all centres pick the nearest ones. */
static void assign_chosen(Kmeans *m, int64_t from, const int32_t *chosen, int64_t n, float *room) {
    size_t k16 = up16((size_t)m->k);
    float *x = room, *dot = room + (size_t)n * m->row, two[2];
    for (int64_t i = 0; i < n; i++)
        memcpy(
            x + (size_t)i * m->row, m->x + (size_t)(from + chosen[i]) * m->row, m->row * sizeof *x);
    Product product = {.m = (size_t)n,
        .n = k16,
        .k = m->row,
        .a = x,
        .a_row = m->row,
        .a_col = 1,
        .b = m->turned,
        .b_row = k16,
        .c = dot,
        .c_row = k16};
    if (n) product_run(&product);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = from + chosen[i];
        m->nearest[at] = two_largest(dot + (size_t)i * k16, m->half_norm, k16, two);
        m->upper[at] = bound_of(m->norm[at], two[0], 1);
        m->lower[at] = bound_of(m->norm[at], two[1], 0);
    }
}

/* How far a row is from its centre is computed in double. */
static void assign_piece(void *context, int64_t piece, int worker) {
    Kmeans *m = context;
    int64_t from = piece * PIECE, rows = from + PIECE < m->n ? PIECE : m->n - from;
    int32_t chosen[PIECE];
    float *room = mem_array((size_t)rows, (m->row + up16((size_t)m->k)) * sizeof *room);
    Err err = {0};
    (void)worker;
    if (!room) {
        task_failure_note(&m->failure, fail_nomem(&err, "the segments"), &err);
        return;
    }
    assign_chosen(m, from, chosen, choose_rows(m, from, rows, chosen), room);
    for (int64_t i = from; i < from + rows; i++)
        m->distance[i] = kernels()->l2_squared(
            m->x + (size_t)i * m->row, m->centre + (size_t)m->nearest[i] * m->row, m->row);
    mem_free(room);
}

/* Half the way to the nearest other centre: whoever is nearer than that has no nearer one. */
static void measure_centres(Kmeans *m) {
    for (int32_t c = 0; c < m->k; c++) {
        double least = INFINITY;
        for (int32_t o = 0; o < m->k && m->k <= 1000; o++) {
            if (o == c) continue;
            double d = kernels()->l2_squared(
                m->centre + (size_t)c * m->row, m->centre + (size_t)o * m->row, m->row);
            least = d < least ? d : least;
        }
        m->half_apart[c] = m->k > 1000 ? 0 : (float)(sqrt(least) / 2 * .999999);
    }
}

static Status assign(Kmeans *m, Err *err) {
    size_t k16 = up16((size_t)m->k);
    memset(m->turned, 0, m->row * k16 * sizeof *m->turned);
    for (int32_t c = 0; c < m->k; c++) {
        const float *own = m->centre + (size_t)c * m->row;
        m->half_norm[c] = (float)(kernels()->dot(own, own, m->row) / 2);
        for (size_t j = 0; j < m->row; j++) m->turned[j * k16 + (size_t)c] = own[j];
    }
    measure_centres(m);
    int64_t pieces = (m->n + PIECE - 1) / PIECE;
    int little = m->n * (int64_t)m->row * m->k < 2000000;
    return task_failure(
        &m->failure, learn_run(m->learning->task, little, pieces, assign_piece, m, err), err);
}

static double inertia(const Kmeans *m) {
    double sum = 0;
    for (int64_t i = 0; i < m->n; i++) sum += m->learning->labels.weight[i] * m->distance[i];
    return sum;
}

/* ---- beginnings ---- */

/* A row by the chance of its weight times distance. */
static int64_t draw(const Kmeans *m, Random *random, double total) {
    double at = random_uniform(random) * total;
    for (int64_t i = 0; i < m->n; i++) {
        at -= m->learning->labels.weight[i] * m->distance[i];
        if (at < 0) return i;
    }
    return m->n - 1;
}

/* What the inertia would be with row `candidate` as one more centre; distances into near. */
static double potential(const Kmeans *m, int64_t candidate, double *near) {
    const float *centre = m->x + (size_t)candidate * m->row;
    double sum = 0;
    for (int64_t i = 0; i < m->n; i++) {
        double d = kernels()->l2_squared(m->x + (size_t)i * m->row, centre, m->row);
        near[i] = d < m->distance[i] ? d : m->distance[i];
        sum += m->learning->labels.weight[i] * near[i];
    }
    return sum;
}

/* Greedy k-means++: of 2 + ln k draws the one that leaves the least. */
static Status begin(Kmeans *m, uint64_t restart, Err *err) {
    double *near = mem_array((size_t)m->n, 2 * sizeof *near), *best = near + m->n, total, all = 0;
    int tries = 2 + (int)log((double)m->k);
    Random random;
    if (!near) return fail_nomem(err, "the segments");
    random_init(&random, m->learning->seed, restart);
    for (int64_t i = 0; i < m->n; i++) m->distance[i] = 1;
    for (int64_t i = 0; i < m->n; i++) all += m->learning->labels.weight[i];
    int64_t first = draw(m, &random, all);
    for (int64_t i = 0; i < m->n; i++) m->distance[i] = INFINITY;
    total = potential(m, first, near);
    memcpy(m->distance, near, (size_t)m->n * sizeof *near);
    memcpy(m->centre, m->x + (size_t)first * m->row, m->row * sizeof *m->x);
    for (int32_t c = 1; c < m->k && !task_cancelled(m->learning->task); c++) {
        double least = INFINITY;
        int64_t chosen = 0;
        for (int t = 0; t < tries; t++) {
            int64_t candidate = draw(m, &random, total);
            double left = potential(m, candidate, near);
            if (!(left < least)) continue;
            least = left;
            chosen = candidate;
            memcpy(best, near, (size_t)m->n * sizeof *near);
        }
        total = least;
        memcpy(m->distance, best, (size_t)m->n * sizeof *best);
        memcpy(
            m->centre + (size_t)c * m->row, m->x + (size_t)chosen * m->row, m->row * sizeof *m->x);
        task_poll(m->learning->task);
    }
    mem_free(near);
    return task_poll(m->learning->task) ? fail(err, ST_CANCELLED, "interrupted") : ST_OK;
}

/* ---- sweeps ---- */

static int64_t farthest(const Kmeans *m) {
    int64_t best = 0;
    for (int64_t i = 1; i < m->n; i++)
        if (m->distance[i] > m->distance[best]) best = i;
    return best;
}

/* Sums of the rows of each centre; of a sweep after the first only rows that have changed theirs
 * are moved, and every 32nd one is summed anew. */
static void sum_rows(Kmeans *m, int64_t sweep) {
    int anew = sweep % 32 == 1;
    if (anew) {
        memset(m->sum, 0, (size_t)m->k * m->row * sizeof *m->sum);
        memset(m->weight, 0, (size_t)m->k * sizeof *m->weight);
    }
    for (int64_t i = 0; i < m->n; i++) {
        int32_t now = m->nearest[i], before = m->before[i];
        double w = m->learning->labels.weight[i];
        const float *x = m->x + (size_t)i * m->row;
        if (!anew && now == before) continue;
        double *sum = m->sum + (size_t)now * m->row;
        m->weight[now] += w;
        for (size_t j = 0; j < m->row; j++) sum[j] += w * x[j];
        if (anew) continue;
        sum = m->sum + (size_t)before * m->row;
        m->weight[before] -= w;
        for (size_t j = 0; j < m->row; j++) sum[j] -= w * x[j];
    }
}

/* Has it rows? Weights that are taken away again leave what rounding leaves. */
static int has_rows(const Kmeans *m, int32_t centre) {
    if (m->weight[centre] > 1e-9) return 1;
    for (int64_t i = 0; i < m->n; i++)
        if (m->nearest[i] == centre) return 1;
    return 0;
}

/* Centres become the means of their rows; an empty one the row that is farthest from its own. Gives
 * the sum of the squared moves. */
static double move_centres(Kmeans *m, int64_t sweep) {
    double moved = 0;
    sum_rows(m, sweep);
    m->step[m->k] = 0;
    for (int32_t c = 0; c < m->k; c++) {
        float *centre = m->centre + (size_t)c * m->row;
        int64_t far = has_rows(m, c) ? -1 : farthest(m);
        double square = 0;
        for (size_t j = 0; j < m->row; j++) {
            float next = far < 0 ? (float)(m->sum[(size_t)c * m->row + j] / m->weight[c])
                                 : m->x[(size_t)far * m->row + j];
            double step = (double)next - centre[j];
            square += step * step;
            centre[j] = next;
        }
        if (far >= 0) m->distance[far] = 0;
        m->step[c] = sqrt(square) * 1.000001;
        m->step[m->k] = fmax(m->step[m->k], m->step[c]);
        moved += square;
    }
    return moved;
}

/* The mean variance of the columns. */
static double mean_variance(const Kmeans *m) {
    double sum = 0;
    int32_t dim = m->learning->design->dim;
    for (int32_t j = 0; j < dim; j++) {
        double s = 0, q = 0;
        for (int64_t i = 0; i < m->n; i++) {
            double x = m->x[(size_t)i * m->row + (size_t)j];
            s += x, q += x * x;
        }
        sum += fmax(q / (double)m->n - s / (double)m->n * (s / (double)m->n), 0);
    }
    return sum / dim;
}

static Status run(Kmeans *m, uint64_t restart, double tolerance, double *value, Err *err) {
    TRY(begin(m, restart, err));
    for (int64_t i = 0; i < m->n; i++) m->nearest[i] = -1; /* nothing is known */
    for (int64_t sweep = 1; sweep <= m->params->sweeps; sweep++) {
        TRY(assign(m, err));
        if (restart == 0) TRY(learn_log_add(m->learning->log, (double)sweep, inertia(m), NAN, err));
        if (move_centres(m, sweep) <= tolerance) break;
    }
    TRY(assign(m, err));
    *value = inertia(m);
    return ST_OK;
}

static Status prepare(Kmeans *m, Err *err) {
    size_t n = (size_t)m->n, k = (size_t)m->k;
    TRY(design_matrix(m->learning->design, &m->x, err));
    m->centre = mem_zeros(k, m->row * sizeof *m->centre);
    m->turned = mem_zeros(m->row, up16(k) * sizeof *m->turned);
    m->half_norm = mem_zeros(up16(k), sizeof *m->half_norm);
    for (size_t c = k; m->half_norm && c < up16(k); c++) m->half_norm[c] = INFINITY;
    m->nearest = mem_zeros(n, sizeof *m->nearest);
    m->before = mem_zeros(n, sizeof *m->before);
    m->upper = mem_zeros(n, sizeof *m->upper);
    m->lower = mem_zeros(n, sizeof *m->lower);
    m->norm = mem_array(n, sizeof *m->norm);
    m->step = mem_zeros(k + 1, sizeof *m->step);
    m->half_apart = mem_zeros(k, sizeof *m->half_apart);
    m->distance = mem_zeros(n, sizeof *m->distance);
    m->sum = mem_zeros(k, m->row * sizeof *m->sum);
    m->weight = mem_zeros(k, sizeof *m->weight);
    if (!m->centre || !m->turned || !m->half_norm || !m->nearest || !m->before || !m->upper ||
        !m->lower || !m->norm || !m->step || !m->half_apart || !m->distance || !m->sum ||
        !m->weight)
        return fail_nomem(err, "the segments");
    for (size_t i = 0; i < n; i++) {
        const float *x = m->x + i * m->row;
        m->norm[i] = kernels()->dot(x, x, m->row);
    }
    return ST_OK;
}

static Status train(Kmeans *m, Points *out, Err *err) {
    double least = INFINITY, value, tolerance = m->params->tolerance * mean_variance(m);
    int64_t restarts = m->params->restarts;
    task_phase(m->learning->task, "segmenting", "beginnings", restarts, restarts);
    for (int64_t r = 0; r < restarts; r++) {
        TRY(run(m, (uint64_t)r, tolerance, &value, err));
        atomic_store(&m->learning->task->done, r + 1);
        if (!(value < least)) continue;
        least = value;
        points_clear(out);
        TRY(points_init(out, m->centre, m->k, m->learning->design->dim, err));
    }
    return ST_OK;
}

static Status kmeans_train(const Learning *learning, void **out, Err *err) {
    const KmeansParams *params = learning->params;
    Kmeans m = {.learning = learning,
        .params = params,
        .n = learning->design->n,
        .k = (int32_t)params->clusters,
        .row = up16((size_t)learning->design->dim)};
    if (params->clusters > learning->design->n)
        return fail(err, ST_BADARG, "clusters=%d of %lld examples", (int)m.k,
            (long long)learning->design->n);
    Points *points = *out = mem_zeros(1, sizeof *points);
    Status status = points ? prepare(&m, err) : fail_nomem(err, "the segments");
    if (status == ST_OK) status = train(&m, points, err);
    kmeans_clear(&m);
    return status;
}

/* ---- asking ---- */

static void kmeans_score(const void *state, const DesignRow *row, double *out) {
    const Points *points = state;
    double norm = design_row_norm(row);
    for (int32_t c = 0; c < points->n; c++) out[c] = points_distance(points, c, row, norm);
}

static int32_t kmeans_scores(const void *state) { return ((const Points *)state)->n; }

static Status kmeans_graph(const void *state, OnnxGraph *g, Err *err) {
    return points_graph(state, g, "scores", err);
}

static void kmeans_write(const void *state, Bytes *out) { points_write(state, out); }

static Status kmeans_read(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err) {
    Points *points = *state = mem_zeros(1, sizeof *points);
    (void)n_dense;
    if (!points) return fail_nomem(err, "the segments");
    TRY(points_read(points, dim, in, err));
    return points->n ? ST_OK : fail(err, ST_CORRUPT, "there are no segments");
}

static void kmeans_free(void *state) {
    if (state) points_clear(state);
    mem_free(state);
}

static size_t kmeans_memory(const void *state) { return points_memory(state); }

const Learner kmeans_learner = {
    .name = "kmeans",
    .summary = "segments around centres",
    .tasks = 1u << LEARN_SEGMENTS,
    .options = kmeans_options,
    .params_size = sizeof(KmeansParams),
    .train = kmeans_train,
    .score = kmeans_score,
    .n_scores = kmeans_scores,
    .graph = kmeans_graph,
    .write = kmeans_write,
    .read = kmeans_read,
    .free_state = kmeans_free,
    .memory = kmeans_memory,
};
