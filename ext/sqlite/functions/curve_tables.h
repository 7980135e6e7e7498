/* What rec_scored returns and the curves read: labels, scores and weights in one BLOB. */
#ifndef REC_SCORED_H
#define REC_SCORED_H

#include "../../metrics/samples.h"
#include "../host/sql.h"

/* Rows as LABEL_SCORE lays them out, sorted by score, the best first. */
void scored_result(sqlite3_context *context, Sample *row, size_t n);

/* The rows of such a BLOB, best first, to be mem_free'd; *out stays NULL for NULL. */
Status scored_read(sqlite3_value *value, Sample **out, size_t *n, Err *err);

#endif
