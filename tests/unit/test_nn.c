#include <stdlib.h>

#include "../../ext/base/memory.h"
#include "../../ext/base/random.h"
#include "../../ext/math/kernels.h"
#include "../../ext/math/packed.h"
#include "../../ext/math/product.h"
#include "../../ext/nn/adam.h"
#include "check.h"
#include "twin_encoder.h"

static void fill(float *a, size_t n, uint64_t stream) {
    Random random;
    random_init(&random, 23, stream);
    for (size_t i = 0; i < n; i++) a[i] = (float)random_normal(&random);
}

static const char *const LEVELS[] = {"scalar", "avx2", "avx512", "neon"};

/* ---- kernels ---- */

TEST(products_are_their_naive_twins) {
    enum { MOST = 300 };
    float *a = mem_array(MOST * MOST, sizeof *a), *b = mem_array(MOST * MOST, sizeof *b),
          *c = mem_array(MOST * MOST, sizeof *c), *want = mem_array(MOST * MOST, sizeof *want);
    const size_t m[] = {1, 5, 6, 97, 200}, n[] = {16, 64, 208}, k[] = {1, 7, 64, 290};
    fill(a, MOST * MOST, 1);
    fill(b, MOST * MOST, 2);
    for (size_t i = 0; i < 5 * 3 * 4 * 4; i++) {
        int across = i & 1, add = i >> 1 & 1;
        Product p = {.m = m[i / 4 % 5], .n = n[i / 20 % 3], .k = k[i / 60], .a = a, .b = b};
        p.a_row = across ? 1 : MOST;
        p.a_col = across ? MOST : 1;
        p.b_row = MOST - 1;
        p.c_row = MOST;
        p.add = add;
        fill(c, MOST * MOST, 3);
        memcpy(want, c, MOST * MOST * sizeof *c);
        p.c = want;
        product_naive(&p);
        p.c = c;
        product_run(&p);
        double worst = 0;
        for (size_t e = 0; e < MOST * MOST; e++)
            worst = fmax(worst, fabs((double)c[e] - (double)want[e]));
        CHECK(worst <= 1e-5 * sqrt((double)p.k + 1));
    }
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(want);
}

/* What a number of column j is after it was packed. */
static double packed_value(PackedKind kind, float x, double most) {
    double factor = (double)(float)(most / 127);
    uint16_t half = half_of(x);
    float back;
    if (kind == PACKED_FLOAT) return (double)x;
    if (kind == PACKED_INT8) return factor * round((double)x / factor);
    kernels_level("scalar")->from_half(&half, &back, 1);
    return (double)back;
}

