/* The shadow tables of versions (layout in versioned.h). */
#include "version_trials.h"

/* m_trials may be missing, or somebody else's. */
static int has_trials(const void *owner) {
    TrialsState state;
    Err err = {0};
    return trials_state(owner, &state, &err) == ST_OK && state != TRIALS_ABSENT;
}

static const ShadowTable TABLES[] = {
    {.suffix = "versions",
        .columns = "version INTEGER PRIMARY KEY, algorithm TEXT, options TEXT, events INTEGER, "
                   "users INTEGER, items INTEGER, until REAL, trained_seconds REAL, bytes INTEGER, "
                   "sha256 TEXT, log TEXT"},
    {.suffix = "chunks", .columns = "chunk INTEGER PRIMARY KEY, version INTEGER, data BLOB"},
    {.suffix = "deployments", .columns = "id INTEGER PRIMARY KEY, version INTEGER, action TEXT"},
    {.suffix = "trials", .columns = TRIALS_COLUMNS, .is_there = has_trials, .may_be_odd = 1},
    {.suffix = "audit",
        .columns = "id INTEGER PRIMARY KEY, at REAL, command TEXT, detail TEXT, author TEXT, note "
                   "TEXT, live TEXT, hash TEXT",
        .is_later = 1},
    {.suffix = "facts",
        .columns = "version INTEGER, key TEXT, value, PRIMARY KEY(version, key)",
        .is_later = 1},
    {.suffix = "lists",
        .columns = "id INTEGER PRIMARY KEY, list UNIQUE, user, at REAL, scenario TEXT, experiment "
                   "TEXT, arm TEXT, version INTEGER",
        .is_later = 1},
    {.suffix = "shown",
        .columns = "list INTEGER, rank INTEGER, item, team TEXT, version INTEGER, propensity REAL, "
                   "PRIMARY KEY(list, rank)",
        .is_later = 1},
    {.suffix = "stats",
        .columns = "id INTEGER PRIMARY KEY, at REAL, process TEXT, version INTEGER, arm TEXT, "
                   "operation TEXT, requests INTEGER, errors INTEGER, fall_backs INTEGER, rows "
                   "INTEGER, filled INTEGER, candidates INTEGER, seconds REAL, buckets TEXT",
        .is_later = 1},
    {.suffix = "ledger",
        .columns = "id INTEGER PRIMARY KEY, at REAL, name TEXT, rho REAL, deviation REAL",
        .is_later = 1},
    {.suffix = "released", .columns = "release INTEGER, key, value REAL", .is_later = 1},
    {.suffix = "outcomes",
        .columns = "id INTEGER PRIMARY KEY, at REAL, list INTEGER, user, item, kind TEXT, value "
                   "REAL",
        .is_later = 1},
};

const ShadowSet version_shadow = {1, TABLES, sizeof TABLES / sizeof *TABLES};
