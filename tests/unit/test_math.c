#include "../../ext/base/memory.h"
#include "../../ext/base/random.h"
#include "../../ext/math/csr.h"
#include "../../ext/math/dense.h"
#include "../../ext/math/kernels.h"
#include "../../ext/math/ordered.h"
#include "check.h"

static void fill(float *a, size_t n, uint64_t stream) {
    Random random;
    random_init(&random, 11, stream);
    for (size_t i = 0; i < n; i++) a[i] = (float)random_normal(&random);
}

static const char *const LEVELS[] = {"scalar", "avx2", "avx512", "neon"};
enum { N_LEVELS = sizeof LEVELS / sizeof *LEVELS };

TEST(kernels_agree_with_their_naive_twins) {
    float a[300], b[300];
    for (int l = 0; l < N_LEVELS; l++) {
        const Kernels *k = kernels_level(LEVELS[l]);
        if (!k) continue;
        for (size_t n = 1; n < 300; n++) {
            fill(a, n, n);
            fill(b, n, n + 1000);
            double scale = sqrt(naive_dot(a, a, n) * naive_dot(b, b, n));
            CHECK(fabs(k->dot(a, b, n) - naive_dot(a, b, n)) <= 1e-14 * scale);
            CHECK_NEAR(k->l2_squared(a, b, n), naive_l2_squared(a, b, n), 1e-13);
            CHECK_NEAR(k->l1(a, b, n), naive_l1(a, b, n), 1e-13);
            CHECK(fabs((double)k->dot_float(a, b, n) - naive_dot(a, b, n)) <= 1e-5 * scale);
            CHECK_NEAR((double)k->l2_squared_float(a, b, n), naive_l2_squared(a, b, n), 1e-5);
        }
    }
}

TEST(kernels_give_the_same_bits_at_every_level) {
    float a[300], b[300];
    const Kernels *scalar = kernels_level("scalar");
    for (int l = 1; l < N_LEVELS; l++) {
        const Kernels *k = kernels_level(LEVELS[l]);
        if (!k) continue;
        for (size_t n = 1; n < 300; n++) {
            fill(a, n, n);
            fill(b, n, n + 2000);
            CHECK_NEAR(k->dot(a, b, n), scalar->dot(a, b, n), 0);
            CHECK_NEAR(k->l2_squared(a, b, n), scalar->l2_squared(a, b, n), 0);
            CHECK_NEAR(k->l1(a, b, n), scalar->l1(a, b, n), 0);
        }
    }
}

TEST(code_look8_is_the_same_at_every_level) {
    uint8_t *code = mem_aligned(32, 32);
    int8_t query[128];
    float s[8], n[8], e[8];
    Random random;
    random_init(&random, 5, 0);
    for (int round = 0; round < 200; round++) {
        CodeLook look = {.query = query,
            .groups = 1 + (size_t)random_below(&random, 32),
            .bias = (int32_t)random_below(&random, 1000),
            .scale = 1};
        for (size_t i = 0; i < look.groups * 32; i++)
            code[i] = (uint8_t)(round == 0 ? 255 : random_below(&random, 256));
        for (size_t i = 0; i < look.groups * 4; i++)
            query[i] = (int8_t)(round == 0 ? 63 : (int)random_below(&random, 127) - 63);
        for (int j = 0; j < 8; j++) {
            s[j] = 1;
            n[j] = round % 3 ? (float)random_below(&random, 100) : j == 3 ? INFINITY : 0;
            e[j] = (float)random_below(&random, 10);
        }
        if (round % 2)
            look = (CodeLook){look.query, look.groups, look.bias, .5F, .25F, .125F,
                (float)random_below(&random, 5000), 3, .5F};
        for (int l = 0; l < N_LEVELS; l++) {
            float upper[8];
            const Kernels *k = kernels_level(LEVELS[l]);
            if (!k) continue;
            unsigned in = k->code_look8(&look, code, s, n, e, upper);
            for (size_t row = 0; row < 8; row++) {
                int32_t sum = -look.bias;
                for (size_t i = 0; i < look.groups * 4; i++)
                    sum += code[i / 4 * 32 + row * 4 + i % 4] * query[i];
                float want = look.scale * s[row] * (float)sum + look.error * n[row] +
                    look.coded_norm * e[row];
                CHECK(!(in >> row & 1) ==
                    (want < look.base + n[row] * (look.linear + n[row] * look.square)));
                CHECK(!in || upper[row] == want || (isnan(want) && isnan(upper[row])));
            }
        }
    }
    mem_free(code);
}

