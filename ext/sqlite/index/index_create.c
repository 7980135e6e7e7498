/* CREATE VIRTUAL TABLE t USING rec_index(embedding float[64], metric=cosine, price real, category
 * text). */
#include <stdlib.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../base/options.h"
#include "../../base/text.h"
#include "../host/arguments.h"
#include "../host/parts.h"
#include "../host/schema.h"
#include "index.h"

static const char MODULE[] = "rec_index";

typedef struct IndexArguments {
    int64_t metric;
    int64_t storage;
} IndexArguments;

static const OptSpec argument_options[] = {
    {"metric", OPT_CHOICE, offsetof(IndexArguments, metric), 0, 0, ANN_COSINE, "ip|l2|cosine",
        "what near means"},
    {"storage", OPT_CHOICE, offsetof(IndexArguments, storage), 0, 0, ANN_F32, "f32|f16|sq8",
        "how vectors are kept"},
    {0},
};

static void free_columns(IndexTable *table) {
    for (int i = 0; i < table->n_columns; i++) {
        sqlite3_free(table->column[i].name);
        sqlite3_free(table->column[i].type);
    }
}

static void table_free(IndexTable *table) {
    if (!table) return;
    index_view_clear(table);
    index_finalize(table);
    free_columns(table);
    counters_close(table->counters);
    sqlite3_free(table->base.zErrMsg);
    sqlite3_free(table->schema);
    sqlite3_free(table->name);
    sqlite3_free(table->log);
    sqlite3_free(table->content);
    sqlite3_free(table->content_rowid);
    mem_free(table);
}

/* float[64] gives 64, and so do float(64) and float [64]; anything else 0; a bad length -1. */
static int vector_dim(const char *type) {
    char *end;
    if (sqlite3_strnicmp(type, "float", 5) != 0) return 0;
    const char *open = type + 5 + (type[5] == ' ');
    if (*open != '[' && *open != '(') return 0;
    long dim = strtol(open + 1, &end, 10);
    return *end == (*open == '[' ? ']' : ')') && end[1] == 0 && dim >= 1 && dim <= INDEX_MAX_DIM
        ? (int)dim
        : -1;
}

