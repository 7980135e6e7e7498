#include "encoder_store.h"

#include <string.h>

#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/chunks.h"
#include "../host/schema.h"

static const ShadowTable TABLES[] = {
    {.suffix = "weights", .columns = "chunk INTEGER PRIMARY KEY, data BLOB NOT NULL"},
};
const ShadowSet encoder_shadow = {1, TABLES, sizeof TABLES / sizeof *TABLES};

const OptSpec encoder_options[] = {
    {"storage", OPT_CHOICE, offsetof(EncoderOptions, storage), 0, 0, PACKED_FLOAT,
        "float|half|int8", "how weights are kept, on disk and in memory: 4, 2 or 1 bytes each"},
    {"length", OPT_INT, offsetof(EncoderOptions, length), 0, BERT_MAX_LENGTH, 0, NULL,
        "tokens of a text that are read; 0: as many as the encoder's makers say"},
    {0},
};

Status encoder_config(const ShadowOwner *owner, const char *key, char **out, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    *out = NULL;
    TRY(sql_prepare(owner->db, &row, err, "SELECT value FROM \"%w\".\"%w_config\" WHERE key=%Q",
        owner->schema, owner->name, key));
    Status status = sql_step(owner->db, row, &has_row, err);
    if (status == ST_OK && has_row && sqlite3_column_text(row, 0) &&
        !(*out = sqlite3_mprintf("%s", sqlite3_column_text(row, 0))))
        status = fail_nomem(err, "the encoder");
    sqlite3_finalize(row);
    return status;
}

/* ---- what is there ---- */

void encoder_facts_clear(EncoderFacts *facts) {
    mem_free(facts->name);
    sqlite3_free(facts->sha256);
    *facts = (EncoderFacts){0};
}

static Status read_first(const ShadowOwner *owner, EncoderFacts *out, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    TRY(sql_prepare(owner->db, &row, err,
        "SELECT data FROM \"%w\".\"%w_weights\" ORDER BY chunk LIMIT 1", owner->schema,
        owner->name));
    Status status = sql_step(owner->db, row, &has_row, err);
    if (status == ST_OK && !has_row) status = fail(err, ST_CORRUPT, "its weights are gone");
    if (status == ST_OK)
        status = text_encoder_describe(sqlite3_column_blob(row, 0),
            (size_t)sqlite3_column_bytes(row, 0), &out->shape, &out->name, err);
    sqlite3_finalize(row);
    return status;
}

Status encoder_describe(const ShadowOwner *owner, EncoderFacts *out, int *is_there, Err *err) {
    *out = (EncoderFacts){0};
    TRY(encoder_config(owner, "sha256", &out->sha256, err));
    *is_there = out->sha256 != NULL;
    if (!*is_there) return ST_OK;
    Status status = read_first(owner, out, err);
    if (status == ST_OK)
        status = sql_integer(owner->db, 0, &out->bytes, err,
            "SELECT sum(length(data)) FROM \"%w\".\"%w_weights\"", owner->schema, owner->name);
    if (status != ST_OK) encoder_facts_clear(out);
    return status;
}

/* ---- writing ---- */

static Status write_chunks(
    const ShadowOwner *owner, sqlite3_int64 first, const Bytes *stored, Err *err) {
    sqlite3_stmt *insert;
    TRY(sql_prepare(owner->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_weights\"(chunk, data) VALUES(?1, ?2)", owner->schema,
        owner->name));
    Status status = chunks_write(owner->db, insert, 1, 2, first, stored->data, stored->len, err);
    sqlite3_finalize(insert);
    return status;
}

static Status delete_chunks(
    const ShadowOwner *owner, const char *comparison, sqlite3_int64 chunk, Err *err) {
    return sql_execute(owner->db, err, "DELETE FROM \"%w\".\"%w_weights\" WHERE chunk %s %lld",
        owner->schema, owner->name, comparison, chunk);
}

/* The new rows stand behind the old ones until all are there: inside BEGIN an INSERT ... VALUES
 * takes nothing back by itself. */