/* Products with stored forms and sparse rows: whole numbers where a sum's order is free. */
TEST(stored_forms_and_rows_are_the_same_at_every_level) {
    const Kernels *scalar = kernels_level("scalar");
    float a[64], b[64 * 5], want[64], got[64], val[5] = {1.5F, -2, .25F, 3, -.125F};
    int32_t col[5] = {4, 0, 2, 2, 1};
    uint16_t half[64];
    int16_t query[64];
    int8_t code[64], code_want[64];
    fill(b, 64 * 5, 3);
    for (int l = 1; l < N_LEVELS; l++) {
        const Kernels *k = kernels_level(LEVELS[l]);
        if (!k) continue;
        for (size_t n = 1; n <= 64; n++) {
            float scale, scale_want;
            fill(a, n, n + 7);
            for (size_t i = 0; i < n; i++) half[i] = (uint16_t)(i * 1777 + n * 13);
            float error = k->quantize(a, n, 127, code, &scale);
            CHECK_NEAR(
                (double)error, (double)scalar->quantize(a, n, 127, code_want, &scale_want), 1e-5);
            CHECK(memcmp(code, code_want, n) == 0 && scale == scale_want);
            for (size_t i = 0; i < n; i++) query[i] = (int16_t)((int)i * 501 - 16000);
            if (n % 16 == 0) CHECK(k->code_dot(code, query, n) == scalar->code_dot(code, query, n));
            scalar->from_half(half, want, n);
            k->from_half(half, got, n);
            for (size_t i = 0; i < n; i++)
                CHECK(want[i] == got[i] || (isnan(want[i]) && isnan(got[i])));
            scalar->from_code(code, scale, want, n);
            k->from_code(code, scale, got, n);
            CHECK(memcmp(want, got, n * sizeof *want) == 0);
            scalar->product(a, b, n, want);
            k->product(a, b, n, got);
            CHECK(memcmp(want, got, n * sizeof *want) == 0);
            scalar->scaled(a, .3F, n, want);
            k->scaled(a, .3F, n, got);
            CHECK(memcmp(want, got, n * sizeof *want) == 0);
            if (n % 16) continue;
            scalar->sparse_row(col, val, 5, b, 64, n, want);
            k->sparse_row(col, val, 5, b, 64, n, got);
            CHECK(memcmp(want, got, n * sizeof *want) == 0);
        }
    }
}

TEST(vector_first_bad_finds_nan_and_infinity) {
    float a[] = {1, 2, NAN}, b[] = {INFINITY}, c[] = {1};
    CHECK(
        vector_first_bad(a, 3) == 2 && vector_first_bad(b, 1) == 0 && vector_first_bad(c, 1) == -1);
}

TEST(dense_gram_agrees_with_its_naive_twin) {
    float x[50 * 7], gram[49], naive[49];
    fill(x, 50 * 7, 1);
    CHECK(dense_begin(1, NULL) == ST_OK);
    dense_gram(gram, x, 2, 50, 7);
    dense_end();
    dense_gram_naive(naive, x, 2, 50, 7);
    for (int i = 0; i < 49; i++) CHECK(fabs((double)(gram[i] - naive[i])) < 1e-3);
}

TEST(dense_solve_spd_solves) {
    float a[9] = {4, 1, 0, 0, 3, 1, 0, 0, 2}; /* upper triangle of a positive definite matrix */
    float b[3] = {6, 10, 8};                  /* A (1, 2, 3) */
    CHECK(dense_begin(1, NULL) == ST_OK);
    CHECK(dense_solve_spd(a, b, 3, 1) == 0);
    dense_end();
    for (int i = 0; i < 3; i++) CHECK(fabs((double)b[i] - (i + 1)) < 1e-5);
    float bad[4] = {-1, 0, 0, 1}, c[2] = {1, 1};
    CHECK(dense_solve_spd(bad, c, 2, 1) == 1);
}

