/* The structure of a rec_index that `optimize` stored, as a segment.
 *
 * Segment, little-endian: u32 format 2, i64 seq, 16 bytes stamp, text (u32 length, bytes) factory
 * string, u64 n, n ids, u64 length of the engine's bytes, those bytes; then XXH3 (128 bits) of all
 * that. Cut into chunks of 1 MiB. No engine's bytes where the engine cannot store its structure: it
 * is built again. */
#include <string.h>

#include "../../base/memory.h"
#include "../../base/text.h"
#include "../host/chunks.h"
#include "index.h"

enum { SEGMENT_FORMAT = 2, CHECKSUM = 16 };

static void segment_header(const IndexBase *base, Bytes *out) {
    bytes_u32(out, SEGMENT_FORMAT);
    bytes_u64(out, (uint64_t)base->seq);
    bytes_append(out, base->stamp, STAMP);
    bytes_text(out, base->factory);
    bytes_u64(out, (uint64_t)base->vectors.n);
    bytes_append(out, base->id, (size_t)base->vectors.n * sizeof *base->id);
}

static Status store_chunks(IndexTable *table, const Bytes *bytes, Err *err) {
    sqlite3_stmt *insert;
    TRY(sql_prepare(table->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_segment\"(chunk, data) VALUES(?1, ?2)", table->schema,
        table->name));
    Status status = chunks_write(table->db, insert, 1, 2, 0, bytes->data, bytes->len, err);
    sqlite3_finalize(insert);
    return status;
}

Status index_segment_write(IndexTable *table, const IndexBase *base, Err *err) {
    Bytes out = {0}, structure = {0};
    uint8_t digest[CHECKSUM];

    Status status = base->index.engine->save(&base->index, &structure, err);
    segment_header(base, &out);
    bytes_u64(&out, structure.len);
    bytes_append(&out, structure.data, structure.len);
    bytes_clear(&structure);
    if (!out.failed) {
        bytes_checksum(out.data, out.len, digest);
        bytes_append(&out, digest, sizeof digest);
    }
    if (status == ST_OK && out.failed) status = fail_nomem(err, "the stored index");
    /* Without its change no segment counts: half of one, left by a failure, does no harm. */
    if (status == ST_OK)
        status = sql_execute(table->db, err,
            "DELETE FROM \"%w\".\"%w_config\" WHERE key='segment_seq'", table->schema, table->name);
    if (status == ST_OK)
        status = sql_execute(
            table->db, err, "DELETE FROM \"%w\".\"%w_segment\"", table->schema, table->name);
    if (status == ST_OK) status = store_chunks(table, &out, err);
    bytes_clear(&out);
    if (status == ST_OK)
        status = sql_execute(table->db, err,
            "REPLACE INTO \"%w\".\"%w_config\" VALUES('segment_seq', %lld)", table->schema,
            table->name, (sqlite3_int64)base->seq);
    return status;
}

Status index_segment_stamp(
    IndexTable *table, int64_t *seq, unsigned char stamp[STAMP], int *found, Err *err) {
    sqlite3_stmt *statement;
    TRY(sql_prepare(table->db, &statement, err,
        "SELECT seq, stamp FROM \"%w\".\"%w\" WHERE seq=(SELECT value FROM \"%w\".\"%w_config\" "
        "WHERE key='segment_seq')",
        table->schema, table->log, table->schema, table->name));
    Status status = sql_step(table->db, statement, found, err);
    if (status == ST_OK && *found && sqlite3_column_bytes(statement, 1) == STAMP) {
        *seq = sqlite3_column_int64(statement, 0);
        memcpy(stamp, sqlite3_column_blob(statement, 1), STAMP);
    }
    sqlite3_finalize(statement);
    return status;
}

