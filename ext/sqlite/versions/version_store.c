#include "version_store.h"

#include <math.h>
#include <string.h>

#include "../host/cache.h"
#include "../host/chunks.h"
#include "../host/schema.h"
#include "version_live.h"

enum { CHUNKS_OF_A_VERSION = 1 << 20 };

/* So that the number of a chunk is an int64. */
static const sqlite3_int64 MAX_VERSION = 1000000000000;

void version_log_step(
    Bytes *log, double sweep, double objective, double seconds, double validation) {
    bytes_format(log, "%s[%.15g,%.17g,%.6g", log->len > 1 ? "," : "", sweep, objective, seconds);
    if (isfinite(validation)) bytes_format(log, ",%.17g", validation);
    bytes_append(log, "]", 1);
}

Status store_active(const Versioned *versioned, sqlite3_int64 *out, Err *err) {
    return sql_integer(versioned->db, 0, out, err,
        "SELECT version FROM \"%w\".\"%w_deployments\" ORDER BY id DESC LIMIT 1", versioned->schema,
        versioned->name);
}

Status store_active_options(const Versioned *versioned, char **out, Err *err) {
    sqlite3_stmt *row;
    sqlite3_int64 version;
    int has_row;
    *out = NULL;
    TRY(store_active(versioned, &version, err));
    if (!version) return ST_OK;
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT json_set(options, '$.algorithm', algorithm) FROM \"%w\".\"%w_versions\" WHERE "
        "version=?1",
        versioned->schema, versioned->name));
    sqlite3_bind_int64(row, 1, version);
    Status status = sql_step(versioned->db, row, &has_row, err);
    if (status == ST_OK && has_row && sqlite3_column_text(row, 0) &&
        !(*out = sqlite3_mprintf("%s", sqlite3_column_text(row, 0))))
        status = fail_nomem(err, "the options");
    sqlite3_finalize(row);
    return status;
}

static Status log_deployment(
    const Versioned *versioned, sqlite3_int64 version, const char *action, Err *err) {
    sqlite3_stmt *insert;
    TRY(sql_prepare(versioned->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_deployments\"(version, action) VALUES(?1, ?2)", versioned->schema,
        versioned->name));
    sqlite3_bind_int64(insert, 1, version);
    sqlite3_bind_text(insert, 2, action, -1, SQLITE_STATIC);
    return sql_finish(versioned->db, insert, err);
}

static Status version_exists(const Versioned *versioned, sqlite3_int64 version, Err *err) {
    sqlite3_int64 found;
    TRY(sql_integer(versioned->db, 0, &found, err,
        "SELECT 1 FROM \"%w\".\"%w_versions\" WHERE version=%lld", versioned->schema,
        versioned->name, version));
    return found ? ST_OK : fail(err, ST_BADARG, "there is no version %lld", version);
}

static Status insert_chunks(
    const Versioned *versioned, sqlite3_int64 version, const void *data, size_t len, Err *err) {
    sqlite3_stmt *insert;
    TRY(sql_prepare(versioned->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_chunks\"(chunk, version, data) VALUES(?1, ?2, ?3)",
        versioned->schema, versioned->name));
    sqlite3_bind_int64(insert, 2, version);
    Status status = chunks_write(
        versioned->db, insert, 1, 3, version * CHUNKS_OF_A_VERSION, data, len, err);
    sqlite3_finalize(insert);
    return status;
}

