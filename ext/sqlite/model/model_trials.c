/* m_trials: what tunings tried (columns in model_table.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/memory.h"
#include "tune.h"

/* Nobody gets near it by tuning. */
static const sqlite3_int64 MOST = (sqlite3_int64)1 << 62;

Status tried_add(TriedList *list, const Tried *tried, Err *err) {
    if (list->n == list->capacity) {
        int64_t capacity = list->capacity * 2 + 32;
        Tried *grown = mem_resize(list->item, (size_t)capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "the trials");
        list->item = grown;
        list->capacity = capacity;
    }
    char *options = sqlite3_mprintf("%s", tried->options);
    if (!options) return fail_nomem(err, "the trials");
    list->item[list->n] = *tried;
    list->item[list->n++].options = options;
    return ST_OK;
}

void tried_clear(TriedList *list) {
    for (int64_t i = 0; i < list->n; i++) {
        sqlite3_free(list->item[i].options);
        mem_free(list->item[i].per_user);
    }
    mem_free(list->item);
    *list = (TriedList){0};
}

Status trials_state(const ModelDefinition *definition, TrialsState *out, Err *err) {
    sqlite3_int64 columns;
    TRY(sql_integer(definition->db, 0, &columns, err,
        "SELECT count(*) FROM pragma_table_info('%q_trials', %Q) WHERE name IN ('trial', 'tuning', "
        "'share', 'question', 'note')"
        " AND EXISTS (SELECT 1 FROM \"%w\".sqlite_schema WHERE type='table' AND rootpage>0 AND "
        "lower(name)=lower('%q_trials'))",
        definition->name, definition->schema, definition->schema, definition->name));
    *out = columns == 5 ? TRIALS_PRESENT
        : columns == 4  ? TRIALS_WITHOUT_NOTE
        : columns >= 2  ? TRIALS_OLD
                        : TRIALS_ABSENT;
    return ST_OK;
}

/* Make the table where there is none, and give one from before halving its columns. */
static Status ensure_table(const ModelDefinition *definition, Err *err) {
    TrialsState state;
    TRY(sql_execute(definition->db, err,
        "CREATE TABLE IF NOT EXISTS \"%w\".\"%w_trials\"(" TRIALS_COLUMNS ")", definition->schema,
        definition->name));
    TRY(trials_state(definition, &state, err));
    if (state == TRIALS_PRESENT) return ST_OK;
    if (state == TRIALS_ABSENT)
        return fail(err, ST_BADARG, "the table %s_trials is not this model's", definition->name);
    static const char *const added[] = {"share REAL DEFAULT 1", "question TEXT", "note TEXT"},
                             *const names[] = {"share", "question", "note"};
    /* some may be there: each is a transaction of its own outside BEGIN */
    for (int i = 0; i < 3; i++) {
        sqlite3_int64 found;
        TRY(sql_integer(definition->db, 0, &found, err,
            "SELECT 1 FROM pragma_table_info('%q_trials', %Q) WHERE name=%Q", definition->name,
            definition->schema, names[i]));
        if (!found)
            TRY(sql_execute(definition->db, err, "ALTER TABLE \"%w\".\"%w_trials\" ADD COLUMN %s",
                definition->schema, definition->name, added[i]));
    }
    return ST_OK;
}

/* A trial whose algorithm this library does not have is none that it would propose. */
static Status load_row(sqlite3_stmt *row, TriedList *list, Err *err) {
    const char *name = (const char *)sqlite3_column_text(row, 0),
               *options = (const char *)sqlite3_column_text(row, 1);
    Tried tried = {.algorithm = name ? algorithm_find(name) : NULL,
        .options = (char *)(uintptr_t)options,
        .share = sqlite3_column_double(row, 2),
        .users = sqlite3_column_int(row, 4),
        .seconds = sqlite3_column_double(row, 5)};
    tried.value = sqlite3_column_type(row, 3) == SQLITE_NULL ? NAN : sqlite3_column_double(row, 3);
    return tried.algorithm && options ? tried_add(list, &tried, err) : ST_OK;
}

static Status load_trials(
    const ModelDefinition *definition, sqlite3_int64 tuning, TriedList *list, Err *err) {
    sqlite3_stmt *row;
    TRY(sql_prepare(definition->db, &row, err,
        "SELECT algorithm, options, share, value, users, seconds FROM \"%w\".\"%w_trials\" WHERE "
        "tuning=%lld ORDER BY trial",
        definition->schema, definition->name, tuning));
    Status status = ST_OK;
    while (sql_next(definition->db, row, &status, err)) { status = load_row(row, list, err); }
    sqlite3_finalize(row);
    return status;
}

Status trials_begin(
    const ModelDefinition *definition, TuningKey *key, int resume, TriedList *list, Err *err) {
    sqlite3_int64 last, same = 0;
    TRY(ensure_table(definition, err));
    TRY(sql_integer(definition->db, 0, &last, err,
        "SELECT coalesce(max(tuning), 0) FROM \"%w\".\"%w_trials\"", definition->schema,
        definition->name));
    TRY(sql_integer(definition->db, 0, &key->last_trial, err,
        "SELECT coalesce(max(trial), 0) FROM \"%w\".\"%w_trials\"", definition->schema,
        definition->name));
    if (last < 0 || last >= MOST || key->last_trial < 0 || key->last_trial >= MOST)
        return fail(err, ST_CORRUPT, "%s_trials: numbers of trials or tunings are damaged",
            definition->name);
    key->tuning = last + 1;
    if (!resume || !last) return ST_OK;
    TRY(sql_integer(definition->db, 0, &same, err,
        "SELECT count(*) FROM \"%w\".\"%w_trials\" WHERE tuning=%lld AND question=%Q",
        definition->schema, definition->name, last, key->question));
    if (!same)
        return fail(err, ST_BADARG,
            "resume: tuning %lld was of other events or judged otherwise (metric, k, split, share, "
            "folds, seed, until, exclude_seen): begin anew without resume, or give until",
            last);
    key->tuning = last;
    return load_trials(definition, last, list, err);
}

void trials_take_back(const ModelDefinition *definition, const TuningKey *key) {
    if (key->tuning)
        sql_execute(definition->db, NULL,
            "DELETE FROM \"%w\".\"%w_trials\" WHERE tuning=%lld AND trial>%lld", definition->schema,
            definition->name, key->tuning, key->last_trial);
}

Status trials_put(
    const ModelDefinition *definition, const TuningKey *key, const Tried *tried, Err *err) {
    char value[40] = "NULL";
    if (!isnan(tried->value)) sqlite3_snprintf(sizeof value, value, "%!.17g", tried->value);
    return sql_execute(definition->db, err,
        "INSERT INTO \"%w\".\"%w_trials\"(tuning, algorithm, options, metric, k, value, users, "
        "seconds, seed, share, question) VALUES(%lld, %Q, %Q, %Q, %lld, %s, %d, %!.6g, %lld, "
        "%!.17g, %Q)",
        definition->schema, definition->name, key->tuning, tried->algorithm->name, tried->options,
        key->metric, (sqlite3_int64)key->k, value, (int)tried->users, tried->seconds,
        (sqlite3_int64)key->seed, tried->share, key->question);
}

Status trials_note(const ModelDefinition *definition, const TuningKey *key, const char *options,
    const char *note, Err *err) {
    return sql_execute(definition->db, err,
        "UPDATE \"%w\".\"%w_trials\" SET note=%Q WHERE tuning=%lld AND options=%Q AND share>=1",
        definition->schema, definition->name, note, key->tuning, options);
}
