/* neural_network: a feed-forward network with tables of categories and terms (network.h), by Adam
 * over batches (Kingma and Ba 2015), with weight decay (Loshchilov and Hutter 2019), stopped by the
 * examples that judge; numbers are standardised meanwhile.
 *
 * A batch is two rounds of work: rows (forward, losses, back), then weights (gradients, a step of
 * Adam), each weight's gradient summed over the batch in its order: threads do not matter. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "../nn/adam.h"
#include "../nn/layers.h"
#include "learners.h"
#include "losses.h"
#include "network.h"
#include "patience.h"

typedef struct NetworkParams {
    char hidden[64];
    int64_t embedding, epochs, batch, patience, weights;
    double rate, l2;
} NetworkParams;

static const OptSpec network_options[] = {
    {"hidden", OPT_TEXT, offsetof(NetworkParams, hidden), 0, 64, 0, "64",
        "widths of the hidden layers, 1 to 4 of up to 1024: '128,64'"},
    {"embedding", OPT_INT, offsetof(NetworkParams, embedding), 1, NETWORK_EMBEDDING, 8, NULL,
        "numbers that a category or a term is turned into"},
    {"epochs", OPT_INT, offsetof(NetworkParams, epochs), 1, 1e6, 30, NULL,
        "how often the examples are gone through at most"},
    {"batch", OPT_INT, offsetof(NetworkParams, batch), 0, 65536, 0, NULL,
        "examples of a step; 0: a fiftieth of them, 8 to 128"},
    {"rate", OPT_REAL, offsetof(NetworkParams, rate), 1e-9, 10, .003, NULL,
        "of Adam; it falls to 0 at the end of the epochs"},
    {"l2", OPT_REAL, offsetof(NetworkParams, l2), 0, 10, .01, NULL,
        "what weights lose at each step, times the rate"},
    {"patience", OPT_INT, offsetof(NetworkParams, patience), 0, 1e6, 5, NULL,
        "stop after so many epochs in which the examples that judge did not get better, and keep "
        "the best; 0: never"},
    WEIGHTS_OPTION(NetworkParams),
    {0},
};

enum { ROWS = 16, INPUTS = 32 }; /* of a piece of work */

/* A piece of the second round: inputs of a layer (from == -1: its biases), or a table. */
typedef struct Piece {
    int32_t layer, block;
    int32_t from, to;
} Piece;

typedef struct Fitting {
    const Learning *learning;
    const NetworkParams *params;
    Network *net;
    LearningLabels labels;
    LossKind loss;
    double mean_weight;
    int64_t *order; /* n */
    /* the batch */
    const int64_t *row; /* rows of it */
    int64_t rows;
    float *x;                                         /* batch x inputs */
    float *a[NETWORK_LAYERS], *delta[NETWORK_LAYERS]; /* batch x network_row(layer) */
    float *delta_x;                                   /* batch x embedded */
    float *transposed[NETWORK_LAYERS];                /* of the weights */
    double *batch_loss;                               /* a piece */
    double *score;                                    /* a piece: n_scores */
    int32_t embedded;                                 /* up16 of the inputs that tables give */
    /* Adam */
    float *first, *second, *gradient; /* n_numbers; gradient: of tables alone */
    int32_t *last;                    /* the step that a table's row was last in, by its column */
    float *room;                      /* threads x INPUTS x NETWORK_WIDTH or more */
    size_t room_row;
    int32_t *touched; /* dim */
    Piece *piece;
    int64_t n_pieces;
    AdamStep step;
    float *best;
    Patience patience;
    double *slice_loss;
} Fitting;

static int64_t batch_of(const Fitting *f) {
    int64_t share = f->learning->design->n / 50;
    if (f->params->batch) return f->params->batch;
    return share < 8 ? 8 : share > 128 ? 128 : share;
}

/* ---- the first round: rows ---- */

