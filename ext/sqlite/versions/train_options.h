/* What a training may be told, whatever it trains, and what it may take. */
#ifndef REC_TRAIN_OPTIONS_H
#define REC_TRAIN_OPTIONS_H

#include "../../base/memory.h"
#include "../../base/options.h"
#include "version_live.h"

typedef struct TrainOptions {
    double until;
    int64_t activate;
    int64_t keep;
    int64_t progress;
    int64_t algorithm;            /* index among the names */
    int64_t max_rows, max_memory; /* MiB; 0: no limit */
    double max_seconds;           /* 0: no limit */
} TrainOptions;
enum { ACTIVATE_ALWAYS, ACTIVATE_NEVER, ACTIVATE_IF_BETTER };
extern const OptSpec train_options[];

enum { MAX_OTHERS = 4 };
/* Read a JSON object into *train and the other targets (MAX_OTHERS at most). algorithms: "a|b|c",
 * what the option `algorithm` may say. */
Status train_options_read(TrainOptions *train, const char *algorithms, const OptTarget *others,
    size_t n_others, const char *json, Err *err);

/* The text of a member of a JSON object, "" where it has none or is none; size bytes. */
Status train_options_text(const char *json, const char *name, char *out, size_t size, Err *err);

/* A training that would activate its version is refused while an experiment runs, before it begins
 * (version_live.h). json: its options, or NULL. */
Status train_may_activate(const Versioned *versioned, const char *json, Err *err);

/* What a training may take: 0 is no limit. */
typedef struct TrainLimits {
    int64_t max_rows;
    size_t max_bytes; /* that the training thread holds; a BLAS has its own besides */
    double max_seconds;
    MemBudget budget, *outer; /* while it runs */
} TrainLimits;
TrainLimits train_limits(const TrainOptions *train);
/* Around what they limit; status: how it ended. A limit that was met is an error of its own. */
void limits_begin(TrainLimits *limits, Task *task);
Status limits_end(TrainLimits *limits, const Task *task, Status status, Err *err);

#endif
