#include "model_version.h"

#include <string.h>

static Status write(const void *object, Bytes *out, char sha256[SHA256_TEXT], Err *err) {
    return model_write(object, out, sha256, err);
}

static Status read(void **out, const void *data, size_t len, char sha256[SHA256_TEXT], Err *err) {
    Model *model;
    *out = NULL;
    TRY(model_read(&model, data, len, err));
    memcpy(sha256, model->sha256, SHA256_TEXT);
    *out = model;
    return ST_OK;
}

static void free_object(void *object) { model_free(object); }

static size_t memory(const void *object) { return model_memory(object); }

static Status describe(const void *object, VersionFacts *out, Err *err) {
    const Model *model = object;
    *out = (VersionFacts){.algorithm = model->algorithm->name,
        .events = model->n_events,
        .users = model->n_users,
        .items = model->n_items,
        .has_until = model->has_until,
        .until = model->until,
        .trained_seconds = model->trained_seconds,
        .trained_on = model->trained_on};
    model_options_json(model, &out->options);
    bytes_append(&out->log, "[", 1);
    for (int64_t i = 0; i < model->n_steps; i++) {
        const TrainingStep *step = &model->step[i];
        version_log_step(&out->log, step->sweep, step->objective, step->seconds, step->validation);
    }
    bytes_append(&out->log, "]", 1);
    return out->options.failed || out->log.failed ? fail_nomem(err, "the version") : ST_OK;
}

const VersionKind model_kind = {
    .tag = 'M',
    .write = write,
    .read = read,
    .free_object = free_object,
    .memory = memory,
    .describe = describe,
};

Status model_of_version(
    const ModelDefinition *definition, sqlite3_int64 wanted, Model **out, Err *err) {
    void *object = NULL;
    Status status = store_take(&definition->id, wanted, &object, err);
    *out = object;
    return status;
}
