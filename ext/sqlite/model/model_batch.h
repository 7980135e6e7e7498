/* Everybody's lists: histories are read in one scan, users are ranked in batches on all threads. */
#ifndef REC_MODEL_BATCH_H
#define REC_MODEL_BATCH_H

#include "model_answer.h"
#include "model_list.h"

typedef struct Everybody {
    int begun;
    AllHistories all;
    uint64_t *allowed; /* what holds for every list; owned */
    int32_t *asked;    /* the users who get a list; NULL: all; owned */
    int32_t n_asked;
    int32_t next_user; /* among those */
    GpuCopy *copy;     /* of the model's vectors, held while the rows are; or NULL */
} Everybody;
void everybody_clear(Everybody *everybody);

/* Read everybody's history; of who browses, the first users' (docs/decisions/0013-browsing.md),
 * whose lists the request then limits. allowed becomes everybody's. */
Status everybody_begin(Everybody *out, ModelTable *table, const Model *model, uint64_t *allowed,
    Request *request, Err *err);

/* Only those users whom the arm's version answers. */
Status everybody_keep(Everybody *everybody, const Arms *arms, int arm, Err *err);

/* The rows of the next users, until there is one or nobody is left. query: to explain them with. */
Status everybody_next(ListRows *out, Everybody *everybody, ModelTable *table, ModelQuery *query,
    const Request *request, Err *err);

#endif