static void check_packed(PackedKind kind, size_t m, size_t k, size_t n) {
    enum { MOST = 320 * 64 };
    float *a = mem_array(MOST, sizeof *a), *b = mem_array(MOST, sizeof *b),
          *c = mem_array(MOST, sizeof *c), factor[64], bias[64], scratch[320];
    void *panel = mem_array(packed_bytes(kind, k, n), 1);
    fill(a, m * k, 11);
    fill(b, n * k, 12); /* n rows of k: its transpose is packed */
    fill(bias, n, 13);
    packed_set(kind, k, n, b, 1, k, panel, factor, scratch);
    Packed packed = {kind, k, n, panel, kind == PACKED_INT8 ? factor : NULL};
    packed_product(&packed, m, a, k, bias, c, n);
    for (size_t j = 0; j < n; j++) {
        double most = 0;
        for (size_t l = 0; l < k; l++) most = fmax(most, fabs((double)b[j * k + l]));
        for (size_t i = 0; i < m; i++) {
            double sum = (double)bias[j];
            for (size_t l = 0; l < k; l++)
                sum += (double)a[i * k + l] * packed_value(kind, b[j * k + l], most);
            CHECK(fabs(sum - (double)c[i * n + j]) <= 1e-5 * sqrt((double)k + 1));
        }
    }
    mem_free(panel);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

TEST(packed_products_are_their_naive_twins) {
    const size_t m[] = {1, 13, 60}, k[] = {16, 300}, n[] = {16, 48};
    for (size_t i = 0; i < 3 * 3 * 2 * 2; i++)
        check_packed((PackedKind)(i % 3), m[i / 3 % 3], k[i / 9 % 2], n[i / 18]);
}

static void run_rows(const Kernels *k, float *out, size_t n) {
    float x[100], y[100], sum[100], v[100];
    RowAdam adam = {.9F, .999F, .01F, 3, 1e-8F};
    fill(x, n, n);
    fill(y, n, n + 500);
    fill(sum, n, n + 900);
    for (size_t i = 0; i < n; i++) v[i] = y[i] * y[i];
    k->row_most(x, .25F, y, n);
    k->row_exp(x, y, sum, n);
    k->gelu(sum, y, n);
    k->gelu_back(sum, y, x, n);
    k->gelu_erf(y, y, n);
    k->drop(x, (uint32_t)n, 1u << 31, 2, n);
    k->adam(&adam, x, y, v, sum, n);
    memcpy(out, x, n * sizeof *out);
    memcpy(out + n, y, n * sizeof *out);
    memcpy(out + 2 * n, sum, n * sizeof *out);
}

TEST(rows_and_panels_have_the_same_bits_at_every_level) {
    float want[320], got[320], a[64 * 20], b[64 * 16];
    fill(a, 64 * 20, 5);
    fill(b, 64 * 16, 6);
    for (int l = 1; l < (int)(sizeof LEVELS / sizeof *LEVELS); l++) {
        const Kernels *k = kernels_level(LEVELS[l]), *scalar = kernels_level("scalar");
        if (!k) continue;
        for (size_t n = 1; n < 100; n++) {
            run_rows(scalar, want, n);
            run_rows(k, got, n);
            CHECK(memcmp(want, got, 3 * n * sizeof *got) == 0);
        }
        for (size_t m = 1; m < 20; m++) /* all shapes of tiles */
            for (int add = 0; add < 2; add++) {
                ProductPanel p = {.m = m, .k = 64, .a = a, .a_row = 64, .a_col = 1, .b = b};
                p.c_row = 16;
                fill(want, 16 * 20, 7);
                memcpy(got, want, sizeof got);
                p.c = want;
                scalar->panel(&p, add);
                p.c = got;
                k->panel(&p, add);
                CHECK(memcmp(want, got, 16 * 20 * sizeof *got) == 0);
            }
    }
}

TEST(row_functions_are_what_their_formulas_say) {
    float x[2001], y[2001], dy[2001], dx[2001], zero[2001] = {0}, sum[2001] = {0};
    for (size_t i = 0; i <= 2000; i++) {
        x[i] = (float)i / 20 - 87;
        dy[i] = 1;
    }
    memcpy(y, x, sizeof y);
    kernels()->row_exp(y, zero, sum, 2001);
    for (size_t i = 0; i <= 2000; i++) CHECK_NEAR((double)y[i], exp((double)x[i]), 3e-7);
    for (size_t i = 0; i <= 2000; i++) x[i] = (float)i / 100 - 10;
    kernels()->gelu(x, y, 2001);
    kernels()->gelu_back(x, dy, dx, 2001);
    for (size_t i = 0; i <= 2000; i++) {
        double z = (double)x[i], s = 1 / (1 + exp(-1.702 * z));
        CHECK(fabs((double)y[i] - z * s) <= 1e-6 * fmax(1, fabs(z)));
        CHECK(fabs((double)dx[i] - (s + z * 1.702 * s * (1 - s))) <= 2e-6);
    }
    kernels()->gelu_erf(x, y, 2001);
    for (size_t i = 0; i <= 2000; i++) {
        double z = (double)x[i], true_gelu = z / 2 * erfc(-z / sqrt(2));
        CHECK(fabs((double)y[i] - true_gelu) <= 1e-6 * fmax(1, fabs(z)));
    }
}

TEST(dropout_drops_its_share_and_keeps_the_mean) {
    enum { N = 1 << 16 };
    float *x = mem_array(N, sizeof *x);
    double kept = 0, sum = 0;
    Dropout dropout = {77, .3F};
    for (uint32_t row = 0; row < N / 64; row++) {
        for (size_t i = 0; i < 64; i++) x[64 * row + i] = 1;
        dropout_row(&dropout, 3, row, x + 64 * row, 64);
    }
    for (size_t i = 0; i < N; i++) {
        kept += x[i] != 0;
        sum += (double)x[i];
    }
    CHECK(fabs(kept / N - .7) < 4 * sqrt(.3 * .7 / N));
    CHECK(fabs(sum / N - 1) < .01);
    mem_free(x);
}

/* With a gradient of 0 for what is missed, at one rate. */
TEST(adam_is_the_papers_and_a_row_that_rests_catches_up) {
    float x[16], m[16] = {0}, v[16] = {0}, g[16];
    double want_x[16], want_m[16] = {0}, want_v[16] = {0};
    int32_t last = 0;
    fill(x, 16, 1);
    for (int i = 0; i < 16; i++) want_x[i] = (double)x[i];
    for (int64_t t = 1; t <= 1400; t++) {
        int rests = t > 1000 && t % 40; /* the correction of v by t is near 1 */
        AdamStep step = adam_step(t, .5, .1, .01);
        fill(g, 16, (uint64_t)t);
        for (int i = 0; i < 16; i++) {
            double gi = rests ? 0 : (double)g[i];
            want_m[i] = .9 * want_m[i] + .1 * gi;
            want_v[i] = .999 * want_v[i] + .001 * gi * gi;
            want_x[i] -= .01 * (.5 / .9) * want_m[i] / (1 - pow(.9, (double)t)) /
                (sqrt(want_v[i] / (1 - pow(.999, (double)t))) + 1e-8);
        }
        if (rests) continue;
        adam_catch_up(&step, &last, x, m, v, 16);
        adam_update(&step, x, m, v, g, 16);
        last = (int32_t)t;
        for (int i = 0; i < 16; i++) {
            CHECK(fabs((double)x[i] - want_x[i]) < (t <= 1000 ? 2e-5 : 1e-3));
            CHECK(fabs((double)m[i] - want_m[i]) < 1e-6);
        }
    }
}

/* ---- the encoder ---- */

/* Three sequences of 1, 7 and 20 tokens, the first in a part of its own. */
static const int32_t START[] = {0, 1, 8}, LENGTH[] = {1, 7, 20};
enum { TOKENS = 28 };

typedef struct Case {
    TwinCase twin;
    float *weights, *input, *e, *gradient, *d_input, *d_e;
    float loss;
} Case;

static double *doubles(const float *x, size_t n) {
    double *out = malloc(n * sizeof *out);
    for (size_t i = 0; i < n; i++) out[i] = (double)x[i];
    return out;
}

static void case_init(Case *c, float rate, double sharpness) {
    EncoderShape shape = {.dim = TWIN_DIM, .blocks = 2, .length = 20, .mix = .7F};
    size_t n = encoder_floats(&shape), vectors = encoder_vectors(&shape), rows = TOKENS * TWIN_DIM;
    *c = (Case){.twin = {.shape = shape,
                    .dropout = {99, rate},
                    .start = START,
                    .length = LENGTH,
                    .sequences = 3,
                    .tokens = TOKENS,
                    .candidates = TWIN_CANDIDATES,
                    .sharpness = sharpness}};
    c->weights = mem_array(n, sizeof(float));
    c->gradient = mem_zeros(n, sizeof(float));
    c->input = mem_array(rows, sizeof(float));
    c->d_input = mem_array(rows, sizeof(float));
    c->e = mem_array(TWIN_CANDIDATES * TWIN_DIM, sizeof(float));
    c->d_e = mem_zeros(TWIN_CANDIDATES * TWIN_DIM, sizeof(float));
    encoder_start(&shape, c->weights, 4);
    float *noise = mem_array(n, sizeof(float));
    fill(noise, n, 8); /* so that nothing is at 0, and attention has something to choose */
    for (size_t i = 0; i < n; i++) c->weights[i] += (i < vectors ? .1F : .15F) * noise[i];
    mem_free(noise);
    fill(c->input, rows, 9);
    fill(c->e, TWIN_CANDIDATES * TWIN_DIM, 10);
    for (int i = 0; i < TWIN_CANDIDATES; i++) c->twin.bias[i] = .1 * i - 2;
    for (int t = 0; t < TOKENS; t++) c->twin.target[t] = (5 * t + 2) % TWIN_CANDIDATES;
    c->twin.weights = doubles(c->weights, n);
    c->twin.input = doubles(c->input, rows);
    c->twin.e = doubles(c->e, TWIN_CANDIDATES * TWIN_DIM);
}

static void case_clear(Case *c) {
    mem_free(c->weights);
    mem_free(c->gradient);
    mem_free(c->input);
    mem_free(c->d_input);
    mem_free(c->e);
    mem_free(c->d_e);
    free(c->twin.weights);
    free(c->twin.input);
    free(c->twin.e);
}

/* Loss and gradients of sequences [from, to) added to the case's; p: of this part. */
static void run_part(Case *c, Encoder *encoder, EncoderBatch *batch, size_t from, size_t to) {
    size_t first = (size_t)START[from], d = TWIN_DIM,
           tokens = (size_t)(START[to - 1] + LENGTH[to - 1]) - first;
    float *p = mem_aligned(TWIN_CANDIDATES * 32, sizeof *p), e[TWIN_CANDIDATES * TWIN_DIM],
          e_scale[TWIN_CANDIDATES], bias[TWIN_CANDIDATES], h[TOKENS * TWIN_DIM],
          d_e[TWIN_CANDIDATES * TWIN_DIM];
    float *scratch = mem_array(sampled_softmax_scratch(d, TOKENS), sizeof *scratch);
    float sharpness = (float)c->twin.sharpness;
    EncoderScratch work;
    EncoderWeights vectors = encoder_weights(&c->twin.shape, c->gradient);
    encoder_scratch_init(&work, &c->twin.shape, TOKENS, NULL);
    memcpy(e, c->e, sizeof e);
    for (size_t i = 0; i < TWIN_CANDIDATES; i++) {
        bias[i] = (float)c->twin.bias[i];
        if (sharpness > 0) e_scale[i] = normalise_row(e + i * d, d, 1);
    }
    SampledSoftmax loss = {.dim = d,
        .candidates = TWIN_CANDIDATES,
        .e = e,
        .bias = bias,
        .sharpness = sharpness,
        .places = TOKENS,
        .p = p,
        .p_row = (tokens + 15) / 16 * 16};
    encoder_forward(encoder, batch, from, to, &work);
    memcpy(h, batch->output + first * d, tokens * d * sizeof *h);
    c->loss += (float)sampled_softmax(
        &loss, h, c->twin.target + first, tokens, batch->output + first * d, scratch);
    Product gradient = {.m = TWIN_CANDIDATES, .n = d, .k = tokens, .a = p, .a_row = loss.p_row};
    gradient.a_col = 1;
    gradient.b = h;
    gradient.b_row = gradient.c_row = d;
    gradient.c = d_e;
    product_run(&gradient);
    for (size_t i = 0; i < TWIN_CANDIDATES; i++) {
        if (sharpness > 0)
            normalise_row_back(e + i * d, e_scale[i], 1, d, d_e + i * d, d_e + i * d);
        row_add(c->d_e + i * d, d_e + i * d, d);
    }
    encoder_backward(encoder, batch, from, to, &work, &vectors);
    encoder_scratch_clear(&work);
    mem_free(scratch);
    mem_free(p);
}

/* Everything that is compared; output: of the forward pass. */
static void run_case(Case *c, float *output) {
    const EncoderShape *shape = &c->twin.shape;
    EncoderMatrix matrix[ENCODER_MAX_BLOCKS * ENCODER_MATRICES];
    Encoder encoder;
    EncoderBatch batch;
    EncoderScratch work;
    encoder_init(&encoder, shape, c->weights, 1, NULL);
    encoder_batch_init(&batch, shape, TOKENS + 5, NULL);
    encoder_scratch_init(&work, shape, TOKENS, NULL);
    encoder.dropout = c->twin.dropout;
    batch.start = START;
    batch.length = LENGTH;
    batch.tokens = TOKENS;
    memcpy(batch.input, c->input, TOKENS * TWIN_DIM * sizeof(float));
    encoder_forward(&encoder, &batch, 0, 3, &work);
    memcpy(output, batch.output, TOKENS * TWIN_DIM * sizeof(float));
    run_part(c, &encoder, &batch, 0, 2);
    run_part(c, &encoder, &batch, 2, 3);
    memcpy(c->d_input, batch.input, TOKENS * TWIN_DIM * sizeof(float));
    encoder_matrices(shape, matrix);
    for (size_t m = 0; m < shape->blocks * ENCODER_MATRICES; m++)
        for (size_t row = 0; row < matrix[m].rows; row += 16)
            encoder_matrix_gradient(&encoder, &batch, m, row, 16,
                c->gradient + matrix[m].offset + row * matrix[m].columns);
    encoder_scratch_clear(&work);
    encoder_batch_clear(&batch);
    encoder_clear(&encoder);
}

/* The gradient beside central differences of the twin, at every stride-th number; in units of the
 * largest. */
static void check_gradient(Case *c, double *x, const float *gradient, size_t n, size_t stride) {
    double largest = 1e-6, worst = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)gradient[i]));
    for (size_t i = 0; i < n; i += stride) {
        double before = x[i], step = 1e-4;
        x[i] = before + step;
        double above = twin_loss(&c->twin);
        x[i] = before - step;
        double below = twin_loss(&c->twin);
        x[i] = before;
        worst = fmax(worst, fabs((above - below) / (2 * step) - (double)gradient[i]));
    }
    CHECK(worst <= 1e-4 * largest);
}

