#include "algorithms.h"

const Algorithm *const algorithm_registry[] = {
#define X(name) &name##_algorithm,
    ALGORITHMS(X)
#undef X
        NULL,
};
