/* Vector kernels: float32 in, double out, chosen once for the CPU that runs them.
 *
 * Every level (scalar, AVX2, AVX-512, NEON) keeps the same 16 partial sums (element i goes to sum
 * i mod 16) and adds them up in the same order, and the products are exact in double, so that all
 * levels give the same bits. */
#ifndef REC_KERNELS_H
#define REC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* A coded query for code_look8: 4 * groups signed bytes, |query_i| <= 63, so that pair sums of
 * products stay within int16. What the numbers mean: ann/codes.h. */
typedef struct CodeLook {
    const int8_t *query;
    size_t groups;
    int32_t bias;
    float scale, error, coded_norm;
    float base, linear, square;
} CodeLook;

/* A panel of 16 columns of c = a b: see Kernels.panel. */
typedef struct ProductPanel {
    size_t m, k;
    const float *a;
    size_t a_row, a_col;
    const float *b; /* k x 16 */
    float *c;
    size_t c_row;
} ProductPanel;

typedef struct RowAdam {
    float first, second, rate, shrink, least;
} RowAdam;

typedef struct Kernels {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */
    /* sum a_i b_i */
    double (*dot)(const float *a, const float *b, size_t n);
    /* sum (a_i - b_i)^2 */
    double (*l2_squared)(const float *a, const float *b, size_t n);
    /* sum |a_i - b_i| */
    double (*l1)(const float *a, const float *b, size_t n);
    /* sum a_i b_i and sum (a_i - b_i)^2 in float32 arithmetic, for graph searches that re-rank
     * afterwards */
    float (*dot_float)(const float *a, const float *b, size_t n);
    float (*l2_squared_float)(const float *a, const float *b, size_t n);
    /* Of 8 rows j: upper_j = scale s_j (sum_i query_i code_ij - bias) + error n_j + coded_norm e_j,
     * in float32 and in this order, so that all levels give the same bits. The result has bit j
     * unless upper_j < base + n_j (linear + n_j square); upper is set where there is one. Codes are
     * stored in groups of four dimensions: code[g][j][0..3], g < groups. */
    unsigned (*code_look8)(const CodeLook *look, const uint8_t *code, const float s[8],
        const float n[8], const float e[8], float upper[8]);
    /* out_i = round(x_i / scale), |out_i| <= limit, with scale = max|x| / limit (0, and all codes
     * 0, where that is tiny). Returns sum (x_i - scale out_i)^2, to about 1e-5 of it. */
    float (*quantize)(const float *x, size_t n, int limit, int8_t *out, float *scale);
    /* sum code_i query_i, n a multiple of 16 */
    int32_t (*code_dot)(const int8_t *code, const int16_t *query, size_t n);
    /* Stored forms of a vector as float32: IEEE half precision (exact), and scale * code (rounded
     * to float32). */
    void (*from_half)(const uint16_t *half, float *out, size_t n);
    void (*from_code)(const int8_t *code, float scale, float *out, size_t n);
    /* out_i = a_i b_i, and out_i = factor a_i, float32 */
    void (*product)(const float *a, const float *b, size_t n, float *out);
    void (*scaled)(const float *a, float factor, size_t n, float *out);
    /* A row of a sparse times a dense matrix, in float32: out_w = sum_e val_e dense[col_e * stride
     * + w], w < width, each sum in the order of e and without fused steps, so that all levels give
     * the same bits. width: a multiple of 16. */
    void (*sparse_row)(const int32_t *col, const float *val, int64_t n, const float *dense,
        size_t stride, size_t width, float *out);
    /* A panel of 16 columns of a matrix product, in float32: c_ij, i < m, j < 16, is begun at 0, or
     * where add at what is there, and gets fma(a_il, b_lj, c_ij) for l = 0, 1, .. k - 1 in this
     * order, so that all levels give the same bits. a_il: a[i * a_row + l * a_col]; b_lj: b[16 l +
     * j]. */
    void (*panel)(const ProductPanel *panel, int add);
    /* Rows of n float32 numbers, without fused steps, by the exp of kernels_rows.h:
     * x_i += bias, most_i = max(most_i, x_i) */
    void (*row_most)(float *x, float bias, float *most, size_t n);
    /* x_i = exp(x_i - most_i), sum_i += x_i */
    void (*row_exp)(float *x, const float *most, float *sum, size_t n);
    /* y_i = x_i s(1.702 x_i), s(z) = 1 / (1 + exp(-z)): the sigmoid form of GELU (Hendrycks and
     * Gimpel 2016); and dx_i = dy_i times its derivative at x_i */
    void (*gelu)(const float *x, float *y, size_t n);
    void (*gelu_back)(const float *x, const float *dy, float *dx, size_t n);
    /* y_i = x_i P(N(0, 1) <= x_i): GELU itself, to 1e-6 */
    void (*gelu_erf)(const float *x, float *y, size_t n);
    /* Dropout: x_i = x_i factor where a hash of (key, i) is at least least, else 0. */
    void (*drop)(float *x, uint32_t key, uint32_t least, float factor, size_t n);
    /* A step of Adam: m_i = first m_i + (1 - first) g_i, v_i = second v_i + (1 - second) g_i^2,
     * x_i -= rate m_i / (sqrt(v_i) shrink + least). */
    void (*adam)(const RowAdam *step, float *x, float *m, float *v, const float *g, size_t n);
    /* x_i -= rate m_i / (sqrt(v_i) shrink + least), m_i *= first, v_i *= second */
    void (*adam_rest)(const RowAdam *step, float *x, float *m, float *v, size_t n);
} Kernels;

/* The best level that this CPU has (and REC_SIMD=scalar|avx2|avx512|neon in the environment
 * allows). Thread-safe. */
const Kernels *kernels(void);

/* The levels by name, for tests; NULL where the CPU or the build lacks it. */
const Kernels *kernels_level(const char *name);

/* Plain double-precision twins, one running sum: the oracle that the kernels are tested against. */
double naive_dot(const float *a, const float *b, size_t n);
double naive_l2_squared(const float *a, const float *b, size_t n);
double naive_l1(const float *a, const float *b, size_t n);

/* To IEEE half precision, to nearest, ties to even; what is past 65504 becomes infinity. */
uint16_t half_of(float value);

/* Index of the first element that is NaN or infinite, or -1. */
int64_t vector_first_bad(const float *a, size_t n);

#endif
