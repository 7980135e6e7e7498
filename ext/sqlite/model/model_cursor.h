/* The cursor of a rec_model: what was asked, the model that answers, and the rows to hand over. */
#ifndef REC_MODEL_CURSOR_H
#define REC_MODEL_CURSOR_H

#include "model_batch.h"

typedef struct ModelCursor {
    sqlite3_vtab_cursor base;
    Request request;
    RequestEcho echo;
    Model *model; /* held while the rows are */
    ModelQuery *query;
    sqlite3_int64 version;
    ListRows rows; /* all, or those of the present batch */
    size_t at;
    Everybody everybody; /* where no user, item or cart is given */
} ModelCursor;

#endif
