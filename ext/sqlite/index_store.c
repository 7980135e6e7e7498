/* The shadow tables of a rec_index: layout in index_table.h. */
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "index_table.h"

enum { KEEP_CHANGES = 16384, SEGMENT_CHUNK = 1 << 20 };

static const char *const STATEMENTS[N_INDEX_STATEMENTS] = {
    [STATE] = "SELECT seq, stamp FROM \"%w\".\"%w_changes\" ORDER BY seq DESC LIMIT 1",
    [CHANGE_AT] = "SELECT stamp FROM \"%w\".\"%w_changes\" WHERE seq=?1",
    [CHANGES_SINCE] = "SELECT DISTINCT id FROM \"%w\".\"%w_changes\" WHERE seq>?1 AND id IS NOT NULL",
    [GET_VECTOR] = "SELECT vector FROM \"%w\".\"%w_vectors\" WHERE id=?1",
    [HAS_VECTOR] = "SELECT 1 FROM \"%w\".\"%w_vectors\" WHERE id=?1",
    [PUT_VECTOR] = "REPLACE INTO \"%w\".\"%w_vectors\"(id, vector) VALUES(?1, ?2)",
    [INSERT_VECTOR] = "INSERT INTO \"%w\".\"%w_vectors\"(id, vector) VALUES(?1, ?2)",
    [DELETE_VECTOR] = "DELETE FROM \"%w\".\"%w_vectors\" WHERE id=?1",
    [LOG_CHANGE] = "INSERT INTO \"%w\".\"%w_changes\"(stamp, id) VALUES(randomblob(16), ?1)",
    [TRIM_CHANGES] = "DELETE FROM \"%w\".\"%w_changes\" WHERE seq<=?1 AND seq<coalesce((SELECT value FROM \"%w\".\"%w_config\" WHERE key='segment_seq'), ?1+1)",
    [DELETE_META] = "DELETE FROM \"%w\".\"%w_meta\" WHERE id=?1",
};

Status index_store_create(IndexTable *t, Err *err) {
    TRY(glue_execute(t->db, err, "CREATE TABLE \"%w\".\"%w_config\"(key TEXT PRIMARY KEY, value)", t->schema, t->name));
    TRY(glue_execute(t->db, err, "INSERT INTO \"%w\".\"%w_config\" VALUES('format', 1)", t->schema, t->name));
    TRY(glue_execute(t->db, err, "CREATE TABLE \"%w\".\"%w_vectors\"(id INTEGER PRIMARY KEY, vector BLOB NOT NULL)", t->schema, t->name));
    TRY(glue_execute(t->db, err, "CREATE TABLE \"%w\".\"%w_changes\"(seq INTEGER PRIMARY KEY, stamp BLOB NOT NULL, id INTEGER)", t->schema, t->name));
    TRY(glue_execute(t->db, err, "INSERT INTO \"%w\".\"%w_changes\"(stamp) VALUES(randomblob(16))", t->schema, t->name));
    TRY(glue_execute(t->db, err, "CREATE TABLE \"%w\".\"%w_segment\"(chunk INTEGER PRIMARY KEY, data BLOB NOT NULL)", t->schema, t->name));
    if (t->n_meta == 0) return ST_OK;
    sqlite3_str *sql = sqlite3_str_new(t->db);
    sqlite3_str_appendf(sql, "CREATE TABLE \"%w\".\"%w_meta\"(id INTEGER PRIMARY KEY", t->schema, t->name);
    for (int i = 0; i < t->n_columns; i++)
        if (i != t->vector_column) sqlite3_str_appendf(sql, ", c%d %s", t->column[i].shadow, t->column[i].type);
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    if (!text) return fail_nomem(err, "SQL");
    Status status = glue_execute(t->db, err, "%s", text);
    sqlite3_free(text);
    return status;
}

/* "?2, ?3, ..." or "c0, c1, ...". */
static char *list(int n, const char *form, int first) {
    sqlite3_str *text = sqlite3_str_new(NULL);
    for (int i = 0; i < n; i++) {
        if (i) sqlite3_str_appendall(text, ", ");
        sqlite3_str_appendf(text, form, first + i);
    }
    return sqlite3_str_finish(text);
}

