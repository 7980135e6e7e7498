#include "version_trials.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/memory.h"

/* Nobody gets near it by tuning. */
static const sqlite3_int64 MOST = (sqlite3_int64)1 << 62;

Status trial_list_add(StoredTrials *list, const StoredTrial *tried, Err *err) {
    if (list->n == list->capacity) {
        int64_t capacity = list->capacity * 2 + 32;
        StoredTrial *grown = mem_resize(list->item, (size_t)capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "the trials");
        list->item = grown;
        list->capacity = capacity;
    }
    char *options = sqlite3_mprintf("%s", tried->options);
    char *note = tried->note ? sqlite3_mprintf("%s", tried->note) : NULL;
    if (!options || (tried->note && !note)) {
        sqlite3_free(options);
        sqlite3_free(note);
        return fail_nomem(err, "the trials");
    }
    list->item[list->n] = *tried;
    list->item[list->n].note = note;
    list->item[list->n++].options = options;
    return ST_OK;
}

void trial_list_clear(StoredTrials *list) {
    for (int64_t i = 0; i < list->n; i++) {
        sqlite3_free(list->item[i].options);
        sqlite3_free(list->item[i].note);
        mem_free(list->item[i].per_user);
    }
    mem_free(list->item);
    *list = (StoredTrials){0};
}

Status trials_state(const Versioned *versioned, TrialsState *out, Err *err) {
    sqlite3_int64 columns;
    TRY(sql_integer(versioned->db, 0, &columns, err,
        "SELECT count(*) FROM pragma_table_info('%q_trials', %Q) WHERE name IN ('trial', 'tuning', "
        "'share', 'question', 'note')"
        " AND EXISTS (SELECT 1 FROM \"%w\".sqlite_schema WHERE type='table' AND rootpage>0 AND "
        "lower(name)=lower('%q_trials'))",
        versioned->name, versioned->schema, versioned->schema, versioned->name));
    *out = columns == 5 ? TRIALS_PRESENT
        : columns == 4  ? TRIALS_WITHOUT_NOTE
        : columns >= 2  ? TRIALS_OLD
                        : TRIALS_ABSENT;
    return ST_OK;
}

/* Make the table where there is none, and give one from before halving its columns. */
static Status ensure_table(const Versioned *versioned, Err *err) {
    TrialsState state;
    TRY(sql_execute(versioned->db, err,
        "CREATE TABLE IF NOT EXISTS \"%w\".\"%w_trials\"(" TRIALS_COLUMNS ")", versioned->schema,
        versioned->name));
    TRY(trials_state(versioned, &state, err));
    if (state == TRIALS_PRESENT) return ST_OK;
    if (state == TRIALS_ABSENT)
        return fail(err, ST_BADARG, "the table %s_trials is not this model's", versioned->name);
    static const char *const added[] = {"share REAL DEFAULT 1", "question TEXT", "note TEXT"},
                             *const names[] = {"share", "question", "note"};
    /* some may be there: each is a transaction of its own outside BEGIN */
    for (int i = 0; i < 3; i++) {
        sqlite3_int64 found;
        TRY(sql_integer(versioned->db, 0, &found, err,
            "SELECT 1 FROM pragma_table_info('%q_trials', %Q) WHERE name=%Q", versioned->name,
            versioned->schema, names[i]));
        if (!found)
            TRY(sql_execute(versioned->db, err, "ALTER TABLE \"%w\".\"%w_trials\" ADD COLUMN %s",
                versioned->schema, versioned->name, added[i]));
    }
    return ST_OK;
}

/* A trial whose algorithm this library does not have is none that it would propose. */
static Status load_row(
    sqlite3_stmt *row, const char *(*name_of)(const char *name), StoredTrials *list, Err *err) {
    const char *name = (const char *)sqlite3_column_text(row, 0),
               *options = (const char *)sqlite3_column_text(row, 1);
    StoredTrial tried = {.algorithm = name ? name_of(name) : NULL,
        .options = (char *)(uintptr_t)options,
        .share = sqlite3_column_double(row, 2),
        .users = sqlite3_column_int(row, 4),
        .seconds = sqlite3_column_double(row, 5)};
    tried.value = sqlite3_column_type(row, 3) == SQLITE_NULL ? NAN : sqlite3_column_double(row, 3);
    return tried.algorithm && options ? trial_list_add(list, &tried, err) : ST_OK;
}

