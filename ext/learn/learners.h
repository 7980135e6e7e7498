/* Every learner, by name: a Learner `<name>_learner`. The order is that of rec_options and of the
 * error that lists them. */
#ifndef REC_LEARNERS_H
#define REC_LEARNERS_H

#include "learner.h"

#define LEARNERS(X) \
    X(linear) \
    X(ridge) \
    X(lasso) \
    X(elastic_net) \
    X(logistic) \
    X(svm) \
    X(kernel_svm) \
    X(factorization_machine) \
    X(neural_network) \
    X(tree) \
    X(forest) \
    X(boosting) \
    X(naive_bayes) \
    X(knn) \
    X(kmeans) \
    X(pca) \
    X(gaussian)

#define X(name) extern const Learner name##_learner;
LEARNERS(X)
#undef X

#endif
