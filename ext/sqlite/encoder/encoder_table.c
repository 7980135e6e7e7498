/* CREATE VIRTUAL TABLE minilm USING rec_encoder(storage=int8): a text encoder as rows of the
 * database. Its one row says what is loaded; the command `load` reads a folder. */
#include <string.h>

#include "../../base/memory.h"
#include "../host/arguments.h"
#include "../host/commands.h"
#include "../host/guard.h"
#include "../host/parts.h"
#include "../host/values.h"
#include "encoder_store.h"

static const char MODULE[] = "rec_encoder";

#define ENCODER_COLUMNS(X) \
    X(E_NAME, "source", "TEXT") \
    X(E_DIM, "dim", "INTEGER") \
    X(E_LAYERS, "layers", "INTEGER") \
    X(E_WORDS, "words", "INTEGER") \
    X(E_LENGTH, "length", "INTEGER") \
    X(E_STORAGE, "storage", "TEXT") \
    X(E_BYTES, "bytes", "INTEGER") \
    X(E_SHA256, "sha256", "TEXT") \
    X(E_COMMAND, NULL, "HIDDEN") /* named as the table */ \
    X(E_ARG, "arg", "HIDDEN")
enum {
#define X(constant, name, type) constant,
    ENCODER_COLUMNS(X)
#undef X
        N_ENCODER_COLUMNS
};

typedef struct EncoderTable {
    sqlite3_vtab base;
    sqlite3 *db;
    char *schema, *name;
    EncoderOptions options;
    int busy;
} EncoderTable;

static ShadowOwner owner_of(const EncoderTable *table) {
    return (ShadowOwner){table->db, table->schema, table->name, table};
}

static void table_free(EncoderTable *table) {
    if (!table) return;
    sqlite3_free(table->schema);
    sqlite3_free(table->name);
    sqlite3_free(table->base.zErrMsg); /* of a DROP that failed, which SQLite does not take */
    mem_free(table);
}

/* ---- CREATE and its like ---- */

static Status set_argument(EncoderTable *table, const char *key, const char *value, Err *err) {
    const OptSpec *spec = options_find(encoder_options, key), *tables[] = {encoder_options, NULL};
    return spec ? options_set(spec, &table->options, value, err)
                : options_unknown(tables, key, err);
}

static Status create(EncoderTable *table, int argc, const char *const *argv, Err *err) {
    Arguments arguments = {0};
    ShadowOwner owner = owner_of(table);
    Status status = arguments_split(&arguments, argc, argv, err);
    for (int i = 0; status == ST_OK && i < arguments.n; i++)
        status = set_argument(table, arguments.key[i], arguments.value[i], err);
    if (status == ST_OK) status = shadow_create(&encoder_shadow, &owner, err);
    for (int i = 0; status == ST_OK && i < arguments.n; i++)
        status = sql_execute(table->db, err,
            "INSERT INTO \"%w\".\"%w_config\"(key, value) VALUES(%Q, %Q)", table->schema,
            table->name, arguments.key[i], arguments.value[i]);
    arguments_clear(&arguments);
    return status;
}

static Status connect(EncoderTable *table, Err *err) {
    ShadowOwner owner = owner_of(table);
    TRY(shadow_check(&encoder_shadow, &owner, err));
    TRY(shadow_check_format(&encoder_shadow, &owner, err));
    for (const OptSpec *spec = encoder_options; spec->name; spec++) {
        char *value;
        TRY(encoder_config(&owner, spec->name, &value, err));
        Status status = value ? set_argument(table, spec->name, value, err) : ST_OK;
        sqlite3_free(value);
        if (status != ST_OK) return status == ST_BADARG ? ST_CORRUPT : status;
    }
    return ST_OK;
}

static Status declare(const EncoderTable *table, Err *err) {
    static const struct {
        const char *name, *type;
    } columns[] = {
#define X(constant, name, type) {name, type},
        ENCODER_COLUMNS(X)
#undef X
    };
    sqlite3_str *text = sqlite3_str_new(NULL);
    for (int i = 0; i < N_ENCODER_COLUMNS; i++)
        sqlite3_str_appendf(text, "%s\"%w\" %s", i ? ", " : "CREATE TABLE x(",
            columns[i].name ? columns[i].name : table->name, columns[i].type);
    sqlite3_str_appendall(text, ")");
    char *sql = sqlite3_str_finish(text);
    int code = sql ? sqlite3_declare_vtab(table->db, sql) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return code ? sql_failed(err, table->db, code) : ST_OK;
}