Status index_segment_read(IndexTable *table, Bytes *out, Err *err) {
    sqlite3_stmt *statement;
    sqlite3_int64 bytes;
    uint8_t digest[CHECKSUM];
    TRY(sql_integer(table->db, 0, &bytes, err,
        "SELECT coalesce(sum(length(data)), 0) FROM \"%w\".\"%w_segment\"", table->schema,
        table->name));
    bytes_reserve(out, (size_t)bytes);
    TRY(sql_prepare(table->db, &statement, err,
        "SELECT data FROM \"%w\".\"%w_segment\" ORDER BY chunk", table->schema, table->name));
    Status status = chunks_read(table->db, statement, "the stored index", out, err);
    if (status != ST_OK || out->len == 0) return status;
    if (out->len < sizeof digest)
        return fail(err, ST_CORRUPT, "the stored index is truncated (rebuild mends it)");
    out->len -= sizeof digest;
    bytes_checksum(out->data, out->len, digest);
    if (memcmp(digest, out->data + out->len, sizeof digest) != 0)
        return fail(err, ST_CORRUPT, "the stored index has a wrong checksum (rebuild mends it)");
    return ST_OK;
}

Status index_segment_summary(
    IndexTable *table, char *factory, int64_t *rows, int *found, Err *err) {
    sqlite3_stmt *statement;
    int64_t seq;
    unsigned char stamp[STAMP];
    size_t len = 0;
    TRY(index_segment_stamp(table, &seq, stamp, found, err));
    if (!*found) return ST_OK;
    TRY(sql_prepare(table->db, &statement, err,
        "SELECT data FROM \"%w\".\"%w_segment\" WHERE chunk=0", table->schema, table->name));
    Status status = sql_step(table->db, statement, found, err);
    if (status == ST_OK && *found) {
        Reader in = reader_of(
            sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
        uint32_t format = read_u32(&in);
        read_block(&in, sizeof(uint64_t) + STAMP, 1);
        const char *text = read_text(&in, &len);
        *rows = (int64_t)read_u64(&in);
        *found = !in.failed && format == SEGMENT_FORMAT && len < FACTORY_LENGTH;
        if (*found) text_format(factory, FACTORY_LENGTH, "%.*s", (int)len, text);
    }
    sqlite3_finalize(statement);
    return status;
}

static Status add_stale(IndexBase *base, int64_t *capacity, IndexChange change, Err *err) {
    if (base->n_stale == *capacity) {
        *capacity = *capacity * 2 + 64;
        IndexChange *grown = mem_resize(base->stale, (size_t)*capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "the changes");
        base->stale = grown;
    }
    base->stale[base->n_stale++] = change;
    return ST_OK;
}

/* The ids changed since the base's change: its rows, read as they are now, are not those of its
 * stamp. */
static Status note_stale(IndexTable *table, IndexBase *base, int64_t *capacity, Err *err) {
    sqlite3_stmt *statement;
    TRY(index_statement(table, CHANGES_SINCE, &statement, err));
    sqlite3_bind_int64(statement, 1, base->seq);
    Status status = ST_OK;
    while (sql_next(table->db, statement, &status, err)) {
        status = add_stale(base, capacity, index_change(statement), err);
    }
    sqlite3_reset(statement);
    return status;
}

/* Position `at` of a segment has no row any more: zero, and stale. */
static Status gone_row(IndexBase *base, int64_t at, int64_t *capacity, Err *err) {
    memset(ann_stored(&base->vectors, at), 0, base->vectors.stride);
    base->vectors.norm[at] = 0;
    return add_stale(base, capacity, (IndexChange){.id = base->id[at]}, err);
}

/* The rows of a segment's ids, as they are now: one pass over both, in order. Ids that have no row
 * are stale. */
static Status read_segment_rows(IndexTable *table, IndexBase *base, int64_t *capacity, Err *err) {
    sqlite3_stmt *statement;
    int is_null;
    int64_t at = 0, n = base->vectors.n;
    TRY(index_select_rows(table, &statement, "ORDER BY v.id", err));
    Status status = ST_OK;
    while (at < n && sql_next(table->db, statement, &status, err)) {
        sqlite3_int64 id = sqlite3_column_int64(statement, ROW_ID);
        while (at < n && base->id[at] < id && status == ST_OK)
            status = gone_row(base, at++, capacity, err);
        if (status != ST_OK || at == n || base->id[at] != id) continue;
        status = index_take_vector(
            table, statement, ROW_VECTOR, ann_stored(&base->vectors, at), &is_null, err);
        if (status == ST_OK && is_null) {
            status = gone_row(base, at++, capacity, err);
        } else if (status == ST_OK) {
            ann_vectors_finish_row(&base->vectors, at);
            status = index_base_take_meta(table, base, statement, at++, err);
        }
    }
    sqlite3_finalize(statement);
    for (; status == ST_OK && at < n; at++) status = gone_row(base, at, capacity, err);
    return status == ST_OK ? index_base_finish(base, err) : status;
}

typedef struct Segment {
    int64_t seq;
    const void *stamp;
    char factory[FACTORY_LENGTH];
    uint64_t n;
    const void *ids;
    uint64_t length;
    const void *structure;
} Segment;

static Status parse_segment(const IndexTable *table, const Bytes *stored, Segment *out, Err *err) {
    Reader in = reader_of(stored->data, stored->len);
    uint32_t format = read_u32(&in);
    size_t len;
    out->seq = (int64_t)read_u64(&in);
    out->stamp = read_block(&in, STAMP, 1);
    const char *factory = read_text(&in, &len);
    out->n = read_u64(&in);
    out->ids = read_block(&in, out->n, sizeof(int64_t));
    out->length = read_u64(&in);
    out->structure = read_block(&in, out->length, 1);
    int ours = !in.failed && format == SEGMENT_FORMAT && in.pos == in.len &&
        len < sizeof out->factory;
    if (ours) text_format(out->factory, sizeof out->factory, "%.*s", (int)len, factory);
    if (!ours ||
        (strcmp(out->factory, table->factory) != 0 &&
            !(strcmp(table->factory, "auto") == 0 && strcmp(out->factory, "HNSW32") == 0)))
        return fail(err, ST_CORRUPT, "the stored index is malformed (rebuild mends it)");
    return ST_OK;
}

static Status read_segment(IndexTable *table, const Segment *segment, IndexBase **out, Err *err) {
    int64_t capacity = 0;
    TRY(index_base_alloc(out, table, (int64_t)segment->n, err));
    IndexBase *base = *out;
    memcpy(base->id, segment->ids, segment->n * sizeof(int64_t));
    base->seq = segment->seq;
    memcpy(base->stamp, segment->stamp, STAMP);
    for (uint64_t i = 1; i < segment->n; i++)
        if (base->id[i] <= base->id[i - 1])
            return fail(err, ST_CORRUPT, "the stored index is malformed (rebuild mends it)");
    TRY(read_segment_rows(table, base, &capacity, err));
    TRY(note_stale(table, base, &capacity, err));
    if (segment->length == 0) {
        Status status = index_build_base(table, base, segment->factory, err);
        /* its rows have changed too much */
        return status == ST_BADARG ? index_build_base(table, base, "exact", err) : status;
    }
    index_use_engine(base, segment->factory);
    return base->index.engine->load(&base->index, segment->structure, (size_t)segment->length, err);
}

Status index_load_segment(IndexTable *table, IndexBase **out, Err *err) {
    Bytes stored = {0};
    Segment segment = {0};
    int ancestor = 0;
    *out = NULL;
    Status status = index_segment_read(table, &stored, err);
    if (status == ST_OK && stored.len) {
        status = parse_segment(table, &stored, &segment, err);
        if (status == ST_OK)
            status = index_is_ancestor(table, segment.seq, segment.stamp, &ancestor, err);
        if (status == ST_OK && ancestor) status = read_segment(table, &segment, out, err);
        if (status != ST_OK && *out) {
            index_base_free(*out);
            *out = NULL;
        }
    }
    bytes_clear(&stored);
    return status;
}
