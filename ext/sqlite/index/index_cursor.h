/* The cursor of a rec_index: index_request.c reads what is asked, index_query.c hands rows over. */
#ifndef REC_INDEX_CURSOR_H
#define REC_INDEX_CURSOR_H

#include "../host/rows_wanted.h"
#include "index.h"

typedef struct IndexCursor {
    sqlite3_vtab_cursor base;
    int search;
    TopK found; /* a search's rows, best first */
    size_t at;
    sqlite3_stmt *scan; /* a scan's rows */
    int has_row;
    sqlite3_value *echo[N_HIDDEN]; /* the inputs as they came in */
    sqlite3_value *query;          /* MATCH's argument */
} IndexCursor;

/* What a search was given. */
typedef struct IndexInputs {
    IndexRequest request;
    float *query; /* ours */
    int has_query;
    int empty; /* an input was NULL: no rows, as for = NULL */
    RowsWanted wanted;
    double max_distance;
    sqlite3_value *similar_to; /* borrowed */
    int64_t *only;             /* rowid IN */
    size_t n_only;
    int has_only;
    int64_t *exclude_id;
    Condition *condition; /* on metadata; values are ours */
    size_t n_conditions;
    size_t list_capacity; /* of the IN list that is being read */
} IndexInputs;
void index_inputs_clear(IndexInputs *inputs);

/* Read the arguments by the plan string of index_plan.c; the cursor echoes them. */
Status index_read_inputs(IndexCursor *cursor, IndexTable *table, IndexInputs *inputs,
    const char *plan, sqlite3_value **argv, Err *err);

/* Read the vector of similar_to and leave that row out. */
Status index_resolve_similar(IndexTable *table, IndexInputs *inputs, Err *err);

/* The least score that a distance bound allows, a little lower; SQLite checks the bound itself
 * afterwards. */
double index_score_bound(AnnMetric metric, double distance);

#endif
