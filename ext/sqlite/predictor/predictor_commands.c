/* Commands of a rec_predictor: INSERT INTO buy(buy [, arg [, options]]) VALUES('train', '{json}').
 * Everything is read and computed before the first write (version_store.c). */
#include <math.h>

#include "../host/guard.h"
#include "predictor_learn.h"
#include "predictor_search.h"
#include "predictor_table.h"

/* Its judgement, as tags of the version. */
static Status note_judgement(
    const PredictorDefinition *definition, sqlite3_int64 version, const Predictor *p, Err *err) {
    for (int32_t i = 0; i < p->n_judgements; i++) {
        char tag[64];
        if (!isfinite(p->judgement[i].value)) continue;
        sqlite3_snprintf(sizeof tag, tag, "validation.%s", p->judgement[i].name);
        for (char *c = tag; *c; c++)
            if (*c == '@') *c = '.';
        TRY(store_tag(&definition->id, version, tag, p->judgement[i].value, err));
    }
    return ST_OK;
}

/* What the audit says of a training that was compared with the active version's setting. */
static Status note_comparison(PredictorTable *table, sqlite3_int64 version, const char *options,
    const Learnt *learnt, Err *err) {
    Bytes *detail = &table->versions.detail;
    VersionName name;
    if (!isfinite(learnt->active) || !isfinite(learnt->candidate)) return ST_OK;
    TRY(store_lookup(&table->definition.id, NULL, version, &name, NULL, err));
    bytes_format(detail,
        "{\"version\":%lld,\"sha256\":\"%s\",\"arg\":%s,\"active\":%.9g,\"candidate\":%.9g,"
        "\"activated\":%s}",
        (long long)version, name.sha256, options, learnt->active_said, learnt->candidate_said,
        learnt->is_better ? "true" : "false");
    return ST_OK;
}

static Status store(const CommandCall *call, const char *options, const Learnt *learnt, Err *err) {
    PredictorTable *table = call->table;
    const PredictorDefinition *definition = &table->definition;
    TRY(store_put(&definition->id, learnt->predictor, &learnt->wish, "train", call->rowid, err));
    TRY(note_judgement(definition, *call->rowid, learnt->predictor, err));
    return note_comparison(table, *call->rowid, options ? options : "null", learnt, err);
}

/* tunes: settings are tried first. */
static Status learn(const CommandCall *call, int tunes, Err *err) {
    PredictorTable *table = call->table;
    const PredictorDefinition *definition = &table->definition;
    const char *options = value_text(call->arg);
    Learnt learnt;
    TRY(train_may_activate(&definition->id, options, err));
    Status status = predictor_learn(definition, tunes, options, &learnt, err);
    if (status == ST_OK) status = search_store(definition, learnt.metric, &learnt.tried, err);
    if (status == ST_OK && learnt.predictor) status = store(call, options, &learnt, err);
    learnt_clear(&learnt);
    return status;
}

static Status command_train(const CommandCall *call, Err *err) { return learn(call, 0, err); }
static Status command_tune(const CommandCall *call, Err *err) { return learn(call, 1, err); }

static const Command COMMANDS[] = {
    {"train", READS_ARG | HAS_EFFECT, command_train},
    {"tune", READS_ARG | HAS_EFFECT, command_tune},
    {"load", READS_ARG | READS_OPTIONS | HAS_EFFECT, command_load},
    {"activate", READS_ARG | HAS_EFFECT, command_activate},
    {"rollback", HAS_EFFECT, command_rollback},
    {"drop-version", READS_ARG | HAS_EFFECT, command_drop_version},
    {"export", READS_ARG | HAS_EFFECT, command_export},
    {"import", READS_ARG | HAS_EFFECT, command_import},
    {"alias", READS_ARG | HAS_EFFECT, command_alias},
    {"annotate", READS_ARG | HAS_EFFECT, command_annotate},
    {"canary", READS_ARG | HAS_EFFECT, command_canary},
    {"experiment", READS_ARG | HAS_EFFECT, command_experiment},
    {"shares", READS_ARG | HAS_EFFECT, command_shares},
    {"stop", READS_ARG | HAS_EFFECT, command_stop},
    {"integrity-check", READS_NOTHING, command_check_versions},
    {0},
};

static const char *column_name(const void *table, int column) {
    (void)table;
    return predictor_column_names[column];
}

int predictor_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
    PredictorTable *table = (PredictorTable *)vtab;
    const char *name = table->definition.id.name;
    Err err = {0};
    CommandColumns columns = {
        argv + 2, N_PREDICTOR_COLUMNS, P_COMMAND, P_ARG, P_OPTIONS, column_name};
    int insert = argc == 2 + N_PREDICTOR_COLUMNS && sqlite3_value_type(argv[0]) == SQLITE_NULL;
    int is_command = insert && sqlite3_value_type(columns.value[P_COMMAND]) != SQLITE_NULL;
    Status status = is_command ? guard_enter_table(&table->busy, &err)
                               : fail(&err, ST_BADARG,
                                     "rows are computed and cannot be changed; a command is INSERT "
                                     "INTO %s(%s) VALUES('train')",
                                     name, name);
    if (status == ST_OK) {
        status = command_run(COMMANDS, &version_hooks, table, &columns, rowid, &err);
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(vtab, "rec_predictor", name, status, &err);
}