static void check_case(float rate, double sharpness) {
    Case c;
    float output[TOKENS * TWIN_DIM];
    case_init(&c, rate, sharpness);
    size_t n = encoder_floats(&c.twin.shape), vectors = encoder_vectors(&c.twin.shape);
    run_case(&c, output);
    CHECK_NEAR((double)c.loss, twin_loss(&c.twin), 1e-5);
    for (int i = 0; i < TOKENS * TWIN_DIM; i++)
        CHECK(fabs((double)output[i] - c.twin.output[i]) < 2e-5);
    check_gradient(&c, c.twin.weights, c.gradient, vectors, 7);
    check_gradient(&c, c.twin.weights + vectors, c.gradient + vectors, n - vectors, 211);
    check_gradient(&c, c.twin.input, c.d_input, TOKENS * TWIN_DIM, 17);
    check_gradient(&c, c.twin.e, c.d_e, TWIN_CANDIDATES * TWIN_DIM, 17);
    case_clear(&c);
}

TEST(encoder_and_gradients_are_the_twins) { check_case(0, 0); }

TEST(encoder_and_gradients_are_the_twins_where_numbers_are_dropped) { check_case(.4F, 0); }

TEST(encoder_and_gradients_are_the_twins_by_cosine) { check_case(.2F, 9); }

