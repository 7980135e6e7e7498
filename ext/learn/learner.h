/* A learner: how a predictor's design and labels become a state that scores rows.
 *
 * A trained state is immutable and may be shared by threads. Adding one: a file with a Learner, a
 * line in learners.h, a section in the reference, a test. */
#ifndef REC_LEARNER_H
#define REC_LEARNER_H

#include "../base/options.h"
#include "../base/tunable.h"
#include "design.h"
#include "onnx_graph.h"

typedef enum LearnTask {
    LEARN_NUMBER,     /* the label is a number: 1 score */
    LEARN_CLASSES,    /* of 2: 1 score, of the second; of K > 2: K scores */
    LEARN_RANKING,    /* the label is a grade within a group: 1 score */
    LEARN_SEGMENTS,   /* no label: squared distances to K centres */
    LEARN_COMPONENTS, /* no label: K coordinates */
    LEARN_ANOMALY     /* no label: 1 score, the larger the odder */
} LearnTask;
#define LEARN_TASKS "number|classes|ranking|segments|components|anomaly"
const char *learn_task_name(LearnTask task);

typedef struct Labels {
    LearnTask task;
    int32_t n_classes;       /* of LEARN_CLASSES, else 0 */
    const int32_t *class_of; /* n; of LEARN_CLASSES */
    const double *value;     /* n; of LEARN_NUMBER and LEARN_RANKING */
    const double *weight;    /* n, above 0 */
    const int64_t *group;    /* of LEARN_RANKING: n_groups + 1 starts, a group's rows together */
    int64_t n_groups;
} Labels;

/* Scores a row: what a learner of these labels gives. */
static inline int32_t labels_scores(const Labels *labels) {
    return labels->task == LEARN_CLASSES && labels->n_classes > 2 ? labels->n_classes : 1;
}

typedef struct LearnStep {
    double sweep, objective, seconds, validation; /* validation NaN: none */
} LearnStep;

typedef struct LearnLog {
    LearnStep *step;
    int64_t n, room;
    double began; /* task_clock */
} LearnLog;
Status learn_log_add(LearnLog *log, double sweep, double objective, double validation, Err *err);
void learn_log_clear(LearnLog *log);

/* One training. */
typedef struct Learning {
    const FeatureSet *features; /* whose columns the design has */
    const Design *design;
    Labels labels;
    const Design *held; /* examples to stop by, or NULL */
    Labels held_labels;
    const void *params;
    uint64_t seed;
    const void *start; /* the same learner's state for the same columns, or NULL */
    int64_t sweeps;    /* that an earlier training on part of the examples found best; 0: none */
    Task *task;
    LearnLog *log;
} Learning;

typedef struct Learner {
    const char *name;
    const char *summary;
    unsigned tasks;          /* bits 1 << LearnTask */
    int likes_numbers;       /* trees: no scaling, missing numbers as NaN */
    int gives_probabilities; /* the scores of classes are them; else a logistic or softmax makes
                                them */
    int scores_are_margins;  /* they say on which side, not how surely: calibrate=auto calibrates */
    int can_start;           /* takes Learning.start */
    const OptSpec *options;
    size_t params_size;
    const char *space; /* tunable.h */
    Status (*train)(const Learning *learning, void **state, Err *err);
    /* scores of a row. O(width of a row). */
    void (*score)(const void *state, const DesignRow *row, double *out);
    int32_t (*n_scores)(const void *state);
    /* Sweeps after which it stopped: Learning.sweeps of the next. NULL: it has none. */
    int64_t (*sweeps)(const void *state);
    /* A score as base + a part a column (part: dim zeros). NULL: it is no such sum. */
    Status (*explain)(const void *state, const DesignRow *row, int32_t score, double *part,
        double *base, Err *err);
    /* Adds to gain (dim) what a column gave in training; NULL: unknown. */
    void (*importance)(const void *state, double *gain);
    /* The scores, "scores" (N x scores doubles), of "x" (N x dim floats) and "xd" (as doubles);
     * NULL: ONNX has no words for it. */
    Status (*graph)(const void *state, OnnxGraph *g, Err *err);
    void (*write)(const void *state, Bytes *out);
    /* Back, from untrusted bytes, of a design of dim columns. */
    Status (*read)(void **state, int32_t dim, int32_t n_dense, Reader *in, Err *err);
    void (*free_state)(void *state);
    size_t (*memory)(const void *state);
} Learner;

extern const Learner *const learner_registry[]; /* NULL ends it */
const Learner *learner_find(const char *name);

/* Work in pieces: on the task's threads, or, of little work, at once on the caller's. */
Status learn_run(Task *task, int is_little, int64_t pieces, TaskWork work, void *context, Err *err);

/* Rows in so many slices, which follow from the sizes alone, so that sums of slices are the same
 * on any number of threads; `doubles`: what a slice needs. */
int64_t learn_slices(int64_t rows, int64_t doubles);
static inline int64_t slice_from(int64_t rows, int64_t slices, int64_t slice) {
    return rows * slice / slices;
}

#endif
