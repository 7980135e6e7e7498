/* Commands of a rec_model: INSERT INTO recs(recs [, arg [, options]]) VALUES('train', '{json}').
 * Everything is read and computed before the first write (version_store.c). */
#include "../host/guard.h"
#include "../host/values.h"
#include "../life/bandit.h"
#include "../life/forget.h"
#include "../life/privacy.h"
#include "../life/shown_log.h"
#include "../life/stats_flush.h"
#include "../versions/version_commands.h"
#include "../versions/version_store.h"
#include "model_better.h"
#include "model_forget.h"
#include "model_setting.h"
#include "model_table.h"
#include "model_train.h"
#include "model_tune.h"

/* What the audit says of a training that was judged, and the value of the new version as a tag. */
static Status note_judgement(
    ModelTable *table, sqlite3_int64 version, const char *options, const Better *better, Err *err) {
    Bytes *detail = &table->versions.detail;
    VersionName name;
    TRY(store_lookup(&table->definition.id, NULL, version, &name, NULL, err));
    int is_known = better->users > 0; /* else there are no values */
    bytes_format(detail,
        "{\"version\":%lld,\"sha256\":\"%s\",\"arg\":%s,\"active\":%.9g,\"candidate\":%.9g,"
        "\"p\":%.9g,\"users\":%lld,\"activated\":%s}",
        (long long)version, name.sha256, options, is_known ? better->active : 0,
        is_known ? better->candidate : 0, better->p, (long long)better->users,
        better->is_better ? "true" : "false");
    if (!is_known) return ST_OK;
    return store_tag(&table->definition.id, version, "validation.ndcg.10", better->candidate, err);
}

/* Is it to be activated if it is better? */
static Status judge_first(
    ModelTable *table, const char *options, int is_auto, Better *out, Err *err) {
    ModelDefinition d = table->definition;
    TrainOptions train;
    *out = (Better){.is_better = 1};
    options_default(train_options, &train);
    if (!options || is_auto) return ST_OK;
    TRY(train_read_options(&d, &train, options, err));
    return train.activate == ACTIVATE_IF_BETTER
        ? better_than_active(&table->definition, &table->reader, options, out, err)
        : ST_OK;
}

static Status command_train(const CommandCall *call, Err *err) {
    ModelTable *table = call->table;
    const ModelDefinition *definition = &table->definition;
    const char *options = value_text(call->arg);
    int is_auto = tune_before_train(definition, options);
    Model *model;
    PutWish wish;
    Better better;
    TRY(train_may_activate(&definition->id, options, err));
    TRY(judge_first(table, options, is_auto, &better, err));
    if (is_auto) TRY(tune_and_train(definition, &table->reader, options, 1, &model, &wish, err));
    else TRY(train_model(definition, &table->reader, options, &model, &wish, err));
    wish.activate &= better.is_better;
    Status status = store_put(&definition->id, model, &wish, "train", call->rowid, err);
    if (status == ST_OK && better.was_judged)
        status = note_judgement(table, *call->rowid, options, &better, err);
    model_free(model);
    return status;
}

static Status command_tune(const CommandCall *call, Err *err) {
    ModelTable *table = call->table;
    return tune_model(&table->definition, &table->reader, value_text(call->arg), call->rowid, err);
}

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
    {"bandit", READS_ARG | HAS_EFFECT, command_bandit},
    {"stop", READS_ARG | HAS_EFFECT, command_stop},
    {"shown", READS_ARG, command_shown},
    {"outcome", READS_ARG, command_outcome},
    {"merge-user", READS_ARG | HAS_EFFECT, command_merge_user},
    {"forget", READS_ARG | HAS_EFFECT, command_forget},
    {"retain", READS_ARG | HAS_EFFECT, command_retain},
    {"privacy-budget", READS_ARG | HAS_EFFECT, command_privacy_budget},
    {"release", READS_ARG | HAS_EFFECT, command_release},
    {"flush-stats", READS_NOTHING, command_flush_stats},
    {"integrity-check", READS_NOTHING, command_check_versions},
    {0},
};

static const char *column_name(const void *table, int column) {
    (void)table;
    return model_column_names[column];
}

int model_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
    ModelTable *table = (ModelTable *)vtab;
    const char *name = table->definition.id.name;
    Err err = {0};
    CommandColumns columns = {argv + 2, N_MODEL_COLUMNS, C_COMMAND, C_ARG, C_OPTIONS, column_name};
    int insert = argc == 2 + N_MODEL_COLUMNS && sqlite3_value_type(argv[0]) == SQLITE_NULL;
    int is_command = insert && sqlite3_value_type(columns.value[C_COMMAND]) != SQLITE_NULL;
    Status status = is_command ? guard_enter_table(&table->busy, &err)
                               : fail(&err, ST_BADARG,
                                     "rows are computed and cannot be changed; a command is INSERT "
                                     "INTO %s(%s) VALUES('train')",
                                     name, name);
    if (status == ST_OK) {
        status = command_run(COMMANDS, &version_hooks, table, &columns, rowid, &err);
        table->bad = (VersionName){0};
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(vtab, "rec_model", name, status, &err);
}
