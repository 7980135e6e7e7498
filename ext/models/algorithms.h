/* Every algorithm, by name: an Algorithm `<name>_algorithm` in a file of that name. The order is
 * that of rec_options and of the error that lists them. */
#ifndef REC_ALGORITHMS_H
#define REC_ALGORITHMS_H

#include "model.h"

#define ALGORITHMS(X) \
    X(popular) \
    X(item_knn) \
    X(ials) \
    X(bpr) \
    X(mf) \
    X(ease) \
    X(slim) \
    X(graph) \
    X(user_knn) \
    X(session_knn) \
    X(sequence) \
    X(repeat) \
    X(content) \
    X(blend)

#define X(name) extern const Algorithm name##_algorithm;
ALGORITHMS(X)
#undef X

#endif
