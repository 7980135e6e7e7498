/* A model, its histories and a hold-out, read for rec_evaluate, rec_evaluate_users and
 * rec_compare. */
#ifndef REC_EVALUATE_LOAD_H
#define REC_EVALUATE_LOAD_H

#include "../../ann/gpu.h"
#include "../../eval/evaluate.h"
#include "../model/model_table.h"

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

/* What is read. Filled by evaluate_load; cleared also after an error. */
typedef struct Loaded {
    ModelDefinition definition;
    EventsReader reader;
    Model *model;
    sqlite3_int64 version;
    HistoryRules rules;
    AllHistories all;   /* all users' histories */
    Dataset pairs;      /* the hold-out as (user, item) pairs; items by key */
    KeyMap *segment_of; /* with by=: users in the order of their first rows, */
    KeyMap *segments;   /* the segments, */
    Bytes segment;      /* and an int32 a user of segment_of: her segment, -1 for none */
    int64_t overlap;    /* hold-out pairs that are in the history */
    int64_t too_early;  /* hold-out rows with a time before the history's end */
} Loaded;
Status evaluate_load(
    Loaded *out, sqlite3 *db, const char *model, const char *holdout, EvaluateCall *call, Err *err);
void loaded_clear(Loaded *loaded);

/* The judged users. */
typedef struct Aligned {
    Holdout holdout;
    int32_t *user;    /* per judged user: her id in loaded->pairs.users */
    int32_t *segment; /* and her segment, -1 for none */
} Aligned;
Status evaluate_align(const Loaded *loaded, const EvaluateCall *call, Aligned *out, Err *err);
void aligned_clear(Aligned *aligned);

#endif
