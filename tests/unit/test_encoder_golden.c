/* The encoder beside PyTorch: tests/golden/encoder.json, made by make_encoder.py. */
#include <jansson.h>
#include <stdlib.h>

#include "../../ext/base/memory.h"
#include "../../ext/math/product.h"
#include "../../ext/nn/encoder.h"
#include "../../ext/nn/sampled_softmax.h"
#include "check.h"

static float *numbers(json_t *root, const char *name, size_t *n) {
    json_t *list = json_object_get(root, name);
    *n = json_array_size(list);
    float *out = malloc((*n + 1) * sizeof *out);
    for (size_t i = 0; i < *n; i++) out[i] = (float)json_number_value(json_array_get(list, i));
    return out;
}

/* In units of the largest. */
static void check_close(json_t *root, const char *name, const float *got) {
    size_t n;
    float *want = numbers(root, name, &n);
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)want[i]));
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    }
    CHECK(n > 0 && worst <= 2e-5 * largest);
    free(want);
}

static size_t whole(json_t *root, const char *name) {
    return (size_t)json_integer_value(json_object_get(root, name));
}

static void matrix_gradients(const Encoder *encoder, const EncoderBatch *batch, float *gradient) {
    EncoderMatrix matrix[ENCODER_MAX_BLOCKS * ENCODER_MATRICES];
    encoder_matrices(&encoder->shape, matrix);
    for (size_t m = 0; m < encoder->shape.blocks * ENCODER_MATRICES; m++)
        encoder_matrix_gradient(encoder, batch, m, 0, matrix[m].rows, gradient + matrix[m].offset);
}

/* Forward, loss, and back, all sequences in one part. */
static void run(json_t *root, const EncoderShape *shape, EncoderBatch *batch, size_t sequences) {
    size_t n, d = shape->dim, tokens = batch->tokens, candidates;
    float *weights = numbers(root, "weights", &n), *gradient = calloc(n, sizeof *gradient),
          *e = numbers(root, "e", &candidates), *bias = numbers(root, "bias", &candidates),
          *d_e = calloc(candidates * d, sizeof *d_e),
          *e_scale = calloc(candidates, sizeof *e_scale),
          *p = aligned_alloc(64, candidates * 64 * sizeof *p), *h = malloc(tokens * d * sizeof *h),
          *scratch = malloc(sampled_softmax_scratch(d, tokens) * sizeof *scratch);
    int32_t target[64];
    for (size_t t = 0; t < tokens; t++)
        target[t] = (int32_t)json_integer_value(json_array_get(json_object_get(root, "target"), t));
    Encoder encoder;
    EncoderScratch work;
    EncoderWeights vectors = encoder_weights(shape, gradient);
    CHECK(n == encoder_floats(shape));
    encoder_init(&encoder, shape, weights, 1, NULL);
    encoder_scratch_init(&work, shape, tokens, NULL);
    SampledSoftmax loss = {d, candidates, e, bias,
        (float)json_number_value(json_object_get(root, "sharpness")), (float)tokens, p,
        (tokens + 15) / 16 * 16};
    for (size_t i = 0; i < candidates; i++) e_scale[i] = normalise_row(e + i * d, d, 1);
    encoder_forward(&encoder, batch, 0, sequences, &work);
    check_close(root, "output", batch->output);
    memcpy(h, batch->output, tokens * d * sizeof *h);
    double got = sampled_softmax(&loss, h, target, tokens, batch->output, scratch);
    CHECK_NEAR(got, json_number_value(json_object_get(root, "loss")), 1e-6);
    product_run(&(Product){candidates, d, tokens, p, loss.p_row, 1, h, d, d_e, d, 0});
    for (size_t i = 0; i < candidates; i++)
        normalise_row_back(e + i * d, e_scale[i], 1, d, d_e + i * d, d_e + i * d);
    encoder_backward(&encoder, batch, 0, sequences, &work, &vectors);
    matrix_gradients(&encoder, batch, gradient);
    check_close(root, "d_e", d_e);
    check_close(root, "d_input", batch->input);
    check_close(root, "d_weights", gradient);
    encoder_clear(&encoder);
    encoder_scratch_clear(&work);
    float *owned[] = {weights, gradient, e, bias, d_e, e_scale, p, h, scratch};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
}

TEST(encoder_loss_and_gradients_are_those_of_pytorch) {
    json_error_t error;
    json_t *root = json_load_file("tests/golden/encoder.json", 0, &error);
    CHECK(root != NULL);
    if (!root) return;
    json_t *lengths = json_object_get(root, "lengths");
    EncoderShape shape = {whole(root, "dim"), whole(root, "blocks"), whole(root, "length"),
        (float)json_number_value(json_object_get(root, "mix"))};
    int32_t start[8], length[8], tokens = 0;
    size_t n, sequences = json_array_size(lengths);
    for (size_t s = 0; s < sequences; s++) {
        start[s] = tokens;
        length[s] = (int32_t)json_integer_value(json_array_get(lengths, s));
        tokens += length[s];
    }
    EncoderBatch batch;
    float *input = numbers(root, "input", &n);
    encoder_batch_init(&batch, &shape, (size_t)tokens, NULL);
    batch.start = start;
    batch.length = length;
    memcpy(batch.input, input, n * sizeof *input);
    run(root, &shape, &batch, sequences);
    encoder_batch_clear(&batch);
    free(input);
    json_decref(root);
}
