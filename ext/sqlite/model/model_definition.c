/* What CREATE said of a rec_model: read from its arguments, kept in m_config, read back. */
#include <string.h>

#include "../../base/memory.h"
#include "../../base/options.h"
#include "../../base/text.h"
#include "../host/guard.h"
#include "model_table.h"
#include "tune.h"

const char *const model_suffixes[N_MODEL_SUFFIXES] = {
    "config", "versions", "chunks", "deployments", "trials"};

enum { N_OURS = 4 }; /* of an old database the last may be somebody else's: trials_state */

void definition_clear(ModelDefinition *d) {
    char **text[] = {&d->schema, &d->name, &d->events, &d->user, &d->item, &d->weight, &d->time,
        &d->session, &d->items, &d->item_key, &d->item_text, &d->item_vector, &d->item_category,
        &d->user_type, &d->item_type, &d->automatic};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        sqlite3_free(*text[i]);
        *text[i] = NULL;
    }
}

/* The place of a text argument, or NULL. */
static char **text_argument(ModelDefinition *d, const char *key) {
    const struct {
        const char *key;
        char **place;
    } list[] = {{"events", &d->events}, {"user", &d->user}, {"item", &d->item},
        {"weight", &d->weight}, {"time", &d->time}, {"session", &d->session}, {"items", &d->items},
        {"item_key", &d->item_key}, {"item_text", &d->item_text}, {"item_vector", &d->item_vector},
        {"item_category", &d->item_category}, {"user_type", &d->user_type},
        {"item_type", &d->item_type}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(list[i].key, key) == 0) return list[i].place;
    return NULL;
}

static Status unknown_argument(const ModelDefinition *d, const char *key, Err *err) {
    const OptSpec *tables[] = {d->algorithm ? d->algorithm->options : model_common_options,
        d->algorithm ? model_common_options : NULL, NULL};
    TRY(options_unknown(tables, key, err) == ST_BADARG ? ST_OK : ST_NOMEM);
    Err rest = *err;
    const char *allowed = strstr(rest.text, "(allowed: ");
    return fail(err, ST_BADARG,
        "unknown option '%.60s' (allowed: events, user, item, weight, time, session, items, "
        "item_key, item_text, item_vector, item_category, time_unit, keep, algorithm, %.400s",
        key, allowed ? allowed + 10 : ")");
}

static Status set_option(ModelDefinition *d, const char *key, const char *value, Err *err) {
    const OptSpec *spec = options_find(d->algorithm->options, key);
    if (spec) return options_set(spec, &d->params, value, err);
    spec = options_find(model_common_options, key);
    if (spec) return options_set(spec, &d->common, value, err);
    return unknown_argument(d, key, err);
}

static Status set_algorithm(ModelDefinition *d, const char *name, Err *err) {
    Bytes names = {0};
    d->algorithm = algorithm_find(name);
    if (d->algorithm) {
        options_default(d->algorithm->options, &d->params);
        options_default(model_common_options, &d->common);
        return ST_OK;
    }
    for (size_t i = 0; algorithm_registry[i]; i++)
        bytes_format(&names, "%s|", algorithm_registry[i]->name);
    bytes_append(&names, "auto", 4);
    Status status = fail(err, ST_BADARG, "algorithm=%.60s (%.*s)", name, (int)names.len,
        names.data ? (const char *)names.data : "");
    bytes_clear(&names);
    return status;
}

typedef struct Arguments {
    char *key[64];
    char *value[64];
    int n;
} Arguments;

static void arguments_clear(Arguments *a) {
    for (int i = 0; i < a->n; i++) {
        sqlite3_free(a->key[i]);
        sqlite3_free(a->value[i]);
    }
}

static Status arguments_split(Arguments *a, int argc, const char *const *argv, Err *err) {
    for (int i = 3; i < argc; i++) {
        const char *argument = argv[i];
        while (ascii_is_space(*argument)) argument++;
        if (a->n == 64) return fail(err, ST_BADARG, "more than 64 arguments");
        if (!glue_split_argument(argument, &a->key[a->n], &a->value[a->n]))
            return fail(err, ST_BADARG, "argument '%.60s' is not name=value", argument);
        a->n++;
        if (!a->key[a->n - 1] || !a->value[a->n - 1]) return fail_nomem(err, "the arguments");
        for (int j = 0; j < a->n - 1; j++)
            if (strcmp(a->key[j], a->key[a->n - 1]) == 0)
                return fail(err, ST_BADARG, "option '%.60s' is given twice", a->key[j]);
    }
    return ST_OK;
}

/* Of algorithm=auto: what tuning takes, and what all algorithms take. */
static Status set_automatic(
    ModelDefinition *d, Bytes *json, const char *key, const char *value, Err *err) {
    const OptSpec *tables[] = {tune_options, model_common_options, NULL},
                  *spec = options_find(model_common_options, key);
    int known;
    TRY(tune_argument(json, key, value, &known, err));
    if (spec) TRY(options_set(spec, &d->common, value, err)); /* seed is of both */
    return known || spec ? ST_OK : options_unknown(tables, key, err);
}

