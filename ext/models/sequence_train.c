#include "sequence_train.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/random.h"
#include "sequence_step.h"

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

static Status run_passes(
    SequenceStep *step, Window *window, int64_t n, Model *model, Task *task, Err *err) {
    const SequenceParams *p = step->params;
    uint64_t seed = (uint64_t)model->common.seed;
    double began = task_clock(), warm = WARM_PASSES / (double)p->passes;
    int64_t steps = 0;
    for (int64_t pass = 0; pass < p->passes; pass++) {
        double loss = 0, places = 0;
        Random random;
        random_init(&random, seed, UINT64_MAX - 2 - (uint64_t)pass);
        shuffle(window, n, &random);
        for (int64_t at = 0, taken; at < n; at += taken) {
            double mean;
            taken = step_take(step, window + at, n - at);
            double done = ((double)pass + ((double)at + (double)taken / 2) / (double)n) /
                (double)p->passes;
            step->adam = adam_step(++steps, done, warm, p->rate);
            TRY(step_run(step, (uint64_t)steps, seed, &mean, task, err));
            loss += mean * (double)step->batch.tokens;
            places += (double)step->batch.tokens;
            atomic_store(&task->done, (int64_t)(1000 * done));
        }
        if (!isfinite(loss))
            return fail(err, ST_BADARG, "rate=%g is too large: the loss has no bound", p->rate);
        TRY(model_log_step(model, (double)pass + 1, loss / places, task_clock() - began, err));
    }
    return ST_OK;
}

Status sequence_fit(Model *model, const Sequences *sequences, const SequenceParams *params,
    float *items, float *weights, Task *task, Err *err) {
    int64_t n = cut_windows(sequences, params->length, NULL);
    if (n == 0) return ST_OK; /* nobody has two items: what has been started with stays */
    Window *window = mem_array((size_t)n, sizeof *window);
    double *share = mem_array((size_t)model->n_items, sizeof *share);
    SequenceStep step = {.params = params,
        .sequences = sequences,
        .n_items = model->n_items,
        .items = items,
        .weights = weights,
        .target_share = share};
    Status status = window && share ? step_init(&step, task->threads, err)
                                    : fail_nomem(err, "the sequences");
    if (status == ST_OK) {
        cut_windows(sequences, params->length, window);
        count_targets(sequences, window, n, share);
        task_phase(task, "training", "thousandths", 1000, 1000);
        status = run_passes(&step, window, n, model, task, err);
    }
    step_clear(&step);
    mem_free(window);
    mem_free(share);
    return status;
}
