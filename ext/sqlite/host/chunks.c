#include "chunks.h"

enum { CHUNK = 1 << 20 };

Status chunks_write(sqlite3 *db, sqlite3_stmt *insert, int number_at, int data_at,
    sqlite3_int64 first, const void *data, size_t len, Err *err) {
    Status status = ST_OK;
    for (size_t from = 0; status == ST_OK && from < len; from += CHUNK) {
        int has_row;
        size_t bytes = len - from < CHUNK ? len - from : CHUNK;
        sqlite3_bind_int64(insert, number_at, first + (sqlite3_int64)(from / CHUNK));
        int code = sqlite3_bind_blob64(
            insert, data_at, (const char *)data + from, bytes, SQLITE_STATIC);
        status = code ? sql_failed(err, db, code) : sql_step(db, insert, &has_row, err);
        sqlite3_reset(insert);
    }
    return status;
}

Status chunks_read(sqlite3 *db, sqlite3_stmt *rows, const char *what, Bytes *out, Err *err) {
    Status status = ST_OK;
    while (sql_next(db, rows, &status, err))
        bytes_append(out, sqlite3_column_blob(rows, 0), (size_t)sqlite3_column_bytes(rows, 0));
    sqlite3_finalize(rows);
    return status == ST_OK && out->failed ? fail_nomem(err, what) : status;
}
