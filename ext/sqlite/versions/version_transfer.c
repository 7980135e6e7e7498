/* export and import: a version as rows of an ordinary table, in whichever database.
 *
 *     NAME(part INTEGER PRIMARY KEY, data)
 *         part 0: {"format":1,"algorithm":..,"bytes":..,"sha256":..,"tags":{..},"note":..}
 *         part 1, 2, ..: the stored form, 1 MiB each
 *
 * Nothing but SQLite is needed to carry it. The digest is of the content, so that what arrives is
 * what was sent; tags and note are not under it. */
#include <string.h>

#include "../host/chunks.h"
#include "../host/schema.h"
#include "../host/values.h"
#include "version_commands.h"
#include "version_store.h"

enum { TRANSFER_FORMAT = 1 };

static const Versioned *versioned_of(const CommandCall *call) {
    return ((const VersionedTable *)call->table)->id;
}

/* "aux.name" or "name", in parts that are sqlite3_malloc'ed. */
typedef struct TableName {
    char *schema, *name;
} TableName;

static void table_name_clear(TableName *table) {
    sqlite3_free(table->schema);
    sqlite3_free(table->name);
}

/* ---- export ---- */

/* Where it is to be made: a schema that there is, else main. */
static Status take_target(const CommandCall *call, json_t *object, TableName *out, Err *err) {
    const char *to = json_text(json_object_get(object, "to"));
    const char *dot = to ? strchr(to, '.') : NULL;
    sqlite3_int64 found = 0;
    if (!to || !*to || (dot && !dot[1]))
        return fail(err, ST_BADARG, "export: to is the name of a table");
    if (dot) /* temp is in the list once it is used */
        TRY(sql_integer(versioned_of(call)->db, 0, &found, err,
            "SELECT 1 FROM (SELECT name FROM pragma_database_list UNION SELECT 'temp') WHERE "
            "name='%.*q' COLLATE NOCASE",
            (int)(dot - to), to));
    out->schema = found ? sqlite3_mprintf("%.*s", (int)(dot - to), to) : sqlite3_mprintf("main");
    out->name = sqlite3_mprintf("%s", found ? dot + 1 : to);
    return out->schema && out->name ? ST_OK : fail_nomem(err, "a name");
}

/* Part 0 as a statement of one row. */
static Status prepare_manifest(
    const Versioned *versioned, sqlite3_int64 version, sqlite3_stmt **out, Err *err) {
    const char *schema = versioned->schema, *name = versioned->name;
    ShadowOwner owner = {versioned->db, schema, name, versioned};
    int has_facts;
    TRY(shadow_has(&version_shadow, &owner, "facts", &has_facts, err));
    char *facts = has_facts
        ? sqlite3_mprintf(
              "json((SELECT json_group_object(substr(key, 5), CASE typeof(value) WHEN 'blob' THEN "
              "hex(value) ELSE value END) FROM \"%w\".\"%w_facts\" "
              "WHERE version=v.version AND substr(key, 1, 4)='tag:')), 'note', (SELECT value FROM "
              "\"%w\".\"%w_facts\" WHERE version=v.version AND key='note')",
              schema, name, schema, name)
        : sqlite3_mprintf("json('{}'), 'note', NULL");
    Status status = facts
        ? sql_prepare(versioned->db, out, err,
              "SELECT json_object('format', %d, 'algorithm', algorithm, 'bytes', bytes, 'sha256', "
              "sha256, 'tags', %s) FROM \"%w\".\"%w_versions\" v WHERE version=%lld",
              TRANSFER_FORMAT, facts, schema, name, version)
        : fail_nomem(err, "SQL");
    sqlite3_free(facts);
    return status;
}

static Status insert_manifest(
    const Versioned *versioned, sqlite3_int64 version, const TableName *to, Err *err) {
    sqlite3_stmt *manifest, *insert = NULL;
    int has_row;
    TRY(prepare_manifest(versioned, version, &manifest, err));
    Status status = sql_step(versioned->db, manifest, &has_row, err);
    if (status == ST_OK)
        status = sql_prepare(versioned->db, &insert, err, "INSERT INTO \"%w\".\"%w\" VALUES(0, ?1)",
            to->schema, to->name);
    if (status == ST_OK) {
        sqlite3_bind_value(insert, 1, sqlite3_column_value(manifest, 0));
        status = sql_finish(versioned->db, insert, err);
    }
    sqlite3_finalize(manifest);
    return status;
}

static Status insert_parts(
    const Versioned *versioned, const Bytes *bytes, const TableName *to, Err *err) {
    sqlite3_stmt *insert;
    TRY(sql_prepare(versioned->db, &insert, err, "INSERT INTO \"%w\".\"%w\" VALUES(?1, ?2)",
        to->schema, to->name));
    Status status = chunks_write(versioned->db, insert, 1, 2, 1, bytes->data, bytes->len, err);
    sqlite3_finalize(insert);
    return status;
}

