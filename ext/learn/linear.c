/* linear, ridge, lasso, elastic_net: a number as a sum of weight * x.
 *
 *     linear       sum w (y - s)^2: ordinary least squares, by the normal equations; or by gradient
 *                  descent, with its curve
 *     ridge        sum w (y - s)^2 + alpha |weight|^2                (Hoerl and Kennard 1970)
 *     lasso        sum w (y - s)^2 / (2 sum w) + alpha |weight|_1    (Tibshirani 1996)
 *     elastic_net  sum w (y - s)^2 / (2 sum w) + alpha ratio |weight|_1
 *                  + alpha (1 - ratio) / 2 |weight|^2                (Zou and Hastie 2005)
 *
 * the forms of scikit-learn's classes of these names. */
#include <math.h>
#include <stddef.h>

#include "learners.h"
#include "linear_state.h"

typedef struct LinearParams {
    int64_t solver;
    int64_t steps;
    double alpha, ratio;
} LinearParams;
enum { SOLVER_AUTO, SOLVER_EXACT, SOLVER_LBFGS, SOLVER_DESCENT };

#define SOLVER \
    { \
        "solver", OPT_CHOICE, offsetof(LinearParams, solver), 0, 0, SOLVER_AUTO, \
            "auto|exact|lbfgs|descent", \
            "normal equations; L-BFGS; gradient descent; auto: exact up to 2000 columns" \
    }
#define STEPS \
    { \
        "steps", OPT_INT, offsetof(LinearParams, steps), 1, 1e9, 1000, NULL, \
            "of lbfgs and descent: at most so many" \
    }
#define ALPHA(least) \
    { \
        "alpha", OPT_REAL, offsetof(LinearParams, alpha), least, 1e12, 1, NULL, \
            "how much weights cost" \
    }

static const OptSpec linear_options[] = {SOLVER, STEPS, {0}};
static const OptSpec ridge_options[] = {SOLVER, STEPS, ALPHA(0), {0}};
static const OptSpec lasso_options[] = {STEPS, ALPHA(0), {0}};
static const OptSpec elastic_net_options[] = {STEPS, ALPHA(0),
    {"ratio", OPT_REAL, offsetof(LinearParams, ratio), 0, 1, .5, NULL,
        "of the cost of weights: the share of |weight|, the rest is of its square"},
    {0}};

static double sum_of_weights(const Learning *learning) {
    double sum = 0;
    for (int64_t i = 0; i < learning->design->n; i++) sum += learning->labels.weight[i];
    return sum;
}

static Status train(const Learning *learning, double l1, double l2, void **out, Err *err) {
    const LinearParams *params = learning->params;
    const Design *design = learning->design;
    LinearFit fit = {.loss = LOSS_SQUARED,
        .l1 = l1,
        .l2 = l2,
        .steps = params->steps,
        .descent = params->solver == SOLVER_DESCENT};
    int exact = params->solver == SOLVER_EXACT ||
        (params->solver == SOLVER_AUTO && design->dim <= LINEAR_EXACT_DIM);
    LinearState *state = *out = linear_state_new(design->dim, 1);
    if (!state) return fail_nomem(err, "the weights");
    if (exact && l1 <= 0 && design->dim > 10 * LINEAR_EXACT_DIM)
        return fail(err, ST_BADARG, "solver=exact of %d columns (up to %d)", (int)design->dim,
            10 * LINEAR_EXACT_DIM);
    if (exact && l1 <= 0) return linear_fit_exact(state, l2, learning, err);
    double mean = 0, size = 0, weight = sum_of_weights(learning);
    for (int64_t i = 0; i < design->n; i++) {
        mean += learning->labels.weight[i] * learning->labels.value[i];
        size += learning->labels.weight[i] * fabs(learning->labels.value[i]);
    }
    state->weight[design->dim] = mean / weight; /* it starts at the mean */
    fit.tolerance = 1e-8 * size / weight;
    return linear_fit(state, &fit, learning, err);
}

static Status linear_train(const Learning *learning, void **out, Err *err) {
    return train(learning, 0, 0, out, err);
}

static Status ridge_train(const Learning *learning, void **out, Err *err) {
    const LinearParams *params = learning->params;
    return train(learning, 0, params->alpha / sum_of_weights(learning), out, err);
}

static Status lasso_train(const Learning *learning, void **out, Err *err) {
    const LinearParams *params = learning->params;
    return train(learning, params->alpha, 0, out, err);
}

static Status elastic_net_train(const Learning *learning, void **out, Err *err) {
    const LinearParams *params = learning->params;
    return train(
        learning, params->alpha * params->ratio, params->alpha * (1 - params->ratio), out, err);
}

const Learner linear_learner = {
    .name = "linear",
    .summary = "least squares",
    .tasks = 1u << LEARN_NUMBER,
    .options = linear_options,
    .params_size = sizeof(LinearParams),
    .train = linear_train,
    LINEAR_STATE_METHODS,
};

const Learner ridge_learner = {
    .name = "ridge",
    .summary = "least squares with small weights",
    .tasks = 1u << LEARN_NUMBER,
    .options = ridge_options,
    .params_size = sizeof(LinearParams),
    .space = "{\"alpha\":{\"min\":0.001,\"max\":10000,\"log\":true}}",
    .train = ridge_train,
    LINEAR_STATE_METHODS,
};

const Learner lasso_learner = {
    .name = "lasso",
    .summary = "least squares with few weights",
    .tasks = 1u << LEARN_NUMBER,
    .options = lasso_options,
    .params_size = sizeof(LinearParams),
    .space = "{\"alpha\":{\"min\":0.00001,\"max\":10,\"log\":true}}",
    .train = lasso_train,
    LINEAR_STATE_METHODS,
};

const Learner elastic_net_learner = {
    .name = "elastic_net",
    .summary = "least squares with few and small weights",
    .tasks = 1u << LEARN_NUMBER,
    .options = elastic_net_options,
    .params_size = sizeof(LinearParams),
    .space = "{\"alpha\":{\"min\":0.00001,\"max\":10,\"log\":true},"
             "\"ratio\":{\"min\":0,\"max\":1}}",
    .train = elastic_net_train,
    LINEAR_STATE_METHODS,
};
