#include "sequence_train.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "sequence_pause.h"
#include "sequence_step.h"
#include "sequence_validation.h"

static const double WARM_PASSES = .5; /* over which the rate rises */

/* Every user's sequence from its end, in windows that share an item, so that each item but the
 * first is once what comes next. window: NULL to count. */
static int64_t cut_windows(const Sequences *sequences, int64_t length, Window *window) {
    int64_t n = 0;
    for (int32_t u = 0; u < sequences->n_users; u++) {
        int64_t from = sequences->row_start[u];
        for (int64_t last = sequences->row_start[u + 1] - 1; last > from; n++) {
            int64_t first = last - length > from ? last - length : from;
            if (window) window[n] = (Window){first, (int32_t)(last - first)};
            last = first;
        }
    }
    return n;
}

/* How often each item is what comes next, as a share. */
static void count_targets(
    const Sequences *sequences, const Window *window, int64_t n, double *share) {
    double total = 0;
    memset(share, 0, (size_t)sequences->n_items * sizeof *share);
    for (int64_t w = 0; w < n; w++)
        for (int32_t i = 1; i <= window[w].length; i++) {
            share[sequences->item[window[w].first + i]] += 1;
            total += 1;
        }
    for (int32_t i = 0; i < sequences->n_items; i++) share[i] /= total;
}

static void shuffle(Window *window, int64_t n, Random *random) {
    for (int64_t k = n - 1; k > 0; k--) {
        int64_t other = (int64_t)random_below(random, (uint64_t)k + 1);
        Window swap = window[k];
        window[k] = window[other];
        window[other] = swap;
    }
}

/* What goes through the passes. */
typedef struct Passes {
    SequenceStep step;
    const SequenceValidation *validation;
    Window *window;
    int64_t n, steps, first_pass;
    uint64_t seed;
    /* with patience: the best pass's value, how long ago it was, and what it left */
    double best;
    int64_t since;
    float *items, *weights;
} Passes;

/* The order of a pass's windows, from that of the one before. */
static void shuffle_for(Passes *passes, int64_t pass) {
    Random random;
    random_init(&random, passes->seed, UINT64_MAX - 2 - (uint64_t)pass);
    shuffle(passes->window, passes->n, &random);
}

static Status run_pass(Passes *passes, int64_t pass, double *loss, Task *task, Err *err) {
    SequenceStep *step = &passes->step;
    const SequenceParams *p = step->params;
    double sum = 0, places = 0, warm = WARM_PASSES / (double)p->passes;
    shuffle_for(passes, pass);
    for (int64_t at = 0, taken; at < passes->n; at += taken) {
        double mean;
        taken = step_take(step, passes->window + at, passes->n - at);
        double done = ((double)pass + ((double)at + (double)taken / 2) / (double)passes->n) /
            (double)p->passes;
        step->adam = adam_step(++passes->steps, done, warm, p->rate);
        TRY(step_run(step, (uint64_t)passes->steps, passes->seed, &mean, task, err));
        sum += mean * (double)step->batch.tokens;
        places += (double)step->batch.tokens;
        atomic_store(&task->done, (int64_t)(1000 * done));
    }
    *loss = sum / places;
    return isfinite(sum)
        ? ST_OK
        : fail(err, ST_BADARG, "rate=%g is too large: the loss has no bound", p->rate);
}

static size_t item_bytes(const SequenceStep *step) {
    return (size_t)step->n_items * step->shape.dim * sizeof(float);
}

static size_t weight_bytes(const SequenceStep *step) {
    return encoder_floats(&step->shape) * sizeof(float);
}

/* The pass's value, and whether training is to go on. */
static Status judge_pass(Passes *passes, double *value, int *goes_on, Task *task, Err *err) {
    const SequenceStep *step = &passes->step;
    int64_t done = atomic_load(&task->done); /* of the phase, which judging is no part of */
    TRY(validation_judge(passes->validation, step->items, step->weights, value, task, err));
    atomic_store(&task->done, done);
    *goes_on = 1;
    if (!step->params->patience || isnan(*value)) return ST_OK;
    if (*value > passes->best) {
        passes->best = *value;
        passes->since = 0;
        memcpy(passes->items, step->items, item_bytes(step));
        memcpy(passes->weights, step->weights, weight_bytes(step));
    } else {
        *goes_on = ++passes->since < step->params->patience;
    }
    return ST_OK;
}

/* ---- a pause ---- */

enum { PAUSE_PARTS = 8 };

