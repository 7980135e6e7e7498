/* AVX2 and AVX-512 levels. Only the functions carry a target attribute, so that nothing else in the
 * object can use an instruction that the CPU may lack. */
#include "kernels_levels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#include "kernels_rows.h"
#include "kernels_sum.h"

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX512 __attribute__((target("avx512f,avx2,fma,f16c")))

/* Four registers of four doubles: lane l of register r is partial sum 4 r + l. */
AVX2 static double finish_avx2(__m256d s[4], const double *tail, size_t n_tail) {
    double sum[16];
    for (int r = 0; r < 4; r++) _mm256_storeu_pd(sum + 4 * r, s[r]);
    for (size_t i = 0; i < n_tail; i++) sum[i] += tail[i];
    return kernels_sum16(sum);
}

AVX2 static inline __m256d widen(const float *a) { return _mm256_cvtps_pd(_mm_loadu_ps(a)); }

AVX2 static double dot_avx2(const float *a, const float *b, size_t n) {
    __m256d s[4] = {
        _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
    double tail[16];
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t r = 0; r < 4; r++)
            s[r] = _mm256_fmadd_pd(widen(a + i + 4 * r), widen(b + i + 4 * r), s[r]);
    for (size_t j = i; j < n; j++) tail[j - i] = (double)a[j] * (double)b[j];
    return finish_avx2(s, tail, n - i);
}

AVX2 static double l2_squared_avx2(const float *a, const float *b, size_t n) {
    __m256d s[4] = {
        _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
    double tail[16];
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t r = 0; r < 4; r++) {
            __m256d d = _mm256_sub_pd(widen(a + i + 4 * r), widen(b + i + 4 * r));
            s[r] = _mm256_add_pd(s[r], _mm256_mul_pd(d, d));
        }
    for (size_t j = i; j < n; j++) {
        double d = (double)a[j] - (double)b[j];
        tail[j - i] = d * d;
    }
    return finish_avx2(s, tail, n - i);
}

AVX2 static double l1_avx2(const float *a, const float *b, size_t n) {
    __m256d s[4] = {
        _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
    const __m256d sign = _mm256_set1_pd(-0.0);
    double tail[16];
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t r = 0; r < 4; r++) {
            __m256d d = _mm256_sub_pd(widen(a + i + 4 * r), widen(b + i + 4 * r));
            s[r] = _mm256_add_pd(s[r], _mm256_andnot_pd(sign, d));
        }
    for (size_t j = i; j < n; j++) tail[j - i] = fabs((double)a[j] - (double)b[j]);
    return finish_avx2(s, tail, n - i);
}

AVX2 static float sum8(__m256 s) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

AVX2 static float dot_float_avx2(const float *a, const float *b, size_t n) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
    }
    for (; i + 8 <= n; i += 8)
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
    float sum = sum8(_mm256_add_ps(s0, s1));
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

AVX2 static float l2_squared_float_avx2(const float *a, const float *b, size_t n) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
        s0 = _mm256_fmadd_ps(d0, d0, s0);
        s1 = _mm256_fmadd_ps(d1, d1, s1);
    }
    for (; i + 8 <= n; i += 8) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        s0 = _mm256_fmadd_ps(d, d, s0);
    }
    float sum = sum8(_mm256_add_ps(s0, s1));
    for (; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* One group is 32 bytes: 8 rows of 4 dimensions. maddubs pairs them to int16 (within range as
 * |query| <= 63), madd with ones to int32, one lane a row. */
AVX2 static __m256i group_dot(const uint8_t *code, const int8_t *query) {
    int32_t q;
    __builtin_memcpy(&q, query, 4);
    __m256i pairs = _mm256_maddubs_epi16(
        _mm256_load_si256((const __m256i *)(const void *)code), _mm256_set1_epi32(q));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

AVX2 static unsigned code_look8_avx2(const CodeLook *look, const uint8_t *code, const float s[8],
    const float n[8], const float e[8], float upper[8]) {
    __m256i s0 = _mm256_set1_epi32(-look->bias), s1 = _mm256_setzero_si256();
    size_t g = 0;
    for (; g + 2 <= look->groups; g += 2) {
        s0 = _mm256_add_epi32(s0, group_dot(code + 32 * g, look->query + 4 * g));
        s1 = _mm256_add_epi32(s1, group_dot(code + 32 * g + 32, look->query + 4 * g + 4));
    }
    if (g < look->groups) s0 = _mm256_add_epi32(s0, group_dot(code + 32 * g, look->query + 4 * g));
    __m256 norm = _mm256_loadu_ps(n), dot = _mm256_cvtepi32_ps(_mm256_add_epi32(s0, s1));
    __m256 up = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(look->scale), _mm256_loadu_ps(s)), dot);
    up = _mm256_add_ps(up, _mm256_mul_ps(_mm256_set1_ps(look->error), norm));
    up = _mm256_add_ps(up, _mm256_mul_ps(_mm256_set1_ps(look->coded_norm), _mm256_loadu_ps(e)));
    __m256 needed = _mm256_add_ps(
        _mm256_set1_ps(look->linear), _mm256_mul_ps(norm, _mm256_set1_ps(look->square)));
    needed = _mm256_add_ps(_mm256_set1_ps(look->base), _mm256_mul_ps(norm, needed));
    unsigned in = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(up, needed, _CMP_NLT_UQ));
    if (in) _mm256_storeu_ps(upper, up);
    return in;
}

