/* What a query of a rec_model asks: the arguments of xFilter, read by model_plan.c's plan
 * string. */
#ifndef REC_MODEL_REQUEST_H
#define REC_MODEL_REQUEST_H

#include "../../ann/gpu.h"
#include "../../models/rerank.h"
#include "../host/rows_wanted.h"
#include "../host/values.h"
#include "model_table.h"

typedef struct CallOptions {
    int64_t exclude_seen;
    int64_t version;
    double until;
    RerankRules rerank;
    char device[16];
    /* which version answers: an alias, an arm; and who asks, for the experiment, if no user */
    char at[ROUTE_NAME], arm[ROUTE_NAME], unit[ROUTE_NAME];
    char interleave[ROUTE_NAME]; /* with this version, by number or alias */
    int64_t swap;                /* the first place with one of so many */
    char draw[ROUTE_NAME];       /* of chance: what is drawn anew for each */
} CallOptions;

enum { SUBJECT_NONE, SUBJECT_USER, SUBJECT_SIMILAR, SUBJECT_BASKET };

typedef struct Request {
    int subject;
    sqlite3_value *user; /* borrowed from the echo */
    int null_input;      /* = NULL is never true: no rows */
    int function_form;   /* NULL passes an argument over */
    RowsWanted wanted;
    Key similar;
    char similar_buffer[KEY_BUFFER];
    KeyList basket, candidates, exclude;
    int has_candidates;
    int has_item; /* item = */
    Key item;     /* its key, where item_is_key */
    int item_is_key;
    char item_buffer[KEY_BUFFER];
    sqlite3_value
        *in[MODEL_MAX_IN]; /* item IN, every one of which must hold; read in xFilter only */
    int n_in;
    CallOptions call;
    DeviceChoice device; /* call.device */
    int because;
    int propensity; /* it is read */
    int browses;    /* SELECT * FROM recs: nothing is asked */
} Request;

/* The inputs as they came in, which columns show, and a hash of them. */
typedef struct RequestEcho {
    sqlite3_value *column[N_MODEL_COLUMNS];
    sqlite3_uint64 hash;
} RequestEcho;

/* number: idxNum. *out and *echo are to be cleared, also after an error. */
Status request_read(Request *out, RequestEcho *echo, const ModelDefinition *definition, int number,
    const char *plan, sqlite3_value **argv, Err *err);
/* Are items of the history left out? By default what the algorithm says. */
int request_hides_seen(const Request *request, const Model *model);
void request_clear(Request *request);
void request_echo_clear(RequestEcho *echo);

/* FNV-1a, mixed. */
sqlite3_uint64 model_hash_bytes(sqlite3_uint64 hash, const void *data, size_t len);

#endif