Status encoder_put(const ShadowOwner *owner, const Bytes *stored, const char *sha256, Err *err) {
    sqlite3_int64 first;
    TRY(sql_integer(owner->db, 0, &first, err,
        "SELECT coalesce(max(chunk) + 1, 0) FROM \"%w\".\"%w_weights\"", owner->schema,
        owner->name));
    Status status = write_chunks(owner, first, stored, err);
    if (status != ST_OK) {
        delete_chunks(owner, ">=", first, NULL);
        return status;
    }
    TRY(delete_chunks(owner, "<", first, err));
    return sql_execute(owner->db, err,
        "INSERT OR REPLACE INTO \"%w\".\"%w_config\"(key, value) VALUES('sha256', %Q)",
        owner->schema, owner->name, sha256);
}

/* ---- reading ---- */

Status encoder_read(const ShadowOwner *owner, TextEncoder **out, Err *err) {
    sqlite3_stmt *rows;
    Bytes stored = {0};
    *out = NULL;
    TRY(sql_prepare(owner->db, &rows, err, "SELECT data FROM \"%w\".\"%w_weights\" ORDER BY chunk",
        owner->schema, owner->name));
    Status status = chunks_read(owner->db, rows, "the encoder", &stored, err);
    if (status == ST_OK) status = text_encoder_read(out, stored.data, stored.len, err);
    bytes_clear(&stored);
    return status;
}

static CacheKey cache_key(const char *sha256) {
    CacheKey key = {{'T'}};
    memcpy(key.bytes + 1, sha256, strlen(sha256));
    return key;
}

static void free_encoder(void *encoder) { text_encoder_free(encoder); }

/* The same content is the same encoder, whatever file it is in. */
static Status take(const ShadowOwner *owner, TextEncoder **out, Err *err) {
    char *sha256;
    TextEncoder *encoder = NULL;
    TRY(shadow_check(&encoder_shadow, owner, err));
    TRY(shadow_check_format(&encoder_shadow, owner, err));
    TRY(encoder_config(owner, "sha256", &sha256, err));
    if (!sha256)
        return fail(err, ST_BADARG,
            "encoder %s is empty (INSERT INTO %s(%s, arg) VALUES('load', "
            "'the folder with its files'))",
            owner->name, owner->name, owner->name);
    Status status = strlen(sha256) == SHA256_TEXT - 1
        ? ST_OK
        : fail(err, ST_CORRUPT, "encoder %s has no digest", owner->name);
    CacheKey key = {{0}};
    if (status == ST_OK) {
        key = cache_key(sha256);
        *out = cache_get(&key);
        if (!*out) status = encoder_read(owner, &encoder, err);
    }
    if (encoder && strcmp(encoder->sha256, sha256) != 0) {
        text_encoder_free(encoder);
        encoder = NULL;
        status = fail(err, ST_CORRUPT, "encoder %s is not the one that was loaded", owner->name);
    }
    if (encoder) {
        *out = cache_put(&key, encoder, text_encoder_memory(encoder), free_encoder);
        if (!*out) status = fail_nomem(err, "the encoder");
    }
    sqlite3_free(sha256);
    return status;
}

Status encoder_take(const ShadowOwner *owner, TextEncoder **out, Err *err) {
    sqlite3_int64 found;
    *out = NULL;
    TRY(sql_integer(owner->db, 0, &found, err,
        "SELECT 1 FROM \"%w\".sqlite_schema WHERE lower(name)=lower('%q_weights')", owner->schema,
        owner->name));
    if (!found)
        return fail(err, ST_BADARG, "no rec_encoder named '%.60s' in schema %.60s", owner->name,
            owner->schema);
    return take(owner, out, err);
}

Status encoder_find(sqlite3 *db, const char *name, TextEncoder **out, Err *err) {
    char *schema, *table;
    *out = NULL;
    TRY(schema_find_table(db, "rec_encoder", name, "_weights", &schema, &table, err));
    ShadowOwner owner = {db, schema, table, NULL};
    Status status = take(&owner, out, err);
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}