static Status load_trials(const Versioned *versioned, sqlite3_int64 tuning,
    const char *(*name_of)(const char *name), StoredTrials *list, Err *err) {
    sqlite3_stmt *row;
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT algorithm, options, share, value, users, seconds FROM \"%w\".\"%w_trials\" WHERE "
        "tuning=%lld ORDER BY trial",
        versioned->schema, versioned->name, tuning));
    Status status = ST_OK;
    while (sql_next(versioned->db, row, &status, err)) {
        status = load_row(row, name_of, list, err);
    }
    sqlite3_finalize(row);
    return status;
}

Status trials_begin(const Versioned *versioned, TuningKey *key, int resume,
    const char *(*name_of)(const char *name), StoredTrials *list, Err *err) {
    sqlite3_int64 last, same = 0;
    TRY(ensure_table(versioned, err));
    TRY(sql_integer(versioned->db, 0, &last, err,
        "SELECT coalesce(max(tuning), 0) FROM \"%w\".\"%w_trials\"", versioned->schema,
        versioned->name));
    TRY(sql_integer(versioned->db, 0, &key->last_trial, err,
        "SELECT coalesce(max(trial), 0) FROM \"%w\".\"%w_trials\"", versioned->schema,
        versioned->name));
    if (last < 0 || last >= MOST || key->last_trial < 0 || key->last_trial >= MOST)
        return fail(err, ST_CORRUPT, "%s_trials: numbers of trials or tunings are damaged",
            versioned->name);
    key->tuning = last + 1;
    if (!resume || !last) return ST_OK;
    TRY(sql_integer(versioned->db, 0, &same, err,
        "SELECT count(*) FROM \"%w\".\"%w_trials\" WHERE tuning=%lld AND question=%Q",
        versioned->schema, versioned->name, last, key->question));
    if (!same)
        return fail(err, ST_BADARG,
            "resume: tuning %lld was of other events or judged otherwise (metric, k, split, share, "
            "folds, seed, until, exclude_seen): begin anew without resume, or give until",
            last);
    key->tuning = last;
    return load_trials(versioned, last, name_of, list, err);
}

void trials_take_back(const Versioned *versioned, const TuningKey *key) {
    if (key->tuning)
        sql_execute(versioned->db, NULL,
            "DELETE FROM \"%w\".\"%w_trials\" WHERE tuning=%lld AND trial>%lld", versioned->schema,
            versioned->name, key->tuning, key->last_trial);
}

Status trials_put(
    const Versioned *versioned, const TuningKey *key, const StoredTrial *tried, Err *err) {
    sqlite3_stmt *insert;
    TRY(sql_prepare(versioned->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_trials\"(tuning, algorithm, options, metric, k, value, users, "
        "seconds, seed, share, question, note) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, "
        "CAST(printf('%%!.6g', ?8) AS REAL), ?9, ?10, ?11, ?12)",
        versioned->schema, versioned->name));
    sqlite3_bind_int64(insert, 1, key->tuning);
    sqlite3_bind_text(insert, 2, tried->algorithm, -1, SQLITE_STATIC);
    int code = sqlite3_bind_text(insert, 3, tried->options, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 4, key->metric, -1, SQLITE_STATIC);
    sqlite3_bind_int64(insert, 5, key->k);
    if (!isnan(tried->value)) sqlite3_bind_double(insert, 6, tried->value);
    sqlite3_bind_int(insert, 7, tried->users);
    sqlite3_bind_double(insert, 8, tried->seconds);
    sqlite3_bind_int64(insert, 9, key->seed);
    sqlite3_bind_double(insert, 10, tried->share);
    sqlite3_bind_text(insert, 11, key->question, -1, SQLITE_STATIC);
    if (!code && tried->note) code = sqlite3_bind_text(insert, 12, tried->note, -1, SQLITE_STATIC);
    if (!code) return sql_finish(versioned->db, insert, err);
    sqlite3_finalize(insert);
    return sql_failed(err, versioned->db, code);
}

Status trials_note(const Versioned *versioned, const TuningKey *key, const char *options,
    const char *note, Err *err) {
    sqlite3_stmt *update;
    TRY(sql_prepare(versioned->db, &update, err,
        "UPDATE \"%w\".\"%w_trials\" SET note=?1 WHERE tuning=?2 AND options=?3 AND share>=1",
        versioned->schema, versioned->name));
    sqlite3_bind_text(update, 1, note, -1, SQLITE_STATIC);
    sqlite3_bind_int64(update, 2, key->tuning);
    sqlite3_bind_text(update, 3, options, -1, SQLITE_STATIC);
    return sql_finish(versioned->db, update, err);
}
