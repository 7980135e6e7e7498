/* The answer for one user, item or cart. */
#ifndef REC_MODEL_SUBJECT_H
#define REC_MODEL_SUBJECT_H

#include "model_answer.h"
#include "model_list.h"

/* The rows, and who made them: *answering, and *other where two lists were drawn into one. Rows
 * borrow their keys from both models, which are the caller's to give back, also after an error. */
Status answer_subject(ListRows *out, ModelTable *table, const Request *request,
    Answering *answering, Answering *other, Err *err);

#endif