AVX2 static float largest_avx2(const float *x, size_t n) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    __m256 most = _mm256_setzero_ps();
    float lane[8], largest = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        most = _mm256_max_ps(most, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
    _mm256_storeu_ps(lane, most);
    for (int l = 0; l < 8; l++) largest = lane[l] > largest ? lane[l] : largest;
    for (; i < n; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    return largest;
}

AVX2 static float quantize_avx2(const float *x, size_t n, int limit, int8_t *out, float *scale) {
    float largest = largest_avx2(x, n);
    float inverse = largest < 1e-30F ? 0 : (float)limit / largest;
    *scale = largest < 1e-30F ? 0 : largest / (float)limit;
    const __m256 inverses = _mm256_set1_ps(inverse), scales = _mm256_set1_ps(*scale);
    const __m256i most = _mm256_set1_epi32(limit), least = _mm256_set1_epi32(-limit);
    __m256 error = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 value = _mm256_loadu_ps(x + i);
        __m256i code = _mm256_cvtps_epi32(_mm256_mul_ps(value, inverses));
        code = _mm256_max_epi32(_mm256_min_epi32(code, most), least);
        __m256 e = _mm256_sub_ps(value, _mm256_mul_ps(scales, _mm256_cvtepi32_ps(code)));
        error = _mm256_fmadd_ps(e, e, error);
        __m128i half = _mm_packs_epi32(
            _mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
        _mm_storel_epi64((__m128i *)(void *)(out + i), _mm_packs_epi16(half, half));
    }
    float sum = sum8(error);
    for (; i < n; i++) {
        float code = rintf(x[i] * inverse);
        code = code > (float)limit ? (float)limit : code < (float)-limit ? (float)-limit : code;
        float e = x[i] - *scale * code;
        out[i] = (int8_t)code;
        sum += e * e;
    }
    return sum;
}

AVX2 static int32_t code_dot_avx2(const int8_t *code, const int16_t *query, size_t n) {
    __m256i s0 = _mm256_setzero_si256(), s1 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i c0 = _mm256_cvtepi8_epi16(
            _mm_loadu_si128((const __m128i *)(const void *)(code + i)));
        __m256i c1 = _mm256_cvtepi8_epi16(
            _mm_loadu_si128((const __m128i *)(const void *)(code + i + 16)));
        s0 = _mm256_add_epi32(s0,
            _mm256_madd_epi16(c0, _mm256_loadu_si256((const __m256i *)(const void *)(query + i))));
        s1 = _mm256_add_epi32(s1,
            _mm256_madd_epi16(
                c1, _mm256_loadu_si256((const __m256i *)(const void *)(query + i + 16))));
    }
    if (i < n) {
        __m256i c0 = _mm256_cvtepi8_epi16(
            _mm_loadu_si128((const __m128i *)(const void *)(code + i)));
        s0 = _mm256_add_epi32(s0,
            _mm256_madd_epi16(c0, _mm256_loadu_si256((const __m256i *)(const void *)(query + i))));
    }
    s0 = _mm256_add_epi32(s0, s1);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(s0), _mm256_extracti128_si256(s0, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

AVX2 static void from_half_avx2(const uint16_t *half, float *out, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(
            out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(half + i))));
    for (; i < n; i++) out[i] = _cvtsh_ss(half[i]);
}

