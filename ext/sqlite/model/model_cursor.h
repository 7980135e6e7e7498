/* The cursor of a rec_model, shared by the files that fill it: model_request.c reads what is asked,
 * model_list.c makes one list, model_batch.c everybody's, model_query.c hands the rows over. */
#ifndef REC_MODEL_CURSOR_H
#define REC_MODEL_CURSOR_H

#include "../../ann/gpu.h"
#include "../../base/topk.h"
#include "../../models/rerank.h"
#include "../host/rows_wanted.h"
#include "model_table.h"
#include "../host/values.h"

typedef struct Row {
    Key item;   /* of the model's dictionary, or of the cursor's candidates */
    int32_t id; /* -1: unknown to the model */
    double score;
    sqlite3_int64 rank;
    int from_popular;
    int32_t user;  /* everybody: whose row */
    char *because; /* JSON, or NULL */
} Row;

typedef struct CallOptions {
    int64_t exclude_seen;
    int64_t version;
    double until;
    RerankRules rerank;
    char device[16];
} CallOptions;

enum { SUBJECT_NONE, SUBJECT_USER, SUBJECT_SIMILAR, SUBJECT_BASKET };

/* What a query asks. */
typedef struct Request {
    int subject;
    sqlite3_value *user; /* borrowed from echo */
    int null_input;      /* = NULL is never true: no rows */
    int function_form;   /* NULL passes an argument over */
    RowsWanted wanted;
    Key similar;
    char similar_buffer[KEY_BUFFER];
    KeyList basket, candidates, exclude;
    int has_candidates;
    sqlite3_value *item;             /* item = */
    sqlite3_value *in[MODEL_MAX_IN]; /* item IN, every one of which must hold */
    int n_in;
    CallOptions call;
    DeviceChoice device; /* call.device */
    int because;
    int browses; /* SELECT * FROM recs: nothing is asked */
} Request;

typedef struct ModelCursor {
    sqlite3_vtab_cursor base;
    Row *row;
    size_t n_rows;
    size_t capacity;
    size_t at;
    Model *model; /* held while the rows are */
    ModelQuery *query;
    sqlite3_int64 version;
    sqlite3_value *echo[N_MODEL_COLUMNS];
    Request request;
    sqlite3_uint64 inputs_hash;
    uint64_t *common; /* a bit per item: what IN and exclude leave; the same for every user */
    /* everybody */
    int batched;
    AllHistories all;
    int32_t next_user;
    GpuCopy *copy; /* of the model's vectors, held while the rows are; or NULL */
} ModelCursor;

typedef struct Allowed {
    uint64_t *bit; /* per item of the model */
    int64_t n;
} Allowed;

/* model_request.c */
/* Read the arguments by the plan string of model_plan.c; echoes what came in. */
Status model_read_request(
    ModelCursor *c, const ModelDefinition *d, const char *plan, sqlite3_value **argv, Err *err);
sqlite3_uint64 model_hash_bytes(sqlite3_uint64 hash, const void *data, size_t len);

/* model_rows.c */
Status model_reserve_rows(ModelCursor *c, size_t n, Err *err);
/* The k rows that are wanted come out of so many. */
size_t model_pool_of(const Request *r, size_t k, int64_t available);
void model_clear_rows(ModelCursor *c);

/* model_list.c */
/* The catalogue's categories when the request's rules need them, else NULL; valid while the model
 * is taken. */
Status model_categories(ModelTable *t, const ModelCursor *c, const int32_t **out, Err *err);

/* What holds for every list of the request, IN and exclude, into c->common. An IN list can be read
 * inside xFilter only. */
Status model_set_common(ModelCursor *c, const ModelDefinition *d, Err *err);
void allowed_forbid_history(Allowed *a, const History *history);
void allowed_count(Allowed *a, const Model *model);
HistoryRules model_history_rules(const ModelCursor *c);
/* Fill row->because; the query must be prepared for the row's list. */
Status model_explain(const ModelCursor *c, Row *row, Err *err);
/* The list of the request's one subject. */
Status model_fill_one(ModelTable *t, ModelCursor *c, Err *err);

/* model_batch.c */
/* Read everybody's history and rank the first users. */
Status model_fill_everybody(ModelTable *t, ModelCursor *c, Err *err);
/* Rank the next users until there is a row or nobody is left. */
Status model_next_batch(ModelTable *t, ModelCursor *c, Err *err);

#endif
