/* m_trials: what tunings tried (layout in versioned.h). */
#ifndef REC_VERSION_TRIALS_H
#define REC_VERSION_TRIALS_H

#include "versioned.h"

#define TRIALS_COLUMNS \
    "trial INTEGER PRIMARY KEY, tuning INTEGER, algorithm TEXT, options TEXT, metric TEXT, k " \
    "INTEGER, value REAL, users INTEGER, seconds REAL, seed INTEGER, share REAL DEFAULT 1, " \
    "question TEXT, note TEXT"

/* Is m_trials there, and ours? In a database from before tuning it may be missing or somebody
 * else's table: absent; from before halving it has neither share nor question, and from before
 * 2026-12 no note. */
typedef enum TrialsState {
    TRIALS_ABSENT,
    TRIALS_OLD,
    TRIALS_WITHOUT_NOTE,
    TRIALS_PRESENT
} TrialsState;
Status trials_state(const Versioned *versioned, TrialsState *out, Err *err);

typedef struct StoredTrial {
    const char *algorithm; /* its registry's text */
    char *options;
    double share;  /* of the users, or of the examples */
    double value;  /* NaN: could not be judged */
    int32_t users; /* or examples, that judged */
    double seconds;
    char *note;       /* to be stored; NULL: none */
    double *per_user; /* each user's value, where it is kept; owned by the list */
} StoredTrial;

typedef struct StoredTrials {
    StoredTrial *item;
    int64_t n, capacity;
} StoredTrials;
/* options and note are copied; per_user becomes the list's. */
Status trial_list_add(StoredTrials *list, const StoredTrial *tried, Err *err);
void trial_list_clear(StoredTrials *list);

/* What a tuning is stored under. */
typedef struct TuningKey {
    sqlite3_int64 tuning;
    /* question: a text that is the same where values can be compared */
    const char *metric, *question;
    int64_t k, seed;
    sqlite3_int64 last_trial; /* before it began */
} TuningKey;

/* A new number for key->tuning; with resume that of the last tuning, whose trials go to list, and
 * an error if it asked something else. name_of: the registry's text of a name, NULL for one that
 * this library does not have. */
Status trials_begin(const Versioned *versioned, TuningKey *key, int resume,
    const char *(*name_of)(const char *name), StoredTrials *list, Err *err);
/* Of a command that failed inside BEGIN: the trials that it has put. */
void trials_take_back(const Versioned *versioned, const TuningKey *key);
Status trials_put(
    const Versioned *versioned, const TuningKey *key, const StoredTrial *tried, Err *err);
/* What is said of a setting that was judged on all users. */
Status trials_note(const Versioned *versioned, const TuningKey *key, const char *options,
    const char *note, Err *err);

#endif