static Status prepare_meta(IndexTable *t, int which, Err *err) {
    char *names = list(t->n_meta, "c%d", 0), *places = list(t->n_meta, "?%d", 2);
    Status status = names && places ? ST_OK : fail_nomem(err, "SQL");
    if (status == ST_OK && which == PUT_META)
        status = glue_prepare(t->db, &t->statement[which], err, "REPLACE INTO \"%w\".\"%w_meta\"(id, %s) VALUES(?1, %s)", t->schema, t->name, names, places);
    else if (status == ST_OK)
        status = glue_prepare(t->db, &t->statement[which], err, "SELECT %s FROM \"%w\".\"%w_meta\" WHERE id=?1", names, t->schema, t->name);
    sqlite3_free(names);
    sqlite3_free(places);
    return status;
}

Status index_statement(IndexTable *t, int which, sqlite3_stmt **out, Err *err) {
    if (!t->statement[which]) {
        if (which == PUT_META || which == GET_META)
            TRY(prepare_meta(t, which, err));
        else
            TRY(glue_prepare(t->db, &t->statement[which], err, STATEMENTS[which], t->schema, t->name, t->schema, t->name));
    }
    *out = t->statement[which];
    return ST_OK;
}

void index_finalize(IndexTable *t) {
    for (int i = 0; i < N_INDEX_STATEMENTS; i++) {
        sqlite3_finalize(t->statement[i]);
        t->statement[i] = NULL;
    }
}

Status index_state(IndexTable *t, int64_t *seq, unsigned char stamp[STAMP], Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(index_statement(t, STATE, &statement, err));
    Status status = glue_step(t->db, statement, &has_row, err);
    if (status == ST_OK && (!has_row || sqlite3_column_bytes(statement, 1) != STAMP))
        status = fail(err, ST_CORRUPT, "the log of changes is damaged");
    if (status == ST_OK) {
        *seq = sqlite3_column_int64(statement, 0);
        memcpy(stamp, sqlite3_column_blob(statement, 1), STAMP);
    }
    sqlite3_reset(statement);
    return status;
}

