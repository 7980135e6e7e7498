/* Reading a rec_predictor: a prediction for every row of a table or view.
 *
 *     SELECT id, prediction, probability FROM buy('visitors')       the columns are found by name
 *     SELECT id, prediction FROM buy WHERE id = 17                  of the examples themselves
 *
 * Plan string: a letter an argument (predictor_table.h). The source's rows are read and answered
 * one by one. */
#include <math.h>
#include <string.h>

#include "../../base/hash.h"
#include "../../base/memory.h"
#include "../functions/function.h"
#include "../host/guard.h"
#include "predictor_answer.h"
#include "predictor_examples.h"

typedef struct PredictorCursor {
    sqlite3_vtab_cursor base;
    sqlite3_value *source, *options; /* echoed */
    Answers answers;
    sqlite3_stmt *rows;
    int id_column; /* of the source, -1 for none */
    int ended;
    int64_t n;     /* rows so far */
    uint64_t hash; /* of the inputs */
    HeldVersion *held;
    Prediction prediction;
} PredictorCursor;

/* ---- the plan ---- */

int predictor_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info) {
    const PredictorTable *table = (const PredictorTable *)vtab;
    char plan[8] = "";
    int n = 0, has_id = 0;
    for (int i = 0; i < info->nConstraint; i++) {
        const struct sqlite3_index_constraint *c = &info->aConstraint[i];
        char letter = c->iColumn == P_COMMAND ? PLAN_SOURCE
            : c->iColumn == P_OPTIONS         ? PLAN_OPTIONS
            : c->iColumn == P_ID              ? PLAN_ID
                                              : 0;
        if (!letter || (c->op != SQLITE_INDEX_CONSTRAINT_EQ && c->op != SQLITE_INDEX_CONSTRAINT_IS))
            continue;
        if (!c->usable && letter != PLAN_ID) return SQLITE_CONSTRAINT;
        if (!c->usable || strchr(plan, letter)) continue;
        if (letter == PLAN_ID) {
            if (!table->definition.row_id || c->op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
            has_id = 1;
        }
        plan[n++] = letter;
        plan[n] = 0;
        info->aConstraintUsage[i].argvIndex = n;
    }
    info->idxStr = sqlite3_mprintf("%s", plan);
    if (!info->idxStr) return SQLITE_NOMEM;
    info->needToFreeIdxStr = 1;
    /* nobody knows whether the source finds an id by an index: a join of many rows is to scan it
     * once rather than for each */
    info->estimatedCost = has_id ? 2000 : 1e6;
    info->estimatedRows = has_id ? 1 : 100000;
    return SQLITE_OK;
}

/* ---- the cursor ---- */

int predictor_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    PredictorCursor *cursor = mem_zeros(1, sizeof *cursor);
    (void)vtab;
    if (!cursor) return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

static void cursor_reset(PredictorCursor *cursor) {
    sqlite3_value_free(cursor->source);
    sqlite3_value_free(cursor->options);
    sqlite3_finalize(cursor->rows);
    answers_close(&cursor->answers);
    *cursor = (PredictorCursor){.base = cursor->base, .ended = 1, .id_column = -1};
}

int predictor_close(sqlite3_vtab_cursor *base) {
    cursor_reset((PredictorCursor *)base);
    mem_free(base);
    return SQLITE_OK;
}

/* Where a version's columns stand in the source. */
static Status find_places(PredictorCursor *cursor, HeldVersion *held, Err *err) {
    const Predictor *predictor = held->predictor;
    if (!predictor->n_columns || held->place[0] >= 0) return ST_OK;
    for (int32_t i = 0; i < predictor->n_columns; i++) {
        held->place[i] = source_column(cursor->rows, predictor->column[i]);
        if (held->place[i] < 0)
            return fail(err, ST_BADARG, "the rows have no column '%.60s', which version %lld needs",
                predictor->column[i], (long long)held->version);
    }
    return ST_OK;
}

static Status next_row(PredictorCursor *cursor, Err *err) {
    PredictorTable *table = (PredictorTable *)cursor->base.pVtab;
    int has_row;
    char buffer[CELL_BUFFER];
    Key unit;
    TRY(sql_step(table->definition.id.db, cursor->rows, &has_row, err));
    cursor->ended = !has_row;
    cursor->n++;
    if (!has_row) { /* it would keep what it reads in use */
        sqlite3_finalize(cursor->rows);
        cursor->rows = NULL;
        return ST_OK;
    }
    Cell id = cursor->id_column >= 0 ? source_cell(cursor->rows, cursor->id_column) : (Cell){0};
    TRY(answers_for(
        &cursor->answers, cell_key(&id, buffer, &unit) ? &unit : NULL, &cursor->held, err));
    HeldVersion *held = cursor->held;
    TRY(find_places(cursor, held, err));
    for (int32_t i = 0; i < held->predictor->n_columns; i++)
        held->cell[i] = source_cell(cursor->rows, held->place[i]);
    return asker_predict(held->asker, held->cell, &cursor->prediction, err);
}

typedef struct Inputs {
    sqlite3_value *source, *options, *id;
} Inputs;

/* A row that was asked for by its id is the first of its scan. */
static uint64_t hash_id(uint64_t hash, sqlite3_value *id) {
    char buffer[CELL_BUFFER];
    Key key;
    Cell cell = id ? cell_of_value(id) : (Cell){0};
    if (!cell_key(&cell, buffer, &key)) return hash;
    return key.text ? fnv1a(hash, key.text, key.len)
                    : fnv1a(hash, &key.integer, sizeof key.integer);
}

static Status begin(PredictorCursor *cursor, const Inputs *inputs, Err *err) {
    PredictorTable *table = (PredictorTable *)cursor->base.pVtab;
    const PredictorDefinition *definition = &table->definition;
    AnswerOptions options;
    OptTarget target = {answer_options, &options};
    const char *source = NULL;
    int has_id = inputs->id != NULL;
    TRY(value_options(&target, 1, inputs->options, err));
    if (inputs->source && !(source = value_text(cursor->source)))
        return fail(err, ST_BADARG, "the name of the table to predict for is NULL");
    table->references++; /* the answers' */
    TRY(answers_open(&cursor->answers, table, &options, err));
    TRY(source_open(definition, source, &has_id, &cursor->rows, err));
    if (has_id) {
        int code = sqlite3_bind_value(cursor->rows, 1, inputs->id);
        if (code) return sql_failed(err, definition->id.db, code);
    }
    cursor->id_column = source_column(cursor->rows, definition->row_id);
    cursor->hash = source ? fnv1a(FNV_START, source, strlen(source)) : FNV_START;
    if (has_id) cursor->hash = hash_id(cursor->hash, inputs->id);
    return next_row(cursor, err);
}

int predictor_filter(
    sqlite3_vtab_cursor *base, int number, const char *plan, int argc, sqlite3_value **argv) {
    PredictorCursor *cursor = (PredictorCursor *)base;
    PredictorTable *table = (PredictorTable *)base->pVtab;
    Inputs inputs = {0};
    Err err = {0};
    (void)number;
    cursor_reset(cursor);
    for (int i = 0; i < argc; i++) {
        if (plan[i] == PLAN_SOURCE) inputs.source = argv[i];
        else if (plan[i] == PLAN_OPTIONS) inputs.options = argv[i];
        else inputs.id = argv[i];
    }
    /* what is echoed is a copy taken before it is turned into a text, which breaks BLOBs */
    if (inputs.source) cursor->source = sqlite3_value_dup(inputs.source);
    if (inputs.options) cursor->options = sqlite3_value_dup(inputs.options);
    if ((inputs.source && !cursor->source) || (inputs.options && !cursor->options))
        return SQLITE_NOMEM;
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        status = begin(cursor, &inputs, &err);
        guard_leave_table(&table->busy);
    }
    if (status != ST_OK) cursor->ended = 1;
    return sql_vtab_error(base->pVtab, "rec_predictor", table->definition.id.name, status, &err);
}

