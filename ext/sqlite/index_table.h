/* rec_index: the pieces of the virtual table, shared by the index_*.c files.
 *
 * Shadow tables of an index `t` (docs/internals/index.md):
 *
 *     t_config (key TEXT PRIMARY KEY, value)              format = 1
 *     t_vectors(id INTEGER PRIMARY KEY, vector BLOB)      the truth: little-endian float32
 *     t_meta   (id INTEGER PRIMARY KEY, c0, c1, ...)      metadata, with the declared types; only where there is some
 *     t_changes(seq INTEGER PRIMARY KEY, stamp BLOB, id)  a row a change; the last one's stamp names the present content
 *     t_segment(chunk INTEGER PRIMARY KEY, data BLOB)     the FAISS structure of `optimize`, if any */
#ifndef REC_INDEX_TABLE_H
#define REC_INDEX_TABLE_H

#include "../ann/ann.h"
#include "../base/options.h"
#include "glue.h"

enum { INDEX_MAX_COLUMNS = 64, INDEX_MAX_DIM = 65536, STAMP = 16 };

/* Hidden columns after the declared ones, in this order. */
enum { H_COMMAND, H_K, H_OPTIONS, H_SIMILAR_TO, H_EXCLUDE, H_ARG, H_SCORE, H_DISTANCE, H_RANK, N_HIDDEN };

typedef struct IndexColumn {
    char *name;
    char *type; /* declared; NULL for the vector column */
    int shadow; /* number of its column cN in t_meta */
} IndexColumn;

/* An immutable load of the table as it was at a change. */
typedef struct IndexBase {
    AnnVectors vectors;
    int64_t *id; /* ascending */
    int64_t *stale; /* ids whose rows here are not those of `stamp`: every overlay must bring its own */
    int64_t n_stale;
    AnnIndex index;
    char factory[64];
    int64_t seq;
    unsigned char stamp[STAMP];
} IndexBase;

/* What changed since the base: the newest vector of each changed id, or its absence. */
typedef struct IndexOverlay {
    KeyMap *slot; /* id -> slot */
    float *row;   /* slots x dim */
    uint8_t *deleted;
    int32_t capacity;
    uint64_t *live; /* a bit per base position that the overlay does not replace */
    int64_t n_live;
    int64_t seq; /* up to this change */
    unsigned char stamp[STAMP];
} IndexOverlay;

enum {
    STATE,            /* the last change */
    CHANGE_AT,        /* the stamp of a change */
    CHANGES_SINCE,    /* ids changed after a change */
    GET_VECTOR,
    HAS_VECTOR,
    PUT_VECTOR,       /* insert or replace */
    INSERT_VECTOR,
    DELETE_VECTOR,
    LOG_CHANGE,
    TRIM_CHANGES,
    PUT_META,
    GET_META,
    DELETE_META,
    N_INDEX_STATEMENTS
};

typedef struct IndexTable {
    sqlite3_vtab base;
    sqlite3 *db;
    char *schema;
    char *name;
    IndexColumn column[INDEX_MAX_COLUMNS];
    int n_columns;
    int vector_column;
    int n_meta;
    int dim;
    AnnMetric metric;
    char factory[64]; /* index= */
    sqlite3_stmt *statement[N_INDEX_STATEMENTS];
    IndexBase *loaded; /* a reference into the cache */
    IndexOverlay overlay;
} IndexTable;

/* index_create.c */
int index_create(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error);
int index_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error);
int index_disconnect(sqlite3_vtab *vtab);
int index_destroy(sqlite3_vtab *vtab);
int index_rename(sqlite3_vtab *vtab, const char *name);
int index_shadow_name(const char *suffix);
/* Open an index by name for a table-valued function: definition and view, without SQLite's vtab machinery. */
Status index_open(IndexTable **out, sqlite3 *db, const char *name, Err *err);
void index_close(IndexTable *table);

/* index_store.c: the shadow tables */
Status index_store_create(IndexTable *table, Err *err);
Status index_statement(IndexTable *table, int which, sqlite3_stmt **out, Err *err);
void index_finalize(IndexTable *table);
Status index_state(IndexTable *table, int64_t *seq, unsigned char stamp[STAMP], Err *err);
Status index_log_change(IndexTable *table, sqlite3_int64 id, Err *err);
Status index_read_vector(IndexTable *table, sqlite3_int64 id, float *out, int *found, Err *err);
Status index_segment_write(IndexTable *table, const IndexBase *base, Err *err);
/* The change that the segment was made at, without reading the segment. */
Status index_segment_stamp(IndexTable *table, int64_t *seq, unsigned char stamp[STAMP], int *found, Err *err);
/* The segment's bytes without their checksum, which was right; empty when there is none. */
Status index_segment_read(IndexTable *table, Bytes *out, Err *err);

/* index_view.c: the loaded copy and searching in it */
typedef struct IndexRequest {
    const float *query;
    size_t k;
    double min_score;     /* -INFINITY: no bound */
    int64_t ef, nprobe;
    const int64_t *only;  /* ascending ids that may be found, or NULL */
    size_t n_only;
    const int64_t *exclude; /* ids that may not */
    size_t n_exclude;
} IndexRequest;
Status index_view_sync(IndexTable *table, Err *err);
/* The best rows into *top, sorted, id = rowid. */
Status index_view_search(IndexTable *table, const IndexRequest *request, TopK *top, Err *err);
int64_t index_view_count(const IndexTable *table);
void index_view_clear(IndexTable *table);
/* Build the engine's structure over the present rows, store it and use it. */
Status index_view_optimize(IndexTable *table, int build_threads, Task *task, Err *err);

/* index_plan.c */
int index_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info);

/* index_query.c */
int index_open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out);
int index_close_cursor(sqlite3_vtab_cursor *cursor);
int index_filter(sqlite3_vtab_cursor *cursor, int number, const char *plan, int argc, sqlite3_value **argv);
int index_next(sqlite3_vtab_cursor *cursor);
int index_eof(sqlite3_vtab_cursor *cursor);
int index_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column);
int index_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out);
/* What a score is as a distance: ip -score, cosine 1 - score, l2 the Euclidean distance. */
double index_distance(AnnMetric metric, double score);
/* The score that users see: for l2, minus the Euclidean distance. */
double index_shown_score(AnnMetric metric, double score);

/* Per-call options. */
typedef struct SearchOptions {
    int64_t ef;
    int64_t nprobe;
} SearchOptions;
extern const OptSpec index_search_options[];

/* index_write.c */
int index_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid);

#endif