Status index_log_change(IndexTable *t, sqlite3_int64 id, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(index_statement(t, LOG_CHANGE, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    Status status = glue_step(t->db, statement, &has_row, err);
    sqlite3_reset(statement);
    sqlite3_int64 seq = sqlite3_last_insert_rowid(t->db);
    if (status != ST_OK || seq % 1024 || seq <= KEEP_CHANGES) return status;
    TRY(index_statement(t, TRIM_CHANGES, &statement, err));
    sqlite3_bind_int64(statement, 1, seq - KEEP_CHANGES);
    status = glue_step(t->db, statement, &has_row, err);
    sqlite3_reset(statement);
    return status;
}

Status index_read_vector(IndexTable *t, sqlite3_int64 id, float *out, int *found, Err *err) {
    sqlite3_stmt *statement;
    size_t bytes = (size_t)t->dim * sizeof *out;
    *found = 0;
    TRY(index_statement(t, GET_VECTOR, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    Status status = glue_step(t->db, statement, found, err);
    if (status == ST_OK && *found) {
        if (sqlite3_column_type(statement, 0) != SQLITE_BLOB || (size_t)sqlite3_column_bytes(statement, 0) != bytes)
            status = fail(err, ST_CORRUPT, "the stored vector %lld has not %d elements", (long long)id, t->dim);
        else
            memcpy(out, sqlite3_column_blob(statement, 0), bytes);
        if (status == ST_OK && vector_first_bad(out, (size_t)t->dim) >= 0)
            status = fail(err, ST_CORRUPT, "the stored vector %lld holds NaN or infinity", (long long)id);
    }
    sqlite3_reset(statement);
    return status;
}

/* Segment: u32 format 1, i64 seq, 16 bytes stamp, u64 n, n ids, u64 length of the engine's bytes, those bytes; then
 * SHA-256 of all that. Cut into chunks of 1 MiB. */
Status index_segment_write(IndexTable *t, const IndexBase *base, Err *err) {
    Bytes out = {0}, structure = {0};
    uint8_t digest[32];
    sqlite3_stmt *statement = NULL;

    Status status = base->index.engine->save(&base->index, &structure, err);
    bytes_u32(&out, 1);
    bytes_u64(&out, (uint64_t)base->seq);
    bytes_append(&out, base->stamp, STAMP);
    bytes_u64(&out, (uint64_t)base->vectors.n);
    bytes_append(&out, base->id, (size_t)base->vectors.n * sizeof *base->id);
    bytes_u64(&out, structure.len);
    bytes_append(&out, structure.data, structure.len);
    bytes_clear(&structure);
    if (status == ST_OK && out.failed) status = fail_nomem(err, "the stored index");
    if (status == ST_OK) {
        bytes_sha256(out.data, out.len, digest);
        bytes_append(&out, digest, sizeof digest);
        if (out.failed) status = fail_nomem(err, "the stored index");
    }
    if (status == ST_OK) status = glue_execute(t->db, err, "DELETE FROM \"%w\".\"%w_segment\"", t->schema, t->name);
    if (status == ST_OK) status = glue_prepare(t->db, &statement, err, "INSERT INTO \"%w\".\"%w_segment\" VALUES(?1, ?2)", t->schema, t->name);
    for (size_t from = 0; status == ST_OK && from < out.len; from += SEGMENT_CHUNK) {
        int has_row;
        size_t len = out.len - from < SEGMENT_CHUNK ? out.len - from : SEGMENT_CHUNK;
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)(from / SEGMENT_CHUNK));
        sqlite3_bind_blob64(statement, 2, out.data + from, len, SQLITE_STATIC);
        status = glue_step(t->db, statement, &has_row, err);
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    bytes_clear(&out);
    if (status == ST_OK)
        status = glue_execute(t->db, err, "REPLACE INTO \"%w\".\"%w_config\" VALUES('segment_seq', %lld)", t->schema, t->name, (sqlite3_int64)base->seq);
    return status;
}

Status index_segment_stamp(IndexTable *t, int64_t *seq, unsigned char stamp[STAMP], int *found, Err *err) {
    sqlite3_stmt *statement;
    TRY(glue_prepare(t->db, &statement, err, "SELECT seq, stamp FROM \"%w\".\"%w_changes\" WHERE seq=(SELECT value FROM \"%w\".\"%w_config\" WHERE key='segment_seq')", t->schema, t->name, t->schema, t->name));
    Status status = glue_step(t->db, statement, found, err);
    if (status == ST_OK && *found && sqlite3_column_bytes(statement, 1) == STAMP) {
        *seq = sqlite3_column_int64(statement, 0);
        memcpy(stamp, sqlite3_column_blob(statement, 1), STAMP);
    }
    sqlite3_finalize(statement);
    return status;
}

Status index_segment_read(IndexTable *t, Bytes *out, Err *err) {
    sqlite3_stmt *statement;
    int has_row = 1;
    uint8_t digest[32];
    TRY(glue_prepare(t->db, &statement, err, "SELECT data FROM \"%w\".\"%w_segment\" ORDER BY chunk", t->schema, t->name));
    Status status = ST_OK;
    while (status == ST_OK && has_row) {
        status = glue_step(t->db, statement, &has_row, err);
        if (status == ST_OK && has_row) bytes_append(out, sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
    }
    sqlite3_finalize(statement);
    if (status == ST_OK && out->failed) status = fail_nomem(err, "the stored index");
    if (status != ST_OK || out->len == 0) return status;
    if (out->len < sizeof digest) return fail(err, ST_CORRUPT, "the stored index is truncated (rebuild mends it)");
    out->len -= sizeof digest;
    bytes_sha256(out->data, out->len, digest);
    if (memcmp(digest, out->data + out->len, sizeof digest) != 0)
        return fail(err, ST_CORRUPT, "the stored index has a wrong checksum (rebuild mends it)");
    return ST_OK;
}