int predictor_next(sqlite3_vtab_cursor *base) {
    PredictorCursor *cursor = (PredictorCursor *)base;
    PredictorTable *table = (PredictorTable *)base->pVtab;
    Err err = {0};
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        status = next_row(cursor, &err);
        guard_leave_table(&table->busy);
    }
    if (status != ST_OK) cursor->ended = 1;
    return sql_vtab_error(base->pVtab, "rec_predictor", table->definition.id.name, status, &err);
}

int predictor_eof(sqlite3_vtab_cursor *base) { return ((PredictorCursor *)base)->ended; }

static void result_interval(
    sqlite3_context *context, const PredictorCursor *cursor, double direction) {
    const Predictor *predictor = cursor->held->predictor;
    if (predictor->task != LEARN_NUMBER) return;
    double half = predictor_half_width(predictor, cursor->answers.options.coverage);
    if (isfinite(half)) sqlite3_result_double(context, cursor->prediction.value + direction * half);
}

static void result_score(sqlite3_context *context, const PredictorCursor *cursor) {
    const Prediction *p = &cursor->prediction;
    const Predictor *predictor = cursor->held->predictor;
    if (predictor->task == LEARN_COMPONENTS) return;
    int32_t at = predictor_scores(predictor) > 1 ? p->best : 0;
    sqlite3_result_double(context, predictor->task == LEARN_SEGMENTS ? p->value : p->score[at]);
}

