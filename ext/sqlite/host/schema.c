#include "schema.h"

#include <string.h>
#include <sys/stat.h>

#include "../../base/hash.h"

FileId schema_file_id(sqlite3 *db, const char *schema) {
    const char *path = sqlite3_db_filename(db, schema);
    struct stat info;
    int moved = 0;
    sqlite3_file_control(db, schema, SQLITE_FCNTL_HAS_MOVED, &moved);
    if (path && *path && !moved && stat(path, &info) == 0)
        return (FileId){{1, (sqlite3_uint64)info.st_dev, (sqlite3_uint64)info.st_ino}};
    sqlite3_uint64 hash = fnv1a(FNV_START, schema, strlen(schema));
    return (FileId){{2, (sqlite3_uint64)(uintptr_t)db, hash}};
}

/* The schemas in the order in which SQLite resolves names: temp, main, then the attached ones. With
 * a suffix the table is a virtual one that has its shadow table there: a table of that name in temp
 * is not the one that is meant. */
static Status find_schema(
    sqlite3 *db, const char *wanted, const char *table, const char *suffix, char **out, Err *err) {
    sqlite3_stmt *list;
    TRY(sql_prepare(
        db, &list, err, "SELECT name FROM pragma_database_list ORDER BY name<>'temp', seq"));
    Status status = ST_OK;
    while (!*out && sql_next(db, list, &status, err)) {
        const char *schema = (const char *)sqlite3_column_text(list, 0);
        sqlite3_int64 found = 0;
        if (wanted && sqlite3_stricmp(wanted, schema) != 0) continue;
        status = sql_integer(db, 0, &found, err,
            "SELECT 1 FROM \"%w\".sqlite_schema WHERE lower(name)=lower('%q%q') AND (type='table' "
            "OR type='view' AND %Q='')"
            " AND (%Q='' OR EXISTS (SELECT 1 FROM \"%w\".sqlite_schema WHERE type='table' AND "
            "rootpage=0 AND lower(name)=lower(%Q)))",
            schema, table, suffix, suffix, suffix, schema, table);
        if (status != ST_OK || !found) continue;
        *out = sqlite3_mprintf("%s", schema);
        if (!*out) status = fail_nomem(err, "a name");
    }
    sqlite3_finalize(list);
    return status;
}

Status schema_find_table(sqlite3 *db, const char *what, const char *name, const char *suffix,
    char **out_schema, char **out_name, Err *err) {
    *out_schema = *out_name = NULL;
    if (!name) return fail(err, ST_BADARG, "the name of a %s is NULL", what);
    const char *dot = strchr(name, '.');
    Status status = find_schema(db, NULL, name, suffix, out_schema, err);
    if (status == ST_OK && *out_schema) *out_name = sqlite3_mprintf("%s", name);
    if (status == ST_OK && !*out_schema && dot) {
        char *schema = sqlite3_mprintf("%.*s", (int)(dot - name), name);
        status = schema ? find_schema(db, schema, dot + 1, suffix, out_schema, err)
                        : fail_nomem(err, "a name");
        if (*out_schema) *out_name = sqlite3_mprintf("%s", dot + 1);
        sqlite3_free(schema);
    }
    if (status == ST_OK && !*out_schema)
        status = fail(err, ST_BADARG, "no %s named '%.60s'", what, name);
    if (status == ST_OK && !*out_name) status = fail_nomem(err, "a name");
    if (status != ST_OK) {
        sqlite3_free(*out_schema);
        sqlite3_free(*out_name);
        *out_schema = *out_name = NULL;
    }
    return status;
}

static Status each_table_of(sqlite3 *db, const char *schema, const char *module, const char *suffix,
    SchemaVisit visit, void *context, Err *err) {
    sqlite3_stmt *tables;
    int has_table = 1;
    TRY(sql_prepare(db, &tables, err,
        "SELECT name FROM \"%w\".sqlite_schema v WHERE type='table' AND sql LIKE 'CREATE VIRTUAL "
        "TABLE%%%q%%' AND EXISTS (SELECT 1 FROM \"%w\".sqlite_schema s WHERE s.name = v.name || "
        "%Q) ORDER BY name",
        schema, module, schema, suffix));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = sql_step(db, tables, &has_table, err);
        if (status != ST_OK || !has_table) break;
        status = visit(context, schema, (const char *)sqlite3_column_text(tables, 0), err);
    }
    sqlite3_finalize(tables);
    return status;
}

Status schema_each_table(sqlite3 *db, const char *module, const char *suffix, SchemaVisit visit,
    void *context, Err *err) {
    sqlite3_stmt *schemas;
    int has_schema = 1;
    TRY(sql_prepare(
        db, &schemas, err, "SELECT name FROM pragma_database_list ORDER BY name<>'temp', seq"));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = sql_step(db, schemas, &has_schema, err);
        if (status != ST_OK || !has_schema) break;
        status = each_table_of(
            db, (const char *)sqlite3_column_text(schemas, 0), module, suffix, visit, context, err);
    }
    sqlite3_finalize(schemas);
    return status;
}

Status schema_has_column(
    sqlite3 *db, const char *schema, const char *table, const char *column, int *out, Err *err) {
    sqlite3_int64 found;
    TRY(sql_integer(db, 0, &found, err,
        "SELECT 1 FROM pragma_table_xinfo(%Q, %Q) WHERE lower(name)=lower(%Q)", table, schema,
        column));
    *out = found != 0;
    return ST_OK;
}

Status schema_column_type(
    sqlite3 *db, const char *schema, const char *table, const char *column, char **out, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(sql_prepare(db, &statement, err,
        "SELECT type FROM pragma_table_xinfo(%Q, %Q) WHERE lower(name)=lower(%Q)", table, schema,
        column));
    Status status = sql_step(db, statement, &has_row, err);
    if (status == ST_OK && !has_row) {
        sqlite3_int64 exists = 0;
        status = sql_integer(db, 0, &exists, err,
            "SELECT 1 FROM \"%w\".sqlite_schema WHERE lower(name)=lower(%Q)", schema, table);
        if (status == ST_OK)
            status = exists
                ? fail(err, ST_BADARG, "%s has no column '%.60s'", table, column)
                : fail(err, ST_BADARG, "no table or view '%.60s' in schema %s", table, schema);
    }
    if (status == ST_OK && !(*out = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0))))
        status = fail_nomem(err, "a type");
    sqlite3_finalize(statement);
    return status;
}
