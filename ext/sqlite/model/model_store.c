/* Versions of a model in its shadow tables: layout in model_table.h. */
#include <string.h>

#include "../host/cache.h"
#include "../host/schema.h"
#include "model_table.h"

enum { CHUNK = 1 << 20, CHUNKS_OF_A_VERSION = 1 << 20 };

/* So that the number of a chunk is an int64. */
static const sqlite3_int64 MAX_VERSION = 1000000000000;

Status store_create(const ModelDefinition *definition, Err *err) {
    TRY(sql_execute(definition->db, err,
        "CREATE TABLE \"%w\".\"%w_config\"(key TEXT PRIMARY KEY, value)", definition->schema,
        definition->name));
    TRY(sql_execute(definition->db, err, "INSERT INTO \"%w\".\"%w_config\" VALUES('format', 1)",
        definition->schema, definition->name));
    TRY(sql_execute(definition->db, err,
        "CREATE TABLE \"%w\".\"%w_versions\"(version INTEGER PRIMARY KEY, algorithm TEXT, options "
        "TEXT, events INTEGER, users INTEGER, items INTEGER, until REAL, trained_seconds REAL, "
        "bytes INTEGER, sha256 TEXT, log TEXT)",
        definition->schema, definition->name));
    TRY(sql_execute(definition->db, err,
        "CREATE TABLE \"%w\".\"%w_chunks\"(chunk INTEGER PRIMARY KEY, version INTEGER, data BLOB)",
        definition->schema, definition->name));
    TRY(sql_execute(definition->db, err, "CREATE TABLE \"%w\".\"%w_trials\"(" TRIALS_COLUMNS ")",
        definition->schema, definition->name));
    return sql_execute(definition->db, err,
        "CREATE TABLE \"%w\".\"%w_deployments\"(id INTEGER PRIMARY KEY, version INTEGER, action "
        "TEXT)",
        definition->schema, definition->name);
}

Status store_active(const ModelDefinition *definition, sqlite3_int64 *out, Err *err) {
    return sql_integer(definition->db, 0, out, err,
        "SELECT version FROM \"%w\".\"%w_deployments\" ORDER BY id DESC LIMIT 1",
        definition->schema, definition->name);
}

Status store_active_options(const ModelDefinition *definition, char **out, Err *err) {
    sqlite3_stmt *row;
    sqlite3_int64 version;
    int has_row;
    *out = NULL;
    TRY(store_active(definition, &version, err));
    if (!version) return ST_OK;
    TRY(sql_prepare(definition->db, &row, err,
        "SELECT json_set(options, '$.algorithm', algorithm) FROM \"%w\".\"%w_versions\" WHERE "
        "version=%lld",
        definition->schema, definition->name, version));
    Status status = sql_step(definition->db, row, &has_row, err);
    if (status == ST_OK && has_row && sqlite3_column_text(row, 0) &&
        !(*out = sqlite3_mprintf("%s", sqlite3_column_text(row, 0))))
        status = fail_nomem(err, "the options");
    sqlite3_finalize(row);
    return status;
}

static Status log_deployment(
    const ModelDefinition *definition, sqlite3_int64 version, const char *action, Err *err) {
    return sql_execute(definition->db, err,
        "INSERT INTO \"%w\".\"%w_deployments\"(version, action) VALUES(%lld, %Q)",
        definition->schema, definition->name, version, action);
}

static Status version_exists(const ModelDefinition *definition, sqlite3_int64 version, Err *err) {
    sqlite3_int64 found;
    TRY(sql_integer(definition->db, 0, &found, err,
        "SELECT 1 FROM \"%w\".\"%w_versions\" WHERE version=%lld", definition->schema,
        definition->name, version));
    return found ? ST_OK : fail(err, ST_BADARG, "there is no version %lld", version);
}

