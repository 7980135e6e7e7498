/* One BLOB as rows of 1 MiB: SQLite writes, replicates and reads those well, and a row has a
 * limit. */
#ifndef REC_CHUNKS_H
#define REC_CHUNKS_H

#include "../../base/bytes.h"
#include "sql.h"

/* By a statement INSERT ... whose parameters number_at and data_at are a chunk's number, counted
 * from `first`, and its bytes; the caller has bound the others, and finalizes it. */
Status chunks_write(sqlite3 *db, sqlite3_stmt *insert, int number_at, int data_at,
    sqlite3_int64 first, const void *data, size_t len, Err *err);

/* Append column 0 of all rows of a SELECT, which is finalized. what: for the error. */
Status chunks_read(sqlite3 *db, sqlite3_stmt *rows, const char *what, Bytes *out, Err *err);

#endif
