/* What tuning (model_tune.c) and rec_crossval share: the call, the events with their split, a
 * setting's trial. */
#ifndef REC_TUNE_H
#define REC_TUNE_H

#include <jansson.h>

#include "../../eval/search.h"
#include "../../eval/trial.h"
#include "../versions/version_trials.h"
#include "model_events.h"
#include "../host/jobs.h"

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
    int64_t judged; /* of the folds */
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

/* From JSON, over what an algorithm=auto model was made with. The value of a key `also`, where it
 * is given, goes to *other. */
Status tune_call_read(TuneCall *out, const ModelDefinition *definition, const char *text,
    const char *also, json_t **other, Err *err);
void tune_call_clear(TuneCall *call);

/* Append ,"key":value to the options of an algorithm=auto model; *known: is it an option of
 * those? */
Status tune_argument(Bytes *json, const char *key, const char *value, int *known, Err *err);

/* ---- the events and a trial ---- */

enum { TUNING_KEPT = 4 };
typedef struct Tuning {
    const ModelDefinition *definition;
    TuneCall call;
    EventSet events;
    int64_t parts;               /* that are held out in turn */
    uint8_t *held;               /* parts x events: trial.h */
    uint8_t *part;               /* events: of a share of the users */
    TrialKept kept[TUNING_KEPT]; /* of the first parts */
    Task task;
    Job job;
} Tuning;

/* Read the events; room for so many splits. */
Status tuning_open(Tuning *tuning, EventsReader *reader, int64_t parts, Err *err);
void tuning_close(Tuning *tuning);

/* Train what options (NULL: nothing) make of the definition on what is not held, and judge it.
 * users: added to, or NULL. kept: of earlier settings on the same held events, or NULL. */
Status tuning_run_setting(Tuning *tuning, const char *options, const uint8_t *held, TrialKept *kept,
    TrialResult *out, TrialUsers *users, Err *err);

/* The same over all parts, for a share of the users: their mean value of the call's metric at k,
 * each user's a mean over the parts where she was judged; NaN where nobody was. per_user (users of
 * the events, or NULL): her value, NaN where there is none. */
typedef struct SettingResult {
    double value;
    int32_t users;
    double seconds; /* of all trainings */
} SettingResult;
Status tuning_judge(Tuning *tuning, const char *options, double share, SettingResult *out,
    double *per_user, Err *err);

#endif