static void forward(const Fitting *f, int64_t from, int64_t rows) {
    const Network *net = f->net;
    const float *in = f->x + from * net->inputs;
    int32_t in_row = net->inputs;
    for (int32_t l = 0; l < net->n_layers; l++) {
        int32_t width = network_row(net, l);
        float *out = f->a[l] + from * width;
        for (int64_t r = 0; r < rows; r++)
            memcpy(out + r * width, network_bias(net, l), (size_t)width * sizeof *out);
        Product product = {.m = (size_t)rows,
            .n = (size_t)width,
            .k = (size_t)net->width[l],
            .a = in,
            .a_row = (size_t)in_row,
            .a_col = 1,
            .b = net->number + net->layer_at[l],
            .b_row = (size_t)width,
            .c = out,
            .c_row = (size_t)width,
            .add = 1};
        if (product.k) product_run(&product);
        for (int64_t i = 0; i < rows * width && l + 1 < net->n_layers; i++)
            out[i] = out[i] > 0 ? out[i] : 0;
        in = out;
        in_row = width;
    }
}

/* The last layer's derivatives, of each row's share of the batch. */
static double lose(const Fitting *f, int64_t from, int64_t rows, double *score) {
    const Network *net = f->net;
    int32_t last = net->n_layers - 1, width = network_row(net, last);
    double sum = 0;
    for (int64_t r = from; r < from + rows; r++) {
        double w = f->labels.own.labels.weight[f->row[r]] / (f->mean_weight * (double)f->rows);
        float *delta = f->delta[last] + r * width;
        for (int32_t s = 0; s < net->n_scores; s++) score[s] = f->a[last][r * width + s];
        sum += w * loss_of_row(f->loss, &f->labels.own.labels, f->row[r], score, net->n_scores);
        memset(delta, 0, (size_t)width * sizeof *delta);
        for (int32_t s = 0; s < net->n_scores; s++) delta[s] = (float)(w * score[s]);
    }
    return sum;
}

/* out = delta of a layer times its transposed weights. */
static void pull(
    const Fitting *f, int32_t layer, int64_t from, int64_t rows, float *out, int32_t out_row) {
    int32_t width = network_row(f->net, layer);
    Product product = {.m = (size_t)rows,
        .n = (size_t)out_row,
        .k = (size_t)f->net->width[layer + 1],
        .a = f->delta[layer] + from * width,
        .a_row = (size_t)width,
        .a_col = 1,
        .b = f->transposed[layer],
        .b_row = (size_t)out_row,
        .c = out + from * out_row,
        .c_row = (size_t)out_row};
    product_run(&product);
}

static void back(const Fitting *f, int64_t from, int64_t rows) {
    for (int32_t l = f->net->n_layers - 1; l > 0; l--) {
        int32_t width = network_row(f->net, l - 1);
        float *delta = f->delta[l - 1];
        pull(f, l, from, rows, delta, width);
        for (int64_t i = from * width; i < (from + rows) * width; i++)
            if (!(f->a[l - 1][i] > 0)) delta[i] = 0;
    }
    if (f->embedded) pull(f, 0, from, rows, f->delta_x, f->embedded);
}

static void row_work(void *context, int64_t piece, int worker) {
    Fitting *f = context;
    const Network *net = f->net;
    int64_t from = piece * ROWS, rows = f->rows - from < ROWS ? f->rows - from : ROWS;
    (void)worker;
    for (int64_t r = from; r < from + rows; r++) {
        DesignRow row = design_row(f->learning->design, f->row[r]);
        float *x = f->x + r * net->inputs;
        memcpy(x, row.dense, (size_t)net->n_dense * sizeof *x);
        for (int32_t b = 0; b < net->n_blocks; b++)
            network_embed(net, &net->block[b], &row, x + net->block[b].input);
    }
    forward(f, from, rows);
    f->batch_loss[piece] = lose(f, from, rows, f->score + piece * net->n_scores);
    back(f, from, rows);
}

/* ---- the second round: weights ---- */

static void move(const Fitting *f, int64_t at, const float *gradient, size_t n, int shrinks) {
    float *x = f->net->number + at;
    float keep = fmaxf(0, 1 - (float)f->params->l2 * f->step.rate);
    for (size_t i = 0; i < n && shrinks; i++) x[i] *= keep;
    adam_update(&f->step, x, f->first + at, f->second + at, gradient, n);
}