/* A = x'x of random rows, whose eigenvalues differ, in a (d x d). */
static void random_gram(float *a, float *x, size_t n, size_t d) {
    Random random;
    random_init(&random, 31, d);
    for (size_t i = 0; i < n * d; i++) x[i] = (float)random_normal(&random);
    ordered_gram(a, x, n, d);
}

TEST(ordered_gram_is_its_naive_twin) {
    enum { N = 70, D = 32 };
    float x[N * D], a[D * D], want[D * D];
    random_gram(a, x, N, D);
    dense_gram_naive(want, x, 1, N, D);
    for (size_t i = 0; i < D * D; i++) CHECK(fabs((double)a[i] - (double)want[i]) <= 1e-4);
}

TEST(ordered_inverse_factor_makes_orthonormal_columns) {
    enum { N = 70, D = 32 };
    float x[N * D], a[D * D];
    random_gram(a, x, N, D);
    CHECK(ordered_inverse_factor(a, D) == 0);
    for (size_t p = 0; p < D; p++)
        for (size_t q = 0; q < D; q++) {
            double sum = 0; /* columns p and q of x R^-1 */
            for (size_t i = 0; i < N; i++) {
                double of_p = 0, of_q = 0;
                for (size_t l = 0; l < D; l++) {
                    of_p += (double)x[i * D + l] * (double)a[l * D + p];
                    of_q += (double)x[i * D + l] * (double)a[l * D + q];
                }
                sum += of_p * of_q;
            }
            CHECK(fabs(sum - (p == q)) <= 1e-5);
            if (q < p) CHECK(a[p * D + q] == 0);
        }
    float indefinite[4] = {1, 2, 2, 1};
    CHECK(ordered_inverse_factor(indefinite, 2) == 1);
}

TEST(ordered_eigen_finds_values_and_vectors) {
    enum { N = 70, D = 32 };
    float x[N * D], a[D * D], vectors[D * D], value[D];
    random_gram(a, x, N, D);
    memcpy(vectors, a, sizeof a);
    CHECK(ordered_eigen(vectors, value, D, NULL) == 0);
    for (size_t e = 0; e < D; e++) {
        const float *v = vectors + e * D;
        if (e) CHECK(value[e] >= value[e - 1]);
        for (size_t i = 0; i < D; i++) {
            double sum = 0;
            for (size_t l = 0; l < D; l++) sum += (double)a[i * D + l] * (double)v[l];
            CHECK(fabs(sum - (double)value[e] * (double)v[i]) <= 2e-4 * (double)value[D - 1]);
        }
        for (size_t f = 0; f <= e; f++) {
            double dot = 0;
            for (size_t l = 0; l < D; l++) dot += (double)v[l] * (double)vectors[f * D + l];
            CHECK(fabs(dot - (e == f)) <= 1e-5);
        }
    }
    float diagonal[9] = {3, 0, 0, 0, 1, 0, 0, 0, 2}, of_diagonal[3];
    CHECK(ordered_eigen(diagonal, of_diagonal, 3, NULL) == 0);
    CHECK(of_diagonal[0] == 1 && of_diagonal[1] == 2 && of_diagonal[2] == 3);
}

TEST(csr_transpose_twice_is_the_same_matrix) {
    Csr a, t, back;
    CHECK(csr_alloc(&a, 3, 4, 4, NULL) == ST_OK);
    int64_t start[] = {0, 2, 2, 4};
    int32_t col[] = {0, 3, 1, 3};
    float val[] = {1, 2, 3, 4};
    memcpy(a.row_start, start, sizeof start);
    memcpy(a.col, col, sizeof col);
    memcpy(a.val, val, sizeof val);
    CHECK(csr_transpose(&t, &a, NULL) == ST_OK && csr_transpose(&back, &t, NULL) == ST_OK);
    CHECK(t.n_rows == 4 && csr_row_len(&t, 3) == 2 && t.col[2] == 0 && t.col[3] == 2);
    CHECK(memcmp(back.row_start, start, sizeof start) == 0 &&
        memcmp(back.col, col, sizeof col) == 0 && memcmp(back.val, val, sizeof val) == 0);
    csr_clear(&a);
    csr_clear(&t);
    csr_clear(&back);
}
