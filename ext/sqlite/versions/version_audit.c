#include "version_audit.h"

#include <math.h>
#include <string.h>

#include "../../base/options.h"
#include "../host/values.h"
#include "version_store.h"

static const OptSpec note_options[] = {
    {"at", OPT_TIME, offsetof(AuditNote, at), DATE_FIRST, DATE_LAST, INFINITY, NULL,
        "when it happens, unix seconds or a date; default: now"},
    {"author", OPT_TEXT, offsetof(AuditNote, author), 0, ROUTE_NAME, 0, "", "who does it"},
    {"note", OPT_TEXT, offsetof(AuditNote, note), 0, 256, 0, "", "why"},
    {0},
};

Status audit_note_read(AuditNote *out, sqlite3_value *options, const OptTarget *more, Err *err) {
    OptTarget targets[2] = {{note_options, out}};
    size_t n = 1;
    options_default(note_options, out);
    if (more) targets[n++] = *more;
    if (options && sqlite3_value_type(options) != SQLITE_NULL)
        TRY(options_set_json(targets, n, value_text(options), err));
    return ST_OK;
}

static ShadowOwner owner_of(const Versioned *versioned) {
    return (ShadowOwner){versioned->db, versioned->schema, versioned->name, versioned};
}

/* ---- the chain ---- */

/* Columns of a SELECT over m_audit. */
enum { A_ID, A_AT, A_COMMAND, A_DETAIL, A_AUTHOR, A_NOTE, A_LIVE, A_HASH };
static const char AUDIT_COLUMNS[] = "id, at, command, detail, author, note, live, hash";

static void hash_text(Bytes *row, const char *text) {
    bytes_append(row, text ? "t" : "n", 1);
    if (text) bytes_text(row, text);
}

typedef struct AuditRow {
    sqlite3_int64 id;
    double at;
    const char *command, *detail, *author, *note, *live; /* NULL: SQL NULL */
} AuditRow;

/* SHA-256 of the hash before (64 digits, or nothing), id, time, and texts with their lengths. */
static Status row_hash(const AuditRow *row, const char *before, char out[SHA256_TEXT], Err *err) {
    Bytes bytes = {0};
    uint8_t digest[32];
    bytes_text(&bytes, before);
    bytes_u64(&bytes, (uint64_t)row->id);
    bytes_f64(&bytes, row->at);
    hash_text(&bytes, row->command);
    hash_text(&bytes, row->detail);
    hash_text(&bytes, row->author);
    hash_text(&bytes, row->note);
    hash_text(&bytes, row->live);
    Status status = bytes.failed ? fail_nomem(err, "the audit") : ST_OK;
    if (status == ST_OK) {
        bytes_sha256(bytes.data, bytes.len, digest);
        bytes_hex(digest, sizeof digest, out);
    }
    bytes_clear(&bytes);
    return status;
}

/* ---- appending ---- */

/* The end of the chain. */
typedef struct AuditEnd {
    sqlite3_int64 id;
    double at; /* -infinity before the first */
    char hash[SHA256_TEXT];
} AuditEnd;

static Status read_end(const Versioned *versioned, AuditEnd *out, Err *err) {
    sqlite3_stmt *last;
    ShadowOwner owner = owner_of(versioned);
    int found, has_row;
    *out = (AuditEnd){.at = -INFINITY};
    TRY(shadow_has(&version_shadow, &owner, "audit", &found, err));
    if (!found) return ST_OK;
    TRY(sql_prepare(versioned->db, &last, err,
        "SELECT id, at, hash FROM \"%w\".\"%w_audit\" ORDER BY id DESC LIMIT 1", versioned->schema,
        versioned->name));
    Status status = sql_step(versioned->db, last, &has_row, err);
    if (status == ST_OK && has_row) {
        const char *hash = (const char *)sqlite3_column_text(last, 2);
        out->id = sqlite3_column_int64(last, 0);
        out->at = sqlite3_column_double(last, 1);
        if (hash && strlen(hash) < sizeof out->hash) memcpy(out->hash, hash, strlen(hash) + 1);
    }
    sqlite3_finalize(last);
    return status;
}

