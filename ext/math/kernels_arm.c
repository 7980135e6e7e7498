/* The NEON level, which every 64-bit ARM has. */
#include "kernels_levels.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "kernels_rows.h"
#include "kernels_sum.h"

/* Eight registers of two doubles: lane l of register r is partial sum 2 r + l. */
typedef struct Sums {
    float64x2_t s[8];
} Sums;

static inline Sums no_sums(void) {
    float64x2_t zero = vdupq_n_f64(0);
    return (Sums){{zero, zero, zero, zero, zero, zero, zero, zero}};
}

static double finish(const Sums *sums, const double *tail, size_t n_tail) {
    double sum[16];
    for (int r = 0; r < 8; r++) vst1q_f64(sum + 2 * r, sums->s[r]);
    for (size_t i = 0; i < n_tail; i++) sum[i] += tail[i];
    return kernels_sum16(sum);
}

static inline float64x2_t low(float32x4_t a) { return vcvt_f64_f32(vget_low_f32(a)); }
static inline float64x2_t high(float32x4_t a) { return vcvt_high_f64_f32(a); }

static double dot_neon(const float *a, const float *b, size_t n) {
    Sums sums = no_sums();
    double tail[16];
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t r = 0; r < 4; r++) {
            float32x4_t x = vld1q_f32(a + i + 4 * r), y = vld1q_f32(b + i + 4 * r);
            sums.s[2 * r] = vfmaq_f64(sums.s[2 * r], low(x), low(y));
            sums.s[2 * r + 1] = vfmaq_f64(sums.s[2 * r + 1], high(x), high(y));
        }
    for (size_t j = i; j < n; j++) tail[j - i] = (double)a[j] * (double)b[j];
    return finish(&sums, tail, n - i);
}

/* A square of a difference is not exact in double: it is rounded before it is added. */
static double l2_squared_neon(const float *a, const float *b, size_t n) {
    Sums sums = no_sums();
    double tail[16];
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t r = 0; r < 4; r++) {
            float32x4_t x = vld1q_f32(a + i + 4 * r), y = vld1q_f32(b + i + 4 * r);
            float64x2_t d = vsubq_f64(low(x), low(y)), e = vsubq_f64(high(x), high(y));
            sums.s[2 * r] = vaddq_f64(sums.s[2 * r], vmulq_f64(d, d));
            sums.s[2 * r + 1] = vaddq_f64(sums.s[2 * r + 1], vmulq_f64(e, e));
        }
    for (size_t j = i; j < n; j++) {
        double d = (double)a[j] - (double)b[j];
        tail[j - i] = d * d;
    }
    return finish(&sums, tail, n - i);
}

static double l1_neon(const float *a, const float *b, size_t n) {
    Sums sums = no_sums();
    double tail[16];
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t r = 0; r < 4; r++) {
            float32x4_t x = vld1q_f32(a + i + 4 * r), y = vld1q_f32(b + i + 4 * r);
            sums.s[2 * r] = vaddq_f64(sums.s[2 * r], vabsq_f64(vsubq_f64(low(x), low(y))));
            sums.s[2 * r + 1] = vaddq_f64(
                sums.s[2 * r + 1], vabsq_f64(vsubq_f64(high(x), high(y))));
        }
    for (size_t j = i; j < n; j++) tail[j - i] = fabs((double)a[j] - (double)b[j]);
    return finish(&sums, tail, n - i);
}

