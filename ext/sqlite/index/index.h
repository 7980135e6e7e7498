/* rec_index: the pieces of the virtual table, shared by the files of this wing.
 *
 * Shadow tables of an index `t` (docs/internals/index.md):
 *
 *     t_config (key TEXT PRIMARY KEY, value)
 *         format = 2
 *     t_vectors(id INTEGER PRIMARY KEY, vector BLOB)
 *         the truth, in the form that storage= says
 *     t_meta   (id INTEGER PRIMARY KEY, c0, c1, ...)
 *         metadata, with the declared types; only where there is some
 *     t_changes(seq INTEGER PRIMARY KEY, stamp BLOB, id, meta)
 *         a row a change (meta 1: of metadata alone); the last one's stamp names the present
 *         content
 *     t_segment(chunk INTEGER PRIMARY KEY, data BLOB)
 *         the structure of `optimize`, if any
 *
 * With content= there are no t_vectors and t_meta: rows are those of the user's own table, whose
 * triggers write to t_queue, which is t_changes under another name. */
#ifndef REC_INDEX_TABLE_H
#define REC_INDEX_TABLE_H

#include "../../ann/ann.h"
#include "../../ann/filter.h"
#include "../../ann/gpu.h"
#include "../../base/options.h"
#include "../host/commands.h"
#include "../host/counting.h"
#include "../host/shadow.h"
#include "../host/sql.h"

enum { INDEX_MAX_COLUMNS = 64, INDEX_MAX_DIM = 65536, STAMP = 16, FACTORY_LENGTH = 64 };

/* The log of changes keeps so many, the latest, and is cut every so many: whoever loaded an older
 * state loads anew. */
enum { KEEP_CHANGES = 16384, TRIM_EVERY = 1024 };

/* Hidden columns after the declared ones: constant, name, type ("key" is that of the rowid or of
 * the text key). The first bears the table's name. */
#define INDEX_HIDDEN(X) \
    X(H_COMMAND, "<the table's name>", "") \
    X(H_K, "k", "INTEGER") \
    X(H_OPTIONS, "options", "TEXT") \
    X(H_SIMILAR_TO, "similar_to", "key") \
    X(H_EXCLUDE, "exclude", "TEXT") \
    X(H_ARG, "arg", "") \
    X(H_SCORE, "score", "REAL") \
    X(H_DISTANCE, "distance", "REAL") \
    X(H_RANK, "rank", "INTEGER")

enum {
#define X(constant, name, type) constant,
    INDEX_HIDDEN(X)
#undef X
        N_HIDDEN
};
extern const char *const index_hidden_names[N_HIDDEN];

typedef struct IndexColumn {
    char *name;
    char *type; /* declared; NULL for the vector column */
    int shadow; /* number of its column cN in t_meta */
    int is_key; /* text primary key */
} IndexColumn;

/* An id of the log of changes. */
typedef struct IndexChange {
    int64_t id;
    int only_meta; /* its vector is what it was */
} IndexChange;

/* An immutable load of the table as it was at a change. */
typedef struct IndexBase {
    AnnVectors vectors;
    FilterColumn *meta; /* one for each metadata column */
    int n_meta;
    int64_t *id; /* ascending */
    /* rows that are not here as `stamp` has them: every overlay must bring its own */
    IndexChange *stale;
    int64_t n_stale;
    AnnIndex index;
    char factory[FACTORY_LENGTH];
    int64_t seq;
    unsigned char stamp[STAMP];
} IndexBase;

/* A slot brings a row of its own, says that the row has gone, or brings new metadata for a row of
 * the base. */
enum { SLOT_ROW, SLOT_GONE, SLOT_META };

/* What changed since the base: the newest vector and metadata of each changed id, or its
 * absence. */
typedef struct IndexOverlay {
    KeyMap *slot;  /* id -> slot */
    float *row;    /* slots x dim */
    Cell *cell;    /* slots x n_meta */
    uint8_t *kind; /* slots: SLOT_... */
    int32_t capacity;
    int32_t n_meta_only; /* slots of SLOT_META */
    uint64_t *live;      /* a bit per base position that the overlay does not replace */
    int64_t n_live;
    int64_t seq; /* up to this change */
    unsigned char stamp[STAMP];
} IndexOverlay;

enum {
    STATE,         /* the last change */
    CHANGE_AT,     /* the stamp of a change */
    CHANGES_SINCE, /* ids changed after a change, and whether only metadata did */
    LOG_CHANGE,
    TRIM_CHANGES,
    LAST_OF_LOG = TRIM_CHANGES,
    GET_ROW,    /* vector and metadata */
    PUT_VECTOR, /* insert or replace */
    DELETE_VECTOR,
    PUT_META,
    DELETE_META,
    ID_OF_KEY,
    N_INDEX_STATEMENTS
};