static Status insert_chunks(
    const ModelDefinition *definition, sqlite3_int64 version, const Bytes *blob, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(sql_prepare(definition->db, &statement, err,
        "INSERT INTO \"%w\".\"%w_chunks\" VALUES(?1, ?2, ?3)", definition->schema,
        definition->name));
    Status status = ST_OK;
    for (size_t from = 0; status == ST_OK && from < blob->len; from += CHUNK) {
        size_t len = blob->len - from < CHUNK ? blob->len - from : CHUNK;
        sqlite3_bind_int64(
            statement, 1, version * CHUNKS_OF_A_VERSION + (sqlite3_int64)(from / CHUNK));
        sqlite3_bind_int64(statement, 2, version);
        sqlite3_bind_blob64(statement, 3, blob->data + from, len, SQLITE_STATIC);
        status = sql_step(definition->db, statement, &has_row, err);
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    return status;
}

static Status insert_version(const ModelDefinition *definition, sqlite3_int64 version,
    const Model *model, size_t bytes, Err *err) {
    Bytes options = {0}, log = {0};
    char until[40] = "NULL";
    model_options_json(model, &options);
    bytes_append(&options, "", 1);
    bytes_append(&log, "[", 1);
    for (int64_t i = 0; i < model->n_steps; i++)
        bytes_format(&log, "%s[%.15g,%.17g,%.6g]", i ? "," : "", model->step[i].sweep,
            model->step[i].objective, model->step[i].seconds);
    bytes_append(&log, "]", 2);
    if (model->has_until) sqlite3_snprintf(sizeof until, until, "%!.17g", model->until);
    Status status = options.failed || log.failed
        ? fail_nomem(err, "the version")
        : sql_execute(definition->db, err,
              "INSERT INTO \"%w\".\"%w_versions\" VALUES(%lld, %Q, %Q, %lld, %lld, %d, %s, %!.6g, "
              "%lld, %Q, %Q)",
              definition->schema, definition->name, version, model->algorithm->name,
              (const char *)options.data, (sqlite3_int64)model->n_events,
              (sqlite3_int64)model->n_users, model->n_items, until, model->trained_seconds,
              (sqlite3_int64)bytes, model->sha256, (const char *)log.data);
    bytes_clear(&options);
    bytes_clear(&log);
    return status;
}

static void remove_version(const ModelDefinition *definition, sqlite3_int64 version) {
    sql_execute(definition->db, NULL, "DELETE FROM \"%w\".\"%w_chunks\" WHERE version=%lld",
        definition->schema, definition->name, version);
    sql_execute(definition->db, NULL, "DELETE FROM \"%w\".\"%w_versions\" WHERE version=%lld",
        definition->schema, definition->name, version);
}

Status store_drop(const ModelDefinition *definition, sqlite3_int64 version, Err *err) {
    sqlite3_int64 active;
    TRY(version_exists(definition, version, err));
    TRY(store_active(definition, &active, err));
    if (active == version)
        return fail(err, ST_BADARG, "version %lld is active (activate another first)", version);
    TRY(sql_execute(definition->db, err, "DELETE FROM \"%w\".\"%w_versions\" WHERE version=%lld",
        definition->schema, definition->name, version));
    return sql_execute(definition->db, err, "DELETE FROM \"%w\".\"%w_chunks\" WHERE version=%lld",
        definition->schema, definition->name, version);
}

Status store_lookup(const ModelDefinition *definition, sqlite3_stmt **cached, sqlite3_int64 wanted,
    sqlite3_int64 *out, char sha256[SHA256_TEXT], Err *err) {
    sqlite3_stmt *own = NULL, **statement = cached ? cached : &own;
    int has_row = 0;
    Status status = ST_OK;
    *out = 0;
    if (!*statement)
        status = sql_prepare(definition->db, statement, err,
            "SELECT version, sha256 FROM \"%w\".\"%w_versions\" WHERE version=coalesce(?1, (SELECT "
            "version FROM \"%w\".\"%w_deployments\" ORDER BY id DESC LIMIT 1))",
            definition->schema, definition->name, definition->schema, definition->name);
    if (status == ST_OK) {
        if (wanted) sqlite3_bind_int64(*statement, 1, wanted);
        else sqlite3_bind_null(*statement, 1);
        status = sql_step(definition->db, *statement, &has_row, err);
    }
    if (status == ST_OK && !has_row)
        status = wanted
            ? fail(err, ST_BADARG, "there is no version %lld", wanted)
            : fail(err, ST_BADARG,
                  "no version is active: train one with INSERT INTO %s(%s) VALUES('train')",
                  definition->name, definition->name);
    if (status == ST_OK) {
        const char *text = (const char *)sqlite3_column_text(*statement, 1);
        *out = sqlite3_column_int64(*statement, 0);
        if (!text || strlen(text) != SHA256_TEXT - 1)
            status = fail(err, ST_CORRUPT, "version %lld has no checksum", *out);
        else memcpy(sha256, text, SHA256_TEXT);
    }
    if (*statement) sqlite3_reset(*statement);
    sqlite3_finalize(own);
    return status;
}

static Status read_blob(
    const ModelDefinition *definition, sqlite3_int64 version, Bytes *out, Err *err) {
    sqlite3_stmt *statement;
    if (version < 1 || version > MAX_VERSION)
        return fail(err, ST_CORRUPT, "no version can have this number");
    TRY(sql_prepare(definition->db, &statement, err,
        "SELECT data FROM \"%w\".\"%w_chunks\" WHERE chunk BETWEEN %lld AND %lld ORDER BY chunk",
        definition->schema, definition->name, version * CHUNKS_OF_A_VERSION,
        (version + 1) * CHUNKS_OF_A_VERSION - 1));
    Status status = ST_OK;
    while (sql_next(definition->db, statement, &status, err)) {
        bytes_append(
            out, sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
    }
    sqlite3_finalize(statement);
    return status == ST_OK && out->failed ? fail_nomem(err, "the stored model") : status;
}

static void free_model(void *model) { model_free(model); }

/* The content's checksum and the file name the entry: what is loaded can never be stale. */
static CacheKey model_key(const ModelDefinition *definition, const char *sha256) {
    CacheKey key = {{'M'}};
    FileId file = schema_file_id(definition->db, definition->schema);
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
static Status read_stored(const ModelDefinition *definition, sqlite3_int64 version,
    const char *sha256, Model **out, size_t *bytes, Err *err) {
    Bytes blob = {0};
    *out = NULL;
    Status status = read_blob(definition, version, &blob, err);
    *bytes = blob.len;
    if (status == ST_OK) status = model_read(out, blob.data, blob.len, err);
    bytes_clear(&blob);
    if (status == ST_OK && (!sha256 || strcmp((*out)->sha256, sha256) != 0)) {
        model_free(*out);
        *out = NULL;
        status = fail(err, ST_CORRUPT, "the stored bytes are not those that were trained");
    }
    if (status != ST_OK) err_prefix(err, "version %lld", version);
    return status;
}

/* Hand a model over to the cache. */
static Status keep_loaded(const ModelDefinition *definition, Model **model, Err *err) {
    CacheKey key = model_key(definition, (*model)->sha256);
    *model = cache_put(&key, *model, model_memory(*model), free_model);
    return *model ? ST_OK : fail_nomem(err, "the model");
}

Status store_model(const ModelDefinition *definition, sqlite3_int64 version, const char *sha256,
    Model **out, Err *err) {
    CacheKey key = model_key(definition, sha256);
    size_t bytes;
    *out = cache_get(&key);
    if (*out) return ST_OK;
    TRY(read_stored(definition, version, sha256, out, &bytes, err));
    return keep_loaded(definition, out, err);
}

/* Can what is stored be read? It is what answers from now on, here and in other processes: a copy
 * in the cache does not count. What was read stays in the cache, where the next query finds it. */
static Status read_back(const ModelDefinition *definition, sqlite3_int64 version, Err *err) {
    Model *model;
    char sha256[SHA256_TEXT];
    sqlite3_int64 found;
    size_t bytes;
    TRY(store_lookup(definition, NULL, version, &found, sha256, err));
    TRY(read_stored(definition, version, sha256, &model, &bytes, err));
    TRY(keep_loaded(definition, &model, err));
    cache_release(model);
    return ST_OK;
}

/* Numbers are never used twice. */
static Status next_version(const ModelDefinition *definition, sqlite3_int64 *out, Err *err) {
    TRY(sql_integer(definition->db, 0, out, err,
        "SELECT value FROM \"%w\".\"%w_config\" WHERE key='last_version'", definition->schema,
        definition->name));
    if (*out < 0 || *out >= MAX_VERSION)
        return fail(err, ST_CORRUPT, "%s_config: last_version=%lld", definition->name, *out);
    ++*out;
    return ST_OK;
}

static Status write_version(
    const ModelDefinition *definition, Model *model, sqlite3_int64 version, Err *err) {
    Bytes blob = {0};
    Status status = model_write(model, &blob, err);
    if (status == ST_OK) status = insert_chunks(definition, version, &blob, err);
    if (status == ST_OK) status = insert_version(definition, version, model, blob.len, err);
    bytes_clear(&blob);
    return status;
}

/* The version that rollback would go back to; 0: none. */
static Status version_before(const ModelDefinition *definition, sqlite3_int64 *out, Err *err) {
    return sql_integer(definition->db, 0, out, err,
        "SELECT p.version FROM \"%w\".\"%w_deployments\" p JOIN \"%w\".\"%w_versions\" "
        "USING(version) WHERE p.version<>(SELECT version FROM \"%w\".\"%w_deployments\" ORDER BY "
        "id DESC LIMIT 1) ORDER BY p.id DESC LIMIT 1",
        definition->schema, definition->name, definition->schema, definition->name,
        definition->schema, definition->name);
}

/* All versions but the newest `keep` (0: none goes), the active one, and the one that rollback
 * would go back to. */
static Status drop_old_versions(const ModelDefinition *definition, int64_t keep, Err *err) {
    sqlite3_int64 active, before;
    static const char *const tables[] = {"chunks", "versions"};
    if (keep <= 0) return ST_OK;
    TRY(store_active(definition, &active, err));
    TRY(version_before(definition, &before, err));
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        TRY(sql_execute(definition->db, err,
            "DELETE FROM \"%w\".\"%w_%s\" WHERE version NOT IN (%lld, %lld) AND version NOT IN "
            "(SELECT version FROM \"%w\".\"%w_versions\" ORDER BY version DESC LIMIT %lld)",
            definition->schema, definition->name, tables[i], active, before, definition->schema,
            definition->name, (sqlite3_int64)keep));
    return ST_OK;
}

/* INSERT ... VALUES has no statement journal inside BEGIN: what was written before a failure is
 * deleted again, and the row that makes the version count comes last. */
Status store_put(const ModelDefinition *definition, Model *model, const PutWish *wish,
    const char *action, sqlite3_int64 *out, Err *err) {
    TRY(next_version(definition, out, err));
    sqlite3_int64 version = *out;
    Status status = write_version(definition, model, version, err);
    if (status == ST_OK) status = read_back(definition, version, err);
    if (status == ST_OK)
        status = sql_execute(definition->db, err,
            "REPLACE INTO \"%w\".\"%w_config\" VALUES('last_version', %lld)", definition->schema,
            definition->name, version);
    if (status == ST_OK && wish->activate)
        status = log_deployment(definition, version, action, err);
    if (status != ST_OK && status != ST_CANCELLED) remove_version(definition, version);
    return status == ST_OK ? drop_old_versions(definition,
                                 wish->keep == KEEP_AS_CREATED ? definition->keep : wish->keep, err)
                           : status;
}

Status store_activate(const ModelDefinition *definition, sqlite3_int64 version, Err *err) {
    TRY(version_exists(definition, version, err));
    TRY(read_back(definition, version, err)); /* never point at what does not load */
    return log_deployment(definition, version, "activate", err);
}

Status store_rollback(const ModelDefinition *definition, Err *err) {
    sqlite3_int64 before;
    TRY(version_before(definition, &before, err));
    if (!before) return fail(err, ST_BADARG, "no earlier version to go back to");
    TRY(read_back(definition, before, err));
    return log_deployment(definition, before, "rollback", err);
}

Status store_check(const ModelDefinition *definition, Err *err) {
    sqlite3_stmt *statement;
    sqlite3_int64 bad;
    TRY(sql_prepare(definition->db, &statement, err,
        "SELECT version, sha256, bytes FROM \"%w\".\"%w_versions\" ORDER BY version",
        definition->schema, definition->name));
    Status status = ST_OK;
    while (sql_next(definition->db, statement, &status, err)) {
        Model *model;
        size_t bytes;
        sqlite3_int64 version = sqlite3_column_int64(statement, 0);
        status = read_stored(definition, version, (const char *)sqlite3_column_text(statement, 1),
            &model, &bytes, err);
        model_free(model);
        if (status == ST_OK && (sqlite3_int64)bytes != sqlite3_column_int64(statement, 2))
            status = fail(err, ST_CORRUPT, "version %lld: %zu bytes are stored", version, bytes);
        if (status != ST_OK) err_prefix(err, "integrity-check");
    }
    sqlite3_finalize(statement);
    if (status != ST_OK) return status;
    TRY(sql_integer(definition->db, 0, &bad, err,
        "SELECT version FROM \"%w\".\"%w_deployments\" ORDER BY id DESC LIMIT 1",
        definition->schema, definition->name));
    if (bad && version_exists(definition, bad, err) != ST_OK)
        return fail(err, ST_CORRUPT, "integrity-check: the active version %lld is missing", bad);
    return ST_OK;
}
