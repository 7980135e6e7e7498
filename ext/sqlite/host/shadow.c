#include "shadow.h"

#include <string.h>

/* What SQLite keeps of CREATE TABLE ends with the columns as they were given, whatever the table is
 * called now: generated columns, checks and defaults of somebody else's show. */
static Status has_table(
    const ShadowTable *table, const ShadowOwner *owner, int with_triggers, int *out, Err *err) {
    sqlite3_int64 found;
    TRY(sql_integer(owner->db, 0, &found, err,
        "SELECT 1 FROM \"%w\".sqlite_schema WHERE type='table' AND rootpage>0 AND "
        "lower(name)=lower('%q_%q') AND substr(sql, -length('(%q)'))='(%q)' AND (%d OR NOT EXISTS "
        "(SELECT 1 FROM \"%w\".sqlite_schema WHERE type='trigger' AND "
        "lower(tbl_name)=lower('%q_%q')))",
        owner->schema, owner->name, table->suffix, table->columns, table->columns, with_triggers,
        owner->schema, owner->name, table->suffix));
    *out = found == 1;
    return ST_OK;
}

/* Somebody's trigger on a table of ours does not make it theirs: it goes with the model. */
static Status is_there(const ShadowTable *table, const ShadowOwner *owner, int *out, Err *err) {
    if (table->is_later) return has_table(table, owner, 1, out, err);
    *out = !table->is_there || table->is_there(owner->table);
    return ST_OK;
}

static const ShadowTable *find_later(const ShadowSet *set, const char *suffix) {
    size_t i = 0;
    while (strcmp(set->table[i].suffix, suffix) != 0) i++;
    return &set->table[i];
}

Status shadow_has(
    const ShadowSet *set, const ShadowOwner *owner, const char *suffix, int *out, Err *err) {
    return has_table(find_later(set, suffix), owner, 0, out, err);
}

static Status not_ours(const ShadowOwner *owner, const char *suffix, Err *err) {
    return fail(
        err, ST_BADARG, "%s_%s is not this model's table, or has a trigger", owner->name, suffix);
}

Status shadow_may_ensure(
    const ShadowSet *set, const ShadowOwner *owner, const char *suffix, Err *err) {
    int found;
    sqlite3_int64 other;
    TRY(has_table(find_later(set, suffix), owner, 0, &found, err));
    if (found) return ST_OK;
    TRY(sql_integer(owner->db, 0, &other, err,
        "SELECT 1 FROM \"%w\".sqlite_schema WHERE type IN ('table', 'view') AND "
        "lower(name)=lower('%q_%q')",
        owner->schema, owner->name, suffix));
    return other ? not_ours(owner, suffix, err) : ST_OK;
}

Status shadow_ensure(const ShadowSet *set, const ShadowOwner *owner, const char *suffix, Err *err) {
    const ShadowTable *table = find_later(set, suffix);
    int found;
    TRY(has_table(table, owner, 0, &found, err));
    if (found) return ST_OK;
    TRY(sql_execute(owner->db, err, "CREATE TABLE IF NOT EXISTS \"%w\".\"%w_%s\"(%s)",
        owner->schema, owner->name, suffix, table->columns));
    TRY(has_table(table, owner, 0, &found, err));
    return found ? ST_OK : not_ours(owner, suffix, err);
}

Status shadow_create(const ShadowSet *set, const ShadowOwner *owner, Err *err) {
    TRY(sql_execute(owner->db, err,
        "CREATE TABLE \"%w\".\"%w_config\"(key TEXT PRIMARY KEY, value)", owner->schema,
        owner->name));
    TRY(sql_execute(owner->db, err, "INSERT INTO \"%w\".\"%w_config\" VALUES('format', %lld)",
        owner->schema, owner->name, (sqlite3_int64)set->format));
    for (size_t i = 0; i < set->n; i++)
        if (set->table[i].columns && !set->table[i].is_later &&
            (set->table[i].may_be_odd || !set->table[i].is_there ||
                set->table[i].is_there(owner->table)))
            TRY(sql_execute(owner->db, err, "CREATE TABLE \"%w\".\"%w_%s\"(%s)", owner->schema,
                owner->name, set->table[i].suffix, set->table[i].columns));
    return ST_OK;
}