static void layer_work(const Fitting *f, const Piece *piece, float *room) {
    const Network *net = f->net;
    int32_t l = piece->layer, width = network_row(net, l);
    int32_t in_row = l ? network_row(net, l - 1) : net->inputs;
    if (piece->from < 0) {
        memset(room, 0, (size_t)width * sizeof *room);
        rows_sum(room, f->delta[l], (size_t)f->rows, (size_t)width);
        move(f, network_bias(net, l) - net->number, room, (size_t)width, 0);
        return;
    }
    Product product = {.m = (size_t)(piece->to - piece->from),
        .n = (size_t)width,
        .k = (size_t)f->rows,
        .a = (l ? f->a[l - 1] : f->x) + piece->from,
        .a_row = 1,
        .a_col = (size_t)in_row,
        .b = f->delta[l],
        .b_row = (size_t)width,
        .c = room,
        .c_row = (size_t)width};
    product_run(&product);
    move(f, net->layer_at[l] + (int64_t)piece->from * width, room, product.m * (size_t)width, 1);
}

/* Of a table the rows that the batch has. */
static void table_work(const Fitting *f, const NetworkBlock *block) {
    int32_t *touched = f->touched + block->first - f->net->n_dense, n_touched = 0;
    const int32_t size = block->size, place = block->input - f->net->n_dense;
    for (int64_t r = 0; r < f->rows; r++) {
        DesignRow row = design_row(f->learning->design, f->row[r]);
        int64_t n, from = design_row_range(&row, block->first, block->columns, &n);
        for (int64_t e = from; e < from + n; e++) {
            int32_t column = row.col[e] - block->first;
            int64_t at = block->at + (int64_t)column * size;
            int32_t *last = &f->last[row.col[e] - f->net->n_dense];
            if (*last != (int32_t)f->step.step) {
                adam_catch_up(&f->step, last, f->net->number + at, f->first + at, f->second + at,
                    (size_t)size);
                *last = (int32_t)f->step.step;
                touched[n_touched++] = column;
            }
            for (int32_t k = 0; k < size; k++)
                f->gradient[at + k] += row.val[e] * f->delta_x[r * f->embedded + place + k];
        }
    }
    for (int32_t t = 0; t < n_touched; t++) {
        int64_t at = block->at + (int64_t)touched[t] * size;
        move(f, at, f->gradient + at, (size_t)size, 1);
        memset(f->gradient + at, 0, (size_t)size * sizeof *f->gradient);
    }
}

static void weight_work(void *context, int64_t at, int worker) {
    Fitting *f = context;
    const Piece *piece = &f->piece[at];
    if (piece->block >= 0) table_work(f, &f->net->block[piece->block]);
    else layer_work(f, piece, f->room + (size_t)worker * f->room_row);
}

/* ---- epochs ---- */

static void transpose_weights(const Fitting *f) {
    const Network *net = f->net;
    for (int32_t l = 0; l < net->n_layers; l++) {
        size_t width = (size_t)network_row(net, l), from = l ? 0 : (size_t)net->n_dense;
        size_t out_row = l ? (size_t)network_row(net, l - 1) : (size_t)f->embedded;
        if (!out_row) continue;
        transpose_into(f->transposed[l], out_row, net->number + net->layer_at[l] + from * width,
            width, (size_t)net->width[l] - from, (size_t)net->width[l + 1]);
    }
}

static Status run_batch(Fitting *f, double *loss, Err *err) {
    Task *task = f->learning->task;
    int64_t pieces = (f->rows + ROWS - 1) / ROWS;
    int is_little = f->rows * (f->net->n_numbers - f->net->layer_at[0]) < 2000000;
    transpose_weights(f);
    TRY(learn_run(task, is_little, pieces, row_work, f, err));
    TRY(learn_run(task, is_little, f->n_pieces, weight_work, f, err));
    for (int64_t p = 0; p < pieces; p++) *loss += f->batch_loss[p] * (double)f->rows;
    return ST_OK;
}

