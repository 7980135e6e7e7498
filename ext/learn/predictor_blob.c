/* The stored form of a predictor. Little-endian:
 *
 *     "RECPREDI"           8 bytes
 *     u32  format          2; 1 is read
 *     u32  learner's name: length, then the bytes
 *          options         of the learner and of all: options_write
 *     u32  columns         then each name
 *     u32  features        then for each: 2 x u32 the columns it is made of, feature_write
 *     u32  task            u32 classes (0: none, 2: all are numbers), then keymap_write
 *          state           the learner's own
 *     u32  calibrations    then calibration_write of each
 *     u64  held            u32 residuals, f64 each
 *     f64  importance      features
 *     f64  permuted        features; f32 the background: dense columns (since format 2)
 *     u32  judgements      then each: its name, f64
 *     u64  examples        u64 skipped
 *     32   SHA-256         of all bytes above
 *     f64  trained_seconds u64 steps, 4 x f64 each
 *     u32  what it was trained on: length, then JSON
 *
 * Everything is checked before it is used. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "predictor.h"

static const char MAGIC[8] = {'R', 'E', 'C', 'P', 'R', 'E', 'D', 'I'};
enum { OLDEST = 1, FORMAT = 2 };

/* ---- writing ---- */

static void write_judgement(const Predictor *predictor, Bytes *out) {
    int32_t scores = predictor_scores(predictor);
    bytes_u32(out, predictor->calibration ? (uint32_t)scores : 0);
    for (int32_t i = 0; i < scores && predictor->calibration; i++)
        calibration_write(&predictor->calibration[i], out);
    bytes_u64(out, (uint64_t)predictor->held);
    bytes_u32(out, (uint32_t)predictor->n_residuals);
    for (int32_t i = 0; i < predictor->n_residuals; i++) bytes_f64(out, predictor->residual[i]);
    for (int32_t i = 0; i < predictor->features.n; i++) bytes_f64(out, predictor->importance[i]);
    for (int32_t i = 0; i < predictor->features.n; i++) bytes_f64(out, predictor->permuted[i]);
    bytes_append(out, predictor->background,
        (size_t)predictor->features.n_dense * sizeof *predictor->background);
    bytes_u32(out, (uint32_t)predictor->n_judgements);
    for (int32_t i = 0; i < predictor->n_judgements; i++) {
        bytes_text(out, predictor->judgement[i].name);
        bytes_f64(out, predictor->judgement[i].value);
    }
    bytes_u64(out, (uint64_t)predictor->n_examples);
    bytes_u64(out, (uint64_t)predictor->n_skipped);
}

static void write_content(const Predictor *predictor, Bytes *out) {
    const FeatureSet *set = &predictor->features;
    bytes_text(out, predictor->learner->name);
    PredictorCommon common = predictor->common;
    common.threads = 0; /* how it was trained, not what it is */
    options_write(predictor->learner->options, &predictor->params, out);
    options_write(predictor_options, &common, out);
    bytes_u32(out, (uint32_t)predictor->n_columns);
    for (int32_t i = 0; i < predictor->n_columns; i++) bytes_text(out, predictor->column[i]);
    bytes_u32(out, (uint32_t)set->n);
    for (int32_t i = 0; i < set->n; i++) {
        bytes_u32(out, (uint32_t)set->source[2 * i]);
        bytes_u32(out, (uint32_t)set->source[2 * i + 1]);
        feature_write(&set->feature[i], out);
    }
    bytes_u32(out, (uint32_t)predictor->task);
    bytes_u32(out, !predictor->classes ? 0 : predictor->classes_are_numbers ? 2 : 1);
    if (predictor->classes) keymap_write(predictor->classes, out);
    predictor->learner->write(predictor->state, out);
    write_judgement(predictor, out);
}

