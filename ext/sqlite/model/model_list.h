/* Lists of a rec_model: a list is a function of a prepared query, a request and the allowed
 * items. */
#ifndef REC_MODEL_LIST_H
#define REC_MODEL_LIST_H

#include "model_request.h"

typedef struct ListRow {
    Key item;   /* borrowed from the model's dictionary, or from the request's candidates */
    int32_t id; /* -1: unknown to the model */
    double score;
    sqlite3_int64 rank;
    int from_popular;
    int32_t user;     /* of everybody's lists: whose row */
    char *because;    /* JSON, or NULL; owned */
    const char *team; /* TEAM_A or TEAM_B of an interleaved list, else NULL */
    double
        propensity; /* how often this item comes to this place for this asker; below 0: unknown */
} ListRow;
extern const char TEAM_A[], TEAM_B[];

typedef struct ListRows {
    ListRow *row;
    size_t n, capacity;
} ListRows;
/* n becomes 0, the room stays; nothing stays. */
void list_rows_empty(ListRows *rows);
void list_rows_clear(ListRows *rows);
Status list_rows_reserve(ListRows *rows, size_t n, Err *err);
/* There is room. */
void list_rows_add(
    ListRows *rows, const Model *model, const Ranked *ranked, int64_t rank, int32_t user);

/* ---- model_allowed.c: which items a list may hold ---- */

/* What holds for every list of a request, IN and exclude: *out has a bit per item, to be
 * mem_free'd. An IN list can be read inside xFilter only. */
Status allowed_of_request(uint64_t **out, const Request *request, const Model *model,
    const ModelDefinition *definition, Err *err);
void allowed_without_history(uint64_t *allowed, const History *history);

/* ---- model_list.c ---- */

/* So many items of the list take part in a new order of its first k. */
size_t list_pool(const Request *request, size_t k, int64_t available);

/* The list of a prepared query. category: per item, -1 for none, where the request's rules need it,
 * else NULL. */
Status model_list_rows(ListRows *out, ModelQuery *query, const Request *request,
    const uint64_t *allowed, const int32_t *category, Err *err);

/* ---- model_because.c ---- */

/* Fill row->because; the query is prepared for the row's list. */
Status model_explain(ListRow *row, const ModelQuery *query, int subject, Err *err);

/* ---- model_categories.c ---- */

/* The catalogue's categories of the model's items when the rules need them, else NULL; valid while
 * the table is not asked again. */
Status model_categories(
    ModelTable *table, const Model *model, const RerankRules *rules, const int32_t **out, Err *err);

#endif