static void held_work(void *context, int64_t slice, int worker) {
    Fitting *f = context;
    const Design *design = f->learning->held;
    double *score = f->score + slice * f->net->n_scores, sum = 0;
    (void)worker;
    int64_t to = slice_from(design->n, 16, slice + 1);
    for (int64_t i = slice_from(design->n, 16, slice); i < to; i++) {
        DesignRow row = design_row(design, i);
        network_scores_raw(f->net, &row, score);
        sum += f->labels.held.labels.weight[i] *
            loss_of_row(f->loss, &f->labels.held.labels, i, score, f->net->n_scores);
    }
    f->slice_loss[slice] = sum;
}

/* The mean loss of the examples that judge; NaN: there are none. */
static Status held_loss(Fitting *f, double *out, Err *err) {
    *out = NAN;
    if (!f->learning->held) return ST_OK;
    TRY(learn_run(f->learning->task, f->learning->held->n < 1000, 16, held_work, f, err));
    *out = 0;
    for (int s = 0; s < 16; s++) *out += f->slice_loss[s] / f->labels.held_weight;
    return ST_OK;
}

/* A table's rows make the moves that are left to them. */
static void settle(const Fitting *f) {
    AdamStep next = f->step;
    next.step++;
    for (int32_t b = 0; b < f->net->n_blocks; b++) {
        const NetworkBlock *block = &f->net->block[b];
        for (int32_t c = 0; c < block->columns; c++) {
            int64_t at = block->at + (int64_t)c * block->size;
            adam_catch_up(&next, &f->last[block->first + c - f->net->n_dense], f->net->number + at,
                f->first + at, f->second + at, (size_t)block->size);
        }
    }
}

static Status run_epoch(Fitting *f, int64_t epoch, int64_t *step, double *loss, Err *err) {
    const int64_t n = f->learning->design->n, batch = batch_of(f);
    const int64_t batches = (n + batch - 1) / batch, all = batches * f->params->epochs;
    Random random;
    random_init(&random, f->learning->seed, (uint64_t)epoch);
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)random_below(&random, (uint64_t)i + 1), swap = f->order[i];
        f->order[i] = f->order[j];
        f->order[j] = swap;
    }
    *loss = 0;
    for (int64_t b = 0; b < batches; b++) {
        f->row = f->order + b * batch;
        f->rows = n - b * batch < batch ? n - b * batch : batch;
        ++*step;
        f->step = adam_step(*step, ((double)*step - .5) / (double)all, .05, f->params->rate);
        TRY(run_batch(f, loss, err));
    }
    settle(f);
    *loss /= (double)n;
    atomic_store(&f->learning->task->done, epoch);
    return ST_OK;
}

static Status run(Fitting *f, Err *err) {
    const Learning *learning = f->learning;
    int64_t epochs = learning->sweeps ? learning->sweeps : f->params->epochs, step = 0;
    size_t bytes = (size_t)f->net->n_numbers * sizeof *f->best;
    double loss, held;
    if (epochs > f->params->epochs) epochs = f->params->epochs;
    task_phase(learning->task, "descending", "epochs", epochs, epochs);
    for (int64_t epoch = 1; epoch <= epochs; epoch++) {
        TRY(run_epoch(f, epoch, &step, &loss, err));
        TRY(held_loss(f, &held, err));
        TRY(learn_log_add(learning->log, (double)epoch, loss, held, err));
        f->net->epochs = epoch;
        if (isnan(held) || !f->patience.steps) continue;
        if (patience_better(&f->patience, epoch, held)) memcpy(f->best, f->net->number, bytes);
        if (patience_over(&f->patience, epoch)) break;
    }
    if (f->patience.best_step) {
        memcpy(f->net->number, f->best, bytes);
        f->net->epochs = f->patience.best_step;
    }
    return network_round(f->net, err);
}

/* ---- beginning ---- */

