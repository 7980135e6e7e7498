/* logistic and svm: classes by a linear score.
 *
 *     logistic  c sum w loss + |weight|^2 / 2 or |weight|_1, of loss = ln(1 + exp(-y s)), of more
 *               than two classes -ln softmax (scikit-learn LogisticRegression)
 *     svm       c sum w max(0, 1 - y s)^2 + |weight|^2 / 2 or |weight|_1, of more than two classes
 *               each against the rest (scikit-learn LinearSVC, Fan et al. 2008) */
#include <stddef.h>

#include "learners.h"
#include "linear_state.h"

typedef struct LogisticParams {
    double c;
    int64_t penalty;
    int64_t steps;
} LogisticParams;
enum { PENALTY_L2, PENALTY_L1, PENALTY_NONE };

static const OptSpec logistic_options[] = {
    {"c", OPT_REAL, offsetof(LogisticParams, c), 1e-9, 1e9, 1, NULL,
        "how much a loss costs beside the weights"},
    {"penalty", OPT_CHOICE, offsetof(LogisticParams, penalty), 0, 0, PENALTY_L2, "l2|l1|none",
        "what weights cost: their squares, their sizes, nothing"},
    {"steps", OPT_INT, offsetof(LogisticParams, steps), 1, 1e9, 1000, NULL,
        "of L-BFGS: at most so many"},
    {0},
};

static const char SPACE[] = "{\"c\":{\"min\":0.001,\"max\":1000,\"log\":true}}";

static Status train(const Learning *learning, LossKind loss, void **out, Err *err) {
    const LogisticParams *params = learning->params;
    const Design *design = learning->design;
    double weight = 0;
    for (int64_t i = 0; i < design->n; i++) weight += learning->labels.weight[i];
    double cost = 1 / (params->c * weight);
    LinearFit fit = {.loss = loss,
        .l1 = params->penalty == PENALTY_L1 ? cost : 0,
        .l2 = params->penalty == PENALTY_L2 ? cost : 0,
        .tolerance = 1e-6,
        .steps = params->steps};
    LinearState *state = *out = linear_state_new(design->dim, labels_scores(&learning->labels));
    if (!state) return fail_nomem(err, "the weights");
    const LinearState *start = learning->start;
    for (int64_t i = 0; start && i < linear_state_size(state); i++)
        state->weight[i] = start->weight[i];
    return linear_fit(state, &fit, learning, err);
}

static Status logistic_train(const Learning *learning, void **out, Err *err) {
    return train(learning, LOSS_LOGISTIC, out, err);
}

static Status svm_train(const Learning *learning, void **out, Err *err) {
    return train(learning, LOSS_SQUARED_HINGE, out, err);
}

const Learner logistic_learner = {
    .name = "logistic",
    .summary = "logistic regression",
    .tasks = 1u << LEARN_CLASSES,
    .can_start = 1,
    .options = logistic_options,
    .params_size = sizeof(LogisticParams),
    .space = SPACE,
    .train = logistic_train,
    LINEAR_STATE_METHODS,
};

const Learner svm_learner = {
    .name = "svm",
    .summary = "linear support vectors",
    .tasks = 1u << LEARN_CLASSES,
    .scores_are_margins = 1,
    .can_start = 1,
    .options = logistic_options,
    .params_size = sizeof(LogisticParams),
    .space = SPACE,
    .train = svm_train,
    LINEAR_STATE_METHODS,
};
