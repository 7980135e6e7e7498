/* The stored form of a model, the one in which versions are kept, exported and moved.
 * Little-endian:
 *
 *     "RECMODEL"            8 bytes
 *     u32  format           1
 *     u32  algorithm's name: length, then the bytes
 *     u32  options: length, then JSON {"factors":64,...}, every option that the algorithm has
 *     u32  n_items          u64 n_users    u64 n_events
 *     f64  newest           u32 has_until  f64 until
 *     dictionary            keymap_write: the items in key order
 *     f32  popularity       n_items
 *          algorithm's own  see the algorithm's file
 *     32   SHA-256          of all bytes above
 *     f64  trained_seconds  u64 n_steps   n_steps x (f64 sweep, f64 objective, f64 seconds
 *                                                    [, f64 validation, may be NaN])
 *          the highest bit of n_steps says that more follows, it is 0 in a form of before 2026-12;
 *          the next one that there is the validation
 *     u32  what it was trained on: length, then JSON
 *     u64  FNV-1a of that JSON
 *
 * The times and that stand after the checksum, so that the same data, seed and options give the
 * same checksum. Everything is checked before it is used. */
#include <math.h>
#include <string.h>

#include "../base/hash.h"
#include "../base/memory.h"
#include "../base/sealed.h"
#include "model.h"

static const char MAGIC[8] = {'R', 'E', 'C', 'M', 'O', 'D', 'E', 'L'};
enum { FORMAT = 1 };
static const uint64_t MORE_FOLLOWS = (uint64_t)1 << 63, HAS_VALIDATION = (uint64_t)1 << 62;

static void options_of(const Model *model, const CommonParams *common, Bytes *out) {
    bytes_append(out, "{", 1);
    options_json(model->algorithm->options, &model->params, out);
    if (model->algorithm->options->name) bytes_append(out, ",", 1);
    options_json(model_common_options, common, out);
    bytes_append(out, "}", 1);
}

void model_options_json(const Model *model, Bytes *out) { options_of(model, &model->common, out); }

static void write_content(const Model *model, Bytes *out) {
    Bytes options = {0};
    CommonParams common = model->common;
    common.threads = 0; /* how it was trained, not what it is */
    options_of(model, &common, &options);
    bytes_append(&options, "", 1);
    bytes_text(out, model->algorithm->name);
    bytes_text(out, options.failed ? "" : (const char *)options.data);
    if (options.failed) out->failed = 1;
    bytes_clear(&options);
    bytes_u32(out, (uint32_t)model->n_items);
    bytes_u64(out, (uint64_t)model->n_users);
    bytes_u64(out, (uint64_t)model->n_events);
    bytes_f64(out, model->newest);
    bytes_u32(out, (uint32_t)model->has_until);
    bytes_f64(out, model->until);
    keymap_write(model->items, out);
    bytes_append(out, model->popularity, (size_t)model->n_items * sizeof *model->popularity);
    model->algorithm->write(model, out);
}

Status model_write(const Model *model, Bytes *out, char sha256[SHA256_TEXT], Err *err) {
    sealed_begin(out, MAGIC, FORMAT);
    write_content(model, out);
    sealed_end(out, sha256);
    bytes_f64(out, model->trained_seconds);
    uint64_t more = model->trained_on ? MORE_FOLLOWS : 0;
    for (int64_t i = 0; i < model->n_steps; i++)
        if (!isnan(model->step[i].validation)) more |= HAS_VALIDATION;
    bytes_u64(out, (uint64_t)model->n_steps | more);
    for (int64_t i = 0; i < model->n_steps; i++) {
        bytes_f64(out, model->step[i].sweep);
        bytes_f64(out, model->step[i].objective);
        bytes_f64(out, model->step[i].seconds);
        if (more & HAS_VALIDATION) bytes_f64(out, model->step[i].validation);
    }
    if (model->trained_on) {
        bytes_text(out, model->trained_on);
        bytes_u64(out, fnv1a(FNV_START, model->trained_on, strlen(model->trained_on)));
    }
    return out->failed ? fail_nomem(err, "the stored model") : ST_OK;
}

static Status read_header(Model *model, Reader *in, Err *err) {
    char name[64], *options;
    size_t len;
    TRY(sealed_open(in, MAGIC, FORMAT, "model", err));
    const char *text = read_text(in, &len);
    if (!text || len >= sizeof name) return fail(err, ST_CORRUPT, "stored model has no algorithm");
    memcpy(name, text, len);
    name[len] = 0;
    model->algorithm = algorithm_find(name);
    if (!model->algorithm)
        return fail(
            err, ST_CORRUPT, "stored model wants algorithm '%s', which this library lacks", name);
    text = read_text(in, &len);
    if (!text) return fail(err, ST_CORRUPT, "stored model is truncated");
    options = mem_text(text, len);
    if (!options) return fail_nomem(err, "the model");
    options_default(model_common_options, &model->common);
    options_default(model->algorithm->options, &model->params);
    OptTarget target[] = {
        {model->algorithm->options, &model->params}, {model_common_options, &model->common}};
    Status status = options_set_json(target, 2, options, err);
    mem_free(options);
    return status == ST_OK || status == ST_NOMEM ? status : ST_CORRUPT;
}