TEST(encoder_does_not_see_the_future) {
    Case c;
    float before[TOKENS * TWIN_DIM], after[TOKENS * TWIN_DIM];
    case_init(&c, 0, 0);
    run_case(&c, before);
    for (int i = 0; i < TWIN_DIM; i++) c.input[(TOKENS - 1) * TWIN_DIM + i] += 3;
    run_case(&c, after);
    CHECK(memcmp(before, after, (TOKENS - 1) * TWIN_DIM * sizeof *before) == 0);
    CHECK(memcmp(before, after, sizeof before) != 0);
    case_clear(&c);
}

TEST(encoder_last_is_the_last_row_of_the_whole) {
    Case c;
    Encoder encoder;
    EncoderBatch batch;
    EncoderScratch work;
    float want[TWIN_DIM];
    const int32_t start[] = {0}, length[] = {17};
    case_init(&c, 0, 0);
    encoder_init(&encoder, &c.twin.shape, c.weights, 0, NULL);
    encoder_batch_init(&batch, &c.twin.shape, 20, NULL);
    encoder_scratch_init(&work, &c.twin.shape, 20, NULL);
    batch.start = start;
    batch.length = length;
    memcpy(batch.input, c.input, 17 * TWIN_DIM * sizeof(float));
    encoder_forward(&encoder, &batch, 0, 1, &work);
    memcpy(want, batch.output + 16 * TWIN_DIM, sizeof want);
    memset(batch.output, 0, 20 * TWIN_DIM * sizeof(float));
    encoder_last(&encoder, &batch, &work);
    CHECK(memcmp(want, batch.output + 16 * TWIN_DIM, sizeof want) == 0);
    encoder_scratch_clear(&work);
    encoder_batch_clear(&batch);
    encoder_clear(&encoder);
    case_clear(&c);
}