Status audit_time(const Versioned *versioned, const AuditNote *note, double *out, Err *err) {
    AuditEnd end;
    TRY(read_end(versioned, &end, err));
    if (!isfinite(note->at)) {
        *out = fmax(live_clock(), end.at);
        return ST_OK;
    }
    *out = note->at;
    return note->at >= end.at
        ? ST_OK
        : fail(err, ST_BADARG, "at=%.15g is before the last command, which was at %.15g", note->at,
              end.at);
}

Status audit_may_append(const Versioned *versioned, Err *err) {
    ShadowOwner owner = owner_of(versioned);
    return shadow_may_ensure(&version_shadow, &owner, "audit", err);
}

/* {"active":3,"deployment":7,"aliases":...,"experiment":...} */
static Status live_now(const Versioned *versioned, Bytes *out, Err *err) {
    Live live;
    sqlite3_int64 active, deployment;
    Bytes rest = {0};
    TRY(live_read(versioned, &live, err));
    TRY(store_active(versioned, &active, err));
    TRY(sql_integer(versioned->db, 0, &deployment, err,
        "SELECT max(id) FROM \"%w\".\"%w_deployments\"", versioned->schema, versioned->name));
    live_json(&live, &rest);
    bytes_format(
        out, "{\"active\":%lld,\"deployment\":%lld%s", active, deployment, rest.len > 2 ? "," : "");
    if (!rest.failed) bytes_append(out, rest.data + 1, rest.len - 1);
    bytes_append(out, "", 1);
    int failed = out->failed || rest.failed;
    bytes_clear(&rest);
    return failed ? fail_nomem(err, "what is live") : ST_OK;
}

/* Is it what the last row that says it says? */
static Status is_news(const Versioned *versioned, const char *live, int *out, Err *err) {
    sqlite3_int64 same;
    TRY(sql_integer(versioned->db, 0, &same, err,
        "SELECT live=%Q FROM \"%w\".\"%w_audit\" WHERE live IS NOT NULL ORDER BY id DESC LIMIT 1",
        live, versioned->schema, versioned->name));
    *out = !same;
    return ST_OK;
}