static Status read_popularity(Model *model, Reader *in, Err *err) {
    size_t n = (size_t)model->n_items;
    const void *stored = read_block(in, n, sizeof *model->popularity);
    if (!stored) return fail(err, ST_CORRUPT, "stored model is truncated");
    Scored *order = mem_array(n, sizeof *order);
    model->popularity = mem_array(n, sizeof *model->popularity);
    model->popular = mem_array(n, sizeof *model->popular);
    Status status = order && model->popularity && model->popular
        ? ST_OK
        : fail_nomem(err, "the popular list");
    if (status == ST_OK && n) memcpy(model->popularity, stored, n * sizeof *model->popularity);
    for (size_t i = 0; i < n && status == ST_OK; i++) {
        if (!isfinite(model->popularity[i]))
            status = fail(err, ST_CORRUPT, "stored popularity is not a number");
        order[i] = (Scored){(double)model->popularity[i], (int64_t)i};
    }
    if (status == ST_OK) scored_sort(order, n);
    for (size_t i = 0; i < n && status == ST_OK; i++) model->popular[i] = (int32_t)order[i].id;
    mem_free(order);
    return status;
}

static Status read_body(Model *model, Reader *in, Err *err) {
    uint32_t n_items = read_u32(in);
    model->n_users = (int64_t)read_u64(in);
    model->n_events = (int64_t)read_u64(in);
    model->newest = read_f64(in);
    model->has_until = (int)read_u32(in) != 0;
    model->until = read_f64(in);
    if (in->failed || n_items > INT32_MAX || !isfinite(model->newest) || !isfinite(model->until))
        return fail(err, ST_CORRUPT, "stored model is truncated");
    model->n_items = (int32_t)n_items;
    TRY(keymap_read(in, &model->items, err));
    if (keymap_count(model->items) != model->n_items)
        return fail(err, ST_CORRUPT, "stored model counts its items twice");
    TRY(read_popularity(model, in, err));
    return model->algorithm->read(model, in, err);
}

/* *more: does what it was trained on follow? */
static Status read_times(Model *model, Reader *in, int *more, Err *err) {
    model->trained_seconds = read_f64(in);
    uint64_t n_steps = read_u64(in);
    int has_validation = (n_steps & HAS_VALIDATION) != 0;
    *more = (n_steps & MORE_FOLLOWS) != 0;
    n_steps &= ~(MORE_FOLLOWS | HAS_VALIDATION);
    if (in->failed || !isfinite(model->trained_seconds) ||
        n_steps > (in->len - in->pos) / (has_validation ? 32 : 24))
        return fail(err, ST_CORRUPT, "stored model has a malformed training log");
    for (uint64_t i = 0; i < n_steps; i++) {
        double sweep = read_f64(in), objective = read_f64(in), seconds = read_f64(in);
        if (!isfinite(sweep) || !isfinite(objective) || !isfinite(seconds))
            return fail(err, ST_CORRUPT, "stored model has a malformed training log");
        TRY(model_log_step(model, sweep, objective, seconds, err));
        if (has_validation) model->step[model->n_steps - 1].validation = read_f64(in);
    }
    return ST_OK;
}

static Status read_trained_on(Model *model, Reader *in, int more, Err *err) {
    size_t len;
    if (!more && in->pos == in->len) return ST_OK;
    const char *text = read_text(in, &len);
    uint64_t hash = read_u64(in);
    if (!more || !text || in->failed || in->pos != in->len || hash != fnv1a(FNV_START, text, len))
        return fail(err, ST_CORRUPT, "stored model has a malformed end");
    model->trained_on = mem_text(text, len);
    return model->trained_on ? ST_OK : fail_nomem(err, "the model");
}

Status model_read(Model **out, const void *data, size_t len, Err *err) {
    Reader in = reader_of(data, len);
    Model *model = mem_zeros(1, sizeof *model);
    int more = 0;

    *out = NULL;
    if (!model) return fail_nomem(err, "the model");
    Status status = read_header(model, &in, err);
    if (status == ST_OK) status = read_body(model, &in, err);
    if (status == ST_OK) status = sealed_check(&in, "model", model->sha256, err);
    if (status == ST_OK) status = read_times(model, &in, &more, err);
    if (status == ST_OK) status = read_trained_on(model, &in, more, err);
    if (status != ST_OK) {
        model_free(model);
        return status;
    }
    *out = model;
    return ST_OK;
}

Status model_copy(const Model *model, Model **out, Err *err) {
    Bytes bytes = {0};
    char sha256[SHA256_TEXT];
    *out = NULL;
    Status status = model_write(model, &bytes, sha256, err);
    if (status == ST_OK) status = model_read(out, bytes.data, bytes.len, err);
    bytes_clear(&bytes);
    return status;
}