typedef struct IndexTable {
    sqlite3_vtab base;
    sqlite3 *db;
    char *schema;
    char *name;
    char *log; /* t_changes or t_queue */
    IndexColumn column[INDEX_MAX_COLUMNS];
    int n_columns;
    int vector_column;
    int key_column; /* text primary key, or -1 */
    int n_meta;
    int dim;
    int build_ef; /* of the command that builds now */
    AnnMetric metric;
    AnnStorage storage;
    char factory[FACTORY_LENGTH]; /* index= */
    DeviceChoice device;          /* device= */
    char *content;                /* content=, as it is called now; NULL: rows of our own */
    char *content_rowid;          /* its INTEGER PRIMARY KEY */
    /* a hash of name, columns, metric and storage: what a base must have been loaded for */
    unsigned char definition[16];
    sqlite3_stmt *statement[N_INDEX_STATEMENTS];
    IndexBase *loaded; /* a reference into the cache */
    IndexOverlay overlay;
    CounterBlock *counters;
    int busy; /* guard.h */
} IndexTable;

/* index_create.c */
int index_create(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error);
int index_connect(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error);
int index_disconnect(sqlite3_vtab *vtab);
int index_destroy(sqlite3_vtab *vtab);
int index_rename(sqlite3_vtab *vtab, const char *name);
int index_shadow_name(const char *suffix);
/* Open an index by name for a table-valued function: definition and view, without SQLite's vtab
 * machinery. */
Status index_open(IndexTable **out, sqlite3 *db, const char *name, Err *err);
void index_close(IndexTable *table);

/* index_content.c: rows that are the user's own */
Status index_content_check(IndexTable *table, Err *err);
/* The table's present name, which its triggers know. */
Status index_content_find(IndexTable *table, Err *err);
Status index_content_create_triggers(IndexTable *table, Err *err);
Status index_content_drop_triggers(IndexTable *table, Err *err);
/* Make them anew unless they are there as they should be: other connections need not read the
 * schema again. */
Status index_content_mend_triggers(IndexTable *table, Err *err);

/* index_check.c: the command integrity-check */
Status index_check(IndexTable *table, Err *err);

/* index_commands.c */
/* column: the declared ones, then the hidden ones. */
Status index_command(IndexTable *table, sqlite3_value **column, Err *err);

/* index_store.c: the shadow tables */
extern const ShadowSet index_shadow;
ShadowOwner index_owner(const IndexTable *table);
Status index_store_create(IndexTable *table, Err *err);
Status index_statement(IndexTable *table, int which, sqlite3_stmt **out, Err *err);
void index_finalize(IndexTable *table);
Status index_state(IndexTable *table, int64_t *seq, unsigned char stamp[STAMP], Err *err);
Status index_log_change(IndexTable *table, sqlite3_int64 id, int only_meta, Err *err);
/* The present row of a CHANGES_SINCE statement. */
IndexChange index_change(sqlite3_stmt *statement);
/* "SELECT id, vector, metadata ... <tail>" over all rows, or those that `tail` leaves; the columns
 * are v.id, v.vector and m.c0 .. in a tail. */
Status index_select_rows(IndexTable *table, sqlite3_stmt **out, const char *tail, Err *err);
enum { ROW_ID, ROW_VECTOR, ROW_META };

/* Is the change (seq, stamp) part of the present history? */
Status index_is_ancestor(
    IndexTable *table, int64_t seq, const unsigned char stamp[STAMP], int *out, Err *err);

/* index_row.c: rows of the table as arrays */
/* The vector in a column of such a statement, in the form of storage=; *is_null: not indexed. */
Status index_take_vector(const IndexTable *table, sqlite3_stmt *statement, int column, void *out,
    int *is_null, Err *err);
/* A value as a cell; bytes are the value's. */
Cell index_cell(sqlite3_value *value);
/* One row: its vector as float32 and (if cell is given) its metadata as cells of their own. */
Status index_read_row(
    IndexTable *table, sqlite3_int64 id, float *vector, Cell *cell, int *found, Err *err);
/* Rows that have a vector, counted in the table. */
Status index_count_rows(IndexTable *table, sqlite3_int64 *out, Err *err);
/* The id of a key, and whether there is one. */
Status index_find_key(
    IndexTable *table, sqlite3_value *key, sqlite3_int64 *id, int *found, Err *err);

/* index_base.c */
void index_base_free(void *base);
/* Room for n rows. */
Status index_base_alloc(IndexBase **out, const IndexTable *table, int64_t n, Err *err);
/* Metadata of the present row of index_select_rows into a position; once all rows are there. */
Status index_base_take_meta(
    const IndexTable *table, IndexBase *base, sqlite3_stmt *statement, int64_t position, Err *err);
Status index_base_finish(IndexBase *base, Err *err);
/* All rows as they are now, without an engine. */
Status index_load_rows(IndexTable *table, IndexBase **out, Err *err);
/* The position of id in the base, or -1. */
int64_t index_base_position(const IndexBase *base, int64_t id);
void index_use_engine(IndexBase *base, const char *factory);
/* Build an engine's structure over a base's rows, stopped by an interrupt. */
Status index_build_base(IndexTable *table, IndexBase *base, const char *factory, Err *err);

