/* A model and a hold-out, read for rec_evaluate, rec_evaluate_users and rec_compare. */
#ifndef REC_EVALUATE_LOAD_H
#define REC_EVALUATE_LOAD_H

#include "../../ann/gpu.h"
#include "../../eval/evaluate.h"
#include "../model/model_events.h"

typedef struct EvaluateCall {
    int64_t exclude_seen;
    int64_t version;
    int64_t bootstrap;
    int64_t seed;
    int64_t threads;
    int64_t unknown_users;
    int64_t progress;
    double until;
    char by[128];      /* a column of the hold-out, "" for none */
    int64_t version_b; /* of rec_compare's second model */
    char device[16];
    DeviceChoice choice; /* device, read */
} EvaluateCall;

/* Options as JSON (NULL: none): "k" is a number or a list, the rest goes through a table. */
Status evaluate_parse(const char *text, EvaluateCall *call, EvaluateOptions *out, Err *err);

/* What is judged. */
typedef struct JudgedModel {
    ModelDefinition definition;
    Model *model; /* a reference into the cache */
} JudgedModel;
void judged_model_clear(JudgedModel *model);

/* Who is judged: names for the rows of a report. */
typedef struct JudgedUsers {
    KeyMap *keys;     /* the users of the hold-out */
    int32_t *user;    /* per judged user: her number in keys, ascending */
    int32_t *segment; /* and her segment, a number of segments; -1 for none */
    KeyMap *segments; /* values of by= */
} JudgedUsers;
void judged_users_clear(JudgedUsers *users);

/* The model, and the hold-out against the histories that it reads: *holdout for the judge, *users
 * for the report. call->exclude_seen becomes the algorithm's own where it is not given. All three
 * are 0 at first, and to be cleared also after an error. Cost: a scan of the events and of the
 * hold-out. */
Status evaluate_load(JudgedModel *model, Holdout *holdout, JudgedUsers *users, sqlite3 *db,
    const char *name, const char *table, EvaluateCall *call, Err *err);

/* The model's lists, scored on the device. */
Status evaluate_judge(Judgement *out, const JudgedModel *model, const Holdout *holdout,
    DeviceChoice device, const EvaluateOptions *options, Task *task, Err *err);

#endif