Status predictor_write(const Predictor *predictor, Bytes *out, char sha256[SHA256_TEXT], Err *err) {
    sealed_begin(out, MAGIC, FORMAT);
    write_content(predictor, out);
    sealed_end(out, sha256);
    bytes_f64(out, predictor->trained_seconds);
    bytes_u64(out, (uint64_t)predictor->n_steps);
    for (int64_t i = 0; i < predictor->n_steps; i++) {
        bytes_f64(out, predictor->step[i].sweep);
        bytes_f64(out, predictor->step[i].objective);
        bytes_f64(out, predictor->step[i].seconds);
        bytes_f64(out, predictor->step[i].validation);
    }
    bytes_text(out, predictor->trained_on ? predictor->trained_on : "");
    return out->failed ? fail_nomem(err, "the stored predictor") : ST_OK;
}

/* ---- reading ---- */

/* A length and that many bytes as a text; NULL with in->failed where they are cut short. */
static Status text_of(Reader *in, char **out, Err *err) {
    size_t len;
    const char *text = read_text(in, &len);
    *out = NULL;
    if (in->failed) return fail(err, ST_CORRUPT, "stored predictor is cut short");
    return (*out = mem_text(text, len)) ? ST_OK : fail_nomem(err, "a predictor");
}

static Status read_head(Predictor *out, Reader *in, Err *err) {
    char *text;
    TRY(text_of(in, &text, err));
    out->learner = learner_find(text);
    Status status = out->learner
        ? ST_OK
        : fail(err, ST_CORRUPT, "stored predictor has the algorithm '%.40s'", text);
    mem_free(text);
    TRY(status);
    TRY(options_read(out->learner->options, &out->params, in, err));
    return options_read(predictor_options, &out->common, in, err);
}

static Status read_columns(Predictor *out, Reader *in, Err *err) {
    uint32_t n = read_u32(in);
    if (in->failed || n > 32767) return fail(err, ST_CORRUPT, "stored predictor is damaged");
    if (!(out->column = mem_zeros(n, sizeof *out->column))) return fail_nomem(err, "a predictor");
    out->n_columns = (int32_t)n;
    for (uint32_t i = 0; i < n; i++) TRY(text_of(in, &out->column[i], err));
    return ST_OK;
}

static Status read_features(Predictor *out, Reader *in, Err *err) {
    FeatureSet *set = &out->features;
    uint32_t n = read_u32(in);
    if (in->failed || n > 65535) return fail(err, ST_CORRUPT, "stored predictor is damaged");
    set->feature = mem_zeros(n, sizeof *set->feature);
    set->source = mem_zeros(n, 2 * sizeof *set->source);
    out->importance = mem_zeros(n, sizeof *out->importance);
    if (!set->feature || !set->source || !out->importance) return fail_nomem(err, "a predictor");
    set->n = (int32_t)n;
    for (uint32_t i = 0; i < n; i++) {
        int32_t a = set->source[2 * i] = (int32_t)read_u32(in);
        int32_t b = set->source[2 * i + 1] = (int32_t)read_u32(in);
        if (a < 0 || a >= out->n_columns || b < -1 || b >= out->n_columns)
            return fail(err, ST_CORRUPT, "stored predictor is damaged");
        TRY(feature_read(&set->feature[i], in, err));
    }
    return feature_set_lay_out(set, err); /* where columns are follows from their widths */
}

/* Of format 1 there is neither. */
static Status read_looks(Predictor *out, uint32_t format, Reader *in, Err *err) {
    size_t features = (size_t)out->features.n, dense = (size_t)out->features.n_dense;
    out->permuted = mem_array(features, sizeof *out->permuted);
    out->background = mem_zeros(dense, sizeof *out->background);
    if (!out->permuted || !out->background) return fail_nomem(err, "a predictor");
    for (size_t i = 0; i < features; i++) out->permuted[i] = format > 1 ? read_f64(in) : NAN;
    if (format == 1) return ST_OK;
    const void *block = read_block(in, dense, sizeof *out->background);
    if (!block) return fail(err, ST_CORRUPT, "stored predictor is cut short");
    memcpy(out->background, block, dense * sizeof *out->background);
    return ST_OK;
}