/* Weights of a layer have the variance 2 / inputs (He et al. 2015), tables' 1 / size. */
static void draw(const Fitting *f) {
    Network *net = f->net;
    const Network *start = f->learning->start;
    Random random;
    random_init(&random, f->learning->seed, 0);
    for (int32_t b = 0; b < net->n_blocks; b++) {
        const NetworkBlock *block = &net->block[b];
        float *x = net->number + block->at;
        for (int64_t i = 0; i < (int64_t)block->columns * block->size; i++)
            x[i] = (float)(random_normal(&random) / sqrt(block->size));
    }
    for (int32_t l = 0; l < net->n_layers; l++) {
        double deviation = sqrt(2.0 / fmax(1, net->width[l]));
        for (int32_t i = 0; i < net->width[l]; i++)
            for (int32_t j = 0; j < net->width[l + 1]; j++)
                net->number[net->layer_at[l] + (int64_t)i * network_row(net, l) + j] =
                    (float)(deviation * random_normal(&random));
    }
    if (start && start->n_numbers == net->n_numbers && start->n_layers == net->n_layers &&
        memcmp(start->width, net->width, sizeof net->width) == 0)
        memcpy(net->number, start->number, (size_t)net->n_numbers * sizeof *net->number);
}

static Status list_pieces(Fitting *f, Err *err) {
    const Network *net = f->net;
    int64_t most = net->n_blocks;
    for (int32_t l = 0; l < net->n_layers; l++) most += net->width[l] / INPUTS + 2;
    if (!(f->piece = mem_array((size_t)most, sizeof *f->piece)))
        return fail_nomem(err, "the network");
    for (int32_t b = 0; b < net->n_blocks; b++) f->piece[f->n_pieces++] = (Piece){.block = b};
    for (int32_t l = 0; l < net->n_layers; l++) {
        f->piece[f->n_pieces++] = (Piece){.layer = l, .block = -1, .from = -1};
        for (int32_t i = 0; i < net->width[l]; i += INPUTS)
            f->piece[f->n_pieces++] = (Piece){.layer = l,
                .block = -1,
                .from = i,
                .to = net->width[l] - i < INPUTS ? net->width[l] : i + INPUTS};
    }
    return ST_OK;
}

static Status make_layers(Fitting *f, size_t batch, Err *err) {
    const Network *net = f->net;
    for (int32_t l = 0; l < net->n_layers; l++) {
        size_t width = (size_t)network_row(net, l);
        size_t below = l ? (size_t)network_row(net, l - 1) : (size_t)f->embedded;
        f->a[l] = mem_zeros(batch, width * sizeof(float));
        f->delta[l] = mem_zeros(batch, width * sizeof(float));
        f->transposed[l] = mem_zeros(width, (below + 1) * sizeof(float));
        if (!f->a[l] || !f->delta[l] || !f->transposed[l]) return fail_nomem(err, "the network");
        if (INPUTS * width > f->room_row) f->room_row = INPUTS * width;
    }
    f->room = mem_array((size_t)f->learning->task->threads, f->room_row * sizeof(float));
    return f->room ? ST_OK : fail_nomem(err, "the network");
}

static Status make_room(Fitting *f, Err *err) {
    Network *net = f->net;
    size_t n = (size_t)net->n_numbers, rows = (size_t)f->learning->design->n;
    size_t batch = (size_t)batch_of(f) < rows ? (size_t)batch_of(f) : rows;
    size_t sparse = (size_t)(net->dim - net->n_dense), pieces = batch / ROWS + 17;
    f->embedded = (int32_t)up16((size_t)(net->inputs - net->n_dense));
    net->number = mem_zeros(n, sizeof(float));
    f->first = mem_zeros(n, sizeof(float));
    f->second = mem_zeros(n, sizeof(float));
    f->best = mem_zeros(n, sizeof(float));
    f->gradient = mem_zeros((size_t)net->layer_at[0], sizeof(float));
    f->order = mem_array(rows, sizeof *f->order);
    f->x = mem_zeros(batch, (size_t)net->inputs * sizeof(float));
    f->delta_x = mem_zeros(batch, (size_t)f->embedded * sizeof(float));
    f->batch_loss = mem_zeros(pieces, sizeof(double));
    f->slice_loss = mem_zeros(16, sizeof(double));
    f->score = mem_zeros(pieces, (size_t)net->n_scores * sizeof(double));
    f->last = mem_zeros(sparse, sizeof *f->last);
    f->touched = mem_zeros(sparse, sizeof *f->touched);
    if (!net->number || !f->first || !f->second || !f->best || !f->gradient || !f->order || !f->x ||
        !f->delta_x || !f->batch_loss || !f->slice_loss || !f->score || !f->last || !f->touched)
        return fail_nomem(err, "the network");
    for (size_t i = 0; i < rows; i++) f->order[i] = (int64_t)i;
    TRY(make_layers(f, batch, err));
    return list_pieces(f, err);
}