static float dot_float_neon(const float *a, const float *b, size_t n) {
    float32x4_t s[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t r = 0; r < 4; r++)
            s[r] = vfmaq_f32(s[r], vld1q_f32(a + i + 4 * r), vld1q_f32(b + i + 4 * r));
    for (; i + 4 <= n; i += 4) s[0] = vfmaq_f32(s[0], vld1q_f32(a + i), vld1q_f32(b + i));
    float sum = vaddvq_f32(vaddq_f32(vaddq_f32(s[0], s[2]), vaddq_f32(s[1], s[3])));
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static float l2_squared_float_neon(const float *a, const float *b, size_t n) {
    float32x4_t s[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t r = 0; r < 4; r++) {
            float32x4_t d = vsubq_f32(vld1q_f32(a + i + 4 * r), vld1q_f32(b + i + 4 * r));
            s[r] = vfmaq_f32(s[r], d, d);
        }
    for (; i + 4 <= n; i += 4) {
        float32x4_t d = vsubq_f32(vld1q_f32(a + i), vld1q_f32(b + i));
        s[0] = vfmaq_f32(s[0], d, d);
    }
    float sum = vaddvq_f32(vaddq_f32(vaddq_f32(s[0], s[2]), vaddq_f32(s[1], s[3])));
    for (; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* Four of a group's eight rows, 16 bytes: bytes times bytes to int16, their pairs (within range as
 * |query| <= 63) and then the pairs of those to int32, one lane a row. */
static inline int32x4_t group_dot(int32x4_t sum, const uint8_t *code, int8x16_t query) {
    uint8x16_t c = vld1q_u8(code);
    int16x8_t first = vmulq_s16(
        vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(c))), vmovl_s8(vget_low_s8(query)));
    int16x8_t second = vmulq_s16(vreinterpretq_s16_u16(vmovl_high_u8(c)), vmovl_high_s8(query));
    return vpadalq_s16(sum, vpaddq_s16(first, second));
}

/* One half of code_look8: rows at .. at + 3. */
static unsigned look4(const CodeLook *look, int32x4_t dot, const float *s, const float *n,
    const float *e, float *upper) {
    static const uint32_t BITS[4] = {1, 2, 4, 8};
    float32x4_t norm = vld1q_f32(n);
    float32x4_t up = vmulq_f32(
        vmulq_f32(vdupq_n_f32(look->scale), vld1q_f32(s)), vcvtq_f32_s32(dot));
    up = vaddq_f32(up, vmulq_f32(vdupq_n_f32(look->error), norm));
    up = vaddq_f32(up, vmulq_f32(vdupq_n_f32(look->coded_norm), vld1q_f32(e)));
    float32x4_t needed = vaddq_f32(
        vdupq_n_f32(look->linear), vmulq_f32(norm, vdupq_n_f32(look->square)));
    needed = vaddq_f32(vdupq_n_f32(look->base), vmulq_f32(norm, needed));
    vst1q_f32(upper, up);
    return vaddvq_u32(vbicq_u32(vld1q_u32(BITS), vcltq_f32(up, needed)));
}

static unsigned code_look8_neon(const CodeLook *look, const uint8_t *code, const float s[8],
    const float n[8], const float e[8], float upper[8]) {
    int32x4_t dot[2] = {vdupq_n_s32(-look->bias), vdupq_n_s32(-look->bias)};
    for (size_t g = 0; g < look->groups; g++) {
        int32_t four;
        memcpy(&four, look->query + 4 * g, sizeof four);
        int8x16_t query = vreinterpretq_s8_s32(vdupq_n_s32(four));
        dot[0] = group_dot(dot[0], code + 32 * g, query);
        dot[1] = group_dot(dot[1], code + 32 * g + 16, query);
    }
    return look4(look, dot[0], s, n, e, upper) |
        look4(look, dot[1], s + 4, n + 4, e + 4, upper + 4) << 4;
}

static float largest(const float *x, size_t n) {
    float32x4_t most = vdupq_n_f32(0);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) most = vmaxnmq_f32(most, vabsq_f32(vld1q_f32(x + i)));
    float found = vmaxnmvq_f32(most);
    for (; i < n; i++) found = fabsf(x[i]) > found ? fabsf(x[i]) : found;
    return found;
}

static float quantize_neon(const float *x, size_t n, int limit, int8_t *out, float *scale) {
    float most = largest(x, n), bound = (float)limit;
    float inverse = most < 1e-30F ? 0 : bound / most;
    *scale = most < 1e-30F ? 0 : most / bound;
    float32x4_t error = vdupq_n_f32(0);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int16x4_t half[2];
        for (size_t h = 0; h < 2; h++) {
            float32x4_t value = vld1q_f32(x + i + 4 * h);
            float32x4_t code = vrndnq_f32(vmulq_n_f32(value, inverse));
            code = vminnmq_f32(vmaxnmq_f32(code, vdupq_n_f32(-bound)), vdupq_n_f32(bound));
            float32x4_t e = vsubq_f32(value, vmulq_n_f32(code, *scale));
            error = vfmaq_f32(error, e, e);
            half[h] = vmovn_s32(vcvtq_s32_f32(code));
        }
        vst1_s8(out + i, vmovn_s16(vcombine_s16(half[0], half[1])));
    }
    float sum = vaddvq_f32(error);
    for (; i < n; i++) {
        float code = fminf(fmaxf(rintf(x[i] * inverse), -bound), bound);
        float e = x[i] - *scale * code;
        out[i] = (int8_t)code;
        sum += e * e;
    }
    return sum;
}