static Status read_judgement(Predictor *out, uint32_t format, Reader *in, Err *err) {
    uint32_t n = read_u32(in);
    if (n && n != (uint32_t)predictor_scores(out))
        return fail(err, ST_CORRUPT, "the calibration is damaged");
    if (n && !(out->calibration = mem_zeros(n, sizeof *out->calibration)))
        return fail_nomem(err, "a predictor");
    for (uint32_t i = 0; i < n; i++) TRY(calibration_read(&out->calibration[i], in, err));
    out->held = (int64_t)read_u64(in);
    n = read_u32(in);
    const void *block = read_block(in, n, sizeof(double));
    if (!block || n > INT32_MAX || out->held < (int64_t)n || out->held > (int64_t)1 << 53)
        return fail(err, ST_CORRUPT, "stored predictor is damaged");
    if (!(out->residual = mem_array(n, sizeof(double)))) return fail_nomem(err, "a predictor");
    memcpy(out->residual, block, n * sizeof(double));
    out->n_residuals = (int32_t)n;
    for (int32_t i = 0; i < out->features.n; i++) out->importance[i] = read_f64(in);
    TRY(read_looks(out, format, in, err));
    n = read_u32(in);
    if (n > MAX_VERDICTS) return fail(err, ST_CORRUPT, "stored predictor is damaged");
    for (uint32_t i = 0; i < n; i++) {
        size_t len;
        const char *name = read_text(in, &len);
        if (in->failed || len >= sizeof out->judgement->name)
            return fail(err, ST_CORRUPT, "stored predictor is damaged");
        memcpy(out->judgement[i].name, name, len);
        out->judgement[i].value = read_f64(in);
    }
    out->n_judgements = (int32_t)n;
    out->n_examples = (int64_t)read_u64(in);
    out->n_skipped = (int64_t)read_u64(in);
    return ST_OK;
}

static Status read_content(Predictor *out, Reader *in, Err *err) {
    TRY(read_head(out, in, err));
    TRY(read_columns(out, in, err));
    TRY(read_features(out, in, err));
    out->task = (LearnTask)read_u32(in);
    if (in->failed || out->task > LEARN_ANOMALY || !(out->learner->tasks & 1u << out->task))
        return fail(err, ST_CORRUPT, "stored predictor is damaged");
    uint32_t has_classes = read_u32(in);
    out->classes_are_numbers = has_classes == 2;
    if (has_classes) TRY(keymap_read(in, &out->classes, err));
    int32_t classes = predictor_classes(out);
    if ((out->task == LEARN_CLASSES) != (classes >= 2) || (out->classes && !classes))
        return fail(err, ST_CORRUPT, "stored predictor is damaged");
    TRY(out->learner->read(&out->state, out->features.dim, out->features.n_dense, in, err));
    int32_t scores = predictor_scores(out);
    if (out->task == LEARN_SEGMENTS || out->task == LEARN_COMPONENTS) return ST_OK;
    return scores == (classes > 2 ? classes : 1)
        ? ST_OK
        : fail(err, ST_CORRUPT, "stored predictor has %d scores", (int)scores);
}

static Status read_times(Predictor *out, Reader *in, Err *err) {
    out->trained_seconds = read_f64(in);
    uint64_t n = read_u64(in);
    const void *step = read_block(in, n, 4 * sizeof(double));
    if (!step) return fail(err, ST_CORRUPT, "stored predictor is cut short");
    if (!(out->step = mem_array((size_t)n, sizeof *out->step)))
        return fail_nomem(err, "a predictor");
    memcpy(out->step, step, (size_t)n * sizeof *out->step);
    out->n_steps = (int64_t)n;
    return text_of(in, &out->trained_on, err);
}

Status predictor_read(Predictor **out, const void *data, size_t len, Err *err) {
    Reader in = reader_of(data, len);
    Predictor *predictor = *out = mem_zeros(1, sizeof *predictor);
    if (!predictor) return fail_nomem(err, "a predictor");
    uint32_t format;
    Status status = sealed_open_since(&in, MAGIC, OLDEST, FORMAT, "predictor", &format, err);
    if (status == ST_OK) status = read_content(predictor, &in, err);
    if (status == ST_OK) status = read_judgement(predictor, format, &in, err);
    if (status == ST_OK) status = sealed_check(&in, "predictor", predictor->sha256, err);
    if (status == ST_OK) status = read_times(predictor, &in, err);
    if (status == ST_OK) return ST_OK;
    predictor_free(predictor);
    *out = NULL;
    return status;
}