/* Options of the table and not of its versions. */
typedef struct DefinitionOptions {
    int64_t time_unit;
    int64_t keep;
} DefinitionOptions;

static const OptSpec definition_options[] = {
    {"time_unit", OPT_CHOICE, offsetof(DefinitionOptions, time_unit), 0, 0, TIME_SECONDS,
        TIME_UNITS, "what a number in the time column counts, from 1970 (julian: a Julian day)"},
    {"keep", OPT_INT, offsetof(DefinitionOptions, keep), 0, 1e6, 0, NULL,
        "versions that stay, the newest (and the active one and the one before it); 0: all"},
    {0},
};

static Status set_columns_and_options(
    ModelDefinition *d, const Arguments *a, Bytes *automatic, Err *err) {
    DefinitionOptions own;
    options_default(definition_options, &own);
    for (int i = 0; i < a->n; i++) {
        char **place = text_argument(d, a->key[i]);
        if (strcmp(a->key[i], "algorithm") == 0 || strcmp(a->key[i], "format") == 0 ||
            strcmp(a->key[i], "last_version") == 0)
            continue;
        if (options_find(definition_options, a->key[i])) {
            TRY(options_set(options_find(definition_options, a->key[i]), &own, a->value[i], err));
            continue;
        }
        if (place) {
            *place = sqlite3_mprintf("%s", a->value[i]);
            if (!*place) return fail_nomem(err, "the arguments");
        } else if (automatic) {
            TRY(set_automatic(d, automatic, a->key[i], a->value[i], err));
        } else {
            TRY(set_option(d, a->key[i], a->value[i], err));
        }
    }
    d->time_unit = (TimeUnit)own.time_unit;
    d->keep = own.keep;
    return ST_OK;
}

/* Set a definition from key-value pairs, the algorithm first. */
static Status definition_set(ModelDefinition *d, const Arguments *a, Err *err) {
    const char *algorithm = "item_knn";
    Bytes json = {0};
    for (int i = 0; i < a->n; i++)
        if (strcmp(a->key[i], "algorithm") == 0) algorithm = a->value[i];
    int automatic = strcmp(algorithm, "auto") == 0;
    TRY(set_algorithm(d, automatic ? "item_knn" : algorithm, err));
    bytes_format(&json, "{\"algorithm\":\"auto\"");
    Status status = set_columns_and_options(d, a, automatic ? &json : NULL, err);
    bytes_append(&json, "}", 2);
    if (status == ST_OK && automatic &&
        (json.failed || !(d->automatic = sqlite3_mprintf("%s", json.data))))
        status = fail_nomem(err, "the arguments");
    bytes_clear(&json);
    TRY(status);
    if (d->algorithm->check) TRY(d->algorithm->check(&d->params, err));
    if (!d->events || !d->user || !d->item)
        return fail(err, ST_BADARG, "events=, user= and item= are needed");
    return ST_OK;
}

/* The declared type of a column of the events, "" when it has none; an error when it does not
 * exist. */
static Status column_type(
    ModelDefinition *d, const char *table, const char *column, char **out, Err *err) {
    sqlite3_stmt *statement;
    int has_row;
    TRY(glue_prepare(d->db, &statement, err,
        "SELECT type FROM pragma_table_xinfo(%Q, %Q) WHERE lower(name)=lower(%Q)", table, d->schema,
        column));
    Status status = glue_step(d->db, statement, &has_row, err);
    if (status == ST_OK && !has_row) {
        sqlite3_int64 exists = 0;
        status = glue_integer(d->db, 0, &exists, err,
            "SELECT 1 FROM \"%w\".sqlite_schema WHERE lower(name)=lower(%Q)", d->schema, table);
        if (status == ST_OK)
            status = exists
                ? fail(err, ST_BADARG, "%s has no column '%.60s'", table, column)
                : fail(err, ST_BADARG, "no table or view '%.60s' in schema %s", table, d->schema);
    }
    if (status == ST_OK && !(*out = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0))))
        status = fail_nomem(err, "a type");
    sqlite3_finalize(statement);
    return status;
}

static Status check_columns(ModelDefinition *d, Err *err) {
    char *type = NULL;
    TRY(column_type(d, d->events, d->user, &d->user_type, err));
    TRY(column_type(d, d->events, d->item, &d->item_type, err));
    char *optional[] = {d->weight, d->time, d->session, d->item_key, d->item_text, d->item_vector,
        d->item_category};
    if (!d->items != !d->item_key ||
        (!d->items && (d->item_text || d->item_vector || d->item_category)))
        return fail(err, ST_BADARG,
            "items= and item_key= go together, and item_text=, item_vector= and item_category= "
            "need them");
    for (int i = 0; i < 7; i++) {
        if (!optional[i]) continue;
        TRY(column_type(d, i < 3 ? d->events : d->items, optional[i], &type, err));
        sqlite3_free(type);
        type = NULL;
    }
    return ST_OK;
}