static void result_probability(
    sqlite3_context *context, const Predictor *predictor, const Prediction *prediction) {
    if (predictor->task != LEARN_CLASSES) return;
    sqlite3_result_double(context,
        predictor_classes(predictor) == 2 ? prediction->probability[1] : prediction->value);
}

static void result_probabilities(sqlite3_context *context, const PredictorCursor *cursor) {
    Bytes json = {0};
    if (cursor->held->predictor->task != LEARN_CLASSES) return;
    probabilities_json(cursor->held->predictor, &cursor->prediction, &json);
    result_json(context, &json);
}

int predictor_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    const PredictorCursor *cursor = (const PredictorCursor *)base;
    const Predictor *predictor = cursor->held->predictor;
    switch (column) {
    case P_ID:
        if (cursor->id_column >= 0)
            sqlite3_result_value(context, sqlite3_column_value(cursor->rows, cursor->id_column));
        else sqlite3_result_int64(context, cursor->n);
        break;
    case P_PREDICTION: result_prediction(context, predictor, &cursor->prediction); break;
    case P_PROBABILITY: result_probability(context, predictor, &cursor->prediction); break;
    case P_PROBABILITIES: result_probabilities(context, cursor); break;
    case P_SCORE: result_score(context, cursor); break;
    case P_LOW: result_interval(context, cursor, -1); break;
    case P_HIGH: result_interval(context, cursor, 1); break;
    case P_VERSION: sqlite3_result_int64(context, cursor->held->version); break;
    case P_COMMAND:
        if (cursor->source) sqlite3_result_value(context, cursor->source);
        break;
    case P_OPTIONS:
        if (cursor->options) sqlite3_result_value(context, cursor->options);
        break;
    case P_ARM:
        if (*cursor->held->arm)
            sqlite3_result_text(context, cursor->held->arm, -1, SQLITE_TRANSIENT);
        break;
    default: break;
    }
    return SQLITE_OK;
}

/* The place of the row in the source, apart for every source: SQLite uses rowids to tell rows of an
 * OR apart. */
int predictor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    const PredictorCursor *cursor = (const PredictorCursor *)base;
    *out = (sqlite3_int64)((cursor->hash + (uint64_t)cursor->n) & INT64_MAX);
    return SQLITE_OK;
}
