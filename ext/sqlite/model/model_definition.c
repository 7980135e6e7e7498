/* What CREATE said of a rec_model: read from its arguments, kept in m_config, read back. */
#include "model_definition.h"

#include <string.h>

#include "../../base/options.h"
#include "../host/schema.h"
#include "../host/values.h"
#include "../versions/version_config.h"
#include "model_table.h"
#include "model_version.h"
#include "tune.h"

const char *const model_column_names[N_MODEL_COLUMNS] = {
#define X(constant, name, type) name,
    MODEL_COLUMNS(X)
#undef X
};

void definition_clear(ModelDefinition *definition) {
    char **text[] = {&definition->id.schema, &definition->id.name, &definition->events,
        &definition->user, &definition->item, &definition->weight, &definition->time,
        &definition->session, &definition->items, &definition->item_key, &definition->item_text,
        &definition->item_vector, &definition->item_category, &definition->encoder,
        &definition->user_type, &definition->item_type, &definition->automatic};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        sqlite3_free(*text[i]);
        *text[i] = NULL;
    }
}

/* The place of a text argument, or NULL. */
static char **text_argument(ModelDefinition *definition, const char *key) {
    const struct {
        const char *key;
        char **place;
    } list[] = {{"events", &definition->events}, {"user", &definition->user},
        {"item", &definition->item}, {"weight", &definition->weight}, {"time", &definition->time},
        {"session", &definition->session}, {"items", &definition->items},
        {"item_key", &definition->item_key}, {"item_text", &definition->item_text},
        {"item_vector", &definition->item_vector}, {"item_category", &definition->item_category},
        {"encoder", &definition->encoder}, {"user_type", &definition->user_type},
        {"item_type", &definition->item_type}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(list[i].key, key) == 0) return list[i].place;
    return NULL;
}

static Status unknown_argument(const ModelDefinition *definition, const char *key, Err *err) {
    const OptSpec *tables[] = {
        definition->algorithm ? definition->algorithm->options : model_common_options,
        definition->algorithm ? model_common_options : NULL, NULL};
    TRY(options_unknown(tables, key, err) == ST_BADARG ? ST_OK : ST_NOMEM);
    Err rest = *err;
    const char *allowed = strstr(rest.text, "(allowed: ");
    return fail(err, ST_BADARG,
        "unknown option '%.60s' (allowed: events, user, item, weight, time, session, items, "
        "item_key, item_text, item_vector, item_category, encoder, time_unit, keep, algorithm, "
        "%.400s",
        key, allowed ? allowed + 10 : ")");
}

static Status set_option(
    ModelDefinition *definition, const char *key, const char *value, Err *err) {
    const OptSpec *spec = options_find(definition->algorithm->options, key);
    if (spec) return options_set(spec, &definition->params, value, err);
    spec = options_find(model_common_options, key);
    if (spec) return options_set(spec, &definition->common, value, err);
    return unknown_argument(definition, key, err);
}

