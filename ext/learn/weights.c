#include "weights.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"

/* The row's largest number by 127, up to 16 bits: then 127 scale is a float32, and the scale of a
 * row that was rounded by it is the same once more. */
static float scale_of(const float *x, int32_t n) {
    float most = 0;
    uint32_t bits;
    for (int32_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i]));
    most /= 127;
    memcpy(&bits, &most, sizeof bits);
    bits = (bits + 0xFF) & ~(uint32_t)0xFF;
    memcpy(&most, &bits, sizeof bits);
    return most;
}
static int8_t code_of(float x, float scale) {
    float code = scale > 0 ? roundf(x / scale) : 0;
    return (int8_t)fminf(fmaxf(code, -127), 127);
}

Status weights_round(WeightsKind kind, float *x, int64_t rows, int32_t n, Err *err) {
    for (int64_t i = 0; i < rows * n; i++)
        if (!isfinite(x[i]))
            return fail(err, ST_BADARG, "what is learnt is no number (rate, l2, scale, clip)");
    for (int64_t r = 0; r < rows && kind == WEIGHTS_INT8; r++, x += n) {
        float scale = scale_of(x, n);
        for (int32_t i = 0; i < n; i++) x[i] = (float)code_of(x[i], scale) * scale;
    }
    return ST_OK;
}

void weights_write(WeightsKind kind, const float *x, int64_t rows, int32_t n, Bytes *out) {
    if (kind == WEIGHTS_FLOAT) {
        bytes_append(out, x, (size_t)rows * (size_t)n * sizeof *x);
        return;
    }
    for (int64_t r = 0; r < rows; r++, x += n) {
        float scale = scale_of(x, n);
        bytes_append(out, &scale, sizeof scale);
        for (int32_t i = 0; i < n; i++) {
            int8_t code = code_of(x[i], scale);
            bytes_append(out, &code, 1);
        }
    }
}

static void read_codes(const uint8_t *from, float *x, int64_t rows, int32_t n) {
    for (int64_t r = 0; r < rows; r++, x += n) {
        float scale;
        memcpy(&scale, from, sizeof scale);
        from += sizeof scale;
        for (int32_t i = 0; i < n; i++) x[i] = (float)(int8_t)*from++ * scale;
    }
}

Status weights_read(WeightsKind kind, float **out, int64_t rows, int32_t n, Reader *in, Err *err) {
    size_t row = kind == WEIGHTS_FLOAT ? (size_t)n * sizeof(float) : (size_t)n + sizeof(float);
    const void *block = read_block(in, (uint64_t)rows, row);
    *out = NULL;
    if (!block) return fail(err, ST_CORRUPT, "the weights are cut short");
    float *x = *out = mem_array((size_t)rows, (size_t)n * sizeof *x);
    if (!x) return fail_nomem(err, "the weights");
    if (kind == WEIGHTS_FLOAT) memcpy(x, block, (size_t)rows * row);
    else read_codes(block, x, rows, n);
    for (int64_t i = 0; i < rows * n; i++)
        if (!isfinite(x[i])) return fail(err, ST_CORRUPT, "the weights are damaged");
    return ST_OK;
}