static Status write_export(
    const Versioned *versioned, sqlite3_int64 version, const TableName *to, Err *err) {
    Bytes bytes = {0};
    TRY(sql_execute(versioned->db, err,
        "CREATE TABLE \"%w\".\"%w\"(part INTEGER PRIMARY KEY, data)", to->schema, to->name));
    Status status = insert_manifest(versioned, version, to, err);
    if (status == ST_OK) status = store_bytes(versioned, version, &bytes, err);
    if (status == ST_OK) status = insert_parts(versioned, &bytes, to, err);
    bytes_clear(&bytes);
    /* inside BEGIN an INSERT ... VALUES takes nothing back by itself */
    if (status != ST_OK && status != ST_CANCELLED)
        sql_execute(versioned->db, NULL, "DROP TABLE \"%w\".\"%w\"", to->schema, to->name);
    return status;
}

Status command_export(const CommandCall *call, Err *err) {
    const Versioned *versioned = versioned_of(call);
    json_t *object, *version;
    sqlite3_int64 number = 0;
    TableName to = {0};
    Live live;
    TRY(command_object(call, "version|to", &object, err));
    version = json_object_get(object, "version");
    Status status = live_read(versioned, &live, err);
    if (status == ST_OK)
        status = version ? version_take(call, &live, version, &number, err)
                         : store_active(versioned, &number, err);
    if (status == ST_OK && !number) status = fail(err, ST_BADARG, "export: no version is active");
    if (status == ST_OK) status = store_read_back(versioned, number, err);
    if (status == ST_OK) status = take_target(call, object, &to, err);
    if (status == ST_OK) status = write_export(versioned, number, &to, err);
    table_name_clear(&to);
    json_decref(object);
    return status;
}

/* ---- import ---- */

/* What a table of export says of itself; *manifest is the caller's. */
static Status read_manifest(sqlite3 *db, const TableName *from, json_t **manifest, Err *err) {
    json_error_t json_error;
    sqlite3_stmt *row;
    int has_row;
    TRY(sql_prepare(
        db, &row, err, "SELECT data FROM \"%w\".\"%w\" WHERE part=0", from->schema, from->name));
    Status status = sql_step(db, row, &has_row, err);
    const char *text = status == ST_OK && has_row ? (const char *)sqlite3_column_text(row, 0)
                                                  : NULL;
    *manifest = text ? json_loads(text, 0, &json_error) : NULL;
    sqlite3_finalize(row);
    TRY(status);
    const char *sha256 = json_text(json_object_get(*manifest, "sha256"));
    json_t *format = json_object_get(*manifest, "format");
    if (!json_is_integer(format) || !sha256)
        return fail(err, ST_BADARG, "import: %s is no table of export", from->name);
    if (json_integer_value(format) != TRANSFER_FORMAT)
        return fail(err, ST_BADARG, "import: %s is of another format (%lld)", from->name,
            (long long)json_integer_value(format));
    return ST_OK;
}

static Status read_parts(sqlite3 *db, const TableName *from, Bytes *out, Err *err) {
    sqlite3_stmt *rows;
    TRY(sql_prepare(db, &rows, err, "SELECT data FROM \"%w\".\"%w\" WHERE part>0 ORDER BY part",
        from->schema, from->name));
    return chunks_read(db, rows, "the exported version", out, err);
}

static Status put_import(const CommandCall *call, const TableName *from, int activate, Err *err) {
    const Versioned *versioned = versioned_of(call);
    Bytes bytes = {0};
    json_t *manifest = NULL;
    Status status = read_manifest(versioned->db, from, &manifest, err);
    json_t *tags = json_object_get(manifest, "tags"), *note = json_object_get(manifest, "note");
    if (status == ST_OK)
        status = version_check_facts(call, tags, json_is_string(note) ? note : NULL, err);
    if (status == ST_OK) status = read_parts(versioned->db, from, &bytes, err);
    if (status == ST_OK) {
        PutWish wish = {activate, KEEP_AS_CREATED, json_text(json_object_get(manifest, "sha256"))};
        status = store_put_bytes(
            versioned, bytes.data, bytes.len, &wish, "import", call->rowid, err);
    }
    if (status == ST_OK && (json_object_size(tags) || json_is_string(note)))
        status = version_annotate(
            call, *call->rowid, tags, json_is_string(note) ? note : NULL, err);
    bytes_clear(&bytes);
    json_decref(manifest);
    return status;
}

Status command_import(const CommandCall *call, Err *err) {
    json_t *object;
    TableName from = {0};
    TRY(command_object(call, "from|activate", &object, err));
    const char *name = json_text(json_object_get(object, "from")),
               *activate = json_text(json_object_get(object, "activate"));
    int always = !json_object_get(object, "activate") ||
        (activate && strcmp(activate, "always") == 0);
    Status status = ST_OK;
    if (!name) status = fail(err, ST_BADARG, "import: from is the name of a table");
    else if (!always && !(activate && strcmp(activate, "never") == 0))
        status = fail(err, ST_BADARG, "import: activate is always or never");
    if (status == ST_OK && always) status = live_may_activate(versioned_of(call), err);
    if (status == ST_OK)
        status = schema_find_table(
            versioned_of(call)->db, "table", name, "", &from.schema, &from.name, err);
    if (status == ST_OK) status = put_import(call, &from, always, err);
    table_name_clear(&from);
    json_decref(object);
    return status;
}