static Status set_algorithm(ModelDefinition *definition, const char *name, Err *err) {
    Bytes names = {0};
    definition->algorithm = algorithm_find(name);
    if (definition->algorithm) {
        options_default(definition->algorithm->options, &definition->params);
        options_default(model_common_options, &definition->common);
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

/* Of algorithm=auto: what tuning takes, and what all algorithms take. */
static Status set_automatic(
    ModelDefinition *definition, Bytes *json, const char *key, const char *value, Err *err) {
    const OptSpec *tables[] = {tune_options, model_common_options, NULL},
                  *spec = options_find(model_common_options, key);
    int known;
    TRY(tune_argument(json, key, value, &known, err));
    if (spec) TRY(options_set(spec, &definition->common, value, err)); /* seed is of both */
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
    ModelDefinition *definition, const Arguments *arguments, Bytes *automatic, Err *err) {
    DefinitionOptions own;
    options_default(definition_options, &own);
    for (int i = 0; i < arguments->n; i++) {
        char **place = text_argument(definition, arguments->key[i]);
        if (strcmp(arguments->key[i], "algorithm") == 0 ||
            strcmp(arguments->key[i], "format") == 0 ||
            strcmp(arguments->key[i], "last_version") == 0)
            continue;
        if (options_find(definition_options, arguments->key[i])) {
            TRY(options_set(options_find(definition_options, arguments->key[i]), &own,
                arguments->value[i], err));
            continue;
        }
        if (place) {
            *place = sqlite3_mprintf("%s", arguments->value[i]);
            if (!*place) return fail_nomem(err, "the arguments");
        } else if (automatic) {
            TRY(set_automatic(definition, automatic, arguments->key[i], arguments->value[i], err));
        } else {
            TRY(set_option(definition, arguments->key[i], arguments->value[i], err));
        }
    }
    definition->time_unit = (TimeUnit)own.time_unit;
    definition->id.keep = own.keep;
    return ST_OK;
}

/* Which columns of the items table go together. */
static Status check_catalogue(const ModelDefinition *definition, Err *err) {
    if (!definition->items != !definition->item_key ||
        (!definition->items &&
            (definition->item_text || definition->item_vector || definition->item_category)))
        return fail(err, ST_BADARG,
            "items= and item_key= go together, and item_text=, item_vector= and item_category= "
            "need them");
    return definition->encoder && (!definition->item_text || definition->item_vector)
        ? fail(err, ST_BADARG,
              "encoder= makes the vectors of item_text=: it needs that, and no item_vector=")
        : ST_OK;
}

/* Set a definition from key-value pairs, the algorithm first. */
static Status definition_set(ModelDefinition *definition, const Arguments *arguments, Err *err) {
    const char *algorithm = DEFAULT_ALGORITHM;
    Bytes json = {0};
    for (int i = 0; i < arguments->n; i++)
        if (strcmp(arguments->key[i], "algorithm") == 0) algorithm = arguments->value[i];
    int automatic = strcmp(algorithm, "auto") == 0;
    TRY(set_algorithm(definition, automatic ? DEFAULT_ALGORITHM : algorithm, err));
    bytes_format(&json, "{\"algorithm\":\"auto\"");
    Status status = set_columns_and_options(definition, arguments, automatic ? &json : NULL, err);
    bytes_append(&json, "}", 2);
    if (status == ST_OK && automatic &&
        (json.failed || !(definition->automatic = sqlite3_mprintf("%s", json.data))))
        status = fail_nomem(err, "the arguments");
    bytes_clear(&json);
    TRY(status);
    if (definition->algorithm->check) TRY(definition->algorithm->check(&definition->params, err));
    if (!definition->events || !definition->user || !definition->item)
        return fail(err, ST_BADARG, "events=, user= and item= are needed");
    return check_catalogue(definition, err);
}

static Status check_columns(ModelDefinition *definition, Err *err) {
    char *type = NULL;
    sqlite3 *db = definition->id.db;
    const char *schema = definition->id.schema;
    TRY(schema_column_type(
        db, schema, definition->events, definition->user, &definition->user_type, err));
    TRY(schema_column_type(
        db, schema, definition->events, definition->item, &definition->item_type, err));
    char *optional[] = {definition->weight, definition->time, definition->session,
        definition->item_key, definition->item_text, definition->item_vector,
        definition->item_category};
    for (int i = 0; i < 7; i++) {
        if (!optional[i]) continue;
        TRY(schema_column_type(
            db, schema, i < 3 ? definition->events : definition->items, optional[i], &type, err));
        sqlite3_free(type);
        type = NULL;
    }
    return ST_OK;
}

static void set_affinities(ModelDefinition *definition) {
    definition->user_affinity = affinity_of(definition->user_type);
    definition->item_affinity = affinity_of(definition->item_type);
}

static Status definition_name(
    ModelDefinition *definition, sqlite3 *db, const char *schema, const char *name, Err *err) {
    *definition = (ModelDefinition){.id = {.db = db, .kind = &model_kind}};
    definition->id.schema = sqlite3_mprintf("%s", schema);
    definition->id.name = sqlite3_mprintf("%s", name);
    return definition->id.schema && definition->id.name ? ST_OK : fail_nomem(err, "the model");
}

Status definition_load(
    ModelDefinition *definition, sqlite3 *db, const char *schema, const char *name, Err *err) {
    Arguments arguments = {0};
    Status status = definition_name(definition, db, schema, name, err);
    if (status == ST_OK) status = config_load(&definition->id, &arguments, err);
    if (status == ST_OK) status = definition_set(definition, &arguments, err);
    arguments_clear(&arguments);
    if (status == ST_OK) set_affinities(definition);
    else definition_clear(definition);
    return status;
}

Status definition_find(ModelDefinition *out, sqlite3 *db, const char *name, Err *err) {
    char *schema, *table;
    *out = (ModelDefinition){0};
    TRY(schema_find_table(db, "rec_model", name, "_versions", &schema, &table, err));
    Status status = definition_load(out, db, schema, table, err);
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}

static Status save_arguments(
    const ModelDefinition *definition, const Arguments *arguments, Err *err) {
    TRY(config_save_arguments(&definition->id, arguments, err));
    TRY(config_save(&definition->id, "user_type", definition->user_type, err));
    return config_save(&definition->id, "item_type", definition->item_type, err);
}

ShadowOwner definition_owner(const ModelDefinition *definition) {
    return (ShadowOwner){
        definition->id.db, definition->id.schema, definition->id.name, &definition->id};
}

Status definition_check_name(const char *name, Err *err) {
    int clash = sqlite3_stricmp(name, "rowid") == 0;
    for (int i = 0; i < N_MODEL_COLUMNS; i++)
        clash |= i != C_COMMAND && sqlite3_stricmp(name, model_column_names[i]) == 0;
    if (clash)
        return fail(
            err, ST_BADARG, "a rec_model cannot be named '%s', which is one of its columns", name);
    return ST_OK;
}

Status definition_create(
    ModelDefinition *definition, sqlite3 *db, int argc, const char *const *argv, Err *err) {
    Arguments arguments = {0};
    Status status = definition_name(definition, db, argv[1], argv[2], err);
    if (status == ST_OK) status = definition_check_name(argv[2], err);
    if (status == ST_OK) status = arguments_split(&arguments, argc, argv, err);
    for (int i = 0; i < arguments.n && status == ST_OK; i++)
        if (strcmp(arguments.key[i], "user_type") == 0 ||
            strcmp(arguments.key[i], "item_type") == 0 || strcmp(arguments.key[i], "format") == 0 ||
            strcmp(arguments.key[i], "last_version") == 0)
            status = unknown_argument(definition, arguments.key[i], err);
    if (status == ST_OK) status = definition_set(definition, &arguments, err);
    if (status == ST_OK) status = check_columns(definition, err);
    if (status == ST_OK) {
        ShadowOwner owner = definition_owner(definition);
        status = shadow_create(&version_shadow, &owner, err);
    }
    if (status == ST_OK) status = save_arguments(definition, &arguments, err);
    arguments_clear(&arguments);
    set_affinities(definition);
    return status;
}
