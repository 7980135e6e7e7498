/* The cursor of a rec_model: what was asked, the model that answers, and the rows to hand over. */
#ifndef REC_MODEL_CURSOR_H
#define REC_MODEL_CURSOR_H

#include "model_batch.h"
#include "model_subject.h"

typedef struct ModelCursor {
    sqlite3_vtab_cursor base;
    Request request;
    RequestEcho echo;
    /* of one user, item or cart: the version that answers, and the one it is interleaved with, both
     * held while the rows are */
    Answering answering, other;
    ListRows rows; /* all, or those of the present batch */
    size_t at;
    /* where no user, item or cart is given: arm after arm, each with what its lists may hold */
    Arms arms;
    int arm;
    uint64_t **allowed;
    Everybody everybody;
    CounterEvent event; /* what is counted of the request so far */
} ModelCursor;

#endif
