#include "predictor_version.h"

#include <string.h>

static Status write(const void *object, Bytes *out, char sha256[SHA256_TEXT], Err *err) {
    return predictor_write(object, out, sha256, err);
}

static Status read(void **out, const void *data, size_t len, char sha256[SHA256_TEXT], Err *err) {
    Predictor *predictor;
    *out = NULL;
    TRY(predictor_read(&predictor, data, len, err));
    memcpy(sha256, predictor->sha256, SHA256_TEXT);
    *out = predictor;
    return ST_OK;
}

static void free_object(void *object) { predictor_free(object); }

static size_t memory(const void *object) { return predictor_memory(object); }

static Status describe(const void *object, VersionFacts *out, Err *err) {
    const Predictor *predictor = object;
    *out = (VersionFacts){.algorithm = predictor->learner->name,
        .events = predictor->n_examples,
        .items = predictor->features.n,
        .trained_seconds = predictor->trained_seconds,
        .trained_on = predictor->trained_on && *predictor->trained_on ? predictor->trained_on
                                                                      : NULL};
    predictor_options_json(predictor, &out->options);
    bytes_append(&out->log, "[", 1);
    for (int64_t i = 0; i < predictor->n_steps; i++) {
        const LearnStep *step = &predictor->step[i];
        version_log_step(&out->log, step->sweep, step->objective, step->seconds, step->validation);
    }
    bytes_append(&out->log, "]", 1);
    return out->options.failed || out->log.failed ? fail_nomem(err, "the version") : ST_OK;
}

const VersionKind predictor_kind = {
    .tag = 'P',
    .write = write,
    .read = read,
    .free_object = free_object,
    .memory = memory,
    .describe = describe,
};