/* What the training has, in the order of pause_numbers. */
static size_t list_parts(Passes *passes, PausePart *part) {
    SequenceStep *s = &passes->step;
    size_t items = (size_t)s->n_items * s->shape.dim, weights = encoder_floats(&s->shape), n = 0;
    part[n++] = (PausePart){s->items_last, (size_t)s->n_items};
    part[n++] = (PausePart){s->items_m, items};
    part[n++] = (PausePart){s->items_v, items};
    part[n++] = (PausePart){s->weights_m, weights};
    part[n++] = (PausePart){s->weights_v, weights};
    if (s->params->patience) {
        part[n++] = (PausePart){passes->items, items};
        part[n++] = (PausePart){passes->weights, weights};
    }
    if (s->params->sharpness > 0) part[n++] = (PausePart){s->items, items};
    return n;
}

static void go_on_from(Passes *passes, const SequencePause *pause) {
    PausePart part[PAUSE_PARTS];
    passes->first_pass = pause->pass;
    passes->steps = pause->steps;
    passes->best = pause->best;
    passes->since = pause->since;
    pause_restore(pause, part, list_parts(passes, part));
    for (int64_t pass = 0; pass < pause->pass; pass++) shuffle_for(passes, pass);
}

static Status stop_after(Passes *passes, int64_t pass, SequencePause *pause, Err *err) {
    PausePart part[PAUSE_PARTS];
    TRY(pause_init(pause, passes->step.params, passes->step.n_items, err));
    pause->pass = pass;
    pause->steps = passes->steps;
    pause->best = passes->best;
    pause->since = passes->since;
    pause->data = pause_fingerprint(passes->validation);
    pause_keep(pause, part, list_parts(passes, part));
    return ST_OK;
}

/* ---- all passes ---- */

static Status run_passes(Passes *passes, Model *model, SequencePause *pause, Task *task, Err *err) {
    const SequenceStep *step = &passes->step;
    const SequenceParams *p = step->params;
    double before = model->n_steps ? model->step[model->n_steps - 1].seconds : 0;
    double began = task_clock() - before;
    int64_t pass = passes->first_pass, left = p->passes - pass;
    int64_t end = p->pause_after && p->pause_after < left ? pass + p->pause_after : p->passes;
    int goes_on = 1;
    for (; goes_on && pass < end; pass++) {
        double loss = 0, value = NAN;
        TRY(run_pass(passes, pass, &loss, task, err));
        TRY(judge_pass(passes, &value, &goes_on, task, err));
        TRY(model_log_step(model, (double)pass + 1, loss, task_clock() - began, err));
        model->step[model->n_steps - 1].validation = value;
    }
    if (goes_on && pass < p->passes) return stop_after(passes, pass, pause, err);
    if (p->patience && passes->best >= 0) {
        memcpy(step->items, passes->items, item_bytes(step));
        memcpy(step->weights, passes->weights, weight_bytes(step));
    }
    return ST_OK;
}

static Status passes_init(Passes *passes, double *share, int threads, Err *err) {
    const Sequences *sequences = passes->step.sequences;
    const SequenceParams *params = passes->step.params;
    passes->window = mem_array((size_t)passes->n, sizeof *passes->window);
    if (!passes->window || !share) return fail_nomem(err, "the sequences");
    TRY(step_init(&passes->step, threads, err));
    if (params->patience) {
        passes->items = mem_array(item_bytes(&passes->step), 1);
        passes->weights = mem_array(weight_bytes(&passes->step), 1);
        if (!passes->items || !passes->weights) return fail_nomem(err, "the best pass");
    }
    cut_windows(sequences, params->length, passes->window);
    count_targets(sequences, passes->window, passes->n, share);
    return ST_OK;
}

static void passes_clear(Passes *passes) {
    step_clear(&passes->step);
    mem_free(passes->window);
    mem_free(passes->items);
    mem_free(passes->weights);
}

Status sequence_fit(Model *model, const SequenceValidation *validation, float *items,
    float *weights, const SequencePause *from, SequencePause *pause, Task *task, Err *err) {
    const Sequences *sequences = validation->sequences;
    const SequenceParams *params = validation->params;
    Passes passes = {.validation = validation,
        .n = cut_windows(sequences, params->length, NULL),
        .seed = (uint64_t)model->common.seed,
        .best = -1};
    if (passes.n == 0) return ST_OK; /* nobody has two items: what has been started with stays */
    double *share = mem_array((size_t)model->n_items, sizeof *share);
    passes.step = (SequenceStep){.params = params,
        .sequences = sequences,
        .n_items = model->n_items,
        .items = items,
        .weights = weights,
        .target_share = share};
    Status status = passes_init(&passes, share, task->threads, err);
    if (status == ST_OK && from) go_on_from(&passes, from);
    if (status == ST_OK) {
        task_phase(task, "training", "thousandths", 1000, 1000);
        status = run_passes(&passes, model, pause, task, err);
    }
    passes_clear(&passes);
    mem_free(share);
    return status;
}