static void set_affinities(ModelDefinition *d) {
    d->user_affinity = affinity_of(d->user_type);
    d->item_affinity = affinity_of(d->item_type);
}

static Status definition_name(
    ModelDefinition *d, sqlite3 *db, const char *schema, const char *name, Err *err) {
    *d = (ModelDefinition){.db = db};
    d->schema = sqlite3_mprintf("%s", schema);
    d->name = sqlite3_mprintf("%s", name);
    return d->schema && d->name ? ST_OK : fail_nomem(err, "the model");
}

Status definition_load(
    ModelDefinition *d, sqlite3 *db, const char *schema, const char *name, Err *err) {
    Arguments a = {0};
    sqlite3_stmt *statement = NULL;
    int has_row = 1;
    sqlite3_int64 format = 0;
    Status status = definition_name(d, db, schema, name, err);
    if (status == ST_OK) status = guard_shadow(db, schema, name, model_suffixes, N_OURS, err);
    if (status == ST_OK)
        status = glue_prepare(
            db, &statement, err, "SELECT key, value FROM \"%w\".\"%w_config\"", schema, name);
    while (status == ST_OK) {
        status = glue_step(db, statement, &has_row, err);
        if (status != ST_OK || !has_row) break;
        if (a.n == 64) {
            status = fail(err, ST_CORRUPT, "%s_config has too many rows", name);
            break;
        }
        a.key[a.n] = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0));
        a.value[a.n] = sqlite3_mprintf("%s", sqlite3_column_text(statement, 1));
        if (!a.key[a.n] || !a.value[a.n]) status = fail_nomem(err, "the model");
        if (status == ST_OK && strcmp(a.key[a.n], "format") == 0)
            format = sqlite3_column_int64(statement, 1);
        a.n++;
    }
    sqlite3_finalize(statement);
    if (status == ST_OK && format != 1)
        status = fail(err, ST_CORRUPT,
            "format %lld (this library reads 1: use the version that wrote it)", (long long)format);
    if (status == ST_OK) status = definition_set(d, &a, err);
    arguments_clear(&a);
    if (status == ST_OK) set_affinities(d);
    else definition_clear(d);
    return status;
}

Status definition_find(ModelDefinition *out, sqlite3 *db, const char *name, Err *err) {
    char *schema, *table;
    *out = (ModelDefinition){0};
    TRY(glue_find_table(db, "rec_model", name, "_versions", &schema, &table, err));
    Status status = definition_load(out, db, schema, table, err);
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}

static Status save_arguments(const ModelDefinition *d, const Arguments *a, Err *err) {
    for (int i = 0; i < a->n; i++)
        TRY(glue_execute(d->db, err, "INSERT INTO \"%w\".\"%w_config\" VALUES(%Q, %Q)", d->schema,
            d->name, a->key[i], a->value[i]));
    TRY(glue_execute(d->db, err, "INSERT INTO \"%w\".\"%w_config\" VALUES('user_type', %Q)",
        d->schema, d->name, d->user_type));
    return glue_execute(d->db, err, "INSERT INTO \"%w\".\"%w_config\" VALUES('item_type', %Q)",
        d->schema, d->name, d->item_type);
}

Status definition_check_name(const char *name, Err *err) {
    static const char *const columns[] = {"user", "item", "score", "rank", "because", "version",
        "k", "similar_to", "basket", "candidates", "exclude", "options", "arg", "rowid"};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (sqlite3_stricmp(name, columns[i]) == 0)
            return fail(err, ST_BADARG,
                "a rec_model cannot be named '%s', which is one of its columns", name);
    return ST_OK;
}

Status definition_create(
    ModelDefinition *d, sqlite3 *db, int argc, const char *const *argv, Err *err) {
    Arguments a = {0};
    Status status = definition_name(d, db, argv[1], argv[2], err);
    if (status == ST_OK) status = definition_check_name(argv[2], err);
    if (status == ST_OK) status = arguments_split(&a, argc, argv, err);
    for (int i = 0; i < a.n && status == ST_OK; i++)
        if (strcmp(a.key[i], "user_type") == 0 || strcmp(a.key[i], "item_type") == 0 ||
            strcmp(a.key[i], "format") == 0 || strcmp(a.key[i], "last_version") == 0)
            status = unknown_argument(d, a.key[i], err);
    if (status == ST_OK) status = definition_set(d, &a, err);
    if (status == ST_OK) status = check_columns(d, err);
    if (status == ST_OK) status = store_create(d, err);
    if (status == ST_OK) status = save_arguments(d, &a, err);
    arguments_clear(&a);
    set_affinities(d);
    return status;
}