static Status insert_row(
    const Versioned *versioned, const AuditRow *row, const char *hash, Err *err) {
    sqlite3_stmt *insert;
    TRY(sql_prepare(versioned->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_audit\"(%s) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        versioned->schema, versioned->name, AUDIT_COLUMNS));
    sqlite3_bind_int64(insert, 1 + A_ID, row->id);
    sqlite3_bind_double(insert, 1 + A_AT, row->at);
    sqlite3_bind_text(insert, 1 + A_COMMAND, row->command, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 1 + A_DETAIL, row->detail, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 1 + A_AUTHOR, row->author, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 1 + A_NOTE, row->note, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 1 + A_LIVE, row->live, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 1 + A_HASH, hash, -1, SQLITE_STATIC);
    return sql_finish(versioned->db, insert, err);
}

Status audit_append(const Versioned *versioned, const char *command, const char *detail,
    const AuditNote *note, Err *err) {
    ShadowOwner owner = owner_of(versioned);
    AuditRow row = {.command = command,
        .detail = detail,
        .author = *note->author ? note->author : NULL,
        .note = *note->note ? note->note : NULL};
    AuditEnd end;
    Bytes live = {0};
    char hash[SHA256_TEXT];
    int news = 0;
    TRY(shadow_ensure(&version_shadow, &owner, "audit", err));
    TRY(read_end(versioned, &end, err));
    TRY(audit_time(versioned, note, &row.at, err));
    if (end.id < 0 || end.id == INT64_MAX)
        return fail(err, ST_CORRUPT, "%s_audit: a row %lld", versioned->name, end.id);
    row.id = end.id + 1;
    Status status = live_now(versioned, &live, err);
    if (status == ST_OK) status = is_news(versioned, (const char *)live.data, &news, err);
    if (news) row.live = (const char *)live.data;
    if (status == ST_OK) status = row_hash(&row, end.hash, hash, err);
    if (status == ST_OK) status = insert_row(versioned, &row, hash, err);
    bytes_clear(&live);
    return status;
}

/* ---- verifying ---- */

static const char *column_text(sqlite3_stmt *row, int column) {
    return sqlite3_column_type(row, column) == SQLITE_NULL
        ? NULL
        : (const char *)sqlite3_column_text(row, column);
}

static AuditRow row_of(sqlite3_stmt *row) {
    return (AuditRow){sqlite3_column_int64(row, A_ID), sqlite3_column_double(row, A_AT),
        column_text(row, A_COMMAND), column_text(row, A_DETAIL), column_text(row, A_AUTHOR),
        column_text(row, A_NOTE), column_text(row, A_LIVE)};
}

static void find(AuditFinding *finding, sqlite3_int64 row, const char *what) {
    finding->bad_row = row;
    sqlite3_snprintf(sizeof finding->what, finding->what, "%s", what);
}

/* Texts, or NULL, without a NUL in them: what we write, and what the hash is of. */
static int has_plain_texts(sqlite3_stmt *row) {
    for (int i = A_COMMAND; i <= A_HASH; i++) {
        int type = sqlite3_column_type(row, i);
        const char *text = type == SQLITE_TEXT ? (const char *)sqlite3_column_text(row, i) : NULL;
        if (type == SQLITE_NULL) continue;
        if (!text || strlen(text) != (size_t)sqlite3_column_bytes(row, i)) return 0;
    }
    return 1;
}

/* The next row of the chain; what is wrong with it goes to the finding. */
static Status verify_row(sqlite3_stmt *rows, AuditFinding *finding, double *last_time, Err *err) {
    char own[SHA256_TEXT];
    int is_plain = has_plain_texts(rows); /* before they are asked for as texts */
    AuditRow row = row_of(rows);
    const char *stored = column_text(rows, A_HASH);
    TRY(row_hash(&row, finding->head, own, err));
    finding->rows++;
    if (!is_plain) find(finding, row.id, "it was changed");
    else if (row.id != finding->rows) find(finding, row.id, "a row before it is missing");
    else if (!stored || strcmp(stored, own) != 0) find(finding, row.id, "it was changed");
    else if (row.at < *last_time) find(finding, row.id, "it is older than the row before it");
    *last_time = row.at;
    memcpy(finding->head, own, sizeof own);
    return ST_OK;
}

/* Does the chain's end say what is live? Who changes config or deployments beside the commands
 * leaves the chain whole. */
static Status verify_live(const Versioned *versioned, AuditFinding *finding, Err *err) {
    Bytes live = {0};
    int news = 0;
    Status status = live_now(versioned, &live, err);
    if (status == ST_OK) status = is_news(versioned, (const char *)live.data, &news, err);
    if (status == ST_OK && news && finding->rows)
        find(finding, 0, "what is live is not what the last command left");
    bytes_clear(&live);
    return status;
}

Status audit_verify(const Versioned *versioned, const char *head, AuditFinding *out, Err *err) {
    ShadowOwner owner = owner_of(versioned);
    sqlite3_stmt *rows;
    double last_time = -INFINITY;
    int found, has_head = !head;
    *out = (AuditFinding){0};
    TRY(shadow_has(&version_shadow, &owner, "audit", &found, err));
    if (!found) {
        if (head) find(out, 0, "the noted head is not in the chain");
        return ST_OK;
    }
    TRY(sql_prepare(versioned->db, &rows, err, "SELECT %s FROM \"%w\".\"%w_audit\" ORDER BY id",
        AUDIT_COLUMNS, versioned->schema, versioned->name));
    Status status = ST_OK;
    while (!*out->what && sql_next(versioned->db, rows, &status, err)) {
        status = verify_row(rows, out, &last_time, err);
        has_head |= head && strcmp(head, out->head) == 0;
    }
    sqlite3_finalize(rows);
    if (status == ST_OK && !*out->what && !has_head)
        find(out, 0, "the noted head is not in the chain");
    if (status == ST_OK && !*out->what) status = verify_live(versioned, out, err);
    return status;
}