/* The word of ours for what a metadata column is called elsewhere; NULL: none. */
static const char *metadata_type(const char *type) {
    static const char *const words[][2] = {{"text", "text"}, {"integer", "integer"},
        {"real", "real"}, {"int", "integer"}, {"bigint", "integer"}, {"boolean", "integer"},
        {"bool", "integer"}, {"float", "real"}, {"double", "real"}, {"double precision", "real"},
        {"varchar", "text"}, {"string", "text"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (sqlite3_stricmp(type, words[i][0]) == 0) return words[i][1];
    return NULL;
}

/* A type that is none: what to write instead. */
static Status bad_type(const IndexColumn *column, Err *err) {
    if (strstr(column->type, "NULL") || strstr(column->type, "null"))
        return fail(err, ST_BADARG,
            "column '%.60s' has type '%.40s': no constraints here (text, integer or real alone)",
            column->name, column->type);
    return fail(err, ST_BADARG,
        "column '%.60s' has type '%.40s' (float[N], text, integer, real, text primary key)",
        column->name, column->type);
}

/* Is it a hidden column's name, or the rowid's? */
static int is_hidden(const char *name) {
    int found = sqlite3_stricmp(name, "rowid") == 0;
    for (int i = H_COMMAND + 1; i < N_HIDDEN; i++)
        found |= sqlite3_stricmp(name, index_hidden_names[i]) == 0;
    return found;
}

static Status check_column_name(const IndexTable *table, const char *name, Err *err) {
    int clash = !*name || sqlite3_stricmp(name, table->name) == 0 || is_hidden(name);
    for (int i = 0; i < table->n_columns - 1; i++)
        clash |= sqlite3_stricmp(name, table->column[i].name) == 0;
    if (clash)
        return fail(err, ST_BADARG,
            "column name '%.60s' is taken (by another column, the table, or a hidden column: k, "
            "options, similar_to, exclude, arg, score, distance, rank, rowid)",
            name);
    return ST_OK;
}

/* Where a column's name ends, which may be quoted, with the quote doubled inside. */
static const char *end_of_name(const char *name) {
    char close = *name == '[' ? ']' : *name;
    if (!*name || !strchr("'\"`[", *name)) {
        while (*name && !ascii_is_space(*name)) name++;
        return name;
    }
    for (name++; *name; name++) {
        if (*name != close) continue;
        if (name[1] != close) return name + 1;
        name++;
    }
    return name;
}

/* One blank where there are several: SQLite does not mind "text  primary  key". */
static void squeeze(char *text) {
    char *out = text;
    for (const char *in = text; *in; in++)
        if (!ascii_is_space(*in) || (out > text && out[-1] != ' '))
            *out++ = ascii_is_space(*in) ? ' ' : *in;
    *out = 0;
}

/* "name type": the vector column or metadata. */
static Status add_column(IndexTable *table, const char *argument, Err *err) {
    const char *end = end_of_name(argument);
    if (table->n_columns == INDEX_MAX_COLUMNS)
        return fail(err, ST_BADARG, "more than %d columns", INDEX_MAX_COLUMNS);
    IndexColumn *column = &table->column[table->n_columns++];
    column->name = argument_unquote(argument, (int)(end - argument));
    column->type = argument_unquote(end, (int)strlen(end));
    if (!column->name || !column->type) return fail_nomem(err, "a column");
    squeeze(column->type);
    TRY(check_column_name(table, column->name, err));
    int dim = vector_dim(column->type);
    if (dim < 0)
        return fail(err, ST_BADARG, "vector column '%.60s': %.40s (float[1] .. float[%d])",
            column->name, column->type, INDEX_MAX_DIM);
    if (dim > 0) {
        if (table->dim)
            return fail(err, ST_BADARG, "a second vector column '%.60s' (one)", column->name);
        table->dim = dim;
        table->vector_column = table->n_columns - 1;
        sqlite3_free(column->type);
        column->type = NULL;
        return ST_OK;
    }
    if (sqlite3_stricmp(column->type, "text primary key") == 0) {
        if (table->key_column >= 0)
            return fail(err, ST_BADARG, "a second primary key '%.60s' (one)", column->name);
        table->key_column = table->n_columns - 1;
        column->is_key = 1;
        column->type[4] = 0;
    }
    const char *type = metadata_type(column->type);
    if (!type) return bad_type(column, err);
    char *word = sqlite3_mprintf("%s", type);
    if (!word) return fail_nomem(err, "a column");
    sqlite3_free(column->type);
    column->type = word;
    column->shadow = table->n_meta++;
    return ST_OK;
}

/* name=value. What a name may be, in the order of the error's list. */
enum {
    ARGUMENT_METRIC,
    ARGUMENT_INDEX,
    ARGUMENT_STORAGE,
    ARGUMENT_CONTENT,
    ARGUMENT_CONTENT_ROWID,
    ARGUMENT_DEVICE,
    N_INDEX_ARGUMENTS
};

static const char *const ARGUMENTS[N_INDEX_ARGUMENTS] = {
    "metric", "index", "storage", "content", "content_rowid", "device"};

static Status which_argument(const char *key, const char *value, int *out, Err *err) {
    for (*out = 0; *out < N_INDEX_ARGUMENTS; ++*out)
        if (strcmp(key, ARGUMENTS[*out]) == 0) return ST_OK;
    if (strstr(key, "distance_metric"))
        return fail(err, ST_BADARG,
            "distance_metric= stands with the column in sqlite-vec; here metric=%.20s is an "
            "argument of its own (ip, l2, cosine)",
            value);
    return fail(err, ST_BADARG,
        "unknown option '%.60s' (allowed: metric, index, storage, content, content_rowid, "
        "device)",
        key);
}

static Status set_text(char **out, const char *key, const char *value, Err *err) {
    if (!*value) return fail(err, ST_BADARG, "%s is empty", key);
    *out = sqlite3_mprintf("%s", value);
    return *out ? ST_OK : fail_nomem(err, "a name");
}

static Status set_factory(IndexTable *table, const char *value, Err *err) {
    if (strlen(value) >= sizeof table->factory || !*value)
        return fail(err, ST_BADARG, "index='%.60s' (exact, auto or a FAISS factory string)", value);
    memcpy(table->factory, value, strlen(value) + 1);
    return ST_OK;
}

/* seen: a bit an argument. */
static Status set_argument(IndexTable *table, IndexArguments *arguments, unsigned *seen,
    const char *key, const char *value, Err *err) {
    int which;
    TRY(which_argument(key, value, &which, err));
    if (*seen & 1U << which) return fail(err, ST_BADARG, "option '%s' is given twice", key);
    *seen |= 1U << which;
    switch (which) {
    case ARGUMENT_INDEX: return set_factory(table, value, err);
    case ARGUMENT_CONTENT: return set_text(&table->content, key, value, err);
    case ARGUMENT_CONTENT_ROWID: return set_text(&table->content_rowid, key, value, err);
    case ARGUMENT_DEVICE: return device_parse(value, &table->device, err);
    default: return options_set(options_find(argument_options, key), arguments, value, err);
    }
}

static Status parse(IndexTable *table, int argc, const char *const *argv, Err *err) {
    IndexArguments arguments;
    unsigned seen = 0;
    options_default(argument_options, &arguments);
    memcpy(table->factory, "auto", 5);
    for (int i = 3; i < argc; i++) {
        char *key, *value;
        const char *argument = argv[i];
        while (ascii_is_space(*argument)) argument++;
        Status status;
        if (argument_split(argument, &key, &value))
            status = key && value ? set_argument(table, &arguments, &seen, key, value, err)
                                  : fail_nomem(err, "an argument");
        else
            status = *argument ? add_column(table, argument, err)
                               : fail(err, ST_BADARG, "an empty argument");
        sqlite3_free(key);
        sqlite3_free(value);
        TRY(status);
    }
    if (!table->dim)
        return fail(err, ST_BADARG, "no vector column (for instance: embedding float[64])");
    if (table->content_rowid && !table->content)
        return fail(err, ST_BADARG, "content_rowid without content");
    table->metric = (AnnMetric)arguments.metric;
    table->storage = (AnnStorage)arguments.storage;
    return ann_engine_for(table->factory)->check(table->factory, table->dim, table->metric, err);
}

static char *declaration(const IndexTable *table) {
    static const char *const types[N_HIDDEN] = {
#define X(constant, name, type) type,
        INDEX_HIDDEN(X)
#undef X
    };
    const char *key = table->key_column >= 0 ? "TEXT" : "INTEGER";
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendall(sql, "CREATE TABLE x(");
    for (int i = 0; i < table->n_columns; i++)
        sqlite3_str_appendf(sql, "\"%w\" %s, ", table->column[i].name,
            table->column[i].type ? table->column[i].type : "BLOB");
    for (int i = 0; i < N_HIDDEN; i++)
        sqlite3_str_appendf(sql, "\"%w\" %s HIDDEN%s",
            i == H_COMMAND ? table->name : index_hidden_names[i],
            strcmp(types[i], "key") == 0 ? key : types[i], i + 1 < N_HIDDEN ? ", " : ")");
    return sqlite3_str_finish(sql);
}

/* The log of changes: with content= it is not among the names that SQLite protects, since any
 * program writes to it. */
static char *log_name(const IndexTable *table, const char *name) {
    return sqlite3_mprintf("%s_%s", name, table->content ? "queue" : "changes");
}

/* May the table have this name, which is also its first hidden column's? */
static Status check_table_name(const IndexTable *table, const char *name, Err *err) {
    int clash = is_hidden(name);
    for (int i = 0; i < table->n_columns; i++)
        clash |= sqlite3_stricmp(name, table->column[i].name) == 0;
    return clash ? fail(err, ST_BADARG,
                       "a rec_index cannot be named '%s', which is one of its columns", name)
                 : ST_OK;
}

/* What rows look like and whose they are, as a hash; index= is not in it, since every engine reads
 * the same rows. */
static Status set_definition(IndexTable *table, Err *err) {
    Bytes text = {0};
    bytes_text(&text, table->name);
    bytes_u32(&text, (uint32_t)table->dim);
    bytes_u32(&text, (uint32_t)table->metric);
    bytes_u32(&text, (uint32_t)table->storage);
    bytes_text(&text, table->content ? table->content : "");
    for (int i = 0; i < table->n_columns; i++) {
        bytes_text(&text, table->column[i].name);
        bytes_text(&text, table->column[i].type ? table->column[i].type : "");
    }
    if (!text.failed) bytes_checksum(text.data, text.len, table->definition);
    Status status = text.failed ? fail_nomem(err, "the index") : ST_OK;
    bytes_clear(&text);
    return status;
}

static Status table_new(
    IndexTable **out, sqlite3 *db, int argc, const char *const *argv, Err *err) {
    IndexTable *table = mem_zeros(1, sizeof *table);
    *out = table;
    if (!table) return fail_nomem(err, "the index");
    table->db = db;
    table->key_column = -1;
    table->schema = sqlite3_mprintf("%s", argv[1]);
    table->name = sqlite3_mprintf("%s", argv[2]);
    if (!table->schema || !table->name) return fail_nomem(err, "the index");
    TRY(check_table_name(table, table->name, err));
    TRY(parse(table, argc, argv, err));
    table->log = log_name(table, table->name);
    return table->log ? set_definition(table, err) : fail_nomem(err, "the index");
}

/* Its shadow tables are tables; and a database written by a newer library says so. */
static Status check_stored(IndexTable *table, Err *err) {
    ShadowOwner owner = index_owner(table);
    sqlite3_int64 format;
    TRY(shadow_check(&index_shadow, &owner, err));
    TRY(sql_integer(table->db, 0, &format, err,
        "SELECT value FROM \"%w\".\"%w_config\" WHERE key='format'", table->schema, table->name));
    if (format == 1)
        return fail(err, ST_CORRUPT,
            "format 1, which no released version wrote: copy its rows from %.60s_vectors and "
            "%.60s_meta into a new rec_index",
            table->name, table->name);
    return shadow_check_format(&index_shadow, &owner, err);
}

/* What the triggers and the schema say now. The user's table may have gone: then searches say so,
 * and DROP works. */
static Status connect_content(IndexTable *table, Err *err) {
    TRY(index_content_find(table, err));
    if (table->content_rowid) return ST_OK;
    sqlite3_stmt *statement;
    int has_row;
    TRY(sql_prepare(table->db, &statement, err,
        "SELECT name FROM pragma_table_info(%Q, %Q) WHERE pk=1", table->content, table->schema));
    Status status = sql_step(table->db, statement, &has_row, err);
    if (status == ST_OK)
        table->content_rowid = sqlite3_mprintf(
            "%s", has_row ? (const char *)sqlite3_column_text(statement, 0) : "rowid");
    sqlite3_finalize(statement);
    return status != ST_OK || table->content_rowid ? status : fail_nomem(err, "a name");
}

static int open_table(
    sqlite3 *db, int argc, const char *const *argv, int create, sqlite3_vtab **out, char **error) {
    IndexTable *table;
    Err err = {0};
    Status status = table_new(&table, db, argc, argv, &err);
    if (status == ST_OK) {
        char *sql = declaration(table);
        int code = sql ? sqlite3_declare_vtab(db, sql) : SQLITE_NOMEM;
        sqlite3_free(sql);
        if (code) status = sql_failed(&err, db, code);
    }
    if (status == ST_OK && create && table->content) status = index_content_check(table, &err);
    if (status == ST_OK && create) status = index_store_create(table, &err);
    if (status == ST_OK && !create) status = check_stored(table, &err);
    if (status == ST_OK && !create && table->content) status = connect_content(table, &err);
    if (status != ST_OK) {
        /* after a failure inside SQL, SQLite may have freed argv */
        *error = sqlite3_mprintf(
            "%s %s: %s", MODULE, table && table->name ? table->name : argv[2], err.text);
        table_free(table);
        return sql_code(status, &err);
    }
    sqlite3_vtab_config(db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
    sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
    *out = &table->base;
    return SQLITE_OK;
}

int index_create(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    (void)aux;
    return open_table(db, argc, argv, 1, out, error);
}

int index_connect(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    (void)aux;
    return open_table(db, argc, argv, 0, out, error);
}

int index_disconnect(sqlite3_vtab *vtab) {
    table_free((IndexTable *)vtab);
    return SQLITE_OK;
}

int index_shadow_name(const char *suffix) { return shadow_is_suffix(&index_shadow, suffix); }

int index_destroy(sqlite3_vtab *vtab) {
    IndexTable *table = (IndexTable *)vtab;
    ShadowOwner owner = index_owner(table);
    Err err = {0};
    Status status = ST_OK;
    index_finalize(table);
    if (table->content) status = index_content_drop_triggers(table, &err);
    if (status == ST_OK) status = shadow_drop(&index_shadow, &owner, &err);
    if (status != ST_OK) return sql_vtab_error(vtab, MODULE, table->name, status, &err);
    table_free(table);
    return SQLITE_OK;
}

int index_rename(sqlite3_vtab *vtab, const char *name) {
    IndexTable *table = (IndexTable *)vtab;
    ShadowOwner owner = index_owner(table);
    Err err = {0};
    Status status = check_table_name(table, name, &err);
    index_finalize(table);
    counters_close(table->counters); /* they bear the name */
    table->counters = NULL;
    if (status == ST_OK && table->content) status = index_content_drop_triggers(table, &err);
    if (status == ST_OK) status = shadow_rename(&index_shadow, &owner, name, &err);
    char *copy = status == ST_OK ? sqlite3_mprintf("%s", name) : NULL;
    char *log = copy ? log_name(table, name) : NULL;
    if (status == ST_OK && !log) status = fail_nomem(&err, "a name");
    if (status != ST_OK) sqlite3_free(copy);
    if (status != ST_OK) return sql_vtab_error(vtab, MODULE, table->name, status, &err);
    char *old = table->name, *old_log = table->log;
    table->name = copy;
    table->log = log;
    /* they bear the table's name */
    if (table->content) status = index_content_create_triggers(table, &err);
    if (status != ST_OK) {
        table->name = old;
        table->log = old_log;
        sqlite3_free(copy);
        sqlite3_free(log);
        return sql_vtab_error(vtab, MODULE, table->name, status, &err);
    }
    sqlite3_free(old);
    sqlite3_free(old_log);
    return set_definition(table, &err) == ST_OK ? SQLITE_OK : SQLITE_NOMEM;
}

Status index_open(IndexTable **out, sqlite3 *db, const char *name, Err *err) {
    char *schema, *table_name, **part = NULL;
    const char **argv = NULL;
    sqlite3_stmt *statement = NULL;
    int n = 0, has_row = 0;

    *out = NULL;
    TRY(schema_find_table(db, "rec_index", name, "_segment", &schema, &table_name, err));
    Status status = sql_prepare(db, &statement, err,
        "SELECT sql FROM \"%w\".sqlite_schema WHERE type='table' AND lower(name)=lower(%Q)", schema,
        table_name);
    if (status == ST_OK) status = sql_step(db, statement, &has_row, err);
    if (status == ST_OK && !has_row)
        status = fail(err, ST_BADARG, "no rec_index named '%.60s'", name);
    if (status == ST_OK)
        status = schema_arguments((const char *)sqlite3_column_text(statement, 0), &part, &n, err);
    sqlite3_finalize(statement);
    if (status == ST_OK && !(argv = mem_array((size_t)n + 3, sizeof *argv)))
        status = fail_nomem(err, "the index");
    if (status == ST_OK) {
        argv[0] = MODULE;
        argv[1] = schema;
        argv[2] = table_name;
        for (int i = 0; i < n; i++) argv[3 + i] = part[i];
        status = table_new(out, db, n + 3, argv, err);
        if (status == ST_OK) status = check_stored(*out, err);
        if (status == ST_OK && (*out)->content) status = connect_content(*out, err);
        if (status != ST_OK) {
            table_free(*out);
            *out = NULL;
        }
    }
    for (int i = 0; i < n; i++) mem_free(part[i]);
    mem_free(part);
    mem_free(argv);
    sqlite3_free(schema);
    sqlite3_free(table_name);
    return status;
}

void index_close(IndexTable *table) { table_free(table); }

int register_index(sqlite3 *db) {
    static const sqlite3_module module = {
        .iVersion = 3,
        .xCreate = index_create,
        .xConnect = index_connect,
        .xBestIndex = index_best_index,
        .xDisconnect = index_disconnect,
        .xDestroy = index_destroy,
        .xOpen = index_open_cursor,
        .xClose = index_close_cursor,
        .xFilter = index_filter,
        .xNext = index_next,
        .xEof = index_eof,
        .xColumn = index_column,
        .xRowid = index_rowid,
        .xUpdate = index_update,
        .xRename = index_rename,
        .xShadowName = index_shadow_name,
    };
    return sqlite3_create_module_v2(db, MODULE, &module, NULL, NULL);
}
