#include "kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_levels.h"
#include "kernels_rows.h"
#include "kernels_sum.h"

double naive_dot(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

double naive_l2_squared(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

double naive_l1(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabs((double)a[i] - (double)b[i]);
    return sum;
}

int64_t vector_first_bad(const float *a, size_t n) {
    uint32_t bits, bad = 0;
    for (size_t i = 0; i < n; i++) { /* no early end, so that the compiler makes SIMD of it */
        memcpy(&bits, &a[i], sizeof bits);
        bad |= (bits & 0x7f800000) == 0x7f800000;
    }
    if (!bad) return -1;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(a[i])) return (int64_t)i;
    return -1;
}

static double scalar_dot(const float *a, const float *b, size_t n) {
    double s[16] = {0};
    for (size_t i = 0; i < n; i++) s[i % 16] += (double)a[i] * (double)b[i];
    return kernels_sum16(s);
}

static double scalar_l2_squared(const float *a, const float *b, size_t n) {
    double s[16] = {0};
    for (size_t i = 0; i < n; i++) {
        double difference = (double)a[i] - (double)b[i];
        double square = difference * difference;
        s[i % 16] += square;
    }
    return kernels_sum16(s);
}

static double scalar_l1(const float *a, const float *b, size_t n) {
    double s[16] = {0};
    for (size_t i = 0; i < n; i++) s[i % 16] += fabs((double)a[i] - (double)b[i]);
    return kernels_sum16(s);
}

static float scalar_dot_float(const float *a, const float *b, size_t n) {
    float s[8] = {0};
    for (size_t i = 0; i < n; i++) s[i % 8] += a[i] * b[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static float scalar_l2_squared_float(const float *a, const float *b, size_t n) {
    float s[8] = {0};
    for (size_t i = 0; i < n; i++) s[i % 8] += (a[i] - b[i]) * (a[i] - b[i]);
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void scalar_code_dot8(
    const uint8_t *code, const int8_t *query, size_t groups, int32_t out[8]) {
    memset(out, 0, 8 * sizeof *out);
    for (size_t g = 0; g < groups; g++)
        for (size_t row = 0; row < 8; row++)
            for (size_t i = 0; i < 4; i++)
                out[row] += (int32_t)code[g * 32 + row * 4 + i] * query[g * 4 + i];
}

static unsigned scalar_code_look8(const CodeLook *look, const uint8_t *code, const float s[8],
    const float n[8], const float e[8], float upper[8]) {
    int32_t dot[8];
    unsigned in = 0;
    scalar_code_dot8(code, look->query, look->groups, dot);
    for (unsigned j = 0; j < 8; j++) {
        upper[j] = look->scale * s[j] * (float)(dot[j] - look->bias) + look->error * n[j] +
            look->coded_norm * e[j];
        in |= (unsigned)!(upper[j] < look->base + n[j] * (look->linear + n[j] * look->square)) << j;
    }
    return in;
}

/* IEEE 754 binary16: sign, 5 bits of exponent with bias 15, 10 of fraction. The float's exponent is
 * put right by a product with a power of two, which also makes subnormal halves normal floats. */
static float float_of_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = (uint32_t)(half & 0x7fff) << 13;
    float value;
    if ((half & 0x7c00) == 0x7c00) {
        rest |= 0x7f800000 | sign;
        memcpy(&value, &rest, sizeof value);
        return value;
    }
    memcpy(&value, &rest, sizeof value);
    value *= 0x1p112F;
    return sign ? -value : value;
}

uint16_t half_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    float size = fabsf(value);
    if (isnan(value)) return sign | 0x7e00;
    if (size >= 65520.0F) return sign | 0x7c00;
    /* subnormal: units of 2^-24 */
    if (size < 0x1p-14F) return (uint16_t)(sign | (uint16_t)lrintf(size * 0x1p24F));
    memcpy(&bits, &size, sizeof bits);
    /* half a unit of the last place kept, less one where that place is even */
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (uint16_t)((bits >> 13) - (112 << 10)));
}

static void scalar_from_half(const uint16_t *half, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = float_of_half(half[i]);
}

static void scalar_from_code(const int8_t *code, float scale, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = scale * (float)code[i];
}

/* Below this the inverse of the scale would not be a float. */
static const float TINY = 1e-30F;

static float scalar_quantize(const float *x, size_t n, int limit, int8_t *out, float *scale) {
    float largest = 0, error = 0;
    for (size_t i = 0; i < n; i++) largest = fmaxf(largest, fabsf(x[i]));
    float inverse = largest < TINY ? 0 : (float)limit / largest;
    *scale = largest < TINY ? 0 : largest / (float)limit;
    for (size_t i = 0; i < n; i++) {
        float code = fminf(fmaxf(rintf(x[i] * inverse), (float)-limit), (float)limit);
        float e = x[i] - *scale * code;
        out[i] = (int8_t)code;
        error += e * e;
    }
    return error;
}

static int32_t scalar_code_dot(const int8_t *code, const int16_t *query, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += code[i] * query[i];
    return sum;
}

static void scalar_product(const float *a, const float *b, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = a[i] * b[i];
}

static void scalar_scaled(const float *a, float factor, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = factor * a[i];
}

static void scalar_sparse_row(const int32_t *col, const float *val, int64_t n, const float *dense,
    size_t stride, size_t width, float *out) {
    memset(out, 0, width * sizeof *out);
    for (int64_t e = 0; e < n; e++)
        for (size_t w = 0; w < width; w++) out[w] += val[e] * dense[(size_t)col[e] * stride + w];
}

static void scalar_panel(const ProductPanel *p, int add) {
    for (size_t i = 0; i < p->m; i++) {
        float sum[16] = {0}, *c = p->c + i * p->c_row;
        if (add) memcpy(sum, c, sizeof sum);
        for (size_t l = 0; l < p->k; l++)
            for (size_t j = 0; j < 16; j++)
                sum[j] = fmaf(p->a[i * p->a_row + l * p->a_col], p->b[16 * l + j], sum[j]);
        memcpy(c, sum, sizeof sum);
    }
}

ROW_FUNCTIONS(, scalar)

static const Kernels scalar_kernels = {
    "scalar",
    scalar_dot,
    scalar_l2_squared,
    scalar_l1,
    scalar_dot_float,
    scalar_l2_squared_float,
    scalar_code_look8,
    scalar_quantize,
    scalar_code_dot,
    scalar_from_half,
    scalar_from_code,
    scalar_product,
    scalar_scaled,
    scalar_sparse_row,
    scalar_panel,
    row_most_scalar,
    row_exp_scalar,
    gelu_scalar,
    gelu_back_scalar,
    gelu_erf_scalar,
    drop_scalar,
    adam_scalar,
    adam_rest_scalar,
};

#if defined(__x86_64__)
/* AVX2, FMA, and the conversion of half floats, for which __builtin_cpu_supports has no name in
 * clang 14. */
static int has_avx2(void) {
    unsigned a, b, c = 0, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}
#endif

const Kernels *kernels_level(const char *name) {
    if (strcmp(name, "scalar") == 0) return &scalar_kernels;
#if defined(__x86_64__)
    if (strcmp(name, "avx2") == 0 && has_avx2()) return &kernels_avx2;
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f") && has_avx2())
        return &kernels_avx512;
#elif defined(__aarch64__)
    if (strcmp(name, "neon") == 0) return &kernels_neon;
#endif
    return NULL;
}

static const Kernels *chosen;

static void choose(void) {
    static const char *const levels[] = {"avx512", "avx2", "neon", "scalar"};
    const char *wish = getenv("REC_SIMD");
    for (size_t i = 0; i < sizeof levels / sizeof *levels && !chosen; i++)
        if (!wish || !*wish || strcmp(wish, levels[i]) == 0) chosen = kernels_level(levels[i]);
    if (!chosen) chosen = &scalar_kernels;
}

const Kernels *kernels(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return chosen;
}