static int32_t code_dot_neon(const int8_t *code, const int16_t *query, size_t n) {
    int32x4_t s0 = vdupq_n_s32(0), s1 = s0;
    for (size_t i = 0; i < n; i += 8) {
        int16x8_t c = vmovl_s8(vld1_s8(code + i)), q = vld1q_s16(query + i);
        s0 = vmlal_s16(s0, vget_low_s16(c), vget_low_s16(q));
        s1 = vmlal_high_s16(s1, c, q);
    }
    return vaddvq_s32(vaddq_s32(s0, s1));
}

static void from_half_neon(const uint16_t *half, float *out, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(half + i))));
    for (; i < n; i++)
        out[i] = vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half[i]))), 0);
}

static void from_code_neon(const int8_t *code, float scale, float *out, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int16x8_t c = vmovl_s8(vld1_s8(code + i));
        vst1q_f32(out + i, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(c))), scale));
        vst1q_f32(out + i + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(c)), scale));
    }
    for (; i < n; i++) out[i] = scale * (float)code[i];
}

static void product_neon(const float *a, const float *b, size_t n, float *out) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(out + i, vmulq_f32(vld1q_f32(a + i), vld1q_f32(b + i)));
    for (; i < n; i++) out[i] = a[i] * b[i];
}

static void scaled_neon(const float *a, float factor, size_t n, float *out) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(out + i, vmulq_n_f32(vld1q_f32(a + i), factor));
    for (; i < n; i++) out[i] = factor * a[i];
}

/* 16 columns at a time in four registers. */
static void sparse_row_neon(const int32_t *col, const float *val, int64_t n, const float *dense,
    size_t stride, size_t width, float *out) {
    for (size_t w = 0; w < width; w += 16) {
        float32x4_t s[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
        for (int64_t e = 0; e < n; e++) {
            const float *row = dense + (size_t)col[e] * stride + w;
            for (size_t r = 0; r < 4; r++)
                s[r] = vaddq_f32(s[r], vmulq_n_f32(vld1q_f32(row + 4 * r), val[e]));
        }
        for (size_t r = 0; r < 4; r++) vst1q_f32(out + w + 4 * r, s[r]);
    }
}

/* Rows i .. i + rows - 1 of a panel; rows is a constant where this is inlined, so that the sums
 * stay in registers. */
static inline __attribute__((always_inline)) void panel_rows(
    const ProductPanel *p, size_t i, size_t rows, int add) {
    float32x4_t sum[6][4];
    const float *a = p->a + i * p->a_row;
    float *c = p->c + i * p->c_row;
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < 4; h++)
            sum[r][h] = add ? vld1q_f32(c + r * p->c_row + 4 * h) : vdupq_n_f32(0);
    for (size_t l = 0; l < p->k; l++) {
        const float *b = p->b + 16 * l;
        for (size_t r = 0; r < rows; r++) {
            float value = a[r * p->a_row + l * p->a_col];
            for (size_t h = 0; h < 4; h++)
                sum[r][h] = vfmaq_n_f32(sum[r][h], vld1q_f32(b + 4 * h), value);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < 4; h++) vst1q_f32(c + r * p->c_row + 4 * h, sum[r][h]);
}

static void panel_neon(const ProductPanel *p, int add) {
    size_t i = 0;
    for (; i + 6 <= p->m; i += 6) panel_rows(p, i, 6, add);
    PANEL_REST(panel_rows, p, i, add)
}

ROW_FUNCTIONS(, neon)

const Kernels kernels_neon = {
    "neon",
    dot_neon,
    l2_squared_neon,
    l1_neon,
    dot_float_neon,
    l2_squared_float_neon,
    code_look8_neon,
    quantize_neon,
    code_dot_neon,
    from_half_neon,
    from_code_neon,
    product_neon,
    scaled_neon,
    sparse_row_neon,
    panel_neon,
    row_most_neon,
    row_exp_neon,
    gelu_neon,
    gelu_back_neon,
    gelu_erf_neon,
    drop_neon,
    adam_neon,
    adam_rest_neon,
};
#endif
