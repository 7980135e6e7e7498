/* Every recommender, one line each. */
#include "algorithms.h"

const Algorithm *const algorithm_registry[] = {
    &popular_algorithm,
    &item_knn_algorithm,
    &ials_algorithm,
    NULL,
};