/* index_segment.c: the structure of `optimize` */
/* If the log of changes leads from it to now; else *out is NULL. */
Status index_load_segment(IndexTable *table, IndexBase **out, Err *err);
Status index_segment_write(IndexTable *table, const IndexBase *base, Err *err);
/* The change that the segment was made at, without reading the segment. */
Status index_segment_stamp(
    IndexTable *table, int64_t *seq, unsigned char stamp[STAMP], int *found, Err *err);
/* What the segment's first chunk says: factory string (of FACTORY_LENGTH bytes) and rows; *found is
 * 0 without one. */
Status index_segment_summary(IndexTable *table, char *factory, int64_t *rows, int *found, Err *err);
/* Its bytes without their checksum, which was right; empty when there is none. */
Status index_segment_read(IndexTable *table, Bytes *out, Err *err);

/* index_overlay.c */
void index_overlay_clear(IndexOverlay *overlay, int n_meta);
/* Anew over the loaded base, with what is stale in it. */
Status index_overlay_start(IndexTable *table, Err *err);
/* Read again the rows that changed after the overlay's change, up to (seq, stamp). */
Status index_overlay_catch_up(
    IndexTable *table, int64_t seq, const unsigned char stamp[STAMP], Err *err);

/* index_view.c: the loaded copy */
Status index_view_sync(IndexTable *table, Err *err);
int64_t index_view_count(const IndexTable *table);
void index_view_clear(IndexTable *table);
/* Hand a base over to the cache, and use it. */
Status index_use_base(IndexTable *table, IndexBase *base, Err *err);
/* Bytes of what this process has loaded under the present stamp or the segment's, else 0. */
size_t index_view_cached(IndexTable *table, Err *err);
/* The ids of rows that are loaded and count, but are not in the table any more: ascending, to be
 * mem_free'd. */
Status index_view_gone(IndexTable *table, int64_t **out, size_t *n, Err *err);
/* The base's copy on a GPU, as device_copy gives it. */
Status index_view_copy(IndexTable *table, DeviceChoice device, GpuCopy **out, Err *err);

/* index_build.c */
typedef enum BuildKind {
    BUILD_OPTIMIZE, /* with the old structure's help */
    BUILD_ANEW,
    BUILD_TRAIN /* anew, and an error where too few rows are there to train on */
} BuildKind;
/* Build the engine's structure over the present rows, store it and use it. */
Status index_view_build(
    IndexTable *table, BuildKind kind, DeviceChoice device, Task *task, Err *err);

/* index_search.c: searching in it */
typedef struct IndexRequest {
    const float *query;
    size_t k;
    double min_score; /* -INFINITY: no bound */
    int64_t ef, nprobe, candidates;
    DeviceChoice device;
    const int64_t *only; /* ascending ids that may be found, or NULL */
    size_t n_only;
    const int64_t *exclude; /* ascending ids that may not */
    size_t n_exclude;
    const Condition *condition; /* on metadata; .column is the shadow's number */
    size_t n_conditions;
} IndexRequest;
/* What a score is as a distance: ip -score, cosine 1 - score, l2 the Euclidean distance. */
double index_distance(AnnMetric metric, double score);
/* The score that users see: for l2, minus the Euclidean distance. */
double index_shown_score(AnnMetric metric, double score);
/* The best rows into *top, sorted, id = rowid. */
Status index_search(IndexTable *table, const IndexRequest *request, TopK *top, Err *err);
/* The same request for n queries (n x dim), on the task's threads; request->query is not read.
 * may_wait: the caller has something else to do before index_batch_end, but not with the table's
 * rows, and a search on a GPU goes on in the background meanwhile; queries and tops are the
 * search's until then. task is polled on the caller's thread. index_batch_end whatever begin
 * said. */
typedef struct IndexBatch IndexBatch;
Status index_batch_begin(IndexBatch **out, IndexTable *table, const IndexRequest *request,
    const float *queries, int64_t n, TopK *tops, int may_wait, Task *task, Err *err);
Status index_batch_end(IndexBatch *batch, Err *err);

/* index_plan.c */
int index_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info);

/* index_query.c */
int index_open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out);
int index_close_cursor(sqlite3_vtab_cursor *cursor);
int index_filter(
    sqlite3_vtab_cursor *cursor, int number, const char *plan, int argc, sqlite3_value **argv);
int index_next(sqlite3_vtab_cursor *cursor);
int index_eof(sqlite3_vtab_cursor *cursor);
int index_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column);
int index_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out);

/* Per-call options. */
typedef struct SearchOptions {
    int64_t ef;
    int64_t nprobe;
    int64_t candidates;
    char device[16];
} SearchOptions;
extern const OptSpec index_search_options[];
/* Options as JSON text, or NULL: nothing, into a request, over what CREATE said. */
Status index_take_options(
    const IndexTable *table, const char *text, IndexRequest *request, Err *err);

/* index_write.c */
int index_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid);

#endif