static int open_table(
    sqlite3 *db, int argc, const char *const *argv, int is_new, sqlite3_vtab **out, char **error) {
    Err err = {0};
    EncoderTable *table = mem_zeros(1, sizeof *table);
    if (!table) return SQLITE_NOMEM;
    table->db = db;
    table->schema = sqlite3_mprintf("%s", argv[1]);
    table->name = sqlite3_mprintf("%s", argv[2]);
    options_default(encoder_options, &table->options);
    Status status = table->schema && table->name ? ST_OK : fail_nomem(&err, "the encoder");
    if (status == ST_OK) status = is_new ? create(table, argc, argv, &err) : connect(table, &err);
    if (status == ST_OK) status = declare(table, &err);
    if (status != ST_OK) { /* argv may be gone: SQLite frees its schema where memory was short */
        *error = sqlite3_mprintf("%s %s: %s", MODULE, table->name, err.text);
        table_free(table);
        return sql_code(status, &err);
    }
    /* it reads files: no trigger or view of somebody else's schema may */
    sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
    *out = &table->base;
    return SQLITE_OK;
}

static int encoder_create(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    (void)aux;
    return open_table(db, argc, argv, 1, out, error);
}

static int encoder_connect(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    (void)aux;
    return open_table(db, argc, argv, 0, out, error);
}

static int encoder_disconnect(sqlite3_vtab *vtab) {
    table_free((EncoderTable *)vtab);
    return SQLITE_OK;
}

static int encoder_destroy(sqlite3_vtab *vtab) {
    ShadowOwner owner = owner_of((EncoderTable *)vtab);
    Err err = {0};
    Status status = shadow_drop(&encoder_shadow, &owner, &err);
    if (status != ST_OK) return sql_vtab_error(vtab, MODULE, owner.name, status, &err);
    return encoder_disconnect(vtab);
}

static int encoder_rename(sqlite3_vtab *vtab, const char *name) {
    EncoderTable *table = (EncoderTable *)vtab;
    ShadowOwner owner = owner_of(table);
    Err err = {0};
    char *copy = sqlite3_mprintf("%s", name);
    Status status = copy ? shadow_rename(&encoder_shadow, &owner, name, &err)
                         : fail_nomem(&err, "a name");
    if (status != ST_OK) {
        sqlite3_free(copy);
        return sql_vtab_error(vtab, MODULE, owner.name, status, &err);
    }
    sqlite3_free(table->name);
    table->name = copy;
    return SQLITE_OK;
}

static int encoder_shadow_name(const char *suffix) {
    return shadow_is_suffix(&encoder_shadow, suffix);
}

/* ---- SELECT: one row, or none ---- */

typedef struct EncoderCursor {
    sqlite3_vtab_cursor base;
    EncoderFacts facts;
    int has_row;
} EncoderCursor;

static int encoder_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info) {
    (void)vtab;
    info->estimatedCost = 1;
    info->estimatedRows = 1;
    return SQLITE_OK;
}

static int encoder_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    EncoderCursor *cursor = mem_zeros(1, sizeof *cursor);
    (void)vtab;
    if (!cursor) return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

static int encoder_close(sqlite3_vtab_cursor *base) {
    EncoderCursor *cursor = (EncoderCursor *)base;
    encoder_facts_clear(&cursor->facts);
    mem_free(cursor);
    return SQLITE_OK;
}

static int encoder_filter(
    sqlite3_vtab_cursor *base, int plan, const char *text, int argc, sqlite3_value **argv) {
    EncoderCursor *cursor = (EncoderCursor *)base;
    EncoderTable *table = (EncoderTable *)base->pVtab;
    ShadowOwner owner = owner_of(table);
    Err err = {0};
    (void)plan, (void)text, (void)argc, (void)argv;
    encoder_facts_clear(&cursor->facts);
    cursor->has_row = 0;
    Status status = guard_enter_table(&table->busy, &err);
    if (status == ST_OK) {
        status = encoder_describe(&owner, &cursor->facts, &cursor->has_row, &err);
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(base->pVtab, MODULE, owner.name, status, &err);
}

static int encoder_next(sqlite3_vtab_cursor *base) {
    ((EncoderCursor *)base)->has_row = 0;
    return SQLITE_OK;
}

static int encoder_eof(sqlite3_vtab_cursor *base) { return !((EncoderCursor *)base)->has_row; }

static int encoder_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    const EncoderFacts *facts = &((EncoderCursor *)base)->facts;
    const BertShape *shape = &facts->shape;
    size_t len;
    const char *storage = options_choice(encoder_options->choices, shape->kind, &len);
    switch (column) {
    case E_NAME: sqlite3_result_text(context, facts->name, -1, SQLITE_TRANSIENT); break;
    case E_DIM: sqlite3_result_int64(context, (sqlite3_int64)shape->dim); break;
    case E_LAYERS: sqlite3_result_int64(context, (sqlite3_int64)shape->layers); break;
    case E_WORDS: sqlite3_result_int64(context, (sqlite3_int64)shape->words); break;
    case E_LENGTH: sqlite3_result_int64(context, (sqlite3_int64)shape->length); break;
    case E_STORAGE: sqlite3_result_text(context, storage, (int)len, SQLITE_STATIC); break;
    case E_BYTES: sqlite3_result_int64(context, facts->bytes); break;
    case E_SHA256: sqlite3_result_text(context, facts->sha256, -1, SQLITE_TRANSIENT); break;
    default: sqlite3_result_null(context);
    }
    return SQLITE_OK;
}

