/* Reading a rec_index: searches (materialised at once) and scans of the stored rows. */
#include <math.h>
#include <string.h>

#include "../../base/ids.h"
#include "../../base/memory.h"
#include "../host/guard.h"
#include "index_cursor.h"

int index_open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    IndexCursor *cursor = mem_zeros(1, sizeof *cursor);
    (void)vtab;
    if (!cursor) return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

static void cursor_reset(IndexCursor *cursor) {
    topk_clear(&cursor->found);
    sqlite3_finalize(cursor->scan);
    cursor->scan = NULL;
    for (int i = 0; i < N_HIDDEN; i++) sqlite3_value_free(cursor->echo[i]);
    memset(cursor->echo, 0, sizeof cursor->echo);
    sqlite3_value_free(cursor->query);
    cursor->query = NULL;
    cursor->at = 0;
    cursor->has_row = 0;
}

int index_close_cursor(sqlite3_vtab_cursor *base) {
    cursor_reset((IndexCursor *)base);
    mem_free(base);
    return SQLITE_OK;
}

static Status run_search(IndexTable *table, IndexCursor *cursor, IndexInputs *inputs, Err *err) {
    TRY(index_view_sync(table, err));
    if (!inputs->query) return ST_OK;                          /* t(NULL, 10) */
    if (inputs->has_only && inputs->n_only == 0) return ST_OK; /* nothing qualifies */
    int64_t n = index_view_count(table);
    if (inputs->wanted.by == WANTS_ALL && isinf(inputs->max_distance))
        return fail(err, ST_BADARG,
            "a search needs k (WHERE ... AND k = 10), a bound on distance, or a LIMIT, which "
            "SQLite before 3.41 hands over for the function form alone: t(:q) LIMIT 10");
    inputs->request.query = inputs->query;
    inputs->request.k = (size_t)rows_wanted(&inputs->wanted, n);
    inputs->request.min_score = index_score_bound(table->metric, inputs->max_distance);
    inputs->request.only = inputs->has_only ? inputs->only : NULL;
    inputs->request.n_only = inputs->n_only;
    ids_sort(inputs->exclude_id, inputs->request.n_exclude);
    inputs->request.exclude = inputs->exclude_id;
    inputs->request.condition = inputs->condition;
    inputs->request.n_conditions = inputs->n_conditions;
    return index_search(table, &inputs->request, &cursor->found, err);
}

static Status filter_search(
    IndexTable *table, IndexCursor *cursor, const char *plan, sqlite3_value **argv, Err *err) {
    IndexInputs inputs = {.max_distance = INFINITY};
    Status status = index_read_inputs(cursor, table, &inputs, plan, argv, err);
    if (status == ST_OK) status = index_resolve_similar(table, &inputs, err);
    if (status == ST_OK && !inputs.empty) status = run_search(table, cursor, &inputs, err);
    index_inputs_clear(&inputs);
    return status;
}

/* All rows, the row of a rowid (=), or the row of a key (K). */
static Status filter_scan(
    IndexTable *table, IndexCursor *cursor, const char *plan, sqlite3_value **argv, Err *err) {
    sqlite3_int64 id = 0;
    int found = 1;
    if (*plan == 'K') TRY(index_find_key(table, argv[0], &id, &found, err));
    if (!found) return ST_OK;
    TRY(index_select_rows(table, &cursor->scan,
        *plan ? "WHERE v.id=?1 AND v.vector IS NOT NULL"
              : "WHERE v.vector IS NOT NULL ORDER BY v.id",
        err));
    if (*plan == '=') sqlite3_bind_value(cursor->scan, 1, argv[0]);
    if (*plan == 'K') sqlite3_bind_int64(cursor->scan, 1, id);
    return sql_step(table->db, cursor->scan, &cursor->has_row, err);
}

static void count_search(IndexTable *table, const IndexCursor *cursor, uint64_t begun, int failed) {
    CounterLabels labels = {0, "", OPERATION_SEARCH};
    CounterEvent event = {
        .failed = failed, .rows = cursor->found.len, .nanoseconds = counters_clock() - begun};
    counters_add(
        counting_block(&table->counters, table->db, table->schema, table->name), &labels, &event);
}

