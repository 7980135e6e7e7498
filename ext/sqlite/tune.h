/* What tuning (model_tune.c) and rec_crossval share: the call, the events with their split, a setting's trial; and the stored
 * trials (model_trials.c). */
#ifndef REC_TUNE_H
#define REC_TUNE_H

#include <jansson.h>

#include "../eval/search.h"
#include "../eval/trial.h"
#include "model_table.h"
#include "progress.h"

enum { IF_BETTER, ALWAYS, NEVER };

typedef struct TuneCall {
    char algorithm[32];
    int64_t trials;
    int64_t sampler;
    int64_t metric;
    int64_t k;
    int64_t split;
    double share;
    int64_t folds;
    int64_t seed;
    double until;
    int64_t halving;
    double least_share;
    double seconds;
    int64_t exclude_seen;
    int64_t resume;
    int64_t activate;
    int64_t progress;
    json_t *space; /* or NULL */
} TuneCall;

extern const OptSpec tune_options[];

/* From JSON, over what an algorithm=auto model was made with. The value of a key `also`, where it is given, goes to *other. */
Status tune_call_read(TuneCall *out, const ModelDefinition *definition, const char *text, const char *also, json_t **other, Err *err);
void tune_call_clear(TuneCall *call);

/* Append ,"key":value to the options of an algorithm=auto model; *known: is it an option of those? */
Status tune_argument(Bytes *json, const char *key, const char *value, int *known, Err *err);

/* ---- the events and a trial ---- */

typedef struct Tuning {
    const ModelDefinition *definition;
    TuneCall call;
    EventSet events;
    uint8_t *held; /* per event: trial.h */
    Task task;
    Job job;
} Tuning;

/* Read the events; room for the split. */
Status tuning_open(Tuning *tuning, EventsReader *reader, Err *err);
void tuning_close(Tuning *tuning);

/* Train what options (NULL: nothing) make of the definition, and judge it. */
Status tuning_run_setting(Tuning *tuning, const char *options, const uint8_t *held, TrialResult *out, Err *err);

/* ---- m_trials ---- */

typedef struct Tried {
    const Algorithm *algorithm;
    char *options;
    double share; /* of the users */
    double value; /* NaN: could not be judged */
    int32_t users;
    double seconds;
} Tried;

typedef struct TriedList {
    Tried *item;
    int64_t n, capacity;
} TriedList;
/* options is copied. */
Status tried_add(TriedList *list, const Tried *tried, Err *err);
void tried_clear(TriedList *list);

/* What a tuning is stored under. */
typedef struct TuningKey {
    sqlite3_int64 tuning;
    const char *metric, *question; /* question: a text that is the same where values can be compared */
    int64_t k, seed;
    sqlite3_int64 last_trial; /* before it began */
} TuningKey;

/* A new number for key->tuning; with resume that of the last tuning, whose trials go to list, and an error if it asked something else. */
Status trials_begin(const ModelDefinition *definition, TuningKey *key, int resume, TriedList *list, Err *err);
/* Of a command that failed inside BEGIN: the trials that it has put. */
void trials_take_back(const ModelDefinition *definition, const TuningKey *key);
Status trials_put(const ModelDefinition *definition, const TuningKey *key, const Tried *tried, Err *err);

#endif
