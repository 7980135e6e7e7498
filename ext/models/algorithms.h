/* The algorithms by name, for registry.c. */
#ifndef REC_ALGORITHMS_H
#define REC_ALGORITHMS_H

#include "model.h"

extern const Algorithm popular_algorithm;
extern const Algorithm item_knn_algorithm;
extern const Algorithm ials_algorithm;
extern const Algorithm bpr_algorithm;
extern const Algorithm mf_algorithm;
extern const Algorithm ease_algorithm;
extern const Algorithm graph_algorithm;
extern const Algorithm slim_algorithm;
extern const Algorithm user_knn_algorithm;
extern const Algorithm session_knn_algorithm;
extern const Algorithm repeat_algorithm;
extern const Algorithm content_algorithm;
extern const Algorithm blend_algorithm;

#endif
