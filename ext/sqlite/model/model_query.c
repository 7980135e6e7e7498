/* The cursor of a rec_model: the model it holds, its rows, its columns. The list of one user, item
 * or cart is made at once; everybody's come in batches. */
#include <string.h>

#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/values.h"
#include "../versions/version_store.h"
#include "model_cursor.h"

int model_open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    ModelCursor *cursor = mem_zeros(1, sizeof *cursor);
    (void)vtab;
    if (!cursor) return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

/* ---- what is counted ---- */

static void count_rows(ModelCursor *cursor, uint64_t begun, Status status) {
    CounterEvent *event = &cursor->event;
    event->nanoseconds += counters_clock() - begun;
    event->failed |= status != ST_OK;
    event->rows += cursor->rows.n;
    for (size_t i = 0; i < cursor->rows.n; i++)
        event->filled += cursor->rows.row[i].from_popular != 0;
}

/* A list of one is counted when it is made, everybody's when they have been read. */
static void count_request(ModelCursor *cursor, ModelTable *table) {
    static const Operation operation[] = {[SUBJECT_NONE] = OPERATION_EVERYBODY,
        [SUBJECT_USER] = OPERATION_USER,
        [SUBJECT_SIMILAR] = OPERATION_SIMILAR,
        [SUBJECT_BASKET] = OPERATION_BASKET};
    const Versioned *versioned = &table->definition.id;
    const Answering *answering = &cursor->answering;
    if (cursor->arms.answering) answering = cursor->arms.answering;
    CounterLabels labels = {answering->version, answering->arm, operation[cursor->request.subject]};
    cursor->event.fell_back = answering->fell_back;
    cursor->event.candidates = cursor->request.candidates.n;
    counters_add(
        counting_block(&table->counters, versioned->db, versioned->schema, versioned->name),
        &labels, &cursor->event);
    cursor->event = (CounterEvent){0};
}

static void cursor_reset(ModelCursor *cursor) {
    ModelTable *table = (ModelTable *)cursor->base.pVtab;
    if (cursor->event.nanoseconds) count_request(cursor, table);
    list_rows_empty(&cursor->rows);
    cursor->at = 0;
    everybody_clear(&cursor->everybody);
    request_clear(&cursor->request);
    request_echo_clear(&cursor->echo);
    answer_give_back(table, &cursor->answering);
    answer_give_back(table, &cursor->other);
    for (int i = 0; cursor->arms.answering && i < cursor->arms.n; i++) {
        answer_give_back(table, &cursor->arms.answering[i]);
        if (cursor->allowed) mem_free(cursor->allowed[i]);
    }
    mem_free(cursor->arms.answering);
    mem_free(cursor->allowed);
    cursor->arms = (Arms){0};
    cursor->allowed = NULL;
    cursor->arm = 0;
}

int model_close_cursor(sqlite3_vtab_cursor *base) {
    ModelCursor *cursor = (ModelCursor *)base;
    cursor_reset(cursor);
    list_rows_clear(&cursor->rows);
    mem_free(cursor);
    return SQLITE_OK;
}

/* ---- everybody ---- */

/* What each version of the arms may list: an IN list can be read inside xFilter only. */
static Status take_allowed(ModelCursor *cursor, ModelTable *table, Err *err) {
    Arms *arms = &cursor->arms;
    cursor->allowed = mem_zeros((size_t)arms->n, sizeof *cursor->allowed);
    if (!cursor->allowed) return fail_nomem(err, "the arms");
    for (int i = 0; i < arms->n; i++)
        TRY(allowed_of_request(&cursor->allowed[i], &cursor->request, arms->answering[i].model,
            &table->definition, err));
    return ST_OK;
}

static Status begin_arm(ModelCursor *cursor, ModelTable *table, Err *err) {
    Answering *answering = &cursor->arms.answering[cursor->arm];
    uint64_t *allowed = cursor->allowed[cursor->arm];
    cursor->allowed[cursor->arm] = NULL;
    everybody_clear(&cursor->everybody);
    TRY(everybody_begin(
        &cursor->everybody, table, answering->model, allowed, &cursor->request, err));
    return cursor->arms.n > 1 ? everybody_keep(&cursor->everybody, &cursor->arms, cursor->arm, err)
                              : ST_OK;
}

/* The next rows, arm after arm. */
static Status next_rows(ModelCursor *cursor, ModelTable *table, Err *err) {
    for (;;) {
        TRY(everybody_next(&cursor->rows, &cursor->everybody, table,
            cursor->arms.answering[cursor->arm].query, &cursor->request, err));
        if (cursor->rows.n || cursor->arm + 1 == cursor->arms.n) return ST_OK;
        cursor->arm++;
        TRY(begin_arm(cursor, table, err));
    }
}

static Status answer_everybodys(ModelCursor *cursor, ModelTable *table, Err *err) {
    const CallOptions *call = &cursor->request.call;
    if (*call->interleave || call->swap)
        return fail(err, ST_BADARG, "interleave and swap are for the list of one user or cart");
    TRY(answer_everybody(table, &cursor->request, &cursor->arms, err));
    TRY(take_allowed(cursor, table, err));
    TRY(begin_arm(cursor, table, err));
    return next_rows(cursor, table, err);
}

