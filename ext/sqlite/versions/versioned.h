/* Trained objects that have versions, and what a kind of them brings.
 *
 * Storing, loading, activating, rolling back, dropping, checking and describing versions know
 * nothing but these two structs: a new kind of trained object is a VersionKind, and a definition
 * that has a Versioned.
 *
 * Shadow tables of a versioned table `m`, beside m_config, where last_version stands:
 *
 *     m_versions   (version INTEGER PRIMARY KEY, algorithm, options, events, users, items, until,
 *                   trained_seconds, bytes, sha256, log)
 *         log: JSON [[sweep, objective, seconds], ...]
 *     m_chunks     (chunk INTEGER PRIMARY KEY, version, data BLOB)
 *         the stored form, 1 MiB a chunk; chunk = version * 2^20 + number
 *     m_deployments(id INTEGER PRIMARY KEY, version, action)
 *         append-only; the last row's version is active
 *     m_trials     (trial INTEGER PRIMARY KEY, tuning, algorithm, options, metric, k, value, users,
 *                   seconds, seed, share, question, note)
 *         of an earlier database: made or extended by the first tuning
 *
 * and, made by the first command that puts something there:
 *
 *     m_audit      (id INTEGER PRIMARY KEY, at, command, detail, author, note, live, hash)
 *         append-only; live: what served after it, where it changed (version_live.h); hash:
 *         SHA-256 of the row and the hash before it (version_audit.c)
 *     m_facts      (version, key, value): tags, note, and what a version was trained on
 *     m_lists      (id INTEGER PRIMARY KEY, list, user, at, scenario, experiment, arm, version)
 *     m_shown      (list, rank, item, team, version, propensity)
 *     m_outcomes   (id INTEGER PRIMARY KEY, at, list, user, item, kind, value)
 *         what was shown, and what followed (life/); list is m_lists' id
 *     m_ledger     (id INTEGER PRIMARY KEY, at, name, rho, deviation)
 *     m_released   (release, key, value)
 *         what was told with noise, and what it cost (life/privacy.c); id 0 is the budget
 *     m_stats      (id INTEGER PRIMARY KEY, at, process, version, arm, operation, requests, ...)
 *         what a process had counted by then (life/stats_flush.c)
 *
 * m_config has, beside format and last_version, `live`: aliases and the experiment that runs. */
#ifndef REC_VERSIONED_H
#define REC_VERSIONED_H

#include "../../base/bytes.h"
#include "../../base/sealed.h"
#include "../host/shadow.h"

/* What m_versions says of an object. */
typedef struct VersionFacts {
    const char *algorithm;
    Bytes options; /* JSON */
    int64_t events, users, items;
    int has_until;
    double until;
    double trained_seconds;
    Bytes log;              /* JSON */
    const char *trained_on; /* JSON, the object's; NULL: it does not say */
} VersionFacts;

/* Append a step to a log that begins with [; validation not finite: none. */
void version_log_step(
    Bytes *log, double sweep, double objective, double seconds, double validation);

typedef struct VersionKind {
    char tag; /* of its entries in the cache: no other kind's, nor another module's */
    /* The stored form and its digest. The same object gives the same digest. */
    Status (*write)(const void *object, Bytes *out, char sha256[SHA256_TEXT], Err *err);
    /* Back, from untrusted bytes. */
    Status (*read)(void **out, const void *data, size_t len, char sha256[SHA256_TEXT], Err *err);
    void (*free_object)(void *object);
    size_t (*memory)(const void *object); /* bytes */
    Status (*describe)(const void *object, VersionFacts *out, Err *err);
} VersionKind;

/* Where versions are: a member of every definition. */
typedef struct Versioned {
    sqlite3 *db;
    char *schema; /* sqlite3_malloc'ed, as name is */
    char *name;
    const VersionKind *kind;
    int64_t keep; /* versions; 0: all */
} Versioned;

/* The shadow tables that versions need, for the module's ShadowSet. */
extern const ShadowSet version_shadow;

#endif