static void fitting_clear(Fitting *f) {
    learning_labels_clear(&f->labels);
    void *block[] = {f->order, f->x, f->delta_x, f->batch_loss, f->slice_loss, f->score, f->first,
        f->second, f->gradient, f->last, f->room, f->touched, f->piece, f->best};
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) mem_free(block[i]);
    for (int l = 0; l < NETWORK_LAYERS; l++) {
        mem_free(f->a[l]);
        mem_free(f->delta[l]);
        mem_free(f->transposed[l]);
    }
}

static Status read_hidden(const char *text, int32_t *hidden, int32_t *n, Err *err) {
    const char *at = text;
    for (*n = 0; *n < NETWORK_LAYERS - 1;) {
        char *end;
        long width = strtol(at, &end, 10);
        if (end == at || width < 1 || width > NETWORK_WIDTH) break;
        hidden[(*n)++] = (int32_t)width;
        while (*end == ' ') end++;
        if (!*end) return ST_OK;
        if (*end != ',') break;
        at = end + 1;
    }
    return fail(err, ST_BADARG, "hidden='%.40s' (1 to %d widths of 1..%d, such as '128,64')", text,
        NETWORK_LAYERS - 1, NETWORK_WIDTH);
}

static Status fit(Fitting *f, Err *err) {
    const Learning *learning = f->learning;
    const Network *start = learning->start;
    const int64_t n = learning->design->n;
    LabelScale as = {.shift = start ? start->shift : 0, .scale = start ? start->scale : 1};
    TRY(learning_labels(&f->labels, learning, start ? &as : NULL, err));
    f->net->shift = f->labels.own.shift;
    f->net->scale = f->labels.own.scale;
    f->loss = loss_of_labels(&learning->labels);
    f->patience.steps = f->params->patience;
    for (int64_t i = 0; i < n; i++) f->mean_weight += learning->labels.weight[i] / (double)n;
    TRY(make_room(f, err));
    draw(f);
    return run(f, err);
}

static Status network_train(const Learning *learning, void **out, Err *err) {
    const NetworkParams *params = learning->params;
    int32_t hidden[NETWORK_LAYERS], n_hidden;
    TRY(read_hidden(params->hidden, hidden, &n_hidden, err));
    Network *net = *out = mem_zeros(1, sizeof *net);
    if (!net) return fail_nomem(err, "the network");
    net->kind = (WeightsKind)params->weights;
    TRY(network_init(net, learning->features, hidden, n_hidden, (int32_t)params->embedding,
        labels_scores(&learning->labels), err));
    Fitting f = {.learning = learning, .params = params, .net = net};
    Status status = fit(&f, err);
    fitting_clear(&f);
    return status;
}

const Learner neural_network_learner = {
    .name = "neural_network",
    .summary = "a feed-forward network with embeddings of categories",
    .tasks = 1u << LEARN_NUMBER | 1u << LEARN_CLASSES,
    .can_start = 1,
    .options = network_options,
    .params_size = sizeof(NetworkParams),
    .space = "{\"hidden\":[\"16\",\"32\",\"64\",\"128\",\"64,32\",\"128,64\"],"
             "\"rate\":{\"min\":0.0003,\"max\":0.03,\"log\":true},"
             "\"l2\":{\"min\":0.0001,\"max\":1,\"log\":true},\"embedding\":[4,8,16]}",
    .train = network_train,
    .score = network_score,
    .n_scores = network_scores,
    .sweeps = network_epochs,
    .graph = network_graph,
    .write = network_write,
    .read = network_read,
    .free_state = network_free,
    .memory = network_memory,
};