AVX2 static void from_code_avx2(const int8_t *code, float scale, float *out, size_t n) {
    const __m256 scales = _mm256_set1_ps(scale);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i whole = _mm256_cvtepi8_epi32(
            _mm_loadl_epi64((const __m128i *)(const void *)(code + i)));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(scales, _mm256_cvtepi32_ps(whole)));
    }
    for (; i < n; i++) out[i] = scale * (float)code[i];
}

AVX2 static void product_avx2(const float *a, const float *b, size_t n, float *out) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    for (; i < n; i++) out[i] = a[i] * b[i];
}

AVX2 static void scaled_avx2(const float *a, float factor, size_t n, float *out) {
    __m256 factors = _mm256_set1_ps(factor);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_mul_ps(factors, _mm256_loadu_ps(a + i)));
    for (; i < n; i++) out[i] = factor * a[i];
}

/* 32 columns at a time in four registers, then 16 in two. */
AVX2 static void sparse_row_avx2(const int32_t *col, const float *val, int64_t n,
    const float *dense, size_t stride, size_t width, float *out) {
    size_t w = 0;
    for (; w + 32 <= width; w += 32) {
        __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
        for (int64_t e = 0; e < n; e++) {
            const float *row = dense + (size_t)col[e] * stride + w;
            __m256 x = _mm256_set1_ps(val[e]);
            s0 = _mm256_add_ps(s0, _mm256_mul_ps(x, _mm256_loadu_ps(row)));
            s1 = _mm256_add_ps(s1, _mm256_mul_ps(x, _mm256_loadu_ps(row + 8)));
            s2 = _mm256_add_ps(s2, _mm256_mul_ps(x, _mm256_loadu_ps(row + 16)));
            s3 = _mm256_add_ps(s3, _mm256_mul_ps(x, _mm256_loadu_ps(row + 24)));
        }
        _mm256_storeu_ps(out + w, s0);
        _mm256_storeu_ps(out + w + 8, s1);
        _mm256_storeu_ps(out + w + 16, s2);
        _mm256_storeu_ps(out + w + 24, s3);
    }
    for (; w < width; w += 16) {
        __m256 s0 = _mm256_setzero_ps(), s1 = s0;
        for (int64_t e = 0; e < n; e++) {
            const float *row = dense + (size_t)col[e] * stride + w;
            __m256 x = _mm256_set1_ps(val[e]);
            s0 = _mm256_add_ps(s0, _mm256_mul_ps(x, _mm256_loadu_ps(row)));
            s1 = _mm256_add_ps(s1, _mm256_mul_ps(x, _mm256_loadu_ps(row + 8)));
        }
        _mm256_storeu_ps(out + w, s0);
        _mm256_storeu_ps(out + w + 8, s1);
    }
}

/* Rows i .. i + rows - 1 of a panel; rows is a constant where this is inlined, so that the sums
 * stay in registers. */
