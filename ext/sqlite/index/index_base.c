/* The base of a rec_index: an immutable load of its rows, with the engine that searches them. */
#include <stdio.h>
#include <string.h>

#include "../../base/ids.h"
#include "../../base/memory.h"
#include "../../base/text.h"
#include "../host/interrupt.h"
#include "index.h"

/* Elements, rows x dim, from which on a load is worth all threads. */
enum { MANY_ELEMENTS = 1 << 22 };

void index_base_free(void *object) {
    IndexBase *base = object;
    if (base->index.engine && base->index.state) base->index.engine->free(&base->index);
    ann_vectors_clear(&base->vectors);
    for (int i = 0; i < base->n_meta && base->meta; i++) filter_column_clear(&base->meta[i]);
    mem_free(base->meta);
    mem_free(base->id);
    mem_free(base->stale);
    mem_free(base);
}

Status index_base_alloc(IndexBase **out, const IndexTable *table, int64_t n, Err *err) {
    IndexBase *base = mem_zeros(1, sizeof *base);
    *out = base;
    if (!base) return fail_nomem(err, "the index");
    base->id = mem_array((size_t)n, sizeof *base->id);
    base->meta = mem_zeros((size_t)table->n_meta, sizeof *base->meta);
    if (!base->id || !base->meta) return fail_nomem(err, "the index");
    base->n_meta = table->n_meta;
    for (int i = 0; i < table->n_meta; i++) TRY(filter_column_init(&base->meta[i], n, err));
    return ann_vectors_alloc_as(&base->vectors, n, table->dim, table->metric, table->storage, err);
}

void index_use_engine(IndexBase *base, const char *factory) {
    text_format(base->factory, sizeof base->factory, "%s", factory);
    base->index = (AnnIndex){.engine = ann_engine_for(base->factory),
        .vectors = &base->vectors,
        .factory = base->factory};
}

/* A job for the work of loading: stopped by an interrupt, on several threads where there is much to
 * do. */
typedef struct Loading {
    Task task;
    InterruptPoll poll;
} Loading;

static Status loading_begin(Loading *loading, const IndexTable *table, int64_t n, Err *err) {
    *loading = (Loading){
        .task = {.poll = interrupt_poll,
            .host = &loading->poll,
            .threads = n * table->dim > MANY_ELEMENTS ? task_default_threads() : 1}};
    return interrupt_poll_init(&loading->poll, table->db, err);
}

Status index_build_base(IndexTable *table, IndexBase *base, const char *factory, Err *err) {
    Loading loading;
    index_use_engine(base, factory);
    TRY(loading_begin(&loading, table, base->vectors.n, err));
    int few = loading.task.threads == 1;
    Status status = base->index.engine->build(
        &base->index, few && base->index.engine == &ann_exact_engine ? NULL : &loading.task, err);
    interrupt_poll_clear(&loading.poll);
    return status;
}

/* Metadata of the statement's row into position `at`. */
Status index_base_take_meta(
    const IndexTable *table, IndexBase *base, sqlite3_stmt *statement, int64_t at, Err *err) {
    for (int i = 0; i < table->n_meta; i++) {
        Cell cell = index_cell(sqlite3_column_value(statement, ROW_META + i));
        TRY(filter_column_set(&base->meta[i], at, &cell, err));
    }
    return ST_OK;
}

Status index_base_finish(IndexBase *base, Err *err) {
    for (int i = 0; i < base->n_meta; i++) TRY(filter_column_finish(&base->meta[i], err));
    return ST_OK;
}

Status index_load_rows(IndexTable *table, IndexBase **out, Err *err) {
    sqlite3_stmt *statement;
    sqlite3_int64 n, at = 0;
    int is_null;
    *out = NULL;
    TRY(index_count_rows(table, &n, err));
    TRY(index_select_rows(table, &statement, "ORDER BY v.id", err));
    Status status = index_base_alloc(out, table, n, err);
    while (sql_next(table->db, statement, &status, err)) {
        if (table->content && sqlite3_column_type(statement, ROW_VECTOR) == SQLITE_NULL) continue;
        if (at == n) status = fail(err, ST_CORRUPT, "the vectors changed while they were read");
        if (status == ST_OK)
            status = index_take_vector(
                table, statement, ROW_VECTOR, ann_stored(&(*out)->vectors, at), &is_null, err);
        if (status != ST_OK || is_null) continue;
        (*out)->id[at] = sqlite3_column_int64(statement, ROW_ID);
        ann_vectors_finish_row(&(*out)->vectors, at);
        status = index_base_take_meta(table, *out, statement, at++, err);
    }
    sqlite3_finalize(statement);
    if (status == ST_OK && at != n)
        status = fail(err, ST_CORRUPT, "the vectors changed while they were read");
    if (status == ST_OK) status = index_base_finish(*out, err);
    if (status != ST_OK && *out) {
        index_base_free(*out);
        *out = NULL;
    }
    return status;
}

int64_t index_base_position(const IndexBase *base, int64_t id) {
    return ids_find(base->id, base->vectors.n, id);
}
