/* How many rows a query of a ranked list wants: k, or LIMIT and OFFSET, or all. */
#ifndef REC_ROWS_WANTED_H
#define REC_ROWS_WANTED_H

#include <stdint.h>

typedef struct RowsWanted {
    enum { WANTS_ALL, WANTS_K, WANTS_LIMIT } by;
    int64_t k;
    int64_t limit, offset; /* as SQL has them: a negative limit is none, a negative offset 0 */
} RowsWanted;

/* Of so many that there are. SQLite skips the OFFSET rows itself, so that LIMIT asks for both; each
 * is cut first, for their sum must not overflow. */
static inline int64_t rows_wanted(const RowsWanted *wanted, int64_t available) {
    int64_t rows = available;
    if (wanted->by == WANTS_K) rows = wanted->k;
    if (wanted->by == WANTS_LIMIT && wanted->limit >= 0 && wanted->limit < available) {
        int64_t offset = wanted->offset < 0 ? 0 : wanted->offset;
        rows = wanted->limit + (offset < available ? offset : available);
    }
    return rows < available ? rows : available;
}

#endif