int index_filter(
    sqlite3_vtab_cursor *base, int search, const char *plan, int argc, sqlite3_value **argv) {
    IndexCursor *cursor = (IndexCursor *)base;
    IndexTable *table = (IndexTable *)base->pVtab;
    Err err = {0};
    (void)argc;
    cursor_reset(cursor);
    cursor->search = search;
    uint64_t begun = search ? counters_clock() : 0;
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        status = search ? filter_search(table, cursor, plan, argv, &err)
                        : filter_scan(table, cursor, plan, argv, &err);
        guard_leave_table(&table->busy);
    }
    if (search) count_search(table, cursor, begun, status != ST_OK);
    return sql_vtab_error(base->pVtab, "rec_index", table->name, status, &err);
}

int index_next(sqlite3_vtab_cursor *base) {
    IndexCursor *cursor = (IndexCursor *)base;
    IndexTable *table = (IndexTable *)base->pVtab;
    Err err = {0};
    if (cursor->search) {
        cursor->at++;
        return SQLITE_OK;
    }
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        status = sql_step(table->db, cursor->scan, &cursor->has_row, &err);
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(base->pVtab, "rec_index", table->name, status, &err);
}

int index_eof(sqlite3_vtab_cursor *base) {
    const IndexCursor *cursor = (const IndexCursor *)base;
    return cursor->search ? cursor->at >= cursor->found.len : !cursor->has_row;
}

static sqlite3_int64 current_id(const IndexCursor *cursor) {
    return cursor->search ? cursor->found.item[cursor->at].id
                          : sqlite3_column_int64(cursor->scan, 0);
}

/* A declared column of the statement's row; vectors as float32, whatever they are stored as. */
static Status declared_column(const IndexTable *table, sqlite3_context *context,
    sqlite3_stmt *statement, int column, Err *err) {
    int is_null;
    if (column != table->vector_column) {
        sqlite3_result_value(
            context, sqlite3_column_value(statement, ROW_META + table->column[column].shadow));
        return ST_OK;
    }
    if (table->content || table->storage == ANN_F32) {
        sqlite3_result_value(context, sqlite3_column_value(statement, ROW_VECTOR));
        return ST_OK;
    }
    void *stored = mem_aligned(1, ann_row_bytes(table->storage, table->dim));
    float *vector = mem_array((size_t)table->dim, sizeof *vector);
    Status status = stored && vector
        ? index_take_vector(table, statement, ROW_VECTOR, stored, &is_null, err)
        : fail_nomem(err, "a vector");
    if (status == ST_OK) {
        ann_decode(table->storage, stored, table->dim, vector);
        sqlite3_result_blob64(
            context, vector, (size_t)table->dim * sizeof *vector, SQLITE_TRANSIENT);
    }
    mem_free(stored);
    mem_free(vector);
    return status;
}

/* Of a search's row, read from the table. */
static Status stored_column(
    IndexTable *table, sqlite3_context *context, sqlite3_int64 id, int column, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(index_statement(table, GET_ROW, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    Status status = sql_step(table->db, statement, &has_row, err);
    if (status == ST_OK && has_row)
        status = declared_column(table, context, statement, column, err);
    sqlite3_reset(statement);
    return status;
}

static void hidden_column(
    const IndexTable *table, const IndexCursor *cursor, sqlite3_context *context, int hidden) {
    if (!cursor->search) return;
    double score = cursor->found.item[cursor->at].score;
    if (hidden == H_SCORE) sqlite3_result_double(context, index_shown_score(table->metric, score));
    else if (hidden == H_DISTANCE)
        sqlite3_result_double(context, index_distance(table->metric, score));
    else if (hidden == H_RANK) sqlite3_result_int64(context, (sqlite3_int64)cursor->at + 1);
    else if (cursor->echo[hidden]) sqlite3_result_value(context, cursor->echo[hidden]);
}

int index_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    IndexCursor *cursor = (IndexCursor *)base;
    IndexTable *table = (IndexTable *)base->pVtab;
    Err err = {0};
    if (column >= table->n_columns) {
        /* lets an UPDATE of a hidden column be told from none */
        if (sqlite3_vtab_nochange(context)) return SQLITE_OK;
        hidden_column(table, cursor, context, column - table->n_columns);
        return SQLITE_OK;
    }
    if (sqlite3_vtab_nochange(context) && column == table->vector_column) return SQLITE_OK;
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        status = cursor->search ? stored_column(table, context, current_id(cursor), column, &err)
                                : declared_column(table, context, cursor->scan, column, &err);
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(base->pVtab, "rec_index", table->name, status, &err);
}

int index_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    *out = current_id((IndexCursor *)base);
    return SQLITE_OK;
}