/* Seconds with six digits: more would be noise. */
static Status insert_version(const Versioned *versioned, sqlite3_int64 version,
    const VersionFacts *facts, size_t bytes, const char *sha256, Err *err) {
    sqlite3_stmt *insert;
    TRY(sql_prepare(versioned->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_versions\"(version, algorithm, options, events, users, items, "
        "until, trained_seconds, bytes, sha256, log) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, "
        "CAST(printf('%%!.6g', ?8) AS REAL), ?9, ?10, ?11)",
        versioned->schema, versioned->name));
    int code = sqlite3_bind_text64(insert, 3, (const char *)facts->options.data, facts->options.len,
        SQLITE_STATIC, SQLITE_UTF8);
    if (!code)
        code = sqlite3_bind_text64(
            insert, 11, (const char *)facts->log.data, facts->log.len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(insert, 1, version);
    sqlite3_bind_text(insert, 2, facts->algorithm, -1, SQLITE_STATIC);
    sqlite3_bind_int64(insert, 4, facts->events);
    sqlite3_bind_int64(insert, 5, facts->users);
    sqlite3_bind_int64(insert, 6, facts->items);
    if (facts->has_until) sqlite3_bind_double(insert, 7, facts->until);
    sqlite3_bind_double(insert, 8, facts->trained_seconds);
    sqlite3_bind_int64(insert, 9, (sqlite3_int64)bytes);
    sqlite3_bind_text(insert, 10, sha256, -1, SQLITE_STATIC);
    if (!code) return sql_finish(versioned->db, insert, err);
    sqlite3_finalize(insert);
    return sql_failed(err, versioned->db, code); /* too long for the database, say */
}

static Status delete_version(const Versioned *versioned, sqlite3_int64 version, Err *err) {
    static const char *const tables[] = {"versions", "chunks"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        TRY(sql_execute(versioned->db, err, "DELETE FROM \"%w\".\"%w_%s\" WHERE version=%lld",
            versioned->schema, versioned->name, tables[i], version));
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    int has_facts;
    TRY(shadow_has(&version_shadow, &owner, "facts", &has_facts, err));
    return has_facts
        ? sql_execute(versioned->db, err, "DELETE FROM \"%w\".\"%w_facts\" WHERE version=%lld",
              versioned->schema, versioned->name, version)
        : ST_OK;
}

Status store_drop(const Versioned *versioned, sqlite3_int64 version, Err *err) {
    sqlite3_int64 active;
    Live live;
    TRY(version_exists(versioned, version, err));
    TRY(store_active(versioned, &active, err));
    if (active == version)
        return fail(err, ST_BADARG, "version %lld is active (activate another first)", version);
    TRY(live_read(versioned, &live, err));
    if (live_uses(&live, version))
        return fail(
            err, ST_BADARG, "version %lld has an alias, or is an arm of an experiment", version);
    return delete_version(versioned, version, err);
}

/* One statement for all that a list asks: it is run with every one. */
static Status prepare_lookup(const Versioned *versioned, sqlite3_stmt **out, Err *err) {
    return sql_prepare(versioned->db, out, err,
        "SELECT version, sha256, (SELECT value FROM \"%w\".\"%w_config\" WHERE key='live') FROM "
        "\"%w\".\"%w_versions\" WHERE version=coalesce(?1, (SELECT version FROM "
        "\"%w\".\"%w_deployments\" ORDER BY id DESC LIMIT 1))",
        versioned->schema, versioned->name, versioned->schema, versioned->name, versioned->schema,
        versioned->name);
}

static Status no_version(const Versioned *versioned, sqlite3_int64 wanted, Err *err) {
    return wanted ? fail(err, ST_BADARG, "there is no version %lld", wanted)
                  : fail(err, ST_BADARG,
                        "no version is active: train one with INSERT INTO %s(%s) VALUES('train')",
                        versioned->name, versioned->name);
}

static Status take_row(sqlite3_stmt *row, VersionName *out, LiveCache *live, Err *err) {
    const char *text = (const char *)sqlite3_column_text(row, 1);
    out->version = sqlite3_column_int64(row, 0);
    if (!text || strlen(text) != SHA256_TEXT - 1)
        return fail(err, ST_CORRUPT, "version %lld has no checksum", out->version);
    memcpy(out->sha256, text, SHA256_TEXT);
    return live ? live_cache_take(live, (const char *)sqlite3_column_text(row, 2), err) : ST_OK;
}

Status store_lookup(const Versioned *versioned, sqlite3_stmt **cached, sqlite3_int64 wanted,
    VersionName *out, LiveCache *live, Err *err) {
    sqlite3_stmt *own = NULL, **statement = cached ? cached : &own;
    int has_row = 0;
    Status status = ST_OK;
    *out = (VersionName){0};
    if (!*statement) status = prepare_lookup(versioned, statement, err);
    if (status == ST_OK) {
        if (wanted) sqlite3_bind_int64(*statement, 1, wanted);
        else sqlite3_bind_null(*statement, 1);
        status = sql_step(versioned->db, *statement, &has_row, err);
    }
    if (status == ST_OK)
        status = has_row ? take_row(*statement, out, live, err)
                         : no_version(versioned, wanted, err);
    if (*statement) sqlite3_reset(*statement);
    sqlite3_finalize(own);
    return status;
}

Status store_earlier(
    const Versioned *versioned, sqlite3_int64 *before, sqlite3_int64 *out, Err *err) {
    sqlite3_int64 wanted = *before ? *before : INT64_MAX;
    TRY(sql_integer(versioned->db, 0, before, err,
        "SELECT max(id) FROM \"%w\".\"%w_deployments\" WHERE id<%lld", versioned->schema,
        versioned->name, wanted));
    return sql_integer(versioned->db, 0, out, err,
        "SELECT version FROM \"%w\".\"%w_deployments\" WHERE id=%lld", versioned->schema,
        versioned->name, *before);
}

static Status prepare_chunks(
    const Versioned *versioned, sqlite3_int64 version, sqlite3_stmt **out, Err *err) {
    *out = NULL;
    if (version < 1 || version > MAX_VERSION)
        return fail(err, ST_CORRUPT, "no version can have this number");
    TRY(sql_prepare(versioned->db, out, err,
        "SELECT data FROM \"%w\".\"%w_chunks\" WHERE chunk BETWEEN ?1 AND ?2 ORDER BY chunk",
        versioned->schema, versioned->name));
    sqlite3_bind_int64(*out, 1, version * CHUNKS_OF_A_VERSION);
    sqlite3_bind_int64(*out, 2, (version + 1) * CHUNKS_OF_A_VERSION - 1);
    return ST_OK;
}

Status store_bytes(const Versioned *versioned, sqlite3_int64 version, Bytes *out, Err *err) {
    sqlite3_stmt *rows;
    TRY(prepare_chunks(versioned, version, &rows, err));
    return chunks_read(versioned->db, rows, "the stored version", out, err);
}

/* The content's checksum and the file name the entry: what is loaded can never be stale. */
static CacheKey cache_key(const Versioned *versioned, const char *sha256) {
    CacheKey key = {{(unsigned char)versioned->kind->tag}};
    FileId file = schema_file_id(versioned->db, versioned->schema);
    memcpy(key.bytes + 1, &file, sizeof file);
    for (int i = 0; i < 32; i++) {
        char pair[3] = {sha256[2 * i], sha256[2 * i + 1], 0};
        unsigned value = 0;
        for (int j = 0; j < 2; j++)
            value = value * 16 +
                (unsigned)(pair[j] <= '9' ? pair[j] - '0' : (pair[j] | 32) - 'a' + 10) % 16;
        key.bytes[1 + sizeof file + (size_t)i] = (unsigned char)value;
    }
    return key;
}

/* The version as the database holds it, whatever is in the cache; *bytes: its length. */
static Status read_stored(const Versioned *versioned, sqlite3_int64 version, const char *sha256,
    void **out, size_t *bytes, Err *err) {
    Bytes stored = {0};
    char own[SHA256_TEXT];
    *out = NULL;
    Status status = store_bytes(versioned, version, &stored, err);
    *bytes = stored.len;
    if (status == ST_OK) status = versioned->kind->read(out, stored.data, stored.len, own, err);
    bytes_clear(&stored);
    if (status == ST_OK && (!sha256 || strcmp(own, sha256) != 0)) {
        versioned->kind->free_object(*out);
        *out = NULL;
        status = fail(err, ST_CORRUPT, "the stored bytes are not those that were trained");
    }
    if (status != ST_OK) err_prefix(err, "version %lld", version);
    return status;
}

/* Hand an object over to the cache, and get a reference. */
static Status keep_loaded(const Versioned *versioned, const char *sha256, void **object, Err *err) {
    CacheKey key = cache_key(versioned, sha256);
    *object = cache_put(
        &key, *object, versioned->kind->memory(*object), versioned->kind->free_object);
    return *object ? ST_OK : fail_nomem(err, "the version");
}

/* The next query finds it there; where there is no memory, it reads the rows. The command that made
 * it has succeeded either way. */
static void offer_to_cache(const Versioned *versioned, const char *sha256, void *object) {
    CacheKey key = cache_key(versioned, sha256);
    cache_release(
        cache_put(&key, object, versioned->kind->memory(object), versioned->kind->free_object));
}

Status store_load(const Versioned *versioned, const VersionName *name, void **out, Err *err) {
    CacheKey key = cache_key(versioned, name->sha256);
    size_t bytes;
    *out = cache_get(&key);
    if (*out) return ST_OK;
    TRY(read_stored(versioned, name->version, name->sha256, out, &bytes, err));
    return keep_loaded(versioned, name->sha256, out, err);
}

void store_forget_loaded(const Versioned *versioned, const char *sha256) {
    CacheKey key = cache_key(versioned, sha256);
    cache_forget(&key);
}

Status store_take(const Versioned *versioned, sqlite3_int64 wanted, void **out, Err *err) {
    VersionName name;
    TRY(store_lookup(versioned, NULL, wanted, &name, NULL, err));
    return store_load(versioned, &name, out, err);
}

Status store_read_back(const Versioned *versioned, sqlite3_int64 version, Err *err) {
    void *object;
    VersionName name;
    size_t bytes;
    TRY(store_lookup(versioned, NULL, version, &name, NULL, err));
    TRY(read_stored(versioned, version, name.sha256, &object, &bytes, err));
    TRY(keep_loaded(versioned, name.sha256, &object, err));
    cache_release(object);
    return ST_OK;
}

/* A version that is to be stored: its object, and the bytes that say the same. */
typedef struct NewVersion {
    const void *object;
    const void *data;
    size_t len;
    const char *sha256;
} NewVersion;

/* Do the chunks hold these bytes, one after the other? */
static Status check_chunks(
    const Versioned *versioned, sqlite3_int64 version, const char *data, size_t len, Err *err) {
    sqlite3_stmt *rows;
    size_t at = 0;
    int same = 1;
    TRY(prepare_chunks(versioned, version, &rows, err));
    Status status = ST_OK;
    while (same && sql_next(versioned->db, rows, &status, err)) {
        size_t bytes = (size_t)sqlite3_column_bytes(rows, 0);
        same = bytes <= len - at &&
            (!bytes || memcmp(sqlite3_column_blob(rows, 0), data + at, bytes) == 0);
        at += bytes;
    }
    sqlite3_finalize(rows);
    if (status == ST_OK && !(same && at == len))
        status = fail(err, ST_CORRUPT,
            "version %lld: the stored bytes are not those that were trained", version);
    return status;
}

/* Is what was written there, row and chunks? Somebody else's trigger may have changed either, and
 * a version that cannot be loaded must not be served. */
static Status check_stored(
    const Versioned *versioned, sqlite3_int64 version, const NewVersion *own, Err *err) {
    VersionName name;
    TRY(store_lookup(versioned, NULL, version, &name, NULL, err));
    if (strcmp(name.sha256, own->sha256) != 0)
        return fail(err, ST_CORRUPT,
            "version %lld: the stored bytes are not those that were trained", version);
    return check_chunks(versioned, version, own->data, own->len, err);
}

/* Numbers are never used twice. */
static Status next_version(const Versioned *versioned, sqlite3_int64 *out, Err *err) {
    TRY(sql_integer(versioned->db, 0, out, err,
        "SELECT value FROM \"%w\".\"%w_config\" WHERE key='last_version'", versioned->schema,
        versioned->name));
    if (*out < 0 || *out >= MAX_VERSION)
        return fail(err, ST_CORRUPT, "%s_config: last_version=%lld", versioned->name, *out);
    ++*out;
    return ST_OK;
}

/* Text, or a number where it is NULL. */
static Status put_fact(const Versioned *versioned, sqlite3_int64 version, const char *key,
    const char *text, double number, Err *err) {
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    sqlite3_stmt *insert;
    TRY(shadow_ensure(&version_shadow, &owner, "facts", err));
    TRY(sql_prepare(versioned->db, &insert, err,
        "REPLACE INTO \"%w\".\"%w_facts\" VALUES(?1, ?2, ?3)", versioned->schema, versioned->name));
    sqlite3_bind_int64(insert, 1, version);
    sqlite3_bind_text(insert, 2, key, -1, SQLITE_STATIC);
    if (text) sqlite3_bind_text(insert, 3, text, -1, SQLITE_STATIC);
    else sqlite3_bind_double(insert, 3, number);
    return sql_finish(versioned->db, insert, err);
}

Status store_tag(
    const Versioned *versioned, sqlite3_int64 version, const char *tag, double value, Err *err) {
    char *key = sqlite3_mprintf("tag:%s", tag);
    Status status = key ? put_fact(versioned, version, key, NULL, value, err)
                        : fail_nomem(err, "a tag");
    sqlite3_free(key);
    return status;
}

Status store_origin(
    const Versioned *versioned, sqlite3_int64 version, double at, const char *author, Err *err) {
    TRY(put_fact(versioned, version, "at", NULL, at, err));
    return *author ? put_fact(versioned, version, "author", author, 0, err) : ST_OK;
}

/* The rows of a version, looked at again before it counts. */
static Status write_version(
    const Versioned *versioned, sqlite3_int64 version, const NewVersion *own, Err *err) {
    VersionFacts facts = {0};
    Status status = versioned->kind->describe(own->object, &facts, err);
    if (status == ST_OK) status = insert_chunks(versioned, version, own->data, own->len, err);
    if (status == ST_OK)
        status = insert_version(versioned, version, &facts, own->len, own->sha256, err);
    if (status == ST_OK)
        status = facts.trained_on
            ? put_fact(versioned, version, "trained_on", facts.trained_on, 0, err)
            : ST_OK;
    if (status == ST_OK) status = check_stored(versioned, version, own, err);
    bytes_clear(&facts.options);
    bytes_clear(&facts.log);
    return status;
}

/* The version that rollback would go back to; 0: none. */
static Status version_before(const Versioned *versioned, sqlite3_int64 *out, Err *err) {
    return sql_integer(versioned->db, 0, out, err,
        "SELECT p.version FROM \"%w\".\"%w_deployments\" p JOIN \"%w\".\"%w_versions\" "
        "USING(version) WHERE p.version<>(SELECT version FROM \"%w\".\"%w_deployments\" ORDER BY "
        "id DESC LIMIT 1) ORDER BY p.id DESC LIMIT 1",
        versioned->schema, versioned->name, versioned->schema, versioned->name, versioned->schema,
        versioned->name);
}

/* The first version after `after` that need not be kept: neither one of the newest `keep`, nor
 * active, nor the one that rollback would go back to; 0: none. */
static Status next_old_version(const Versioned *versioned, int64_t keep, sqlite3_int64 active,
    sqlite3_int64 before, sqlite3_int64 after, sqlite3_int64 *out, Err *err) {
    return sql_integer(versioned->db, 0, out, err,
        "SELECT version FROM \"%w\".\"%w_versions\" WHERE version>%lld AND version NOT IN (%lld, "
        "%lld) AND version NOT IN (SELECT version FROM \"%w\".\"%w_versions\" ORDER BY version "
        "DESC LIMIT %lld) ORDER BY version LIMIT 1",
        versioned->schema, versioned->name, after, active, before, versioned->schema,
        versioned->name, (sqlite3_int64)keep);
}

/* keep 0: none goes. What an alias or an arm stands on stays, too. */
static Status drop_old_versions(const Versioned *versioned, int64_t keep, Err *err) {
    sqlite3_int64 active, before, old = 0;
    Live live;
    if (keep <= 0) return ST_OK;
    TRY(store_active(versioned, &active, err));
    TRY(version_before(versioned, &before, err));
    TRY(live_read(versioned, &live, err));
    do {
        TRY(next_old_version(versioned, keep, active, before, old, &old, err));
        if (old && !live_uses(&live, old)) TRY(delete_version(versioned, old, err));
    } while (old);
    return ST_OK;
}

/* INSERT ... VALUES has no statement journal inside BEGIN: what was written before a failure is
 * deleted again, and the row that makes the version count comes last. */
static Status put(const Versioned *versioned, const NewVersion *own, const PutWish *wish,
    const char *action, sqlite3_int64 *out, Err *err) {
    TRY(next_version(versioned, out, err));
    sqlite3_int64 version = *out;
    Status status = write_version(versioned, version, own, err);
    if (status == ST_OK)
        status = sql_execute(versioned->db, err,
            "REPLACE INTO \"%w\".\"%w_config\" VALUES('last_version', %lld)", versioned->schema,
            versioned->name, version);
    if (status == ST_OK && wish->activate) status = log_deployment(versioned, version, action, err);
    if (status != ST_OK && status != ST_CANCELLED) delete_version(versioned, version, NULL);
    TRY(status);
    return drop_old_versions(
        versioned, wish->keep == KEEP_AS_CREATED ? versioned->keep : wish->keep, err);
}

Status store_put_bytes(const Versioned *versioned, const void *data, size_t len,
    const PutWish *wish, const char *action, sqlite3_int64 *out, Err *err) {
    char sha256[SHA256_TEXT];
    void *object;
    Status status = versioned->kind->read(&object, data, len, sha256, err);
    if (status == ST_CORRUPT) { /* of the argument, not of the database */
        err_prefix(err, "%s", action);
        return ST_BADARG;
    }
    TRY(status);
    NewVersion own = {object, data, len, sha256};
    if (wish->sha256 && strcmp(wish->sha256, sha256) != 0)
        status = fail(err, ST_BADARG, "these bytes are not those that were exported");
    else status = put(versioned, &own, wish, action, out, err);
    if (status != ST_OK) {
        versioned->kind->free_object(object);
        return status;
    }
    offer_to_cache(versioned, sha256, object);
    return ST_OK;
}

/* What is to serve is what the bytes say, in this process as in others: the trained object is
 * described and let go, the one that is read from its bytes answers the next query. */
Status store_put(const Versioned *versioned, const void *object, const PutWish *wish,
    const char *action, sqlite3_int64 *out, Err *err) {
    Bytes bytes = {0};
    char sha256[SHA256_TEXT];
    void *read = NULL;
    Status status = versioned->kind->write(object, &bytes, sha256, err);
    if (status == ST_OK) status = versioned->kind->read(&read, bytes.data, bytes.len, sha256, err);
    NewVersion own = {object, bytes.data, bytes.len, sha256};
    if (status == ST_OK) status = put(versioned, &own, wish, action, out, err);
    bytes_clear(&bytes);
    if (status != ST_OK) {
        if (read) versioned->kind->free_object(read);
        return status;
    }
    offer_to_cache(versioned, sha256, read);
    return ST_OK;
}

static Status replace_content(
    const Versioned *versioned, sqlite3_int64 version, const NewVersion *own, Err *err) {
    sqlite3_stmt *update;
    TRY(sql_execute(versioned->db, err, "DELETE FROM \"%w\".\"%w_chunks\" WHERE version=%lld",
        versioned->schema, versioned->name, version));
    TRY(insert_chunks(versioned, version, own->data, own->len, err));
    TRY(sql_prepare(versioned->db, &update, err,
        "UPDATE \"%w\".\"%w_versions\" SET sha256=?2, bytes=?3 WHERE version=?1", versioned->schema,
        versioned->name));
    sqlite3_bind_int64(update, 1, version);
    sqlite3_bind_text(update, 2, own->sha256, -1, SQLITE_STATIC);
    sqlite3_bind_int64(update, 3, (sqlite3_int64)own->len);
    TRY(sql_finish(versioned->db, update, err));
    return check_stored(versioned, version, own, err);
}

Status store_rewrite(
    const Versioned *versioned, sqlite3_int64 version, const void *object, Err *err) {
    Bytes bytes = {0};
    char sha256[SHA256_TEXT];
    void *read = NULL;
    VersionName old;
    TRY(store_lookup(versioned, NULL, version, &old, NULL, err));
    Status status = versioned->kind->write(object, &bytes, sha256, err);
    if (status == ST_OK) status = versioned->kind->read(&read, bytes.data, bytes.len, sha256, err);
    NewVersion own = {object, bytes.data, bytes.len, sha256};
    if (status == ST_OK) status = replace_content(versioned, version, &own, err);
    bytes_clear(&bytes);
    if (read) versioned->kind->free_object(read);
    if (status == ST_OK && strcmp(old.sha256, sha256) != 0)
        store_forget_loaded(versioned, old.sha256);
    return status;
}

Status store_activate(
    const Versioned *versioned, sqlite3_int64 version, const char *action, Err *err) {
    TRY(store_read_back(versioned, version, err)); /* never point at what does not load */
    return log_deployment(versioned, version, action, err);
}

Status store_rollback(const Versioned *versioned, Err *err) {
    sqlite3_int64 before;
    TRY(version_before(versioned, &before, err));
    if (!before) return fail(err, ST_BADARG, "no earlier version to go back to");
    TRY(store_read_back(versioned, before, err));
    return log_deployment(versioned, before, "rollback", err);
}

Status store_check(const Versioned *versioned, Err *err) {
    sqlite3_stmt *statement;
    sqlite3_int64 bad;
    TRY(sql_prepare(versioned->db, &statement, err,
        "SELECT version, sha256, bytes FROM \"%w\".\"%w_versions\" ORDER BY version",
        versioned->schema, versioned->name));
    Status status = ST_OK;
    while (sql_next(versioned->db, statement, &status, err)) {
        void *object;
        size_t bytes;
        sqlite3_int64 version = sqlite3_column_int64(statement, 0);
        status = read_stored(versioned, version, (const char *)sqlite3_column_text(statement, 1),
            &object, &bytes, err);
        if (object) versioned->kind->free_object(object);
        if (status == ST_OK && (sqlite3_int64)bytes != sqlite3_column_int64(statement, 2))
            status = fail(err, ST_CORRUPT, "version %lld: %zu bytes are stored", version, bytes);
        if (status != ST_OK) err_prefix(err, "integrity-check");
    }
    sqlite3_finalize(statement);
    if (status != ST_OK) return status;
    TRY(sql_integer(versioned->db, 0, &bad, err,
        "SELECT version FROM \"%w\".\"%w_deployments\" ORDER BY id DESC LIMIT 1", versioned->schema,
        versioned->name));
    if (bad && version_exists(versioned, bad, err) != ST_OK)
        return fail(err, ST_CORRUPT, "integrity-check: the active version %lld is missing", bad);
    return ST_OK;
}