AVX2 static inline __attribute__((always_inline)) void panel_rows(
    const ProductPanel *p, size_t i, size_t rows, int add) {
    __m256 sum[6][2];
    const float *a = p->a + i * p->a_row;
    float *c = p->c + i * p->c_row;
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < 2; h++)
            sum[r][h] = add ? _mm256_loadu_ps(c + r * p->c_row + 8 * h) : _mm256_setzero_ps();
    for (size_t l = 0; l < p->k; l++) {
        __m256 b0 = _mm256_loadu_ps(p->b + 16 * l), b1 = _mm256_loadu_ps(p->b + 16 * l + 8);
        for (size_t r = 0; r < rows; r++) {
            __m256 value = _mm256_broadcast_ss(a + r * p->a_row + l * p->a_col);
            sum[r][0] = _mm256_fmadd_ps(value, b0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(value, b1, sum[r][1]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < 2; h++) _mm256_storeu_ps(c + r * p->c_row + 8 * h, sum[r][h]);
}

AVX2 static void panel_avx2(const ProductPanel *p, int add) {
    size_t i = 0;
    for (; i + 6 <= p->m; i += 6) panel_rows(p, i, 6, add);
    PANEL_REST(panel_rows, p, i, add)
}

ROW_FUNCTIONS(AVX2, avx2)

const Kernels kernels_avx2 = {
    "avx2",
    dot_avx2,
    l2_squared_avx2,
    l1_avx2,
    dot_float_avx2,
    l2_squared_float_avx2,
    code_look8_avx2,
    quantize_avx2,
    code_dot_avx2,
    from_half_avx2,
    from_code_avx2,
    product_avx2,
    scaled_avx2,
    sparse_row_avx2,
    panel_avx2,
    row_most_avx2,
    row_exp_avx2,
    gelu_avx2,
    gelu_back_avx2,
    gelu_erf_avx2,
    drop_avx2,
    adam_avx2,
    adam_rest_avx2,
};

/* Two registers of eight doubles: lane l of register r is partial sum 8 r + l. */
AVX512 static double finish_avx512(__m512d s0, __m512d s1, const double *tail, size_t n_tail) {
    double sum[16];
    _mm512_storeu_pd(sum, s0);
    _mm512_storeu_pd(sum + 8, s1);
    for (size_t i = 0; i < n_tail; i++) sum[i] += tail[i];
    return kernels_sum16(sum);
}

AVX512 static double dot_avx512(const float *a, const float *b, size_t n) {
    __m512d s0 = _mm512_setzero_pd(), s1 = s0;
    double tail[16];
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        s0 = _mm512_fmadd_pd(
            _mm512_cvtps_pd(_mm256_loadu_ps(a + i)), _mm512_cvtps_pd(_mm256_loadu_ps(b + i)), s0);
        s1 = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm256_loadu_ps(a + i + 8)),
            _mm512_cvtps_pd(_mm256_loadu_ps(b + i + 8)), s1);
    }
    for (size_t j = i; j < n; j++) tail[j - i] = (double)a[j] * (double)b[j];
    return finish_avx512(s0, s1, tail, n - i);
}

/* As panel_rows: a row's 16 sums are one register. */
AVX512 static inline __attribute__((always_inline)) void panel_rows_512(
    const ProductPanel *p, size_t i, size_t rows, int add) {
    __m512 sum[12];
    const float *a = p->a + i * p->a_row;
    float *c = p->c + i * p->c_row;
    for (size_t r = 0; r < rows; r++)
        sum[r] = add ? _mm512_loadu_ps(c + r * p->c_row) : _mm512_setzero_ps();
    for (size_t l = 0; l < p->k; l++) {
        __m512 b = _mm512_loadu_ps(p->b + 16 * l);
        for (size_t r = 0; r < rows; r++)
            sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(a[r * p->a_row + l * p->a_col]), b, sum[r]);
    }
    for (size_t r = 0; r < rows; r++) _mm512_storeu_ps(c + r * p->c_row, sum[r]);
}

AVX512 static void panel_avx512(const ProductPanel *p, int add) {
    size_t i = 0;
    for (; i + 12 <= p->m; i += 12) panel_rows_512(p, i, 12, add);
    for (; i + 6 <= p->m; i += 6) panel_rows_512(p, i, 6, add);
    PANEL_REST(panel_rows_512, p, i, add)
}

ROW_FUNCTIONS(AVX512, avx512)

const Kernels kernels_avx512 = {
    "avx512",
    dot_avx512,
    l2_squared_avx2,
    l1_avx2,
    dot_float_avx2,
    l2_squared_float_avx2,
    code_look8_avx2,
    quantize_avx2,
    code_dot_avx2,
    from_half_avx2,
    from_code_avx2,
    product_avx2,
    scaled_avx2,
    sparse_row_avx2,
    panel_avx512,
    row_most_avx512,
    row_exp_avx512,
    gelu_avx512,
    gelu_back_avx512,
    gelu_erf_avx512,
    drop_avx512,
    adam_avx512,
    adam_rest_avx512,
};
#endif
