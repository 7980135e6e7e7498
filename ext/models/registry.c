/* Every recommender, one line each. */
#include "algorithms.h"

const Algorithm *const algorithm_registry[] = {
    &popular_algorithm,
    &item_knn_algorithm,
    &ials_algorithm,
    &bpr_algorithm,
    &mf_algorithm,
    &ease_algorithm,
    &slim_algorithm,
    &graph_algorithm,
    &user_knn_algorithm,
    &session_knn_algorithm,
    &repeat_algorithm,
    &content_algorithm,
    &blend_algorithm,
    NULL,
};
