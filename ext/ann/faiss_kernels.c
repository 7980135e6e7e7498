/* Our distance kernels under the names that faiss_extra.cpp puts in place of FAISS's. */
#include <stddef.h>

#include "../math/kernels.h"

float rec_faiss_dot(const float *a, const float *b, size_t n);
float rec_faiss_l2_squared(const float *a, const float *b, size_t n);

float rec_faiss_dot(const float *a, const float *b, size_t n) {
    return kernels()->dot_float(a, b, n);
}

float rec_faiss_l2_squared(const float *a, const float *b, size_t n) {
    return kernels()->l2_squared_float(a, b, n);
}