/* NAME_config is in every set, and in none of their lists. */
static const ShadowTable CONFIG = {.suffix = "config"};

static const ShadowTable *table_at(const ShadowSet *set, size_t i) {
    return i < set->n ? &set->table[i] : &CONFIG;
}

Status shadow_drop(const ShadowSet *set, const ShadowOwner *owner, Err *err) {
    for (size_t i = 0; i <= set->n; i++) {
        int found;
        TRY(is_there(table_at(set, i), owner, &found, err));
        if (found)
            TRY(sql_execute(owner->db, err, "DROP TABLE IF EXISTS \"%w\".\"%w_%s\"", owner->schema,
                owner->name, table_at(set, i)->suffix));
    }
    return ST_OK;
}

Status shadow_rename(
    const ShadowSet *set, const ShadowOwner *owner, const char *new_name, Err *err) {
    for (size_t i = 0; i <= set->n; i++) {
        int found;
        TRY(is_there(table_at(set, i), owner, &found, err));
        if (found)
            TRY(sql_execute(owner->db, err, "ALTER TABLE \"%w\".\"%w_%s\" RENAME TO \"%w_%s\"",
                owner->schema, owner->name, table_at(set, i)->suffix, new_name,
                table_at(set, i)->suffix));
    }
    return ST_OK;
}

int shadow_is_suffix(const ShadowSet *set, const char *suffix) {
    for (size_t i = 0; i <= set->n; i++)
        if (!table_at(set, i)->is_open && sqlite3_stricmp(suffix, table_at(set, i)->suffix) == 0)
            return 1;
    return 0;
}

/* SELECT the tables of the set that are none, in one statement: a connection opens with it. */
static char *strange_tables_sql(const ShadowSet *set, const ShadowOwner *owner) {
    sqlite3_str *sql = sqlite3_str_new(owner->db);
    sqlite3_str_appendf(sql,
        "SELECT name, type FROM \"%w\".sqlite_schema WHERE type IN ('table', 'view') AND NOT "
        "(type='table' AND rootpage>0) AND lower(name) IN (",
        owner->schema);
    for (size_t i = 0; i < set->n; i++)
        if (!set->table[i].may_be_odd && !set->table[i].is_later)
            sqlite3_str_appendf(sql, "lower('%q_%q'), ", owner->name, set->table[i].suffix);
    sqlite3_str_appendf(sql, "lower('%q_%q'))", owner->name, CONFIG.suffix);
    return sqlite3_str_finish(sql);
}

Status shadow_check(const ShadowSet *set, const ShadowOwner *owner, Err *err) {
    sqlite3_stmt *strange;
    int has_row = 0;
    char *sql = strange_tables_sql(set, owner);
    if (!sql) return fail_nomem(err, "SQL");
    Status status = sql_prepare(owner->db, &strange, err, "%s", sql);
    sqlite3_free(sql);
    if (status == ST_OK) status = sql_step(owner->db, strange, &has_row, err);
    if (status == ST_OK && has_row)
        status = fail(err, ST_CORRUPT,
            "%.100s is a %s (an ordinary table, which nobody should touch)",
            (const char *)sqlite3_column_text(strange, 0),
            sqlite3_stricmp((const char *)sqlite3_column_text(strange, 1), "view") == 0
                ? "view"
                : "virtual table");
    sqlite3_finalize(strange);
    return status;
}

Status shadow_check_format(const ShadowSet *set, const ShadowOwner *owner, Err *err) {
    sqlite3_int64 format;
    TRY(sql_integer(owner->db, 0, &format, err,
        "SELECT value FROM \"%w\".\"%w_config\" WHERE key='format'", owner->schema, owner->name));
    return format == set->format
        ? ST_OK
        : fail(err, ST_CORRUPT,
              "format %lld (this library reads %lld: use the version that wrote it)", format,
              (sqlite3_int64)set->format);
}
