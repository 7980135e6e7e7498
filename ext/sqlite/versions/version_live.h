/* What is live: the active version (m_deployments), aliases, and the experiment that runs.
 *
 * m_config's row `live` is a JSON object, absent where there is neither alias nor experiment:
 *
 *     {"aliases": {"champion": 3},
 *      "experiment": {"name": "autumn", "salt": "autumn", "since": 1764460800.0, "start": t|null,
 *                     "end": t|null, "metric": "conversion", "guards": [...], "control": "control",
 *                     "arms": [{"arm": "control", "version": 3, "share": 0.8}, ...]}}
 *
 * It is read with every list, so that it is parsed once and kept while the text stays the same. */
#ifndef REC_VERSION_LIVE_H
#define REC_VERSION_LIVE_H

#include "../../serve/route.h"
#include "versioned.h"

enum { LIVE_MAX_ALIASES = 32 };

typedef struct Alias {
    char name[ROUTE_NAME];
    sqlite3_int64 version;
} Alias;

typedef struct Experiment {
    char name[ROUTE_NAME]; /* "": none runs */
    char salt[ROUTE_NAME];
    char control[ROUTE_NAME]; /* the arm that others are compared with */
    char metric[ROUTE_NAME];
    char guards[256];  /* JSON array */
    double since;      /* the command that began it, unix seconds */
    double start, end; /* whom it routes when; NaN: from since, until it is stopped */
    int n;
    RouteArm arm[ROUTE_MAX_ARMS];
    sqlite3_int64 version[ROUTE_MAX_ARMS]; /* of each arm */
} Experiment;

typedef struct Live {
    int n_aliases;
    Alias alias[LIVE_MAX_ALIASES];
    Experiment experiment;
} Live;

/* NULL is nothing: *out is empty. */
Status live_parse(const char *json, Live *out, Err *err);
Status live_read(const Versioned *versioned, Live *out, Err *err);
Status live_write(const Versioned *versioned, const Live *live, Err *err);
/* {"aliases":..., "experiment":...}; "{}" where there is nothing. */
void live_json(const Live *live, Bytes *out);
void experiment_json(const Experiment *experiment, Bytes *out);

/* Names of aliases, arms and experiments: letters of any script, digits, - _ and ., 1 to 63
 * bytes. */
Status live_check_name(const char *what, const char *name, Err *err);

/* 0: there is no such alias. */
sqlite3_int64 live_alias(const Live *live, const char *name);
/* A version by number ('3') or alias; 0: "" names none. An error where there is no such alias. */
Status live_named_version(
    const Versioned *versioned, const char *name, sqlite3_int64 *out, Err *err);
/* Does an alias or an arm stand on the version? */
int live_uses(const Live *live, sqlite3_int64 version);

/* The arm of the unit at this time, or -1. Returns 0 when there is no memory. */
int experiment_arm(const Experiment *experiment, Key unit, double now, int *out);
/* -1: there is none of that name. */
int experiment_find_arm(const Experiment *experiment, const char *name);
/* The arm with the largest share, which takes what rounding leaves. */
int experiment_largest(const Experiment *experiment);
/* Does the clock matter to it? */
int experiment_is_timed(const Experiment *experiment);

/* Unix seconds, as the database's host has them. */
double live_clock(void);

/* What was parsed last, and its text: sqlite3_malloc'ed, NULL: nothing is live. */
typedef struct LiveCache {
    char *text;
    Live live;
} LiveCache;
/* Make the cache say what the text says. */
Status live_cache_take(LiveCache *cache, const char *text, Err *err);

/* While an experiment runs nothing else is made active: an error that says how to end it. */
Status live_may_activate(const Versioned *versioned, Err *err);

#endif
