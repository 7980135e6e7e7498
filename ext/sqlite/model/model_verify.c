/* rec_verify(model [, version]): is this version what its events and options make? It is trained
 * again, on the events that there were, and compared bit for bit. */
#include <math.h>
#include <string.h>

#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "model_profile.h"
#include "model_train.h"
#include "model_version.h"

/* The events that it was trained on, as far as their times tell: what is newer came later. */
static TrainWindow window_of(
    const ModelDefinition *definition, const Model *model, const Profile *profile) {
    if (model->has_until) return (TrainWindow){.has_until = 1, .until = model->until};
    if (!definition->time) return (TrainWindow){0};
    return (TrainWindow){.has_until = 1, .until = nextafter(profile->last, INFINITY)};
}

/* ok, and what differs. */
typedef struct Verdict {
    int same_events, same_bits;
    char sha256[SHA256_TEXT]; /* of what was trained now */
} Verdict;

static Status train_again(const ModelDefinition *definition, EventsReader *reader,
    const Model *model, Verdict *out, Err *err) {
    ModelDefinition d = *definition;
    Profile then, now;
    Model *again;
    Bytes bytes = {0};
    if (!model->trained_on)
        return fail(err, ST_BADARG,
            "the version does not say what it was trained on: it is of sums, or of before 2026-12");
    TRY(profile_parse(model->trained_on, &then, err));
    d.algorithm = model->algorithm;
    d.params = model->params;
    int64_t threads = d.common.threads;
    d.common = model->common;
    d.common.threads = threads; /* which does not matter */
    TrainWindow window = window_of(definition, model, &then);
    TRY(train_definition(&d, reader, &window, &again, err));
    again->has_until = model->has_until;
    again->until = model->until;
    Status status = profile_parse(again->trained_on, &now, err);
    if (status == ST_OK) status = model_write(again, &bytes, out->sha256, err);
    bytes_clear(&bytes);
    model_free(again);
    if (status != ST_OK) return status;
    out->same_events = strcmp(then.fingerprint, now.fingerprint) == 0;
    out->same_bits = strcmp(out->sha256, model->sha256) == 0;
    return ST_OK;
}

static Status verify(sqlite3 *db, int argc, sqlite3_value **argv, Bytes *out, Err *err) {
    ModelDefinition definition;
    EventsReader reader = {.definition = &definition};
    Model *model = NULL;
    Verdict verdict = {0};
    int64_t version = 0;
    if (argc > 1 && sqlite3_value_type(argv[1]) != SQLITE_NULL)
        TRY(value_whole("version", argv[1], &version, err));
    TRY(definition_find(&definition, db, value_text(argv[0]), err));
    Status status = guard_enter(err);
    if (status == ST_OK) {
        status = model_of_version(&definition, version, &model, err);
        if (status == ST_OK) status = train_again(&definition, &reader, model, &verdict, err);
        guard_leave();
    }
    if (status == ST_OK)
        bytes_format(out, "{\"ok\":%s,\"sha256\":\"%s\",\"again\":\"%s\",\"events\":\"%s\"}",
            verdict.same_bits ? "true" : "false", model->sha256, verdict.sha256,
            verdict.same_events ? "the same" : "changed");
    cache_release(model);
    events_reader_clear(&reader);
    definition_clear(&definition);
    return status == ST_OK && out->failed ? fail_nomem(err, "the answer") : status;
}

static void rec_verify(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Bytes json = {0};
    Err err = {0};
    Status status = verify(sqlite3_context_db_handle(context), argc, argv, &json, &err);
    if (status == ST_OK)
        sqlite3_result_text64(
            context, (const char *)json.data, json.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    else sql_function_error(context, "rec_verify", status, &err);
    bytes_clear(&json);
}

int register_verify(sqlite3 *db) {
    for (int arguments = 1; arguments <= 2; arguments++) {
        int code = sqlite3_create_function_v2(db, "rec_verify", arguments,
            SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, rec_verify, NULL, NULL, NULL);
        if (code) return code;
    }
    return SQLITE_OK;
}