static Status answer(ModelTable *table, ModelCursor *cursor, Err *err) {
    return cursor->request.subject ? answer_subject(&cursor->rows, table, &cursor->request,
                                         &cursor->answering, &cursor->other, err)
                                   : answer_everybodys(cursor, table, err);
}

int model_filter(
    sqlite3_vtab_cursor *base, int number, const char *plan, int argc, sqlite3_value **argv) {
    ModelCursor *cursor = (ModelCursor *)base;
    ModelTable *table = (ModelTable *)base->pVtab;
    Err err = {0};
    (void)argc;
    cursor_reset(cursor);
    uint64_t begun = counters_clock();
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        status = request_read(
            &cursor->request, &cursor->echo, &table->definition, number, plan, argv, &err);
        if (status == ST_OK && !cursor->request.null_input) status = answer(table, cursor, &err);
        guard_leave_table(&table->busy);
    }
    if (!cursor->request.null_input) {
        count_rows(cursor, begun, status);
        if (cursor->request.subject || status != ST_OK) count_request(cursor, table);
    }
    return sql_vtab_error(base->pVtab, "rec_model", table->definition.id.name, status, &err);
}

int model_next(sqlite3_vtab_cursor *base) {
    ModelCursor *cursor = (ModelCursor *)base;
    ModelTable *table = (ModelTable *)base->pVtab;
    Err err = {0};
    cursor->at++;
    if (cursor->at < cursor->rows.n || !cursor->everybody.begun) return SQLITE_OK;
    uint64_t begun = counters_clock();
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        cursor->at = 0;
        status = next_rows(cursor, table, &err);
        guard_leave_table(&table->busy);
    }
    count_rows(cursor, begun, status);
    return sql_vtab_error(base->pVtab, "rec_model", table->definition.id.name, status, &err);
}

int model_eof(sqlite3_vtab_cursor *base) {
    const ModelCursor *cursor = (const ModelCursor *)base;
    return cursor->at >= cursor->rows.n;
}

/* The user as the events table would hold her. */
static void user_column(
    const ModelCursor *cursor, const ModelDefinition *definition, sqlite3_context *context) {
    char buffer[KEY_BUFFER];
    Key key;
    sqlite3_value *user = cursor->request.user;
    if (cursor->everybody.begun)
        result_key(
            context, keymap_key(cursor->everybody.all.users, cursor->rows.row[cursor->at].user));
    else if (user && value_key(user, definition->user_affinity, buffer, &key))
        result_key(context, key);
    else if (user) sqlite3_result_value(context, user);
}

/* The version whose row it is. */
static const Answering *answering_of(const ModelCursor *cursor, const ListRow *row) {
    if (cursor->everybody.begun) return &cursor->arms.answering[cursor->arm];
    return row->team == TEAM_B ? &cursor->other : &cursor->answering;
}

int model_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    const ModelCursor *cursor = (const ModelCursor *)base;
    const ModelDefinition *definition = &((ModelTable *)base->pVtab)->definition;
    const ListRow *row = &cursor->rows.row[cursor->at];
    switch (column) {
    case C_USER: user_column(cursor, definition, context); break;
    case C_ITEM: result_key(context, row->item); break;
    case C_SCORE: sqlite3_result_double(context, row->score); break;
    case C_RANK: sqlite3_result_int64(context, row->rank); break;
    case C_BECAUSE:
        if (row->because) sqlite3_result_text(context, row->because, -1, SQLITE_TRANSIENT);
        break;
    case C_VERSION: sqlite3_result_int64(context, answering_of(cursor, row)->version); break;
    case C_ARM:
        if (*answering_of(cursor, row)->arm)
            sqlite3_result_text(context, answering_of(cursor, row)->arm, -1, SQLITE_TRANSIENT);
        break;
    case C_TEAM:
        if (row->team) sqlite3_result_text(context, row->team, -1, SQLITE_STATIC);
        break;
    case C_PROPENSITY:
        if (row->propensity >= 0) sqlite3_result_double(context, row->propensity);
        break;
    default:
        if (column < N_MODEL_COLUMNS && cursor->echo.column[column])
            sqlite3_result_value(context, cursor->echo.column[column]);
    }
    return SQLITE_OK;
}

static sqlite3_uint64 hash_key(sqlite3_uint64 hash, Key key) {
    return key.text ? model_hash_bytes(hash, key.text, key.len)
                    : model_hash_bytes(hash, &key.integer, sizeof key.integer);
}

/* A hash of user, item and all inputs: SQLite uses rowids to tell rows of an OR apart. */
int model_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    const ModelCursor *cursor = (const ModelCursor *)base;
    const ListRow *row = &cursor->rows.row[cursor->at];
    sqlite3_uint64 hash = cursor->echo.hash;
    if (cursor->everybody.begun)
        hash = hash_key(hash, keymap_key(cursor->everybody.all.users, row->user));
    hash = hash_key(hash, row->item);
    *out = (sqlite3_int64)(hash & INT64_MAX);
    return SQLITE_OK;
}