static int encoder_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    (void)base;
    *out = 1;
    return SQLITE_OK;
}

/* ---- commands ---- */

static Status command_load(const CommandCall *call, Err *err) {
    EncoderTable *table = call->table;
    ShadowOwner owner = owner_of(table);
    EncoderWish wish = {(PackedKind)table->options.storage, (size_t)table->options.length};
    Bytes stored = {0};
    char sha256[SHA256_TEXT];
    const char *folder = value_text(call->arg);
    if (!folder || !*folder)
        return fail(err, ST_BADARG, "load: arg is the folder that holds the encoder's files");
    TRY(guard_may_train(table->db, err));
    Status status = encoder_from_folder(folder, &wish, &stored, sha256, err);
    if (status == ST_OK) status = encoder_put(&owner, &stored, sha256, err);
    bytes_clear(&stored);
    return status;
}

static Status command_check(const CommandCall *call, Err *err) {
    ShadowOwner owner = owner_of(call->table);
    TextEncoder *encoder;
    char *sha256;
    TRY(encoder_config(&owner, "sha256", &sha256, err));
    if (!sha256) return ST_OK; /* nothing is loaded */
    Status status = encoder_read(&owner, &encoder, err);
    if (status == ST_OK && strcmp(encoder->sha256, sha256) != 0)
        status = fail(err, ST_CORRUPT, "it is not the encoder that was loaded");
    text_encoder_free(encoder);
    sqlite3_free(sha256);
    return status;
}

static const Command COMMANDS[] = {
    {"load", READS_ARG, command_load},
    {"integrity-check", READS_NOTHING, command_check},
    {0},
};

static const char *column_name(const void *table, int column) {
    static const char *const names[] = {
#define X(constant, name, type) name,
        ENCODER_COLUMNS(X)
#undef X
    };
    return names[column] ? names[column] : ((const EncoderTable *)table)->name;
}

static int encoder_update(
    sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
    EncoderTable *table = (EncoderTable *)vtab;
    Err err = {0};
    CommandColumns columns = {argv + 2, N_ENCODER_COLUMNS, E_COMMAND, E_ARG, E_ARG, column_name};
    int is_command = argc == 2 + N_ENCODER_COLUMNS && sqlite3_value_type(argv[0]) == SQLITE_NULL &&
        sqlite3_value_type(columns.value[E_COMMAND]) != SQLITE_NULL;
    Status status = is_command
        ? guard_enter_table(&table->busy, &err)
        : fail(&err, ST_BADARG,
              "its row says what is loaded; a command is INSERT INTO %s(%s, arg) VALUES('load', "
              "'folder')",
              table->name, table->name);
    if (status == ST_OK) {
        status = command_run(COMMANDS, NULL, table, &columns, rowid, &err);
        guard_leave_table(&table->busy);
    }
    return sql_vtab_error(vtab, MODULE, table->name, status, &err);
}

int register_encoder(sqlite3 *db) {
    static const sqlite3_module module = {
        .iVersion = 3,
        .xCreate = encoder_create,
        .xConnect = encoder_connect,
        .xBestIndex = encoder_best_index,
        .xDisconnect = encoder_disconnect,
        .xDestroy = encoder_destroy,
        .xOpen = encoder_open,
        .xClose = encoder_close,
        .xFilter = encoder_filter,
        .xNext = encoder_next,
        .xEof = encoder_eof,
        .xColumn = encoder_column,
        .xRowid = encoder_rowid,
        .xUpdate = encoder_update,
        .xRename = encoder_rename,
        .xShadowName = encoder_shadow_name,
    };
    return sqlite3_create_module_v2(db, MODULE, &module, NULL, NULL);
}
